"""Where compiled kernels are kept between runs: Numba's cache on disk, made robust, and what is in it.

Importing this module imports Numba, which takes the first folder that can be written to: `NUMBA_CACHE_DIR` if it
is set, `__pycache__` beside the source, and a folder of the user's cache.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from numba.core.caching import FunctionCache, IndexDataCacheFile
from numba.core.registry import cpu_target

_PACKAGE = Path(__file__).parents[1]


class KernelCache(FunctionCache):  # type: ignore[misc]
    """The cache of one kernel; whatever is wrong with it costs a compilation and nothing else.

    Args:
        function: The kernel's Python function.

    Raises:
        RuntimeError: There is no folder to write to.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        # Numba compares one stamp of the source file; there is no public way to add to it.
        self._cache_file._source_stamp = _stamp(self._impl.locator)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The compiled kernel for these argument types; None if it is not there, or damaged."""
        try:
            found = super().load_overload(sig, target_context)
        except Exception:  # whatever reading a damaged file comes to
            return None
        # Two processes that compile at the same time may have given two signatures the same file.
        wanted = getattr(sig, "args", sig)
        return found if found is not None and tuple(found.signature.args) == tuple(wanted) else None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep a compiled kernel; where the disk is full or read-only by now, this process alone has it."""
        try:
            try:
                super().save_overload(sig, data)
            except OSError:
                raise
            except Exception:  # a damaged index
                self.flush()
                super().save_overload(sig, data)
        except OSError:
            return


@dataclass(frozen=True)
class CacheState:
    """What the cache holds.

    Attributes:
        folders: Where kernels are kept; none if no folder can be written to.
        kernels: Kernels that are ready: compiled from the sources as they are now, for this processor. One
            function counts once for each combination of argument types.
        nbytes: Bytes of all files of the cache, those of older sources included.
    """

    folders: tuple[Path, ...]
    kernels: int
    nbytes: int

    @property
    def common_folder(self) -> Path | None:
        """The folder that all of it is below."""
        return Path(os.path.commonpath(self.folders)) if self.folders else None


def cache_state() -> CacheState:
    """Look at the cache of all kernels of the package, without importing them."""
    kernels, nbytes, folders = 0, 0, {}
    machine = cpu_target.target_context.codegen().magic_tuple()
    python = f"py{sys.version_info.major}{sys.version_info.minor}{getattr(sys, 'abiflags', '')}"
    for source in _sources():
        locator = _locator(source)
        if locator is None:
            continue
        folder = Path(locator.get_cache_path())
        folders[folder] = True
        for index in folder.glob(f"{source.stem}.*.{python}.nbi"):
            file = IndexDataCacheFile(str(folder), index.stem, _stamp(locator))
            try:
                signatures = file._load_index()
            except Exception:  # damaged: as good as empty
                signatures = {}
            kernels += sum(machine == key[1] for key in signatures)
        nbytes += sum(file.stat().st_size for file in folder.glob(f"{source.stem}.*.nb[ic]"))
    return CacheState(tuple(folders), kernels, nbytes)


def _sources() -> Iterator[Path]:
    """The files that define kernels."""
    for path in sorted(_PACKAGE.rglob("*.py")):
        if "engine.jit import" in path.read_text(encoding="utf-8"):
            yield path


def _locator(source: Path) -> Any:
    """Numba's own choice of a folder for the kernels of a file; None if there is none."""
    kinds = KernelCache._impl_class._locator_classes
    # They want a function of the file, but only for the line number, which does not matter here.
    choices = (kind.from_function(_locator, str(source)) for kind in kinds)
    return next((locator for locator in choices if locator is not None), None)


def _stamp(locator: Any) -> Any:
    """What tells whether compiled code is that of the sources as they are now."""
    return locator.get_source_stamp(), _shared_stamp()


@cache
def _shared_stamp() -> tuple[tuple[float, int], ...]:
    """The sources whose functions become part of the kernels' compiled code: the engine's extensions of Numba."""
    engine = Path(__file__).parent
    extensions = [path for path in sorted(engine.glob("*.py")) if "numba.extending" in path.read_text("utf-8")]
    stats = [path.stat() for path in (engine / "jit.py", *extensions)]
    return tuple((stat.st_mtime, stat.st_size) for stat in stats)
