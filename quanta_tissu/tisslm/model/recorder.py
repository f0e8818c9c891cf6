"""What a forward pass can be asked to show."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray


@dataclass
class Recorder:
    """Collects internals of a forward pass.

    Attributes:
        attention: Attention weights of each layer, (B, H, T, S).
        hidden: Residual stream after the embeddings and after each layer, (B, T, D).
    """

    attention: list[NDArray[Any]] = field(default_factory=list)
    hidden: list[NDArray[Any]] = field(default_factory=list)
