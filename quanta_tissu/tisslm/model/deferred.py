"""A flat buffer that is not there: every parameter is made when somebody asks for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from quanta_tissu.tisslm.model.parameter import Parameters, ParameterSpec


class Deferred:
    """Stands in for the flat buffer of `Parameters` and holds nothing.

    Initial values are drawn, those of a checkpoint are read, one parameter at a time. So a process that keeps a
    part of every parameter never has them all, and what is read to go on from is never there twice. What is made
    is not remembered: a parameter that is asked for twice is made twice.

    Args:
        specs: The parameters, in order.
        make: Gives one parameter, of its shape.
        dtype: Element type of what `make` gives.

    Attributes:
        shape: That of the flat buffer.
    """

    def __init__(
        self,
        specs: Sequence[ParameterSpec],
        make: Callable[[ParameterSpec], NDArray[Any]],
        dtype: DTypeLike = np.float32,
    ) -> None:
        self._specs = tuple(specs)
        self._make = make
        self.dtype = np.dtype(dtype)
        self.shape = (Parameters.flat_size(self._specs),)
        self._spans = {span.start: (span.stop, spec) for spec, span in Parameters.spans(self._specs)}

    @property
    def size(self) -> int:
        """Elements, padding included."""
        return self.shape[0]

    @property
    def nbytes(self) -> int:
        """Bytes of all of them, if they were there."""
        return self.size * self.dtype.itemsize

    def __getitem__(self, span: slice) -> NDArray[Any]:
        """The elements of one parameter, in an array of the caller's.

        Raises:
            IndexError: The span is not that of a parameter.
        """
        stop, spec = self._spans.get(span.start, (None, None))
        if spec is None or stop != span.stop or span.step not in (None, 1):
            raise IndexError(f"{span} is not the span of a parameter")
        return self._make(spec).reshape(-1)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        """All elements, as an array of the caller's; the padding is zero."""
        if copy is False:
            raise ValueError("what is not there yet cannot be given without a copy")
        whole = np.zeros(self.shape, self.dtype if dtype is None else dtype)
        for start, (stop, spec) in self._spans.items():
            whole[start:stop] = self._make(spec).reshape(-1)
        return whole
