"""Every hyperparameter: typed, validated, documented, YAML in and out."""

from __future__ import annotations

from pydantic import Field

from quanta_tissu.tisslm.config.generation import GenerateConfig
from quanta_tissu.tisslm.config.model import ModelConfig
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
    generate: GenerateConfig = Field(default_factory=GenerateConfig, description="How text is generated.")
