"""Model replicas on threads: each differentiates the loss of its share of the batch, and the gradients add up."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from threading import Lock
from types import TracebackType
from typing import Self

from quanta_tissu.tisslm.config import OptimizerConfig, TrainConfig
from quanta_tissu.tisslm.data.batches import Batch
from quanta_tissu.tisslm.engine import Tape, current, flat
from quanta_tissu.tisslm.engine.float16 import Float16Engine
from quanta_tissu.tisslm.engine.memory import keep_freed_memory, release_scratch
from quanta_tissu.tisslm.engine.threads import ThreadTeam
from quanta_tissu.tisslm.model import Decoder, DropoutSeeds, Parameters
from quanta_tissu.tisslm.train.clipping import clip_by_value
from quanta_tissu.tisslm.train.differentiator import Evaluation
from quanta_tissu.tisslm.train.ema import WeightAverage
from quanta_tissu.tisslm.train.gradients import Gradients
from quanta_tissu.tisslm.train.optimizers import Optimizer, make_optimizer

# Elements from which on it takes longer to go through them than to have several threads do it: some 50 µs.
_LARGE = 2**18


class Replicas:
    """Single-threaded replicas of one model that share its parameters.

    The sum over replicas is taken in their order, so a number of replicas always gives the same bits. Another
    number rounds differently; that is why a resumed run keeps the number it was started with.

    Args:
        decoder: The model; its parameters are read, never changed.
        count: Number of replicas.
        label_smoothing: As in `Decoder.loss`, for training.
        z_loss: As in `Decoder.loss`, for training.
        recompute: As in `Decoder.loss`, for training.
        float16: Differentiate in simulated float16 (`engine/float16.py`). Evaluation is in float32 always: it is
            the float32 weights that are saved and used.

    Attributes:
        gradients: What `loss_and_gradients` found, until it is called again.
        team: The threads, free between the calls.
    """

    def __init__(
        self,
        decoder: Decoder,
        count: int,
        *,
        label_smoothing: float = 0.0,
        z_loss: float = 0.0,
        recompute: bool = False,
        float16: bool = False,
    ) -> None:
        keep_freed_memory()
        self.decoder = decoder
        self.team = ThreadTeam(count)
        self._label_smoothing = label_smoothing
        self._z_loss = z_loss
        self._recompute = recompute
        self._float16 = float16
        self.gradients = Gradients(decoder.parameters, count)

    @classmethod
    def configured(cls, train: TrainConfig, decoder: Decoder, count: int) -> Self:
        """As the settings of a training run say."""
        return cls(
            decoder,
            count,
            label_smoothing=train.label_smoothing,
            z_loss=train.z_loss,
            recompute=train.recompute,
            float16=train.precision == "float16",
        )

    @property
    def count(self) -> int:
        """Number of replicas."""
        return self.team.size

    def loss_and_gradients(
        self,
        batches: Batch | Sequence[Batch],
        *,
        dropout: tuple[int, ...] | None = None,
        loss_scale: float = 1.0,
    ) -> tuple[float, Gradients]:
        """Mean training loss over all targets of the batches, and its gradient.

        The mean is over tokens: micro-batches and shares of different sizes, with different numbers of ignored
        targets, weigh exactly as their tokens do.

        Args:
            batches: One batch, or the micro-batches of an accumulated step; one after the other in memory.
            dropout: Entropy of the dropout masks; None for no dropout.
            loss_scale: Differentiate this many times the loss, and divide the gradients by it in the end. A power
                of two changes no float32, but keeps a float16 on the way from vanishing.

        Returns:
            The loss, and the gradients, which the next call drops.
        """
        batches = [batches] if isinstance(batches, Batch) else batches
        denominator = float(max(1, sum(batch.num_targets for batch in batches)))
        self.gradients.clear()
        losses = self.team.run(
            [partial(self._differentiate, r, batches, denominator, dropout, loss_scale) for r in range(self.count)]
        )
        if loss_scale != 1:
            for total in self.gradients.totals():
                total *= 1 / loss_scale
        return math.fsum(loss for own in losses for loss in own), self.gradients

    def evaluate(
        self,
        batches: Iterable[Batch],
        *,
        parameters: Parameters | None = None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Evaluation | None:
        """Mean cross-entropy over all targets of the batches, without dropout, smoothing or gradients.

        Args:
            batches: What to evaluate; each batch goes to whichever replica is free.
            parameters: Weights to use instead of the model's own.
            cancelled: Asked before every batch.

        Returns:
            The evaluation, or None if it was cancelled.
        """
        queue = _Numbered(batches)
        work = partial(self._evaluate_some, queue, parameters, cancelled)
        results = dict(item for found in self.team.run([work] * self.count) for item in found)
        if cancelled():
            return None
        tokens = sum(count for _, count in results.values())
        total = math.fsum(results[number][0] for number in sorted(results))
        return Evaluation(total / max(1, tokens), tokens)

    def squared_norm(self, gradients: Gradients) -> float:
        """Sum of squares of all gradients; what is not known of it yet is shared out among the threads."""
        known, others = gradients.squared_norms()
        workers = self.count if sum(array.size for array in others) >= _LARGE else 1
        work = [partial(_squared_norms, others, w, workers) for w in range(workers)]
        return math.fsum(itertools.chain(known, *self.team.run(work)))

    def validate(
        self, batches: Iterable[Batch], average: WeightAverage | None, cancelled: Callable[[], bool]
    ) -> Evaluation | None:
        """Evaluate with the average of the weights if there is one."""
        parameters = None if average is None else self.decoder.parameters.like(average.average)
        return self.evaluate(batches, parameters=parameters, cancelled=cancelled)

    @property
    def description(self) -> None:
        """Nothing beyond the number of replicas."""
        return

    def make_optimizer(self, config: OptimizerConfig) -> Optimizer:
        """The configured optimizer, which shares out its work among the threads."""
        return make_optimizer(config, self.decoder.parameters, team=self.team)

    def make_average(self, decay: float) -> WeightAverage:
        """A moving average of the parameters."""
        return WeightAverage(self.decoder.parameters.flat, decay)

    def clip_by_value(self, gradients: Gradients, limit: float) -> None:
        """Clip every element in place."""
        for total in gradients.totals():
            clip_by_value(total, limit)

    def host_gradients(self, gradients: Gradients) -> Gradients:
        """The gradients: they are arrays already."""
        return gradients

    @property
    def parameters(self) -> Parameters:
        """The weights by name."""
        return self.decoder.parameters

    def to_host(self) -> Parameters:
        """The weights: they are arrays already."""
        return self.decoder.parameters

    def from_host(self, host: Parameters) -> None:
        """Take the weights from others."""
        self.decoder.parameters.flat[...] = host.flat

    def close(self) -> None:
        """End the threads, and give back what the caller's own has kept."""
        self.team.close()
        release_scratch()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _differentiate(
        self,
        replica: int,
        batches: Sequence[Batch],
        denominator: float,
        dropout: tuple[int, ...] | None,
        loss_scale: float,
    ) -> list[float]:
        """Losses of this replica's shares, whose gradients, times `loss_scale`, it adds to the sums."""
        engine = Float16Engine(current().name) if self._float16 else current()
        losses: list[float] = []
        for micro_batch, batch in enumerate(batches):
            share = _share(batch, replica, self.count)
            if not len(share.inputs):
                continue
            tape = Tape(engine, d_loss=loss_scale)
            variables = {
                name: tape.variable(array, receive=self.gradients.receiver(name, replica))
                for name, array in self.decoder.parameters.items()
            }
            loss = self.decoder.loss(
                share.inputs,
                share.targets,
                params=variables,
                dropout=None if dropout is None else DropoutSeeds(*dropout, micro_batch, replica),
                label_smoothing=self._label_smoothing,
                z_loss=self._z_loss,
                denominator=denominator,
                recompute=self._recompute,
            )
            tape.backward(loss)
            losses.append(float(loss.value))
        self.gradients.end(replica)
        return losses

    def _evaluate_some(
        self, queue: _Numbered, parameters: Parameters | None, cancelled: Callable[[], bool]
    ) -> list[tuple[int, tuple[float, int]]]:
        """(number, (summed loss, tokens)) of the batches that this replica got hold of."""
        found = []
        for number, batch in queue:
            if cancelled():
                break
            tokens = batch.num_targets
            mean = self.decoder.loss(
                batch.inputs, batch.targets, params=parameters, denominator=float(max(1, tokens))
            )
            found.append((number, (float(mean) * tokens, tokens)))
        return found


class _Numbered:
    """Batches and their numbers, handed out to several threads."""

    def __init__(self, batches: Iterable[Batch]) -> None:
        self._batches = enumerate(batches)
        self._lock = Lock()

    def __iter__(self) -> Iterator[tuple[int, Batch]]:
        while True:
            with self._lock:
                item = next(self._batches, None)
            if item is None:
                return
            yield item


def _share(batch: Batch, replica: int, count: int) -> Batch:
    """Rows of one replica; sizes differ by one at most, and replica 0 always has some."""
    rows = len(batch.inputs)
    span = slice(-(-replica * rows // count), -(-(replica + 1) * rows // count))
    return Batch(batch.inputs[span], batch.targets[span])


def _squared_norms(arrays: Sequence[flat.Flat], replica: int, count: int) -> list[float]:
    """Of one replica's share of every array."""
    return [flat.squared_norm(a[a.size * replica // count : a.size * (replica + 1) // count]) for a in arrays]
