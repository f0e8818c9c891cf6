"""Checks of a script before it runs: it is followed on all its ways at once, and nothing of it is done.

What a point of the script can rely on is in a `State`. Where ways part, each goes on with a copy; where they come
together, only what holds on all of them is certain. Loops are followed twice, since what a round sets is there in
the next one.
"""

from __future__ import annotations

from collections.abc import Iterable

from quanta_tissu.tisslang.analysis.plain import check_settings
from quanta_tissu.tisslang.analysis.report import Report
from quanta_tissu.tisslang.analysis.state import Known, Origin, State, join
from quanta_tissu.tisslang.analysis.uses import check_uses
from quanta_tissu.tisslang.collecting import uncollected
from quanta_tissu.tisslang.diagnostics.diagnostic import Diagnostic, Label, in_order
from quanta_tissu.tisslang.source import Span
from quanta_tissu.tisslang.syntax import statements as ast
from quanta_tissu.tisslang.syntax.expressions import Constant, Expression, List, Text, Variable
from quanta_tissu.tisslang.syntax.tree import Script


def check(script: Script, tasks: Iterable[ast.DefineTask] = ()) -> tuple[Diagnostic, ...]:
    """What is wrong with a script, as far as can be told without running it.

    Args:
        script: A script without errors in how it is written; of others nothing is said.
        tasks: The tasks of scripts that it imports.

    Returns:
        Mistakes in the order of their places.
    """
    if not script.ok:
        return ()
    report = Report()
    with uncollected():
        check_settings(script, report)
        checker = _Checker(report, {**_by_title(tasks), **_by_title(_defined(script, report))})
        checker.body(script.statements, State())
    return tuple(in_order(report.diagnostics))


def _by_title(tasks: Iterable[ast.DefineTask]) -> dict[str, ast.DefineTask]:
    return {one.title.plain: one for one in tasks if one.title.plain is not None}


def _defined(script: Script, report: Report) -> list[ast.DefineTask]:
    found: dict[str, ast.DefineTask] = {}
    for one in script.statements:
        if not isinstance(one, ast.DefineTask) or one.title.plain is None:
            continue
        first = found.setdefault(one.title.plain, one)
        if first is not one:
            report.say(
                "E110",
                f"the task `{one.title.plain}` is defined twice",
                one.title.span,
                others=[Label(first.title.span, "first here")],
                help="give one of them another name",
            )
    return list(found.values())


