"""Values of expressions. Looking at a file is an effect, so that evaluation yields, too."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from typing import Any

from quanta_tissu.tisslang.engine import values
from quanta_tissu.tisslang.engine.effects import Action, Doing, ReadFile, Request, Site, TestFile
from quanta_tissu.tisslang.engine.failure import Failure
from quanta_tissu.tisslang.engine.scope import Scope
from quanta_tissu.tisslang.engine.shell import ShellText
from quanta_tissu.tisslang.engine.values import Unknown, Value, WrongValue, as_text, holds_unknown, hole
from quanta_tissu.tisslang.source import SourceFile, Span
from quanta_tissu.tisslang.syntax.expressions import (
    Binary,
    Constant,
    Duration,
    Expression,
    File,
    Hole,
    Item,
    List,
    Member,
    Negative,
    Not,
    Object,
    Piece,
    Test,
    Text,
    Variable,
)

Act = Callable[[Action, Span], Generator[Request, Any, Value]]
"""Has an action done for a place of the expression; gives what came of it."""


class Evaluator:
    """Evaluates expressions where a scope holds.

    Args:
        source: The script in which they stand.
        scope: What is known.
        act: Has files looked at.
        spent: What `COST` is.
    """

    def __init__(self, source: SourceFile, scope: Scope, act: Act, spent: Callable[[], Value]) -> None:
        self._source = source
        self._scope = scope
        self._act = act
        self._spent = spent

    def value(self, expression: Expression) -> Doing[Value]:
        """The value of an expression.

        Raises:
            Failure: It has none.
        """
        try:
            return (yield from self._value(expression))
        except WrongValue as wrong:
            raise self._failure(wrong, expression.span) from None

    def truth(self, expression: Expression) -> Doing[bool | Unknown]:
        """Whether a condition holds.

        Raises:
            Failure: It is no condition.
        """
        value = yield from self.value(expression)
        try:
            return values.truth(value)
        except WrongValue as wrong:
            raise self._failure(wrong, expression.span) from None

    def command(self, expression: Expression) -> Doing[ShellText]:
        """A command for the shell: holes become variables, which the shell never reads as its text.

        Raises:
            Failure: A hole has no value, or stands where it cannot be kept apart.
        """
        shell = ShellText()
        if not isinstance(expression, Text):
            shell.raw_value((yield from self.value(expression)))
            return shell
        for part in expression.parts:
            if isinstance(part, Piece):
                shell.text(part.text)
                continue
            raw = any(one.name == "raw" for one in part.filters)
            quoted = tuple(one for one in part.filters if one.name not in ("raw", "sh"))
            try:
                value = yield from self._hole(Hole(part.value, quoted, part.span))
                shell.raw_value(value) if raw else shell.value(value)
            except WrongValue as wrong:
                raise self._failure(wrong, part.span) from None
        return shell

    def _failure(self, wrong: WrongValue, span: Span) -> Failure:
        return Failure("R201", wrong.message, Site(self._source, span), help=wrong.help)

    def _value(self, expression: Expression) -> Doing[Value]:
        match expression:
            case Constant(value=value):
                return value
            case Duration(seconds=seconds):
                return seconds
            case Text():
                return (yield from self._text(expression))
            case List(items=items):
                listed: list[Value] = []
                for one in items:
                    listed.append((yield from self.value(one)))
                return listed
            case Object(entries=entries):
                made: dict[str, Value] = {}
                for entry in entries:
                    made[entry.key] = yield from self.value(entry.value)
                return made
            case Variable():
                return self._variable(expression)
            case Member(base=Variable(name="LAST_RUN"), name=name):
                return self._last_run(name)
            case Member(base=base, name=name):
                whole = yield from self.value(base)
                return self._shape(expression) if isinstance(whole, Unknown) else values.member(whole, name)
            case Item(base=base, index=index):
                whole = yield from self.value(base)
                at = yield from self.value(index)
                if isinstance(whole, Unknown) or isinstance(at, Unknown):
                    return self._shape(expression)
                return values.item(whole, at)
            case File(path=path):
                return (yield from self._file(path, expression.span))
            case Not(operand=operand):
                truth = yield from self.truth(operand)
                return truth if isinstance(truth, Unknown) else not truth
            case Negative(operand=operand):
                number = yield from self.value(operand)
                return self._shape(expression) if isinstance(number, Unknown) else values.minus(0, number)
            case Test():
                return (yield from self._test(expression))
            case Binary():
                return (yield from self._binary(expression))

    def _variable(self, variable: Variable) -> Value:
        if variable.name == "COST":
            return self._spent()
        binding = self._scope.variables.get(variable.name)
        if binding is None:
            raise WrongValue(f"the variable `{variable.name}` has no value here", "give it one before")
        return binding.value

    def _last_run(self, name: str) -> Value:
        if self._scope.last_run is None:
            raise WrongValue("no command has run before", "RUN a command first")
        return values.member(dict(self._scope.last_run.parts), name)

    def _text(self, text: Text) -> Doing[Value]:
        parts: list[str] = []
        unknown = False
        for part in text.parts:
            if isinstance(part, Piece):
                parts.append(part.text)
                continue
            try:
                value = yield from self._hole(part)
            except WrongValue as wrong:
                raise self._failure(wrong, part.span) from None
            if holds_unknown(value):  # how a list or an object is written depends on all that is in it
                unknown, value = True, hole(self._source[part.value.span])
            parts.append(as_text(value))
        joined = "".join(parts)
        return Unknown(joined) if unknown else joined

    def _hole(self, part: Hole) -> Doing[Value]:
        value = yield from self.value(part.value)
        if isinstance(value, Unknown) or (part.filters and holds_unknown(value)):
            return self._shape(part.value)
        for one in part.filters:
            value = values.FILTERS[one.name](value)
        return value

    def _shape(self, expression: Expression) -> Unknown:
        """What an expression is called whose value is not known."""
        return hole(self._source[expression.span])

    def _file(self, path: Expression, span: Span) -> Doing[Value]:
        where = yield from self.value(path)
        return (yield from self._act(ReadFile(path=where), span))

    def _test(self, test: Test) -> Doing[Value]:
        operand = test.operand
        if isinstance(operand, File):
            where = yield from self.value(operand.path)
            if test.name == "EXISTS":
                kind = yield from self._act(TestFile(path=where), test.span)
                return kind if isinstance(kind, Unknown) else kind is not None
            text = yield from self._act(ReadFile(path=where), test.span)
            return text if isinstance(text, Unknown) else values.is_empty(text)
        if test.name == "EXISTS":
            return (yield from self._exists(operand))
        value = yield from self.value(operand)
        return value if isinstance(value, Unknown) else values.is_empty(value)

    def _exists(self, operand: Expression) -> Doing[Value]:
        try:
            value = yield from self._value(operand)
        except (WrongValue, Failure):  # no such variable, field or item
            return False
        return value if isinstance(value, Unknown) else value is not None

    def _binary(self, binary: Binary) -> Doing[Value]:
        operator = binary.operator
        if operator in ("AND", "OR"):
            return (yield from self._logic(binary))
        left = yield from self.value(binary.left)
        right = yield from self.value(binary.right)
        if holds_unknown(left) or holds_unknown(right):
            if operator == "+" and (_is_text(left) or _is_text(right)):
                return Unknown(f"{as_text(values.text_of(left))}{as_text(values.text_of(right))}")
            return self._shape(binary)
        match operator:
            case "+":
                return values.plus(left, right)
            case "-":
                return values.minus(left, right)
            case "==":
                return values.equal(left, right)
            case "!=":
                return not values.equal(left, right)
            case "CONTAINS":
                return values.contains(left, right)
            case "MATCHES":
                return values.matches(left, right)
            case _:
                return values.compare(operator, left, right)

    def _logic(self, binary: Binary) -> Doing[Value]:
        decides = binary.operator == "OR"
        left = yield from self.truth(binary.left)
        if left is decides:
            return left
        right = yield from self.truth(binary.right)
        if right is decides or not isinstance(left, Unknown):
            return right
        return left


def _is_text(value: Value) -> bool:
    """Whether a value is a text for certain, also if not all of it is known."""
    if isinstance(value, Unknown):  # more than a single hole
        return not re.fullmatch(r"\{[^{}]*\}", value.shape)
    return isinstance(value, str)
