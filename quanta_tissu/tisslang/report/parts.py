"""What happened, each in the way in which it is best seen: a line to skim, and all of it when it is unfolded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from quanta_tissu.tisslang.report.changes import Change, Contents, Difference, as_text, changes_of, difference
from quanta_tissu.tisslang.report.markup import Child, Html, element, joined
from quanta_tissu.tisslang.report.numbers import (
    amount_text,
    count_text,
    limit_text,
    moment_text,
    seconds_text,
    size_text,
)
from quanta_tissu.tisslang.report.story import Approval, Entry

LONGEST = 20_000
"""Characters of a text that are shown; the rest is in the run's blobs."""

_LARGEST_DIFFERENCE = 400_000  # characters of two texts that are compared
_SHORT = 140  # characters of a line to skim

_FILES = {"A": "new", "M": "changed", "D": "deleted"}


def render_entry(entry: Entry, began: float, contents: Contents) -> Html:
    """Something that happened.

    Args:
        entry: It.
        began: When the run began, in seconds since 1970.
        contents: What files held.
    """
    icon, head, body = _rendered(entry, contents)
    after = f"+{seconds_text(max(entry.at.timestamp() - began, 0))}"
    line = element("a", f"line {entry.line}", class_="line", href=f"#L{entry.line}") if entry.line else None
    took = (entry.result or {}).get("seconds")
    summary = joined(
        element("span", icon, class_="icon", aria_hidden="true"),
        element("span", head, class_="head"),
        element(
            "span",
            element("span", seconds_text(took), class_="took") if isinstance(took, int | float) and took else None,
            line,
            element("time", after, class_="at", title=moment_text(entry.at)),
            class_="side",
        ),
    )
    classes = " ".join(["entry", entry.kind.replace(".", "-"), *(["wrong"] if entry.failed else [])])
    about = {"id": f"r{entry.record}", "class_": classes}
    if not body:
        return element("li", element("div", summary, class_="row"), **about)
    inside = joined(element("summary", summary, class_="row"), element("div", body, class_="body"))
    return element("li", element("details", inside, open=entry.failed or _nonzero(entry)), **about)


def _nonzero(entry: Entry) -> bool:
    """Whether it is a command that did not end well."""
    value = (entry.result or {}).get("value")
    return isinstance(value, dict) and value.get("EXIT_CODE") not in (None, 0)


def _rendered(entry: Entry, contents: Contents) -> tuple[str, Html, Html]:
    """An icon, a line and what is behind it."""
    fields = entry.fields
    match entry.kind:
        case "effect":
            return _effect(entry, contents)
        case "assert":
            holds = fields.get("holds") is not False
            values = fields.get("values")
            tag = element("b", "holds" if holds else "does not hold", class_=f"tag {'good' if holds else 'bad'}")
            said = joined(tag, code(fields.get("text", "")))
            return ("✓" if holds else "✗"), said, table(values) if isinstance(values, dict) else Html("")
        case "decision":
            return "◆", _decision(fields), Html("")
        case "budget":
            limit = limit_text(str(fields.get("name", "")), fields.get("limit"))
            return "◔", joined("budget ", code(fields.get("name", "")), f" at most {limit}"), Html("")
        case "note":
            text = str(fields.get("text", ""))
            longer = len(text) > _SHORT or "\n" in text
            return "·", joined(short(text)), fold("all of it", text) if longer else Html("")
        case "run.resume":
            by = f" by {fields['by']}" if fields.get("by") else ""
            return "↻", joined(element("b", f"resumed{by}")), rest(fields, {"by", "sources", "engine"})
        case "divergence":
            return (
                "⑂",
                joined(element("b", "the script is another one from here on")),
                rest(fields, {"key", "line"}),
            )
        case "approval" | "approval.request":
            return "☺", joined("a person was asked"), joined([approval(one) for one in entry.approvals])
        case "diagnostic":
            return "✗", joined(short(str(fields.get("message", "")))), rest(fields, {"key", "line", "message"})
        case kind:
            return "·", joined(element("b", kind)), rest(fields, {"key", "line"})


def _decision(fields: Mapping[str, Any]) -> Html:
    condition = code(fields.get("condition", "")) if fields.get("condition") else None
    what = str(fields.get("what", ""))
    match what:
        case "IF" | "ELSE IF" | "ELSE":
            holds = {True: "yes", False: "no"}.get(fields.get("holds"), "not known")  # type: ignore[arg-type]
            return joined(f"{what} ", condition, f" → {holds}")
        case "CHOOSE":
            return joined(
                "chosen: ", element("b", str(fields.get("chosen", ""))), " — " if condition else None, condition
            )
        case "RETRY":
            stuck = "; the same failure came back" if fields.get("stuck") else ""
            tries = f"attempt {fields.get('attempt')} of {fields.get('of')} failed{stuck}: "
            return joined(tries, short(str(fields.get("condition", ""))))
        case "CATCH":
            return joined("caught ", code(fields.get("code", "")), " ", short(str(fields.get("condition", ""))))
        case _:
            said = {name: value for name, value in fields.items() if name not in ("key", "line", "epoch", "what")}
            return joined(element("b", what or "decided"), " ", code(_json(said)) if said else None)


