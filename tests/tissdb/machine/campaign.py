"""The state machine for as long as one likes: ever new seeds, until something is found or the time is over.

python -m tests.tissdb.machine.campaign --minutes 20 --engines file memory postgres
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import seed as seeded
from hypothesis.stateful import run_state_machine_as_test

from tests.tissdb.machine.whole import WholeMachine

ENGINES = ("file", "memory", "postgres", "asyncio")


def machine(engine: str, server: str) -> type[WholeMachine]:
    """The machine of an engine, which counts its steps."""
    return type("Machine", (WholeMachine,), {"engine": engine, "server": server, "steps": 0})


def profile(examples: int, steps: int) -> settings:
    """Settings of a run."""
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
    )


@contextmanager
def _server(engine: str) -> Iterator[str]:
    if engine != "postgres":
        yield ""
        return
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from postgres_server import serving

    with tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp") as folder, serving(Path(folder)) as address:
        yield address


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20, help="for each engine")
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=ENGINES)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=60)
    options = parser.parse_args()
    for engine in options.engines:
        with _server(engine) as server:
            ends = time.monotonic() + 60 * options.minutes
            runs, seed, kind = 0, options.seed, machine(engine, server)
            while time.monotonic() < ends:
                run_state_machine_as_test(seeded(seed)(kind), settings=profile(25, options.steps))
                runs, seed = runs + 25, seed + 1
                print(f"{engine}: {runs:,} runs, {kind.steps:,} steps, last seed {seed - 1}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
