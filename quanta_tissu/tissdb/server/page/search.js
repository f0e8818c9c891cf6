// Search by words, by nearness, or by both; each hit says why it was found.

import { post } from "./api.js";
import { addressOf } from "./documents.js";
import { counted, el, field } from "./dom.js";
import { failure, split } from "./failure.js";
import { short } from "./json.js";

const WAYS = { words: "Words", near: "Nearness", both: "Both" };

/** The view that searches a collection. */
export function searchView(database, collection, described, encoder) {
  const of = (kind) => Object.entries(described.indexes).filter(([, index]) => index.kind === kind).map(([name]) => name);
  const texts = of("text");
  const vectors = of("vector");
  if (!texts.length && !vectors.length) return withoutIndex(database, collection);
  const why = {
    words: texts.length ? null : "it has no index of words",
    near: !vectors.length ? "it has no index of vectors" : encoder ? null : "this server has no encoder of texts (tissu db serve --embedder)",
  };
  why.both = why.words ?? why.near;
  const possible = Object.keys(WAYS).filter((way) => !why[way]);
  const start = possible.includes("both") ? "both" : possible[0];

  const text = el("input", { type: "search", id: "text", required: true, autocomplete: "off", placeholder: 'words, "phrases", beginnings*, +required, -excluded' });
  const where = el("input", { type: "text", spellcheck: "false", autocomplete: "off", placeholder: "stars > 3 AND lang = 'en'" });
  const k = el("input", { type: "number", min: 1, max: 1000, value: 10, required: true });
  const all = el("input", { type: "checkbox" });
  const textIndex = chosen("Index of words", texts);
  const vectorIndex = chosen("Index of vectors", vectors);
  const result = el("section.result", { "aria-label": "Hits" });
  const ways = Object.entries(WAYS).map(([way, name]) =>
    el("label", { title: why[way] ? `Not here: ${why[way]}` : null }, el("input", { type: "radio", name: "way", value: way, checked: way === start, disabled: Boolean(why[way]) }), name),
  );
  const button = el("button.main", { type: "submit" }, "Search");

  async function search(event) {
    event.preventDefault();
    const way = new FormData(event.currentTarget).get("way");
    const body = { k: Number(k.value), need: all.checked ? "all" : "any" };
    if (way !== "near") Object.assign(body, { text: text.value, text_index: textIndex.value() });
    if (way !== "words") Object.assign(body, { near: text.value, vector_index: vectorIndex.value() });
    if (where.value.trim()) body.where = where.value;
    button.disabled = true;
    const began = performance.now();
    try {
      const { hits } = await post([database, collection, "_search"], body);
      const time = Math.round(performance.now() - began);
      result.replaceChildren(
        el("p.quiet", { role: "status" }, hits.length ? `${counted(hits.length, "hit")} in ${time} ms` : "Nothing was found."),
        el("ol.hits", {}, hits.map((hit) => shown(hit, database, collection))),
      );
    } catch (error) {
      result.replaceChildren(failure(error, where.value));
    } finally {
      button.disabled = false;
    }
  }

  return el(
    "div",
    {},
    el(
      "form",
      { on: { submit: search, keydown: runKey } },
      el("div.bar.search", {}, field("Search for", text), button),
      possible.length
        ? el("fieldset.ways", {}, el("legend", {}, "By"), ways)
        : el("p.note", {}, `This collection cannot be searched here: ${why.near}.`),
      el(
        "details",
        {},
        el("summary", {}, "More"),
        el("div.grid", {}, field("Only where (TissQL)", where), field("Hits", k), textIndex.field, vectorIndex.field, el("label.check-box", {}, all, "All words must occur")),
      ),
      Object.values(why).some(Boolean) && possible.length ? el("p.quiet", {}, Object.keys(WAYS).filter((way) => why[way]).slice(0, 1).map((way) => `${WAYS[way]}: ${why[way]}.`)) : null,
    ),
    result,
  );
}

function runKey(event) {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) event.currentTarget.requestSubmit();
}

/** A choice among indexes, where there is one. */
function chosen(label, names) {
  if (names.length < 2) return { field: null, value: () => names[0] ?? null };
  const select = el("select", {}, names.map((name) => el("option", {}, name)));
  return { field: field(label, select), value: () => select.value };
}

function shown({ score, why, snippet, document }, database, collection) {
  const { _id, _rev, _created, _updated, _expires, ...fields } = document;
  return el(
    "li",
    {},
    el("div.hit-head", {}, el("a", { href: addressOf(database, collection, _id) }, _id), el("span.score", { title: "Comparable within this search only" }, String(score.text ?? Number(score.toPrecision(4))))),
    snippet ? el("p.snippet", {}, marked(snippet), el("span.quiet", {}, ` ${snippet.field}`)) : null,
    snippet ? null : el("p.preview", {}, short(fields, 220)),
    el("p.why", {}, why.split("; ").map((one) => el("span", {}, one))),
  );
}

function marked({ text, spans }) {
  const parts = [];
  let rest = text;
  let at = 0;
  for (const [start, end] of spans) {
    const [before, word, after] = split(rest, start - at, end - at);
    parts.push(before, el("mark", {}, word));
    [rest, at] = [after, end];
  }
  return [...parts, rest];
}

function withoutIndex(database, collection) {
  const example = `tissu db index ${database}.db ${collection} words --kind text --field title`;
  return el("div.empty", {}, el("p", {}, "A search needs an index of words or of vectors, and this collection has none."), el("p", {}, "One of words is made by"), el("pre", {}, example));
}
