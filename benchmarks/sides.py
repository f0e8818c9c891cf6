"""What comparisons share: sides that live in processes of their own and take turns, and how figures are summed up.

Each side has its own process, so that neither sees the other's threads or allocator. It waits for questions on its
standard input, one JSON value a line, and answers on its standard output.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np


class Side:
    """One side's process.

    Args:
        script: The benchmark, which calls `serve` when it is started with these arguments.
        arguments: The arguments.
    """

    def __init__(self, script: str, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, script, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._answer()

    def ask(self, question: Any) -> Any:
        """Put a question and wait for the answer."""
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        answer = self._answer()
        time.sleep(0.1)  # until idle threads have stopped spinning
        return answer

    def close(self) -> None:
        """End the process."""
        self._process.stdin.close()
        self._process.wait()

    def _answer(self) -> Any:
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"a worker ended with exit code {self._process.wait()}")
        return json.loads(line)


def serve(prepare: Callable[[], Callable[[Any], Any]]) -> None:
    """Be a side: prepare, say so, and answer questions until there are no more. Other output goes to stderr."""
    answers, sys.stdout = sys.stdout, sys.stderr
    answer = prepare()
    print(json.dumps("ready"), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), file=answers, flush=True)


def turns(names: Iterable[str], rounds: int) -> Iterator[str]:
    """Names in turn, every other round in the opposite order."""
    order = list(names)
    for number in range(rounds):
        yield from order if number % 2 == 0 else order[::-1]


def spread(values: Iterable[float]) -> dict[str, float]:
    """Median, quartiles, and of how many they are."""
    known = list(values)
    q25, median, q75 = (round(float(x), 3) for x in np.percentile(known, [25, 50, 75]))
    return {"median": median, "q25": q25, "q75": q75, "n": len(known)}


def environment(*packages: str) -> dict[str, Any]:
    """What the figures depend on: machine, Python, and the versions of packages beside NumPy and Numba."""
    from quanta_tissu.tisslm.engine.threads import available_cores

    model = platform.processor() or platform.machine()
    if (cpuinfo := Path("/proc/cpuinfo")).exists():
        model = next(
            (s.split(":")[1].strip() for s in cpuinfo.read_text().splitlines() if "model name" in s), model
        )
    return {
        "cpu": model,
        "cores": available_cores(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in ("numpy", "numba", *packages)},
    }
