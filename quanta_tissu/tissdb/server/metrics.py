"""What a server counts, in the text format that Prometheus reads."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the classes of durations, in seconds."""

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(slots=True)
class _Durations:
    """How many requests took how long."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(_BOUNDS) + 1))
    seconds: float = 0.0


class Metrics:
    """Counts requests, what went wrong with them, and how long they took.

    Attributes:
        in_flight: Requests that are being answered.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._errors: Counter[str] = Counter()
        self._durations: defaultdict[tuple[str, str], _Durations] = defaultdict(_Durations)
        self.in_flight = 0

    def begin(self) -> None:
        """A request has come."""
        with self._lock:
            self.in_flight += 1

    def error(self, kind: str) -> None:
        """It could not be done."""
        with self._lock:
            self._errors[kind] += 1

    def end(self, method: str, route: str, status: int, seconds: float) -> None:
        """It was answered."""
        with self._lock:
            self.in_flight -= 1
            self._requests[method, route, status] += 1
            durations = self._durations[method, route]
            durations.counts[bisect_left(_BOUNDS, seconds)] += 1
            durations.seconds += seconds

    def lines(self) -> Iterator[str]:
        """All of it as text."""
        with self._lock:
            requests, errors, in_flight = dict(self._requests), dict(self._errors), self.in_flight
            durations = {key: (list(one.counts), one.seconds) for key, one in self._durations.items()}
        yield from family(
            "tissdb_requests_total",
            "counter",
            "Requests that were answered.",
            (
                ({"method": method, "route": route, "status": str(status)}, count)
                for (method, route, status), count in sorted(requests.items())
            ),
        )
        yield from family(
            "tissdb_errors_total",
            "counter",
            "Requests that were not done, by the type that the answer names.",
            (({"type": kind}, count) for kind, count in sorted(errors.items())),
        )
        name = "tissdb_request_seconds"
        yield from family(name, "histogram", "How long answers took.", ())
        for (method, route), (counts, seconds) in sorted(durations.items()):
            of, total = {"method": method, "route": route}, 0
            for bound, count in zip((*map(str, _BOUNDS), "+Inf"), counts, strict=True):
                total += count
                yield _sample(f"{name}_bucket", of | {"le": bound}, total)
            yield _sample(f"{name}_sum", of, round(seconds, 6))
            yield _sample(f"{name}_count", of, total)
        yield from family(
            "tissdb_requests_in_flight", "gauge", "Requests that are being answered.", [({}, in_flight)]
        )


def family(
    name: str, kind: str, meaning: str, samples: Iterable[tuple[Mapping[str, str], float]]
) -> Iterator[str]:
    """Lines of one metric: what it is, and its samples, each with its labels."""
    yield f"# HELP {name} {meaning}"
    yield f"# TYPE {name} {kind}"
    for labels, value in samples:
        yield _sample(name, labels, value)


def _sample(name: str, labels: Mapping[str, str], value: float) -> str:
    shown = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
    return f"{name}{{{shown}}} {value}" if shown else f"{name} {value}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
