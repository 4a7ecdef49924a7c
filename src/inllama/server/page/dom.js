// Making elements. Text becomes text nodes: nothing here parses HTML.

const SVG = "http://www.w3.org/2000/svg";

export const byId = (id) => document.getElementById(id);

/** Returns an element; `on` holds listeners, `testid` the hook for tests, what else there is are attributes. */
export function element(name, { on = {}, testid, ...attributes } = {}, ...children) {
  const made = document.createElement(name);
  if (testid) made.dataset.testid = testid;
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(key, "");
    else if (value !== false && value != null) made.setAttribute(key, value);
  }
  for (const [event, listener] of Object.entries(on)) made.addEventListener(event, listener);
  made.append(...children);
  return made;
}

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#icon-${name}`);
  svg.append(use);
  return svg;
}

/** A button that is an icon alone. */
export function iconButton(name, label, testid, click) {
  const attributes = { type: "button", class: "icon-button", "aria-label": label, title: label, testid };
  return element("button", { ...attributes, on: { click } }, icon(name));
}

/** A button that copies what `text` returns and says for a moment that it did. */
export function copyButton(label, text) {
  const made = iconButton("copy", label, "copy", async () => {
    const isCopied = await copy(text());
    made.replaceChildren(icon(isCopied ? "done" : "close"));
    made.title = isCopied ? "Copied" : "Could not copy";
    setTimeout(() => {
      made.replaceChildren(icon("copy"));
      made.title = label;
    }, 1500);
  });
  return made;
}

async function copy(text) {
  // Browsers have no clipboard on plain http, except from this machine.
  if (navigator.clipboard) return navigator.clipboard.writeText(text).then(() => true, () => false);
  const area = element("textarea", { class: "offscreen", readonly: true });
  area.value = text;
  document.body.append(area);
  area.select();
  const isCopied = document.execCommand("copy");
  area.remove();
  return isCopied;
}

/** Offers `text` as a file to keep. */
export function download(name, type, text) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  element("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
