"""What this machine and installation consist of: for `tissu --version` and `tissu doctor`."""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

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

    name = current().name
    return f"{name} engine" + (f" with Numba {package_version('numba')}" if name == "fast" else "")


def total_memory() -> int | None:
    """Physical memory in bytes; None where the system does not tell."""
    with suppress(AttributeError, ValueError, OSError):  # Windows has no sysconf
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return None
