"""The meaning of scripts: it says what is to be done, one effect after the other, and does nothing itself.

Every run, replay and plan goes through here, so that a plan cannot say anything else than a run does. Where a plan
cannot know which way is gone, an `Explorer` goes all of them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

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
    Fork,
    Notice,
    Outcome,
    Site,
)
from quanta_tissu.tisslang.engine.failure import Failure
from quanta_tissu.tisslang.engine.frame import Frame
from quanta_tissu.tisslang.engine.scope import Binding, Scope
from quanta_tissu.tisslang.engine.values import Value, as_text, kind_of, shown
from quanta_tissu.tisslang.source import SourceFile
from quanta_tissu.tisslang.syntax import statements as ast
from quanta_tissu.tisslang.syntax.expressions import Expression

_DEEPEST_CALL = 40
_DEEPEST_BLOCK = 200  # blocks in blocks, over all tasks: each takes some of the stack


class Interpreter:
    """Does a script.

    Args:
        statements: What the script says.
        source: Its text.
        tasks: What CALL can do: by title, each with the script it stands in.
        settings: What directives would say at its top: what the caller asked for.
    """

    def __init__(
        self,
        statements: ast.Body,
        source: SourceFile,
        tasks: Mapping[str, tuple[ast.DefineTask, SourceFile]],
        *,
        settings: Mapping[str, Value] | None = None,
    ) -> None:
        self._statements = statements
        self._source = source
        self._tasks = tasks
        self._settings = dict(settings or {})
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
        """The money that was spent so far."""
        return self._usage.cost

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
        name = directive.name.text
        frame.scope.settings = {**frame.scope.settings, name: value}
        if name in ("source_task", "source_agent"):  # for the record: nothing that is done depends on it
            site = frame.site(directive.span)
            yield Notice(kind="origin", key=frame.path, site=site, data={"name": name, "value": as_text(value)})

    def _step(self, title: str, body: ast.Body, statement: ast.Statement, frame: Frame) -> Doing[None]:
        site = frame.site(statement.keyword)
        yield Notice(kind="step.begin", key=frame.path, site=site, data={"title": title})
        began = frame.scope.clock
        try:
            if _sandbox(body, frame.scope) == "txn" and frame.scope.transaction is None:
                yield from self._transaction(body, frame, site)
            else:
                yield from self.body(body, frame)
        except Failure as failure:
            failure.steps = (frame.path,)
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
        yield from frame.at(f"{frame.path}.commit").act(Commit(), site.span)

    def _end(self, frame: Frame, site: Site, status: str, began: float) -> Notice:
        seconds = round(frame.scope.clock - began, 3)
        return Notice(kind="step.end", key=frame.path, site=site, data={"status": status, "seconds": seconds})

    # --- ways ----------------------------------------------------------------------------------------------------

    def _if(self, statement: ast.If, frame: Frame) -> Doing[None]:
        for number, (condition, body) in enumerate(arms(statement)):
            if condition is not None:
                holds = yield from frame.truth(condition)
                site = frame.site(condition.span)
                said = {"what": "IF", "condition": site.text, "holds": holds}
                yield Notice(kind="decision", key=f"{frame.path}.{number}", site=site, data=said)
                if not holds:
                    continue
            yield from self.body(body, frame.at(f"{frame.path}.{number}"))
            return

    def _choose(self, statement: ast.Choose, frame: Frame) -> Doing[None]:
        before = frame.scope.settings
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
        try:
            yield from self._chosen(statement, frame, options, chosen, question)
        finally:
            frame.scope.settings = before

    def _chosen(
        self,
        statement: ast.Choose,
        frame: Frame,
        options: list[tuple[str, ast.Body]],
        chosen: Value,
        question: str,
    ) -> Doing[None]:
        """Do the option that a person chose."""
        number = next(n for n, (title, _) in enumerate(options) if title == chosen)
        said = {"what": "CHOOSE", "condition": question, "chosen": chosen}
        yield Notice(kind="decision", key=frame.path, site=frame.site(statement.keyword), data=said)
        yield from self.body(options[number][1], frame.at(f"{frame.path}.{number}"))

    def _for(self, statement: ast.For, frame: Frame) -> Doing[None]:
        items = yield from frame.value(statement.items)
        with lent(frame.scope, statement.name.text):
            yield from self._rounds(statement, frame, items)

    def _rounds(self, statement: ast.For, frame: Frame, items: Value) -> Doing[None]:
        """Do the same for each item."""
        site = frame.site(statement.items.span)
        if not isinstance(items, list | str):
            raise Failure(
                "R201",
                f"FOR takes a list, or a text for its lines; this is {kind_of(items)}: {shown(items)}",
                site,
            )
        for number, one in enumerate(items.splitlines() if isinstance(items, str) else items):
            frame.scope.variables[statement.name.text] = Binding(one, site)
            yield from self.body(statement.body, frame.at(f"{frame.path}#{number}"))

    # --- failures ------------------------------------------------------------------------------------------------

    def _try(self, statement: ast.Try, frame: Frame) -> Doing[None]:
        pending: Failure | None = None
        try:
            yield from self.body(statement.body, frame.at(f"{frame.path}.try"))
        except Failure as failure:
            pending = failure
        if statement.catch is not None and pending is not None:
            try:
                yield from self._catch(statement, statement.catch, pending, frame)
                pending = None
            except Failure as failure:
                pending = failure
        if statement.always is not None:
            yield from self.body(statement.always, frame.at(f"{frame.path}.finally"))
        if pending is not None:
            raise pending

    def _catch(self, statement: ast.Try, body: ast.Body, caught: Failure, frame: Frame) -> Doing[None]:
        site = frame.site(statement.keyword)
        said = {"what": "CATCH", "code": caught.diagnostic.code, "condition": caught.diagnostic.message}
        yield Notice(kind="decision", key=f"{frame.path}.catch", site=site, data=said)
        with lent(frame.scope, "" if statement.error is None else statement.error.text):
            frame.bind(statement.error, caught.value())
            yield from self.body(body, frame.at(f"{frame.path}.catch"))

    def _retry(self, statement: ast.Retry, frame: Frame) -> Doing[None]:
        times = yield from frame.value(statement.times)
        yield from self._attempts(statement, frame, times)

    def _attempts(self, statement: ast.Retry, frame: Frame, times: Value) -> Doing[None]:
        """Do the same until it does not fail."""
        if not isinstance(times, int) or isinstance(times, bool) or times < 1:
            site = frame.site(statement.times.span)
            raise Failure("R201", f"RETRY MAX takes a whole number above 0, not {shown(times)}", site)
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

    def _fix(self, statement: ast.Retry, frame: Frame, key: str, failure: Value) -> Doing[None]:
        """Ask a model for a correction."""
        if statement.prompt is None:
            return
        scope = frame.scope
        inside = frame.at(key)
        with lent(scope, "failure"):
            scope.variables["failure"] = Binding(failure, frame.site(statement.prompt.span))
            prompt = yield from inside.value(statement.prompt)
            ask = AskModel(prompt=prompt, schema=None, settings=inside.model_settings())
            answer = yield from inside.act(ask, statement.prompt.span)
        if statement.into is not None:
            scope.variables[statement.into.text] = Binding(answer, frame.site(statement.into.span))

    # --- at the same time ----------------------------------------------------------------------------------------

    def _parallel(self, statement: ast.Parallel, frame: Frame) -> Doing[None]:
        settings = frame.scope.settings
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
        base.settings = settings
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
            joined = Failure(
                first.code,
                first.message,
                found[0].site,
                label=first.label.text,
                others=tuple((one.site, f"so did this: {one.diagnostic.message}") for one in found[1:]),
                notes=first.notes,
                help=first.help,
                **dict(first.data),
            )
            joined.steps = tuple(step for one in found for step in one.steps)
            raise joined

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
        if len(scope.calls) >= _DEEPEST_CALL or frame.path.count("/") > _DEEPEST_BLOCK:
            raise Failure(
                "R210",
                f"tasks call each other {len(scope.calls)} levels deep",
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
            yield from self.called(task, Frame(self, source, inner, frame.path))
        finally:
            scope.clock = inner.clock

    def called(self, task: ast.DefineTask, frame: Frame) -> Doing[None]:
        """Do what a task says."""
        yield from self.body(task.body, frame)

    def _estimate(self, statement: ast.EstimateCost, frame: Frame) -> Doing[None]:
        from quanta_tissu.tisslang.engine.exploring import Explorer  # a plan is made of this very class
        from quanta_tissu.tisslang.engine.planning import estimate_of

        planner = Explorer((), self._source, self._tasks)
        estimate = estimate_of(planner.body(statement.body, Frame(planner, frame.source, frame.scope.copy(), "")))
        said = {"text": as_text((yield from frame.act(estimate, statement.keyword)))}
        yield Notice(kind="note", key=frame.path, site=frame.site(statement.keyword), data=said)
        yield from self.body(statement.body, frame)


def arms(statement: ast.If) -> Iterator[tuple[Expression | None, ast.Body]]:
    """The ways of an IF in order, each with its condition; the last has none."""
    yield statement.condition, statement.body
    for one in statement.branches:
        yield one.condition, one.body
    yield None, statement.otherwise or ()


@contextmanager
def lent(scope: Scope, name: str) -> Iterator[None]:
    """A variable that a block gives a meaning of its own: afterwards, however it ends, it is what it was."""
    outside = scope.variables.get(name)
    try:
        yield
    finally:
        scope.variables.pop(name, None)
        if outside is not None:
            scope.variables[name] = outside


def _sandbox(body: ast.Body, scope: Scope) -> Value:
    """How a step is kept in: what stands at its top, or what holds around it."""
    for one in body:
        if isinstance(one, ast.Directive) and one.name.text == "sandbox" and isinstance(one.value, ast.Name):
            return one.value.text
    return scope.settings.get("sandbox")


def _given_up(failure: Failure, attempt: int, same: bool) -> Failure:
    """The failure with which a RETRY ends."""
    one = failure.diagnostic
    why = "the same failure came back" if same else "no attempt is left"
    tries = f"{attempt} attempt{'s' if attempt > 1 else ''}"
    given_up = Failure(
        one.code,
        one.message,
        failure.site,
        label=one.label.text,
        notes=(*one.notes, f"RETRY gave up after {tries}: {why}"),
        help=one.help,
        **dict(one.data),
    )
    given_up.steps = failure.steps
    return given_up