# --- effects -----------------------------------------------------------------------------------------------------


def _effect(entry: Entry, contents: Contents) -> tuple[str, Html, Html]:
    op = str(entry.fields.get("op", "?"))
    args = entry.fields.get("args")
    args = args if isinstance(args, dict) else {}
    icon, head, body = _OPS.get(op, _other)(entry, args, contents)
    result = entry.result
    problem = (result or {}).get("problem")
    if result is None:
        said = entry.pending
        if entry.again:
            said = "asked again later" if op == "ASK" else f"{said}; begun again later"
        head = joined(head, element("b", said, class_="tag bad" if entry.failed else "tag wait"))
    elif result.get("status") == "cancelled":
        head = joined(head, element("b", "cancelled", class_="tag"))
    elif isinstance(problem, dict):
        head = joined(head, element("b", f"failed {problem.get('code', '')}", class_="tag bad"))
        why = element("p", str(problem.get("message", "")), class_="problem")
        hint = element("p", "help: ", str(problem["help"]), class_="hint") if problem.get("help") else None
        body = joined(why, hint, body)
    elif result.get("reason"):
        body = joined(element("p", str(result["reason"]), class_="problem"), body)
    asked = [approval(one) for one in entry.approvals]
    return icon, joined(element("b", op, class_="op"), head), joined(body, asked)


def _run(entry: Entry, args: Mapping[str, Any], contents: Contents) -> tuple[str, Html, Html]:
    value = (entry.result or {}).get("value")
    value = value if isinstance(value, dict) else {}
    head: list[Child] = [code(args.get("command", ""))]
    if isinstance(value.get("EXIT_CODE"), int):
        good = value["EXIT_CODE"] == 0
        head.append(element("b", f"exit {value['EXIT_CODE']}", class_="tag good" if good else "tag bad"))
    command = str(args.get("command", ""))
    variables = args.get("variables")
    body: list[Child] = [
        fold("command", command) if len(command) > _SHORT or "\n" in command else None,
        labelled("holes", table(variables)) if isinstance(variables, dict) and variables else None,
        fold("standard output", value.get("STDOUT"), open=True),
        fold("standard error", value.get("STDERR"), open=True),
        _changed(entry, contents),
    ]
    return "▶", joined(*head), joined(*body)


def _write(entry: Entry, args: Mapping[str, Any], contents: Contents) -> tuple[str, Html, Html]:
    changes = changes_of(entry)
    shown = [
        change for change in changes if contents.get(change.before) is not None and contents.get(change.after)
    ]
    body = joined([render_change(change, contents, named=len(changes) > 1) for change in shown])
    if not shown:
        body = fold("text", args.get("text"), open=True)
    counts = [compared(change, contents) for change in changes]
    said = [_counts(one) for one in counts if one is not None]
    return "✎", joined(code(args.get("path", "")), said), body


def _path(entry: Entry, args: Mapping[str, Any], contents: Contents) -> tuple[str, Html, Html]:
    return "✎", joined(code(args.get("path", ""))), _changed(entry, contents)


def _read(entry: Entry, args: Mapping[str, Any], contents: Contents) -> tuple[str, Html, Html]:
    value = (entry.result or {}).get("value")
    size = (
        element("span", size_text(len(value.encode("utf-8", "replace"))), class_="dim")
        if isinstance(value, str)
        else None
    )
    return "◇", joined(code(args.get("path", "")), size), fold("content", value)


def _test(entry: Entry, args: Mapping[str, Any], contents: Contents) -> tuple[str, Html, Html]:
    value = (entry.result or {}).get("value")
    return "◇", joined(code(args.get("path", "")), f" → {value or 'nothing there'}"), Html("")


def _prompt(entry: Entry, args: Mapping[str, Any], contents: Contents) -> tuple[str, Html, Html]:
    result = entry.result or {}
    usage = result.get("usage")
    spent = []
    if isinstance(usage, dict):
        calls, tokens, cost = (usage.get(name) for name in ("calls", "tokens", "cost"))
        spent += [count_text(calls, "call")] if isinstance(calls, int) and calls > 1 else []
        spent += [count_text(tokens, "token")] if isinstance(tokens, int) else []
        spent += [f"cost {amount_text(cost)}"] if isinstance(cost, int | float) and cost else []
    head = joined(
        short(str(args.get("prompt", ""))), element("span", " · ".join(spent), class_="dim") if spent else None
    )
    settings = args.get("settings")
    answer = element("div", bubble("Asked", args.get("prompt"), "asked"), class_="talk")
    if entry.result is not None and result.get("status") == "ok":
        answer = element(
            "div",
            bubble("Asked", args.get("prompt"), "asked"),
            bubble("Answered", result.get("value"), "answered"),
            class_="talk",
        )
    more = labelled("settings", table(settings)) if isinstance(settings, dict) and settings else None
    schema = fold("schema", args["schema"]) if args.get("schema") else None
    return "✦", head, joined(answer, more, schema)


