"""The meaning of scripts: it says what is to be done, one effect after the other, and does nothing itself.

Every run, replay and plan goes through here, so that a plan cannot say anything else than a run does. Where a plan
cannot know which way is gone, `exhaustive` goes all of them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping

from quanta_tissu.tisslang.engine.budgets import Usage
from quanta_tissu.tisslang.engine.commands import perform
from quanta_tissu.tisslang.engine.effects import (
    Action,
    AskModel,
    AskPerson,
    Begin,
    Commit,
    Discard,
    Doing,
    Effect,
    EstimateBlock,
    Fork,
    Notice,
    Outcome,
    RunCommand,
    Site,
)
from quanta_tissu.tisslang.engine.failure import Failure
from quanta_tissu.tisslang.engine.frame import Frame
from quanta_tissu.tisslang.engine.planning import effects_of
from quanta_tissu.tisslang.engine.scope import Binding, Scope
from quanta_tissu.tisslang.engine.values import Unknown, Value, as_text, kind_of, shown
from quanta_tissu.tisslang.source import SourceFile
from quanta_tissu.tisslang.syntax import statements as ast
from quanta_tissu.tisslang.syntax.expressions import Expression

_DEEPEST_CALL = 40


class Interpreter:
    """Does a script.

    Args:
        statements: What the script says.
        source: Its text.
        tasks: What CALL can do: by title, each with the script it stands in.
        settings: What directives would say at its top: what the caller asked for.
        exhaustive: Whether to go all ways, because values are not known.
    """

    def __init__(
        self,
        statements: ast.Body,
        source: SourceFile,
        tasks: Mapping[str, tuple[ast.DefineTask, SourceFile]],
        *,
        settings: Mapping[str, Value] | None = None,
        exhaustive: bool = False,
    ) -> None:
        self._statements = statements
        self._source = source
        self._tasks = tasks
        self._settings = dict(settings or {})
        self.exhaustive = exhaustive
        self._lock = threading.Lock()
        self._usage = Usage()

    def run(self) -> Doing[Scope]:
        """Do the script.

        Raises:
            Failure: It failed.
        """
        scope = Scope(settings=self._settings)
        yield from self.body(self._statements, Frame(self, self._source, scope, ""))
        return scope

    # --- what commands need --------------------------------------------------------------------------------------

    def spent(self) -> Value:
        """The money that was spent so far; a plan does not know."""
        return Unknown("{COST}") if self.exhaustive else self._usage.cost

    def act(self, action: Action, key: str, site: Site, scope: Scope) -> Doing[Outcome]:
        """Have an action done; what came of it, which may be a failure."""
        left = scope.seconds_left
        if left is not None and left <= 0:
            limit = min(scope.deadlines, key=lambda one: one.until).limit
            raise Failure(
                "R205",
                f"the time is over: EXECUTION_TIME is {limit:g} s",
                site,
                help="give it more, or do less",
                budget="EXECUTION_TIME",
            )
        outcome = yield Effect(
            action=action,
            key=key,
            site=site,
            transaction=scope.transaction,
            budgets=scope.budgets,
            seconds_left=left,
            at_most=scope.at_most,
        )
        assert isinstance(outcome, Outcome)
        scope.clock += outcome.seconds
        with self._lock:
            self._usage += outcome.usage
        return outcome

    # --- statements ----------------------------------------------------------------------------------------------

    def body(self, body: ast.Body, frame: Frame) -> Doing[None]:
        """Do statements one after the other; directives and budgets among them hold until the end of the body."""
        scope = frame.scope
        before = scope.settings, scope.budgets, scope.deadlines
        try:
            for number, statement in enumerate(body):
                word = frame.source[statement.keyword]
                inside = f"{frame.path}/{number}:{word}" if frame.path else f"{number}:{word}"
                yield from self.statement(statement, frame.at(inside))
        finally:
            scope.settings, scope.budgets, scope.deadlines = before

    def statement(self, statement: ast.Statement, frame: Frame) -> Doing[None]:
        """Do one statement."""
        match statement:
            case ast.Import() | ast.DefineTask():
                pass
            case ast.Directive():
                yield from self._directive(statement, frame)
            case ast.Task(body=body):
                yield from self.body(body or (), frame)
            case ast.Setup(body=body):
                yield from self._step("SETUP", body, statement, frame)
            case ast.Step(title=title, body=body):
                yield from self._step((yield from frame.text(title)), body, statement, frame)
            case ast.Parallel():
                yield from self._parallel(statement, frame)
            case ast.Choose():
                yield from self._choose(statement, frame)
            case ast.If():
                yield from self._if(statement, frame)
            case ast.For():
                yield from self._for(statement, frame)
            case ast.Try():
                yield from self._try(statement, frame)
            case ast.Retry():
                yield from self._retry(statement, frame)
            case ast.EstimateCost():
                yield from self._estimate(statement, frame)
            case ast.Call():
                yield from self._call(statement, frame)
            case _:
                yield from perform(statement, frame)

    def _directive(self, directive: ast.Directive, frame: Frame) -> Doing[None]:
        value: Value = True
        if isinstance(directive.value, ast.Name):
            value = directive.value.text
        elif directive.value is not None:
            value = yield from frame.value(directive.value)
        frame.scope.settings = {**frame.scope.settings, directive.name.text: value}

    def _step(self, title: str, body: ast.Body, statement: ast.Statement, frame: Frame) -> Doing[None]:
        site = frame.site(statement.keyword)
        yield Notice(kind="step.begin", key=frame.path, site=site, data={"title": title})
        began = frame.scope.clock
        try:
            if _sandbox(body, frame.scope) == "txn" and frame.scope.transaction is None:
                yield from self._transaction(body, frame, site)
            else:
                yield from self.body(body, frame)
        except Failure:
            yield self._end(frame, site, "failed", began)
            raise
        yield self._end(frame, site, "done", began)

    def _transaction(self, body: ast.Body, frame: Frame, site: Site) -> Doing[None]:
        """A step on a copy of the project, which replaces the project's files only if nothing fails."""
        scope = frame.scope
        yield from frame.at(f"{frame.path}.begin").act(Begin(), site.span)
        scope.transaction = frame.path
        try:
            yield from self.body(body, frame)
        except Failure:
            yield from frame.at(f"{frame.path}.discard").act(Discard(), site.span)
            raise
        finally:
            scope.transaction = None
        ending = frame.at(f"{frame.path}.commit")
        ending.scope.transaction = frame.path
        try:
            yield from ending.act(Commit(), site.span)
        finally:
            scope.transaction = None

    def _end(self, frame: Frame, site: Site, status: str, began: float) -> Notice:
        seconds = round(frame.scope.clock - began, 3)
        return Notice(kind="step.end", key=frame.path, site=site, data={"status": status, "seconds": seconds})

    # --- ways ----------------------------------------------------------------------------------------------------

    def _if(self, statement: ast.If, frame: Frame) -> Doing[None]:
        arms: list[tuple[Expression | None, ast.Body]] = [(statement.condition, statement.body)]
        arms += [(one.condition, one.body) for one in statement.branches]
        arms.append((None, statement.otherwise or ()))
        scopes: list[Scope] = []  # where nobody knows which way is gone
        for number, (condition, body) in enumerate(arms):
            holds: bool | Unknown = True
            if condition is not None:
                holds = yield from frame.truth(condition)
                site = frame.site(condition.span)
                said = {"what": "IF", "condition": site.text, "holds": holds if isinstance(holds, bool) else None}
                yield Notice(kind="decision", key=f"{frame.path}.{number}", site=site, data=said)
            if holds is False:
                continue
            if holds is True and not scopes:
                yield from self.body(body, frame.at(f"{frame.path}.{number}"))
                return
            way = frame.scope.copy()
            yield from self.body(body, frame.at(f"{frame.path}.{number}", way))
            scopes.append(way)
            if holds is True:
                break
        _come_together(frame.scope, scopes)

    def _choose(self, statement: ast.Choose, frame: Frame) -> Doing[None]:
        options: list[tuple[str, ast.Body]] = []
        for one in statement.body:
            if isinstance(one, ast.Option | ast.Step):
                options.append(((yield from frame.text(one.title)), one.body))
            elif isinstance(one, ast.Directive):
                yield from self._directive(one, frame)
        question = "Which way?"
        if statement.question is not None:
            question = yield from frame.text(statement.question)
        ask = AskPerson(what="choose", shown=question, options=tuple(title for title, _ in options))
        chosen = yield from frame.act(ask, statement.keyword)
        if isinstance(chosen, Unknown):
            scopes = [frame.scope.copy() for _ in options]
            for number, ((_, body), way) in enumerate(zip(options, scopes, strict=True)):
                yield from self.body(body, frame.at(f"{frame.path}.{number}", way))
            _come_together(frame.scope, scopes)
            return
        number = next(n for n, (title, _) in enumerate(options) if title == chosen)
        said = {"what": "CHOOSE", "condition": question, "chosen": chosen}
        yield Notice(kind="decision", key=frame.path, site=frame.site(statement.keyword), data=said)
        yield from self.body(options[number][1], frame.at(f"{frame.path}.{number}"))

    def _for(self, statement: ast.For, frame: Frame) -> Doing[None]:
        items = yield from frame.value(statement.items)
        site = frame.site(statement.items.span)
        name, scope = statement.name.text, frame.scope
        outside = scope.variables.get(name)
        if isinstance(items, Unknown):
            scope.variables[name] = Binding(Unknown(f"{{{name}}}"), site)
            again = scope.often(None)
            yield from self.body(statement.body, frame.at(f"{frame.path}#n", again))
            scope.become(again)
        elif isinstance(items, list | str):
            for number, one in enumerate(items.splitlines() if isinstance(items, str) else items):
                scope.variables[name] = Binding(one, site)
                yield from self.body(statement.body, frame.at(f"{frame.path}#{number}"))
        else:
            raise Failure(
                "R201",
                f"FOR takes a list, or a text for its lines; this is {kind_of(items)}: {shown(items)}",
                site,
            )
        scope.variables.pop(name, None)
        if outside is not None:
            scope.variables[name] = outside

    # --- failures ------------------------------------------------------------------------------------------------

    def _try(self, statement: ast.Try, frame: Frame) -> Doing[None]:
        pending: Failure | None = None
        try:
            yield from self.body(statement.body, frame.at(f"{frame.path}.try"))
        except Failure as failure:
            pending = failure
        if statement.catch is not None and (pending is not None or self.exhaustive):
            try:
                yield from self._catch(statement, pending, frame)
                pending = None
            except Failure as failure:
                pending = failure
        if statement.always is not None:
            yield from self.body(statement.always, frame.at(f"{frame.path}.finally"))
        if pending is not None:
            raise pending

    def _catch(self, statement: ast.Try, caught: Failure | None, frame: Frame) -> Doing[None]:
        variables = frame.scope.variables
        if caught is not None:
            site = frame.site(statement.keyword)
            said = {"what": "CATCH", "code": caught.diagnostic.code, "condition": caught.diagnostic.message}
            yield Notice(kind="decision", key=f"{frame.path}.catch", site=site, data=said)
        name = None if statement.error is None else statement.error
        if name is not None:
            value = Unknown(f"{{{name.text}}}") if caught is None else caught.value()
            variables[name.text] = Binding(value, frame.site(name.span))
        yield from self.body(statement.catch or (), frame.at(f"{frame.path}.catch"))
        if name is not None:
            frame.scope.variables.pop(name.text, None)

    def _retry(self, statement: ast.Retry, frame: Frame) -> Doing[None]:
        times = yield from frame.value(statement.times)
        site = frame.site(statement.times.span)
        if isinstance(times, Unknown):
            yield from self._all_attempts(statement, frame, None)
            return
        if not isinstance(times, int) or isinstance(times, bool) or times < 1:
            raise Failure("R201", f"RETRY MAX takes a whole number above 0, not {shown(times)}", site)
        if self.exhaustive:
            yield from self._all_attempts(statement, frame, times)
            return
        before: str | None = None
        for attempt in range(1, times + 1):
            try:
                yield from self.body(statement.body, frame.at(f"{frame.path}#{attempt}"))
                return
            except Failure as failure:
                same = failure.signature() == before
                before = failure.signature()
                said = {"what": "RETRY", "attempt": attempt, "of": times, "condition": failure.diagnostic.message}
                if same:
                    said["stuck"] = True
                yield Notice(kind="decision", key=f"{frame.path}#{attempt}", site=failure.site, data=said)
                if same or attempt == times:
                    raise _given_up(failure, attempt, same) from failure
                yield from self._fix(statement, frame, f"{frame.path}#{attempt}.fix", failure.value())

    def _all_attempts(self, statement: ast.Retry, frame: Frame, times: int | None) -> Doing[None]:
        """What a RETRY does at most, for a plan."""
        again = frame.scope.often(times)
        yield from self.body(statement.body, frame.at(f"{frame.path}#n", again))
        frame.scope.become(again)
        if times != 1:
            less = frame.at(f"{frame.path}#n.fix", frame.scope.often(None if times is None else times - 1))
            yield from self._fix(statement, less, less.path, Unknown("{failure}"))

    def _fix(self, statement: ast.Retry, frame: Frame, key: str, failure: Value) -> Doing[None]:
        """Ask a model for a correction."""
        if statement.prompt is None:
            return
        scope = frame.scope
        hidden = scope.variables.get("failure")
        scope.variables["failure"] = Binding(failure, frame.site(statement.prompt.span))
        inside = frame.at(key)
        prompt = yield from inside.value(statement.prompt)
        ask = AskModel(prompt=prompt, schema=None, settings=inside.model_settings())
        answer = yield from inside.act(ask, statement.prompt.span)
        scope.variables.pop("failure")
        if hidden is not None:
            scope.variables["failure"] = hidden
        if statement.into is not None:
            scope.variables[statement.into.text] = Binding(answer, frame.site(statement.into.span))

    # --- at the same time ----------------------------------------------------------------------------------------

    def _parallel(self, statement: ast.Parallel, frame: Frame) -> Doing[None]:
        for one in statement.body:
            if isinstance(one, ast.Directive):
                yield from self._directive(one, frame)
        steps = [(n, one) for n, one in enumerate(statement.body) if not isinstance(one, ast.Directive)]
        scopes = [frame.scope.copy() for _ in steps]
        branches = tuple(
            self._branch(one, frame.at(f"{frame.path}/{number}:{frame.source[one.keyword]}", scope))
            for (number, one), scope in zip(steps, scopes, strict=True)
        )
        cancel = frame.scope.settings.get("on_error", "cancel") == "cancel"
        failures = yield Fork(key=frame.path, branches=branches, cancel=cancel)
        base = frame.scope
        before = dict(base.variables)
        for scope in scopes:  # in the order in which they are written
            base.variables.update({n: one for n, one in scope.variables.items() if before.get(n) is not one})
            base.last_run = scope.last_run if scope.last_run is not None else base.last_run
        base.clock = max((scope.clock for scope in scopes), default=base.clock)
        found = [one for one in failures if isinstance(one, Failure)]
        if len(found) == 1:
            raise found[0]
        if found:
            first = found[0].diagnostic
            raise Failure(
                first.code,
                first.message,
                found[0].site,
                label=first.label.text,
                others=tuple((one.site, f"so did this: {one.diagnostic.message}") for one in found[1:]),
                notes=first.notes,
                help=first.help,
                **dict(first.data),
            )

    def _branch(self, statement: ast.Statement, frame: Frame) -> Doing[Failure | None]:
        """One way of a PARALLEL."""
        try:
            yield from self.statement(statement, frame)
        except Failure as failure:
            return failure
        return None

    # --- tasks ---------------------------------------------------------------------------------------------------

    def _call(self, statement: ast.Call, frame: Frame) -> Doing[None]:
        title = statement.title.plain or ""
        task, source = self._tasks[title]
        scope = frame.scope
        if self.exhaustive and title in scope.calls:
            return  # what it does was said; how often is not known
        if len(scope.calls) >= _DEEPEST_CALL:
            raise Failure(
                "R210",
                f"tasks call each other {_DEEPEST_CALL} levels deep",
                frame.site(statement.span),
                help="use FOR",
            )
        inner = Scope(
            settings=scope.settings,
            budgets=scope.budgets,
            deadlines=scope.deadlines,
            clock=scope.clock,
            transaction=scope.transaction,
            at_most=scope.at_most,
            calls=(*scope.calls, title),
        )
        for name, argument in zip(task.parameters, statement.arguments, strict=True):
            value = yield from frame.value(argument)
            inner.variables[name.text] = Binding(value, frame.site(argument.span))
        try:
            yield from self.body(task.body, Frame(self, source, inner, frame.path))
        finally:
            scope.clock = inner.clock

    def _estimate(self, statement: ast.EstimateCost, frame: Frame) -> Doing[None]:
        if not self.exhaustive:
            planner = Interpreter((), self._source, self._tasks, exhaustive=True)
            found = effects_of(planner.body(statement.body, Frame(planner, frame.source, frame.scope.copy(), "")))
            runs = [one.at_most for one in found if isinstance(one.action, RunCommand)]
            prompts = tuple((one.action, one.at_most) for one in found if isinstance(one.action, AskModel))
            estimate = EstimateBlock(commands=at_most(runs), prompts=prompts)
            said = {"text": as_text((yield from frame.act(estimate, statement.keyword)))}
            yield Notice(kind="note", key=frame.path, site=frame.site(statement.keyword), data=said)
        yield from self.body(statement.body, frame)


