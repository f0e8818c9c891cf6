"""What an op is, and the registry that the harness walks.

An op is a stateless pair of functions. `forward` maps inputs to outputs and says what backward will need;
`backward` maps the gradients of the outputs to the gradients of the inputs:

    forward(*inputs, **attributes)   -> (outputs, saved)
    backward(saved, *d_outputs)      -> (d_input, ...)      one per input, None where there is none

The gradient of a table of which few rows are read may be a `RowGradient`; all others are arrays.

Where preparing for backward costs something, a third function leaves that out. It runs where nothing is recorded:

    value(*inputs, **attributes)     -> outputs

The fast twin of an op whose one output is what is differentiated, the loss, may know a fourth one. It does both
passes at once and hands each gradient on as soon as it is there, so that none is kept from one pass to the other:

    differentiate(*inputs, d_output, receive, **attributes) -> output     calls receive(number of input, gradient)

An op with several results of which the last is cheap to make again (see `Op.cheap`) says how:

    again(saved)                     -> last output     bit for bit

*Inputs* are positional and differentiable; *attributes* are keywords and are not (token ids, masks, numbers).
Calling an op runs it on what it is given: NumPy arrays (the current engine's forward, nothing recorded), tape
variables (recorded for backward) or torch tensors (the torch twin).

Letters in shapes: B batch, T time (query positions), S key positions, D model width, H query heads,
K key-value heads, E head width, F feed-forward width, V vocabulary, N rows of any kind.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quanta_tissu.tisslm import engine as engines
from quanta_tissu.tisslm.engine import Variable
from quanta_tissu.tisslm.engine.engines import Implementation

Array = NDArray[Any]


@dataclass(frozen=True)
class Sample:
    """One case on which an op is proved.

    Attributes:
        label: What is special about it, for the certificate.
        inputs: Float64 arrays (or None for an absent optional input), away from kinks.
        attributes: Keyword arguments.
        large: Too large for central differences; shows that the twins agree beyond the sizes of their blocks.
    """

    label: str
    inputs: tuple[Array | None, ...]
    attributes: dict[str, Any] = field(default_factory=dict)
    large: bool = False


@dataclass(frozen=True)
class Pair:
    """A forward with its backward, and what does less or does both (see the head of this file), if it exists."""

    forward: Callable[..., tuple[Any, Any]]
    backward: Callable[..., tuple[Any, ...]]
    value: Callable[..., Any] | None = None
    differentiate: Callable[..., Any] | None = None
    again: Callable[..., Any] | None = None


@dataclass(frozen=True, eq=False)
class Op:
    """A differentiable operation: its readable pair, its torch twin, the samples that prove it, and its source.

    The fast twin, where there is one, is the module `ops/kernels/<name>.py`; it defines `forward`, `backward` and,
    if it likes, `value`, `differentiate` and `again` with the same signatures and is imported at first use.
    """

    name: str
    readable: Pair
    torch_twin: Callable[..., Any]
    samples: Callable[[np.random.Generator], Iterator[Sample]]
    source: str
    cheap: bool = False

    def fast_twin(self) -> Implementation | None:
        """The Numba implementation, or None where the readable one is already as fast."""
        return _fast_twin(self.name)

    def __call__(self, *inputs: Any, **attributes: Any) -> Any:
        """Run the op on arrays, tape variables or torch tensors."""
        for x in inputs:
            if isinstance(x, Variable):
                return x.tape.apply(self, inputs, attributes)
        if "torch" in sys.modules:
            torch = sys.modules["torch"]
            for tensor in inputs:
                if isinstance(tensor, torch.Tensor):
                    # As on the tape, an array among them is a constant.
                    like = {"dtype": tensor.dtype, "device": tensor.device}
                    constants = (torch.as_tensor(x, **like) if isinstance(x, np.ndarray) else x for x in inputs)
                    return self.torch_twin(*constants, **attributes)
        implementation = engines.current().implementation(self)
        if implementation.value is not None:
            return implementation.value(*inputs, **attributes)
        return implementation.forward(*inputs, **attributes)[0]


REGISTRY: dict[str, Op] = {}


def define(
    name: str,
    *,
    forward: Callable[..., tuple[Any, Any]],
    backward: Callable[..., tuple[Any, ...]],
    torch_twin: Callable[..., Any],
    samples: Callable[[np.random.Generator], Iterator[Sample]],
    source: str,
    value: Callable[..., Any] | None = None,
    again: Callable[..., Any] | None = None,
    cheap: bool = False,
) -> Op:
    """Make an op and enter it in the registry, where the harness will find it.

    Args:
        name: Its name, also that of its module and of its fast twin's module.
        forward: `forward(*inputs, **attributes) -> (outputs, saved)`, readable NumPy.
        backward: `backward(saved, *d_outputs) -> d_inputs`, readable NumPy.
        torch_twin: The same function of torch tensors, differentiated by autograd.
        samples: The cases on which the op is proved.
        source: Where the formula comes from (paper, equation), for the certificate.
        value: `value(*inputs, **attributes) -> outputs`, forward without what backward needs, where that is
            cheaper; used when nothing is recorded.
        again: `again(saved) -> output`, the last result once more, for an op with several results that is cheap.
        cheap: Its last result costs so little beside a matrix product that the tape, if the result is large, makes
            it again for the product's backward pass instead of keeping it.

    Raises:
        ValueError: The name is taken.
    """
    if name in REGISTRY:
        raise ValueError(f"an op called {name!r} is already registered")
    REGISTRY[name] = Op(name, Pair(forward, backward, value, again=again), torch_twin, samples, source, cheap)
    return REGISTRY[name]


@cache
def _fast_twin(name: str) -> Implementation | None:
    module = f"quanta_tissu.tisslm.ops.kernels.{name}"
    if importlib.util.find_spec(module) is None:
        return None
    kernels = importlib.import_module(module)
    optional = {name: getattr(kernels, name, None) for name in ("value", "differentiate", "again")}
    return Pair(kernels.forward, kernels.backward, **optional)
