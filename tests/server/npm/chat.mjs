// An answer and a stream of the same, by the official client for Node.js.
import OpenAI from "openai";

const client = new OpenAI({ baseURL: process.env.INLLAMA_URL, apiKey: "none", maxRetries: 0 });
const asked = {
  model: "demo.gguf",
  messages: [{ role: "user", content: "What is the capital of France?" }],
  temperature: 0,
  reproducible: true,
};

const { data: answer, response } = await client.chat.completions
  .create({ ...asked, tempurature: 1 })
  .withResponse();

const chunks = [];
const options = { stream: true, stream_options: { include_usage: true } };
for await (const chunk of await client.chat.completions.create({ ...asked, ...options })) {
  chunks.push(chunk);
}

const errors = [];
for (const wrong of [{ temperature: -1 }, { model: "gpt-5" }, { temperature: -1, stream: true }]) {
  try {
    await client.chat.completions.create({ ...asked, ...wrong });
  } catch (error) {
    errors.push([error.constructor.name, error.status, error.code, error.param]);
  }
}

const models = [];
for await (const model of client.models.list()) models.push(model.id);

console.log(JSON.stringify({ answer, ignored: response.headers.get("x-inllama-ignored"), chunks, errors, models }));
