"""The processes that train together: one, unless torchrun has started several (`train/pytorch/world.py`)."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self, TypeVar

from quanta_tissu.errors import ConfigError, TissuError
from quanta_tissu.tisslm.config import Config

T = TypeVar("T")


class World:
    """A single process. What several have to agree on, it decides alone.

    All processes of a run call these methods in the same order.

    Attributes:
        rank: Number of this process.
        size: Number of processes.
    """

    rank = 0
    size = 1

    @property
    def main(self) -> bool:
        """Whether this process writes checkpoints and metrics and talks to people."""
        return self.rank == 0

    def largest(self, values: Sequence[float]) -> list[float]:
        """The largest of each value over all processes."""
        return list(values)

    def in_turn(self, task: Callable[[], T]) -> T:
        """Run a task in the first process, and only then in the others: they find what it has made."""
        return task()

    def barrier(self) -> None:
        """Wait for all processes."""

    def explain(self, error: BaseException) -> TissuError | None:
        """An error of communication in words; None for any other."""
        return None

    def close(self) -> None:
        """End the connection."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def started_by_torchrun() -> bool:
    """Whether the environment says that this process is one of those of a run, be it the only one."""
    return "WORLD_SIZE" in os.environ and "RANK" in os.environ


def process_rank() -> int:
    """Number of this process among those that torchrun has started; 0 if it has not."""
    return int(os.environ["RANK"]) if started_by_torchrun() else 0


def make_world(config: Config) -> World:
    """The processes that this one belongs to, as the environment that torchrun sets says.

    Raises:
        ConfigError: The configuration does not suit the number of processes.
        MissingDependencyError: PyTorch is needed and not installed.
    """
    started = started_by_torchrun()
    several = started and int(os.environ["WORLD_SIZE"]) > 1
    if config.train.engine != "torch":
        if several:
            raise ConfigError(
                f"torchrun has started {os.environ['WORLD_SIZE']} processes, but the {config.train.engine} engine "
                "trains in one, on all its cores",
                hint="start `tissu train` itself, or choose --engine torch with torch.parallel = ddp",
            )
        return World()
    if config.torch.parallel == "none":
        if several:
            raise ConfigError(
                f"torchrun has started {os.environ['WORLD_SIZE']} processes, but torch.parallel = none",
                hint="choose what they share: --set torch.parallel=ddp (or fsdp, or tensor)",
            )
        return World()
    if not started:
        raise ConfigError(
            f"torch.parallel = {config.torch.parallel} is for processes that torchrun starts",
            hint="start the same command as `torchrun --nproc-per-node 2 -m quanta_tissu train ...`, or set "
            "torch.parallel to none",
        )
    from quanta_tissu.tisslm.train.pytorch.world import TorchWorld

    return TorchWorld(config.torch)
