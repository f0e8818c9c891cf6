"""What one forward pass carries along besides activations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quanta_tissu.tisslm.model.dropout import DropoutSeeds
from quanta_tissu.tisslm.model.kv_cache import KVCache
from quanta_tissu.tisslm.model.recorder import Recorder


@dataclass
class ForwardPass:
    """The surroundings of one forward pass, handed to every module.

    Attributes:
        params: Parameters by name: arrays, tape variables or torch tensors. They decide what the ops run on.
        positions: Position of every new token, (1, T) or (B, T).
        dtype: Element type of constants (position tables).
        cache: Keys and values of earlier tokens.
        key_mask: Which of the S keys may be attended, (B, S); None: all.
        dropout: Seeds of dropout; None: no dropout.
        recorder: Collects internals if given.
        angles: Cosines and sines of the rotary positions, set once for all layers.
    """

    params: Mapping[str, Any]
    positions: NDArray[np.integer[Any]]
    dtype: np.dtype[Any]
    cache: KVCache | None = None
    key_mask: NDArray[np.bool_] | None = None
    dropout: DropoutSeeds | None = None
    recorder: Recorder | None = None
    angles: tuple[Any, Any] | None = None
