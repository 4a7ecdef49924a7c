// A tool is called, in one piece and streamed; its result is answered.
import OpenAI from "openai";

const client = new OpenAI({ baseURL: process.env.INLLAMA_URL, apiKey: "none", maxRetries: 0 });
const parameters = {
  type: "object",
  properties: { city: { type: "string", description: "The city" } },
  required: ["city"],
  additionalProperties: false,
};
const described = { name: "get_weather", description: "Get the weather in a city", parameters };
const asked = {
  model: "demo.gguf",
  messages: [{ role: "user", content: "What is the weather in Paris?" }],
  tools: [{ type: "function", function: described }],
  temperature: 0,
};

const first = await client.chat.completions.create(asked);
const message = first.choices[0].message;
const result = {
  role: "tool",
  tool_call_id: message.tool_calls[0].id,
  content: JSON.stringify({ temperature: 18, condition: "sunny" }),
};
const second = await client.chat.completions.create({ ...asked, messages: [...asked.messages, message, result] });

const pieces = [];
for await (const chunk of await client.chat.completions.create({ ...asked, stream: true })) {
  pieces.push(...(chunk.choices[0]?.delta.tool_calls ?? []));
}

const runner = client.chat.completions.runTools({
  ...asked,
  tools: [
    {
      type: "function",
      function: { ...described, parse: JSON.parse, function: ({ city }) => `{"temperature": 18, "condition": "sunny"}` },
    },
  ],
});
const told = await runner.finalContent();

console.log(JSON.stringify({ first, second, pieces, told }));
