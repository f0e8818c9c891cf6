"""What travels backwards: arrays, and gradients of some rows of a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quanta_tissu.tisslm.engine import flat

Array = NDArray[Any]


@dataclass(frozen=True)
class RowGradient:
    """Gradient of a table (V, D) that is zero but for some rows.

    A batch reads a few hundred of the fifty thousand rows of an embedding. Written out, its gradient would be the
    largest array of the backward pass, almost all of it zeros. And the gradient of the output matrix comes some
    rows at a time.

    Attributes:
        ids: Which rows: their numbers (N), where one that is named twice receives both, or a range of N.
        rows: Their gradients (N, D).
        num_rows: V.
    """

    ids: NDArray[np.int64] | slice
    rows: Array
    num_rows: int

    @property
    def shape(self) -> tuple[int, int]:
        """(V, D)."""
        return self.num_rows, self.rows.shape[1]

    def add_to(self, total: Array) -> None:
        """Add it to an array (V, D)."""
        if isinstance(self.ids, slice):
            flat.sum_into(total[self.ids].reshape(-1), self.rows.reshape(-1))
        else:
            flat.add_rows(total, self.ids, self.rows)

    def dense(self) -> Array:
        """The same, written out."""
        total = np.zeros(self.shape, self.rows.dtype)
        self.add_to(total)
        return total


Gradient = Array | RowGradient


def dense(gradient: Gradient) -> Array:
    """A gradient as an array."""
    return gradient.dense() if isinstance(gradient, RowGradient) else gradient
