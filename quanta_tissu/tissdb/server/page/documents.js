// The documents of a collection, a page at a time, and each of them as a whole.

import { ask } from "./api.js";
import { counted, el, moment, table } from "./dom.js";
import { failure } from "./failure.js";
import { pretty, short, text } from "./json.js";

const PAGE = 50;
const OWN = ["_id", "_rev", "_created", "_updated", "_expires"];

// Where one is in a collection: where each page up to this one starts. It is still there when one comes back from a
// document. It is never changed but replaced, so that whoever has asked for a page can tell that another is wanted now.
let place = null;

/** The address of a document on this page. */
export function addressOf(database, collection, id) {
  return `#/${[database, collection, "documents", id].map(encodeURIComponent).join("/")}`;
}

/** The view of a collection's documents, with one of them open if it is named. */
export async function documentsView(database, collection, described, id = null) {
  const here = `${database}/${collection}`;
  if (place?.here !== here) place = { here, starts: [0], newest: false };
  const list = el("section.list", { "aria-label": "Documents" });
  const pane = el("section.pane", { "aria-label": "Document" });
  const view = el(`div.split${id === null ? "" : ".open"}`, {}, list, pane);
  await Promise.all([
    show(list, database, collection, described.documents, id),
    id === null ? null : open(pane, database, collection, id),
  ]);
  return view;
}

async function show(list, database, collection, count, current) {
  const { here } = place;
  let asked, answer;
  do {
    asked = place;
    const query = { after: asked.starts.at(-1), limit: PAGE, newest: asked.newest };
    answer = await ask([database, collection, "documents"], { query });
    if (place.here !== here) return; // one has gone to another collection
  } while (asked !== place); // one has turned on meanwhile, here or in the view that this one follows
  const { documents, next } = answer;
  const { starts, newest } = asked;
  const start = (starts.length - 1) * PAGE;
  const turn = (to) => async () => {
    place = { here, newest, ...to() }; // from the page that one sees, however often one clicks
    await show(list, database, collection, count, current);
    list.querySelector("table")?.scrollIntoView({ block: "nearest" });
  };
  const order = el(
    "select",
    { "aria-label": "Order", on: { change: turn(() => ({ starts: [0], newest: order.value === "newest" })) } },
    el("option", { value: "oldest" }, "Oldest first"),
    el("option", { value: "newest", selected: newest }, "Newest first"),
  );
  if (!documents.length && !start) {
    list.replaceChildren(el("p.empty", {}, "There are no documents in this collection."));
    return;
  }
  const rows = documents.map((document) => {
    const link = el("a", { href: addressOf(database, collection, document._id), "aria-current": document._id === current ? "true" : false }, document._id);
    return el(
      "tr",
      {},
      el("td.id", {}, link),
      el("td.preview", {}, short(fieldsOf(document))),
      el("td.figure.wide", {}, String(document._rev.text ?? document._rev)),
      el("td.wide", {}, moment(document._updated.text ?? document._updated)),
    );
  });
  const box = table("Documents", ["Id", "Fields", "Revision", "Changed"], rows);
  box.querySelectorAll("th").forEach((head, at) => at > 1 && head.classList.add("wide"));
  box.classList.add("documents");
  list.replaceChildren(
    el("div.bar", {}, lookUp(database, collection), order),
    box,
    el(
      "p.buttons.pages",
      {},
      el("button", { type: "button", disabled: !start, on: { click: turn(() => ({ starts: starts.slice(0, -1) })) } }, "Previous"),
      el("span", { role: "status" }, `${(start + 1).toLocaleString("en")} to ${(start + documents.length).toLocaleString("en")} of ${counted(Math.max(count, start + documents.length), "document")}`),
      el("button", { type: "button", disabled: next === null, on: { click: turn(() => ({ starts: [...starts, next] })) } }, "Next"),
    ),
  );
}

/** What people have put into it. */
function fieldsOf(document) {
  return Object.fromEntries(Object.entries(document).filter(([name]) => !OWN.includes(name)));
}

function lookUp(database, collection) {
  const id = el("input", { type: "text", placeholder: "Open by id", "aria-label": "Id of a document", autocomplete: "off", spellcheck: "false" });
  const go = (event) => {
    event.preventDefault();
    if (id.value) location.hash = addressOf(database, collection, id.value);
  };
  return el("form.look-up", { on: { submit: go } }, id, el("button", { type: "submit" }, "Open"));
}

async function open(pane, database, collection, id) {
  const back = el("a.back", { href: `#/${[database, collection].map(encodeURIComponent).join("/")}` }, "Close");
  try {
    const document = await ask([database, collection, "documents", id]);
    pane.replaceChildren(el("div.pane-head", {}, el("h2", {}, id), back), times(document), copyButton(document), pretty(fieldsOf(document)));
  } catch (error) {
    pane.replaceChildren(el("div.pane-head", {}, el("h2", {}, id), back), failure(error));
  }
}

function times(document) {
  const facts = [
    ["Revision", String(document._rev.text ?? document._rev)],
    ["Created", moment(document._created)],
    ["Changed", moment(document._updated)],
  ];
  if (document._expires !== undefined) facts.push(["Expires", moment(document._expires)]);
  return el("dl.facts", {}, facts.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
}

function copyButton(document) {
  if (!navigator.clipboard) return null; // browsers have it on secure pages only
  const button = el("button.small", { type: "button" }, "Copy JSON");
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(text(document));
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy JSON"), 1500);
  });
  return button;
}
