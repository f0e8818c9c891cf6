"""Initial values of parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import sqrt
from typing import Any, cast
from zlib import crc32

import numpy as np
from numpy.typing import DTypeLike, NDArray

from quanta_tissu.tisslm.config import ModelConfig
from quanta_tissu.tisslm.model.deferred import Deferred
from quanta_tissu.tisslm.model.parameter import Parameters, ParameterSpec

_BLOCK = 1 << 18
"""Numbers drawn at a time, in float64. A generator gives the same ones as if it were asked for all at once."""


def initialise(
    specs: Sequence[ParameterSpec], config: ModelConfig, seed: int, dtype: DTypeLike = np.float32
) -> Parameters:
    """Draw every parameter. Its initial value does not depend on which others exist, or on their order."""
    parameters = Parameters(specs, dtype=dtype)
    for spec in specs:
        draw(spec, config, seed, parameters[spec.name])
    return parameters


def deferred(specs: Sequence[ParameterSpec], config: ModelConfig, seed: int) -> Parameters:
    """The same values, each drawn when it is asked for: for processes that keep a part of each."""

    def make(spec: ParameterSpec) -> NDArray[Any]:
        return draw(spec, config, seed, np.empty(spec.shape, np.float32))

    return Parameters(specs, cast(Any, Deferred(specs, make)))


def draw(spec: ParameterSpec, config: ModelConfig, seed: int, target: NDArray[Any]) -> NDArray[Any]:
    """Fill one parameter from a generator of its own, seeded by `seed` and its name.

    gpt2     N(0, init_std²)                                        Radford et al. 2019, section 2.3
    xavier   U(-a, a) with a = sqrt(6 / (fan_in + fan_out))         Glorot & Bengio 2010, eq. 16
    kaiming  N(0, 2 / fan_in)                                       He et al. 2015 (arXiv:1502.01852), eq. 10

    Matrices that write into the residual stream are divided by sqrt(2·n_layers): the stream is a sum of that many
    outputs, whose variance would otherwise grow with depth.

    Args:
        spec: The parameter.
        config: How matrices are initialised.
        seed: The seed of the run.
        target: Where the values go, of its shape.

    Returns:
        The target.
    """
    if spec.init in ("ones", "zeros"):
        target.fill(1.0 if spec.init == "ones" else 0.0)
        return target
    rng = np.random.default_rng([seed, crc32(spec.name.encode())])
    if spec.init == "embedding" or config.init == "gpt2":
        _fill(target, rng.standard_normal, config.init_std)
    elif config.init == "kaiming":
        _fill(target, rng.standard_normal, sqrt(2 / spec.shape[1]))
    else:
        start = 0
        for height in spec.parts or (spec.shape[0],):
            limit = sqrt(6 / (spec.shape[1] + height))
            _fill(target[start : start + height], partial(rng.uniform, -limit, limit), 1.0)
            start += height
    if spec.residual:
        target /= sqrt(2 * config.n_layers)
    return target


def _fill(target: NDArray[Any], numbers: Callable[..., Any], scale: float) -> None:
    """Fill a matrix with scaled random numbers, a block of rows at a time."""
    rows = max(1, _BLOCK // target.shape[1])
    for start in range(0, len(target), rows):
        block = target[start : start + rows]
        block[...] = numbers(size=block.shape) * scale