def _sandbox(body: ast.Body, scope: Scope) -> Value:
    """How a step is kept in: what stands at its top, or what holds around it."""
    for one in body:
        if isinstance(one, ast.Directive) and one.name.text == "sandbox" and isinstance(one.value, ast.Name):
            return one.value.text
    return scope.settings.get("sandbox")


def at_most(times: Iterable[int | None]) -> int | None:
    """How often in all; None if nobody knows of one of them."""
    total = 0
    for one in times:
        if one is None:
            return None
        total += one
    return total


def _given_up(failure: Failure, attempt: int, same: bool) -> Failure:
    """The failure with which a RETRY ends."""
    one = failure.diagnostic
    why = "the same failure came back" if same else "no attempt is left"
    tries = f"{attempt} attempt{'s' if attempt > 1 else ''}"
    return Failure(
        one.code,
        one.message,
        failure.site,
        label=one.label.text,
        notes=(*one.notes, f"RETRY gave up after {tries}: {why}"),
        help=one.help,
        **dict(one.data),
    )


def _come_together(scope: Scope, ways: list[Scope]) -> None:
    """What is known where ways come together of which one is gone, and nobody knows which."""
    if not ways:
        return
    joined: dict[str, Binding] = {}
    for name in dict.fromkeys(name for way in ways for name in way.variables):
        found = [way.variables[name] for way in ways if name in way.variables]
        same = len(found) == len(ways) and all(one is found[0] for one in found)
        joined[name] = found[0] if same else Binding(Unknown(f"{{{name}}}"), found[0].site)
    runs = [way.last_run for way in ways if way.last_run is not None]
    scope.variables, scope.last_run = joined, (runs[-1] if runs else None)