def _ask(entry: Entry, args: Mapping[str, Any], contents: Contents) -> tuple[str, Html, Html]:
    head: list[Child] = [short(str(args.get("shown", "")))]
    for one in entry.approvals:
        if one.answered is not None:
            head.append(_answer(one))
    body = Html("") if entry.approvals else fold("shown", args.get("shown"), open=True)
    return "☺", joined(*head), body


def _query(entry: Entry, args: Mapping[str, Any], contents: Contents) -> tuple[str, Html, Html]:
    value = (entry.result or {}).get("value")
    rows = element("span", count_text(len(value), "row"), class_="dim") if isinstance(value, list) else None
    parameters = args.get("parameters")
    body = joined(
        labelled("parameters", table(parameters)) if isinstance(parameters, dict) and parameters else None,
        fold("rows", value),
    )
    return "◇", joined(code(args.get("query", "")), rows), body


def _document(entry: Entry, args: Mapping[str, Any], contents: Contents) -> tuple[str, Html, Html]:
    value = (entry.result or {}).get("value")
    where = "/".join(str(one) for one in (args.get("collection"), args.get("id") or value) if one)
    return "✎", joined(code(where)), fold("document", args.get("document", args.get("change")))


def _transaction(entry: Entry, args: Mapping[str, Any], contents: Contents) -> tuple[str, Html, Html]:
    said = {
        "BEGIN": "the step works on a copy of the project",
        "COMMIT": "what it did is done to the project",
        "DISCARD": "what it did is forgotten",
    }
    return "⧉", joined(said[str(entry.fields.get("op"))]), _changed(entry, contents)


def _other(entry: Entry, args: Mapping[str, Any], contents: Contents) -> tuple[str, Html, Html]:
    value = (entry.result or {}).get("value")
    body = joined(
        labelled("arguments", table(args)) if args else None,
        fold("result", value) if value is not None else None,
        _changed(entry, contents),
    )
    return "·", Html(""), body


_OPS = {
    "RUN": _run,
    "WRITE": _write,
    "APPEND": _write,
    "MKDIR": _path,
    "DELETE": _path,
    "READ": _read,
    "FILE": _test,
    "PROMPT_AGENT": _prompt,
    "ASK": _ask,
    "QUERY_DB": _query,
    "INSERT_DOC": _document,
    "UPDATE_DOC": _document,
    "DELETE_DOC": _document,
    "BEGIN": _transaction,
    "COMMIT": _transaction,
    "DISCARD": _transaction,
}


# --- files -------------------------------------------------------------------------------------------------------


def _changed(entry: Entry, contents: Contents) -> Html:
    changes = changes_of(entry)
    if not changes:
        return Html("")
    return labelled("files", joined([render_change(change, contents) for change in changes]))


def compared(change: Change, contents: Contents) -> Difference | None:
    """How a file's text differs; None if it is none, is too long, or was not kept."""
    before, after = contents.get(change.before), contents.get(change.after)
    if before is None or after is None or len(before) + len(after) > _LARGEST_DIFFERENCE:
        return None
    old, new = as_text(before), as_text(after)
    return None if old is None or new is None else difference(old, new)


def render_change(change: Change, contents: Contents, *, named: bool = True) -> Html:
    """A file that was changed, with the difference behind it."""
    found = compared(change, contents)
    head = joined(
        element("b", _FILES.get(change.kind, change.kind), class_=f"tag file-{change.kind}"),
        code(change.path),
        _counts(found) if found is not None else None,
    )
    if found is None:
        before, after = contents.get(change.before), contents.get(change.after)
        why = "its content was not kept" if before is None or after is None else "no text, or too long to compare"
        return element("div", head, element("span", why, class_="dim"), class_="change")
    if not named:
        return _difference(found)
    return element("details", element("summary", head), _difference(found), class_="change")


def _counts(found: Difference) -> Html:
    plus = element("span", f"+{found.added}", class_="plus") if found.added else None
    minus = element("span", f"−{found.removed}", class_="minus") if found.removed else None
    return element("span", plus, minus, class_="counts")


