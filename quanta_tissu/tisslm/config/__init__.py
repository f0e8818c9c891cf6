"""Every hyperparameter: typed, validated, documented, YAML in and out."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from quanta_tissu.tisslm.config.generation import GenerateConfig
from quanta_tissu.tisslm.config.model import ModelConfig
from quanta_tissu.tisslm.config.pytorch import TorchConfig
from quanta_tissu.tisslm.config.section import Section
from quanta_tissu.tisslm.config.training import (
    DataConfig,
    OptimizerConfig,
    ScheduleConfig,
    TokenizerConfig,
    TrainConfig,
)

__all__ = [
    "Config",
    "DataConfig",
    "GenerateConfig",
    "ModelConfig",
    "OptimizerConfig",
    "ScheduleConfig",
    "Section",
    "TokenizerConfig",
    "TorchConfig",
    "TrainConfig",
]


class Config(Section):
    """A whole run: the sections of a YAML file, and the first half of `--set section.field=value`."""

    model: ModelConfig = Field(default_factory=ModelConfig, description="The architecture.")
    tokenizer: TokenizerConfig = Field(default_factory=TokenizerConfig, description="How text becomes token ids.")
    data: DataConfig = Field(default_factory=DataConfig, description="Where text comes from.")
    optimizer: OptimizerConfig = Field(
        default_factory=OptimizerConfig, description="How gradients change weights."
    )
    schedule: ScheduleConfig = Field(
        default_factory=ScheduleConfig, description="How the learning rate changes over the run."
    )
    train: TrainConfig = Field(default_factory=TrainConfig, description="The training loop.")
    torch: TorchConfig = Field(default_factory=TorchConfig, description="The torch engine, while training.")
    generate: GenerateConfig = Field(default_factory=GenerateConfig, description="How text is generated.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        """What sections promise each other; a section checks its own fields."""
        without_eos = self.tokenizer.kind == "character" and not self.tokenizer.special_tokens
        if self.data.windows == "packed" and without_eos and self.tokenizer.path is None:
            raise ValueError(
                "data.windows = packed separates documents by EOS, which tokenizer.special_tokens = false leaves "
                "out; reserve the special tokens, or choose random or strided windows"
            )
        self._check_engine()
        return self

    def _check_engine(self) -> None:
        """Refuse what the chosen engine would ignore."""
        if self.train.engine != "torch":
            default = TorchConfig().model_dump()
            chosen = [f"torch.{k} = {v}" for k, v in self.torch.model_dump().items() if v != default[k]]
            if chosen:
                raise ValueError(
                    f"{', '.join(chosen)}: only the torch engine knows this, and train.engine = "
                    f"{self.train.engine}; choose train.engine = torch, or leave it out"
                )
        elif self.torch.sharded_checkpoints and self.torch.parallel not in ("fsdp", "tensor"):
            raise ValueError(
                f"torch.sharded_checkpoints means nothing to torch.parallel = {self.torch.parallel}, where every "
                "process holds all weights; choose fsdp or tensor, or leave it out"
            )
        elif self.torch.tensor_processes is not None and self.torch.parallel != "tensor":
            raise ValueError(
                f"torch.tensor_processes = {self.torch.tensor_processes} means nothing to torch.parallel = "
                f"{self.torch.parallel}; choose tensor, or leave it out"
            )
        elif self.train.replicas is not None:
            raise ValueError(
                f"train.replicas = {self.train.replicas} means nothing to train.engine = torch, which uses all "
                "cores by itself; set it to null"
            )
