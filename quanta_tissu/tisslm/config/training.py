"""Tokenizer, data, optimizer, schedule and training loop, as typed and validated sections."""

from __future__ import annotations

from importlib.util import find_spec
from math import frexp
from typing import Literal, Self

from pydantic import Field, model_validator

from quanta_tissu.tisslm.config.section import Section


def _engine() -> Literal["fast", "reference"]:
    return "fast" if find_spec("numba") else "reference"


class TokenizerConfig(Section):
    """How text becomes token ids."""

    kind: Literal["bpe", "character"] = Field("bpe", description="Byte-level BPE, or one id per character.")
    vocab_size: int = Field(4096, ge=257, description="Target size of a trained BPE vocabulary, in tokens.")
    special_tokens: bool = Field(
        True, description="Character tokenizer: reserve ids 0-3 for PAD, BOS, EOS and UNK (off: exact counts)."
    )
    path: str | None = Field(None, description="Use this tokenizer file instead of training one.")


class DataConfig(Section):
    """Where text comes from and how it is cut into sequences."""

    source: str | None = Field(None, description="A file, a folder, JSONL, a prepared dataset, or builtin:python.")
    text_field: str = Field("text", description="Field that holds the text in JSONL lines.")
    allow_special: bool = Field(
        False,
        description="Take special tokens spelled in the text, <|endoftext|> for example, as what they are; off: "
        "such text is refused.",
    )
    validation_split_ratio: float = Field(0.1, gt=0, lt=1, description="Share of the tokens kept for validation.")
    shuffle_documents: bool = Field(True, description="Shuffle documents with train.seed before the split.")
    windows: Literal["random", "strided", "packed"] = Field(
        "random",
        description="Random windows with replacement; strided windows, each once an epoch; or packed documents, "
        "separated by EOS, with the boundary ignored in the loss.",
    )
    stride: int | None = Field(
        None, ge=1, description="Distance of strided or packed windows in tokens; null: model.context_length."
    )
    max_bytes: int | None = Field(None, ge=1, description="Stop reading the source after this many bytes.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.stride is not None and self.windows == "random":
            raise ValueError(
                f"data.stride = {self.stride} means nothing to data.windows = random; choose strided or packed "
                "windows, or leave the stride out"
            )
        return self


class OptimizerConfig(Section):
    """How gradients change weights."""

    name: Literal["adamw", "adam", "sgd", "rmsprop", "lion", "muon"] = Field("adamw", description="Algorithm.")
    learning_rate: float = Field(1e-3, gt=0, description="Peak learning rate.")
    betas: tuple[float, float] = Field(
        (0.9, 0.95), description="Decay of the first and second moment (AdamW, Adam, Lion)."
    )
    eps: float = Field(1e-8, gt=0, description="Added to the denominator (AdamW, Adam, RMSProp).")
    momentum: float = Field(0.9, ge=0, lt=1, description="Momentum (SGD, RMSProp, Muon).")
    nesterov: bool = Field(True, description="Nesterov momentum (SGD, Muon).")
    alpha: float = Field(0.99, ge=0, lt=1, description="Decay of the squared gradient (RMSProp).")
    weight_decay: float = Field(
        0.1, ge=0, description="Decay of matrices and embeddings; biases and norms are never decayed."
    )
    layer_decay: float = Field(
        1.0, gt=0, le=1, description="Learning-rate factor per layer below the output (1: the same everywhere)."
    )
    learning_rate_scales: dict[str, float] = Field(
        default_factory=dict,
        description="Learning-rate factor by shell pattern of the parameter's name; the first match wins.",
    )
    muon_learning_rate: float = Field(
        0.02, gt=0, description="Muon's learning rate for hidden matrices; the others use AdamW."
    )
    newton_schulz_steps: int = Field(
        5, ge=1, description="Iterations that orthogonalise Muon's updates: fewer are faster and less exact."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"optimizer.betas must lie in [0, 1); they are {self.betas}")
        if negative := [pattern for pattern, scale in self.learning_rate_scales.items() if scale < 0]:
            raise ValueError(
                f"optimizer.learning_rate_scales must not be negative; that of {negative[0]!r} is "
                f"{self.learning_rate_scales[negative[0]]:g} (0 keeps parameters as they are)"
            )
        return self


class ScheduleConfig(Section):
    """How the learning rate changes over the run."""

    name: Literal["constant", "linear", "cosine", "step", "wsd"] = Field(
        "cosine", description="Shape after the warmup; wsd is warmup-stable-decay."
    )
    warmup_steps: int | None = Field(None, ge=0, description="Linear warmup, in steps; null: warmup_fraction.")
    warmup_fraction: float = Field(0.05, ge=0, le=1, description="Linear warmup, as a share of the run.")
    final_ratio: float = Field(0.1, ge=0, le=1, description="Last learning rate as a share of the peak.")
    decay_fraction: float = Field(0.2, gt=0, le=1, description="wsd: share of the run that decays.")
    step_size: int = Field(1000, ge=1, description="step: steps between two drops.")
    gamma: float = Field(0.5, gt=0, le=1, description="step: factor of each drop.")


class TrainConfig(Section):
    """The training loop."""

    engine: Literal["fast", "reference", "torch"] = Field(
        default_factory=_engine,
        description="What runs the operations; by default fast, or reference without Numba.",
    )
    replicas: int | None = Field(
        None, ge=1, description="Model replicas on threads, each on its share of the batch; null: one per core."
    )
    seed: int = Field(1337, ge=0, description="Seed of weights, data order and dropout.")
    batch_size: int = Field(16, ge=1, description="Sequences in one micro-batch.")
    gradient_accumulation: int = Field(1, ge=1, description="Micro-batches in one optimizer step.")
    recompute: bool = Field(
        False,
        description="Keep only the input of each block for the backward pass and run the block again there: the "
        "same results with less memory and a third more time.",
    )
    precision: Literal["float32", "float16", "bfloat16"] = Field(
        "float32",
        description="Type of matrix products and activations while training; weights, updates, norms and loss "
        "are float32 always. The NumPy engines simulate float16 and do not know bfloat16.",
    )
    loss_scale: float = Field(
        65536.0,
        ge=1,
        description="float16: multiply the loss by this power of two, so that small gradients do not vanish; it "
        "halves when one overflows.",
    )
    loss_scale_interval: int = Field(
        2000, ge=1, description="float16: updates without an overflow after which the loss scale doubles."
    )
    batch_ramp_steps: int = Field(
        0, ge=0, description="Grow the batch linearly from batch_ramp_start to batch_size over these steps."
    )
    batch_ramp_start: int = Field(1, ge=1, description="First batch size of the ramp.")
    max_steps: int | None = Field(
        None, ge=1, description="Optimizer steps of the whole run; null: 2000, unless another limit is set."
    )
    max_epochs: float | None = Field(None, gt=0, description="Length of the run in epochs, instead of max_steps.")
    max_seconds: float | None = Field(None, gt=0, description="Stop, evaluate and save after this many seconds.")
    clip_norm: float | None = Field(1.0, gt=0, description="Clip the global gradient norm; null: off.")
    clip_value: float | None = Field(None, gt=0, description="Clip each gradient element; null: off.")
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="Share of the target spread over the vocabulary.")
    z_loss: float = Field(0.0, ge=0, description="Weight of the squared log-normaliser in the loss.")
    ema_decay: float | None = Field(
        None, gt=0, lt=1, description="Evaluate and save an exponential moving average of the weights; null: off."
    )
    eval_interval: int = Field(250, ge=1, description="Steps between two validations.")
    eval_first: bool = Field(True, description="Validate before the first step, too.")
    eval_steps: int = Field(200, ge=1, description="Batches of one validation, at most.")
    log_interval: int = Field(10, ge=1, description="Steps between two lines of metrics.jsonl.")
    histogram_interval: int | None = Field(
        None, ge=1, description="Steps between histograms of weights and gradients per layer; null: none."
    )
    checkpoint_interval: int = Field(500, ge=1, description="Steps between two rolling checkpoints.")
    keep_checkpoints: int = Field(2, ge=1, description="Rolling checkpoints kept.")
    early_stopping_patience: int | None = Field(
        None, ge=1, description="Stop after this many validations without a better loss; null: never."
    )
    spike_threshold: float | None = Field(
        None,
        gt=0,
        description="Skip an update whose loss or gradient norm lies this many standard deviations above the "
        "recent mean; null: never.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.max_steps is not None and self.max_epochs is not None:
            raise ValueError(
                f"train.max_steps = {self.max_steps} and train.max_epochs = {self.max_epochs} are both set; "
                "keep one of them and set the other to null"
            )
        if self.batch_ramp_steps and self.batch_ramp_start > self.batch_size:
            raise ValueError(
                f"train.batch_ramp_start = {self.batch_ramp_start} is larger than train.batch_size = "
                f"{self.batch_size}"
            )
        self._check_precision()
        return self

    def _check_precision(self) -> None:
        if self.precision == "bfloat16" and self.engine != "torch":
            raise ValueError(
                f"train.precision = bfloat16 is not known to train.engine = {self.engine}; choose float16, which "
                "it simulates, or float32, or train.engine = torch"
            )
        if frexp(self.loss_scale)[0] != 0.5:
            raise ValueError(
                f"train.loss_scale = {self.loss_scale:g} is not a power of two, so dividing by it would round"
            )
        if self.precision != "float16":
            for name in ("loss_scale", "loss_scale_interval"):
                if (value := getattr(self, name)) != type(self).model_fields[name].default:
                    raise ValueError(
                        f"train.{name} = {value:g} means nothing to train.precision = {self.precision}; leave "
                        "it out, or choose float16"
                    )
