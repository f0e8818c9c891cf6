"""The decoder's parameters as torch tensors, on which its ops are PyTorch's: how the torch engine runs a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quanta_tissu.tisslm.engine import Engine
from quanta_tissu.tisslm.engine.pytorch import choose_device
from quanta_tissu.tisslm.model.decoder import Decoder
from quanta_tissu.tisslm.model.kv_cache import KVCache


def parameters_on(engine: Engine, decoder: Decoder) -> Mapping[str, Any] | None:
    """What to pass to `Decoder.forward` and `Decoder.loss` as `params`, to run them on an engine.

    Args:
        engine: The engine. PyTorch takes a GPU if there is one; on a CPU the tensors share the decoder's memory.
        decoder: The model.

    Returns:
        Tensors by name for the torch engine; None for the others: they run on the decoder's own arrays.

    Raises:
        MissingDependencyError: PyTorch is needed and not installed.
    """
    if engine.name != "torch":
        return None
    device = choose_device("auto")
    import torch

    return {name: torch.from_numpy(array).to(device) for name, array in decoder.parameters.items()}


class TorchKVCache(KVCache):
    """The key-value cache on torch tensors, on the device of the parameters."""

    @classmethod
    def like(cls, parameters: Mapping[str, Any], decoder: Decoder, batch: int, capacity: int) -> TorchKVCache:
        """An empty cache beside parameters from `parameters_on`."""
        config, first = decoder.config, next(iter(parameters.values()))
        shape = (config.n_layers, batch, capacity, config.kv_heads, config.head_dim)
        return cls(first.new_zeros(shape), first.new_zeros(shape))

    def select(self, rows: Any) -> TorchKVCache:
        """A copy with these rows, in this order (repeats allowed)."""
        chosen = TorchKVCache(self.keys[:, rows], self.values[:, rows])
        chosen.length = self.length
        return chosen

    def forget(self, positions: int) -> None:
        """Forget the first positions; PyTorch copies no overlapping memory, so by a detour."""
        kept = slice(positions, self.length)
        tensors: tuple[Any, ...] = (self.keys, self.values)
        for tensor in tensors:
            tensor[:, :, : self.length - positions] = tensor[:, :, kept].clone()
        self.truncate(self.length - positions)
