"""What `tissu profile --out` writes: the page, and what Python's own tools say."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from time import perf_counter

from quanta_tissu.cli.profile_workloads import generation, training
from quanta_tissu.tisslm.config import Config
from quanta_tissu.tisslm.engine import Engine, use
from quanta_tissu.tisslm.inspect.profile import Profile, Workload
from quanta_tissu.tisslm.inspect.profile.page import page
from quanta_tissu.tisslm.inspect.profile.recording import Recorder
from quanta_tissu.tisslm.inspect.profile.sampling import sample
from quanta_tissu.tisslm.inspect.profile.traces import allocations, write_cprofile
from quanta_tissu.tisslm.model import Decoder

_Opened = Callable[[], AbstractContextManager[tuple[Workload, Recorder]]]

_SAMPLED_SECONDS = 2.0


def write_files(out: Path, profile: Profile, config: Config, decoder: Decoder, what: str, engine: Engine) -> None:
    """Run the workload again, watched in other ways, and write everything.

    Args:
        out: The folder, which exists.
        profile: The figures.
        config: The settings.
        decoder: The model.
        what: "train" or "generate".
        engine: What runs the operations.
    """
    whole: _Opened = partial(training if what == "train" else generation, config, decoder)
    single: _Opened = partial(training, config, decoder, 1) if what == "train" else whole
    with whole() as (workload, _), use(engine):
        workload.run()
        calls = sample(partial(_repeat, workload))
    with single() as (workload, _), use(engine):
        workload.run()
        write_cprofile(workload.run, out / "cprofile.pstats", out / "cprofile.txt")
        (out / "allocations.txt").write_text(allocations(workload.run, engine), encoding="utf-8")
    (out / "profile.json").write_text(json.dumps(profile.to_json(), indent=2) + "\n", encoding="utf-8")
    (out / "profile.html").write_text(page(profile, calls), encoding="utf-8")


def _repeat(workload: Workload) -> None:
    """Run for long enough to sample."""
    end = perf_counter() + _SAMPLED_SECONDS
    while True:
        workload.run()
        if perf_counter() > end:
            return
