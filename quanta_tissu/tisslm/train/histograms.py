"""Histograms of weights and gradients, parameter by parameter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 64


@dataclass(frozen=True)
class Histogram:
    """Distribution of one array's elements.

    Attributes:
        minimum: Smallest element, and left edge of the first bin.
        maximum: Largest element, and right edge of the last bin.
        mean: Mean.
        std: Standard deviation.
        counts: Elements in each of 64 bins of equal width.
    """

    minimum: float
    maximum: float
    mean: float
    std: float
    counts: tuple[int, ...]

    @classmethod
    def of(cls, values: NDArray[Any]) -> Histogram:
        """The distribution of an array's elements."""
        counts, _ = np.histogram(values, bins=BINS, range=(float(values.min()), float(values.max())))
        return cls(
            float(values.min()),
            float(values.max()),
            float(values.mean(dtype=np.float64)),
            float(values.std(dtype=np.float64)),
            tuple(counts.tolist()),
        )


def histograms(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Histogram]:
    """Distributions of named arrays."""
    return {name: Histogram.of(values) for name, values in arrays.items()}
