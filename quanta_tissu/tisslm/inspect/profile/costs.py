"""How much work an operation is: floating-point operations and bytes, by formula.

FLOPs count what the mathematics asks for, once: an addition, a multiplication, a division, a comparison and a
function such as exp are one each, a multiply-add is two; what the causal mask or the window hides is not counted,
and neither is what an implementation computes again. Bytes are the least that must be moved, each array that an
operation is given or returns once; views move nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quanta_tissu.tisslm.model import Decoder

Array = NDArray[Any]


@dataclass(frozen=True)
class Call:
    """What an operation was given and returned.

    Attributes:
        inputs: Its positional arguments.
        attributes: Its keywords.
        outputs: What it returned.
    """

    inputs: Sequence[Any]
    attributes: Mapping[str, Any]
    outputs: Sequence[Array]

    @property
    def elements(self) -> int:
        """Elements of all outputs."""
        return sum(y.size for y in self.outputs)


@dataclass(frozen=True)
class Work:
    """An amount of work.

    Attributes:
        flops: Floating-point operations; None where there is no formula.
        nbytes: Bytes moved.
    """

    flops: float | None
    nbytes: float


Formula = Callable[[Call], int]


def _per_element(count: int) -> Formula:
    """So many operations for each element of the output."""
    return lambda call: count * call.elements


def _per_input(count: int) -> Formula:
    """So many operations for each element of the first input."""
    return lambda call: count * int(call.inputs[0].size)


def _none(call: Call) -> int:
    """Nothing but moving data, if that."""
    return 0


def _product(call: Call) -> int:
    """A multiply-add for each row of x (N, I) and each element of W (O, I)."""
    x, weight = call.inputs[:2]
    return 2 * int(x.size // x.shape[-1]) * int(weight.size)


def _bias(call: Call) -> int:
    """One addition for each element of the output, where there is a bias."""
    return call.elements if len(call.inputs) > 2 and call.inputs[2] is not None else 0


def attended_pairs(T: int, S: int, window: int | None = None) -> int:
    """Pairs of a query and a key that it sees, when the T queries are the last of S positions.

    Query t stands at position S - T + t and sees itself and what is before it, `window` positions at most.
    """
    seen = np.arange(S - T + 1, S + 1)
    return int((seen if window is None else np.minimum(seen, window)).sum())


def _pairs(call: Call) -> int:
    """Pairs of a query and a key over all sequences and heads."""
    B, T, H = call.inputs[0].shape[:3]
    return int(B * H * attended_pairs(T, call.inputs[1].shape[1], call.attributes.get("window")))


def _attention_forward(call: Call) -> int:
    """For each pair: a score and a weighted value, 2 E each; scale, maximum, difference, exp, sum and division."""
    return _pairs(call) * (4 * int(call.inputs[0].shape[3]) + 6)


def _attention_backward(call: Call) -> int:
    """For each pair: gradients of value, weight, query and key, 2 E each; softmax backward and scale."""
    return _pairs(call) * (8 * int(call.inputs[0].shape[3]) + 5)


def _head_forward(call: Call) -> int:
    """Logits, then cross-entropy."""
    return _product(call) + 5 * _logits(call)


def _head_backward(call: Call) -> int:
    """The gradient of the logits, then two products."""
    return 2 * _product(call) + 2 * _logits(call)


def _logits(call: Call) -> int:
    x, weight = call.inputs[:2]
    return int(x.size // x.shape[-1]) * len(weight)


def _rotated(call: Call) -> int:
    """Two multiplications and an addition for each element of the heads that are rotated."""
    heads = call.attributes.get("heads")
    return 3 * call.elements if heads is None else 3 * call.elements // call.inputs[0].shape[2] * int(heads)


def _gathered(call: Call) -> int:
    """An addition for each element of the rows that were looked up."""
    return call.elements


# Operation -> FLOPs forward, FLOPs backward. A test compares it with the registry.
FORMULAS: dict[str, tuple[Formula, Formula]] = {
    "add": (_per_element(1), _none),
    # the addition, and the norm; backward the norm, and the stream's gradient
    "add_layer_norm": (_per_input(8), _per_input(13)),
    "add_rms_norm": (_per_input(5), _per_input(9)),
    "attention": (_attention_forward, _attention_backward),
    # maximum, difference, exp, sum, logarithm or division; probability minus target, times dy
    "cross_entropy": (_per_input(5), _per_input(2)),
    "dropout": (_per_element(1), _per_element(1)),
    "embedding": (_none, _gathered),
    # Φ: scale, erfc, halve; times x. Φ again, φ: square, scale, exp, scale; x φ, sum, times dy
    "gelu": (_per_element(4), _per_element(10)),
    # u = c (x + a x³): five; tanh; (1 + tanh) x / 2. The derivative: u again, 1 - tanh², u', and their sum
    "gelu_tanh": (_per_element(9), _per_element(16)),
    # mean, difference, square, sum, scale, weight and bias; backward: two means and a combination, weight and bias
    "layer_norm": (_per_element(7), _per_element(12)),
    "linear": (lambda call: _product(call) + _bias(call), lambda call: 2 * _product(call) + _bias(call)),
    "linear_cross_entropy": (_head_forward, _head_backward),
    "multiply": (_per_element(1), _per_element(2)),
    "power": (_per_element(1), _per_element(3)),
    "relu": (_per_element(1), _per_element(1)),
    "reshape": (_none, _none),
    # square, sum, scale, weight; backward: one mean and a combination, weight
    "rms_norm": (_per_element(4), _per_element(8)),
    "rope": (_rotated, _rotated),
    # exp, 1 + exp, division; times x. σ (1 + x (1 - σ)) dy
    "silu": (_per_element(4), _per_element(8)),
    "softmax": (_per_element(5), _per_element(4)),
    "split": (_none, _none),
    # silu(gate) · value; backward: silu again, its derivative, and two products
    "swiglu": (_per_element(5), _per_element(13)),
    "tanh": (_per_element(1), _per_element(3)),
}


def forward_work(name: str, call: Call) -> Work:
    """The work of an operation's forward.

    Args:
        name: The operation.
        call: What it was given and returned.
    """
    formula = FORMULAS.get(name)
    flops = None if formula is None else formula[0](call)
    given = [*_arrays(call.inputs), *_arrays(call.attributes.values())]
    if name == "embedding":  # it reads the rows that it returns, not the whole table
        given = [*_arrays(call.attributes.values()), *call.outputs]
        return Work(flops, sum(a.nbytes for a in given) + sum(y.nbytes for y in call.outputs))
    return Work(flops, moved(given, call.outputs))


def backward_work(name: str, call: Call, saved: Any, d_outputs: Sequence[Array], d_inputs: Sequence[Any]) -> Work:
    """The work of an operation's backward.

    Args:
        name: The operation.
        call: What its forward was given and returned.
        saved: What forward saved.
        d_outputs: Gradients that arrived.
        d_inputs: Gradients that it returned; None where there is none.
    """
    formula = FORMULAS.get(name)
    flops = None if formula is None else formula[1](call)
    return Work(flops, moved([*arrays_in(saved), *d_outputs], _arrays(d_inputs)))


def function_work(name: str, args: Sequence[Any]) -> Work:
    """The work of a function of `engine/flat.py` over flat arrays.

    Args:
        name: The function.
        args: What it is given, the total first.
    """
    size, nbytes = args[0].size, args[0].nbytes
    if name == "sum_into":
        return Work(3 * size, 3 * nbytes)  # the squares are added up, too
    if name == "squared_norm":
        return Work(2 * size, nbytes)
    if name == "add_rows":  # total, ids, rows: each row is read and added to one of total's
        return Work(args[2].size, args[1].nbytes + 3 * args[2].nbytes)
    return Work(None, sum(a.nbytes for a in _arrays(args)))


def optimizer_work(name: str, parameters: Array, buffers: int) -> Work:
    """The work of one update of all parameters.

    Args:
        name: The algorithm; only Adam's arithmetic is counted.
        parameters: The flat buffer.
        buffers: How many more of its length the algorithm keeps.
    """
    # Per element: two moments of three operations each, two corrections, root, sum, division, decay, update.
    flops = 14 * parameters.size if name in ("adam", "adamw") else None
    return Work(flops, (3 + 2 * buffers) * parameters.nbytes)


def moved(given: Sequence[Array], returned: Sequence[Array]) -> float:
    """Bytes that must be moved: everything once, and nothing where all that is returned are views."""
    new = [y for y in returned if not any(np.may_share_memory(x, y) for x in given)]
    if returned and not new:
        return 0
    places = {(_address(a), a.nbytes): a.nbytes for a in (*given, *new)}
    return sum(places.values())


def arrays_in(value: Any) -> Iterator[Array]:
    """All arrays in nested tuples, lists, mappings and dataclass-like objects of what forward saved."""
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from arrays_in(item)
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from arrays_in(item)


def _arrays(values: Any) -> list[Array]:
    return [value for value in values if isinstance(value, np.ndarray)]


def _address(array: Array) -> int:
    address: int = array.__array_interface__["data"][0]
    return address


def model_flops(decoder: Decoder, batch: int, time: int) -> float:
    """Operations of the matrix products that one forward pass over whole sequences asks for.

    That is what model FLOP utilisation counts (Chowdhery et al. 2022, arXiv:2204.02311, appendix B), with the
    masked half of attention left out. A training step needs three times as much.

    Args:
        decoder: The model.
        batch: Sequences.
        time: Tokens of each.
    """
    config = decoder.config
    products = sum(part.flops for part in decoder.summary().parts if part.name != "attention scores")
    pairs = config.n_layers * attended_pairs(time, time, config.sliding_window)
    return batch * (time * products + 4 * pairs * config.n_heads * config.head_dim)
