"""All ways of a script, where nobody knows yet which is gone: what plans are made of.

An `Explorer` is the interpreter of runs with values that may be `Unknown`. Wherever a run decides, it goes every
way that a run could go, with a state that is true of all of them: a variable that a loop, or a block that may
fail, could have changed is not known there. So every effect of any run is among those that it asks for.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

from quanta_tissu.tisslang.engine.commands import unknown_run
from quanta_tissu.tisslang.engine.effects import Doing, Notice, Site
from quanta_tissu.tisslang.engine.failure import Failure
from quanta_tissu.tisslang.engine.frame import Frame
from quanta_tissu.tisslang.engine.interpreter import Interpreter, arms, lent
from quanta_tissu.tisslang.engine.scope import Binding, Scope
from quanta_tissu.tisslang.engine.values import Unknown, Value, hole
from quanta_tissu.tisslang.syntax import statements as ast


class Explorer(Interpreter):
    """Goes all ways of a script. The notices `way` say of a path of statements when it is gone."""

    def spent(self) -> Value:
        """Nobody knows."""
        return hole("COST")

    # --- ways ----------------------------------------------------------------------------------------------------

    def _if(self, statement: ast.If, frame: Frame) -> Doing[None]:
        ways = _Ways(self, frame)
        before: list[str] = []
        for number, (condition, body) in enumerate(arms(statement)):
            holds: bool | Unknown = True
            if condition is not None:
                try:
                    holds = yield from frame.truth(condition)
                except Failure as failure:
                    ways.failed(failure)
                    break
            if holds is False:
                continue
            path = f"{frame.path}.{number}"
            if holds is True and not before:
                yield from self.body(body, frame.at(path))
                return
            said = f"if not {' and not '.join(before)}" if before else ""
            site = frame.site(statement.keyword if condition is None else condition.span)
            if isinstance(holds, Unknown):
                said = f"{said}, but {_line(site.text)}" if before else f"if {_line(site.text)}"
                before.append(_line(site.text))
            yield from ways.go(path, body, said, site)
            if holds is True:
                break
        ways.meet()

    def _chosen(
        self,
        statement: ast.Choose,
        frame: Frame,
        options: list[tuple[str, ast.Body]],
        chosen: Value,
        question: str,
    ) -> Doing[None]:
        ways = _Ways(self, frame)
        for number, (title, body) in enumerate(options):
            site = frame.site(statement.keyword)
            yield from ways.go(f"{frame.path}.{number}", body, f"if “{title}” is chosen", site)
        ways.meet()

    def _rounds(self, statement: ast.For, frame: Frame, items: Value) -> Doing[None]:
        if not isinstance(items, Unknown):
            yield from super()._rounds(statement, frame, items)
            return
        site = frame.site(statement.items.span)
        ways = _Ways(self, frame)
        ways.reached.append(frame.scope.copy())  # there may be none
        entry = _shaken(frame, statement.body).often(None)
        entry.variables[statement.name.text] = Binding(hole(statement.name.text), site)
        said = f"for each {statement.name.text} of {_line(site.text)}"
        yield from ways.go(f"{frame.path}#n", statement.body, said, site, entry)
        ways.meet()

    # --- failures ------------------------------------------------------------------------------------------------

    def _try(self, statement: ast.Try, frame: Frame) -> Doing[None]:
        ways = _Ways(self, frame)
        site = frame.site(statement.keyword)
        yield from ways.go(f"{frame.path}.try", statement.body, "", site)
        if statement.catch is not None:
            entry = _shaken(frame, statement.body)
            name = statement.error
            said = f"if what is tried in line {site.line} fails"
            with lent(entry, "" if name is None else name.text):
                if name is not None:
                    entry.variables[name.text] = Binding(hole(name.text), frame.site(name.span))
                yield from ways.go(f"{frame.path}.catch", statement.catch, said, site, entry)
        if statement.always is not None:
            changed = (*statement.body, *(statement.catch or ()))
            state = _shaken(frame, changed)
            yield from self.body(statement.always, frame.at(f"{frame.path}.finally", state))
            if ways.reached:
                ways.reached = [state]
        ways.meet()

    def _attempts(self, statement: ast.Retry, frame: Frame, times: Value) -> Doing[None]:
        if not isinstance(times, Unknown) and (not isinstance(times, int) or isinstance(times, bool) or times < 1):
            yield from super()._attempts(statement, frame, times)
        most = times if isinstance(times, int) else None
        often = "as often as it fails" if most is None else f"up to {most} times"
        site = frame.site(statement.keyword)
        ways = _Ways(self, frame)
        into = () if statement.into is None else (statement.into,)
        entry = frame.scope.copy() if most == 1 else _shaken(frame, statement.body, into)
        said = "" if most == 1 else often
        yield from ways.go(f"{frame.path}#n", statement.body, said, site, entry.copy().often(most))
        if most != 1 and statement.prompt is not None:
            less = _shaken(frame, statement.body, into).often(None if most is None else most - 1)
            path = f"{frame.path}#n.fix"
            yield Notice(kind="way", key=path, site=site, data={"when": "if it fails"})
            yield from self._fix(statement, frame.at(path, less), path, hole("failure"))
        ways.meet()

    # --- tasks ---------------------------------------------------------------------------------------------------

    def called(self, task: ast.DefineTask, frame: Frame) -> Doing[None]:
        """What a task does; one that calls itself, with what is true every time, as often as it likes."""
        title = task.title.plain or ""
        if title not in self._recursive:
            yield from super().called(task, frame)
            return
        scope = frame.scope
        here = f"{title} {sorted((name, repr(value)) for name, value in scope.settings.items())}"
        if here in self._saying:
            return  # what it does is being said
        for name in task.parameters:
            scope.variables[name.text] = Binding(hole(name.text), Site(frame.source, name.span))
        again = replace(scope, at_most=None)
        said = f"as often as “{title}” calls itself"
        site = Site(frame.source, task.keyword)
        path = f"{frame.path}#n"
        yield Notice(kind="way", key=path, site=site, data={"when": said})
        self._saying.append(here)
        try:
            yield from super().called(task, frame.at(path, again))
        finally:
            self._saying.pop()

    @cached_property
    def _saying(self) -> list[str]:
        """The tasks that call themselves of which is being said what they do, with what directives say."""
        return []

    @cached_property
    def _recursive(self) -> frozenset[str]:
        """The titles of tasks that call themselves, also through others."""
        calls = {title: _calls(task.body) for title, (task, _) in self._tasks.items()}
        found = set()
        for title in calls:
            reached: set[str] = set()
            ahead = set(calls[title])
            while ahead:
                one = ahead.pop()
                if one not in reached:
                    reached.add(one)
                    ahead |= calls.get(one, frozenset())
            if title in reached:
                found.add(title)
        return frozenset(found)

    def _estimate(self, statement: ast.EstimateCost, frame: Frame) -> Doing[None]:
        yield from self.body(statement.body, frame)


class _Ways:
    """Ways of which one is gone.

    Args:
        explorer: Goes them.
        frame: Where they begin.

    Attributes:
        reached: What is known at the ends of those that come to an end.
    """

    def __init__(self, explorer: Explorer, frame: Frame) -> None:
        self._explorer = explorer
        self._frame = frame
        self._failure: Failure | None = None
        self.reached: list[Scope] = []

    def failed(self, failure: Failure) -> None:
        """A way ends before the end."""
        self._failure = self._failure or failure

    def go(self, path: str, body: ast.Body, when: str, site: Site, scope: Scope | None = None) -> Doing[None]:
        """Go one of them.

        Args:
            path: Of its statements.
            body: Them.
            when: In which case it is gone; empty: in any.
            site: What decides.
            scope: What is known at its beginning, if that is not what is known before.
        """
        way = self._frame.scope.copy() if scope is None else scope
        if when:
            yield Notice(kind="way", key=path, site=site, data={"when": when})
        try:
            yield from self._explorer.body(body, self._frame.at(path, way))
        except Failure as failure:
            self.failed(failure)
        else:
            self.reached.append(way)

    def meet(self) -> None:
        """Go on where they come together.

        Raises:
            Failure: None of them comes to an end.
        """
        if self.reached:
            _come_together(self._frame.scope, self.reached)
        elif self._failure is not None:
            raise self._failure


def _come_together(scope: Scope, ways: list[Scope]) -> None:
    """What is known where ways come together of which one is gone."""
    joined: dict[str, Binding] = {}
    for name in dict.fromkeys(name for way in ways for name in way.variables):
        found = [way.variables[name] for way in ways if name in way.variables]
        same = len(found) == len(ways) and all(one is found[0] for one in found)
        joined[name] = found[0] if same else Binding(hole(name), found[0].site)
    runs = [way.last_run for way in ways if way.last_run is not None]
    scope.variables, scope.last_run = joined, (runs[-1] if runs else None)


def _shaken(frame: Frame, body: ast.Body, more: tuple[ast.Name, ...] = ()) -> Scope:
    """What is known wherever in a body one is, and however often it was done."""
    scope = frame.scope.copy()
    for one in ast.walk(body):
        name = one.name if isinstance(one, ast.Var) else getattr(one, "into", None)
        if isinstance(name, ast.Name):
            more = (*more, name)
        if isinstance(one, ast.Run):
            scope.last_run = unknown_run(frame.site(one.span), "")
    for name in more:
        scope.variables[name.text] = Binding(hole(name.text), frame.site(name.span))
    return scope


def _calls(body: ast.Body) -> frozenset[str]:
    return frozenset(one.title.plain or "" for one in ast.walk(body) if isinstance(one, ast.Call))


def _line(text: str) -> str:
    return " ".join(text.split())
