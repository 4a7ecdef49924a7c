// One answer: from the request to its last chunk.

import { RequestError, streamChat } from "./request.js";

/** Fills a message of the assistant with what a stream brings. */
export class Answer {
  #abort = new AbortController();
  #message;
  #clock = {};

  constructor(message) {
    this.#message = message;
  }

  stop() {
    this.#abort.abort();
  }

  /** `request` is a function that resolves to it; `changed` is called after each piece and at the end. */
  async run(request, changed) {
    this.#clock.start = performance.now();
    try {
      for await (const chunk of streamChat(await request(), this.#abort.signal)) {
        this.#take(chunk);
        changed();
      }
      this.#message.state = "done";
    } catch (problem) {
      this.#end(problem);
    }
    changed();
  }

  #end(problem) {
    if (this.#abort.signal.aborted) {
      this.#message.state = "stopped";
      return;
    }
    this.#message.state = "failed";
    const fields = problem instanceof RequestError ? problem.fields : {};
    this.#message.error = { message: problem.message, ...fields };
  }

  #take(chunk) {
    const choice = chunk.choices?.[0];
    if (choice?.delta) this.#takeDelta(choice.delta);
    if (choice?.finish_reason) this.#message.finish_reason = choice.finish_reason;
    if (chunk.usage) this.#message.stats = this.#stats(chunk.usage, chunk.timings ?? chunk.usage.timings);
  }

  #takeDelta({ content, reasoning_content, tool_calls }) {
    const message = this.#message;
    const now = performance.now();
    if (content || reasoning_content || tool_calls) {
      this.#clock.first ??= now;
      this.#clock.last = now;
    }
    if (reasoning_content) {
      message.reasoning = (message.reasoning ?? "") + reasoning_content;
      message.reasoning_s = (now - this.#clock.start) / 1000;
    }
    if (content) message.content += content;
    for (const call of tool_calls ?? []) this.#takeCall(call);
  }

  #takeCall({ index = 0, id, function: called }) {
    const calls = (this.#message.tool_calls ??= []);
    while (calls.length <= index) calls.push({ id: "", name: "", arguments: "" });
    if (id) calls[index].id = id;
    calls[index].name += called?.name ?? "";
    calls[index].arguments += called?.arguments ?? "";
  }

  #stats(usage, timings) {
    const generating_s = timings
      ? timings.total_s - timings.first_token_s
      : (this.#clock.last - this.#clock.first) / 1000;
    // The first token comes with the prompt; the time between tokens begins with it.
    const n_gaps = usage.completion_tokens - 1;
    return {
      prompt_tokens: usage.prompt_tokens,
      completion_tokens: usage.completion_tokens,
      cached_tokens: usage.prompt_tokens_details?.cached_tokens ?? 0,
      tokens_per_s: n_gaps > 0 && generating_s > 0 ? n_gaps / generating_s : undefined,
      first_token_s: timings?.first_token_s ?? (this.#clock.first - this.#clock.start) / 1000,
    };
  }
}
