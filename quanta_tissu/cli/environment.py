"""What this machine and installation consist of: for `tissu --version` and `tissu doctor`."""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from quanta_tissu import __version__


def version_line() -> str:
    """Versions of everything that can change a number: `tissu 0.1.0 (Python …, NumPy … with …, … engine)`."""
    return (
        f"tissu {__version__} (Python {platform.python_version()}, NumPy {package_version('numpy')} with "
        f"{blas()}, {engine_line()})"
    )


def package_version(name: str) -> str | None:
    """Version of an installed distribution, None if it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def blas() -> str:
    """The matrix library NumPy was built with, for example `scipy-openblas 0.3.31`."""
    import numpy as np

    found = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return f"{found['name']} {found['version']}"


def engine_line() -> str:
    """The default engine: `fast engine with Numba 0.61` or `reference engine`."""
    from quanta_tissu.tisslm.engine.engines import current

    numba = package_version("numba")
    return f"{current().name} engine" + (f" with Numba {numba}" if numba else "")


def memory() -> tuple[int | None, int | None]:
    """Total and available memory in bytes, as far as the system tells; a container's limit counts."""
    total = available = None
    with suppress(AttributeError, ValueError, OSError):  # Windows has no sysconf
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for line in _read("/proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            available = int(line.split()[1]) * 1024
    limit, used = _read("/sys/fs/cgroup/memory.max"), _read("/sys/fs/cgroup/memory.current")
    if limit.isdigit() and used.isdigit():
        total = min(total or int(limit), int(limit))
        available = min(available or int(limit), int(limit) - int(used))
    return total, available


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except OSError:
        return ""
