"""How kernels are compiled: one decorator, a cache on disk that notices every change, and a hook that tells users.

Importing this module does not import Numba; decorating a kernel does, and so does nothing else in the engine.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])

# What LLVM may assume of floating-point arithmetic: multiply-adds may be fused and the sign of zero may change.
# Not-a-number and infinity keep their meaning (no `nnan`, no `ninf`): a mask is -inf, and divergence must be seen.
_FAST_MATH = frozenset({"contract", "nsz"})

# Kernels call these files' functions, which become part of the kernels' compiled code.
_SHARED_SOURCES = (Path(__file__), Path(__file__).with_name("vector_math.py"))

_on_first_compile: list[Callable[[], None]] = []


def on_first_compile(listener: Callable[[], None] | None) -> None:
    """Set what is called once, before the first kernel that the cache on disk does not hold is compiled.

    Compiling takes a few seconds on the first run on a machine; a program can say so. Nothing is printed unless a
    listener is set; None removes it.
    """
    _on_first_compile[:] = [] if listener is None else [listener]


def kernel(function: Function) -> Function:
    """Compile a function with Numba at its first call with each combination of argument types.

    Kernels release Python's lock and run on one thread: replicas are what runs in parallel (see `threads.py`).
    A kernel may call functions of its own file and of `vector_math.py`; of no other, because Numba's cache only
    looks at the files named here. Where no cache folder is writable, kernels are compiled in every process.
    """
    return _compile(function, _FAST_MATH)


def summing_kernel(function: Function) -> Function:
    """A kernel whose sums may be reordered, without which they cannot be vectorised.

    Only for sums of many terms: the same freedom lets LLVM rewrite (1 - β) g + β v as g - β (g - v), which is less
    accurate.
    """
    return _compile(function, _FAST_MATH | {"reassoc"})


def _compile(function: Function, fast_math: frozenset[str]) -> Function:
    import numba

    _announce_compilation()
    plain = inspect.unwrap(function)  # while tests run, functions arrive wrapped in a check of their annotations
    compiled = numba.njit(nogil=True, error_model="numpy", fastmath=set(fast_math))(plain)
    try:
        compiled.enable_caching()
    except RuntimeError:  # no folder is writable: neither beside the source nor in the user's cache
        return compiled  # type: ignore[no-any-return]
    _watch_shared_sources(compiled)
    return compiled  # type: ignore[no-any-return]


def _watch_shared_sources(compiled: Any) -> None:
    """Make the cache of a kernel stale when a shared source changes, not only its own file.

    Numba compares one stamp of the source file; there is no public way to add to it.
    """
    index = compiled._cache._cache_file
    index._source_stamp = (index._source_stamp, _shared_stamp())


@cache
def _shared_stamp() -> tuple[tuple[float, int], ...]:
    stats = [path.stat() for path in _SHARED_SOURCES if path.exists()]
    return tuple((stat.st_mtime, stat.st_size) for stat in stats)


@cache
def _announce_compilation() -> None:
    """Have Numba call the listener; done once, when the first kernel is defined."""
    from numba.core import event

    class Announcer(event.Listener):  # type: ignore[misc]
        def on_start(self, event: Any) -> None:
            ours = event.data["dispatcher"].py_func.__module__.startswith("quanta_tissu.")
            if ours and _on_first_compile:
                _on_first_compile.pop()()

        def on_end(self, event: Any) -> None:
            pass

    event.register("numba:compile", Announcer())
