// Conversations, each under a key of its own in this browser, so that two tabs do not overwrite each other's.

const PREFIX = "inllama.conversation.";
// Often enough for a reload to lose little, seldom enough for long conversations.
const SAVE_EVERY_MS = 1000;

export class Store {
  #conversations = new Map();
  #unsaved = new Map();
  #timer;

  /** `onFull` is called when the browser keeps no more; `onOutside` with the id of what another tab changed. */
  constructor(onFull, onOutside) {
    this.onFull = onFull;
    for (const key of storedKeys()) this.#load(key);
    // Their requests ended with the page that made them.
    for (const { messages } of this.list()) {
      for (const message of messages) if (message.state === "running") message.state = "stopped";
    }
    addEventListener("storage", (event) => {
      if (!event.key?.startsWith(PREFIX)) return;
      const id = event.key.slice(PREFIX.length);
      this.#conversations.delete(id);
      this.#load(event.key);
      onOutside(id);
    });
    addEventListener("pagehide", () => this.flush());
    document.addEventListener("visibilitychange", () => document.hidden && this.flush());
  }

  /** The latest first. */
  list() {
    return [...this.#conversations.values()].sort((a, b) => b.updated - a.updated);
  }

  get(id) {
    return this.#conversations.get(id);
  }

  save(conversation) {
    this.#conversations.set(conversation.id, conversation);
    this.#unsaved.set(conversation.id, conversation);
    this.flush();
  }

  /** Nothing is saved of a conversation that was removed. */
  saveSoon(conversation) {
    if (!this.#conversations.has(conversation.id)) return;
    this.#unsaved.set(conversation.id, conversation);
    this.#timer ??= setTimeout(() => this.flush(), SAVE_EVERY_MS);
  }

  remove(id) {
    this.#conversations.delete(id);
    this.#unsaved.delete(id);
    attempt(() => localStorage.removeItem(PREFIX + id));
  }

  flush() {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const conversation of this.#unsaved.values()) {
      const isKept = attempt(() => localStorage.setItem(PREFIX + conversation.id, JSON.stringify(conversation)));
      if (!isKept) this.onFull();
    }
    this.#unsaved.clear();
  }

  #load(key) {
    attempt(() => {
      const conversation = JSON.parse(localStorage.getItem(key));
      if (!Array.isArray(conversation?.messages)) return;
      this.#conversations.set(conversation.id, conversation);
    });
  }
}

/** A conversation without messages; it begins with the settings that were changed last. */
export function newConversation() {
  const settings = { system: "", sampling: {}, stop: "", extra: "" };
  attempt(() => Object.assign(settings, JSON.parse(setting.get("settings"))));
  return { id: newId(), name: "", updated: Date.now(), ...settings, messages: [] };
}

export function keepSettings({ system, sampling, stop, extra }) {
  setting.set("settings", JSON.stringify({ system, sampling, stop, extra }));
}

export function titleOf({ name, messages }) {
  const text = name || (messages.find((message) => message.role === "user")?.content ?? "");
  return text.trim().split("\n", 1)[0].slice(0, 120) || "New conversation";
}

export function newId() {
  // crypto.randomUUID is missing on plain http.
  return Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** A small setting of the page. */
export const setting = {
  get: (name) => {
    let value = null;
    attempt(() => (value = localStorage.getItem(`inllama.${name}`)));
    return value;
  },
  set: (name, value) => attempt(() => localStorage.setItem(`inllama.${name}`, value)),
};

function storedKeys() {
  let keys = [];
  attempt(() => (keys = Object.keys(localStorage).filter((key) => key.startsWith(PREFIX))));
  return keys;
}

/** Whether it could be done: storage may be full, switched off, or hold what something else wrote. */
function attempt(action) {
  try {
    action();
    return true;
  } catch {
    return false;
  }
}
