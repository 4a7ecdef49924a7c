// The messages of one conversation on the page.

import { copyButton, element, iconButton } from "./dom.js";
import { MarkdownView } from "./markdown.js";

const number = new Intl.NumberFormat("en");

/** A message of the person who writes: plain text, as typed. */
export class UserView {
  /** `actions`: edit(message, text), remove(message). */
  constructor(message, actions) {
    this.message = message;
    this.actions = actions;
    this.root = element("article", { class: "turn user", testid: "message-user", "aria-label": "You" });
    this.#show();
  }

  edit() {
    const rows = lines(this.message.content);
    const area = element("textarea", { testid: "edit-input", rows, "aria-label": "Message" });
    area.value = this.message.content;
    area.addEventListener("input", () => area.setAttribute("rows", lines(area.value)));
    const save = () => area.value.trim() && this.actions.edit(this.message, area.value.trim());
    const keys = (event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        save();
      } else if (event.key === "Escape") {
        event.stopPropagation();
        this.#show();
        this.actions.focusInput();
      }
    };
    const cancel = element("button", { type: "button", class: "plain", on: { click: () => this.#show() } }, "Cancel");
    const ask = { type: "button", class: "primary", testid: "edit-save", on: { click: save } };
    const buttons = element("div", { class: "edit-buttons" }, cancel, element("button", ask, "Ask again"));
    this.root.replaceChildren(element("div", { class: "editor", on: { keydown: keys } }, area, buttons));
    area.focus();
  }

  #show() {
    const content = element("div", { class: "bubble", testid: "content" }, this.message.content);
    const buttons = element(
      "div",
      { class: "actions" },
      copyButton("Copy", () => this.message.content),
      iconButton("edit", "Edit and ask again", "edit", () => this.edit()),
      iconButton("delete", "Delete this turn", "delete", () => this.actions.remove(this.message)),
    );
    this.root.replaceChildren(content, buttons);
  }
}

const lines = (text) => Math.min(text.split("\n").length, 12);

/** An answer; `update` shows what has come since. */
export class AssistantView {
  #shownCalls = "";
  #isFolded = false;

  /** `actions`: retry(). */
  constructor(message, actions) {
    this.message = message;
    this.actions = actions;
    this.root = element("article", { class: "turn assistant", testid: "message-assistant", "aria-label": "Answer" });
    this.reasoning = element("details", { class: "reasoning", testid: "reasoning", hidden: true });
    this.reasoningTitle = element("summary");
    this.reasoningText = document.createTextNode("");
    this.reasoning.append(this.reasoningTitle, element("div", { class: "reasoning-text" }, this.reasoningText));
    this.content = element("div", { class: "content", testid: "content", "aria-live": "polite" });
    this.markdown = new MarkdownView(this.content);
    this.calls = element("div", { class: "calls" });
    this.end = element("div", { class: "end" });
    this.root.append(this.reasoning, this.content, this.calls, this.end);
    this.update();
  }

  update() {
    const { message } = this;
    const isRunning = message.state === "running";
    this.root.classList.toggle("running", isRunning);
    this.root.classList.toggle("waiting", isRunning && !message.content && !message.reasoning && !message.tool_calls);
    // A screen reader reads the answer when it is there, not each word anew.
    this.content.setAttribute("aria-busy", String(isRunning));
    this.#showReasoning(isRunning);
    this.markdown.update(message.content);
    this.#showCalls();
    this.end.replaceChildren(...(isRunning ? [] : this.#ending()));
  }

  #showReasoning(isRunning) {
    const { reasoning, reasoning_s, content, tool_calls } = this.message;
    if (!reasoning) return;
    const isOpen = isRunning && !content && !tool_calls;
    if (this.reasoning.hidden) {
      this.reasoning.hidden = false;
      this.reasoning.open = isOpen;
    }
    // Once: who unfolds it again wants to read it.
    if (!isOpen && !this.#isFolded) {
      this.#isFolded = true;
      this.reasoning.open = false;
    }
    this.reasoningTitle.textContent = isOpen ? "Thinking" : `Thought for ${seconds(reasoning_s)}`;
    this.reasoningText.appendData(reasoning.slice(this.reasoningText.length));
  }

  #showCalls() {
    const calls = this.message.tool_calls ?? [];
    const shown = JSON.stringify(calls);
    if (shown === this.#shownCalls) return;
    this.#shownCalls = shown;
    this.calls.replaceChildren(...calls.map(callView));
  }

  #ending() {
    const { state, error, content } = this.message;
    const nodes = error ? [errorView(error, this.actions.retry)] : [];
    const buttons = element("div", { class: "actions" });
    if (content) buttons.append(copyButton("Copy", () => this.message.content));
    if (!error) buttons.append(iconButton("retry", "Ask again", "retry", this.actions.retry));
    const foot = element("div", { class: "end-line" }, buttons);
    const stats = statsView(this.message);
    if (state === "stopped") foot.append(element("span", { class: "tag" }, "Stopped"));
    if (stats) foot.append(stats);
    return [...nodes, foot];
  }
}

function callView({ name, arguments: text }) {
  const head = element("div", { class: "call-head" }, element("span", {}, "Tool call"), element("code", {}, name));
  const body = element("pre", { tabindex: "0" }, indented(text));
  return element("div", { class: "call", testid: "tool-call" }, head, body);
}

function indented(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

function errorView({ message, status, code, retryAfter }, retry) {
  const box = element("div", { class: "error", role: "alert", testid: "error" }, element("p", {}, message));
  const details = [status && `Status ${status}`, code, retryAfter && `Try again in ${inSeconds(retryAfter)}`];
  const shown = details.filter(Boolean).join(" · ");
  if (shown) box.append(element("p", { class: "error-details" }, shown));
  box.append(element("button", { type: "button", class: "plain", testid: "retry", on: { click: retry } }, "Try again"));
  return box;
}

// A number of seconds or a date, as HTTP has it.
const inSeconds = (retryAfter) => (/^\d+$/.test(retryAfter) ? `${retryAfter} s` : retryAfter);

function statsView({ stats, finish_reason }) {
  if (!stats) return undefined;
  const { tokens_per_s, completion_tokens, cached_tokens, prompt_tokens, first_token_s } = stats;
  const parts = [
    tokens_per_s && `${rate(tokens_per_s)} tokens/s`,
    `${number.format(completion_tokens)} ${completion_tokens === 1 ? "token" : "tokens"}`,
    `${number.format(cached_tokens)} of ${number.format(prompt_tokens)} prompt tokens cached`,
    finish_reason === "length" && "cut off at the limit of tokens",
  ];
  const title = first_token_s >= 0 ? `First token after ${seconds(first_token_s)}` : null;
  return element("span", { class: "stats", testid: "stats", title }, parts.filter(Boolean).join(" · "));
}

const rate = (value) => (value >= 100 ? number.format(Math.round(value)) : value.toFixed(value >= 10 ? 1 : 2));

function seconds(value = 0) {
  return value < 0.095 ? `${Math.round(value * 1000)} ms` : `${value.toFixed(value < 10 ? 1 : 0)} s`;
}
