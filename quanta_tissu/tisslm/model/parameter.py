"""Parameters: what a model needs (specifications) and what it has (named views on one flat buffer)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

_ALIGNMENT = 16  # elements: every float32 parameter starts on a 64-byte boundary relative to the first


@dataclass(frozen=True)
class ParameterSpec:
    """One parameter that a module needs.

    Attributes:
        name: Dotted name, Hugging Face's where it has one.
        shape: Shape; matrices of linear layers are (out, in).
        init: `matrix` follows the configured initialisation, `embedding` is normal with the configured standard
            deviation, `ones` and `zeros` are what they say.
        residual: The matrix writes into the residual stream, so its initial scale shrinks with depth.
        parts: Heights of the matrices packed along the rows, (shape[0],) if it is a single one. What looks at a
            matrix as a whole (Xavier's fan-out, Muon) looks at each part.
    """

    name: str
    shape: tuple[int, ...]
    init: Literal["matrix", "embedding", "ones", "zeros"]
    residual: bool = False
    parts: tuple[int, ...] = ()

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def decay(self) -> bool:
        """Whether weight decay applies: to matrices and embeddings, not to biases and norms."""
        return len(self.shape) >= 2

    @property
    def layer(self) -> int | None:
        """Index of the block the parameter belongs to, None outside the blocks."""
        parts = self.name.split(".")
        return int(parts[2]) if parts[:2] == ["model", "layers"] else None


class Parameters(Mapping[str, NDArray[Any]]):
    """Named arrays that are views on one flat buffer, so that an optimizer sees a single vector.

    Args:
        specs: The parameters, in order.
        flat: Buffer of `Parameters.flat_size(specs)` elements; a new one, filled with zeros, by default.
            `Deferred` stands in for one whose parameters are made when they are asked for.
        dtype: Element type of a new buffer.

    Attributes:
        flat: The buffer. Between parameters there is padding that is zero and stays zero.
    """

    def __init__(
        self, specs: Sequence[ParameterSpec], flat: NDArray[Any] | None = None, *, dtype: DTypeLike = np.float32
    ) -> None:
        self.specs = tuple(specs)
        size = self.flat_size(self.specs)
        self.flat: NDArray[Any] = np.zeros(size, dtype=dtype) if flat is None else flat
        if self.flat.shape != (size,):
            raise ValueError(f"the flat buffer has shape {self.flat.shape}; these parameters need ({size},)")
        self.slices: dict[str, slice] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        for spec, span in self.spans(self.specs):
            self.slices[spec.name] = span
            self._shapes[spec.name] = spec.shape
        self._arrays: dict[str, NDArray[Any]] = {}
        if isinstance(self.flat, np.ndarray):
            self._arrays = {name: self.flat[self.slices[name]].reshape(s) for name, s in self._shapes.items()}

    @staticmethod
    def spans(specs: Sequence[ParameterSpec]) -> Iterator[tuple[ParameterSpec, slice]]:
        """Where in the flat buffer each of `specs` lies."""
        start = 0
        for spec in specs:
            yield spec, slice(start, start + spec.size)
            start += _aligned(spec.size)

    @staticmethod
    def flat_size(specs: Sequence[ParameterSpec]) -> int:
        """Elements of the flat buffer that holds `specs`, padding included."""
        return sum(_aligned(spec.size) for spec in specs)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Element type of all parameters."""
        return self.flat.dtype

    @property
    def num_elements(self) -> int:
        """Number of elements, padding excluded."""
        return sum(spec.size for spec in self.specs)

    def like(self, flat: NDArray[Any] | None = None) -> Parameters:
        """The same names and shapes over another buffer (gradients, moments); zeros by default."""
        return Parameters(self.specs, flat, dtype=self.dtype)

    def astype(self, dtype: DTypeLike) -> Parameters:
        """A copy in another element type."""
        return Parameters(self.specs, np.array(self.flat, dtype=dtype))

    def copy(self) -> Parameters:
        """A copy over a buffer of its own."""
        return Parameters(self.specs, np.array(self.flat))

    def __getitem__(self, name: str) -> NDArray[Any]:
        array = self._arrays.get(name)
        return self.flat[self.slices[name]].reshape(self._shapes[name]) if array is None else array

    def __iter__(self) -> Iterator[str]:
        return iter(self.slices)

    def __len__(self) -> int:
        return len(self.slices)


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
