"""The page of a run: what was asked, what came of it, everything that was done, and whether the record is whole.

It needs nothing from elsewhere and no script, and says so itself (`Content-Security-Policy`), so that a text of a
model or a file that got past the escaping could still do nothing.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from quanta_tissu.tisslang.journal.verify import Verdict
from quanta_tissu.tisslang.report.changes import Contents, in_all
from quanta_tissu.tisslang.report.failure import render_failure
from quanta_tissu.tisslang.report.markup import Child, Html, element, joined
from quanta_tissu.tisslang.report.numbers import amount_text, count_text, limit_text, moment_text, seconds_text
from quanta_tissu.tisslang.report.parts import folded_approval, render_change, render_entry, table
from quanta_tissu.tisslang.report.story import Budget, Step, Story, tell

GENERATOR = "tissu report"

_STATUS = {
    "done": ("good", "done"),
    "failed": ("bad", "failed"),
    "broken": ("bad", "broke off"),
    "refused": ("bad", "refused"),
    "paused": ("wait", "waits for an answer"),
    "running": ("wait", "is running"),
    "interrupted": ("bad", "was interrupted"),
}
_STEP = {"done": ("good", "✓"), "ok": ("good", "✓"), "failed": ("bad", "✗"), "open": ("wait", "…")}


def report(folder: Path, verdict: Verdict) -> str:
    """The page of a run, as text.

    Args:
        folder: The run's.
        verdict: Whether its record is what was written (`verify`).

    Raises:
        JournalError: There is no record of it.
    """
    return str(_page(tell(folder), verdict))


def is_report(beginning: bytes) -> bool:
    """Whether what begins so is a page that `report` made."""
    return f'name="generator" content="{GENERATOR}"'.encode() in beginning[:2000]


def _page(story: Story, verdict: Verdict) -> Html:
    title = str(story.start.get("title") or story.summary.script or story.summary.id)
    style = _style()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    contents = Contents(story.blobs, story.entries("effect"))
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="generator", content=GENERATOR),
        element("meta", name="referrer", content="no-referrer"),
        element("title", f"{title} · {_STATUS.get(story.summary.status, ('', story.summary.status))[1]}"),
        element("style", Html(style)),
    )
    body = element(
        "body",
        element(
            "main", _header(story, title), _verdict(verdict), _figures(story, contents), _sections(story, contents)
        ),
        element(
            "footer",
            f"{story.summary.id} · {count_text(story.records, 'record')} · {GENERATOR}",
        ),
    )
    return Html(f"<!doctype html>\n{element('html', head, body, lang='en')}\n")


@cache
def _style() -> str:
    return "\n" + (Path(__file__).parent / "page.css").read_text("utf-8")


def _header(story: Story, title: str) -> Html:
    summary = story.summary
    mood, said = _STATUS.get(summary.status, ("wait", summary.status))
    by = str(story.start.get("by") or "")
    facts = [
        element("code", summary.script) if summary.script else None,
        f"by {by}" if by else None,
        moment_text(summary.started),
        f"took {seconds_text(summary.seconds)}",
        f"engine {story.start['engine']}" if story.start.get("engine") else None,
    ]
    shown = [one for one in facts if one is not None]
    reason = element("p", summary.reason, class_="reason") if summary.reason else None
    return element(
        "header",
        element("p", "TissLang run ", element("span", summary.id, class_="id"), class_="over"),
        element("h1", title),
        element(
            "p",
            element("b", said, class_=f"status {mood}"),
            [element("span", one, class_="fact") for one in shown],
            class_="facts",
        ),
        reason,
    )


def _verdict(verdict: Verdict) -> Html:
    if verdict.ok:
        said = [f"The record is whole: the chain of {verdict.records} records holds"]
        if verdict.blobs:
            said.append(f"{count_text(verdict.blobs, 'content')} unchanged")
        if verdict.anchors:
            said.append(f"{count_text(verdict.anchors, 'anchor')} kept elsewhere in it")
        head = joined(element("b", "✓ "), ", ".join(said), ".")
    else:
        head = joined(element("b", "✗ The record was changed: "), "what this page says cannot be trusted.")
    findings = [
        element("li", finding.message if finding.severe else f"note: {finding.message}")
        for finding in verdict.findings
    ]
    return element(
        "aside",
        element("p", head),
        element("ul", findings) if findings else None,
        element("p", f"end of the record: {verdict.head}", class_="digest"),
        class_=f"verdict {'good' if verdict.ok else 'bad'}",
    )


def _figures(story: Story, contents: Contents) -> Html:
    effects = story.entries("effect")
    steps = [step for step in story.steps if step.key]
    done = sum(step.status in ("done", "ok") for step in steps)
    commands = sum(entry.fields.get("op") == "RUN" for entry in effects)
    files = len(in_all(effects))
    asserts = story.entries("assert")
    held = sum(entry.fields.get("holds") is not False for entry in asserts)
    summary = story.summary
    counted = [
        (commands, "command run", "commands run"),
        (files, "file changed", "files changed"),
        (summary.calls, "call of a model", "calls of models"),
        (summary.tokens, "token", "tokens"),
        (len(story.approvals()), "approval", "approvals"),
    ]
    tiles = [(f"{done} of {len(steps)}", "steps done")] if steps else []
    tiles += [(f"{held} of {len(asserts)}", "assertions hold")] if asserts else []
    tiles += [(f"{count:,}", one if count == 1 else many) for count, one, many in counted if count]
    tiles += [(amount_text(summary.cost), "cost")] if summary.cost else []
    shown = [element("div", element("dd", number), element("dt", what), class_="tile") for number, what in tiles]
    return element("dl", shown, class_="tiles") if shown else Html("")


def _sections(story: Story, contents: Contents) -> Html:
    began = story.began.timestamp()
    failures = {  # a run that is resumed without mending fails in the same way again
        (str(one.fields.get("code")), str(one.fields.get("message")), str(one.fields.get("span"))): one
        for one in story.entries("diagnostic")
    }
    wrong = "What went wrong" if story.summary.status != "done" else "What went wrong before it was resumed"
    changes = in_all(story.entries("effect"))
    approvals = story.approvals()
    steps = [step for step in story.steps if step.key]
    return joined(
        section(wrong, [render_failure(one, story.sources) for one in failures.values()]) if failures else None,
        section("Budgets", [_budget(one) for one in story.budgets]) if story.budgets else None,
        section("Course", _course(story, steps)) if len(steps) > 1 else None,
        section("What was done", [_step(step, began, contents) for step in story.steps]),
        section("Files changed", [render_change(one, contents) for one in changes]) if changes else None,
        section("Approvals", [folded_approval(one) for one in approvals]) if approvals else None,
        _results(story),
        section(
            "Scripts",
            [_script(name, text, number == 0) for number, (name, text) in enumerate(story.sources.items())],
        )
        if story.sources
        else None,
        _options(story),
    )


def section(title: str, *children: Child) -> Html:
    """A part of the page."""
    return element("section", element("h2", title), *children)


def _budget(one: Budget) -> Html:
    share = min(one.spent / one.limit, 1.0) if one.limit > 0 else 1.0
    mood = "bad" if one.spent > one.limit else "wait" if share > 0.8 else "good"
    percent = "< 1%" if 0 < share < 0.005 else f"{share:.0%}"
    spent = seconds_text(one.spent) if one.name == "EXECUTION_TIME" else amount_text(one.spent)
    said = f"{spent} of {limit_text(one.name, one.limit)} ({percent})"
    bar = element(
        "svg",
        element("rect", class_="track", width="100%", height="10", rx="5"),
        element("rect", class_=f"fill {mood}", width=f"{share * 100:.2f}%", height="10", rx="5"),
        class_="bar",
        height="10",
        role="img",
        aria_label=f"{share:.0%} spent",
    )
    return element("div", element("code", one.name), bar, element("span", said, class_="dim"), class_="limit")


def _course(story: Story, steps: list[Step]) -> Html:
    """When each step was under way, as bars under each other."""
    began, length = story.began.timestamp(), max((story.ended - story.began).total_seconds(), 0.001)
    rows = []
    for step in steps:
        mood, sign = _STEP.get(step.status, ("wait", "…"))
        start = min(max((step.began.timestamp() - began) / length, 0.0), 1.0)
        end = step.ended or story.ended
        width = max((end.timestamp() - began) / length - start, 0.004)
        bar = element(
            "svg",
            element("rect", class_="track", width="100%", height="10", rx="5"),
            element(
                "rect",
                class_=f"fill {mood}",
                x=f"{start * 100:.2f}%",
                width=f"{width * 100:.2f}%",
                height="10",
                rx="3",
            ),
            class_="bar",
            height="10",
            aria_hidden="true",
        )
        rows.append(
            element(
                "li",
                element("a", element("span", sign, class_=mood), " ", step.title, href=f"#s{step.record}"),
                bar,
                element("span", seconds_text((end - step.began).total_seconds()), class_="dim"),
                class_=f"deep-{min(step.depth, 3)}",
            )
        )
    return element("ol", rows, class_="course")


def _step(step: Step, began: float, contents: Contents) -> Html:
    entries = [render_entry(entry, began, contents) for entry in step.entries if entry.kind != "diagnostic"]
    if not step.key:
        return element("ol", entries, class_="entries outside") if entries else Html("")
    mood, sign = _STEP.get(step.status, ("wait", "…"))
    took = seconds_text((step.ended - step.began).total_seconds()) if step.ended else "did not end"
    line = element("a", f"line {step.line}", class_="line", href=f"#L{step.line}") if step.line else None
    head = element(
        "h3",
        element("span", sign, class_=f"sign {mood}", title=step.status),
        element("span", step.title, class_="title"),
        element("span", element("span", took, class_="took"), line, class_="side"),
    )
    return element(
        "article",
        head,
        element("ol", entries, class_="entries"),
        class_=f"step deep-{min(step.depth, 3)}",
        id=f"s{step.record}",
    )


def _results(story: Story) -> Html | None:
    variables: Any = story.ending.get("variables")
    if not isinstance(variables, dict) or not variables:
        return None
    title = count_text(len(variables), "variable")
    return section(
        "What is known at the end", element("details", element("summary", title), table(variables), class_="fold")
    )


def _script(name: str, text: str, main: bool) -> Html:
    lines = [
        element(
            "span",
            element("span", str(number), class_="number"),
            line + "\n",
            class_="code-line",
            id=f"L{number}" if main else None,
        )
        for number, line in enumerate(text.splitlines(), 1)
    ]
    size = element("span", count_text(len(lines), "line"), class_="dim")
    summary = element("summary", element("code", name), " ", size)
    return element("details", summary, element("pre", lines, class_="script"), class_="fold", open=main)


def _options(story: Story) -> Html | None:
    options = story.start.get("options")
    if not isinstance(options, dict) or not options:
        return None
    shown = {name: value for name, value in options.items() if value not in (None, "", [], {})}
    where = {"folder": story.start["root"]} if isinstance(story.start.get("root"), str) else {}
    return section(
        "How it was run", element("details", element("summary", "settings"), table(where | shown), class_="fold")
    )
