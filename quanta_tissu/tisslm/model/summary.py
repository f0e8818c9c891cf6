"""A model in numbers: parameters, FLOPs and bytes by part."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from quanta_tissu.tisslm.config import ModelConfig
from quanta_tissu.tisslm.model.parameter import Parameters


@dataclass(frozen=True)
class Part:
    """One line of a summary.

    Attributes:
        name: The part.
        parameters: Number of its parameters.
        flops: Floating-point operations of a forward pass per token, at full context.
        nbytes: Bytes of its parameters.
    """

    name: str
    parameters: int
    flops: int
    nbytes: int


@dataclass(frozen=True)
class Summary:
    """Parameters, FLOPs and bytes by part; `str` gives a table.

    FLOPs count a multiply-add as two and leave out norms, activations and softmax (a percent or so). Attention is
    counted at the last position of a full context, or of the window. Training costs about three times as much.
    """

    parts: tuple[Part, ...]

    @property
    def parameters(self) -> int:
        """Number of all parameters."""
        return sum(part.parameters for part in self.parts)

    @property
    def flops(self) -> int:
        """Floating-point operations of a forward pass per token."""
        return sum(part.flops for part in self.parts)

    @property
    def nbytes(self) -> int:
        """Bytes of all parameters."""
        return sum(part.nbytes for part in self.parts)

    def __str__(self) -> str:
        rows = [*self.parts, Part("total", self.parameters, self.flops, self.nbytes)]
        head = f"{'part':<22}{'parameters':>14}{'FLOPs/token':>16}{'bytes':>14}"
        lines = [f"{r.name:<22}{r.parameters:>14,}{r.flops:>16,}{r.nbytes:>14,}" for r in rows]
        return "\n".join([head, *lines])


def summarise(config: ModelConfig, parameters: Parameters) -> Summary:
    """Count a model's parameters, FLOPs and bytes by part."""
    return Summary(tuple(_parts(config, parameters)))


def _parts(config: ModelConfig, parameters: Parameters) -> Iterator[Part]:
    def count(*fragments: str) -> int:
        return sum(spec.size for spec in parameters.specs if any(f in spec.name for f in fragments))

    size = parameters.dtype.itemsize
    vocabulary = (config.vocab_size or 0) * config.d_model
    attended = min(config.context_length, config.sliding_window or config.context_length)
    scores = 2 * 2 * attended * config.n_heads * config.head_dim * config.n_layers
    for name, fragments, flops_per_parameter, extra in (
        ("token embedding", ("embed_tokens",), 0, 0),
        ("position embedding", ("embed_positions",), 0, 0),
        ("attention projections", (".qkv_proj.", ".o_proj."), 2, 0),
        ("attention scores", (), 0, scores),
        ("feed-forward", (".mlp.",), 2, 0),
        ("norms", ("layernorm", "model.norm."), 0, 0),
        ("output head", ("lm_head",), 0, 2 * vocabulary),
    ):
        n = count(*fragments)
        flops = n * flops_per_parameter + extra
        if n or flops:
            yield Part(name, n, flops, n * size)
