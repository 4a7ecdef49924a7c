// Emphasis, code and links within a line of text, as DOM nodes.
//
// Linear in the text, also for text that was made to be slow: what is opened lies on a stack, and each search either
// removes what it passes or is bounded.

const SPECIAL = /[\\`*_[\]\n]|!\[|https?:\/\/[^\s<>()[\]"'`*]+/g;
// An address may have pairs of parentheses within; a title may follow it.
const TARGET =
  /\(\s{0,9}<?([^\s<>()]{0,2000}(?:\([^\s<>()]{0,500}\)[^\s<>()]{0,500}){0,9})>?(?:\s{1,9}"[^"]{0,500}")?\s{0,9}\)/y;
const WORD = /[\p{L}\p{N}]/u;
const PUNCTUATION = /[!-/:-@[-`{-~]/;
// Elements in elements: deeper ones would overflow the browser's stack.
const MAX_OPEN = 24;
const MAX_RUN = 6;

/** Appends `text` to `parent`, with its markup as elements. */
export function appendInline(parent, text) {
  const inline = new Inline(text);
  for (const node of inline.nodes()) parent.append(node);
}

/** Returns the address if it is one of the web, else undefined: no other scheme becomes a link. */
export function webAddress(text) {
  const url = URL.parse ? URL.parse(text) : tryUrl(text);
  return url && (url.protocol === "https:" || url.protocol === "http:") ? url.href : undefined;
}

function tryUrl(text) {
  try {
    return new URL(text);
  } catch {
    return undefined;
  }
}

class Inline {
  #text;
  #at = 0;
  // The first one is the whole; each further one was opened by its marker and may turn out to be text.
  #open = [{ marker: "", nodes: [] }];
  #ticks = new Map();

  constructor(text) {
    this.#text = text;
  }

  nodes() {
    for (const run of this.#text.matchAll(/`+/g)) {
      const places = this.#ticks.get(run[0].length) ?? { at: [], next: 0 };
      places.at.push(run.index);
      this.#ticks.set(run[0].length, places);
    }
    SPECIAL.lastIndex = 0;
    for (let found; (found = this.#next()); ) this.#take(found[0]);
    this.#push(this.#text.slice(this.#at));
    return this.#flatten(0).nodes;
  }

  #next() {
    SPECIAL.lastIndex = this.#at;
    const found = SPECIAL.exec(this.#text);
    if (!found) return null;
    this.#push(this.#text.slice(this.#at, found.index));
    this.#at = found.index;
    return found;
  }

  #take(special) {
    switch (special[0]) {
      case "\\":
        return this.#escape();
      case "`":
        return this.#code();
      case "*":
      case "_":
        return this.#emphasis(special);
      case "[":
      case "!":
        this.#at += special.length;
        return this.#begin(special, 1);
      case "]":
        return this.#bracket();
      case "\n":
        this.#at += 1;
        return this.#push(document.createElement("br"));
      default:
        return this.#address(special);
    }
  }

  #escape() {
    const next = this.#text[this.#at + 1] ?? "";
    const isEscape = PUNCTUATION.test(next);
    this.#push(isEscape ? next : "\\");
    this.#at += isEscape ? 2 : 1;
  }

  #code() {
    const length = this.#runLength("`");
    // After a backslash a run is shorter than it was found.
    const places = this.#ticks.get(length) ?? { at: [], next: 0 };
    while (places.at[places.next] <= this.#at) places.next += 1;
    const end = places.at[places.next];
    if (end === undefined) {
      this.#push("`".repeat(length));
      this.#at += length;
      return;
    }
    const inner = this.#text.slice(this.#at + length, end).replaceAll("\n", " ");
    const code = document.createElement("code");
    code.textContent = /^ .*\S.* $/.test(inner) ? inner.slice(1, -1) : inner;
    this.#push(code);
    this.#at = end + length;
  }

  #emphasis(marker) {
    const length = this.#runLength(marker);
    const before = this.#text[this.#at - 1] ?? " ";
    const after = this.#text[this.#at + length] ?? " ";
    this.#at += length;
    // snake_case has no emphasis in it.
    const isWord = marker === "_" && WORD.test(before) && WORD.test(after);
    let rest = length;
    if (!isWord && length <= MAX_RUN) {
      if (/\S/.test(before)) rest = this.#close(marker, rest);
      if (rest && /\S/.test(after) && this.#begin(marker, rest)) return;
    }
    this.#push(marker.repeat(rest));
  }

  /** Closes what `rest` markers can close; returns how many are left. */
  #close(marker, rest) {
    while (rest > 0) {
      const index = this.#open.findLastIndex((frame) => frame.marker === marker);
      if (index < 0) break;
      const frame = this.#flatten(index);
      const used = Math.min(2, frame.length, rest);
      frame.nodes = [wrap(used === 2 ? "strong" : "em", frame.nodes)];
      frame.length -= used;
      rest -= used;
      if (frame.length === 0) {
        this.#open.pop();
        frame.nodes.forEach((node) => this.#push(node));
      }
    }
    return rest;
  }

  #bracket() {
    this.#at += 1;
    const index = this.#open.findLastIndex(isBracket);
    TARGET.lastIndex = this.#at;
    const target = index < 0 ? null : TARGET.exec(this.#text);
    const address = target && webAddress(target[1]);
    if (index < 0) return this.#push("]");
    const frame = this.#flatten(index);
    this.#open.pop();
    if (!address) {
      this.#push(frame.marker);
      frame.nodes.forEach((node) => this.#push(node));
      return this.#push("]");
    }
    this.#at = TARGET.lastIndex;
    // No link holds another.
    for (const outer of this.#open) outer.isText = true;
    return this.#push(link(address, frame.nodes.length ? frame.nodes : [address]));
  }

  #address(found) {
    const text = found.replace(/[.,;:!?]{1,9}$/, "");
    const address = this.#open.some(isBracket) ? undefined : webAddress(text);
    this.#push(address ? link(address, [text]) : text);
    this.#at += text.length;
  }

  #runLength(marker) {
    let end = this.#at;
    while (this.#text[end] === marker) end += 1;
    return end - this.#at;
  }

  #begin(marker, length) {
    const isTaken = this.#open.length < MAX_OPEN;
    if (isTaken) this.#open.push({ marker, length, nodes: [] });
    else if (marker.endsWith("[")) this.#push(marker);
    return isTaken;
  }

  /** Makes text of the markers above `index`; returns what is then on top. */
  #flatten(index) {
    const frame = this.#open[index];
    for (const above of this.#open.splice(index + 1)) {
      add(frame.nodes, above.marker.repeat(above.length));
      for (const node of above.nodes) add(frame.nodes, node);
    }
    return frame;
  }

  #push(node) {
    add(this.#open.at(-1).nodes, node);
  }
}

const isBracket = (frame) => frame.marker.endsWith("[") && !frame.isText;

function add(nodes, node) {
  if (node === "") return;
  if (typeof node === "string" && typeof nodes.at(-1) === "string") nodes[nodes.length - 1] += node;
  else nodes.push(node);
}

function wrap(name, nodes) {
  const made = document.createElement(name);
  for (const node of nodes) made.append(node);
  return made;
}

function link(address, nodes) {
  const made = wrap("a", nodes);
  made.href = address;
  made.title = address;
  made.target = "_blank";
  made.rel = "noopener noreferrer";
  return made;
}
