"""The page as a browser uses it, and as it is sent."""

from __future__ import annotations

import datetime as dt
import importlib.util
import re
import shutil
import threading
import zlib
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import quanta_tissu.tissdb as tissdb
from quanta_tissu.tissdb.server.app import create_app
from quanta_tissu.tissdb.server.settings import Settings

HOSTILE = '<img src=x onerror="document.title=`broken`">'
LONG = 2**60 + 1
PARTS = Path(tissdb.__file__).parent / "server" / "page"


class Trigrams:
    """Vectors of texts: how often each three letters occur."""

    name = "trigrams"

    def embed(self, texts):
        vectors = np.zeros((len(texts), 256), np.float32)
        for vector, text in zip(vectors, texts, strict=True):
            for at in range(len(text) - 2):
                vector[zlib.crc32(text[at : at + 3].lower().encode()) % 256] += 1
        return vectors


# --- as it is sent


def test_the_page_and_its_parts_are_sent_under_a_strict_policy(client):
    page = client.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    for part in ["/", *re.findall(r'(?:src|href)="(/page/[^"]+)"', page.text)]:
        answer = client.get(part)
        assert answer.status_code == 200
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        tag = {"If-None-Match": answer.headers["etag"]}
        assert client.get(part, headers=tag).status_code == 304


def test_all_that_modules_import_is_there(client):
    for script in PARTS.glob("*.js"):
        for name in re.findall(r'from "\./([^"]+)"', script.read_text(encoding="utf-8")):
            assert client.get(f"/page/{name}").headers["content-type"].startswith("text/javascript")


@pytest.mark.parametrize("name", ["nothing.js", "..%2fapp.py", "__init__.py"])
def test_nothing_else_is_sent(client, name):
    assert client.get(f"/page/{name}").status_code == 404


def test_the_page_is_no_part_of_the_interface_for_programs(client):
    assert not [path for path in client.get("/v1/openapi.json").json()["paths"] if not path.startswith("/v1/")]


def test_documents_are_paged_in_both_directions(client):
    for number in range(5):
        client.put(f"/v1/work/many/documents/{number}", json={})
    seen, after = [], 0
    while after is not None:
        part = client.get("/v1/work/many/documents", params={"limit": 2, "after": after}).json()
        seen.append([document["_id"] for document in part["documents"]])
        after = part["next"]
    assert seen == [["0", "1"], ["2", "3"], ["4"]]
    part = client.get("/v1/work/many/documents", params={"limit": 3, "newest": True}).json()
    assert [document["_id"] for document in part["documents"]] == ["4", "3", "2"]
    rest = client.get("/v1/work/many/documents", params={"newest": True, "after": part["next"]}).json()
    assert [document["_id"] for document in rest["documents"]] == ["1", "0"]
    assert rest["next"] is None
    assert client.get("/v1/work/none/documents").status_code == 404


def test_statements_are_explained_without_being_run(client):
    def explain(statement, parameters=()):
        return client.post("/v1/work/_explain", json={"statement": statement, "parameters": parameters})

    said = explain("SELECT title FROM notes WHERE stars > ?", [1]).json()
    assert said["plan"]
    assert said["writes"] is False
    assert explain("DELETE FROM notes").json()["writes"] is True
    assert explain("EXPLAIN DELETE FROM notes").json()["writes"] is False
    assert explain("INSERT INTO fresh (a) VALUES (1)").json() == {"plan": [], "writes": True}
    assert explain("INSERT INTO fresh (a) VALUES (?)").status_code == 400
    wrong = explain("SELECT 𝛼 FROM nowhere").json()["error"]
    assert (wrong["start"], wrong["end"]) == (14, 21)
    assert client.get("/v1/work/notes").json()["documents"] == 1
    assert client.get("/v1/work/fresh").status_code == 404


def test_searches_near_a_text_need_an_encoder(client):
    refused = client.post("/v1/work/notes/_search", json={"near": "a note"})
    assert refused.status_code == 501
    assert "--embedder" in refused.json()["error"]["hint"]
    assert client.get("/v1/_databases").json()["encoder"] is None


# --- in a browser


