"""A place of a running script: what is known there, and what statements need to get on."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Protocol

from quanta_tissu.tisslang.engine.effects import Action, Doing, Outcome, Request, Site
from quanta_tissu.tisslang.engine.evaluate import Evaluator
from quanta_tissu.tisslang.engine.failure import Failure
from quanta_tissu.tisslang.engine.scope import Binding, Scope
from quanta_tissu.tisslang.engine.shell import ShellText
from quanta_tissu.tisslang.engine.values import Unknown, Value, as_text
from quanta_tissu.tisslang.source import SourceFile, Span
from quanta_tissu.tisslang.syntax import statements as ast
from quanta_tissu.tisslang.syntax.expressions import Expression

_MODEL_SETTINGS = ("persona", "model", "output", "language", "template", "temperature", "max_tokens", "seed")


class Actor(Protocol):
    """Whoever has actions done."""

    def act(self, action: Action, key: str, site: Site, scope: Scope) -> Doing[Outcome]:
        """Have an action done; what came of it."""

    def spent(self) -> Value:
        """The money that was spent so far."""


@dataclass(slots=True)
class Frame:
    """A place of a running script.

    Attributes:
        actor: Has actions done.
        source: The script.
        scope: What is known.
        path: The statements to here, with the numbers of rounds and attempts.
        looked: How many files the expressions of the statement have looked at.
    """

    actor: Actor
    source: SourceFile
    scope: Scope
    path: str
    looked: int = 0

    def at(self, path: str, scope: Scope | None = None) -> Frame:
        """Another place of the same script."""
        return Frame(self.actor, self.source, self.scope if scope is None else scope, path)

    def site(self, span: Span) -> Site:
        """A place as diagnostics name it."""
        return Site(self.source, span)

    # --- expressions ---------------------------------------------------------------------------------------------

    def value(self, expression: Expression) -> Doing[Value]:
        """The value of an expression."""
        return self._evaluator.value(expression)

    def truth(self, expression: Expression) -> Doing[bool | Unknown]:
        """Whether a condition holds."""
        return self._evaluator.truth(expression)

    def text(self, expression: Expression) -> Doing[str]:
        """The value of an expression as text; of what is not known, its shape."""
        return as_text((yield from self.value(expression)))

    def command(self, expression: Expression) -> Doing[ShellText]:
        """A command for the shell."""
        return self._evaluator.command(expression)

    @property
    def _evaluator(self) -> Evaluator:
        return Evaluator(self.source, self.scope, self._look, self.actor.spent)

    def _look(self, action: Action, span: Span) -> Generator[Request, Any, Value]:
        self.looked += 1
        outcome = yield from self.actor.act(action, f"{self.path}.{self.looked}f", self.site(span), self.scope)
        return self._given(outcome, span)

    # --- actions -------------------------------------------------------------------------------------------------

    def act(self, action: Action, span: Span) -> Doing[Value]:
        """Have the action of a statement done; what it gives.

        Raises:
            Failure: It failed.
        """
        outcome = yield from self.actor.act(action, self.path, self.site(span), self.scope)
        return self._given(outcome, span)

    def _given(self, outcome: Outcome, span: Span) -> Value:
        if outcome.problem is not None:
            code, message = outcome.problem
            raise Failure(code, message, self.site(span), help=outcome.help)
        return outcome.value

    def bind(self, name: ast.Name | None, value: Value) -> None:
        """Give a variable a value."""
        if name is not None:
            self.scope.variables[name.text] = Binding(value, self.site(name.span))

    def model_settings(self) -> dict[str, Value]:
        """What directives say of models."""
        return {name: self.scope.settings[name] for name in _MODEL_SETTINGS if name in self.scope.settings}
