// JSON as it is: JavaScript's numbers would round 64-bit integers and forget that 1.0 is no integer.

import { el } from "./dom.js";

/** A number whose text JavaScript's own numbers would change. */
export class Exact {
  constructor(text) {
    this.text = text;
  }
}

const TOKEN = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;
// No server can know it, so that no text of a document is taken for a number.
const MARK = `exact ${crypto.getRandomValues(new Uint32Array(4)).join("-")} `;

/** Read JSON; numbers that would change are `Exact`. */
export function parse(text) {
  const marked = text.replace(TOKEN, (token) =>
    token[0] === '"' || String(Number(token)) === token ? token : `"${MARK}${token}"`,
  );
  return JSON.parse(marked, (key, value) =>
    typeof value === "string" && value.startsWith(MARK) ? new Exact(value.slice(MARK.length)) : value,
  );
}

/** A value on one line, cut to a length. */
export function short(value, length = 160) {
  const text = compact(value, length + 1);
  return text.length > length ? `${text.slice(0, length)}…` : text;
}

function compact(value, room) {
  if (value instanceof Exact) return value.text;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  const isList = Array.isArray(value);
  let text = isList ? "[" : "{";
  for (const [key, item] of Object.entries(value)) {
    if (text.length > room) break; // nobody will see the rest
    if (text.length > 1) text += ", ";
    text += (isList ? "" : `${JSON.stringify(key)}: `) + compact(item, room - text.length);
  }
  return text + (isList ? "]" : "}");
}

/** A value on indented lines, coloured by kind. */
export function pretty(value) {
  const box = el("code");
  write(box, value, "\n");
  return el("pre.json", { tabindex: 0, "aria-label": "Document as JSON" }, box);
}

function write(box, value, line) {
  if (value instanceof Exact) box.append(el("span.number", {}, value.text));
  else if (value === null || typeof value !== "object") {
    const kind = typeof value === "string" || typeof value === "number" ? typeof value : "constant";
    box.append(el(`span.${kind}`, {}, JSON.stringify(value)));
  } else {
    const isList = Array.isArray(value);
    const items = Object.entries(value);
    if (!items.length) return box.append(isList ? "[]" : "{}");
    // Vectors and other lists of short things stay on one line.
    const flat = isList && value.every((item) => typeof item === "number" || item instanceof Exact);
    const inner = flat ? " " : `${line}  `;
    box.append(isList ? "[" : "{");
    items.forEach(([key, item], place) => {
      box.append(place ? "," : "", flat && !place ? "" : inner);
      if (!isList) box.append(el("span.key", {}, JSON.stringify(key)), ": ");
      write(box, item, inner);
    });
    box.append(flat ? "" : line, isList ? "]" : "}");
  }
}

/** A value in a cell of a table: text without its quotes, the rest as JSON. */
export function cell(value) {
  if (value === undefined || value === null) return el("td.null", {}, "null");
  if (typeof value === "number" || value instanceof Exact) return el("td.figure", {}, compact(value, 0));
  if (typeof value === "string") return el("td", {}, value.length > 300 ? `${value.slice(0, 300)}…` : value);
  const tags = typeof value === "object" && !Array.isArray(value) ? Object.entries(value) : [];
  if (tags.length === 1 && /^\$(date|time|datetime)$/.test(tags[0][0])) return el("td", {}, tags[0][1]);
  return el("td.code", {}, short(value, 300));
}

/** A value as indented text, to copy. */
export function text(value) {
  return pretty(value).textContent;
}
