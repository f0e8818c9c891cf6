"""The processes that torchrun has started: who this one is, and the little they have to agree on."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TypeVar

import torch
from torch import distributed

from quanta_tissu.errors import TissuError, TrainingError
from quanta_tissu.tisslm.config import TorchConfig
from quanta_tissu.tisslm.engine.pytorch import choose_device
from quanta_tissu.tisslm.train.world import World

T = TypeVar("T")

_LOST = ("gloo", "nccl", "connection", "timed out", "timeout", "socket", "broken pipe", "peer")
"""Words of the errors with which communication fails."""


class TorchWorld(World):
    """A process among those that torchrun has started, on one machine or several.

    Tensors of the GPU travel by NCCL, all others by gloo.

    Args:
        config: Device and time limit.

    Attributes:
        device: The device of this process.

    Raises:
        ConfigError: There is no GPU for this process.
        TrainingError: The other processes cannot be reached.
    """

    def __init__(self, config: TorchConfig) -> None:
        self.rank, self.size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        self.device = choose_device(config.device, local_rank=int(os.environ.get("LOCAL_RANK", "0")))
        self._timeout = config.timeout
        cuda = self.device.type == "cuda"
        if cuda:
            torch.cuda.set_device(self.device)
        try:
            distributed.init_process_group(
                "cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=timedelta(seconds=config.timeout)
            )
            self.barrier()
        except (RuntimeError, ValueError) as error:
            address = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
            raise TrainingError(
                f"process {self.rank} cannot join the {self.size} of this run at {address}: {_first_line(error)}",
                hint="start all of them within torch.timeout seconds, with the same --rdzv-endpoint, over a "
                "network that lets them reach each other (GLOO_SOCKET_IFNAME and NCCL_SOCKET_IFNAME name the "
                "interface)",
            ) from error

    def largest(self, values: Sequence[float]) -> list[float]:
        """The largest of each value over all processes."""
        tensor = torch.tensor(values, dtype=torch.float64)
        distributed.all_reduce(tensor, distributed.ReduceOp.MAX)
        found: list[float] = tensor.tolist()
        return found

    def total(self, values: Sequence[float]) -> list[float]:
        """The sum of each value over all processes."""
        tensor = torch.tensor(values, dtype=torch.float64)
        distributed.all_reduce(tensor)
        found: list[float] = tensor.tolist()
        return found

    def told(self, text: str) -> str:
        """A text of the first process, in all of them."""
        texts = [text]
        distributed.broadcast_object_list(texts)
        return texts[0]

    def in_turn(self, task: Callable[[], T]) -> T:
        """Run a task in the first process, and only then in the others: they find what it has made."""
        if not self.main:
            self.barrier()
        found = task()
        if self.main:
            self.barrier()
        return found

    def barrier(self) -> None:
        """Wait for all processes."""
        self.largest([0.0])

    def explain(self, error: BaseException) -> TissuError | None:
        """An error of communication in words; None for any other."""
        text = str(error).lower()
        if not isinstance(error, RuntimeError) or not any(word in text for word in _LOST):
            return None
        return TrainingError(
            f"process {self.rank} of {self.size} has lost another one: {_first_line(error)}",
            hint="see what the process that failed first has said; then go on from the last checkpoint: --resume",
        )

    def close(self) -> None:
        """Leave the group."""
        if distributed.is_initialized():
            distributed.destroy_process_group()


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0][:300]
