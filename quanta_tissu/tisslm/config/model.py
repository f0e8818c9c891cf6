"""Every choice of architecture, as one typed and validated section."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from quanta_tissu.tisslm.config.section import Section

Activation = Literal["swiglu", "gelu", "gelu_tanh", "relu"]


class ModelConfig(Section):
    """The architecture of a decoder-only transformer."""

    vocab_size: int | None = Field(None, ge=1, description="Number of token ids; null takes the tokenizer's.")
    context_length: int = Field(256, ge=1, description="Longest sequence the model sees, in tokens.")
    n_layers: int = Field(6, ge=1, description="Number of transformer blocks.")
    d_model: int = Field(256, ge=1, description="Width of the residual stream.")
    n_heads: int = Field(8, ge=1, description="Number of attention (query) heads; must divide d_model.")
    n_kv_heads: int | None = Field(
        None,
        ge=1,
        description="Number of key-value heads: n_heads (or null) is multi-head attention, 1 is multi-query, "
        "anything between is grouped-query; must divide n_heads.",
    )
    d_ff: int | None = Field(
        None,
        ge=1,
        description="Width of the feed-forward layer; null derives 4·d_model, or 8/3·d_model rounded up to a "
        "multiple of 32 for SwiGLU (same parameters).",
    )
    feed_forward: Activation = Field("swiglu", description="Feed-forward variant.")
    norm: Literal["rms_norm", "layer_norm"] = Field("rms_norm", description="Normalisation variant.")
    norm_placement: Literal["pre", "post"] = Field(
        "pre", description="Normalise the input of each sub-layer (pre) or the sum after it (post)."
    )
    norm_eps: float = Field(1e-5, gt=0, description="Added to the variance inside every norm.")
    positions: Literal["rotary", "learned", "sinusoidal", "none"] = Field(
        "rotary", description="How the model knows the order of tokens."
    )
    rope_theta: float = Field(10_000.0, gt=0, description="Base of the rotary frequencies.")
    rope_interleaved: bool = Field(
        False,
        description="Rotate pairs (2i, 2i+1) as llama2.c does, instead of (i, i + head_dim/2) as Hugging Face.",
    )
    sliding_window: int | None = Field(
        None, ge=1, description="Each token attends to this many last tokens, itself included; null: all."
    )
    bias: bool = Field(False, description="Biases in linear layers and layer norms.")
    tie_embeddings: bool = Field(True, description="Use the token embedding as the output matrix.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout probability wherever it is not set apart.")
    embedding_dropout: float | None = Field(None, ge=0, lt=1, description="After the embeddings; null: dropout.")
    attention_dropout: float | None = Field(
        None, ge=0, lt=1, description="On the attention weights; null: dropout."
    )
    residual_dropout: float | None = Field(
        None, ge=0, lt=1, description="On what attention and feed-forward add to the stream; null: dropout."
    )
    init: Literal["gpt2", "xavier", "kaiming"] = Field(
        "gpt2",
        description="Initialisation: normal with init_std (gpt2), Glorot uniform (xavier), He normal (kaiming). "
        "Projections back into the residual stream are scaled by 1/sqrt(2·n_layers).",
    )
    init_std: float = Field(0.02, gt=0, description="Standard deviation of the gpt2 initialisation.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.d_model % self.n_heads:
            raise ValueError(
                f"model.d_model = {self.d_model} is not divisible by model.n_heads = {self.n_heads}; "
                f"choose d_model as a multiple of n_heads, {self._nearest(self.d_model, self.n_heads)} for example"
            )
        if self.n_kv_heads is not None and self.n_heads % self.n_kv_heads:
            divisors = [k for k in range(1, self.n_heads + 1) if self.n_heads % k == 0]
            raise ValueError(
                f"model.n_heads = {self.n_heads} is not divisible by model.n_kv_heads = {self.n_kv_heads}; "
                f"choose n_kv_heads among {divisors}"
            )
        if self.positions == "rotary" and self.head_dim % 2:
            raise ValueError(
                f"rotary positions rotate pairs, so d_model / n_heads must be even; it is {self.head_dim} "
                f"({self.d_model} / {self.n_heads})"
            )
        if self.positions == "sinusoidal" and self.d_model % 2:
            raise ValueError(f"sinusoidal positions need an even model.d_model; it is {self.d_model}")
        return self

    @staticmethod
    def _nearest(value: int, multiple: int) -> int:
        return max(1, round(value / multiple)) * multiple

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.d_model // self.n_heads

    @property
    def kv_heads(self) -> int:
        """Number of key-value heads, resolved."""
        return self.n_heads if self.n_kv_heads is None else self.n_kv_heads

    @property
    def ff_width(self) -> int:
        """Width of the feed-forward layer, resolved."""
        if self.d_ff is not None:
            return self.d_ff
        if self.feed_forward == "swiglu":
            return -(-8 * self.d_model // 3 // 32) * 32
        return 4 * self.d_model

    def dropout_of(self, place: Literal["embedding", "attention", "residual"]) -> float:
        """Dropout probability at one place, resolved."""
        value: float | None = getattr(self, f"{place}_dropout")
        return self.dropout if value is None else value
