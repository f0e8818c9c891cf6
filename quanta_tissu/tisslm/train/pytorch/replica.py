"""One process's replica of the model on torch tensors: it differentiates the loss of its share of every batch."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from quanta_tissu.tisslm.config import Config, OptimizerConfig
from quanta_tissu.tisslm.data.batches import IGNORE_INDEX, Batch
from quanta_tissu.tisslm.engine.pytorch import choose_device
from quanta_tissu.tisslm.model import Decoder, Parameters, TorchDropout
from quanta_tissu.tisslm.model.forward_pass import ForwardPass
from quanta_tissu.tisslm.train.differentiator import Evaluation
from quanta_tissu.tisslm.train.optimizers import grouped
from quanta_tissu.tisslm.train.pytorch.optimizers import OPTIMIZERS, TorchAverage, TorchOptimizer
from quanta_tissu.tisslm.train.pytorch.sharded import FullyShardedWeights, TensorParallelWeights
from quanta_tissu.tisslm.train.pytorch.weights import FlatWeights, Gradients, Weights
from quanta_tissu.tisslm.train.pytorch.world import TorchWorld
from quanta_tissu.tisslm.train.world import World

PRECISIONS = {"bfloat16": torch.bfloat16, "float16": torch.float16}


class TorchReplica:
    """Holds the weights of a run on a device and differentiates its loss there.

    Args:
        config: The whole configuration.
        decoder: The model with the first weights. Processes that hold parts of these ask for one parameter at a
            time and keep their part, so `Decoder.deferred` does for them.
        world: The processes that train together.

    Attributes:
        weights: What this process holds of the weights.

    Raises:
        ConfigError: The device is not there, or the configuration does not suit it.
    """

    count = 1

    def __init__(self, config: Config, decoder: Decoder, world: World) -> None:
        self.decoder = decoder
        self.world = world
        self.device = world.device if isinstance(world, TorchWorld) else choose_device(config.torch.device)
        self.weights: Weights = _weights(config, decoder, world, self.device)
        train = config.train
        self._settings = {
            "label_smoothing": train.label_smoothing,
            "z_loss": train.z_loss,
            "recompute": train.recompute,
            "denominator": 1.0,  # constant: another number would be compiled again
        }
        if config.torch.compile:
            self.weights.compile()
        self._parallel = config.torch.parallel
        self._precision = PRECISIONS.get(train.precision)

    @property
    def parameters(self) -> Mapping[str, NDArray[Any]]:
        """Weights by name; on a GPU those of the last checkpoint, none where other processes hold other parts."""
        return {} if self.weights.sharded else self.decoder.parameters

    @property
    def gradients(self) -> Mapping[str, NDArray[Any]]:
        """Gradients by name, where they are arrays of the host: on a CPU that holds all of them."""
        return self.weights.visible_gradients

    @property
    def description(self) -> str:
        """Version, device, precision and processes."""
        device = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "the CPU"
        precision = "" if self._precision is None else f" in {str(self._precision).removeprefix('torch.')}"
        processes = "" if self.world.size == 1 else f", {self.world.size} processes ({self._parallel})"
        return f"PyTorch {torch.__version__} on {device}{precision}{processes}"

    def make_optimizer(self, config: OptimizerConfig) -> TorchOptimizer:
        """The configured optimizer."""
        return OPTIMIZERS[config.name](config, self.weights)

    def make_average(self, decay: float) -> TorchAverage:
        """A moving average of the weights."""
        return TorchAverage(self.weights, decay)

    def loss_and_gradients(
        self, batches: Sequence[Batch], *, dropout: tuple[int, ...] | None = None, loss_scale: float = 1.0
    ) -> tuple[float, Gradients]:
        """Mean training loss over all targets of the batches, and its gradient.

        The mean is over the tokens of all processes, as if one had seen them all.

        Args:
            batches: The micro-batches of a step, the same in all processes.
            dropout: Entropy of the dropout masks; None for no dropout.
            loss_scale: Differentiate this many times the loss; neither result is scaled.
        """
        weights, parts = self.weights, self.weights.data_size
        denominator = max(1, sum(batch.num_targets for batch in batches))
        weights.zero_gradients()
        losses = []
        for number, batch in enumerate(batches):
            own = share(batch, weights.data_rank, parts)
            if dropout is not None:
                _seed(*dropout, number, weights.data_rank)
            with weights.exchange(number == len(batches) - 1):
                masks = None if dropout is None else TorchDropout()
                with self._autocast():
                    nats = weights.trained(*self._placed(own, masks), **self._settings)
                averaged = parts if weights.averaged else 1
                (nats * (loss_scale * averaged / denominator)).backward()
            losses.append(nats.detach())
        gradients = weights.gradients
        if loss_scale != 1:
            torch._foreach_mul_(list(gradients.flat), 1 / loss_scale)
        return self._total([float(torch.stack(losses).double().sum())])[0] / denominator, gradients

    def clip_by_value(self, gradients: Gradients, limit: float) -> None:
        """Clip every element in place."""
        for gradient in gradients.flat:
            gradient.clamp_(-limit, limit)

    def squared_norm(self, gradients: Gradients) -> float:
        """Sum of squares of all gradients, in float64."""
        norms = [
            torch.linalg.vector_norm(g, dtype=torch.float64).square()
            for i, g in enumerate(gradients.flat)
            if self.weights.counts(i) and g.numel()
        ]
        own = float(torch.stack(norms).sum()) if norms else 0.0
        if isinstance(self.world, TorchWorld) and self.weights.sharded:
            return self.world.total([own])[0]
        return own

    def validate(
        self, batches: Iterable[Batch], average: TorchAverage | None, cancelled: Callable[[], bool]
    ) -> Evaluation | None:
        """Mean cross-entropy over all targets of the batches, without dropout or smoothing."""
        weights, nats, tokens = self.weights, 0.0, 0
        with torch.no_grad():
            if average is not None:
                average.exchange()
            try:
                for batch in batches:
                    if self.world.largest([float(cancelled())])[0]:
                        return None
                    own = share(batch, weights.data_rank, weights.data_size)
                    with self._autocast():
                        # The module without DDP: there are no gradients to exchange.
                        nats += float(weights.module(*self._placed(own), denominator=1.0))
                    tokens += batch.num_targets
            finally:
                weights.rest()
                if average is not None:
                    average.exchange()
        return Evaluation(self._total([nats])[0] / max(1, tokens), tokens)

    def host_gradients(self, gradients: Gradients) -> Mapping[str, NDArray[Any]]:
        """The gradients as arrays by name."""
        host = self.weights.blank()
        self.weights.to_host(gradients.flat, host)
        return host

    def to_host(self) -> Parameters:
        """The weights as arrays of the host."""
        with torch.no_grad():
            return self.weights.on_host()

    def from_host(self, host: Parameters) -> None:
        """Take the weights from arrays of the host."""
        with torch.no_grad():
            self.weights.from_host(host, self.weights.values)

    def close(self) -> None:
        """Nothing: the processes part when the run is over."""

    def _placed(self, batch: Batch, dropout: TorchDropout | None = None) -> tuple[Any, Any, ForwardPass]:
        """Ids and targets on the device, and the pass over them."""
        module = self.weights.module
        run = module.prepare(batch.inputs.shape[1], self.device, dropout)
        self.decoder.check(batch.inputs, run.positions)
        tensors = [torch.from_numpy(array.astype(np.int64)) for array in (batch.inputs, batch.targets)]
        if self.device.type == "cuda":  # from pinned memory the copy goes on beside the computation
            tensors = [tensor.pin_memory().to(self.device, non_blocking=True) for tensor in tensors]
        return tensors[0], tensors[1], run

    def _autocast(self) -> Any:
        return torch.autocast(self.device.type, dtype=self._precision, enabled=self._precision is not None)

    def _total(self, values: list[float]) -> list[float]:
        """Sums over the processes, where these take different shares of a batch."""
        if isinstance(self.world, TorchWorld) and self.weights.data_size > 1:
            together = self.world.size // self.weights.data_size  # processes that see the same share
            return [total / together for total in self.world.total(values)]
        return values


def share(batch: Batch, rank: int, size: int) -> Batch:
    """Rows of one process; sizes differ by one at most.

    Where there are more processes than rows, some get a row without targets: they must take part in every pass.
    """
    rows = len(batch.inputs)
    span = slice(-(-rank * rows // size), -(-(rank + 1) * rows // size))
    if span.start == span.stop:
        return Batch(batch.inputs[:1], np.full_like(batch.targets[:1], IGNORE_INDEX))
    return Batch(batch.inputs[span], batch.targets[span])


def _weights(config: Config, decoder: Decoder, world: World, device: torch.device) -> Weights:
    """The weights, laid out as the configuration says."""
    groups, matrices = grouped(config.optimizer, decoder.parameters)
    ddp = config.torch.parallel == "ddp"
    if config.torch.parallel in ("fsdp", "tensor") and isinstance(world, TorchWorld):
        if config.torch.parallel == "fsdp":
            return FullyShardedWeights(decoder, groups, matrices, world)
        return TensorParallelWeights(decoder, groups, matrices, world, config.torch.tensor_processes)
    return FlatWeights(decoder, groups, matrices, device, rank=world.rank, size=world.size, wrap=ddp)


def _seed(*entropy: int) -> None:
    """Seed PyTorch's generators from where training stands."""
    digest = hashlib.sha256(" ".join(map(str, entropy)).encode()).digest()
    torch.manual_seed(int.from_bytes(digest[:8], "little"))
