"""Numerical derivatives, and the measure of how far two arrays are apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Two values of opposite sign are this far apart in `relative_error`, and nothing is further.
ENTIRELY_WRONG = 2.0


def relative_error(actual: ArrayLike, expected: ArrayLike, *, floor: float = 1e-4, scale: float = 0.0) -> float:
    """Return the largest elementwise relative difference.

        max_i |a_i - e_i| / max(|a_i|, |e_i|, floor · max(scale, max_j |a_j|, max_j |e_j|))

    The floor keeps rounding noise in elements that ought to vanish from counting as error. There is no absolute
    tolerance: all zeros where something else is expected are entirely wrong, however small that something is.

    Args:
        actual: What is judged.
        expected: What it should be.
        floor: Elements smaller than this share of the largest are measured against that share; 1 compares the
            largest difference with the largest element.
        scale: Size of what surrounds the arrays, in case they are noise themselves (the gradient of a parameter
            without effect, say).

    Returns:
        The error, between 0 and 2; 2 also for another shape, NaN, or infinities that differ.
    """
    a, e = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    if a.shape != e.shape:
        return ENTIRELY_WRONG
    infinite = np.isinf(e)
    if not np.array_equal(a[infinite], e[infinite]) or not np.isfinite(a[~infinite]).all() or np.isnan(e).any():
        return ENTIRELY_WRONG
    a, e = a[~infinite], e[~infinite]
    size = np.maximum(np.abs(a), np.abs(e))
    if not size.any():
        return 0.0
    return float(np.max(np.abs(a - e) / np.maximum(size, floor * max(scale, float(size.max())))))


class Derivative(NamedTuple):
    """A numerical derivative, and by how much the two estimates it rests on differ."""

    value: float
    doubt: float


def derivative(f: Callable[[float], float], *, scale: float = 1.0) -> Derivative:
    """Differentiate a function of one number at zero by central differences.

    The four-point stencil (8 (f(h) - f(-h)) - (f(2h) - f(-2h))) / 12h has an error of order h⁴. Its step shrinks
    until two steps agree to ten digits; if rounding or a kink nearby prevents that, the pair that agrees best
    decides. (Ridders 1982, "Accurate computation of F'(x) and F'(x) F''(x)", judges steps in the same way.)

    Args:
        f: The function; evaluated at both sides of zero.
        scale: Distance over which f bends; the first step is a 512th of it.

    Returns:
        f'(0), and how far the two steps are apart.
    """
    step = 2.0**-9 * scale
    best, previous = Derivative(np.nan, np.inf), np.nan
    for _ in range(5):
        estimate = (8 * (f(step) - f(-step)) - (f(2 * step) - f(-2 * step))) / (12 * step)
        doubt = abs(estimate - previous)
        if doubt < best.doubt:
            best = Derivative(estimate, doubt)
        if doubt <= 1e-10 * abs(estimate):
            break
        previous = estimate
        step /= 8
    return best


def numerical_gradient(
    f: Callable[[NDArray[Any]], tuple[NDArray[Any], ...]], x: NDArray[Any], d_outputs: tuple[NDArray[Any], ...]
) -> NDArray[Any]:
    """Return the gradient at x of Σ ⟨d_output, output of f(x)⟩, one element at a time.

    Args:
        f: Maps an array like x to several outputs.
        x: Where to differentiate, float64.
        d_outputs: What the outputs are weighted by.

    Returns:
        Array of x's shape.
    """
    at_x = f(x.copy())
    root_mean_square = float(np.sqrt(np.mean(x * x))) if x.size else 0.0
    # A power of two, so that adding the step to an element of ordinary size does not round.
    scale = min(1.0, 2.0 ** np.floor(np.log2(root_mean_square))) if root_mean_square else 1.0
    gradient = np.zeros_like(x)
    for index in np.ndindex(x.shape):

        def along(step: float, index: tuple[int, ...] = index) -> float:
            moved = x.copy()
            moved[index] += step
            # The difference comes first: what the step does not touch cancels exactly.
            return sum(float(np.sum((y - y0) * d)) for y, y0, d in zip(f(moved), at_x, d_outputs, strict=True))

        gradient[index] = derivative(along, scale=scale).value
    return gradient
