"""The harness for ops, which `gradcheck.py` walks.

For each sample of an op:

1. *central differences*: the hand-derived gradient against numerical derivatives in float64;
2. *fast = reference*: the fast twin's values and gradients against the readable ones, in float64 and float32;
3. *torch = reference*: the torch twin's values, and autograd's gradients, against the readable ones in float64;
4. *float32*: the readable op in float32 against itself in float64, so that precision lost shows;
5. *contract*: shapes and element types of everything returned, one gradient per input, inputs left as they were;
6. *non-contiguous input*: strided and transposed inputs and gradients give the same;
7. *value*: what runs where nothing is recorded, if the op has it for that, against forward in both precisions;
8. *both passes*: what makes both passes at once, if the op has it, against one after the other in both precisions;
9. *again*: the last output made from what backward needs, if the op can, against forward's, bit for bit.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from quanta_tissu.tisslm.engine.engines import Implementation
from quanta_tissu.tisslm.engine.gradient import Gradient, dense
from quanta_tissu.tisslm.inspect.certificate import Check
from quanta_tissu.tisslm.inspect.differences import ENTIRELY_WRONG, numerical_gradient, relative_error
from quanta_tissu.tisslm.ops import Op, Sample

Array = NDArray[Any]

CENTRAL_DIFFERENCES = 1e-7

DOUBLE = 1e-11  # rounding of 1e-15 in elements a ten-thousandth of the largest
SINGLE = 2e-6


class Results(NamedTuple):
    """What one run of an op produced."""

    outputs: tuple[Array, ...]
    gradients: tuple[Array | None, ...]


def check_op(op: Op, *, fast: Implementation | None) -> Iterator[Check]:
    """Prove one op on all its samples.

    Args:
        op: The op.
        fast: Its fast twin, if it has one.

    Yields:
        One check after the other.
    """
    for sample in op.samples(np.random.default_rng(20250131)):
        try:
            d_outputs = _weights(op, sample)
        except Exception as exception:  # as in Check.measure: a row, not the end of the walk
            detail = f"{type(exception).__name__}: {exception}"
            yield Check(op.name, "contract", sample.label, ENTIRELY_WRONG, 0.0, op.source, detail)
            continue
        for check, tolerance, error in _compare(op, fast, sample, d_outputs):
            yield Check.measure(op.name, check, sample.label, tolerance, error, op.source)


def _compare(
    op: Op, fast: Implementation | None, sample: Sample, d_outputs: tuple[Array, ...]
) -> Iterator[tuple[str, float, Callable[[], float]]]:
    """All comparisons of one sample: what is compared, tolerance, and what measures the error."""
    readable = partial(run_op, op.readable, sample, d_outputs)
    if not sample.large:
        yield (
            "central differences",
            CENTRAL_DIFFERENCES,
            lambda: _distance_of(readable().gradients, numerical_gradients(op, sample, d_outputs)),
        )
    yield "float32", SINGLE, lambda: _in_single(op.readable, op, sample, d_outputs)
    yield "contract", 0.0, lambda: _contract(op.readable, sample, d_outputs)
    yield "non-contiguous input", DOUBLE, lambda: _non_contiguous(op.readable, sample, d_outputs)
    for prefix, implementation in (("", op.readable), ("fast: ", fast)):
        if implementation is not None and implementation.value is not None:
            yield f"{prefix}value, float64", DOUBLE, partial(_value, implementation, sample, np.float64)
            yield f"{prefix}value, float32", SINGLE, partial(_value, implementation, sample, np.float32)
        if implementation is not None and implementation.again is not None:
            yield f"{prefix}again", 0.0, partial(_again, implementation, sample)
    if fast is not None:
        if fast.differentiate is not None:
            yield "fast: both passes, float64", DOUBLE, lambda: _both_passes(fast, sample, np.float64)
            yield "fast: both passes, float32", SINGLE, lambda: _both_passes(fast, sample, np.float32)
        yield (
            "fast = reference, float64",
            DOUBLE,
            lambda: _distance(run_op(fast, sample, d_outputs), readable()),
        )
        yield "fast = reference, float32", SINGLE, lambda: _in_single(fast, op, sample, d_outputs)
        yield "fast: contract", 0.0, lambda: _contract(fast, sample, d_outputs)
        yield "fast: non-contiguous input", DOUBLE, lambda: _non_contiguous(fast, sample, d_outputs)
    if has_torch():
        yield "torch = reference", DOUBLE, lambda: _distance(run_torch(op, sample, d_outputs), readable())


def run_op(
    implementation: Implementation, sample: Sample, d_outputs: tuple[Array, ...], dtype: DTypeLike = np.float64
) -> Results:
    """Run a pair forward and backward on a sample, in a given precision."""
    inputs = [None if x is None else x.astype(dtype) for x in sample.inputs]
    outputs, saved = implementation.forward(*inputs, **sample.attributes)
    gradients = _written_out(implementation.backward(saved, *(d.astype(dtype) for d in d_outputs)))
    return Results(outputs if isinstance(outputs, tuple) else (outputs,), gradients)


def run_torch(op: Op, sample: Sample, d_outputs: tuple[Array, ...]) -> Results:
    """Run the torch twin forward, and autograd backward, in float64."""
    import torch

    inputs = [None if x is None else torch.tensor(x, requires_grad=True) for x in sample.inputs]
    given, weights = [x for x in inputs if x is not None], [torch.tensor(d) for d in d_outputs]
    with one_torch_thread():
        outputs = op.torch_twin(*inputs, **sample.attributes)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        found = iter(torch.autograd.grad(outputs, given, weights, materialize_grads=True))
    gradients = tuple(None if x is None else next(found).numpy() for x in inputs)
    return Results(tuple(y.detach().numpy() for y in outputs), gradients)


def has_numba() -> bool:
    """Whether the fast engine is there to compare with."""
    return importlib.util.find_spec("numba") is not None


def has_torch() -> bool:
    """Whether PyTorch is there to compare with."""
    return importlib.util.find_spec("torch") is not None


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Hold PyTorch to one thread inside a block; handing tiny tensors to more costs many times their work."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _weights(op: Op, sample: Sample) -> tuple[Array, ...]:
    """Random gradients of the outputs, so that a mistake in any of them shows."""
    inputs = [None if x is None else x.copy() for x in sample.inputs]
    outputs = op.readable.forward(*inputs, **sample.attributes)[0]
    rng = np.random.default_rng(7)
    return tuple(
        np.asarray(rng.normal(size=y.shape)) for y in (outputs if isinstance(outputs, tuple) else (outputs,))
    )


def _distance(actual: Results, expected: Results, *, floor: float = 1e-4) -> float:
    """Largest relative error over outputs and gradients."""
    outputs = _distance_of(actual.outputs, expected.outputs, floor=floor)
    return max(outputs, _distance_of(actual.gradients, expected.gradients, floor=floor))


def _distance_of(
    actual: tuple[Array | None, ...], expected: tuple[Array | None, ...], *, floor: float = 1e-4
) -> float:
    """Largest relative error over several arrays; None belongs to None."""
    errors = [0.0]
    for a, e in zip(actual, expected, strict=True):
        if a is None or e is None:
            errors.append(0.0 if a is e else ENTIRELY_WRONG)
        else:
            errors.append(relative_error(a, e, floor=floor))
    return max(errors)


def numerical_gradients(op: Op, sample: Sample, d_outputs: tuple[Array, ...]) -> tuple[Array | None, ...]:
    """Gradients of all inputs by central differences of the readable forward."""

    def gradient(position: int, x: Array | None) -> Array | None:
        def outputs(moved: Array) -> tuple[Array, ...]:
            inputs = [None if x is None else x.copy() for x in sample.inputs]
            inputs[position] = moved
            result = op.readable.forward(*inputs, **sample.attributes)[0]
            return result if isinstance(result, tuple) else (result,)

        return None if x is None else numerical_gradient(outputs, x, d_outputs)

    return tuple(gradient(position, x) for position, x in enumerate(sample.inputs))


def _in_single(implementation: Implementation, op: Op, sample: Sample, d_outputs: tuple[Array, ...]) -> float:
    """An implementation in float32 against the readable one in float64, on the same (rounded) numbers.

    Rounding is relative to the largest element, so the floor is one; float64 checks the small ones.
    """

    def rounded(x: Array) -> Array:
        return x.astype(np.float32).astype(np.float64)

    same = Sample(sample.label, tuple(None if x is None else rounded(x) for x in sample.inputs), sample.attributes)
    d_outputs = tuple(rounded(d) for d in d_outputs)
    exact = run_op(op.readable, same, d_outputs)
    return _distance(run_op(implementation, same, d_outputs, np.float32), exact, floor=1.0)


def _contract(implementation: Implementation, sample: Sample, d_outputs: tuple[Array, ...]) -> float:
    """Shapes, element types, number of gradients, and inputs left alone, in both precisions; 0 or an error."""
    for dtype in (np.dtype(np.float64), np.dtype(np.float32)):
        inputs = [None if x is None else x.astype(dtype) for x in sample.inputs]
        weights = [d.astype(dtype) for d in d_outputs]
        before = [np.array(x) for x in (*inputs, *weights) if x is not None]
        result, saved = implementation.forward(*inputs, **sample.attributes)
        outputs = result if isinstance(result, tuple) else (result,)
        values = [y.copy() for y in outputs]
        gradients = _written_out(implementation.backward(saved, *weights))
        _require(len(gradients) == len(inputs), f"{len(gradients)} gradients for {len(inputs)} inputs")
        for y, d in zip(outputs, d_outputs, strict=True):
            _require(isinstance(y, np.ndarray), f"an output is a {type(y).__name__}, not an array")
            _require((y.shape, y.dtype) == (d.shape, dtype), f"an output is {y.dtype}{y.shape} for {dtype}")
        for x, g in zip(inputs, gradients, strict=True):
            _require((x is None) == (g is None), "a gradient is missing, or there is one without an input")
            if x is not None and g is not None:
                _require(isinstance(g, np.ndarray), f"a gradient is a {type(g).__name__}, not an array")
                _require((g.shape, g.dtype) == (x.shape, dtype), f"{g.dtype}{g.shape} for {x.dtype}{x.shape}")
        after = [x for x in (*inputs, *weights) if x is not None]
        _require(all(map(np.array_equal, before, after)), "an input was written into")
        _require(all(map(np.array_equal, values, outputs)), "backward wrote into an output")
    return 0.0


def _value(implementation: Implementation, sample: Sample, dtype: DTypeLike) -> float:
    """Outputs computed where nothing is recorded, against those of forward."""
    if implementation.value is None:
        raise ValueError("there is no value to compare")
    inputs = [None if x is None else x.astype(dtype) for x in sample.inputs]
    expected = _several(implementation.forward(*inputs, **sample.attributes)[0])
    before = [None if x is None else x.copy() for x in inputs]
    found = _several(implementation.value(*inputs, **sample.attributes))
    for y, e in zip(found, expected, strict=True):
        _require((y.shape, y.dtype) == (e.shape, e.dtype), f"an output is {y.dtype}{y.shape}, not as forward's")
    _require(_distance_of(tuple(inputs), tuple(before)) == 0.0, "an input was written into")
    return _distance_of(found, expected, floor=1.0)


def _again(implementation: Implementation, sample: Sample) -> float:
    """The last output made once more against that of forward, bit for bit in both precisions; 0 or an error."""
    if implementation.again is None:
        raise ValueError("there is nothing that makes an output again")
    for dtype in (np.float64, np.float32):
        inputs = [None if x is None else x.astype(dtype) for x in sample.inputs]
        outputs, saved = implementation.forward(*inputs, **sample.attributes)
        expected, found = outputs[-1], implementation.again(saved)
        _require((found.shape, found.dtype) == (expected.shape, expected.dtype), f"{found.dtype}{found.shape}")
        _require(np.array_equal(found, expected), f"other bits in {np.dtype(dtype)}")
    return 0.0


def _both_passes(implementation: Implementation, sample: Sample, dtype: DTypeLike) -> float:
    """Output and gradients of both passes at once against those of one after the other."""
    if implementation.differentiate is None:
        raise ValueError("there is nothing that makes both passes at once")
    d_output = 0.37
    inputs = [None if x is None else x.astype(dtype) for x in sample.inputs]
    expected = run_op(implementation, sample, (np.asarray(d_output),), dtype)
    sums = [None if x is None else np.zeros_like(x) for x in inputs]

    def receive(number: int, gradient: Gradient) -> None:
        total = sums[number]
        _require(total is not None, "a gradient of an absent input")
        sums[number] = total + dense(gradient)

    output = implementation.differentiate(*inputs, d_output=d_output, receive=receive, **sample.attributes)
    return _distance(Results((output,), tuple(sums)), expected, floor=1.0)


def _several(outputs: Any) -> tuple[Array, ...]:
    return outputs if isinstance(outputs, tuple) else (outputs,)


def _written_out(gradients: tuple[Gradient | None, ...]) -> tuple[Array | None, ...]:
    return tuple(None if d is None else dense(d) for d in gradients)


def _require(condition: bool, problem: str) -> None:
    if not condition:
        raise ValueError(problem)


def _non_contiguous(implementation: Implementation, sample: Sample, d_outputs: tuple[Array, ...]) -> float:
    """Arrays laid out otherwise against contiguous ones of the same numbers."""
    expected = run_op(implementation, sample, d_outputs)
    worst = 0.0
    for lay_out in (_strided, _transposed):
        inputs = [None if x is None else lay_out(x) for x in sample.inputs]
        outputs, saved = implementation.forward(*inputs, **sample.attributes)
        gradients = _written_out(implementation.backward(saved, *map(lay_out, d_outputs)))
        actual = Results(outputs if isinstance(outputs, tuple) else (outputs,), gradients)
        worst = max(worst, _distance(actual, expected))
    return worst


def _strided(x: Array) -> Array:
    """The same numbers as every second element of a larger array, which holds NaN in between."""
    if x.ndim == 0:
        return x.copy()
    larger = np.full((*x.shape[:-1], 2 * x.shape[-1]), np.nan, x.dtype)
    larger[..., ::2] = x
    return larger[..., ::2]


def _transposed(x: Array) -> Array:
    """The same numbers in column-major order."""
    return np.array(x, order="F")
