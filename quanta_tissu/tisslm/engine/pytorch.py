"""PyTorch as an engine: is it there, on which device, in which precision."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from quanta_tissu.errors import ConfigError
from quanta_tissu.tisslm.engine.engines import require_torch


def choose_device(name: str, *, local_rank: int = 0) -> Any:
    """The torch device that a configuration names.

    Args:
        name: "cpu", "cuda", or "auto": a GPU if there is one.
        local_rank: Number of this process on its machine; each takes a GPU of its own.

    Raises:
        MissingDependencyError: PyTorch is not installed.
        ConfigError: There is no GPU, or not one for each process.
    """
    require_torch()
    import torch

    found = torch.cuda.device_count() if name != "cpu" and torch.cuda.is_available() else 0
    if name == "cpu" or (name == "auto" and not found):
        return torch.device("cpu")
    if not found:
        raise ConfigError(
            "the device is cuda, but PyTorch finds no GPU here",
            hint="choose the device cpu, or install a PyTorch with CUDA (pytorch.org/get-started)",
        )
    if local_rank >= found:
        raise ConfigError(
            f"process {local_rank + 1} of this machine needs a GPU of its own; PyTorch finds {found}",
            hint=f"start at most {found} with --nproc-per-node, or choose the device cpu",
        )
    return torch.device("cuda", local_rank)


def to_array(x: Any) -> NDArray[Any]:
    """What a model gave, as an array: a tensor is copied from its device, an array is returned as it is."""
    if isinstance(x, np.ndarray):
        return x
    array: NDArray[Any] = x.detach().cpu().numpy()
    return array