def _difference(found: Difference) -> Html:
    rows = []
    shown = 0
    for sign, old, new, text in found.lines:
        shown += len(text) + 1
        if shown > LONGEST:
            rows.append(element("tr", element("td", "", colspan=2), element("td", "… and more"), class_="gap"))
            break
        if sign == "~":
            rows.append(element("tr", element("td", "", colspan=2), element("td", text or "⋯"), class_="gap"))
            continue
        kind = {"+": "added", "-": "removed", " ": ""}[sign]
        cells = [element("td", "" if one is None else str(one), class_="number") for one in (old, new)]
        rows.append(element("tr", cells, element("td", f"{sign}{text}"), class_=kind or None))
    return element("div", element("table", element("tbody", rows), class_="diff"), class_="scroll")


# --- people ------------------------------------------------------------------------------------------------------


def approval(one: Approval) -> Html:
    """A question to a person and the answer."""
    asked = element(
        "p", element("b", str(one.request.get("title") or "asked")), " ", _options(one), class_="question"
    )
    shown = fold("what was shown", one.shown, open=True)
    if one.answered is None:
        answer = element(
            "p", element("b", "asked again later" if one.again else "not answered yet", class_="tag wait")
        )
    else:
        comment = one.answer.get("comment")
        answer = element(
            "p",
            _answer(one),
            " by ",
            element("b", str(one.answer.get("by") or "somebody")),
            f", {moment_text(one.answered)}",
            joined(": “", str(comment), "”") if comment else None,
        )
    bound = (
        None
        if one.bound
        else element("p", "The answer is bound to something else than was shown.", class_="problem")
    )
    digest = one.request.get("digest")
    seal = element("p", f"bound to {digest}", class_="dim digest") if digest else None
    return element("div", asked, shown, answer, bound, seal, class_="approval")


def folded_approval(one: Approval) -> Html:
    """The same in a line that unfolds."""
    who = f" by {one.answer.get('by') or 'somebody'}" if one.answered is not None else ""
    summary = element(
        "summary",
        _answer(one) if one.answered is not None else element("b", "not answered yet", class_="tag wait"),
        element("span", f"{who} · {moment_text(one.answered or one.asked)} · ", class_="dim"),
        short(str(one.request.get("title") or "asked")),
        " ",
        code(one.shown),
    )
    return element("details", summary, approval(one), class_="fold")


def _options(one: Approval) -> Html | None:
    options = one.request.get("options")
    return (
        element("span", " / ".join(map(str, options)), class_="dim")
        if isinstance(options, list) and options
        else None
    )


def _answer(one: Approval) -> Html:
    said = str(one.answer.get("answer", "answered"))
    good = said in ("approve", "allow", "continue", "retry")
    bad = said in ("reject", "deny", "stop")
    return element("b", said, class_=f"tag{' good' if good else ' bad' if bad else ''}")


# --- texts -------------------------------------------------------------------------------------------------------


def code(value: object) -> Html:
    """A short text of a program."""
    return element("code", short(value if isinstance(value, str) else _json(value)))


def short(text: str) -> str:
    """What of a text fits on a line."""
    line = " ".join(text.split())
    return line if len(line) <= _SHORT else f"{line[: _SHORT - 1]}…"


def fold(title: str, value: object, *, open: bool = False) -> Html:
    """A text that can be unfolded; nothing if there is none."""
    if value is None or value == "":
        return Html("")
    content = text_block(value)
    return element("details", element("summary", title), content, class_="fold", open=open)


def labelled(title: str, content: Html) -> Html:
    """Something under a small heading."""
    return element("div", element("div", title, class_="label"), content, class_="labelled")


def text_block(value: object) -> Html:
    """A text with its lines as they are; what is not text as JSON."""
    text = value if isinstance(value, str) else _json(value, indent=2)
    more = len(text) - LONGEST
    cut = element("p", f"… and {more:,} characters more, in the run's blobs", class_="dim") if more > 0 else None
    return joined(element("pre", text[:LONGEST]), cut)


def bubble(title: str, value: object, who: str) -> Html:
    """What somebody said."""
    return element(
        "div",
        element("div", title, class_="label"),
        text_block("" if value is None else value),
        class_=f"bubble {who}",
    )


def table(values: Mapping[str, Any]) -> Html:
    """Names and values."""
    rows = []
    for name, value in values.items():
        if isinstance(value, str):
            shown = text_block(value) if len(value) > _SHORT or "\n" in value else element("code", value)
        else:
            text = _json(value)
            shown = text_block(value) if len(text) > _SHORT else element("code", text)
        rows.append(element("tr", element("th", str(name), scope="row"), element("td", shown)))
    return element("table", element("tbody", rows), class_="values")


def rest(fields: Mapping[str, Any], without: set[str]) -> Html:
    """Fields that have no way of their own to be shown."""
    said = {
        name: value for name, value in fields.items() if name not in without and value not in (None, "", [], {})
    }
    return table(said) if said else Html("")


def _json(value: object, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)
