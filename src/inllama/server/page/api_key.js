// The server's key, for servers that want one: asked for when a request is refused, kept as long as the tab.

import { byId } from "./dom.js";

const KEPT = "inllama.key";

let key = kept();
let asking;

/** As fetch; where the server wants a key, it is asked for, and the request is made again with it. */
export async function authorizedFetch(path, options) {
  for (;;) {
    const used = key;
    const headers = { ...options.headers, ...(used && { Authorization: `Bearer ${used}` }) };
    const response = await fetch(path, { ...options, headers });
    if (response.status !== 401) return response;
    // Another request may have asked in the meantime.
    if (key === used && !(await ask(Boolean(used)))) return response;
  }
}

function ask(wasRefused) {
  asking ??= showDialog(wasRefused).finally(() => (asking = undefined));
  return asking;
}

/** Resolves to whether there is a new key. */
function showDialog(wasRefused) {
  const dialog = byId("key-dialog");
  const input = byId("key-input");
  byId("key-text").textContent = wasRefused
    ? "The server refused this key. Is it spelled right?"
    : "This server asks for a key. It is kept until this tab is closed.";
  byId("key-text").classList.toggle("refused", wasRefused);
  input.value = "";
  dialog.showModal();
  input.focus();
  return new Promise((resolve) => {
    let isGiven = false;
    byId("key-cancel").onclick = () => dialog.close();
    byId("key-form").onsubmit = (event) => {
      event.preventDefault();
      const given = input.value.trim();
      // Headers carry nothing else.
      if (!/^[!-~]+$/.test(given)) {
        byId("key-text").textContent = "A key has letters, digits and signs of ASCII only.";
        byId("key-text").classList.add("refused");
        return;
      }
      keep(given);
      isGiven = true;
      dialog.close();
    };
    dialog.addEventListener("close", () => resolve(isGiven), { once: true });
  });
}

function kept() {
  try {
    return sessionStorage.getItem(KEPT) ?? "";
  } catch {
    return "";
  }
}

function keep(given) {
  key = given;
  try {
    sessionStorage.setItem(KEPT, given);
  } catch {
    // Storage is off: the key lasts until the page is left.
  }
}
