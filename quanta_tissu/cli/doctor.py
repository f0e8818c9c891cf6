"""`tissu doctor`: what is here, does it compute correctly and how fast, and what to do where it does not."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import click

from quanta_tissu import __version__
from quanta_tissu.cli import environment
from quanta_tissu.cli.compiling import KernelCommand
from quanta_tissu.cli.failures import ExitCode
from quanta_tissu.errors import MissingDependencyError
from quanta_tissu.tisslm.wording import counted, in_bytes

GIB = 1 << 30
Status = Literal["ok", "warning", "broken"]


@dataclass(frozen=True)
class Check:
    """One line of the report.

    Attributes:
        name: What was looked at.
        status: `warning` limits something; `broken` makes results wrong or impossible.
        detail: What was found.
        remedy: What to do about it.
        values: The numbers in `detail`, for programs.
    """

    name: str
    status: Status
    detail: str
    remedy: str | None = None
    values: dict[str, Any] = field(default_factory=dict)


def check_python() -> Check:
    """The interpreter and the system."""
    detail = f"{platform.python_version()} ({sys.executable}) on {platform.system()} {platform.machine()}"
    return Check("Python", "ok", detail, values={"python": platform.python_version(), "tissu": __version__})


def check_cores() -> Check:
    """Physical cores this process may use."""
    from quanta_tissu.tisslm.engine.threads import available_cores

    cores, logical = available_cores(), os.cpu_count() or 1
    return Check(
        "Cores", "ok", f"{cores} usable of {logical} logical", values={"cores": cores, "logical": logical}
    )


def check_memory() -> Check:
    """Physical memory, and what of it (and of a container's limit) is available."""
    from quanta_tissu.tisslm.train.memory import available_memory

    total, available = environment.total_memory(), available_memory()
    values = {"total": total, "available": available}
    if total is None:
        return Check("Memory", "ok", "the system does not tell", values=values)
    detail = f"{total / GIB:.1f} GiB" + ("" if available is None else f", {available / GIB:.1f} GiB available")
    if available is not None and available < GIB:
        remedy = "close other programs, or choose a small model and batch"
        return Check("Memory", "warning", detail, remedy, values)
    return Check("Memory", "ok", detail, values=values)


def check_numpy() -> Check:
    """NumPy and the library behind its matrix products."""
    import numpy as np
    from threadpoolctl import threadpool_info

    name = environment.blas()
    pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    threads = pools[0]["num_threads"] if pools else None
    detail = f"{np.__version__} with {name}" + (f", {threads} threads" if threads else "")
    values = {"numpy": np.__version__, "blas": name, "blas_threads": threads}
    if not any(known in name.lower() for known in ("openblas", "mkl", "accelerate", "blis")):
        remedy = "install NumPy from PyPI (`pip install --force-reinstall numpy`), which brings OpenBLAS"
        return Check("NumPy", "warning", f"{detail}: slow matrix products", remedy, values)
    return Check("NumPy", "ok", detail, values=values)


def check_numba() -> Check:
    """Numba, which the fast engine needs."""
    if not _has_numba():
        remedy = "`pip install numba` gives the fast engine; the reference engine works without"
        return Check("Numba", "warning", "not installed: everything runs on the reference engine", remedy)
    import numba

    return Check("Numba", "ok", f"{numba.__version__}", values={"numba": numba.__version__})


def check_optional() -> Check:
    """Libraries that add something and that nothing else waits for."""
    uses = {"torch": "torch", "transformers": "transformers", "matplotlib": "matplotlib"}
    versions = {name: environment.package_version(package) for name, package in uses.items()}
    detail = ", ".join(f"{name} {found or 'not installed'}" for name, found in versions.items())
    return Check("Optional", "ok", detail, values=versions)


def check_kernel_cache() -> Check:
    """Where compiled kernels are kept between runs, and how many there are."""
    if not _has_numba():
        return Check("Kernel cache", "ok", "not needed: the reference engine has nothing to compile")
    from quanta_tissu.tisslm.engine.kernel_cache import cache_state

    state = cache_state()
    values = {"folders": [str(f) for f in state.folders], "kernels": state.kernels, "bytes": state.nbytes}
    if not state.folders:
        return Check(
            "Kernel cache",
            "warning",
            "no folder is writable; kernels are compiled again in every run",
            "set NUMBA_CACHE_DIR to a folder you may write to",
            values,
        )
    detail = f"{counted(state.kernels, 'kernel')} ready, {in_bytes(state.nbytes)}, in {state.common_folder}"
    if not state.kernels:
        detail += "; the first run compiles what it needs, `tissu doctor --warm` all of them"
    return Check("Kernel cache", "ok", detail, values=values)


def check_disk() -> Check:
    """Whether runs can be written to the current folder."""
    folder = Path.cwd()
    free = shutil.disk_usage(folder).free
    detail, values = f"{folder}: {free / GIB:.1f} GiB free", {"free": free}
    if not _writable(folder):
        remedy = "change to a folder you may write to, or give `tissu train --out` one"
        return Check("Disk", "broken", f"{folder} is not writable", remedy, values)
    if free < GIB:
        return Check("Disk", "warning", detail, "checkpoints and token files need room: free some", values)
    return Check("Disk", "ok", detail, values=values)


def check_sandbox() -> Check:
    """What commands of scripts can be kept in with."""
    from quanta_tissu.errors import SandboxError
    from quanta_tissu.tisslang.sandbox.probe import best_level, offered

    offers = offered()
    values: dict[str, Any] = {one.name: {"works": one.works, "detail": one.detail} for one in offers}
    detail = "; ".join(
        f"{one.name}: {one.detail}" if one.works else f"no {one.name}: {one.detail}" for one in offers
    )
    try:
        best = best_level().value
    except SandboxError as error:
        remedy = f"{_BUBBLEWRAP}; until then scripts run commands only with `--sandbox none`"
        return Check("Sandbox", "warning", f"{error}: {detail}", remedy, {"level": None, "offers": values})
    found, values = f"{best}; {detail}", {"level": best, "offers": values}
    if best != "bwrap":
        remedy = f"{_BUBBLEWRAP}; until then the level is `{best}`, and `txn` is refused"
        return Check("Sandbox", "warning", found, remedy, values)
    return Check("Sandbox", "ok", found, values=values)


_BUBBLEWRAP = (
    "apt-get install bubblewrap; where namespaces of users are forbidden (containers, AppArmor of Ubuntu), allow "
    "them for bwrap"
)


def check_gradients() -> Check:
    """The gradient of a tiny model against a central difference, in float64."""
    import numpy as np

    decoder, loss = _tiny_model(np.float64)
    flat = decoder.parameters.flat
    gradient = _gradient(decoder, "reference")
    direction = np.random.default_rng(0).standard_normal(flat.size) * (gradient != 0)
    step = 1e-5 / np.linalg.norm(direction)
    flat += step * direction
    above = loss()
    flat -= 2 * step * direction
    difference = (above - loss()) / (2 * step)
    error = float(abs(difference - gradient @ direction) / abs(difference))
    detail, values = f"relative error {error:.1e} against a central difference", {"relative_error": error}
    if not error < 1e-6:
        return Check("Gradients", "broken", detail, _REINSTALL, values)
    return Check("Gradients", "ok", detail, values=values)


def check_engines() -> Check:
    """The fast engine's gradients against the reference engine's, in float32."""
    import numpy as np

    if not _has_numba():
        return Check("Engines", "warning", "the fast engine is not available", "`pip install numba`")
    decoder, _ = _tiny_model(np.float32)
    reference, fast = _gradient(decoder, "reference"), _gradient(decoder, "fast")
    error = float(np.linalg.norm(fast - reference) / np.linalg.norm(reference))
    detail = f"fast and reference gradients differ by {error:.1e} (relative)"
    if not error < 1e-5:
        return Check("Engines", "broken", detail, _REINSTALL, {"relative_error": error})
    return Check("Engines", "ok", detail, values={"relative_error": error})


def check_speed() -> Check:
    """Matrix products per second in float32, which bound the speed of training."""
    from quanta_tissu.tisslm.engine.threads import available_cores
    from quanta_tissu.tisslm.inspect.profile.machine import product_gflops

    gflops = product_gflops((768, 768, 768), available_cores())
    return Check("Speed", "ok", f"{gflops:.0f} GFLOP/s in float32 matrix products", values={"gflops": gflops})


_REINSTALL = (
    "results would be wrong: reinstall NumPy, Numba and quanta-tissu in a fresh virtual environment, "
    "and report it if that does not help"
)

CHECKS: tuple[Callable[[], Check], ...] = (
    check_python,
    check_cores,
    check_memory,
    check_numpy,
    check_numba,
    check_optional,
    check_kernel_cache,
    check_disk,
    check_sandbox,
    check_gradients,
    check_engines,
    check_speed,
)


def examine(check: Callable[[], Check]) -> Check:
    """Run one check; whatever it raises is a finding, not the end of the examination."""
    try:
        return check()
    except Exception as error:
        name = check.__name__.removeprefix("check_").replace("_", " ").capitalize()
        return Check(name, "broken", f"{type(error).__name__}: {error}", _REINSTALL)


def _tiny_model(dtype: Any) -> tuple[Any, Callable[[], float]]:
    """A two-layer modern decoder and its loss on fixed tokens."""
    from quanta_tissu.tisslm.config import ModelConfig
    from quanta_tissu.tisslm.engine import engines
    from quanta_tissu.tisslm.model.decoder import Decoder

    # A larger init_std than usual, so that every term of the gradient matters.
    config = ModelConfig(
        vocab_size=17, context_length=8, n_layers=2, d_model=16, n_heads=4, n_kv_heads=2, init_std=0.2
    )
    decoder = Decoder.initialise(config, seed=0, dtype=dtype)

    def loss() -> float:
        with engines.use("reference"):
            return float(decoder.loss(*_tokens()))

    return decoder, loss


def _gradient(decoder: Any, engine: str) -> Any:
    """Gradient of the tiny model's loss over its flat parameter buffer."""
    from quanta_tissu.tisslm.engine import engines
    from quanta_tissu.tisslm.engine.tape import Tape

    gradient = decoder.parameters.like()
    with engines.use(engine):
        tape = Tape()
        params = {name: tape.variable(value) for name, value in decoder.parameters.items()}
        tape.backward(decoder.loss(*_tokens(), params=params))
    for name, variable in params.items():
        gradient[name][...] = variable.grad
    return gradient.flat


def _tokens() -> tuple[Any, Any]:
    import numpy as np

    ids = np.random.default_rng(0).integers(0, 17, size=(2, 9))
    return ids[:, :-1], ids[:, 1:]


def _has_numba() -> bool:
    return importlib.util.find_spec("numba") is not None


def _writable(folder: Path) -> bool:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent  # it would be created there
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


@click.command("doctor", cls=KernelCommand)
@click.option("--warm", is_flag=True, help="Compile all kernels now instead, so that no later run has to.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def command(warm: bool, as_json: bool) -> None:
    """Check this machine and this installation, and say what to do.

    Looks at Python, cores, memory, NumPy with its BLAS, Numba, optional libraries, disk and what commands
    of scripts can be kept in with; proves a tiny model's
    gradient against finite differences and the fast engine against the reference engine; measures matrix products.
    The exit code is 1 if something is broken.

    \b
    Examples:
      tissu doctor
      tissu doctor --warm
      tissu doctor --json > report.json
    """
    if warm:
        _warm(as_json)
        return
    checks = [examine(check) for check in CHECKS]
    statuses = {check.status for check in checks}
    worst: Status = "broken" if "broken" in statuses else "warning" if "warning" in statuses else "ok"
    if as_json:
        click.echo(json.dumps({"status": worst, "checks": [asdict(check) for check in checks]}))
    else:
        _print(checks, worst)
    if worst == "broken":
        click.get_current_context().exit(ExitCode.FAILURE)


def _warm(as_json: bool) -> None:
    """Compile all kernels and say what came of it."""
    if not _has_numba():
        raise MissingDependencyError(
            "there are no kernels to compile: Numba is not installed, so everything runs on the reference engine",
            hint="`pip install numba` gives the fast engine",
        )
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from quanta_tissu.cli.console import error_console
    from quanta_tissu.cli.warm import warm
    from quanta_tissu.tisslm.engine.jit import compilations
    from quanta_tissu.tisslm.engine.kernel_cache import cache_state

    compiled: list[float] = []
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    console = error_console()
    start = time.perf_counter()
    with (
        compilations(lambda _, seconds: None if seconds is None else compiled.append(seconds)),
        Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar,
    ):
        task = bar.add_task("")
        warm(lambda done, total, name: bar.update(task, completed=done, total=total, description=name))
    seconds, state = time.perf_counter() - start, cache_state()
    if as_json:
        report: dict[str, Any] = {"compiled": len(compiled), "compile_seconds": sum(compiled), "seconds": seconds}
        report |= {"kernels": state.kernels, "bytes": state.nbytes, "folders": list(map(str, state.folders))}
        click.echo(json.dumps(report))
        return
    if compiled:
        click.echo(f"compiled {counted(len(compiled), 'kernel')} in {seconds:.0f} s")
    else:
        click.echo(f"all kernels were compiled before (looking took {seconds:.0f} s)")
    if state.folders:
        size = in_bytes(state.nbytes)
        click.echo(f"cache: {counted(state.kernels, 'kernel')} ready, {size}, in {state.common_folder}")
    else:
        click.echo("no folder can be written to, so other runs compile again: set NUMBA_CACHE_DIR to one that can")


def _print(checks: list[Check], worst: Status) -> None:
    from rich.table import Table
    from rich.text import Text

    from quanta_tissu.cli.console import OutputConsole

    marks = {"ok": ("ok", "green"), "warning": ("warning", "yellow"), "broken": ("BROKEN", "bold red")}
    table = Table(box=None, show_header=False, pad_edge=False)
    for check in checks:
        detail = Text(check.detail)
        if check.remedy:
            detail.append(f"\nhelp: {check.remedy}", style="cyan")
        table.add_row(check.name, Text(*marks[check.status]), detail)
    console = OutputConsole(soft_wrap=False)
    console.print(table)
    endings = {
        "ok": "Everything works.",
        "warning": "Everything works, with the limits above.",
        "broken": "Something is broken.",
    }
    console.print(endings[worst])
