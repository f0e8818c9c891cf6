"""Changes as they come: what the log has after a number, and then whatever is added."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

from quanta_tissu.tissdb.log import Entry

_POLL_SECONDS = 0.1
"""How late a change of another process may be seen; those of this one wake the reader at once."""


def watch(
    read: Callable[[int], list[Entry]],
    committed: threading.Condition,
    since: int,
    timeout: float | None,
    ended: threading.Event | None = None,
) -> Iterator[Entry]:
    """Entries after a number, waiting for more.

    Args:
        read: Entries after a number, as many as there are or some of them.
        committed: Is notified when this process has written.
        since: The number after which to begin.
        timeout: Seconds to wait for the next one before giving up; None to wait for ever.
        ended: Is set when nobody wants more.
    """
    waited_since = time.monotonic()
    while ended is None or not ended.is_set():
        found = read(since)
        if found:
            yield from found
            since = found[-1].seq
            waited_since = time.monotonic()
            continue
        left = _POLL_SECONDS if timeout is None else waited_since + timeout - time.monotonic()
        if left <= 0:
            return
        with committed:
            committed.wait(min(left, _POLL_SECONDS))
