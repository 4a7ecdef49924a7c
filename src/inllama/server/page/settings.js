// The settings of a conversation: its system prompt and what goes into each of its requests.

import { byId, element } from "./dom.js";

const FIELDS = [
  { name: "temperature", label: "Temperature", min: 0 },
  { name: "max_tokens", label: "Max tokens", min: 1, isInteger: true },
  { name: "top_p", label: "Top p", min: 0, max: 1 },
  { name: "top_k", label: "Top k", min: 0, isInteger: true },
  { name: "min_p", label: "Min p", min: 0, max: 1 },
  { name: "seed", label: "Seed", min: 0, isInteger: true },
  { name: "repeat_penalty", label: "Repeat penalty", min: 0 },
  { name: "frequency_penalty", label: "Frequency penalty" },
  { name: "presence_penalty", label: "Presence penalty" },
];
const WITHOUT_DEFAULT = { max_tokens: "no limit", seed: "random" };

export class Settings {
  #inputs = new Map();
  #conversation;

  /** `changed` is called with the conversation. */
  constructor(changed) {
    this.changed = changed;
    for (const field of FIELDS) byId("sampling").append(this.#make(field));
    this.#bind(byId("system"), "system");
    this.#bind(byId("stop-strings"), "stop");
    this.#bind(byId("extra"), "extra");
    byId("settings-form").addEventListener("submit", (event) => event.preventDefault());
    byId("settings-reset").addEventListener("click", () => {
      Object.assign(this.#conversation, { sampling: {}, stop: "", extra: "" });
      this.show(this.#conversation);
      this.changed(this.#conversation);
    });
  }

  show(conversation) {
    this.#conversation = conversation;
    for (const [name, input] of this.#inputs) input.value = conversation.sampling[name] ?? "";
    byId("system").value = conversation.system;
    byId("stop-strings").value = conversation.stop;
    byId("extra").value = conversation.extra;
    checkExtra();
  }

  showServer({ default_params = {}, n_ctx } = {}) {
    for (const [name, input] of this.#inputs) {
      input.placeholder = default_params[name] ?? WITHOUT_DEFAULT[name] ?? "";
    }
    byId("server-note").textContent = n_ctx ? `${n_ctx.toLocaleString("en")} tokens of context.` : "";
  }

  #make({ name, label, min, max, isInteger }) {
    const input = element("input", {
      type: "number",
      step: isInteger ? "1" : "any",
      inputmode: isInteger ? "numeric" : "decimal",
      min,
      max,
      name,
      testid: `sampling-${name}`,
    });
    input.addEventListener("input", () => {
      const { sampling } = this.#conversation;
      if (input.value === "" || !input.validity.valid) delete sampling[name];
      else sampling[name] = Number(input.value);
      this.changed(this.#conversation);
    });
    this.#inputs.set(name, input);
    return element("label", { class: "field" }, element("span", {}, label), input);
  }

  #bind(area, name) {
    area.addEventListener("input", () => {
      this.#conversation[name] = area.value;
      checkExtra();
      this.changed(this.#conversation);
    });
  }
}

/** What a conversation's settings add to a request. */
export function requestFields({ sampling, stop, extra }) {
  const strings = stop
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => line.replaceAll("\\n", "\n"));
  return { ...parseExtra(extra), ...sampling, ...(strings.length && { stop: strings }) };
}

function checkExtra() {
  const area = byId("extra");
  const isValid = parseExtra(area.value) !== undefined;
  area.setCustomValidity(isValid ? "" : "This is no JSON object.");
  area.setAttribute("aria-invalid", String(!isValid));
  byId("extra-note").textContent = isValid
    ? "A JSON object, such as tools or a response format."
    : "This is no JSON object; it is left out.";
}

function parseExtra(text) {
  if (text.trim() === "") return {};
  try {
    const value = JSON.parse(text);
    return value !== null && typeof value === "object" && !Array.isArray(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
