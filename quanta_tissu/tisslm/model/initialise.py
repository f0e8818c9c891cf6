"""Initial values of parameters."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from zlib import crc32

import numpy as np
from numpy.typing import DTypeLike

from quanta_tissu.tisslm.config import ModelConfig
from quanta_tissu.tisslm.model.parameter import Parameters, ParameterSpec


def initialise(
    specs: Sequence[ParameterSpec], config: ModelConfig, seed: int, dtype: DTypeLike = np.float32
) -> Parameters:
    """Draw every parameter from a generator of its own, seeded by `seed` and its name.

    So a parameter's initial value does not depend on which others exist or in which order they are drawn.
    """
    parameters = Parameters(specs, dtype=dtype)
    for spec in specs:
        rng = np.random.default_rng([seed, crc32(spec.name.encode())])
        _fill(parameters[spec.name], spec, config, rng)
    return parameters


def _fill(target: np.ndarray, spec: ParameterSpec, config: ModelConfig, rng: np.random.Generator) -> None:
    """Fill one parameter.

    gpt2     N(0, init_std²)                                        Radford et al. 2019, section 2.3
    xavier   U(-a, a) with a = sqrt(6 / (fan_in + fan_out))         Glorot & Bengio 2010, eq. 16
    kaiming  N(0, 2 / fan_in)                                       He et al. 2015 (arXiv:1502.01852), eq. 10

    Matrices that write into the residual stream are divided by sqrt(2·n_layers): the stream is a sum of that many
    outputs, whose variance would otherwise grow with depth.
    """
    if spec.init in ("ones", "zeros"):
        target.fill(1.0 if spec.init == "ones" else 0.0)
        return
    if spec.init == "embedding" or config.init == "gpt2":
        target[...] = rng.standard_normal(spec.shape) * config.init_std
    elif config.init == "kaiming":
        target[...] = rng.standard_normal(spec.shape) * sqrt(2 / spec.shape[1])
    else:
        start = 0
        for height in spec.parts or (spec.shape[0],):
            limit = sqrt(6 / (spec.shape[1] + height))
            target[start : start + height] = rng.uniform(-limit, limit, (height, spec.shape[1]))
            start += height
    if spec.residual:
        target /= sqrt(2 * config.n_layers)
