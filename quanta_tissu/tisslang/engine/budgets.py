"""What a run may spend: reserved before, settled after, shared by what runs at the same time."""

from __future__ import annotations

import threading
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Usage:
    """What was spent on models.

    Attributes:
        calls: How often one was asked.
        tokens: Of prompts and answers together.
        cost: Money, in the currency of the prices.
    """

    calls: int = 0
    tokens: int = 0
    cost: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.calls + other.calls, self.tokens + other.tokens, self.cost + other.cost)

    def of(self, budget: str) -> float:
        """What counts against a budget."""
        return {"API_CALLS": self.calls, "TOKEN_COUNT": self.tokens, "COST": self.cost}[budget]


class Budget:
    """A limit on API_CALLS, TOKEN_COUNT or COST; safe to use from several threads.

    Args:
        name: Which of them.
        limit: How much.
        key: Where it was set.
    """

    def __init__(self, name: str, limit: float, key: str) -> None:
        self.name = name
        self.limit = limit
        self.key = key
        self._lock = threading.Lock()
        self._spent = 0.0
        self._reserved = 0.0

    @property
    def spent(self) -> float:
        """What is gone for certain."""
        return self._spent

    def reserve(self, amount: float) -> bool:
        """Set aside what may be needed; false if there is not so much left."""
        with self._lock:
            if self._spent + self._reserved + amount > self.limit:
                return False
            self._reserved += amount
            return True

    def settle(self, reserved: float, spent: float) -> None:
        """Give back what was set aside, and count what was spent."""
        with self._lock:
            self._reserved -= reserved
            self._spent += spent


@dataclass(frozen=True, slots=True)
class Deadline:
    """A limit on EXECUTION_TIME.

    Attributes:
        limit: Seconds.
        until: When it is over, on the clock of the scope that set it.
        key: Where it was set.
    """

    limit: float
    until: float
    key: str


def reserve(budgets: tuple[Budget, ...], usage: Usage) -> Budget | None:
    """Set aside in all budgets, or in none: the one that does not have so much is returned."""
    for number, budget in enumerate(budgets):
        if not budget.reserve(usage.of(budget.name)):
            for taken in budgets[:number]:
                taken.settle(usage.of(taken.name), 0)
            return budget
    return None


def settle(budgets: tuple[Budget, ...], reserved: Usage, spent: Usage) -> None:
    """Give back in all budgets what was set aside, and count what was spent."""
    for budget in budgets:
        budget.settle(reserved.of(budget.name), spent.of(budget.name))
