"""What commands want done: each becomes an action, and what comes of it a variable."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

from quanta_tissu.tisslang.engine.budgets import Budget, Deadline
from quanta_tissu.tisslang.engine.effects import (
    AppendFile,
    AskModel,
    AskPerson,
    DeleteDocument,
    DeleteFile,
    Doing,
    InsertDocument,
    MakeFolder,
    Notice,
    Outcome,
    QueryDatabase,
    ReadFile,
    RunCommand,
    Site,
    UpdateDocument,
    WriteFile,
)
from quanta_tissu.tisslang.engine.failure import Failure
from quanta_tissu.tisslang.engine.frame import Frame
from quanta_tissu.tisslang.engine.scope import LastRun
from quanta_tissu.tisslang.engine.values import Unknown, Value, as_text, hole, is_number, kind_of, shown, text_of
from quanta_tissu.tisslang.source import Span
from quanta_tissu.tisslang.syntax import statements as ast
from quanta_tissu.tisslang.syntax.expressions import Binary, Expression, Item, Member, Variable, children
from quanta_tissu.tisslang.syntax.times import parse_time
from quanta_tissu.tisslang.syntax.words import LAST_RUN

_OUTPUT_SHOWN = 12  # lines of a command's output in a failure


def perform(statement: ast.Statement, frame: Frame) -> Doing[None]:
    """Do a command.

    Raises:
        Failure: It failed.
    """
    match statement:
        case ast.Read(path=path, into=into):
            where = yield from frame.value(path)
            frame.bind(into, (yield from frame.act(ReadFile(path=where), statement.span)))
        case ast.Write(path=path, text=text):
            where, said = yield from _path_and_text(path, text, frame)
            yield from frame.act(WriteFile(path=where, text=said), statement.keyword.to(path.span))
        case ast.Append(path=path, text=text):
            where, said = yield from _path_and_text(path, text, frame)
            yield from frame.act(AppendFile(path=where, text=said), statement.keyword.to(path.span))
        case ast.Mkdir(path=path):
            where = yield from frame.value(path)
            yield from frame.act(MakeFolder(path=where), statement.span)
        case ast.Delete(path=path):
            where = yield from frame.value(path)
            yield from frame.act(DeleteFile(path=where), statement.span)
        case ast.Run():
            yield from _run(statement, frame)
        case ast.Assert():
            yield from _assert(statement, frame)
        case ast.Var(name=name, value=value):
            frame.bind(name, (yield from frame.value(value)))
        case ast.Log(value=value):
            note = {"text": (yield from frame.text(value))}
            yield Notice(kind="note", key=frame.path, site=frame.site(statement.span), data=note)
        case ast.PromptAgent():
            yield from _prompt(statement, frame)
        case ast.SetBudget():
            yield from _set_budget(statement, frame)
        case ast.Pause(message=message):
            said = "Go on?" if message is None else (yield from frame.value(message))
            yield from _ask(AskPerson(what="pause", shown=said), statement.span, frame)
        case ast.RequestReview(what=what):
            said = yield from frame.value(what)
            yield from _ask(AskPerson(what="review", shown=said), statement.span, frame)
        case ast.QueryDb() | ast.InsertDoc() | ast.UpdateDoc() | ast.DeleteDoc():
            yield from _database(statement, frame)
        case _:
            raise AssertionError(f"{type(statement).__name__} is no command")


def _path_and_text(path: Expression, text: Expression, frame: Frame) -> Doing[tuple[Value, Value]]:
    where = yield from frame.value(path)
    said = yield from frame.value(text)
    return where, text_of(said)


# --- RUN ---------------------------------------------------------------------------------------------------------


def _run(run: ast.Run, frame: Frame) -> Doing[None]:
    scope = frame.scope
    shell = yield from frame.command(run.command)
    timeout = None if run.timeout is None else (yield from _seconds(run.timeout, frame))
    # On a copy of the project no command is kept in by less: it would reach past the copy.
    sandbox = scope.settings.get("sandbox") if scope.transaction is None else "txn"
    action = RunCommand(
        command=shell.command,
        variables=shell.variables,
        raw=shell.raw,
        timeout=timeout,
        sandbox=None if sandbox is None else as_text(sandbox),
        network=scope.settings.get("network") == "allow",
        on_resume=as_text(scope.settings.get("on_resume", "ask")),
    )
    site = frame.site(run.span)
    outcome: Outcome = yield from frame.actor.act(action, frame.path, site, scope)
    if isinstance(outcome.value, dict):
        scope.last_run = LastRun(outcome.value, site, as_text(shell.command))
    elif isinstance(outcome.value, Unknown):
        scope.last_run = unknown_run(site, as_text(shell.command))
    if outcome.problem is not None:
        code, message = outcome.problem
        notes = tuple(_output(scope.last_run)) if isinstance(outcome.value, dict) else ()
        raise Failure(code, message, site, notes=notes, help=outcome.help)


def unknown_run(site: Site, command: str) -> LastRun:
    """What came of a command, where nobody knows it yet."""
    return LastRun({name: hole(f"LAST_RUN.{name}") for name in LAST_RUN}, site, command)


def _output(run: LastRun | None) -> Iterator[str]:
    """The end of what a command wrote, for people who look for what went wrong."""
    if run is None:
        return
    for name in ("STDERR", "STDOUT"):
        lines = as_text(run.parts.get(name, "")).rstrip().splitlines()
        if lines:
            cut = "…\n" if len(lines) > _OUTPUT_SHOWN else ""
            yield f"{name} of the command in line {run.site.line}:\n{cut}" + "\n".join(lines[-_OUTPUT_SHOWN:])


# --- ASSERT ------------------------------------------------------------------------------------------------------


def _assert(statement: ast.Assert, frame: Frame) -> Doing[None]:
    condition = statement.condition
    holds = yield from frame.truth(condition)
    if isinstance(holds, Unknown):
        return
    wrong = condition if holds else (yield from _wrong_part(condition, frame))
    values = {frame.source[one.span]: value for one, value in (yield from _leaves(wrong, frame))}
    site = frame.site(wrong.span)
    said = {"holds": holds, "text": frame.source[condition.span], "values": values}
    yield Notice(kind="assert", key=frame.path, site=site, data=said)
    if holds:
        return
    message = f"this does not hold: {site.text}"
    if statement.message is not None:
        message = f"{yield from frame.text(statement.message)} ({message})"
    run = frame.scope.last_run
    uses_run = run is not None and any(name.startswith("LAST_RUN.") for name in values)
    others = []
    if run is not None and uses_run:
        others.append((run.site, f"this command ended with {shown(run.parts.get('EXIT_CODE'))}"))
    raise Failure(
        "R202",
        message,
        site,
        label=", ".join(f"{name} is {shown(value)}" for name, value in values.items()),
        others=tuple(others),
        notes=tuple(_output(run)) if uses_run else (),
        values=values,
    )


def _wrong_part(condition: Expression, frame: Frame) -> Doing[Expression]:
    """The part of a condition that does not hold: of `a AND b`, the one that is false."""
    if isinstance(condition, Binary) and condition.operator == "AND":
        left = yield from frame.truth(condition.left)
        return (yield from _wrong_part(condition.left if left is False else condition.right, frame))
    return condition


def _leaves(expression: Expression, frame: Frame) -> Doing[list[tuple[Expression, Value]]]:
    """The variables in an expression, and what they hold."""
    if isinstance(expression, Variable | Member | Item):
        try:
            return [(expression, (yield from frame.value(expression)))]
        except Failure:
            return []
    found: list[tuple[Expression, Value]] = []
    for child in children(expression):
        found += yield from _leaves(child, frame)
    return found


# --- models and people -------------------------------------------------------------------------------------------


def _prompt(statement: ast.PromptAgent, frame: Frame) -> Doing[None]:
    prompt = yield from frame.value(statement.prompt)
    schema = None if statement.schema is None else (yield from frame.value(statement.schema))
    ask = AskModel(
        prompt=text_of(prompt),
        schema=schema,
        settings=frame.model_settings(),
    )
    frame.bind(statement.into, (yield from frame.act(ask, statement.span)))


def _ask(action: AskPerson, span: Span, frame: Frame) -> Doing[None]:
    answer = yield from frame.act(action, span)
    if isinstance(answer, dict) and answer.get("approved") is not True:
        comment = as_text(answer.get("comment") or "")
        what = "did not approve it" if action.what == "review" else "ended it here"
        message = f"{as_text(answer.get('by') or 'a person')} {what}" + (f": {comment}" if comment else "")
        raise Failure("R208", message, frame.site(span), comment=comment)


# --- budgets -----------------------------------------------------------------------------------------------------


def _set_budget(statement: ast.SetBudget, frame: Frame) -> Doing[None]:
    name, scope = statement.name.text, frame.scope
    if name == "EXECUTION_TIME":
        seconds = yield from _seconds(statement.limit, frame)
        if seconds is None:
            return
        limit = seconds
        scope.deadlines = (*scope.deadlines, Deadline(seconds, scope.clock + seconds, frame.path))
    else:
        value = yield from frame.value(statement.limit)
        if isinstance(value, Unknown):
            return
        if not is_number(value) or value < 0:
            raise Failure("R201", f"a budget is a number, not {shown(value)}", frame.site(statement.limit.span))
        limit = float(value)
        scope.budgets = (*scope.budgets, Budget(name, limit, frame.path))
    site = frame.site(statement.span)
    yield Notice(kind="budget", key=frame.path, site=site, data={"name": name, "limit": limit})


def _seconds(expression: Expression, frame: Frame) -> Doing[float | None]:
    """A time; None if it is not known yet."""
    value = yield from frame.value(expression)
    if isinstance(value, Unknown):
        return None
    try:
        seconds = parse_time(value) if isinstance(value, str) else float(value) if is_number(value) else -1.0
    except ValueError:
        seconds = -1.0
    if seconds < 0:
        raise Failure(
            "R201", f"{shown(value)} is no time", frame.site(expression.span), help='write `30s` or "1h 30m"'
        )
    return seconds


# --- documents ---------------------------------------------------------------------------------------------------


def _database(statement: ast.QueryDb | ast.InsertDoc | ast.UpdateDoc | ast.DeleteDoc, frame: Frame) -> Doing[None]:
    match statement:
        case ast.QueryDb(query=query, parameters=parameters, into=into):
            text = yield from frame.value(query)
            given: Value = {} if parameters is None else (yield from frame.value(parameters))
            frame.bind(into, (yield from frame.act(QueryDatabase(query=text, parameters=given), statement.span)))
        case ast.InsertDoc(collection=collection, source=source, into=into):
            name = yield from frame.value(collection)
            document = _document(source, frame)
            made = yield from frame.act(InsertDocument(collection=name, document=document), statement.span)
            frame.bind(into, made)
        case ast.UpdateDoc(collection=collection, id=id, source=source):
            name = yield from frame.value(collection)
            which = yield from frame.value(id)
            change = _document(source, frame)
            yield from frame.act(UpdateDocument(collection=name, id=which, change=change), statement.span)
        case ast.DeleteDoc(collection=collection, id=id):
            name = yield from frame.value(collection)
            which = yield from frame.value(id)
            yield from frame.act(DeleteDocument(collection=name, id=which), statement.span)
        case _:
            assert_never(statement)


def _document(name: ast.Name, frame: Frame) -> Value:
    """What a variable holds, which must be an object."""
    binding = frame.scope.variables.get(name.text)
    site: Site = frame.site(name.span)
    if binding is None:
        raise Failure("R201", f"the variable `{name.text}` has no value here", site, help="give it one before")
    if not isinstance(binding.value, dict | Unknown):
        raise Failure(
            "R201",
            f"a document is an object, and `{name.text}` is {kind_of(binding.value)}: {shown(binding.value)}",
            site,
            others=((binding.site, "it got its value here"),),
        )
    return binding.value
