"""The ways that a run goes at the same time, and how they end before their end."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field


class Cancelled(Exception):  # noqa: N818 - no error of this way
    """Another way of a PARALLEL failed, or the run was interrupted."""


@dataclass(slots=True)
class Way:
    """One of the ways that are gone at the same time.

    Attributes:
        epoch: Since when records count on it.
        cancelled: Set when it shall end.
        forks: The keys of the PARALLELs that it is in.
    """

    epoch: int = 0
    cancelled: threading.Event = field(default_factory=threading.Event)
    forks: tuple[str, ...] = ()


class LinkedEvent(threading.Event):
    """An event that is also set when another is."""

    def __init__(self, other: threading.Event) -> None:
        super().__init__()
        self._other = other

    def is_set(self) -> bool:
        """Whether it, or the other one, is set."""
        return super().is_set() or self._other.is_set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it, or the other one, is set."""
        until = None if timeout is None else time.monotonic() + timeout
        while not self.is_set():
            left = 0.05 if until is None else min(0.05, until - time.monotonic())
            if left <= 0:
                return False
            super().wait(left)
        return True
