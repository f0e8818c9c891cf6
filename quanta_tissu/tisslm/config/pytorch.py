"""What the torch engine alone can do, as a typed and validated section."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from quanta_tissu.tisslm.config.section import Section


class TorchConfig(Section):
    """Training with `train.engine = torch`; the NumPy engines refuse these settings."""

    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Where it runs; auto takes a GPU if there is."
    )
    compile: bool = Field(
        False, description="Compile the model with torch.compile: minutes before the first step."
    )
    parallel: Literal["none", "ddp", "fsdp", "tensor"] = Field(
        "none",
        description="What the processes that torchrun starts share: nothing but the batch (ddp), also weights, "
        "gradients and moments (fsdp), or every layer's work (tensor); none: there is one process.",
    )
    tensor_processes: int | None = Field(
        None,
        ge=1,
        description="Processes that share every layer's work (tensor); with more of them, groups of so many take "
        "different shares of the batch. null: all.",
    )
    sharded_checkpoints: bool = Field(
        False, description="Every process writes its part of a rolling checkpoint (fsdp, tensor); off: one file."
    )
    timeout: float = Field(
        600.0, gt=0, description="Seconds that a process waits for another before the run ends with an error."
    )
