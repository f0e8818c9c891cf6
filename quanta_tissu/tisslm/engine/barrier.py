"""A barrier for threads inside kernels: everyone waits until all have arrived, without leaving compiled code.

A decoding step has a hundred points at which its threads must meet, a few microseconds apart, so waiting must cost
less than asking the operating system. Threads therefore spin on one counter, which arrivals raise by one:

    target = 0
    ...
    target += workers
    meet(barrier, target)        # returns when `workers` more arrivals have been counted

The counter only grows, so every step has a barrier of its own. A thread that has spun for about 20 microseconds
offers its core to others at every further look, so that a machine with more busy threads than cores goes on.
`abandon` lets everyone through at once, for when a thread never arrives; what the kernel computes after that is
worthless, but it ends.
"""

from __future__ import annotations

import ctypes
import platform
import sys
from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload
from numpy.typing import NDArray

# Elements of the barrier's array, on cache lines of their own.
_COUNTER, _ABANDONED, _SIZE = 0, 16, 32

_SPINS = 1000

# The name under which compiled code finds the system's function that gives a core away.
_YIELD = "tissu_yield_core"


def new_barrier() -> NDArray[np.int64]:
    """A barrier at which nobody has arrived."""
    return np.zeros(_SIZE, np.int64)


def abandon(barrier: NDArray[np.int64]) -> None:
    """Let everyone through from now on."""
    barrier[_ABANDONED] = 1


def meet(barrier: Any, target: Any) -> None:
    """Arrive, and wait until `target` arrivals have been counted since it was made."""
    raise NotImplementedError("call it inside a kernel")


@overload(meet)
def _meet(barrier: Any, target: Any) -> Callable[..., None]:
    def wait(barrier: Any, target: Any) -> None:
        _add(barrier, _COUNTER)
        spins = 0
        while _load(barrier, _COUNTER) < target and _load(barrier, _ABANDONED) == 0:
            spins += 1
            if spins < _SPINS:
                _pause()
            else:
                _yield_core()

    return wait


def claim(taken: Any, phase: Any) -> Any:
    """Take the next item of a phase: 0, 1, 2, ... to whoever comes; `taken` counts those of every phase.

    Who is free takes the next item, so that a thread whose core other programs want holds nobody up for long.
    """
    raise NotImplementedError("call it inside a kernel")


@overload(claim)
def _claim(taken: Any, phase: Any) -> Callable[..., Any]:
    def take(taken: Any, phase: Any) -> Any:
        return _add(taken, phase)

    return take


def _pointer(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """Address of element `arguments[1]` of the array `arguments[0]`."""
    array = context.make_array(signature.args[0])(context, builder, arguments[0])
    return cgutils.get_item_pointer(context, builder, signature.args[0], array, [arguments[1]])


@intrinsic
def _add(typing_context: Any, array: Any, index: Any) -> Any:
    """Add one to an element and give what it was; everything written before is visible to who sees the sum."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _pointer(context, builder, signature, arguments)
        return builder.atomic_rmw("add", pointer, ir.Constant(ir.IntType(64), 1), "acq_rel")

    return types.int64(array, types.intp), generate


@intrinsic
def _load(typing_context: Any, array: Any, index: Any) -> Any:
    """Read an element, and see what was written before it got its value."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load_atomic(_pointer(context, builder, signature, arguments), "acquire", 8)

    return types.int64(array, types.intp), generate


@intrinsic
def _pause(typing_context: Any) -> Any:
    """Tell the core that it is spinning, where it has an instruction for that."""
    names = {"x86_64": "llvm.x86.sse2.pause", "AMD64": "llvm.x86.sse2.pause"}
    name = names.get(platform.machine())

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if name is not None:
            kind = ir.FunctionType(ir.VoidType(), [])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [])
        return context.get_dummy_value()

    return types.void(), generate


def _register_yield() -> None:
    """Give compiled code, also that of the cache on disk, the address of the system's function."""
    library, name = ("kernel32", "SwitchToThread") if sys.platform == "win32" else (None, "sched_yield")
    address = ctypes.cast(getattr(ctypes.CDLL(library), name), ctypes.c_void_p).value
    llvm.add_symbol(_YIELD, address)


_register_yield()
_yield_core = types.ExternalFunction(_YIELD, types.int32())
