"""Whether a run can fit where PyTorch takes its memory: on the device of every process."""

from __future__ import annotations

import os

import torch

from quanta_tissu.errors import TrainingError
from quanta_tissu.tisslm.config import Config, ModelConfig
from quanta_tissu.tisslm.engine.pytorch import choose_device
from quanta_tissu.tisslm.model import Decoder
from quanta_tissu.tisslm.train.memory import available_memory
from quanta_tissu.tisslm.train.optimizers import num_buffers
from quanta_tissu.tisslm.train.pytorch.world import TorchWorld
from quanta_tissu.tisslm.train.world import World
from quanta_tissu.tisslm.wording import in_bytes

_FLOAT = 4  # bytes of a float32


def available_on_device(config: Config, world: World) -> int | None:
    """Bytes that this process can still get: of its GPU, or its share of what the host has; None: not known.

    Raises:
        ConfigError: The device is not there.
        MissingDependencyError: PyTorch is not installed.
    """
    device = world.device if isinstance(world, TorchWorld) else choose_device(config.torch.device)
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    available = available_memory()
    return None if available is None else available // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def least_memory(config: Config, model: ModelConfig, processes: int) -> int:
    """Bytes that a process holds at least while it trains.

    Counted is what is there without doubt: weights, moments and average, and beside them the gradients, or what
    the loss of a micro-batch needs: the input of every block, and logits before and after the softmax. What
    PyTorch keeps of the blocks besides, its workspaces and its libraries are left out: they differ from version to
    version and from device to device.

    Args:
        config: The sections `optimizer`, `train` and `torch` are used.
        model: The architecture, with `vocab_size` resolved.
        processes: Number of processes that train together.
    """
    parallel, train = config.torch.parallel, config.train
    specs = Decoder.specs(model)
    together = config.torch.tensor_processes or processes  # what share the layers, and see the same batch
    # Of each parameter outside the blocks, and in them (where tensor parallelism leaves norms whole).
    outside, inside = {"fsdp": (processes, processes), "tensor": (1, together)}.get(parallel, (1, 1))
    weights = _FLOAT * sum(spec.size // (outside if spec.layer is None else inside) for spec in specs)
    rows = -(-train.batch_size * (together if parallel == "tensor" else 1) // processes)
    tokens = rows * model.context_length
    logits = (_FLOAT if train.precision == "float32" else 2) + _FLOAT
    passes = tokens * (_FLOAT * model.n_layers * model.d_model + logits * (model.vocab_size or 0))
    kept = 1 + num_buffers(config.optimizer) + (train.ema_decay is not None)
    return kept * weights + max(weights, passes)


def require_device_memory(config: Config, model: ModelConfig, world: World, available: int | None) -> None:
    """Refuse a run that cannot fit, in all processes alike. One that passes may still turn out to be too large.

    Args:
        config: As in `least_memory`.
        model: As in `least_memory`.
        world: The processes that train together.
        available: Bytes that are there, from `available_on_device`; None: nothing is checked.

    Raises:
        TrainingError: A process needs more than it can get.
    """
    needed = least_memory(config, model, world.size)
    [lacking] = world.largest([-1.0 if available is None else float(needed - available)])
    if lacking <= 0:
        return
    raise TrainingError(
        f"training this model takes at least {in_bytes(needed)} in each process, of which "
        f"{in_bytes(int(lacking))} are not available",
        hint="reduce train.batch_size (and raise train.gradient_accumulation as much), the model or its "
        "vocabulary; with torch.parallel = fsdp every process holds a part of the weights",
    )