@pytest.fixture(scope="module")
def chromium(unavailable):
    """Chromium, driven from here; its tests skip with the reason where it is absent, and fail in CI."""
    if importlib.util.find_spec("playwright") is None:
        unavailable("Playwright is not installed (pip install playwright; it needs no download of its own)")
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        unavailable("there is no Chromium (apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found)
        yield browser
        browser.close()


@contextmanager
def running(folder, encoder=None, **settings):
    """A server on a port of this machine; its address."""
    import uvicorn

    app = create_app(str(folder), Settings(**settings), encoder=encoder)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        thread.join(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A server with an empty database and one with a thousand notes."""
    folder, encoder = tmp_path_factory.mktemp("databases"), Trigrams()
    tissdb.open(folder / "empty.db").close()
    with tissdb.open(folder / "work.db") as db:
        notes = db["notes"]
        notes.create_index("words", kind="text", fields=["title", "body"])
        notes.create_index("near", kind="vector", dimension=256)
        texts = [f"Note {number} of the quick brown fox" for number in range(1000)]
        vectors = encoder.embed(texts)
        notes.insert_many(
            {"_id": f"note-{number:04}", "title": text, "stars": number % 5, "_vectors": {"near": vector}}
            for number, (text, vector) in enumerate(zip(texts, vectors, strict=True))
        )
        odd = {
            "long": LONG,
            "one": 1.0,
            HOSTILE: HOSTILE,
            "day": dt.date(2026, 1, 2),
            "title": f"𝛼 zebra {HOSTILE}",
        }
        db["odd"].create_index("words", kind="text", fields="title")
        db["odd"].insert(odd, id=f"a/b {HOSTILE}?#")
        db.create_collection("people", schema={"required": ["mail"]}, ttl=60)
        db["people"].create_index("mail", kind="unique")
    with running(folder, encoder) as place:
        yield place


@pytest.fixture
def page(chromium, address):
    """A tab of a fresh browser; that its scripts fail, or load something from elsewhere, fails the test."""
    context = chromium.new_context(base_url=address, viewport={"width": 1280, "height": 800})
    tab, wrong = context.new_page(), []
    tab.set_default_timeout(60_000)  # two cores may be busy with other tests
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.on("console", lambda said: wrong.append(said.text) if "Content Security" in said.text else None)
    tab.on("request", lambda asked: None if asked.url.startswith("http://127.0.0.1:") else wrong.append(asked.url))
    yield tab
    title = tab.title()
    context.close()
    assert not wrong
    assert title != "broken"


def go(page, place: str) -> None:
    page.goto(f"/#/{place}")
    page.locator("main:not([aria-busy]) h1").first.wait_for()


browser_test = pytest.mark.browser


@browser_test
def test_a_database_shows_its_collections(page):
    go(page, "work")
    assert page.locator("#collections a").all_inner_texts()[2:] == ["notes\n1,000", "odd\n1", "people\n0"]
    page.get_by_role("link", name="people").first.click()
    page.get_by_text("There are no documents").wait_for()
    page.go_back()
    page.get_by_role("heading", name="work").wait_for()
    page.get_by_label("Database").select_option("empty")
    page.get_by_text("This database is empty").wait_for()


@browser_test
def test_a_thousand_documents_are_turned_page_by_page(page):
    go(page, "work/notes")
    ids = page.locator(".documents td.id")
    assert ids.count() == 50
    page.get_by_text("1 to 50 of 1,000 documents").wait_for()
    assert page.get_by_role("button", name="Previous").is_disabled()
    page.get_by_role("button", name="Next").click()
    page.get_by_text("51 to 100 of 1,000 documents").wait_for()
    assert ids.first.inner_text() == "note-0050"
    page.locator(".documents tr").nth(3).click()
    page.get_by_role("heading", name="note-0052").wait_for()
    page.get_by_role("link", name="Close").click()
    page.get_by_text("51 to 100 of 1,000 documents").wait_for()  # where one was
    page.get_by_role("button", name="Previous").click()
    page.get_by_text("1 to 50 of").wait_for()
    page.get_by_label("Order").select_option("Newest first")
    page.get_by_text("note-0999").wait_for()


@browser_test
def test_a_page_that_was_turned_while_another_view_loads_stays_turned(page):
    go(page, "work/notes")
    page.get_by_role("button", name="Next").click()
    page.get_by_text("51 to 100 of").wait_for()
    held = []
    page.route("**/v1/work/notes/documents?after=*", lambda asked: held.append(asked), times=1)
    page.evaluate("location.hash = '#/work/notes/documents/note-0052'")
    while not held:  # the view of the document asks for the page that it is on
        page.wait_for_timeout(10)
    page.get_by_role("button", name="Previous").click()
    page.get_by_text("1 to 50 of 1,000").wait_for()
    held[0].continue_()
    page.get_by_role("heading", name="note-0052").wait_for()
    assert page.locator(".pages span").inner_text() == "1 to 50 of 1,000 documents"
    assert page.locator(".documents td.id").first.inner_text() == "note-0000"


@browser_test
def test_two_quick_clicks_turn_one_page(page):
    go(page, "work/notes")
    page.evaluate("for (let i = 0; i < 2; i++) document.querySelector('.pages button:last-child').click()")
    page.get_by_text("51 to 100 of").wait_for()
    page.get_by_role("button", name="Next").click()
    page.get_by_text("101 to 150 of").wait_for()
    assert page.locator(".documents td.id").first.inner_text() == "note-0100"


@browser_test
def test_a_document_is_shown_as_it_is(page):
    go(page, "work/odd")
    page.locator(".documents td.id a").click()
    shown = page.get_by_label("Document as JSON")
    shown.wait_for()
    text = shown.inner_text()
    assert f'"long": {LONG}' in text  # no float of JavaScript's
    assert '"one": 1.0' in text
    assert "onerror" in text
    assert page.locator("img:not([alt=''])").count() == 0  # it is text
    assert page.locator(".facts dt").all_inner_texts() == ["Revision", "Created", "Changed"]
    assert page.title().startswith(f"a/b {HOSTILE}?#")
    page.reload()
    shown.wait_for()


@browser_test
def test_a_document_is_opened_by_its_id(page):
    go(page, "work/notes")
    page.get_by_label("Id of a document").fill("note-0777")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="note-0777").wait_for()
    page.get_by_label("Id of a document").fill("nobody")
    page.get_by_role("button", name="Open").click()
    page.get_by_text("there is no document 'nobody'").wait_for()


@browser_test
def test_ctrl_enter_runs_a_statement(page):
    go(page, "work/_query")
    page.get_by_label("Statement of TissQL").fill("SELECT _id, stars FROM notes WHERE stars > ? LIMIT 3")
    page.get_by_text("Parameters", exact=True).click()
    page.get_by_label("A list for each").fill("[3]")
    page.keyboard.press("Control+Enter")
    page.get_by_text("3 rows in").wait_for()
    assert page.locator("th").all_inner_texts() == ["_id", "stars"]
    assert page.locator("tbody tr").first.locator("td").all_inner_texts() == ["note-0004", "4"]
    page.get_by_role("button", name="Explain").click()
    page.locator(".plan").wait_for()
    page.reload()
    assert page.get_by_label("Statement of TissQL").input_value().startswith("SELECT _id")


@browser_test
def test_a_statement_that_runs_is_not_run_again(page):
    held = []
    page.route("**/v1/work/_query", lambda asked: held.append(asked))
    go(page, "work/_query")
    page.get_by_label("Statement of TissQL").fill("SELECT _id FROM notes LIMIT 3")
    page.keyboard.press("Control+Enter")
    page.keyboard.press("Control+Enter")
    page.get_by_text("Running").wait_for()
    while not held:
        page.wait_for_timeout(10)
    held[0].continue_()
    page.get_by_text("3 rows in").wait_for()
    assert len(held) == 1


@browser_test
def test_long_results_are_shown_in_parts(page):
    go(page, "work/_query")
    page.get_by_label("Statement of TissQL").fill("SELECT n.title FROM notes n")
    page.keyboard.press("Control+Enter")
    page.get_by_text("1,000 rows in").wait_for()
    assert page.locator("tbody tr").count() == 500
    page.get_by_role("button", name="Show more (500 rows left)").click()
    assert page.locator("tbody tr").count() == 1000
    assert page.get_by_role("button", name="Show more").count() == 0


@browser_test
def test_what_is_wrong_is_shown_while_one_writes_and_at_its_place(page):
    go(page, "work/_query")
    statement = page.get_by_label("Statement of TissQL")
    statement.press_sequentially(" ")
    statement.fill("SELECT '𝛼', title\nFROM nots")
    page.get_by_text("there is no collection 'nots'").wait_for()
    assert page.get_by_text("line 2, column 6").is_visible()
    assert page.locator(".behind mark").inner_text() == "nots"
    assert statement.get_attribute("aria-invalid") == "true"
    page.keyboard.press("Control+Enter")
    page.locator(".result .failure").wait_for()
    selected = "(field) => field.value.slice(field.selectionStart, field.selectionEnd)"
    assert statement.evaluate(selected) == "nots"
    statement.fill("SELECT title FROM notes")
    page.locator(".check .failure").wait_for(state="detached")
    assert statement.get_attribute("aria-invalid") == "false"
    page.get_by_text("Parameters", exact=True).click()
    page.get_by_label("A list for each").fill("[1")
    page.get_by_text("the parameters are no JSON").wait_for()


@browser_test
def test_a_statement_that_writes_is_announced_and_counted(page):
    go(page, "empty/_query")
    statement = page.get_by_label("Statement of TissQL")
    assert statement.input_value().startswith("INSERT INTO notes")
    statement.fill("INSERT INTO fresh (n) VALUES (:n)")
    page.get_by_text("Parameters", exact=True).click()
    page.get_by_label("A list for each").fill(f'{{"n": {LONG}}}')
    page.get_by_text("This statement writes.").wait_for()
    page.keyboard.press("Control+Enter")
    page.get_by_text("1 document written").wait_for()
    page.locator("#collections").get_by_text("fresh").wait_for()
    statement.fill("SELECT n FROM fresh")
    page.get_by_label("A list for each").fill("")
    page.get_by_role("button", name="Run").click()
    page.get_by_role("cell", name=str(LONG)).wait_for()
    statement.fill("DELETE FROM fresh")
    page.get_by_role("button", name="Run").click()
    page.get_by_text("1 document written").wait_for()


@browser_test
@pytest.mark.parametrize(("way", "why"), [("Words", "words:"), ("Nearness", "nearness:"), ("Both", "nearness:")])
def test_searches_say_why_they_found_each_hit(page, way, why):
    go(page, "work/notes/_search")
    page.get_by_label(way, exact=True).check()
    page.get_by_label("Search for").fill("note 77")
    page.keyboard.press("Enter")
    page.get_by_text("10 hits in").wait_for()
    hit = page.locator(".hits li").first
    assert why in hit.locator(".why").inner_text()
    assert "77" in hit.inner_text()
    hit.get_by_role("link").click()
    page.get_by_label("Document as JSON").wait_for()


@browser_test
def test_snippets_mark_the_words_and_conditions_narrow(page):
    go(page, "work/odd/_search")
    assert page.get_by_label("Nearness", exact=True).is_disabled()
    page.get_by_label("Search for").fill("zebra")
    page.keyboard.press("Enter")
    assert page.locator(".hits mark").first.inner_text() == "zebra"
    page.get_by_text("More").click()
    page.get_by_label("Only where").fill("one = 2")
    page.get_by_role("button", name="Search").click()
    page.get_by_text("Nothing was found.").wait_for()
    page.get_by_label("Only where").fill("one =")
    page.get_by_role("button", name="Search").click()
    page.locator(".failure .place").wait_for()


@browser_test
def test_a_collection_shows_its_indexes_and_schema(page):
    go(page, "work/people/_schema")
    assert page.get_by_role("cell", name="unique").is_visible()
    assert '"required"' in page.locator(".json").inner_text()
    assert page.get_by_text("60.0 seconds").or_(page.get_by_text("60 seconds")).is_visible()
    page.get_by_role("link", name="Search").click()
    page.get_by_text("A search needs an index").wait_for()


@browser_test
def test_wrong_addresses_say_so(page):
    page.goto("/#/work/nothing")
    page.get_by_text("there is no collection 'nothing'").wait_for()
    page.goto("/#/nothing")
    page.get_by_text("there is no database 'nothing'").wait_for()


@browser_test
def test_a_token_is_asked_for_and_kept_in_the_tab_only(chromium, folder, tokens, tmp_path):
    secret = tokens.add("ada", {"work": "reader"})
    with running(folder, tokens=tmp_path / "tokens.json") as place:
        context = chromium.new_context(base_url=place)
        page = context.new_page()
        page.goto("/")
        page.get_by_label("Token").fill("tissu_wrong")
        page.keyboard.press("Enter")
        page.get_by_text("no token that is known").wait_for()
        page.get_by_label("Token").fill(secret)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_text("ada", exact=True).wait_for()
        page.reload()
        page.get_by_role("heading", name="work").wait_for()
        assert page.evaluate("[localStorage.length, document.cookie]") == [0, ""]
        go(page, "work/_query")
        page.get_by_label("Statement of TissQL").fill("DELETE FROM notes")
        page.keyboard.press("Control+Enter")
        page.get_by_text("ada is no writer of work").wait_for()
        other = context.new_page()
        other.goto("/")
        other.get_by_label("Token").wait_for()  # another tab knows nothing of it
        tokens.revoke("ada")
        page.get_by_role("link", name="Overview").click()
        page.get_by_role("heading", name="Sign in").wait_for()
        assert page.evaluate("sessionStorage.getItem('tissdb token')") is None
        context.close()


@browser_test
def test_signing_out_forgets_the_token(chromium, folder, tokens, tmp_path):
    secret = tokens.add("ada", {"work": "reader"})
    with running(folder, tokens=tmp_path / "tokens.json") as place:
        context = chromium.new_context(base_url=place)
        page = context.new_page()
        page.goto("/")
        page.get_by_label("Token").fill(secret)
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Sign out").click()
        page.reload()
        page.get_by_label("Token").wait_for()
        context.close()


@browser_test
def test_a_server_that_is_gone_is_said_to_be(chromium, folder):
    context = chromium.new_context()
    page = context.new_page()
    with running(folder) as place:
        page.goto(place)
        page.get_by_role("heading", name="work").wait_for()
    page.get_by_role("link", name="Query").click()
    page.get_by_text("the server does not answer").wait_for()
    context.close()


@browser_test
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    "place", ["work", "work/notes", "work/notes/documents/note-0001", "work/notes/_search", "work/_query"]
)
def test_a_phone_scrolls_down_only_and_text_can_be_read(chromium, address, place, scheme):
    context = chromium.new_context(base_url=address, viewport={"width": 360, "height": 740}, color_scheme=scheme)
    page = context.new_page()
    go(page, place)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    unnamed = """() => [...document.querySelectorAll("input, select, textarea, button, a")].filter((one) =>
        !(one.labels?.length || one.getAttribute("aria-label") || one.textContent.trim())).length"""
    assert page.evaluate(unnamed) == 0
    assert page.evaluate(CONTRAST) >= 4.5
    context.close()


CONTRAST = """() => {
  const light = (colour) => {
    const [r, g, b] = colour.match(/[\\d.]+/g).map((part) => part / 255)
      .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const backOf = (one) => {
    for (; one; one = one.parentElement) {
      const back = getComputedStyle(one).backgroundColor;
      if (!back.endsWith(", 0)")) return back;
    }
    return "rgb(255, 255, 255)";
  };
  const ratios = [...document.querySelectorAll("main *, nav *, header *")]
    .filter((one) => one.checkVisibility() && !one.disabled && !one.closest(".behind")
      && [...one.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim()))
    .map((one) => {
      const [a, b] = [light(getComputedStyle(one).color), light(backOf(one))].sort((x, y) => y - x);
      return (a + 0.05) / (b + 0.05);
    });
  return Math.min(...ratios);
}"""
