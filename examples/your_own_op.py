"""Define an operation, prove its gradient, and use it: squared ReLU, y = max(x, 0)².

Run it from anywhere: `python examples/your_own_op.py`
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from quanta_tissu.tisslm import ops
from quanta_tissu.tisslm.engine.tape import Tape
from quanta_tissu.tisslm.inspect.gradcheck import gradcheck
from quanta_tissu.tisslm.ops.op import Sample, define


def forward(x: np.ndarray) -> tuple[np.ndarray, Any]:
    """Cut off what is negative and square the rest; backward will need r = max(x, 0)."""
    r = np.maximum(x, 0)
    return np.asarray(r * r), r


def backward(saved: Any, dy: np.ndarray) -> tuple[np.ndarray]:
    """By the chain rule, with ∂r/∂x = [x > 0] and r = 0 elsewhere: dx = dy · 2r."""
    r = saved
    return (np.asarray(dy * 2 * r),)


def torch_twin(x: Any) -> Any:
    """The same in PyTorch, whose autograd is an independent witness where it is installed."""
    return x.relu().square()


def samples(rng: np.random.Generator) -> Iterator[Sample]:
    """The cases on which the harness proves it: both signs, away from the kink in the slope."""
    x = rng.normal(size=(2, 3, 4))
    yield Sample("both signs", (x + np.copysign(0.1, x),))
    yield Sample("scalar", (rng.uniform(1, 2, size=()),))


squared_relu = define(
    "squared_relu",
    forward=forward,
    backward=backward,
    torch_twin=torch_twin,
    samples=samples,
    source="So et al. 2021, arXiv:2109.08668, section 3",
)

# The harness knows it from now on, and compares every way of computing it with every other.
certificate = gradcheck(["squared_relu"])
for row in certificate.rows():
    print(f"{row.worst.check:22}  worst relative error {row.worst.relative_error:.1e}")
if not certificate.passed:
    raise SystemExit(f"the gradient is wrong: {certificate.failures}")

# And it works like any other op: a network of one hidden layer learns x · |x| by gradient descent.
rng = np.random.default_rng(0)
x = np.linspace(-1, 1, 64)[:, None]  # (N, I)
weights = [rng.normal(size=(8, 1)), rng.normal(size=(1, 8)) / 8]  # (out, in)
for step in range(301):
    tape = Tape()
    first, second = (tape.variable(weight) for weight in weights)
    y = ops.linear(squared_relu(ops.linear(x, first)), second)
    error = ops.power(ops.add(y, -x * np.abs(x)), exponent=2)  # (N, 1)
    tape.backward(error, np.full_like(error.value, 1 / error.value.size))  # the gradient of the mean
    for weight, variable in zip(weights, (first, second), strict=True):
        weight -= 0.2 * variable.grad
    if step % 100 == 0:
        print(f"step {step:3d}  mean squared error {error.value.mean():.6f}")
