// A small part of Markdown, as DOM nodes: whatever a model writes, only elements that are made here come of it.

import { copyButton, element } from "./dom.js";
import { appendInline } from "./inline.js";

const FENCE = /^ {0,3}(`{3,}(?=[^`]*$)|~{3,})(.*)$/;
const HEADING = /^ {0,3}(#{1,6})[ \t]+(.*)$/;
const RULE = /^ {0,3}([-*_])[ \t]*(?:\1[ \t]*){2,}$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^( {0,12})([-*+]|\d{1,9}[.)])( +(?=\S)|\s*$)/;
// Lists and quotes in one another.
const MAX_DEPTH = 8;

/** Shows a text that grows at its end; only the last block is made anew. */
export class MarkdownView {
  #parent;
  #settled = 0;
  #shown = "";
  #live = [];

  constructor(parent) {
    this.#parent = parent;
  }

  update(text) {
    if (text === this.#shown) return;
    if (!text.startsWith(this.#shown)) this.#clear();
    this.#shown = text;
    const tail = text.slice(this.#settled);
    const { blocks, lines } = parse(tail);
    this.#live.forEach((node) => node.remove());
    this.#live = [];
    let isSettled = true;
    blocks.forEach((block, index) => {
      // A block has ended when the next one is certain, that is, once the first line of that one is complete.
      const next = blocks[index + 1];
      isSettled &&= next !== undefined && next.from < lines.length - 1;
      const node = render(block, 0);
      this.#parent.append(node);
      if (!isSettled) this.#live.push(node);
    });
    const open = blocks[blocks.length - this.#live.length];
    if (open) this.#settled += offset(lines, open.from);
  }

  #clear() {
    this.#parent.replaceChildren();
    this.#settled = 0;
    this.#live = [];
  }
}

function offset(lines, n_lines) {
  let sum = 0;
  for (let i = 0; i < n_lines; i += 1) sum += lines[i].length + 1;
  return sum;
}

function parse(text) {
  const lines = text.split("\n");
  const blocks = [];
  for (let i = 0; i < lines.length; ) {
    if (isBlank(lines[i])) {
      i += 1;
      continue;
    }
    const block = read(lines, i);
    block.from = i;
    blocks.push(block);
    i = block.to;
  }
  return { blocks, lines };
}

/** Returns the block that begins in line `i`; `to` is the line after it. */
function read(lines, i) {
  const line = lines[i];
  const fence = FENCE.exec(line);
  if (fence) return readFence(lines, i, fence);
  const heading = HEADING.exec(line);
  if (heading) return { kind: "heading", level: heading[1].length, text: withoutHashes(heading[2]), to: i + 1 };
  if (RULE.test(line)) return { kind: "rule", to: i + 1 };
  if (QUOTE.test(line)) return readQuote(lines, i);
  if (ITEM.test(line)) return readList(lines, i);
  return readParagraph(lines, i);
}

function readFence(lines, i, [, marker, info]) {
  let to = i + 1;
  while (to < lines.length && !closes(lines[to], marker)) to += 1;
  const indent = lines[i].length - lines[i].trimStart().length;
  const body = lines.slice(i + 1, to).map((line) => line.slice(Math.min(indent, leading(line))));
  return { kind: "code", language: info.trim().split(/\s/, 1)[0], text: body.join("\n"), to: to + 1 };
}

function closes(line, marker) {
  const text = line.trim();
  return leading(line) < 4 && text.length >= marker.length && text === marker[0].repeat(text.length);
}

function readQuote(lines, i) {
  let to = i;
  while (to < lines.length && QUOTE.test(lines[to])) to += 1;
  return { kind: "quote", text: lines.slice(i, to).map((line) => line.replace(QUOTE, "")).join("\n"), to };
}

function readList(lines, i) {
  const first = ITEM.exec(lines[i]);
  const isOrdered = /\d/.test(first[2]);
  const items = [];
  let item;
  let to = i;
  for (; to < lines.length; to += 1) {
    const line = lines[to];
    const begin = ITEM.exec(line);
    const isInside = item && (leading(line) >= item.indent || isBlank(line));
    if (begin && !isInside) {
      if (/\d/.test(begin[2]) !== isOrdered || RULE.test(line)) break;
      const width = begin[3].trim() === "" && begin[3].length <= 4 ? Math.max(begin[3].length, 1) : 1;
      item = { indent: begin[1].length + begin[2].length + width, lines: [line.slice(begin[0].length)] };
      items.push(item);
    } else if (isInside) {
      item.lines.push(line.slice(Math.min(item.indent, leading(line))));
    } else if (!isBlank(lines[to - 1]) && !interrupts(line)) {
      item.lines.push(line.trimStart());
    } else {
      break;
    }
  }
  while (isBlank(lines[to - 1])) to -= 1;
  const texts = items.map((one) => one.lines.join("\n"));
  return { kind: "list", isOrdered, start: parseInt(first[2], 10), items: texts, to };
}

function readParagraph(lines, i) {
  let to = i + 1;
  while (to < lines.length && !isBlank(lines[to]) && !interrupts(lines[to])) to += 1;
  return { kind: "paragraph", text: lines.slice(i, to).map((line) => line.trim()).join("\n"), to };
}

/** Whether a line begins a block although the one before it is no blank one. */
function interrupts(line) {
  const item = ITEM.exec(line);
  // A sentence may go on with a year and a full stop.
  const isItem = item && item[0].length < line.length && (!/\d/.test(item[2]) || parseInt(item[2], 10) === 1);
  return isItem || FENCE.test(line) || HEADING.test(line) || QUOTE.test(line) || RULE.test(line);
}

const isBlank = (line) => line.trim() === "";
const leading = (line) => line.length - line.trimStart().length;

function withoutHashes(text) {
  const trimmed = text.trim();
  let end = trimmed.length;
  while (trimmed[end - 1] === "#") end -= 1;
  return end === 0 || /\s/.test(trimmed[end - 1]) ? trimmed.slice(0, end).trim() : trimmed;
}

function render(block, depth) {
  switch (block.kind) {
    case "code":
      return renderCode(block);
    case "heading":
      // The page has its own h1 and h2.
      return inline(element(`h${Math.min(block.level + 2, 6)}`), block.text);
    case "rule":
      return element("hr");
    case "quote":
      return renderInside(element("blockquote"), block.text, depth);
    case "list":
      return renderList(block, depth);
    default:
      return inline(element("p"), block.text);
  }
}

function inline(parent, text) {
  appendInline(parent, text);
  return parent;
}

function renderInside(parent, text, depth) {
  if (depth >= MAX_DEPTH) return inline(parent, text);
  const { blocks } = parse(text);
  for (const block of blocks) parent.append(render(block, depth + 1));
  return parent;
}

function renderList({ isOrdered, start, items }, depth) {
  const list = element(isOrdered ? "ol" : "ul", { start: isOrdered && start !== 1 ? start : null });
  for (const text of items) list.append(renderInside(element("li"), text, depth));
  return list;
}

function renderCode({ language, text }) {
  const code = element("code");
  code.textContent = text;
  const head = element("div", { class: "code-head" }, element("span", {}, language || "text"));
  head.append(copyButton("Copy code", () => text));
  return element("div", { class: "code-block" }, head, element("pre", { tabindex: "0" }, code));
}
