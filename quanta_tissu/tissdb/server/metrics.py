"""What a server counts, in the text format that Prometheus reads."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator

_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the classes of durations, in seconds."""

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Counts requests and how long they took.

    Attributes:
        in_flight: Requests that are being answered.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._durations = [0] * (len(_BOUNDS) + 1)
        self._seconds = 0.0
        self.in_flight = 0

    def begin(self) -> None:
        """A request has come."""
        with self._lock:
            self.in_flight += 1

    def end(self, method: str, route: str, status: int, seconds: float) -> None:
        """It was answered."""
        with self._lock:
            self.in_flight -= 1
            self._requests[method, route, status] += 1
            self._durations[bisect_left(_BOUNDS, seconds)] += 1
            self._seconds += seconds

    def lines(self) -> Iterator[str]:
        """All of it as text."""
        with self._lock:
            requests, durations = dict(self._requests), list(self._durations)
            seconds, in_flight = self._seconds, self.in_flight
        yield "# TYPE tissdb_requests_total counter"
        for (method, route, status), count in sorted(requests.items()):
            yield f'tissdb_requests_total{{method="{method}",route="{route}",status="{status}"}} {count}'
        yield "# TYPE tissdb_request_seconds histogram"
        total = 0
        for bound, count in zip((*map(str, _BOUNDS), "+Inf"), durations, strict=True):
            total += count
            yield f'tissdb_request_seconds_bucket{{le="{bound}"}} {total}'
        yield f"tissdb_request_seconds_sum {seconds:.6f}"
        yield f"tissdb_request_seconds_count {total}"
        yield "# TYPE tissdb_requests_in_flight gauge"
        yield f"tissdb_requests_in_flight {in_flight}"
