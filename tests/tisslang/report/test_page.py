"""The page of a run: tells all of it, and can do nothing but be read."""

from __future__ import annotations

import importlib.util
import re
import shutil
from html.parser import HTMLParser

import pytest

from quanta_tissu.errors import JournalError
from quanta_tissu.tisslang.journal.journal import Journal
from quanta_tissu.tisslang.journal.verify import verify
from quanta_tissu.tisslang.report import page as pages
from quanta_tissu.tisslang.report.page import is_report

HOSTILE = (
    "</title></style></pre></details><script>document.title = 'broken'</script>"
    "<img src=x onerror=\"document.title='broken'\"><iframe src='https://example.org'></iframe>"
    '" onmouseover="document.title=1" x="\' {{7*7}} ${7*7} <!-- ]]> &lt; '
    "\x00\x1b[31mred\x1b]0;title\x07 \u202eevil\u2066"
    " \ud800 javascript:alert(1)"
)


def report(folder):
    return pages.report(folder, verify(folder))


class Page(HTMLParser):
    """What a page is made of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "rect"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, "elements are nested"

    def handle_data(self, data):
        self.text += data


def hostile_run(folder):
    """A run in which every text that may come from outside attacks the page."""
    with Journal.create(
        folder, script=HOSTILE, title=HOSTILE, sources={HOSTILE: HOSTILE, "b": HOSTILE}, by=HOSTILE, root=HOSTILE,
        options={HOSTILE: [HOSTILE]}, engine=HOSTILE,
    ) as journal:  # fmt: skip
        journal.append("step.begin", key="0", title=HOSTILE, line=1)
        for op in ("RUN", "READ", "WRITE", "APPEND", "MKDIR", "DELETE", "FILE", "PROMPT_AGENT", "ASK", "QUERY_DB",
                   "INSERT_DOC", "BEGIN", "COMMIT", HOSTILE):  # fmt: skip
            names = (
                "command",
                "path",
                "text",
                "prompt",
                "shown",
                "query",
                "collection",
                "id",
                "schema",
                "document",
            )
            args = dict.fromkeys(names, HOSTILE) | {
                "variables": {HOSTILE: HOSTILE},
                "settings": {HOSTILE: HOSTILE},
            }
            of = journal.append("effect.intent", key=f"0/{op}", op=op, cls=HOSTILE, args=args, line=1).seq
            value = {"STDOUT": HOSTILE, "STDERR": HOSTILE * 3, "EXIT_CODE": 1} if op == "RUN" else HOSTILE
            files = [["A", HOSTILE, None, HOSTILE], [HOSTILE, HOSTILE, None, None], HOSTILE]
            problem = {"code": HOSTILE, "message": HOSTILE, "help": HOSTILE}
            journal.append(
                "effect.result", of=of, key=f"0/{op}", status="failed" if op == "RUN" else "ok", value=value,
                files=files, problem=problem, usage={"calls": HOSTILE, "tokens": 2, "cost": HOSTILE},
            )  # fmt: skip
        kinds = (
            "decision assert budget note run.resume divergence diagnostic effect.result approval.answer step.end"
        )
        for kind in [*kinds.split(), "something.new"]:
            journal.append(
                kind, key="0/x", what=HOSTILE, condition=HOSTILE, chosen=HOSTILE, text=HOSTILE, name=HOSTILE,
                limit=HOSTILE, message=HOSTILE, code=HOSTILE, help=HOSTILE, by=HOSTILE, notes=[HOSTILE], line=1,
                span=[1, 5], file=HOSTILE, label=HOSTILE, values={HOSTILE: HOSTILE}, status=HOSTILE,
            )  # fmt: skip
        shown = journal.put(HOSTILE.encode("utf-8", "replace"))
        journal.append(
            "approval.request", key="0/y", title=HOSTILE, shown=shown, options=[HOSTILE], digest=HOSTILE
        )
        journal.append("approval.answer", key="0/y", answer=HOSTILE, by=HOSTILE, comment=HOSTILE, digest="other")
        journal.append("run.end", status=HOSTILE, reason=HOSTILE, variables={HOSTILE: HOSTILE})
    return folder


class TestWhatIsTold:
    def test_what_was_asked_and_what_came_of_it(self, run):
        text = Page(report(run)).text
        assert "Create and test a script" in text
        assert "2 of 2steps done" in text
        assert "1,592tokens" in text
        assert "1,592 of 2,000 tokens (80%)" in text
        assert "8.1 s of 5 min (3%)" in text

    def test_effects_with_what_they_did(self, run):
        page = Page(report(run))
        assert "python3 -m pytest -q" in page.text
        assert "1 failed in 0.03s" in page.text
        assert "Write a function that reverses words." in page.text
        assert '-    return " ".join(reversed(text))' in page.text
        assert '+    return " ".join(reversed(text.split()))' in page.text
        assert "attempt 1 of 3 failed: this does not hold: LAST_RUN.EXIT_CODE == 0" in page.text

    def test_what_people_were_asked_and_said(self, run):
        text = Page(report(run)).text
        assert "is this right?approve / reject" in text.replace(" approve /", "approve /")
        assert "approve by ada" in text
        assert "“not needed”" in text
        assert "RUN was refused: ada did not allow it: not needed" in text
        assert "bound to something else" not in text

    def test_steps_in_steps_are_set_in(self, tmp_path):
        with Journal.create(tmp_path / "run") as journal:
            for key in ("0:STEP", "0:STEP/0:PARALLEL/0:STEP", "1:STEP"):
                journal.append("step.begin", key=key, title=key)
        classes = [about.get("class") for tag, about in Page(report(tmp_path / "run")).tags if tag == "article"]
        assert classes == ["step deep-0", "step deep-1", "step deep-0"]

    def test_links_to_lines_and_steps_lead_somewhere(self, run):
        page = Page(report(run))
        ids = [about["id"] for _, about in page.tags if "id" in about]
        assert len(ids) == len(set(ids))
        links = {about["href"] for tag, about in page.tags if tag == "a"}
        assert links
        assert {link.removeprefix("#") for link in links} <= set(ids)

    def test_a_failure_is_shown_as_the_checks_show_theirs(self, failed_run):
        text = Page(report(failed_run)).text
        assert "error[R201]: this does not hold: LAST_RUN.EXIT_CODE == 0" in text
        assert "^" * len("LAST_RUN.EXIT_CODE == 0") + " it is 1" in text
        assert "nobody knows what came of it" in text
        assert text.index("nobody knows") < text.index("resumed by ada") < text.index("exit 1")

    def test_the_verdict_on_the_record(self, run):
        assert "The record is whole: the chain of 36 records holds" in report(run)
        path = run / "journal.jsonl"
        path.write_bytes(path.read_bytes().replace(b'"tokens":980', b'"tokens":981'))
        page = Page(report(run))
        assert "The record was changed: what this page says cannot be trusted." in page.text
        assert re.search(r"record \d+ was altered", page.text)

    def test_long_texts_are_cut_with_a_word_about_it(self, tmp_path):
        with Journal.create(tmp_path / "run") as journal:
            journal.append("note", text="x" * 30_000)
        page = report(tmp_path / "run")
        assert "… and 10,000 characters more" in page
        assert len(page) < 60_000

    def test_what_is_missing_is_said_and_the_rest_told(self, run):
        shutil.rmtree(run / "blobs")
        page = Page(report(run))
        assert "is missing" in page.text
        assert "python3 -m pytest -q" in page.text

    def test_the_same_failure_is_shown_once(self, failed_run):
        with Journal.open(failed_run) as journal:
            fields = next(journal.expanded(one) for one in journal.records if one.kind == "diagnostic")
            journal.append("run.resume", by="ada")
            journal.append("diagnostic", **fields)
            journal.append("run.end", status="failed", reason="again")
        assert report(failed_run).count("error[R201]") == 1
        with Journal.open(failed_run) as journal:
            journal.append("run.resume", by="ada")
            journal.append("run.end", status="done")
        assert "What went wrong before it was resumed" in report(failed_run)

    def test_a_run_that_only_began(self, tmp_path):
        with Journal.create(tmp_path / "run", script="plan.tiss"):
            page = Page(report(tmp_path / "run"))
        assert "is running" in page.text
        (tmp_path / "run" / "journal.jsonl").write_text("")
        with pytest.raises(JournalError, match="has no record"):
            report(tmp_path / "run")
        with pytest.raises(JournalError, match="there is no run at"):
            report(tmp_path / "none")


class TestSafety:
    def test_nothing_from_elsewhere_and_no_script(self, run):
        page = Page(report(run))
        assert not {"script", "img", "link", "iframe", "object", "form", "input"} & {tag for tag, _ in page.tags}
        for tag, about in page.tags:
            assert not [name for name in about if name.startswith("on") or name == "style"], tag
            for name in ("src", "href", "action", "data"):
                assert about.get(name, "#").startswith("#")
        [policy] = [
            about["content"] for _, about in page.tags if about.get("http-equiv") == "Content-Security-Policy"
        ]
        assert policy.startswith("default-src 'none'; style-src 'sha256-")
        assert "unsafe" not in policy

    def test_hostile_texts_stay_texts(self, tmp_path):
        folder = hostile_run(tmp_path / "run")
        text = report(folder)
        page = Page(text)
        assert page.open == []
        calm = Page(report(_calm(tmp_path / "calm")))
        assert {tag for tag, _ in page.tags} <= {tag for tag, _ in calm.tags} | {
            "tr",
            "table",
            "th",
            "svg",
            "rect",
        }
        for tag, about in page.tags:
            assert set(about) <= {
                "aria-hidden", "aria-label", "charset", "class", "colspan", "content", "height", "href",
                "http-equiv", "id", "lang", "name", "open", "role", "rx", "scope", "title", "width", "x",
            }, tag  # fmt: skip
            assert not about.get("href", "#").startswith("javascript")
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202e\u2066]", text), "nothing hides or turns"
        assert "⌈U+202E⌋evil" in page.text
        text.encode()

    def test_a_page_that_was_made_here_is_known_again(self, run):
        assert is_report(report(run).encode())
        assert not is_report(b"<!doctype html><title>something else</title>")


def _calm(folder):
    import unittest.mock

    with unittest.mock.patch(f"{__name__}.HOSTILE", "calm"):
        return hostile_run(folder)


@pytest.fixture(scope="module")
def browser(unavailable):
    if importlib.util.find_spec("playwright") is None:
        unavailable("Playwright is not installed (pip install playwright)")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        unavailable("there is no Chromium (apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.mark.browser
class TestBrowser:
    @pytest.fixture
    def opened(self, browser, tmp_path):
        """Open the page of a run; what it asks the network for, and complains about, is kept."""
        pages = []

        def open_page(folder, **options):
            path = tmp_path / "page.html"
            path.write_text(report(folder), encoding="utf-8", errors="replace")
            page = browser.new_page(**options)
            pages.append(page)
            page.said = []
            page.on("console", lambda message: page.said.append(message.text))
            page.on(
                "request",
                lambda request: page.said.append(request.url) if "page.html" not in request.url else None,
            )
            page.goto(path.as_uri())
            return page

        yield open_page
        for page in pages:
            page.close()

    def test_it_is_read_without_complaints(self, opened, run):
        page = opened(run)
        assert page.title() == "Create and test a script · done"
        assert page.locator(".step").count() == 2
        assert page.said == []
        fill = page.locator(".limit .fill").last.bounding_box()
        track = page.locator(".limit .track").last.bounding_box()
        assert fill["width"] / track["width"] == pytest.approx(0.796, abs=0.01)

    def test_what_is_folded_unfolds(self, opened, run):
        page = opened(run)
        answer = page.locator(".bubble.answered").first
        assert not answer.is_visible()
        page.locator("summary", has_text="Write a function").first.click()
        assert answer.is_visible()
        page.locator("a.line", has_text="line 7").first.click()
        assert page.url.endswith("#L7")

    def test_hostile_texts_do_nothing(self, opened, tmp_path):
        page = opened(hostile_run(tmp_path / "run"))
        page.eval_on_selector_all("details", "all => all.forEach(one => one.open = true)")
        page.mouse.move(200, 200)
        assert page.title().startswith("</title></style>")
        assert page.said == []
        assert page.locator("img, script, iframe").count() == 0

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_words_can_be_told_from_their_ground(self, opened, run, scheme):
        page = opened(run, color_scheme=scheme)
        found = page.evaluate(_CONTRASTS)
        assert found, "there are words"
        assert min(found) >= 4.5

    def test_a_telephone_shows_all_of_it(self, opened, run):
        page = opened(run, viewport={"width": 360, "height": 700})
        assert page.evaluate("document.documentElement.scrollWidth") <= 360

    def test_on_paper_everything_is_unfolded(self, opened, run):
        page = opened(run)
        answer = page.locator(".bubble.answered pre").first
        page.emulate_media(media="print")
        assert answer.bounding_box()["height"] > 10
        assert answer.evaluate("one => one.checkVisibility({contentVisibilityAuto: true})")


_CONTRASTS = """() => {
  const linear = v => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const light = c => { const [r, g, b] = c.map(linear);
    return .2126 * r + .7152 * g + .0722 * b };
  const parse = s => s.match(/[\\d.]+/g).map(Number);
  const ground = e => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor);
    if (c.length < 4 || c[3] > 0) return c } return [255, 255, 255] };
  const found = [];
  for (const e of document.querySelectorAll("main *")) {
    if (!e.checkVisibility() || ![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())) continue;
    const a = light(parse(getComputedStyle(e).color)), b = light(ground(e));
    found.push((Math.max(a, b) + .05) / (Math.min(a, b) + .05));
  }
  return found }"""
