"""How often a client may ask: a bucket of tokens for each."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict

_CLIENTS = 10_000


class RateLimit:
    """Lets each client ask so often in a second, and some times more at once.

    Args:
        rate: Requests in a second; 0 for any number.
        burst: Requests at once.
    """

    def __init__(self, rate: float, burst: int) -> None:
        self._rate, self._burst = rate, max(1.0, float(burst))
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, client: str) -> float:
        """Count a request.

        Returns:
            0 if it may go on, otherwise the seconds after which to try again.
        """
        if not self._rate:
            return 0.0
        now = time.monotonic()
        with self._lock:
            left, seen = self._buckets.pop(client, (self._burst, now))
            left = min(self._burst, left + (now - seen) * self._rate)
            wait = 0.0 if left >= 1 else (1 - left) / self._rate
            self._buckets[client] = (left if wait else left - 1, now)
            if len(self._buckets) > _CLIENTS:
                self._buckets.popitem(last=False)
        return wait
