"""Ctrl-C and SIGTERM as a polite request to the loop."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """While it is entered, the first signal only sets `requested`, so that no update is torn in half.

    The same signal a second time acts as it did before: Ctrl-C raises KeyboardInterrupt at once. The other one is
    still taken politely, since one Ctrl-C brings both where torchrun passes it on as SIGTERM. Signals reach
    Python's main thread only, so in another thread this does nothing.

    Attributes:
        requested: Whether the run has been asked to stop.
    """

    def __init__(self) -> None:
        self.requested = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._note) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        signal.signal(number, self._previous.pop(number))

    def _restore(self) -> None:
        while self._previous:
            number, handler = self._previous.popitem()
            signal.signal(number, handler)
