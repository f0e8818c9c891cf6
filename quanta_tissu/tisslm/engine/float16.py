"""Simulated float16: an engine whose ops see and return numbers that float16 can represent.

Mixed precision (Micikevicius et al. 2018, arXiv:1710.03740) keeps weights, norms, sums and the loss in float32 and
gives matrix products float16: half the memory traffic, and units of hardware that multiply float16 and add up in
float32. A CPU has no such units, but what the format does to training can be had: arrays stay float32, and what
would be a float16 is rounded to the nearest one. The ops do not know; this engine rounds what goes in and out.

What is rounded where follows `torch.autocast` for float16 on CUDA (PyTorch, "Automatic Mixed Precision package",
op eligibility), seen from each op:

    casts its inputs           linear, attention           inputs (weights too), results and all gradients
    the same, float32 results  linear_cross_entropy        inputs and their gradients
    works in its input's type  activations, rope, dropout  results and gradients: what they work on is a float16
    works in float32           everything else             nothing

So the residual stream, whose sums autocast promotes to float32, stays float32, and its gradient is rounded where
it enters a product. Inside an op arithmetic is float32: sums of products as on tensor cores, and the softmax in
attention with its normaliser.

Three differences: attention's weights stay float32 between the softmax and the second product, and logits on their
way into the loss, since they never leave their op; and dropout rounds even after the embeddings, where autocast
works in float32.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quanta_tissu.tisslm.engine.engines import Engine, EngineOp, Implementation

Array = NDArray[Any]

LARGEST = 65504.0
"""The largest float16."""


@dataclass(frozen=True)
class Policy:
    """What is a float16 about an op.

    Attributes:
        inputs: Its inputs are cast, and their gradients are float16.
        outputs: Its results are float16, and so are their gradients and those of the inputs.
    """

    inputs: bool
    outputs: bool


_CASTS, _AS_INPUT, _FLOAT32 = Policy(True, True), Policy(False, True), Policy(False, False)
_CASTS_INPUT = Policy(True, False)

POLICIES = {
    "linear": _CASTS,
    "attention": _CASTS,
    "dropout": _AS_INPUT,
    "gelu": _AS_INPUT,
    "gelu_tanh": _AS_INPUT,
    "relu": _AS_INPUT,
    "relu_squared": _AS_INPUT,
    "rope": _AS_INPUT,
    "silu": _AS_INPUT,
    "swiglu": _AS_INPUT,
    "tanh": _AS_INPUT,
    "add": _FLOAT32,
    "add_layer_norm": _FLOAT32,
    "add_rms_norm": _FLOAT32,
    "cross_entropy": _FLOAT32,
    "embedding": _FLOAT32,
    "layer_norm": _FLOAT32,
    "linear_cross_entropy": _CASTS_INPUT,  # its logits never leave it: they stay float32
    "multiply": _FLOAT32,
    "power": _FLOAT32,
    "reshape": _FLOAT32,
    "rms_norm": _FLOAT32,
    "softmax": _FLOAT32,
    "split": _FLOAT32,
}
"""The policy of every op, by name; an op that is missing here cannot run in float16."""


def rounded(x: Array) -> Array:
    """The nearest float16 to each element, as a new array of x's type; beyond 65,520 infinity, ties to even."""
    with np.errstate(over="ignore"):
        return x.astype(np.float16).astype(x.dtype)


def cast(x: Array) -> Array:
    """The nearest float16 to each element: x itself, if it holds nothing else, or a new array."""
    y = rounded(x)
    return x if np.array_equal(x, y) else y


def round_in_place(x: Array) -> None:
    """Replace every element of x by the nearest float16."""
    np.copyto(x, rounded(x))


def fast_rounded(x: Array) -> Array:
    """As `rounded`, by a kernel."""
    from quanta_tissu.tisslm.engine import float16_kernels

    if x.dtype != np.float32:
        return rounded(x)
    y = np.empty(x.shape, x.dtype)
    float16_kernels.round_into(np.ascontiguousarray(x).reshape(-1), y.reshape(-1))
    return y


def fast_cast(x: Array) -> Array:
    """As `cast`, by a kernel; it does not look into arrays with gaps."""
    from quanta_tissu.tisslm.engine import float16_kernels

    if x.dtype == np.float32 and x.flags.c_contiguous and float16_kernels.holds_float16(x.reshape(-1)):
        return x
    return fast_rounded(x)


def fast_round_in_place(x: Array) -> None:
    """As `round_in_place`, by a kernel."""
    from quanta_tissu.tisslm.engine import float16_kernels

    if x.dtype == np.float32 and x.flags.c_contiguous:
        float16_kernels.round_in_place(x.reshape(-1))
    else:
        np.copyto(x, fast_rounded(x))


@dataclass(frozen=True)
class Rounded:
    """An implementation of an op between float16 numbers.

    Attributes:
        plain: The op's implementation in float32. What it returns may be changed: no op returns its input. If it
            saves its own result, that is rounded, too, as it would be if it were a float16.
        policy: What is rounded.
        cast: Rounds what others may hold: into a copy, if there is anything to round. Who makes an array again
            instead of keeping it finds it in what the op saved.
        round_in_place: Rounds an array that nobody else holds.
        value: Nothing: forward gives it.
        differentiate: Nothing: forward and backward do it.
        again: Nothing: forward does it.
    """

    plain: Implementation
    policy: Policy
    cast: Callable[[Array], Array]
    round_in_place: Callable[[Array], None]
    value: Callable[..., Any] | None = None
    differentiate: Callable[..., Any] | None = None
    again: Callable[..., Any] | None = None

    def forward(self, *inputs: Array | None, **attributes: Any) -> tuple[Any, Any]:
        """The op's forward pass."""
        if self.policy.inputs:
            inputs = tuple(None if x is None else self.cast(x) for x in inputs)
        result, saved = self.plain.forward(*inputs, **attributes)
        if self.policy.outputs:
            self.round_in_place(result)
        return result, saved

    def backward(self, saved: Any, *d_outputs: Array) -> tuple[Array | None, ...]:
        """The op's backward pass."""
        if self.policy.outputs:
            d_outputs = tuple(self.cast(d) for d in d_outputs)
        d_inputs = self.plain.backward(saved, *d_outputs)
        for d in d_inputs:
            if d is not None:
                self.round_in_place(d)
        return d_inputs


@dataclass(frozen=True)
class Float16Engine(Engine):
    """A NumPy engine in simulated float16, called as the engine whose ops it runs."""

    def implementation(self, op: EngineOp) -> Implementation:
        """The code for `op`, with roundings around it.

        Raises:
            NotImplementedError: It is not decided what is rounded in this op.
        """
        policy = POLICIES.get(op.name)
        if policy is None:
            raise NotImplementedError(
                f"the op {op.name!r} has no float16 policy; give it one in {__name__}.POLICIES"
            )
        plain = super().implementation(op)
        if policy == _FLOAT32:
            return plain
        if self.name == "fast":
            return Rounded(plain, policy, fast_cast, fast_round_in_place)
        return Rounded(plain, policy, cast, round_in_place)
