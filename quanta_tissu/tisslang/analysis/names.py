"""Where names stand: of variables and of tasks, where they get a value or a meaning, and where they are used.

Unlike the checks, which follow a script on its ways, this looks at all of its text, broken parts included. A
variable belongs to the script, or to the DEFINE_TASK in which it stands; those of FOR and of CATCH to their block.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from quanta_tissu.tisslang.source import Span
from quanta_tissu.tisslang.syntax import statements as ast
from quanta_tissu.tisslang.syntax.commands import COMMANDS
from quanta_tissu.tisslang.syntax.expressions import Expression, Hole, Text, Variable, children
from quanta_tissu.tisslang.syntax.shapes import Many, Maybe, NameOf, Part, Title, Value, Values
from quanta_tissu.tisslang.syntax.tree import Node, NodeKind, Script
from quanta_tissu.tisslang.syntax.words import PROVIDED

_BY_STATEMENT = {command.make: command for command in COMMANDS}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a name stands.

    Attributes:
        span: Its characters.
        statement: What it stands in.
        defines: Whether it gets a value there.
    """

    span: Span
    statement: ast.Statement
    defines: bool = False


@dataclass(slots=True)
class Symbol:
    """A variable.

    Attributes:
        name: Its name.
        scope: The characters of the script in which it means this.
        given: Whether the language gives it a value: `failure` in the prompt of a RETRY.
        places: Where it stands, in order.
    """

    name: str
    scope: Span
    given: bool = False
    places: list[Place] = field(default_factory=list)

    @property
    def definitions(self) -> list[Place]:
        """Where it gets a value."""
        return [one for one in self.places if one.defines]


@dataclass(frozen=True, slots=True)
class NameTable:
    """The names of a script.

    Attributes:
        variables: All variables.
        tasks: Every DEFINE_TASK.
        calls: Every CALL.
        holes: Every hole of a text.
    """

    variables: list[Symbol]
    tasks: list[ast.DefineTask]
    calls: list[ast.Call]
    holes: list[Hole]

    @property
    def titles(self) -> list[ast.DefineTask | ast.Call]:
        """Every statement that names a task."""
        return [*self.tasks, *self.calls]

    def variable_at(self, offset: int) -> Symbol | None:
        """The variable whose name is at an offset, or ends there."""
        for symbol in self.variables:
            if any(place.span.start <= offset <= place.span.end for place in symbol.places):
                return symbol
        return None

    def visible_at(self, offset: int) -> dict[str, Symbol]:
        """The variables that got a value before an offset, and mean it there; inner ones hide outer ones."""
        found = {
            one.name: one
            for one in sorted(self.variables, key=lambda one: one.scope.end - one.scope.start, reverse=True)
            if one.scope.start <= offset <= one.scope.end
            and (one.given or any(place.span.end <= offset for place in one.definitions))
        }
        task = next((one for one in self.tasks if one.span.start < offset < one.span.end), None)
        if task is None:
            return found
        return {name: one for name, one in found.items() if one.scope.start >= task.span.start}


def names_of(script: Script) -> NameTable:
    """Find the names of a script, whatever is wrong with it."""
    finder = _Finder()
    finder.walk(script.tree, [_Scope(Span(0, len(script.source.text)))])
    for symbol in finder.names.variables:
        symbol.places.sort(key=lambda one: one.span)
    return finder.names


class _Scope:
    """Where names have a meaning; an inner one knows only those that it is given."""

    def __init__(self, span: Span) -> None:
        self.span = span
        self.symbols: dict[str, Symbol] = {}


_Scopes = list[_Scope]
"""From the outside in; the first is that of the script or of the task."""


