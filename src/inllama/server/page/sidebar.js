// The list of conversations, and showing or hiding it.

import { byId, download, element, iconButton } from "./dom.js";
import { setting, titleOf } from "./store.js";

const narrow = matchMedia("(max-width: 760px)");

export class Sidebar {
  /** `actions`: rename(conversation, name), remove(conversation), opened(). */
  constructor(actions) {
    this.actions = actions;
    byId("sidebar-open").addEventListener("click", () => this.toggle(true));
    byId("sidebar-close").addEventListener("click", () => this.toggle(false));
    byId("backdrop").addEventListener("click", () => this.toggle(false));
    narrow.addEventListener("change", () => this.toggle(this.#wanted()));
    this.toggle(this.#wanted());
  }

  get isCovering() {
    return narrow.matches && this.isOpen;
  }

  toggle(isOpen) {
    const isChanged = this.isOpen !== undefined && this.isOpen !== isOpen;
    this.isOpen = isOpen;
    document.body.classList.toggle("with-sidebar", isOpen);
    // Out of sight it must not take the focus either.
    byId("sidebar").inert = !isOpen;
    byId("sidebar-open").hidden = isOpen && !narrow.matches;
    byId("sidebar-open").setAttribute("aria-expanded", String(isOpen));
    byId("backdrop").hidden = !this.isCovering;
    if (!narrow.matches) setting.set("sidebar", isOpen ? "open" : "closed");
    if (isChanged) byId(isOpen ? "new" : "sidebar-open").focus();
  }

  show(conversations, current, isRunning) {
    // Somebody is typing there.
    if (byId("conversations").querySelector(".rename")) return;
    const items = conversations.map((one) => this.#item(one, one.id === current.id, isRunning(one.id)));
    byId("conversations").replaceChildren(...items);
  }

  #wanted() {
    return !narrow.matches && setting.get("sidebar") !== "closed";
  }

  #item(conversation, isCurrent, isRunning) {
    const title = titleOf(conversation);
    const item = element("li", { class: isCurrent ? "item current" : "item", testid: "conversation" });
    const current = isCurrent ? "page" : null;
    const link = element("a", { href: `#${conversation.id}`, title, "aria-current": current }, title);
    if (isRunning) link.prepend(element("span", { class: "running-dot", role: "img", "aria-label": "answering" }));
    link.addEventListener("click", () => narrow.matches && this.toggle(false));
    const buttons = element(
      "div",
      { class: "item-buttons" },
      iconButton("edit", `Rename ${title}`, "rename", () => this.#rename(item, conversation)),
      iconButton("export", `Export ${title}`, "export", () => exportJson(conversation)),
      iconButton("delete", `Delete ${title}`, "remove", () => this.actions.remove(conversation)),
    );
    item.append(link, buttons);
    return item;
  }

  #rename(item, conversation) {
    const input = element("input", { class: "rename", testid: "rename-input", "aria-label": "Name", maxlength: 120 });
    input.value = titleOf(conversation);
    let isDone = false;
    const finish = (name) => {
      // Taking the field away is a blur too.
      if (isDone) return;
      isDone = true;
      input.remove();
      this.actions.rename(conversation, name);
    };
    input.addEventListener("blur", () => finish(input.value.trim()));
    input.addEventListener("keydown", (event) => {
      if (event.isComposing) return;
      if (event.key === "Enter") finish(input.value.trim());
      if (event.key === "Escape") finish(conversation.name);
      if (event.key === "Escape") event.stopPropagation();
    });
    item.replaceChildren(input);
    input.select();
  }
}

function exportJson(conversation) {
  const name = titleOf(conversation).replace(/[^\p{L}\p{N}]+/gu, "-").slice(0, 60);
  download(`${name || "conversation"}.json`, "application/json", `${JSON.stringify(conversation, null, 2)}\n`);
}
