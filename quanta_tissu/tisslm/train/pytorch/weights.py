"""The weights of one process as torch tensors, and their way to and from the arrays of checkpoints."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from quanta_tissu.tisslm.model import Decoder, Parameters
from quanta_tissu.tisslm.train.optimizers.base import Group, merge
from quanta_tissu.tisslm.train.optimizers.muon import Matrix
from quanta_tissu.tisslm.train.pytorch.module import DecoderModule

Flat = NDArray[Any]
OfMatrix = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Piece:
    """Weights of this process that an optimizer treats alike.

    Attributes:
        value: Their elements, outside autograd.
        learning_rate_scale: Factor on the learning rate.
        weight_decay: Their decay.
        orthogonal: Whether this is a hidden matrix that Muon updates as a whole.
    """

    value: torch.Tensor
    learning_rate_scale: float
    weight_decay: float
    orthogonal: bool = False


@dataclass(frozen=True)
class Gradients:
    """Gradients of a step.

    Attributes:
        flat: One tensor for each piece of the weights.
    """

    flat: Sequence[torch.Tensor]


class Weights(ABC):
    """What a process holds of the weights.

    Attributes:
        decoder: The model, whose arrays they come from and go to.
        module: What computes the loss with them.
        pieces: The weights, cut as the optimizer wants them.
        data_rank: Which share of every batch this process takes.
        data_size: Into how many shares it is cut.
        sharded: Whether other processes hold other weights.
        averaged: Whether gradients are averaged over the shares of a batch; otherwise they are summed.
    """

    decoder: Decoder
    module: DecoderModule
    pieces: Sequence[Piece]
    data_rank = 0
    data_size = 1
    sharded = False
    averaged = True

    @property
    def trained(self) -> nn.Module:
        """The module, wrapped for the exchange of gradients."""
        return self.module

    @property
    @abstractmethod
    def gradients(self) -> Gradients:
        """The gradients of all pieces, after a backward pass."""

    @abstractmethod
    def zero_gradients(self) -> None:
        """Forget the gradients of the last step."""

    @property
    def visible_gradients(self) -> Mapping[str, Flat]:
        """Gradients by name for whoever watches, where they lie in the host's memory as a whole."""
        return {}

    def exchange(self, last: bool) -> AbstractContextManager[Any]:
        """Around the passes of a micro-batch: gradients are exchanged after the last one of a step alone."""
        return nullcontext()

    def compile(self) -> None:
        """Compile the module with torch.compile, at its first pass."""
        self.module.compile()

    def rest(self) -> None:
        """Called after passes without a backward pass."""
        return

    def of_matrices(
        self, function: OfMatrix, tensors: Iterator[tuple[int, torch.Tensor]]
    ) -> Iterator[tuple[int, torch.Tensor]]:
        """Apply a function of whole matrices.

        Args:
            function: Gives a tensor of the matrix's shape.
            tensors: Numbers of the pieces that are matrices, each with a quantity like it.

        Yields:
            Number of a piece, and what the function gave, like the piece.
        """
        for number, tensor in tensors:
            yield number, function(tensor)

    def counts(self, piece: int) -> bool:
        """Whether the norm counts a piece in this process; what several processes hold must count once."""
        return True

    @abstractmethod
    def zeros(self) -> list[torch.Tensor]:
        """A tensor of zeros like each piece."""

    def blank(self) -> Parameters:
        """Arrays of the host like the parameters; the system gives memory to what is written."""
        return Parameters(self.decoder.parameters.specs)

    def on_host(self) -> Parameters:
        """The weights as arrays of the host, complete in the main process; valid until the next step."""
        host = self.blank()
        self.to_host(self.values, host)
        return host

    @abstractmethod
    def to_host(self, tensors: Sequence[torch.Tensor], host: Parameters) -> None:
        """Put what all processes hold of a quantity into arrays of the host.

        Args:
            tensors: One for each piece.
            host: Where to; complete afterwards in the main process, others may leave it as it is.
        """

    @abstractmethod
    def from_host(self, host: Parameters, tensors: Sequence[torch.Tensor]) -> None:
        """Fill tensors, one for each piece, from arrays of the host."""

    @property
    def values(self) -> list[torch.Tensor]:
        """The weights, piece by piece."""
        return [piece.value for piece in self.pieces]


