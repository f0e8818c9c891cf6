// The frame of the page: who one is, which database, which view. Addresses are #/DATABASE/COLLECTION/VIEW.

import { ask, token } from "./api.js";
import { documentsView } from "./documents.js";
import { el, field } from "./dom.js";
import { failure } from "./failure.js";
import { queryView } from "./query.js";
import { searchView } from "./search.js";
import { overview, structureView } from "./structure.js";

const main = document.getElementById("main");
const nav = document.getElementById("collections");
const choice = document.getElementById("database-choice");
const select = document.getElementById("database");
const who = document.getElementById("who");
const signOut = document.getElementById("sign-out");

const VIEWS = { "": "Documents", _search: "Search", _schema: "Indexes and schema" };

let server = null; // databases, encoder: what a client knows once it is known itself
let turn = 0; // views that come late are not shown any more

/** Learn who one is; without a token that is known, ask for one. */
async function enter() {
  try {
    const client = await ask(["_token"]);
    server = await ask(["_databases"]);
    who.textContent = token.get() ? client.name : "";
    signOut.hidden = !token.get();
    select.replaceChildren(...server.databases.map((name) => el("option", { value: name }, name)));
    choice.hidden = server.databases.length === 0;
    await route();
  } catch (error) {
    if (error.status === 401) return signIn(token.get() ? error : null);
    main.replaceChildren(failure(error), el("p", {}, el("button", { type: "button", on: { click: enter } }, "Try again")));
  }
}

function signIn(error = null) {
  turn += 1;
  server = null;
  token.forget();
  nav.hidden = choice.hidden = signOut.hidden = true;
  who.textContent = "";
  const input = el("input", { type: "password", id: "token", required: true, autocomplete: "off", spellcheck: "false" });
  const submit = (event) => {
    event.preventDefault();
    token.set(input.value.trim());
    enter();
  };
  if (error) error.hint = "tissu db token list shows who has one";
  main.replaceChildren(
    el(
      "form.sign-in",
      { on: { submit } },
      el("h1", {}, "Sign in"),
      el("p.quiet", {}, "The token stays in this tab and is forgotten when it is closed."),
      field("Token", input),
      el("button.main", { type: "submit" }, "Sign in"),
      error ? failure(error) : null,
    ),
  );
  document.title = "Sign in · TissDB";
  input.focus();
}

function parts() {
  try {
    return location.hash.split("/").slice(1).map(decodeURIComponent);
  } catch {
    return [];
  }
}

/** Show what the address says. */
async function route() {
  if (server === null) return;
  const mine = ++turn;
  const [named = "", collection = "", view = "", id] = parts();
  if (!named && server.databases.length) return location.replace(`#/${encodeURIComponent(server.databases[0])}`);
  if (!named) return main.replaceChildren(el("div.empty", {}, el("p", {}, "There is no database here that you may read."), el("pre", {}, "tissu db create notes.db")));
  select.value = named;
  main.setAttribute("aria-busy", "true");
  try {
    const stats = await ask([named]);
    const shown = await viewOf(named, collection, view, id, stats);
    if (mine !== turn) return;
    frame(named, collection, stats);
    main.replaceChildren(shown);
    document.title = [id, collection.replace(/^_query$/, "Query"), named, "TissDB"].filter(Boolean).join(" · ");
  } catch (error) {
    if (mine !== turn) return;
    if (error.status === 401) return signIn(error);
    main.replaceChildren(failure(error));
  } finally {
    if (mine === turn) main.removeAttribute("aria-busy");
  }
}

async function viewOf(database, collection, view, id, stats) {
  if (!collection) return overview(database, stats);
  if (collection === "_query") return queryView(database, stats, () => refresh(database));
  const described = await ask([database, collection]);
  const content =
    view === "_search"
      ? searchView(database, collection, described, server.encoder)
      : view === "_schema"
        ? structureView(described)
        : await documentsView(database, collection, described, view === "documents" ? id : null);
  const tabs = Object.entries(VIEWS).map(([path, name]) => {
    const address = [database, collection, ...(path ? [path] : [])].map(encodeURIComponent).join("/");
    return el("a", { href: `#/${address}`, "aria-current": (view === "documents" ? "" : view) === path ? "page" : false }, name);
  });
  return el("div", {}, el("h1", {}, collection), el("nav.tabs", { "aria-label": "Views of the collection" }, tabs), content);
}

/** The list of collections beside the view. */
function frame(database, current, stats) {
  const entry = (path, name, count = null) =>
    el(
      "li",
      {},
      el(
        "a",
        { href: `#/${[database, path].filter(Boolean).map(encodeURIComponent).join("/")}`, "aria-current": path === current ? "page" : false },
        el("span.name", {}, name),
        count === null ? null : el("span.count", {}, count.toLocaleString("en")),
      ),
    );
  const names = Object.entries(stats.collections).map(([name, { documents }]) => entry(name, name, documents));
  nav.replaceChildren(el("ul", {}, entry("", "Overview"), entry("_query", "Query")), el("h2", {}, "Collections"), el("ul", {}, names.length ? names : el("li.quiet", {}, "none yet")));
  nav.hidden = false;
  nav.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
}

/** After a statement has written: other collections, other counts. */
async function refresh(database) {
  const stats = await ask([database]);
  const [named, current = ""] = parts();
  if (named === database) frame(database, current, stats);
}

select.addEventListener("change", () => (location.hash = `#/${encodeURIComponent(select.value)}`));
signOut.addEventListener("click", () => signIn());
addEventListener("hashchange", route);
enter();
