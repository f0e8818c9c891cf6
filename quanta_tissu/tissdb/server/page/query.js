// Statements of TissQL: checked while they are written, run, explained.

import { ask, Refusal } from "./api.js";
import { counted, el, field, table } from "./dom.js";
import { failure, split } from "./failure.js";
import { cell } from "./json.js";

const PAUSE = 400; // milliseconds without a key before a statement is checked
const ROWS = 500; // shown at once

/** The view of a database's statements; `changed` is called when one has written. */
export function queryView(database, stats, changed) {
  const kept = { statement: first(stats), parameters: "", ...remembered(database) };
  const statement = el("textarea", {
    id: "statement",
    rows: 6,
    spellcheck: "false",
    autocapitalize: "off",
    autocomplete: "off",
    "aria-describedby": "check",
  });
  statement.value = kept.statement;
  const behind = el("pre.behind", { "aria-hidden": "true" });
  const parameters = el("textarea", { id: "parameters", rows: 2, spellcheck: "false", placeholder: '[3, "ada"] or {"name": "ada"}' });
  parameters.value = kept.parameters;
  const check = el("div.check", { id: "check", role: "status" });
  const result = el("section.result", { "aria-label": "Result" });
  const run = el("button.main", { type: "submit" }, "Run");
  const explain = el("button", { type: "button", on: { click: () => send(true) } }, "Explain");

  let timer = 0;
  let asked = new AbortController();

  function mark(place = null) {
    const text = `${statement.value}\n `; // a last line of nothing has a height, too
    const [before, wrong, after] = place ? split(text, place.start, place.end) : [text, "", ""];
    behind.replaceChildren(before, ...(place ? [el("mark", {}, wrong)] : []), after);
    behind.scrollTop = statement.scrollTop;
    statement.setAttribute("aria-invalid", place !== null);
  }

  function body() {
    const given = parameters.value.trim() || "[]";
    try {
      const value = JSON.parse(given);
      if (value === null || typeof value !== "object") throw new SyntaxError("neither a list nor an object");
    } catch (error) {
      throw new Refusal(0, { message: `the parameters are no JSON: ${error.message}`, hint: '[1, "a"] for each ?, {"name": 1} for :name' });
    }
    // As text, so that long integers arrive as they were written.
    return `{"statement": ${JSON.stringify(statement.value)}, "parameters": ${given}}`;
  }

  async function checkNow() {
    asked.abort();
    asked = new AbortController();
    mark();
    if (!statement.value.trim()) return check.replaceChildren();
    try {
      const { writes } = await ask([database, "_explain"], { method: "POST", body: body(), signal: asked.signal });
      check.replaceChildren(writes ? el("p.note", {}, "This statement writes.") : "");
    } catch (error) {
      if (error.name === "AbortError" || error.status >= 401 && error.status !== 422) return;
      mark(error.place);
      const box = failure(error, statement.value);
      box.removeAttribute("role"); // the status around it is read out, and does not interrupt
      check.replaceChildren(box);
    }
  }

  function edited() {
    remember(database, statement.value, parameters.value);
    mark();
    clearTimeout(timer);
    timer = setTimeout(checkNow, PAUSE);
  }

  async function send(explained) {
    if (run.disabled) return; // one of keys does not wait for the buttons
    clearTimeout(timer);
    asked.abort();
    mark();
    check.replaceChildren();
    if (!statement.value.trim()) return statement.focus();
    run.disabled = explain.disabled = true;
    result.replaceChildren(el("p.quiet", { role: "status" }, "Running …"));
    const began = performance.now();
    try {
      const path = [database, explained ? "_explain" : "_query"];
      const said = await ask(path, { method: "POST", body: body() });
      const time = `${(performance.now() - began).toLocaleString("en", { maximumFractionDigits: 0 })} ms`;
      if (explained) result.replaceChildren(...plan(said, time));
      else result.replaceChildren(...found(said, time));
      if (said.changed !== undefined) changed();
    } catch (error) {
      mark(error.place);
      result.replaceChildren(failure(error, statement.value));
      if (error.place) {
        const [before, wrong] = split(statement.value, error.place.start, error.place.end);
        statement.focus();
        statement.setSelectionRange(before.length, before.length + wrong.length);
      }
    } finally {
      run.disabled = explain.disabled = false;
    }
  }

  function keys(event) {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      send(event.shiftKey);
    }
  }

  statement.addEventListener("input", edited);
  parameters.addEventListener("input", edited);
  statement.addEventListener("scroll", () => (behind.scrollTop = statement.scrollTop));
  mark();
  return el(
    "div",
    {},
    el("h1", {}, "Query"),
    el(
      "form",
      { on: { submit: (event) => (event.preventDefault(), send(false)), keydown: keys } },
      el("div.field", {}, el("label", { for: "statement" }, "Statement of TissQL"), el("div.editor", {}, behind, statement)),
      check,
      el("details", { open: kept.parameters !== "" }, el("summary", {}, "Parameters"), field("A list for each ?, an object for :names, as JSON", parameters)),
      el("p.buttons", {}, run, explain, el("span.quiet.keys", {}, el("kbd", {}, "Ctrl"), "+", el("kbd", {}, "Enter"), " runs, with ", el("kbd", {}, "Shift"), " explains")),
    ),
    result,
  );
}

function found({ columns, rows, changed }, time) {
  if (changed !== undefined) return [el("p.done", { role: "status" }, `${counted(changed, "document")} written in ${time}`)];
  const head = el("p.quiet", { role: "status" }, `${counted(rows.length, "row")} in ${time}`);
  if (!rows.length) return [head];
  const made = (row) => el("tr", {}, row.map(cell));
  const box = table("Rows", columns, rows.slice(0, ROWS).map(made));
  const body = box.querySelector("tbody");
  let shown = 0;
  const more = el("button", { type: "button", on: { click: show } });
  function show() {
    if (shown) body.append(...rows.slice(shown, shown + ROWS).map(made));
    shown = Math.min(shown + ROWS, rows.length);
    more.textContent = `Show more (${counted(rows.length - shown, "row")} left)`;
    more.hidden = shown === rows.length;
  }
  show();
  return [head, box, more];
}

function plan({ plan: lines, writes }, time) {
  const what = writes ? "This statement writes. " : "";
  if (!lines.length) return [el("p.quiet", { role: "status" }, `${what}It looks for nothing.`)];
  return [
    el("p.quiet", { role: "status" }, `${what}How the documents are found (${time})`),
    el("pre.plan", {}, lines.join("\n")),
  ];
}

function first(stats) {
  const [name] = Object.keys(stats.collections);
  return name ? `SELECT *\nFROM ${name}\nLIMIT 20` : "INSERT INTO notes (title, stars)\nVALUES ('A first note', 3)";
}

function remembered(database) {
  try {
    return JSON.parse(sessionStorage.getItem(`tissdb query ${database}`)) ?? {};
  } catch {
    return {};
  }
}

function remember(database, statement, parameters) {
  sessionStorage.setItem(`tissdb query ${database}`, JSON.stringify({ statement, parameters }));
}