class FlatWeights(Weights):
    """All weights in one flat buffer, as on NumPy; on a CPU they are the decoder's own arrays.

    Args:
        decoder: The model.
        groups: Slices of the buffer with their settings.
        matrices: Matrices in the buffer that Muon updates.
        device: Where to.
        rank: Number of this process.
        size: Number of processes; with several DDP averages their gradients.
        wrap: Whether to use DDP.
    """

    def __init__(
        self,
        decoder: Decoder,
        groups: Sequence[Group],
        matrices: Sequence[Matrix],
        device: torch.device,
        *,
        rank: int = 0,
        size: int = 1,
        wrap: bool = False,
    ) -> None:
        self.decoder = decoder
        self.data_rank, self.data_size = rank, size
        host = torch.from_numpy(decoder.parameters.flat)
        self._flat = host.to(device)  # on a CPU the same memory
        self._gradient = torch.zeros_like(self._flat)
        parameters = {}
        for spec in decoder.parameters.specs:
            span = decoder.parameters.slices[spec.name]
            parameters[spec.name] = nn.Parameter(self._flat[span].view(spec.shape))
            parameters[spec.name].grad = self._gradient[span].view(spec.shape)
        self.module = DecoderModule(decoder.config, parameters)
        self._spans: list[tuple[slice, tuple[int, ...]]] = []
        pieces = []
        for group in merge(groups):
            self._spans.append((slice(group.start, group.stop), (group.stop - group.start,)))
            pieces.append(Piece(self._view(self._flat, -1), group.learning_rate_scale, group.weight_decay))
        for m in matrices:
            self._spans.append((slice(m.start, m.start + m.rows * m.columns), (m.rows, m.columns)))
            pieces.append(Piece(self._view(self._flat, -1), m.learning_rate_scale, m.weight_decay, True))
        self.pieces = pieces
        self._wrapped = None
        if wrap:
            self._wrapped = DistributedDataParallel(
                self.module, device_ids=[device.index] if device.type == "cuda" else None
            )

    @property
    def trained(self) -> nn.Module:
        """The module, in DDP if there are several processes."""
        return self.module if self._wrapped is None else self._wrapped

    @property
    def gradients(self) -> Gradients:
        """Views on the flat buffer of gradients."""
        return Gradients([self._view(self._gradient, i) for i in range(len(self.pieces))])

    def zero_gradients(self) -> None:
        """Fill the buffer with zeros."""
        self._gradient.zero_()

    def exchange(self, last: bool) -> AbstractContextManager[Any]:
        """DDP exchanges gradients unless it is told not to."""
        if last or self._wrapped is None:
            return nullcontext()
        context: AbstractContextManager[Any] = self._wrapped.no_sync()
        return context

    def zeros(self) -> list[torch.Tensor]:
        """Views on a new flat buffer."""
        flat = torch.zeros_like(self._flat)
        return [self._view(flat, i) for i in range(len(self.pieces))]

    def on_host(self) -> Parameters:
        """The decoder's own arrays; on a CPU they are the weights."""
        self.to_host(self.values, self.decoder.parameters)
        return self.decoder.parameters

    def to_host(self, tensors: Sequence[torch.Tensor], host: Parameters) -> None:
        """Copy from the device."""
        flat = torch.from_numpy(host.flat)
        for (span, _), tensor in zip(self._spans, tensors, strict=True):
            flat[span].copy_(tensor.view(-1))

    def from_host(self, host: Parameters, tensors: Sequence[torch.Tensor]) -> None:
        """Copy to the device."""
        flat = torch.from_numpy(np.asarray(host.flat))
        for (span, shape), tensor in zip(self._spans, tensors, strict=True):
            tensor.copy_(flat[span].view(shape))

    @property
    def visible_gradients(self) -> Mapping[str, Flat]:
        """On a CPU, read-only views by the parameters' names."""
        if self._gradient.device.type != "cpu":
            return {}
        flat = self._gradient.numpy()
        flat.flags.writeable = False  # of this view
        return self.decoder.parameters.like(flat)

    def _view(self, flat: torch.Tensor, piece: int) -> torch.Tensor:
        span, shape = self._spans[piece]
        return flat[span].view(shape)
