// The chat page: which conversation is shown, what is asked, and which answers are on their way.

import { Answer } from "./answer.js";
import { Composer } from "./composer.js";
import { byId, element } from "./dom.js";
import { notice } from "./notice.js";
import { getJson } from "./request.js";
import { Scroll } from "./scroll.js";
import { requestFields, Settings } from "./settings.js";
import { Sidebar } from "./sidebar.js";
import { keepSettings, newConversation, newId, setting, Store, titleOf } from "./store.js";
import { AssistantView, UserView } from "./thread.js";

// The demo model knows little; these it can answer.
const EXAMPLES = ["Tell me a short story.", "How many legs does a spider have?", "What is the opposite of big?"];

class Page {
  #running = new Map(); // id of a conversation -> its Answer
  #views = new Map(); // message -> its view
  #changed = new Set(); // messages to show in the next frame

  constructor() {
    this.store = new Store(
      () => notice("This browser's storage is full. Export or delete a conversation."),
      (id) => this.#changedOutside(id),
    );
    this.scroll = new Scroll();
    this.settings = new Settings((conversation) => this.#settingsChanged(conversation));
    this.sidebar = new Sidebar({
      rename: (conversation, name) => this.#rename(conversation, name),
      remove: (conversation) => this.#removeConversation(conversation),
    });
    this.composer = new Composer({
      send: (text) => this.#send(text),
      stop: () => this.#stop(),
      editLast: () => this.#editLast(),
    });
    this.#listen();
    this.#showHash();
    this.server = this.#loadServer();
  }

  #listen() {
    byId("new").addEventListener("click", () => this.#new());
    byId("settings-open").addEventListener("click", () => this.#toggleSettings());
    byId("settings-close").addEventListener("click", () => this.#toggleSettings(false));
    byId("model").addEventListener("change", (event) => this.#chooseModel(event.target.value));
    addEventListener("hashchange", () => this.#showHash());
    // Else their connections would break, as if the server had failed.
    for (const leaving of ["beforeunload", "pagehide"]) addEventListener(leaving, () => this.#stopAll());
    document.addEventListener("keydown", (event) => this.#key(event));
    if (/Mac|iP(hone|ad)/.test(navigator.platform)) byId("new-keys").textContent = "⌘ K";
    for (const text of EXAMPLES) {
      const on = { click: () => this.#send(text) };
      byId("examples").append(element("button", { type: "button", class: "example", testid: "example", on }, text));
    }
  }

  #key(event) {
    if (event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey) && !event.shiftKey && !event.altKey) {
      event.preventDefault();
      this.#new();
    } else if (event.key === "Escape" && !byId("key-dialog").open) {
      if (this.#running.has(this.current.id)) this.#stop();
      else if (this.sidebar.isCovering) this.sidebar.toggle(false);
      else if (!byId("settings").hidden) this.#toggleSettings(false);
    }
  }

  // What the server has.

  async #loadServer() {
    this.problem = undefined;
    try {
      // One after the other: a server that wants a key asks for it once.
      this.#showModels((await getJson("v1/models")).data.map(({ id }) => id));
      this.settings.showServer(await getJson("props"));
    } catch (problem) {
      this.problem = problem;
    }
    this.#showModel();
  }

  #showModels(ids) {
    const chosen = setting.get("model");
    this.model = ids.includes(chosen) ? chosen : ids[0];
    byId("model").replaceChildren(...ids.map((id) => element("option", { value: id }, id)));
    byId("model").hidden = ids.length === 0;
    byId("model").disabled = ids.length < 2;
    if (this.model) byId("model").value = this.model;
  }

  #chooseModel(id) {
    this.model = id;
    setting.set("model", id);
    this.#showModel();
  }

  #showModel() {
    byId("empty-model").textContent = this.model ?? this.problem?.message ?? "";
    byId("input").placeholder = this.model ? `Message ${this.model}` : "Message";
  }

  // Which conversation is shown.

  #showHash() {
    const found = this.store.get(location.hash.slice(1));
    this.#show(found ?? newConversation());
  }

  #new() {
    if (this.sidebar.isCovering) this.sidebar.toggle(false);
    if (this.current.messages.length > 0) this.#go("");
    this.composer.focus();
  }

  #go(id) {
    // An empty hash would jump to the top of the page.
    history.pushState(null, "", id ? `#${id}` : location.pathname + location.search);
    this.#showHash();
  }

