// What a collection is: its indexes, its schema, how long documents live. And what a database holds.

import { bytes, counted, el, table } from "./dom.js";
import { pretty } from "./json.js";

/** The view of a collection's indexes and schema. */
export function structureView(described) {
  const indexes = Object.entries(described.indexes).map(([name, { kind, fields, ...options }]) => {
    const more = Object.entries(options).map(([option, value]) => `${option} ${value?.text ?? (Array.isArray(value) ? value.map((one) => one.text ?? one).join(", ") : value)}`);
    return el("tr", {}, el("td", {}, name), el("td", {}, kind), el("td", {}, fields.join(", ") || "–"), el("td", {}, more.join(" · ") || "–"));
  });
  return el(
    "div",
    {},
    el("h2", {}, "Indexes"),
    indexes.length ? table("Indexes", ["Name", "Kind", "Fields", "Options"], indexes) : el("p.quiet", {}, "None."),
    el("h2", {}, "Time to live"),
    el("p", {}, described.ttl === null ? "Documents live until they are deleted, unless they say otherwise." : `${described.ttl.text ?? described.ttl} seconds, unless a document says otherwise.`),
    el("h2", {}, "Schema"),
    described.schema === null ? el("p.quiet", {}, "None: documents may have any fields.") : pretty(described.schema),
  );
}

/** The view of a database. */
export function overview(database, stats) {
  const names = Object.keys(stats.collections);
  const total = names.reduce((sum, name) => sum + stats.collections[name].documents, 0);
  const facts = [
    ["Documents", total.toLocaleString("en")],
    ["Collections", names.length.toLocaleString("en")],
    ["On disk", bytes(stats.bytes)],
    ["Entries of the log", stats.log.entries.toLocaleString("en")],
  ];
  const rows = names.map((name) => {
    const { documents, indexes } = stats.collections[name];
    const kinds = Object.entries(indexes).map(([index, kind]) => `${index} (${kind})`);
    const link = el("a", { href: `#/${encodeURIComponent(database)}/${encodeURIComponent(name)}` }, name);
    return el("tr", {}, el("td.id", {}, link), el("td.figure", {}, documents.toLocaleString("en")), el("td", {}, kinds.join(", ") || "–"));
  });
  return el(
    "div",
    {},
    el("h1", {}, database),
    el("dl.facts.large", {}, facts.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value)))),
    names.length
      ? table("Collections", ["Collection", "Documents", "Indexes"], rows)
      : el(
          "div.empty",
          {},
          el("p", {}, "This database is empty. A collection is made by the first document in it:"),
          el("pre", {}, "INSERT INTO notes (title, stars) VALUES ('A first note', 3)"),
          el("p", {}, el("a.button", { href: `#/${encodeURIComponent(database)}/_query` }, "Write one")),
        ),
    names.length ? el("p.quiet", {}, `Head of the log: `, el("code", {}, stats.log.head.slice(0, 16)), ` after ${counted(stats.log.entries, "entry", "entries")}`) : null,
  );
}
