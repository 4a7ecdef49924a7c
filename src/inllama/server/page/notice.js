// A line that says for a while what happened, with a button to take it back.

import { byId, element } from "./dom.js";

const SHOWN_MS = 7000;

let timer;

export function notice(text, undo) {
  const box = byId("notice");
  box.replaceChildren(element("span", {}, text));
  if (undo) {
    const click = () => {
      hide();
      undo();
    };
    box.append(element("button", { type: "button", testid: "undo", on: { click } }, "Undo"));
  }
  box.classList.add("shown");
  clearTimeout(timer);
  timer = setTimeout(hide, SHOWN_MS);
}

function hide() {
  byId("notice").classList.remove("shown");
  byId("notice").replaceChildren();
}