  #show(conversation) {
    this.composer.show(conversation.messages.length ? conversation.id : "new");
    this.#showMessages(conversation);
    this.scroll.toEnd();
    this.composer.focus();
  }

  #showMessages(conversation) {
    this.current = conversation;
    const views = conversation.messages.map((message) => this.#views.get(message) ?? this.#view(message));
    this.#views = new Map(views.map((view) => [view.message, view]));
    byId("thread").replaceChildren(...views.map((view) => view.root));
    this.settings.show(conversation);
    this.#showState();
  }

  /** What depends on all messages together. */
  #showState() {
    const { current } = this;
    const isEmpty = current.messages.length === 0;
    byId("empty").hidden = !isEmpty;
    byId("title").textContent = titleOf(current);
    byId("title").classList.toggle("is-new", isEmpty);
    document.title = isEmpty ? "inllama" : `${titleOf(current)} · inllama`;
    byId("settings-open").classList.toggle("is-set", hasSettings(current));
    this.composer.showRunning(this.#running.has(current.id));
    byId("thread").classList.toggle("answering", this.#running.has(current.id));
    this.sidebar.show(this.store.list(), current, (id) => this.#running.has(id));
  }

  #view(message) {
    const isUser = message.role === "user";
    return isUser ? new UserView(message, this.#userActions()) : new AssistantView(message, this.#answerActions());
  }

  #userActions() {
    return {
      edit: (message, text) => this.#edit(message, text),
      remove: (message) => this.#removeTurn(message),
      focusInput: () => this.composer.focus(),
    };
  }

  #answerActions() {
    return { retry: () => this.#retry() };
  }

  #changedOutside(id) {
    if (this.#running.has(id)) return;
    if (id !== this.current.id) return this.#showState();
    // Whoever writes here meanwhile is left alone.
    this.#showMessages(this.store.get(id) ?? newConversation());
    return this.scroll.follow();
  }

  // What is asked.

  #send(text) {
    if (this.#running.has(this.current.id)) return;
    this.current.messages.push({ id: newId(), role: "user", content: text });
    this.#ask();
  }

  #edit(message, text) {
    const { messages } = this.current;
    this.#stop();
    messages.splice(messages.indexOf(message));
    this.#send(text);
  }

  #retry() {
    const { messages } = this.current;
    if (messages.at(-1)?.role === "assistant") messages.pop();
    this.#ask();
  }

  #removeTurn(message) {
    const conversation = this.current;
    const before = [...conversation.messages];
    const from = before.indexOf(message);
    const next = before.findIndex((other, index) => index > from && other.role === "user");
    this.#stop();
    conversation.messages.splice(from, (next < 0 ? before.length : next) - from);
    this.#keep(conversation);
    notice("Turn deleted.", () => {
      conversation.messages = before;
      this.#keep(conversation);
    });
  }

  /** Saves a conversation whose messages changed, and shows it if it is the current one. */
  #keep(conversation) {
    if (conversation.messages.length > 0) this.store.save(conversation);
    else this.store.remove(conversation.id);
    if (conversation === this.current) this.#show(conversation);
    else this.#showState();
  }

  #editLast() {
    const last = this.current.messages.findLast((message) => message.role === "user");
    this.#views.get(last)?.edit();
  }

  /** Asks for an answer to the messages of the current conversation. */
  #ask() {
    const conversation = this.current;
    const fields = { ...requestFields(conversation), messages: requestMessages(conversation) };
    const message = { id: newId(), role: "assistant", content: "", state: "running" };
    const answer = new Answer(message);
    conversation.messages.push(message);
    conversation.updated = Date.now();
    this.#running.set(conversation.id, answer);
    this.store.save(conversation);
    if (location.hash.slice(1) !== conversation.id) history.replaceState(null, "", `#${conversation.id}`);
    this.#show(conversation);
    const request = async () => ({ ...fields, model: await this.#knownModel() });
    answer.run(request, () => this.#answerChanged(conversation, message, answer));
  }

  async #knownModel() {
    await this.server;
    // It may have been away, still loading, or without the key that it wants.
    if (this.problem) await (this.server = this.#loadServer());
    if (!this.model && this.problem) throw this.problem;
    return this.model;
  }

  #answerChanged(conversation, message, answer) {
    // It was stopped to be replaced.
    if (!conversation.messages.includes(message)) return;
    if (message.state === "running") {
      this.store.saveSoon(conversation);
      if (this.#changed.size === 0) requestAnimationFrame(() => this.#showChanged());
      this.#changed.add(message);
      return;
    }
    if (this.#running.get(conversation.id) === answer) this.#running.delete(conversation.id);
    if (this.store.get(conversation.id)) this.store.save(conversation);
    this.#changed.add(message);
    this.#showChanged();
    this.#showState();
  }

  #showChanged() {
    for (const message of this.#changed) this.#views.get(message)?.update();
    this.#changed.clear();
    this.scroll.follow();
  }

  #stop() {
    this.#running.get(this.current.id)?.stop();
    this.#running.delete(this.current.id);
  }

  #stopAll() {
    for (const answer of this.#running.values()) answer.stop();
  }

  // Settings and the list.

  #settingsChanged(conversation) {
    byId("settings-open").classList.toggle("is-set", hasSettings(conversation));
    this.store.saveSoon(conversation);
    keepSettings(conversation);
  }

  #toggleSettings(isOpen = byId("settings").hidden) {
    byId("settings").hidden = !isOpen;
    byId("settings-open").setAttribute("aria-expanded", String(isOpen));
    if (isOpen) byId("system").focus();
    else byId("settings-open").focus();
  }

  #rename(conversation, name) {
    conversation.name = name === titleOf({ ...conversation, name: "" }) ? "" : name;
    this.store.save(conversation);
    this.#showState();
  }

  #removeConversation(conversation) {
    this.#running.get(conversation.id)?.stop();
    this.#running.delete(conversation.id);
    this.store.remove(conversation.id);
    if (conversation === this.current) this.#go("");
    else this.#showState();
    notice("Conversation deleted.", () => {
      this.store.save(conversation);
      this.#go(conversation.id);
    });
  }
}

const hasSettings = ({ system, sampling, stop, extra }) =>
  Boolean(system.trim() || Object.keys(sampling).length || stop || extra.trim());

/** Messages as the API wants them. */
function requestMessages({ system, messages }) {
  const sent = system.trim() ? [{ role: "system", content: system }] : [];
  for (const { role, content } of messages) {
    // An answer that failed or was stopped at once.
    if (role === "assistant" && !content) continue;
    const last = sent.at(-1);
    // Some templates refuse two turns of the same person in a row.
    if (role === "user" && last?.role === "user") last.content += `\n\n${content}`;
    else sent.push({ role, content });
  }
  return sent;
}

new Page();
