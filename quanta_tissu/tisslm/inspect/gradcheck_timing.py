"""The harness's benchmark mode: how long each op takes, beside PyTorch.

Each op runs forward and backward in float32 on one thread, at the sizes of a small training step (see `CASES`).
The implementations take turns, so that a busy moment of the machine meets all of them, and the median turn counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from quanta_tissu.tisslm.engine.engines import Implementation
from quanta_tissu.tisslm.inspect.certificate import Timing
from quanta_tissu.tisslm.inspect.gradcheck_ops import has_numba, has_torch, one_torch_thread
from quanta_tissu.tisslm.ops import Op

Array = NDArray[Any]

B, T, D, H, E, F, V = 8, 256, 384, 6, 64, 1024, 4096

_ANGLES = np.outer(np.arange(T), np.ones(E // 2))[None]
_IDS = np.arange(B * T).reshape(B, T) * 7919 % V

# Op -> shapes of its inputs (None: absent) and its attributes.
CASES: dict[str, tuple[tuple[tuple[int, ...] | None, ...], dict[str, Any]]] = {
    "add": (((B, T, D), (B, T, D)), {}),
    "add_layer_norm": (((B, T, D), (B, T, D), (D,), (D,)), {"eps": 1e-5}),
    "add_rms_norm": (((B, T, D), (B, T, D), (D,)), {"eps": 1e-5}),
    "attention": (((B, T, H, E), (B, T, H, E), (B, T, H, E)), {}),
    "cross_entropy": (((B, T, V),), {"targets": _IDS}),
    "dropout": (((B, T, D),), {"p": 0.1, "seed": (1,)}),
    "embedding": (((V, D),), {"ids": _IDS}),
    "gelu": (((B, T, F),), {}),
    "gelu_tanh": (((B, T, F),), {}),
    "layer_norm": (((B, T, D), (D,), (D,)), {"eps": 1e-5}),
    "linear": (((B, T, D), (F, D), None), {}),
    "linear_cross_entropy": (((B, T, D), (V, D)), {"targets": _IDS}),
    "multiply": (((B, T, D), (B, T, D)), {}),
    "power": (((B, T, D),), {"exponent": 2}),
    "relu": (((B, T, F),), {}),
    "reshape": (((B, T, D),), {"shape": (B, T, H, E)}),
    "rms_norm": (((B, T, D), (D,)), {"eps": 1e-5}),
    "rope": (((B, T, H, E),), {"cos": np.cos(_ANGLES), "sin": np.sin(_ANGLES)}),
    "silu": (((B, T, F),), {}),
    "softmax": (((B, T, V),), {}),
    "split": (((B, T, 3 * D),), {"sizes": (D, D, D)}),
    "swiglu": (((B, T, 2 * F),), {}),
    "tanh": (((B, T, F),), {}),
}


def time_op(op: Op, *, turns: int = 7) -> Timing:
    """Time one op forward and backward, in every implementation there is.

    Args:
        op: The op; it needs an entry in `CASES`.
        turns: How often each implementation is timed, after one run that is not.

    Returns:
        Median milliseconds of `reference`, of `fast` if the op has a fast twin, and of `torch` if it is installed.
    """
    shapes, attributes = CASES[op.name]
    rng = np.random.default_rng(0)
    inputs = [None if s is None else rng.normal(size=s).astype(np.float32) for s in shapes]
    outputs = op.readable.forward(*inputs, **attributes)[0]
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    d_outputs = [np.asarray(rng.normal(size=y.shape), np.float32) for y in outputs]
    runs = {"reference": _numpy_run(op.readable, inputs, attributes, d_outputs)}
    fast = op.fast_twin() if has_numba() else None
    if fast is not None:
        runs["fast"] = _numpy_run(fast, inputs, attributes, d_outputs)
    if has_torch():
        runs["torch"] = _torch_run(op, inputs, attributes, d_outputs)
    size = ", ".join("×".join(map(str, shape)) for shape in shapes if shape is not None)
    with threadpool_limits(1):
        times = _take_turns(runs, turns)
    return Timing(op.name, size, {name: 1000 * median(seconds) for name, seconds in times.items()})


def _take_turns(runs: dict[str, Callable[[], None]], turns: int) -> dict[str, list[float]]:
    """Seconds of each turn of each run."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(turns + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if turn:  # the first one compiles and warms up
                times[name].append(time.perf_counter() - start)
    return times


def _numpy_run(
    implementation: Implementation, inputs: list[Array | None], attributes: dict[str, Any], d_outputs: list[Array]
) -> Callable[[], None]:
    def run() -> None:
        _, saved = implementation.forward(*inputs, **attributes)
        implementation.backward(saved, *d_outputs)

    return run


def _torch_run(
    op: Op, inputs: list[Array | None], attributes: dict[str, Any], d_outputs: list[Array]
) -> Callable[[], None]:
    import torch

    tensors = [None if x is None else torch.tensor(x, requires_grad=True) for x in inputs]
    wanted = [x for x in tensors if x is not None]
    weights = [torch.from_numpy(d) for d in d_outputs]
    # Constants are tensors already, as in a program written for PyTorch.
    constants = {k: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for k, v in attributes.items()}

    def run() -> None:
        with one_torch_thread():
            outputs = op.torch_twin(*tensors, **constants)
            torch.autograd.grad(outputs, wanted, weights)

    return run