class _Finder:
    def __init__(self) -> None:
        self.names = NameTable([], [], [], [])

    def walk(self, node: Node, scopes: _Scopes) -> None:
        """Look at what a node holds."""
        statement = node.statement
        blocks = [child for child in node.children if child.kind is NodeKind.BLOCK]
        inner = [scopes] * len(blocks)
        if statement is not None and (command := _BY_STATEMENT.get(type(statement))) is not None:
            inner = self._scopes(statement, scopes, len(blocks))
            self._parts(command.parts, statement, statement, scopes)
            if isinstance(statement, ast.DefineTask):
                self.names.tasks.append(statement)
                for parameter in statement.parameters:
                    self._note(parameter, statement, inner[0] if inner else scopes, defines=True)
            elif isinstance(statement, ast.Call):
                self.names.calls.append(statement)
        places = iter(inner)
        for child in node.children:
            self.walk(child, next(places) if child.kind is NodeKind.BLOCK else scopes)

    def _scopes(self, statement: ast.Statement, scopes: _Scopes, blocks: int) -> list[_Scopes]:
        """The scopes of each block of a statement."""
        match statement:
            case ast.DefineTask(span=span):
                return [[_Scope(span)]] * blocks
            case ast.For(name=name, items=items, span=span):
                inner = self._own(name, statement, scopes, Span(items.span.end, span.end))
                return [inner] * blocks
            case ast.Try(error=ast.Name() as error, span=span, always=always):
                end = always[0].span.start if always else span.end
                return [scopes, self._own(error, statement, scopes, Span(error.span.start, end)), scopes][:blocks]
            case _:
                return [scopes] * blocks

    def _own(self, name: ast.Name, statement: ast.Statement, scopes: _Scopes, span: Span) -> _Scopes:
        """A scope in which a name means something of its own."""
        scope = _Scope(span)
        symbol = scope.symbols[name.text] = Symbol(name.text, span)
        symbol.places.append(Place(name.span, statement, defines=True))
        self.names.variables.append(symbol)
        return [*scopes, scope]

    def _parts(
        self, parts: tuple[Part, ...], holder: ast.Statement, statement: ast.Statement, scopes: _Scopes
    ) -> None:
        for part in parts:
            match part:
                case Maybe(parts=inner):
                    self._parts(inner, holder, statement, scopes)
                case Many(field=name, parts=inner):
                    for one in getattr(holder, name):
                        self._parts(inner, one, statement, scopes)
                case NameOf(field=name, defines=defines, among=()) if not isinstance(statement, ast.For):
                    found: ast.Name | None = getattr(holder, name)
                    if found is not None and not (isinstance(statement, ast.Try) and name == "error"):
                        self._note(found, statement, scopes, defines=defines)
                case Value(field=name) | Values(field=name):
                    value = getattr(holder, name)
                    for one in value if isinstance(value, tuple) else (value,) if value is not None else ():
                        self._expression(one, statement, self._with_failure(name, one, statement, scopes))
                case Title(field=name):
                    title: Text | None = getattr(holder, name)
                    if title is not None:
                        self._expression(title, statement, scopes)
                case _:
                    pass  # words, signs and blocks; parameters belong to the block

    def _with_failure(self, field: str, value: Expression, statement: ast.Statement, scopes: _Scopes) -> _Scopes:
        """The prompt of FIX_WITH knows `failure`."""
        if not (isinstance(statement, ast.Retry) and field == "prompt"):
            return scopes
        scope = _Scope(value.span)
        scope.symbols["failure"] = Symbol("failure", value.span, given=True)
        self.names.variables.append(scope.symbols["failure"])
        return [*scopes, scope]

    def _expression(self, value: Expression, statement: ast.Statement, scopes: _Scopes) -> None:
        if isinstance(value, Variable):
            if value.name not in PROVIDED:
                self._note(ast.Name(value.name, value.span), statement, scopes)
            return
        if isinstance(value, Text):
            self.names.holes.extend(value.holes)
        for child in children(value):
            self._expression(child, statement, scopes)

    def _note(self, name: ast.Name, statement: ast.Statement, scopes: _Scopes, *, defines: bool = False) -> None:
        symbol = next((one.symbols[name.text] for one in reversed(scopes) if name.text in one.symbols), None)
        if symbol is None:
            symbol = scopes[0].symbols[name.text] = Symbol(name.text, scopes[0].span)
            self.names.variables.append(symbol)
        symbol.places.append(Place(name.span, statement, defines))
