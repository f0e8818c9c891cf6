"""The harness that proves every op, and with them whole models.

It walks the registry, so that an op that is not proved cannot exist. What it does with each op is in
`gradcheck_ops.py`, with whole models in `gradcheck_models.py`; how figures are measured in `differences.py`.
"""

from __future__ import annotations

import importlib.util
import platform
from collections.abc import Callable, Iterable, Iterator
from difflib import get_close_matches
from functools import partial
from importlib.metadata import version
from typing import NamedTuple

from quanta_tissu.errors import ConfigError
from quanta_tissu.tisslm.inspect.certificate import Certificate, Check
from quanta_tissu.tisslm.inspect.gradcheck_models import (
    DROPPING,
    MODEL,
    check_model,
    every_variant,
    label,
    pairwise_variants,
)
from quanta_tissu.tisslm.inspect.gradcheck_ops import check_op, has_numba
from quanta_tissu.tisslm.inspect.gradcheck_timing import time_op
from quanta_tissu.tisslm.ops import REGISTRY

_PORTION = 32  # variants of the model between two reports of progress


class Task(NamedTuple):
    """A part of the harness's work that can be named while it runs."""

    label: str
    run: Callable[[], Iterable[Check]]


def gradcheck(
    subjects: Iterable[str] | None = None,
    *,
    benchmark: bool = False,
    progress: Callable[[int, int, str], None] = lambda done, total, label: None,
) -> Certificate:
    """Prove ops and whole models.

    Args:
        subjects: Names of ops, and `model` for whole tiny models of every architecture; by default all of them.
        benchmark: Whether to time the ops against PyTorch as well.
        progress: Called before each task and at the end, with the tasks done, the tasks in all, and what is next.

    Returns:
        The certificate; nothing is raised if a check fails.

    Raises:
        ConfigError: There is no op of that name.
    """
    names = list(dict.fromkeys([*REGISTRY, MODEL] if subjects is None else subjects))
    tasks = [task for name in names for task in _tasks(name)]
    timed = [name for name in names if name != MODEL] if benchmark else []
    total = len(tasks) + len(timed)
    checks: list[Check] = []
    for done, task in enumerate(tasks):
        progress(done, total, task.label)
        checks += task.run()
    timings = []
    for done, name in enumerate(timed, start=len(tasks)):
        progress(done, total, f"timing {name}")
        timings.append(time_op(REGISTRY[name]))
    progress(total, total, "done")
    return Certificate(checks, _environment(), timings)


def _tasks(name: str) -> list[Task]:
    """The work on one subject."""
    if name == MODEL:
        return [*_model_tasks()]
    if name not in REGISTRY:
        names = [*REGISTRY, MODEL]
        close = get_close_matches(name, names, n=1)
        raise ConfigError(
            f"there is no op {name!r}",
            hint=f"did you mean {close[0]!r}?" if close else f"choose among: {', '.join(names)}",
        )
    op = REGISTRY[name]
    return [Task(name, partial(check_op, op, fast=op.fast_twin() if has_numba() else None))]


def _model_tasks() -> Iterator[Task]:
    variants = every_variant()
    for start in range(0, len(variants), _PORTION):
        portion = variants[start : start + _PORTION]
        checks = (check for variant in portion for check in check_model(variant, thorough=False))
        yield Task(f"{MODEL} {label(portion[0])}", partial(list, checks))
    for variant in (*pairwise_variants(), DROPPING):
        yield Task(f"{MODEL} {label(variant)}", partial(check_model, variant, thorough=True))


def _environment() -> dict[str, str]:
    """What took part in the proof, with versions."""
    packages = [name for name in ("numpy", "scipy", "numba", "torch") if importlib.util.find_spec(name)]
    return {"Python": platform.python_version()} | {name: version(name) for name in packages}
