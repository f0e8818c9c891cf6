// What has gone wrong, shown: what, where in the statement, and what to do about it.

import { el } from "./dom.js";

/**
 * A box with an error.
 * @param {Error} error
 * @param {string|null} statement in which its place is
 */
export function failure(error, statement = null) {
  const [what] = error.message.split("\n  "); // what follows is the place, which is shown below
  const parts = [el("p.what", {}, what)];
  if (error.place && statement !== null) parts.push(shown(error.place, statement));
  if (error.hint) parts.push(el("p.hint", {}, error.hint));
  if (error.path) parts.push(el("p.quiet", {}, "At ", el("code", {}, error.path)));
  if (error.request && error.status >= 500) parts.push(el("p.quiet", {}, `Request ${error.request}`));
  return el("div.failure", { role: "alert" }, parts);
}

function shown({ line, column, start, end }, statement) {
  const before = split(statement, start, end)[0].split("\n").at(-1);
  const [, wrong, after] = split(statement, start, end);
  const rest = (wrong + after).split("\n")[0];
  const marked = rest.slice(0, wrong.length) || " ";
  return el(
    "pre.place",
    {},
    el("span.quiet", {}, `line ${line}, column ${column}\n`),
    before.slice(-60),
    el("mark", {}, marked),
    rest.slice(wrong.length, wrong.length + 60),
  );
}

/** A text before, at and after a place; the server counts code points, JavaScript does not. */
export function split(text, start, end) {
  const points = Array.from(text);
  const parts = [points.slice(0, start), points.slice(start, end), points.slice(end)];
  return parts.map((part) => part.join(""));
}
