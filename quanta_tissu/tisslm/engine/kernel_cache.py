"""Where compiled kernels are kept between runs: Numba's cache on disk, made robust, and what is in it.

Importing this module imports Numba, which takes the first folder that can be written to: `NUMBA_CACHE_DIR` if it
is set, `__pycache__` beside the source, and a folder of the user's cache.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from numba.core.caching import FunctionCache, IndexDataCacheFile
from numba.core.registry import cpu_target

_PACKAGE = Path(__file__).parents[1]

_MAKES_CODE = re.compile(r"^from (numba\.extending|quanta_tissu\.tisslm\.engine\.jit) import", re.MULTILINE)
_IMPORT = re.compile(r"^from quanta_tissu\.tisslm\.([\w.]+) import (\([^)]*\)|.+)$", re.MULTILINE)


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
        source = Path(function.__code__.co_filename)
        self._cache_file._source_stamp = _stamp(self._impl.locator, source)

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
            file = IndexDataCacheFile(str(folder), index.stem, _stamp(locator, source))
            try:
                signatures = file._load_index()
            except Exception:  # damaged: as good as empty
                signatures = {}
            kernels += sum(machine == key[1] for key in signatures)
        nbytes += sum(file.stat().st_size for file in folder.glob(f"{source.stem}.*.nb[ic]"))
    return CacheState(tuple(folders), kernels, nbytes)


def _sources() -> Iterator[Path]:
    """The files that define kernels or extensions of Numba."""
    for path in sorted(_PACKAGE.rglob("*.py")):
        if _MAKES_CODE.search(path.read_text("utf-8")):
            yield path


def _locator(source: Path) -> Any:
    """Numba's own choice of a folder for the kernels of a file; None if there is none."""
    kinds = KernelCache._impl_class._locator_classes
    # They want a function of the file, but only for the line number, which does not matter here.
    choices = (kind.from_function(_locator, str(source)) for kind in kinds)
    return next((locator for locator in choices if locator is not None), None)


def _stamp(locator: Any, source: Path) -> Any:
    """What tells whether the compiled kernels of a file are those of the sources as they are now."""
    stats = [path.stat() for path in (_PACKAGE / "engine" / "jit.py", *compiled_into(source))]
    return locator.get_source_stamp(), tuple((stat.st_mtime, stat.st_size) for stat in stats)


@cache
def compiled_into(source: Path) -> tuple[Path, ...]:
    """The other files whose functions may become part of a file's compiled kernels.

    They are those with kernels or extensions of Numba among the files that it imports at its beginning, directly
    or through others of that kind.
    """
    found: set[Path] = set()
    unread = [source] if source.is_file() else []  # a notebook's cell is none
    while unread:
        imported = {path for path in _imported(unread.pop()) if _MAKES_CODE.search(path.read_text("utf-8"))}
        unread += imported - found
        found |= imported
    return tuple(sorted(found - {source}))


def _imported(source: Path) -> Iterator[Path]:
    """The package's files that a file imports."""
    for module, names in _IMPORT.findall(source.read_text("utf-8")):
        path = _PACKAGE.joinpath(*module.split("."))
        choices = [path, *(path / name for name in re.findall(r"\w+", names))]
        yield from (file for choice in choices if (file := choice.with_suffix(".py")).is_file())
