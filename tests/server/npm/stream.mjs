// What the helpers of the client gather from streams, and a stream that is left early.
import OpenAI from "openai";

const client = new OpenAI({ baseURL: process.env.INLLAMA_URL, apiKey: "none", maxRetries: 0 });
const question = "What is the capital of France?";

const runner = client.chat.completions.stream({
  model: "demo.gguf",
  messages: [{ role: "user", content: question }],
  temperature: 0,
});
let text = "";
runner.on("content", (delta) => (text += delta));
const final = await runner.finalChatCompletion();

const events = [];
const stream = await client.responses.create({ model: "demo.gguf", input: question, temperature: 0, stream: true });
for await (const event of stream) events.push(event);

const vector = await client.embeddings.create({ model: "demo.gguf", input: "Hello!", pooling: "mean" });

const long = await client.chat.completions.create({
  model: "demo.gguf",
  messages: [{ role: "user", content: "Tell me a story." }],
  ignore_eos: true,
  stream: true,
});
let n_read = 0;
for await (const chunk of long) {
  if (++n_read === 3) break;
}

console.log(JSON.stringify({ text, final, events, n_values: vector.data[0].embedding.length, n_read }));