class _Checker:
    def __init__(self, report: Report, tasks: dict[str, ast.DefineTask]) -> None:
        self._report = report
        self._tasks = tasks

    def body(self, body: ast.Body, state: State) -> None:
        """Follow statements one after the other; the state is changed."""
        for statement in body:
            if not state.reachable:
                self._report.say(
                    "W108",
                    "this is never reached",
                    statement.keyword,
                    help="what is before it fails in any case",
                )
                return
            self.statement(statement, state)

    def statement(self, statement: ast.Statement, state: State) -> None:
        """Follow one statement."""
        match statement:
            case ast.Directive() | ast.Import():
                pass
            case ast.Task(title=title, body=body):
                self._uses(title, state)
                self.body(body or (), state)
            case ast.Setup(body=body) | ast.Step(body=body) | ast.EstimateCost(body=body):
                self.body(body, state)
            case ast.Parallel():
                self._parallel(statement, state)
            case ast.Choose():
                self._choose(statement, state)
            case ast.Option(body=body):
                self.body(body, state)
            case ast.If():
                self._if(statement, state)
            case ast.For():
                self._for(statement, state)
            case ast.Try():
                self._try(statement, state)
            case ast.Retry():
                self._retry(statement, state)
            case ast.DefineTask():
                self._define(statement)
            case ast.Call():
                self._call(statement, state)
            case _:
                self._command(statement, state)

    def _quietly(self, body: ast.Body, state: State) -> None:
        """Follow statements of which all that is to be said is said elsewhere."""
        before = len(self._report.diagnostics)
        self.body(body, state)
        del self._report.diagnostics[before:]

    def _uses(self, expression: Expression | None, state: State) -> frozenset[Origin]:
        return frozenset() if expression is None else check_uses(expression, state, self._report)

    # --- commands ------------------------------------------------------------------------------------------------

    def _command(self, statement: ast.Statement, state: State) -> None:
        match statement:
            case ast.Read(path=path, into=into):
                self._path(path, state)
                self._bind(into, state, [Origin("a file", statement.span)])
            case ast.Write(path=path, text=text) | ast.Append(path=path, text=text):
                self._path(path, state)
                self._uses(text, state)
            case ast.Mkdir(path=path) | ast.Delete(path=path):
                self._path(path, state)
            case ast.Run(command=command, timeout=timeout):
                self._shell(command, state)
                self._uses(timeout, state)
                state.ran, state.run = Known.ALWAYS, statement.span
            case ast.Assert(condition=condition, message=message):
                self._uses(condition, state)
                self._uses(message, state)
                if isinstance(condition, Constant) and not condition.value:
                    state.reachable = False
            case ast.Var(name=name, value=value):
                self._bind(name, state, self._uses(value, state))
            case ast.Log(value=value):
                self._uses(value, state)
            case ast.PromptAgent(prompt=prompt, into=into, schema=schema):
                self._uses(prompt, state)
                self._uses(schema, state)
                self._bind(into, state, [Origin("a model", statement.span)])
            case ast.SetBudget(limit=limit):
                self._uses(limit, state)
            case ast.Pause(message=message):
                self._uses(message, state)
            case ast.RequestReview(what=what):
                self._uses(what, state)
            case ast.QueryDb():
                self._query(statement, state)
            case ast.InsertDoc(collection=collection, source=source, into=into):
                self._uses(collection, state)
                self._name(source, state)
                self._bind(into, state)
            case ast.UpdateDoc(collection=collection, id=id, source=source):
                self._uses(collection, state)
                self._uses(id, state)
                self._name(source, state)
            case ast.DeleteDoc(collection=collection, id=id):
                self._uses(collection, state)
                self._uses(id, state)

    def _bind(self, name: ast.Name | None, state: State, origins: Iterable[Origin] = ()) -> None:
        if name is not None:
            state.bind(name.text, name.span, origins)

    def _name(self, name: ast.Name, state: State) -> None:
        self._uses(Variable(name.text, name.span), state)

    def _path(self, path: Expression, state: State) -> None:
        self._tainted("W131", "a path", path.span, self._uses(path, state), "check it first, or let a person look")

    def _shell(self, command: Expression, state: State) -> None:
        origins = self._uses(command, state)
        if isinstance(command, Text):  # a hole is quoted, unless it says otherwise
            raw = [hole for hole in command.holes if any(one.name == "raw" for one in hole.filters)]
            for hole in raw:
                self._tainted(
                    "W130", "the shell", hole.span, self._uses(hole.value, state), "without `| raw` it is quoted"
                )
        else:
            self._tainted(
                "W130", "the shell", command.span, origins, 'write the command out: RUN "tool {{value}}"'
            )

    def _query(self, statement: ast.QueryDb, state: State) -> None:
        self._uses(statement.parameters, state)
        origins = self._uses(statement.query, state)
        self._tainted(
            "W132", "a query", statement.query.span, origins, "give it as a parameter: WITH {name: value}"
        )
        self._bind(statement.into, state, [Origin("the database", statement.span)])

    def _tainted(self, code: str, where: str, span: Span, origins: frozenset[Origin], help: str) -> None:
        if not origins:
            return
        first = min(origins, key=lambda one: one.span)
        self._report.say(
            code,
            f"text from {first.what} reaches {where}",
            span,
            others=[
                Label(one.span, f"it comes from {one.what}") for one in sorted(origins, key=lambda one: one.span)
            ],
            help=help,
        )

    # --- blocks --------------------------------------------------------------------------------------------------

    def _if(self, statement: ast.If, state: State) -> None:
        ways = []
        before = state
        parts = [(statement.condition, statement.body), *((one.condition, one.body) for one in statement.branches)]
        certain = False
        for condition, body in parts:
            self._uses(condition, before)
            way = before.copy()
            if certain or (isinstance(condition, Constant) and not condition.value):
                way.reachable = False
                if body:
                    self._report.say(
                        "W108",
                        "this is never reached",
                        body[0].keyword,
                        others=[Label(condition.span, "never true")],
                    )
            else:
                self.body(body, way)
            ways.append(way)
            certain = certain or (isinstance(condition, Constant) and bool(condition.value))
        otherwise = before.copy()
        otherwise.reachable = not certain
        if statement.otherwise is not None and not certain:
            self.body(statement.otherwise, otherwise)
        ways.append(otherwise)
        _become(state, join(ways))

    def _for(self, statement: ast.For, state: State) -> None:
        origins = self._uses(statement.items, state)
        once = state.copy()
        once.bind(statement.name.text, statement.name.span, origins)
        self._quietly(statement.body, once)  # the second round says the same, and what only it can tell
        again = join([state, once])
        again.bind(statement.name.text, statement.name.span, origins)
        self.body(statement.body, again)
        outside = state.variables.get(statement.name.text)
        certain = isinstance(statement.items, List) and bool(statement.items.items)
        _become(state, again if certain else join([state, again]))
        if outside is None:
            state.variables.pop(statement.name.text, None)
        else:
            state.variables[statement.name.text] = outside

    def _try(self, statement: ast.Try, state: State) -> None:
        tried = state.copy()
        self.body(statement.body, tried)
        failed = join([state, _as_if_reached(tried)])  # it may fail at any point
        if statement.catch is not None:
            caught = failed.copy()
            self._bind(statement.error, caught)
            self.body(statement.catch, caught)
            if statement.error is not None:
                caught.variables.pop(statement.error.text, None)
            after = join([tried, caught])
        else:
            after = tried
        if statement.always is not None:
            self.body(statement.always, join([after, failed]))  # it is done after a failure, too
            self._quietly(statement.always, after)
        _become(state, after)

    def _retry(self, statement: ast.Retry, state: State) -> None:
        self._uses(statement.times, state)
        first = state.copy()
        self.body(statement.body, first)
        if statement.prompt is not None:
            failed = join([state, _as_if_reached(first)])
            failed.bind("failure", statement.prompt.span, [Origin("a command", statement.span)])
            self._uses(statement.prompt, failed)
            if statement.into is not None and statement.into.text not in state.variables:
                self._report.say(
                    "W102",
                    f"the variable `{statement.into.text}` has no value in the first attempt",
                    statement.into.span,
                    help="give it one before RETRY",
                )
        _become(state, first)
        if statement.into is not None and (old := state.variables.get(statement.into.text)) is not None:
            state.bind(statement.into.text, old.span, old.origins | {Origin("a model", statement.span)})

    def _parallel(self, statement: ast.Parallel, state: State) -> None:
        seen: dict[tuple[str, str], Span] = {}
        ways = []
        for step in statement.body:
            way = state.copy()
            self.statement(step, way)
            ways.append((step, way))
            own: dict[tuple[str, str], Span] = {}
            if isinstance(step, ast.Step):
                for name, binding in way.variables.items():
                    if state.variables.get(name) != binding:
                        own["variable", name] = binding.span
                own.update({("file", path): span for path, span in _written(step.body)})
            for (kind, name), span in own.items():
                if (first := seen.setdefault((kind, name), span)) is not span:
                    self._report.say(
                        "E105",
                        f"two branches of PARALLEL write the {kind} `{name}`",
                        span,
                        others=[Label(first, "the other one")],
                        help="nobody knows which is last: give each branch its own",
                    )
        for _, way in ways:
            for name, binding in way.variables.items():
                if state.variables.get(name) != binding:
                    state.variables[name] = binding
        state.reachable = all(way.reachable for _, way in ways)

    def _choose(self, statement: ast.Choose, state: State) -> None:
        self._uses(statement.question, state)
        ways = []
        for option in statement.body:
            way = state.copy()
            self.statement(option, way)
            if not isinstance(option, ast.Directive):
                ways.append(way)
        if ways:
            _become(state, join(ways))

    def _define(self, statement: ast.DefineTask) -> None:
        inside = State()
        for name in statement.parameters:
            inside.bind(name.text, name.span)
        self.body(statement.body, inside)

    def _call(self, statement: ast.Call, state: State) -> None:
        for argument in statement.arguments:
            self._uses(argument, state)
        title = statement.title.plain
        if title is None:
            self._report.say("E109", "the name of a task cannot have holes", statement.title.span)
            return
        task = self._tasks.get(title)
        if task is None:
            self._report.unknown("E109", "the task", title, statement.title.span, self._tasks)
        elif len(task.parameters) != len(statement.arguments):
            wanted, given = len(task.parameters), len(statement.arguments)
            self._report.say(
                "E111",
                f"`{title}` takes {wanted} argument{'s' if wanted != 1 else ''}, and is given {given}",
                statement.span,
                others=[Label(task.title.span, "defined here")]
                if task.title.span.end <= statement.span.start
                else (),
            )


def _become(state: State, other: State) -> None:
    state.variables, state.ran, state.run, state.reachable = (
        other.variables,
        other.ran,
        other.run,
        other.reachable,
    )


def _as_if_reached(state: State) -> State:
    """The state at some point before the end, where a failure has come."""
    copied = state.copy()
    copied.reachable = True
    return copied


def _written(body: ast.Body) -> Iterable[tuple[str, Span]]:
    """Paths that are written out, of files that a branch changes; each once."""
    found: dict[str, Span] = {}
    for statement in body:
        if isinstance(statement, ast.Write | ast.Append | ast.Delete) and isinstance(statement.path, Text):
            plain = statement.path.plain
            if plain is not None:
                found.setdefault(plain, statement.path.span)
    return found.items()
