"""A profile: recorded runs and counted work, put together so that the parts add up to the whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from statistics import fmean, median
from time import perf_counter
from typing import Any

from quanta_tissu.tisslm.engine import Engine, use
from quanta_tissu.tisslm.inspect.profile.machine import Machine
from quanta_tissu.tisslm.inspect.profile.modules import MODULES, named_modules
from quanta_tissu.tisslm.inspect.profile.recording import Key, Recorder, Run, Tally
from quanta_tissu.tisslm.model import Decoder

OVERHEAD = "not in operations"

_SECONDS, _LEAST, _MOST = 5.0, 3, 200


@dataclass(frozen=True)
class Phase:
    """A part of a run with a speed of its own.

    Attributes:
        tokens: Tokens that it works on.
        flops: Operations in matrix products that the model's mathematics asks for.
    """

    tokens: int
    flops: float


@dataclass(frozen=True)
class Workload:
    """Something to profile, the same work at every run.

    Attributes:
        name: "training step" or "generation".
        description: Sizes, for people.
        decoder: The model that runs.
        run: Do it once; the seconds of each phase.
        phases: The phases by name.
    """

    name: str
    description: str
    decoder: Decoder
    run: Callable[[], Mapping[str, float]]
    phases: Mapping[str, Phase]


@dataclass(frozen=True)
class Row:
    """What one operation, or a group of them, comes to in a run.

    Attributes:
        op: The operation, or what is timed as a whole; empty for a group over several.
        phase: "forward", "backward", "update", "prefill" or "decode"; empty for a group over several.
        module: The module; empty for a group over several.
        layer: The layer; None for a group over several, and outside the layers.
        calls: How often.
        seconds: Time.
        share: Of the whole run.
        flops: Floating-point operations; None where there is no formula for one.
        nbytes: Bytes that must be moved at least.
        allocated: Bytes of new arrays that forward returned.
        kept: Bytes that are kept for backward because of it.
        least_seconds: The least time in which the machine could do it: operation by operation the time that
            matrix products of so many FLOPs, or reading so many bytes, would take.
    """

    op: str
    phase: str
    module: str
    layer: int | None
    calls: float
    seconds: float
    share: float
    flops: float | None
    nbytes: float
    allocated: float
    kept: float
    least_seconds: float

    @property
    def gflops(self) -> float | None:
        """10⁹ operations a second."""
        return None if self.flops is None or not self.seconds else self.flops / self.seconds / 1e9

    @property
    def gbs(self) -> float | None:
        """10⁹ bytes a second."""
        return self.nbytes / self.seconds / 1e9 if self.seconds else None

    @property
    def intensity(self) -> float | None:
        """Operations per byte."""
        return self.flops / self.nbytes if self.flops is not None and self.nbytes else None

    @property
    def roofline(self) -> float | None:
        """Share of what the machine can reach; above 1 where data came from a cache instead of memory."""
        return self.least_seconds / self.seconds if self.seconds and self.least_seconds else None

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return values | {name: getattr(self, name) for name in ("gflops", "gbs", "intensity", "roofline")}


@dataclass(frozen=True)
class Speed:
    """How fast a phase was without the profiler.

    Attributes:
        seconds: Time.
        tokens_per_second: Tokens a second.
        utilisation: Model FLOP utilisation: share of the machine's matrix-product peak, counting only the
            products that the model's mathematics asks for.
    """

    seconds: float
    tokens_per_second: float
    utilisation: float


@dataclass(frozen=True)
class Profile:
    """Where the time of a run goes.

    Attributes:
        machine: What the machine can do.
        workload: What was run.
        engine: What ran it.
        description: Its sizes.
        runs: How many profiled runs the figures are the mean of.
        seconds: Time of a profiled run.
        plain_seconds: Time of a run without the profiler.
        rows: Every operation by phase, module and layer, and last what is not in operations; their seconds add up
            to `seconds`.
        speeds: Speed of each phase, without the profiler.
    """

    machine: Machine
    workload: str
    engine: str
    description: str
    runs: int
    seconds: float
    plain_seconds: float
    rows: tuple[Row, ...]
    speeds: Mapping[str, Speed]

    def by_operation(self) -> list[Row]:
        """Operations by phase, the longest first."""
        return _longest_first(self._grouped(lambda row: (row.op, row.phase, "", None)))

    def by_module(self) -> list[Row]:
        """Modules over all layers and phases, in the order of the model."""
        rows = self._grouped(lambda row: ("", "", row.module, None))
        return sorted(rows, key=lambda row: _order(row.module))

    def by_layer(self) -> list[Row]:
        """Modules of each layer."""
        rows = self._grouped(lambda row: ("", "", row.module, row.layer))
        inside = [row for row in rows if row.layer is not None]
        return sorted(inside, key=lambda row: (row.layer or 0, _order(row.module)))

    @property
    def kept(self) -> float:
        """Bytes that are kept for backward, at most at one time per replica summed over replicas."""
        return sum(row.kept for row in self.rows)

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        names = ("workload", "engine", "description", "runs", "seconds", "plain_seconds", "kept")
        tables = {"operations": self.by_operation(), "modules": self.by_module(), "layers": self.by_layer()}
        return {
            "machine": self.machine.to_json(),
            **{name: getattr(self, name) for name in names},
            "speeds": {name: vars(speed) for name, speed in self.speeds.items()},
            **{name: [row.to_json() for row in rows] for name, rows in tables.items()},
        }

    def _grouped(self, key: Callable[[Row], tuple[str, str, str, int | None]]) -> list[Row]:
        groups: dict[tuple[str, str, str, int | None], Row] = {}
        for row in self.rows:
            name = key(row)
            found = groups.get(name)
            groups[name] = (
                replace(row, op=name[0], phase=name[1], module=name[2], layer=name[3])
                if found is None
                else replace(
                    found,
                    calls=found.calls + row.calls,
                    seconds=found.seconds + row.seconds,
                    share=found.share + row.share,
                    flops=None if found.flops is None or row.flops is None else found.flops + row.flops,
                    nbytes=found.nbytes + row.nbytes,
                    allocated=found.allocated + row.allocated,
                    kept=found.kept + row.kept,
                    least_seconds=found.least_seconds + row.least_seconds,
                )
            )
        return list(groups.values())


def profile(
    workload: Workload, recorder: Recorder, engine: Engine, machine: Machine, *, runs: int | None = None
) -> Profile:
    """Profile a workload.

    Runs with and without the profiler take turns, after some that do not count. The figures are means over the
    half of the profiled runs whose time is nearest to the median, so that they add up and a disturbed run is left
    out.

    Args:
        workload: What to run.
        recorder: The recorder that the workload's own parts report to.
        engine: What runs its operations.
        machine: What to compare with.
        runs: Profiled runs; by default as many as take about five seconds, at least three.
    """

    def plain() -> Mapping[str, float]:
        with use(engine):
            return workload.run()

    with named_modules(workload.decoder, recorder):
        timed_engine = recorder.engine(engine)

        def observed() -> Mapping[str, float]:
            with use(timed_engine):
                return workload.run()

        plain()
        counts = recorder.count(observed)
        start = perf_counter()
        observed()
        if runs is None:
            runs = min(_MOST, max(_LEAST, round(_SECONDS / 2 / max(1e-6, perf_counter() - start))))
        plain_runs, recorded = [], []
        for _ in range(runs):
            plain_runs.append(plain())
            recorded.append(recorder.time(observed))
    chosen = _nearest_to_median(recorded)
    seconds = fmean(run.seconds for run in chosen)
    rows = list(_rows(chosen, counts, seconds, machine))
    rows.append(_overhead(seconds, sum(row.seconds for row in rows)))
    phases = {name: median(run[name] for run in plain_runs) for name in workload.phases}
    return Profile(
        machine,
        workload.name,
        engine.name,
        workload.description,
        len(chosen),
        seconds,
        sum(phases.values()),
        tuple(rows),
        {
            name: Speed(took, phase.tokens / took, phase.flops / took / (1e9 * machine.gflops))
            for (name, phase), took in zip(workload.phases.items(), phases.values(), strict=True)
        },
    )


def _nearest_to_median(runs: list[Run]) -> list[Run]:
    middle = median(run.seconds for run in runs)
    return sorted(runs, key=lambda run: abs(run.seconds - middle))[: (len(runs) + 1) // 2]


def _rows(runs: list[Run], counts: Mapping[Key, Tally], seconds: float, machine: Machine) -> Iterable[Row]:
    for key in sorted({key for run in runs for key in run.tallies}, key=str):
        found = [run.tallies.get(key, Tally()) for run in runs]
        took, work = fmean(tally.seconds for tally in found), counts.get(key, Tally(flops=None))
        yield Row(
            *key,
            calls=fmean(tally.calls for tally in found),
            seconds=took,
            share=took / seconds,
            flops=work.flops,
            nbytes=work.nbytes,
            allocated=work.allocated,
            kept=work.kept,
            least_seconds=machine.seconds(work.flops or 0.0, work.nbytes),
        )


def _overhead(total: float, explained: float) -> Row:
    rest = total - explained
    return Row(OVERHEAD, "", OVERHEAD, None, 0, rest, rest / total, 0.0, 0, 0, 0, 0.0)


def _order(module: str) -> int:
    return MODULES.index(module) if module in MODULES else len(MODULES)


def _longest_first(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: (row.op == OVERHEAD, -row.seconds))
