// The server's API: requests, its errors, and answers as a stream of chunks.

import { authorizedFetch } from "./api_key.js";

export class RequestError extends Error {
  constructor(message, fields = {}) {
    super(message);
    this.fields = fields;
  }
}

export async function getJson(path) {
  const response = await send(path, {});
  return response.json();
}

/** Yields the chunks of a chat completion; ends with an error if the answer does not end as it should. */
export async function* streamChat(request, signal) {
  const body = JSON.stringify({ ...request, stream: true, stream_options: { include_usage: true } });
  const headers = { "Content-Type": "application/json" };
  const response = await send("v1/chat/completions", { method: "POST", headers, body, signal });
  let isFinished = false;
  for await (const data of readEvents(response.body)) {
    if (data === "[DONE]") return;
    const chunk = parsed(data);
    if (chunk.error) throw fromBody(chunk, {});
    isFinished ||= Boolean(chunk.choices?.[0]?.finish_reason);
    yield chunk;
  }
  if (!isFinished) throw new RequestError("The connection ended before the answer did.");
}

function parsed(data) {
  try {
    return JSON.parse(data);
  } catch {
    throw new RequestError(`The server sent something that is no JSON: ${data.slice(0, 200)}`);
  }
}

async function send(path, options) {
  let response;
  try {
    response = await authorizedFetch(path, options);
  } catch (problem) {
    if (problem.name === "AbortError") throw problem;
    throw new RequestError("The server cannot be reached.");
  }
  if (response.ok) return response;
  const retryAfter = response.headers.get("Retry-After");
  const body = await response.json().catch(() => ({}));
  throw fromBody(body, { status: response.status, retryAfter: retryAfter ?? undefined });
}

function fromBody({ error }, fields) {
  const { message, type, param, code } = error ?? {};
  return new RequestError(message ?? `The server answered ${fields.status}.`, { ...fields, type, param, code });
}

async function* readEvents(body) {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  const events = new EventReader();
  try {
    for (;;) {
      const { value, done } = await reader.read().catch(lost);
      yield* events.push(done ? decoder.decode() : decoder.decode(value, { stream: true }));
      if (done) return yield* events.push("\n\n");
    }
  } finally {
    // Also when the loop over this is left early: the server shall not go on for nobody.
    reader.cancel().catch(() => {});
  }
}

function lost(problem) {
  throw problem.name === "AbortError" ? problem : new RequestError("The connection was lost.");
}

/** Finds the data of server-sent events in text that may be cut anywhere. */
export class EventReader {
  #rest = "";
  #data = [];

  push(text) {
    // A CR at the very end may be half of a CRLF.
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop();
    const events = [];
    for (const line of lines) {
      if (line === "") {
        if (this.#data.length) events.push(this.#data.join("\n"));
        this.#data = [];
      } else if (line.startsWith("data:")) {
        this.#data.push(line.slice(line[5] === " " ? 6 : 5));
      }
    }
    return events;
  }
}
