"""The harness for whole models: every architecture, tiny, through `Decoder.loss`.

Ops that are right one by one can still be put together wrongly. So for each combination of norm, placement of the
norm, positions, key-value heads, feed-forward, biases, tying and window:

1. *central differences*: the tape's gradient along a random direction that moves every parameter tensor by about
   the same share of the loss, against a numerical derivative in float64;
2. *fast = reference*: the loss and every element of the gradient on both engines, in float64;
3. *torch = reference*: the same decoder run on torch tensors, loss and every element of autograd's gradient.

A selection in which every pair of choices occurs is also proved with two blocks, and differentiated numerically
tensor by tensor: along a random direction, at the largest element and at a random one.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quanta_tissu.tisslm import engine
from quanta_tissu.tisslm.config import ModelConfig
from quanta_tissu.tisslm.engine import Tape
from quanta_tissu.tisslm.inspect.certificate import Check
from quanta_tissu.tisslm.inspect.differences import derivative, relative_error
from quanta_tissu.tisslm.inspect.gradcheck_ops import CENTRAL_DIFFERENCES, has_numba, has_torch, one_torch_thread
from quanta_tissu.tisslm.model import Decoder, DropoutSeeds

Array = NDArray[Any]
Gradient = Mapping[str, Array]
Variant = dict[str, Any]

CHOICES: dict[str, tuple[Any, ...]] = {
    "norm": ("rms_norm", "layer_norm"),
    "norm_placement": ("pre", "post"),
    "positions": ("rotary", "learned", "sinusoidal", "none"),
    "n_kv_heads": (4, 2, 1),
    "feed_forward": ("swiglu", "gelu", "gelu_tanh", "relu"),
    "bias": (False, True),
    "tie_embeddings": (True, False),
    "sliding_window": (None, 3),
}
VOCABULARY, TIME = 7, 5
DROPPING: Variant = {"dropout": 0.3, "n_kv_heads": 2, "feed_forward": "gelu"}
MODEL = "model"
# One unit in the last place of the parameters moves a small element of some gradients by 2e-11 in our measure.
MODEL_DOUBLE = 1e-10
SOURCE = "whole decoder of 1 or 2 blocks, 4 heads, width 8"


def every_variant() -> list[Variant]:
    """All combinations of all choices."""
    return [dict(zip(CHOICES, choice, strict=True)) for choice in itertools.product(*CHOICES.values())]


def pairwise_variants() -> list[Variant]:
    """A few combinations in which every pair of choices occurs together, each added for the most new pairs."""

    def pairs(variant: Variant) -> set[tuple[Any, ...]]:
        return set(itertools.combinations(variant.items(), 2))

    variants = every_variant()
    missing = set().union(*map(pairs, variants))
    selection = []
    while missing:
        best = max(variants, key=lambda variant: len(pairs(variant) & missing))
        missing -= pairs(best)
        selection.append(best)
    return selection


def label(variant: Variant) -> str:
    """The choices of a variant as text."""
    return " ".join(f"{name}={value}" for name, value in variant.items())


def check_model(variant: Variant, *, thorough: bool) -> Iterator[Check]:
    """Prove the gradient of one architecture.

    Args:
        variant: Fields of the model's configuration.
        thorough: Take two blocks, and differentiate numerically tensor by tensor, instead of one block and one
            direction through all tensors.
    """
    blocks = 2 if thorough else 1
    subject = Subject(variant, blocks)
    analytic, loss = subject.gradient("reference")

    def to_fast() -> float:
        gradient, other_loss = subject.gradient("fast")
        return max(relative_error(other_loss, loss), gradient_distance(gradient, analytic))

    def to_torch() -> float:
        gradient, other_loss = subject.torch_gradient()
        return max(relative_error(other_loss, loss), gradient_distance(gradient, analytic))

    def to_differences() -> float:
        for seed in range(10):
            smooth = Subject(variant, blocks, seed)
            gradient = smooth.gradient("reference")[0]
            try:
                return smooth.error_by_tensor(gradient) if thorough else smooth.error_along_one_direction(gradient)
            except NotSmoothError:
                continue
        raise NotSmoothError("no numerical derivative in ten attempts")

    name = "central differences by tensor" if thorough else "central differences"
    comparisons: list[tuple[str, float, Callable[[], float]]] = [(name, CENTRAL_DIFFERENCES, to_differences)]
    if has_numba():
        comparisons.append(("fast = reference, float64", MODEL_DOUBLE, to_fast))
    if has_torch():
        comparisons.append(("torch = reference", MODEL_DOUBLE, to_torch))
    for check, tolerance, error in comparisons:
        yield Check.measure(MODEL, check, label(variant), tolerance, error, SOURCE)


class NotSmoothError(ArithmeticError):
    """Numerical estimates do not settle: a ReLU has its kink so close that other tokens have to be tried."""


class Subject:
    """A tiny decoder in float64 with a batch, one target of which does not count."""

    def __init__(self, variant: Variant, blocks: int, seed: int = 0) -> None:
        config = ModelConfig(
            vocab_size=VOCABULARY, context_length=TIME, n_layers=blocks, d_model=8, n_heads=4, d_ff=6, **variant
        )
        self.rng = np.random.default_rng(seed)
        self.decoder = Decoder.initialise(config, seed=1, dtype=np.float64)
        # Every parameter away from its special initial value, and large enough that no part is nearly linear.
        for array in self.decoder.parameters.values():
            array += 0.3 * self.rng.normal(size=array.shape)
        tokens = self.rng.integers(0, VOCABULARY, (2, TIME + 1))
        self.ids, self.targets = tokens[:, :-1], tokens[:, 1:].copy()
        self.targets[1, 2] = -100

    def loss(self, params: Mapping[str, Any] | None = None) -> Any:
        """Loss of the decoder with the given parameters, its own by default."""
        dropout = DropoutSeeds(5) if self.decoder.config.dropout else None
        return self.decoder.loss(
            self.ids, self.targets, params=params, dropout=dropout, label_smoothing=0.1, z_loss=1e-2
        )

    def gradient(self, engine_name: str) -> tuple[Gradient, float]:
        """Gradient and loss by the tape."""
        with engine.use(engine_name):
            tape = Tape()
            variables = {name: tape.variable(x) for name, x in self.decoder.parameters.items()}
            loss = self.loss(variables)
            tape.backward(loss)
        zero = {name: np.zeros_like(x.value) for name, x in variables.items() if x.grad is None}
        return zero | {n: x.grad for n, x in variables.items() if x.grad is not None}, float(loss.value)

    def torch_gradient(self) -> tuple[Gradient, float]:
        """Gradient and loss by autograd, the decoder running on torch tensors."""
        import torch

        tensors = {n: torch.tensor(x, requires_grad=True) for n, x in self.decoder.parameters.items()}
        with one_torch_thread():
            loss = self.loss(tensors)
            found = torch.autograd.grad(loss, list(tensors.values()), materialize_grads=True)
        return {name: d.numpy() for name, d in zip(tensors, found, strict=True)}, loss.item()

    def slope(self, direction: Gradient, scale: float) -> float:
        """Numerical derivative of the loss along a direction.

        Args:
            direction: What to move the parameters by; those not named stay.
            scale: What the derivative would be if nothing in it cancelled.

        Raises:
            NotSmoothError: The estimates do not agree to a small share of the tolerance.
        """
        start = {name: self.decoder.parameters[name] for name in direction}
        moved = dict(self.decoder.parameters)

        def along(step: float) -> float:
            for name, d in direction.items():
                moved[name] = start[name] + step * d
            return float(self.loss(moved)) - at_start

        with engine.use("reference"):
            at_start = float(self.loss())
            slope, doubt = derivative(along)
        if doubt > 0.1 * CENTRAL_DIFFERENCES * max(abs(slope), 0.1 * scale):
            raise NotSmoothError(f"{slope} ± {doubt}")
        return slope

    def error_along_one_direction(self, analytic: Gradient) -> float:
        """Error along a random direction to which every tensor contributes about as much."""
        norms = {name: float(np.linalg.norm(d)) for name, d in analytic.items()}
        # A tensor without effect (a key's bias without rotary positions) would otherwise be moved without bound.
        least = 1e-3 * max(norms.values())
        direction = {n: self.rng.normal(size=d.shape) / max(norms[n], least) for n, d in analytic.items()}
        largest = max(float(np.abs(d).max()) for d in direction.values())
        direction = {name: d / largest for name, d in direction.items()}
        shares = [float(np.sum(direction[name] * d)) for name, d in analytic.items()]
        # The shares of the tensors may happen to cancel; the error is measured against their sizes.
        scale = sum(map(abs, shares))
        return relative_error(sum(shares), self.slope(direction, scale), floor=0.1, scale=scale)

    def error_by_tensor(self, analytic: Gradient, names: Iterable[str] | None = None) -> float:
        """Largest error over tensors, each along a random direction, at its largest element and at another.

        Args:
            analytic: The gradient to judge.
            names: Which tensors to look at; all by default.
        """
        scale = max(float(np.abs(d).max()) for d in analytic.values())
        worst = 0.0
        for name in analytic if names is None else names:
            d = analytic[name]
            random = self.rng.normal(size=d.shape)
            directions = [random / np.abs(random).max(), _unit(d, int(np.abs(d).argmax()))]
            directions.append(_unit(d, int(self.rng.integers(d.size))))
            expected = [self.slope({name: direction}, scale) for direction in directions]
            actual = [float(np.sum(direction * d)) for direction in directions]
            worst = max(worst, relative_error(actual, expected, floor=1e-3, scale=scale))
        return worst


def gradient_distance(actual: Gradient, expected: Gradient) -> float:
    """Largest relative error over all tensors, small ones measured on the scale of the largest."""
    scale = max(float(np.abs(d).max()) for d in expected.values())
    return max(relative_error(actual[name], d, scale=scale) for name, d in expected.items())


def _unit(like: Array, position: int) -> Array:
    """One at a position, zero elsewhere."""
    direction = np.zeros_like(like)
    direction.flat[position] = 1
    return direction
