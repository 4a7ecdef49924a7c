// Where messages are written; what was begun survives a reload.

import { byId } from "./dom.js";

const MAX_ROWS = 10;
const fine = matchMedia("(pointer: fine)");

export class Composer {
  #draft = "inllama.draft.new";

  /** `actions`: send(text), stop(), editLast(). */
  constructor(actions) {
    this.input = byId("input");
    byId("composer").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send(actions);
    });
    byId("stop").addEventListener("click", () => actions.stop());
    this.input.addEventListener("input", () => this.#changed());
    this.input.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        this.#send(actions);
      } else if (event.key === "ArrowUp" && this.input.value === "") {
        event.preventDefault();
        actions.editLast();
      }
    });
  }

  /** `draft` names what is written here: the conversation, or "new". */
  show(draft) {
    this.#draft = `inllama.draft.${draft}`;
    this.input.value = kept(this.#draft);
    this.#changed();
  }

  showRunning(isRunning) {
    const hadFocus = document.activeElement === byId(isRunning ? "send" : "stop");
    byId("send").hidden = isRunning;
    byId("stop").hidden = !isRunning;
    this.isRunning = isRunning;
    if (hadFocus) this.focus();
  }

  /** On a phone the keyboard would cover what is to be read. */
  focus() {
    if (fine.matches) this.input.focus();
  }

  #send(actions) {
    const text = this.input.value.trim();
    if (!text || this.isRunning) return;
    this.input.value = "";
    this.#changed();
    actions.send(text);
  }

  #changed() {
    const { value } = this.input;
    byId("send").disabled = value.trim() === "";
    // For browsers without field-sizing.
    this.input.rows = Math.min(value.split("\n").length, MAX_ROWS);
    try {
      if (value) sessionStorage.setItem(this.#draft, value);
      else sessionStorage.removeItem(this.#draft);
    } catch {
      // Storage is off: a reload loses the draft.
    }
  }
}

function kept(name) {
  try {
    return sessionStorage.getItem(name) ?? "";
  } catch {
    return "";
  }
}
