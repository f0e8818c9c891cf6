"""What Python's own tools say: cProfile about functions, tracemalloc about memory.

Both see one thread, or slow every thread down, so they look at a run of one replica, which they make slower: these
figures are for comparing parts with each other, not for adding up.
"""

from __future__ import annotations

import cProfile
import io
import pstats
import tracemalloc
from collections.abc import Callable
from pathlib import Path

from quanta_tissu.tisslm.engine import Engine, use
from quanta_tissu.tisslm.inspect.profile.watching import WatchingEngine

_LINES, _FRAMES = 40, 8


def write_cprofile(run: Callable[[], object], binary: Path, text: Path) -> None:
    """Run something under cProfile.

    Args:
        run: What to run.
        binary: Where to write its statistics, for `python -m pstats` and others.
        text: Where to write the functions that took longest, by their own time and with what they called.
    """
    profiler = cProfile.Profile()
    profiler.runcall(run)
    profiler.dump_stats(binary)
    stream = io.StringIO()
    statistics = pstats.Stats(profiler, stream=stream).strip_dirs()
    for order in ("tottime", "cumulative"):
        statistics.sort_stats(order).print_stats(_LINES)
    text.write_text(stream.getvalue(), encoding="utf-8")


def allocations(run: Callable[[], object], engine: Engine) -> str:
    """What holds memory at the moment of a run when most of it is held, as text.

    The run is made twice: the first time to find that moment, the second time to look.

    Args:
        run: What to run; the same work each time.
        engine: What runs its operations.
    """
    tracemalloc.start(_FRAMES)
    try:
        held: list[int] = []
        with use(WatchingEngine.around(engine, lambda _: held.append(tracemalloc.get_traced_memory()[0]))):
            run()
        if not held:
            return "No operation was run that allocates: one compiled kernel does it all.\n"
        moment, found = held.index(max(held)), []

        def look(number: int) -> None:
            if number == moment:
                found.append(tracemalloc.take_snapshot())

        with use(WatchingEngine.around(engine, look)):
            run()
    finally:
        tracemalloc.stop()
    if not found:  # the second run was shorter: generation that stopped earlier, for example
        return "The second run did not come to the moment of the first.\n"
    return _table(found[0], max(held))


def _table(snapshot: tracemalloc.Snapshot, total: int) -> str:
    ours = snapshot.filter_traces(
        [tracemalloc.Filter(False, tracemalloc.__file__), tracemalloc.Filter(False, "<frozen*>")]
    )
    lines = [f"{total / 1e6:.1f} MB are held when most is held. By line:", ""]
    for entry in ours.statistics("lineno")[:_LINES]:
        frame = entry.traceback[0]
        lines.append(f"{entry.size / 1e6:10.3f} MB  {entry.count:>6} ×  {frame.filename}:{frame.lineno}")
    lines += ["", "The largest by the calls that led to them:", ""]
    for entry in ours.statistics("traceback")[:10]:
        lines.append(f"{entry.size / 1e6:.3f} MB in {entry.count} pieces")
        lines += [f"    {line.strip()}" for line in entry.traceback.format()]
        lines.append("")
    return "\n".join(lines)
