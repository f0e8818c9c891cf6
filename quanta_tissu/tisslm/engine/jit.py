"""How kernels are compiled: one decorator, a cache on disk that notices every change, and a hook that tells users.

Importing this module does not import Numba; decorating a kernel does, and so does nothing else in the engine.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])

CompileListener = Callable[[str, float | None], None]
"""Called with a kernel's name and None before it is compiled, and with the seconds that it took afterwards."""

# What LLVM may assume of floating-point arithmetic: multiply-adds may be fused and the sign of zero may change.
# Not-a-number and infinity keep their meaning (no `nnan`, no `ninf`): a mask is -inf, and divergence must be seen.
_FAST_MATH = frozenset({"contract", "nsz"})

_kernels: set[Callable[..., Any]] = set()
_listeners: list[CompileListener] = []


@contextmanager
def compilations(listener: CompileListener) -> Iterator[None]:
    """Have a listener told of every kernel that is compiled inside a `with` block, in any thread.

    Compiling takes most of a second for each kernel that the cache on disk does not hold, so a program should say
    what it is doing; nothing is printed here. Kernels are compiled one at a time, whichever threads want them. A
    kernel that another kernel calls is compiled in the middle of it; the seconds of each are its own.
    """
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def kernel(function: Function) -> Function:
    """Compile a function with Numba at its first call with each combination of argument types.

    Kernels release Python's lock and run on one thread: replicas are what runs in parallel (see `threads.py`).
    A kernel may call kernels and extensions of Numba, of its own file and of others that its file imports at its
    beginning: then the cache notices when they change (see `kernel_cache.py`). Where no cache folder is writable,
    kernels are compiled in every process.
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

    from quanta_tissu.tisslm.engine.kernel_cache import KernelCache

    _announce_compilations()
    plain = inspect.unwrap(function)  # while tests run, functions arrive wrapped in a check of their annotations
    compiled = numba.njit(nogil=True, error_model="numpy", fastmath=set(fast_math))(plain)
    _kernels.add(plain)
    with suppress(RuntimeError):  # no folder is writable: neither beside the source nor in the user's cache
        compiled._cache = KernelCache(plain)
    return compiled  # type: ignore[no-any-return]


@cache
def _announce_compilations() -> None:
    """Have Numba call the listeners; done once, when the first kernel is defined."""
    from numba.core import event

    class Announcer(event.Listener):  # type: ignore[misc]
        def __init__(self) -> None:
            # Of each kernel under way: when it began, and the seconds of the kernels inside it. Numba compiles
            # under one lock, so all of them belong to one thread.
            self._under_way: list[list[float]] = []

        def on_start(self, event: Any) -> None:
            if name := _name(event):
                self._under_way.append([time.perf_counter(), 0.0])
                _tell(name, None)

        def on_end(self, event: Any) -> None:
            if name := _name(event):
                began, inside = self._under_way.pop()
                seconds = time.perf_counter() - began
                if self._under_way:
                    self._under_way[-1][1] += seconds
                _tell(name, seconds - inside)

    event.register("numba:compile", Announcer())


def _name(event: Any) -> str | None:
    """`gelu.forward` for the kernel `_forward` in gelu.py; None for what is no kernel."""
    function = event.data["dispatcher"].py_func
    if function not in _kernels:  # a function that a kernel has compiled into it, or one of another library
        return None
    return f"{function.__module__.rpartition('.')[2]}.{function.__name__.lstrip('_')}"


def _tell(name: str, seconds: float | None) -> None:
    for listener in list(_listeners):
        listener(name, seconds)
