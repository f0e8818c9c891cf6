"""The decoder as PyTorch's modules, which is what its wrappers (DDP, FSDP, compile) get hold of.

The model itself is the one of `model/`: descriptions that read their parameters from a mapping. Here these belong
to `torch.nn.Module`s, one for each block and one around all, and the mapping looks them up at the moment they are
used: FSDP exchanges them for gathered ones while a block runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from quanta_tissu.tisslm.config import ModelConfig
from quanta_tissu.tisslm.model import Decoder, DropoutSeeds, Parameters
from quanta_tissu.tisslm.model.block import Block
from quanta_tissu.tisslm.model.forward_pass import ForwardPass
from quanta_tissu.tisslm.model.positions import angles


class BlockModule(nn.Module):  # type: ignore[misc]
    """One block of the decoder with its parameters."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Any, run: ForwardPass) -> Any:
        """(B, T, D) → (B, T, D)."""
        return self.block(x, run)


class LiveParameters(Mapping[str, Any]):
    """Parameters by the model's names, read from the modules that own them at the moment of use."""

    def __init__(self) -> None:
        self._owners: dict[str, tuple[Any, str]] = {}

    def put(self, name: str, owner: nn.Module, parameter: Any) -> None:
        """Give a parameter to a module; PyTorch's names must have no dots."""
        key = name.replace(".", "__")
        owner.register_parameter(key, parameter)
        self._owners[name] = (owner, key)

    def __getitem__(self, name: str) -> Any:
        owner, key = self._owners[name]
        return getattr(owner, key)

    def __iter__(self) -> Iterator[str]:
        return iter(self._owners)

    def __len__(self) -> int:
        return len(self._owners)


class DecoderModule(nn.Module):  # type: ignore[misc]
    """The loss of the decoder as a module.

    Args:
        config: The architecture.
        parameters: All its parameters by name.

    Attributes:
        blocks: A module for each block; it owns the block's parameters.
        live: All parameters by the model's names.
    """

    def __init__(self, config: ModelConfig, parameters: Mapping[str, nn.Parameter]) -> None:
        super().__init__()
        self.decoder = Decoder(config, Parameters([]))
        self.blocks = nn.ModuleList([BlockModule(block) for block in self.decoder.blocks])
        self.decoder.blocks = list(self.blocks)
        self.live = LiveParameters()
        self._angles: dict[int, Any] = {}
        layers = {spec.name: spec.layer for spec in Decoder.specs(config)}
        for name, parameter in parameters.items():
            layer = layers[name]
            self.live.put(name, self if layer is None else self.blocks[layer], parameter)

    def forward(self, ids: Any, targets: Any, run: ForwardPass, **settings: Any) -> Any:
        """The loss, as `Decoder.loss_of`."""
        return self.decoder.loss_of(run, ids, targets, **settings)

    def prepare(self, time: int, device: torch.device, dropout: DropoutSeeds | None) -> ForwardPass:
        """Everything but the ids that a pass over sequences of one length needs, on the device."""
        positions = np.arange(time)[None]
        run = ForwardPass(self.live, positions, np.dtype(np.float32), dropout=dropout)
        if self.decoder.config.positions == "rotary":
            if time not in self._angles:
                config = self.decoder.config
                tables = angles(config.context_length, config.head_dim, config.rope_theta, run.dtype)
                cos, sin = (torch.tensor(table[None, :time], device=device) for table in tables)
                self._angles[time] = (cos, sin)
            run.angles = self._angles[time]
        return run
