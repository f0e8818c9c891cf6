"""A plan as people and programs read it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from quanta_tissu.tisslang.engine.effects import (
    AskModel,
    AskPerson,
    DeleteDocument,
    Effect,
    InsertDocument,
    QueryDatabase,
    RunCommand,
    UpdateDocument,
)
from quanta_tissu.tisslang.engine.planning import Plan, Planned, PlannedStep, at_most
from quanta_tissu.tisslang.engine.shell import as_written
from quanta_tissu.tisslang.engine.values import Value, as_text
from quanta_tissu.tisslang.planning.capabilities import (
    Capabilities,
    bound,
    calls_of,
    capabilities_of,
    programs_of,
    tokens_of,
)

_LONGEST = 100


@dataclass(slots=True)
class Row:
    """A line of a plan: what is done at a place, also if it is done several times.

    Attributes:
        op: The command.
        what: What it is about: a path, a command, a question.
        details: What else is to be known of it.
        times: How often at most; None: no bound.
        when: On what it depends.
        source: The script.
        line: Where in it.
    """

    op: str
    what: str
    details: tuple[str, ...]
    times: int | None
    when: tuple[str, ...]
    source: str
    line: int


@dataclass(frozen=True, slots=True)
class Group:
    """The rows of a step.

    Attributes:
        step: It; None: what belongs to no step.
        transaction: Whether it works on a copy of the project.
        rows: What it does.
    """

    step: PlannedStep | None
    transaction: bool
    rows: tuple[Row, ...]


def grouped(plan: Plan) -> list[Group]:
    """The effects of a plan by steps; what is done again and again at a place is one row."""
    rows: dict[str | None, dict[tuple[Any, ...], Row]] = {}
    steps: dict[str | None, PlannedStep | None] = {None: None}
    order: list[str | None] = []
    for step in plan.steps:
        steps[step.key] = step
    for one in plan.effects:
        key = None if one.step is None else one.step.key
        if key not in order:
            order.append(key)
        made = row_of(one)
        known = rows.setdefault(key, {})
        same = (made.op, made.what, made.details, made.when, made.source, made.line)
        if same in known:
            known[same].times = at_most((known[same].times, made.times))
        else:
            known[same] = made
    places = {key: number for number, key in enumerate(order)}
    for number, step in enumerate(plan.steps):  # steps without effects, where they stand
        if step.key not in places:
            before = [places[one.key] for one in plan.steps[:number] if one.key in places]
            places[step.key] = max(before, default=-1)
            order.append(step.key)
    return [
        Group(steps[key], key in plan.transactions, tuple(rows.get(key, {}).values()))
        for key in sorted(order, key=lambda one: places[one])
    ]


def row_of(planned: Planned) -> Row:
    """An effect of a plan as a line."""
    effect = planned.effect
    what, details = _said(effect)
    site = effect.site
    return Row(effect.action.op, what, tuple(details), effect.at_most, planned.when, site.source.name, site.line)


def _said(effect: Effect) -> tuple[str, list[str]]:
    match effect.action:
        case RunCommand() as command:
            details = [f"starts {', '.join(programs_of(command)) or 'nothing'}"]
            details.append(f"sandbox {command.sandbox}" if command.sandbox else "sandbox of the run")
            details.append("NETWORK" if command.network else "no network")
            if command.raw:
                details.append("RAW: text that is not written in the script reaches the shell")
            if command.timeout is not None:
                details.append(f"at most {command.timeout:g} s")
            shown = as_written(as_text(command.command), {n: as_text(v) for n, v in command.variables.items()})
            return _line(shown), details
        case AskModel(prompt=prompt, schema=schema, settings=settings):
            details = [f"model {as_text(settings['model'])}" if "model" in settings else "model of the run"]
            details += [
                f"{name} {as_text(settings[name])}" for name in ("persona", "max_tokens") if name in settings
            ]
            if schema is not None:
                details.append("JSON")
            return _line(as_text(prompt)), details
        case AskPerson(what=what, shown=shown, options=options):
            return f"{what}: {_line(as_text(shown))}", [" | ".join(options)] if options else []
        case QueryDatabase(query=query, parameters=parameters):
            return _line(as_text(query)), [f"with {_line(as_text(parameters))}"] if parameters else []
        case InsertDocument(collection=name):
            return f"{as_text(name)}: a new document", []
        case UpdateDocument(collection=name, id=id) | DeleteDocument(collection=name, id=id):
            return f"{as_text(name)}: document {as_text(id)}", []
        case action:
            return _line(as_text(_field(action.args(), "path"))), []


def _field(args: Mapping[str, Any], name: str) -> Value:
    value: Value = args.get(name)
    return value


def _line(text: str) -> str:
    shown = "".join(one if one.isprintable() else " " for one in " ".join(text.split()))
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 1]}…"


# --- for people --------------------------------------------------------------------------------------------------


def as_table(plan: Plan, title: str) -> Iterator[str]:
    """The lines of a plan for people."""
    yield f"Plan of {title}: nothing was done, and this is all that a run can do"
    for group in grouped(plan):
        yield ""
        yield _heading(group)
        if not group.rows:
            yield "  (nothing outside of the script)"
        width = max((len(row.op) for row in group.rows), default=0)
        before: tuple[str, ...] = ()
        for row in group.rows:
            shared = 0
            while shared < min(len(before), len(row.when)) and before[shared] == row.when[shared]:
                shared += 1
            for depth, one in enumerate(row.when[shared:], shared):
                yield f"  {'  ' * depth}{'only ' if one.startswith('if ') else ''}{one}:"
            before = row.when
            indent = "  " * (1 + len(row.when))
            times = (
                "" if row.times == 1 else "  (no bound)" if row.times is None else f"  (at most {row.times} times)"
            )
            yield f"{indent}{row.op:<{width}}  {row.what}{times}"
            if row.details:
                yield f"{indent}{'':<{width}}  · {' · '.join(row.details)}"
    yield ""
    yield from _totals(capabilities_of(plan), plan)
    yield ""
    yield "Nothing was done."


def _heading(group: Group) -> str:
    if group.step is None:
        return "Outside of steps"
    step = group.step
    copy = ", on a copy of the project" if group.transaction else ""
    title = step.title if step.title == "SETUP" else f"STEP “{step.title}”"
    return f"{title}  ({step.site.source.name}:{step.site.line}{copy})"


def _totals(found: Capabilities, plan: Plan) -> Iterator[str]:
    yield "In all"
    runs = found.numbers["commands"] != 0
    people = ", ".join(f"{what} {number}" for what, number in found.people.items() if number)
    open_models = [one.effect for one in plan.effects if isinstance(one.effect.action, AskModel)]
    rows = {
        "files read": _list(found.lists["read"]),
        "files written": _list(found.lists["write"]),
        "files removed": _list(found.lists["delete"]),
        "commands": f"{_number(found.numbers['commands'])}: {_list(found.lists['programs'])}" if runs else "none",
        "by commands": "any file of the project may be read and changed" if runs else "nothing",
        "sandbox": f"{'that of the run' if found.sandbox == 'default' else found.sandbox} at least"
        if runs
        else "not needed",
        "network": "USED BY COMMANDS" if found.network else "none for commands",
        "model calls": _number(found.numbers["model_calls"]),
        "tokens": _tokens(found, open_models),
        "people asked": people or "nobody",
        "documents read": _list(found.lists["query"]),
        "documents changed": _list(found.lists["change"]),
    }
    width = max(map(len, rows))
    for name, said in rows.items():
        yield f"  {name:<{width}}  {said}"


def _list(found: Mapping[str, Any]) -> str:
    return ", ".join(sorted(found)) or "none"


def _number(number: int | None) -> str:
    return "no bound" if number is None else f"at most {number}" if number else "none"


def _tokens(found: Capabilities, asking: list[Effect]) -> str:
    number = found.numbers["tokens"]
    if number is not None:
        return f"at most {number:,}" if number else "none"
    if bound("API_CALLS", asking, calls_of) is None:
        return "no bound: SET_BUDGET TOKEN_COUNT would set one"
    unknown = sum(tokens_of(one) is None for one in asking)
    return f"not known of {unknown} of {len(asking)} prompts; SET_BUDGET TOKEN_COUNT would set a bound"


# --- for programs ------------------------------------------------------------------------------------------------


def as_object(plan: Plan, script: str) -> dict[str, Any]:
    """A plan for programs."""
    found = capabilities_of(plan)
    failure = plan.failure
    return {
        "script": script,
        "done": False,
        "steps": [
            {
                "title": None if group.step is None else group.step.title,
                "line": None if group.step is None else group.step.site.line,
                "transaction": group.transaction,
                "effects": [
                    {
                        "op": row.op,
                        "what": row.what,
                        "details": list(row.details),
                        "at_most": row.times,
                        "when": list(row.when),
                        "source": row.source,
                        "line": row.line,
                    }
                    for row in group.rows
                ],
            }
            for group in grouped(plan)
        ],
        "capabilities": {
            **{name: sorted(values) for name, values in found.lists.items()},
            **found.numbers,
            "network": found.network,
            "raw": found.raw,
            "sandbox": found.sandbox,
            "people": found.people,
        },
        "failure": None if failure is None else failure.value(),
    }
