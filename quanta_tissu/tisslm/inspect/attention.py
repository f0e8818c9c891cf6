"""Attention looked at: which tokens of a prompt each token attends to, as numbers, as text, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quanta_tissu.errors import ConfigError, DataError, MissingDependencyError
from quanta_tissu.tisslm.model.decoder import Decoder
from quanta_tissu.tisslm.model.recorder import Recorder
from quanta_tissu.tisslm.tokenizers.base import Tokenizer

SHADES = " ░▒▓█"
"""Of weights from 0 to 1, in equal steps."""


@dataclass(frozen=True)
class AttentionMaps:
    """Attention weights of one prompt.

    Attributes:
        tokens: The prompt's tokens as readable text (T).
        ids: Their ids (T).
        weights: (L, H, T, T): layer, head, attending token, attended token; each row sums to 1.
        layers: Index of each layer in the model (L).
        heads: Index of each head in the model (H).
    """

    tokens: list[str]
    ids: list[int]
    weights: NDArray[np.floating[Any]]
    layers: list[int]
    heads: list[int]


def attention_maps(
    decoder: Decoder,
    tokenizer: Tokenizer,
    prompt: str,
    *,
    layer: int | None = None,
    head: int | None = None,
) -> AttentionMaps:
    """Run a prompt through the model and keep its attention weights.

    Args:
        decoder: The model.
        tokenizer: Its tokenizer.
        prompt: Text of at least one token.
        layer: Keep this layer only; negative numbers count from the last.
        head: Keep this head only; negative numbers count from the last.

    Raises:
        ConfigError: There is no such layer or head.
        DataError: The prompt is empty or longer than the context.
        TokenizerError: The tokenizer refuses the prompt.
    """
    config = decoder.config
    layers = _chosen(layer, config.n_layers, "layer")
    heads = _chosen(head, config.n_heads, "head")
    ids = tokenizer.encode_prompt(prompt)
    if not ids:
        raise DataError("the prompt is empty, so nothing can be attended to", hint="give a text of a few words")
    if len(ids) > config.context_length:
        raise DataError(
            f"the prompt has {len(ids)} tokens, the model sees {config.context_length}", hint="give a shorter text"
        )
    record = Recorder()
    decoder.forward(np.array([ids]), record=record)
    weights = np.stack([record.attention[index][0][heads] for index in layers])
    return AttentionMaps([_readable(tokenizer, token) for token in ids], ids, weights, layers, heads)


def as_text(tokens: Sequence[str], weights: NDArray[np.floating[Any]], *, width: int = 100) -> str:
    """One map as a text heatmap: a row for each token that attends, a column for each that is attended.

    Each cell has a shade in steps of a fifth of the whole weight, `█` above four fifths, or `?` where a broken
    model gives no number. Behind the row stand the token most attended and its weight.

    Args:
        tokens: Readable tokens (T).
        weights: (T, T).
        width: Columns of the terminal; longer prompts show the last columns that fit.
    """
    label = min(14, max(len(token) for token in tokens))
    shown = max(1, min(len(tokens), width - 2 * label - 10))
    first = len(tokens) - shown
    lines = []
    if first:
        lines.append(f"(the first {first} of {len(tokens)} columns do not fit and are left out)")
    for row, token in enumerate(tokens):
        cells = "".join(map(_shade, weights[row, first : row + 1]))
        top = int(weights[row].argmax())
        lines.append(
            f"{_cut(token, label):>{label}} │{cells:<{shown}}│ {_cut(tokens[top], label):<{label}} "
            f"{weights[row, top]:.2f}"
        )
    return "\n".join(lines)


def save_png(maps: AttentionMaps, path: Path) -> None:
    """Draw all maps, a row of pictures for each layer and a column for each head.

    Args:
        maps: What to draw.
        path: The PNG file.

    Raises:
        MissingDependencyError: matplotlib is not installed.
        DataError: The file cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError(
            "drawing attention needs matplotlib, which is not installed",
            hint="install it with `pip install 'quanta-tissu[plot]'`, or leave out --png to see it as text",
        ) from error
    rows, columns, T = len(maps.layers), len(maps.heads), len(maps.tokens)
    side = float(np.clip(0.22 * T, 2.2, 9.0))
    labelled = T <= 64
    figure = Figure(figsize=(side * columns + 1, side * rows + 0.6), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    image: Any = None
    for i, layer in enumerate(maps.layers):
        for j, head in enumerate(maps.heads):
            ax = axes[i, j]
            image = ax.imshow(maps.weights[i, j], vmin=0, vmax=1, cmap="viridis", interpolation="nearest")
            ax.set_title(f"layer {layer}, head {head}", fontsize=8)
            labels = [_escaped(token) for token in maps.tokens] if labelled else []
            ax.set_xticks(range(len(labels)), labels, rotation=90, fontsize=5, family="monospace")
            ax.set_yticks(range(len(labels)), labels, fontsize=5, family="monospace")
    figure.colorbar(image, ax=axes, shrink=0.6, label="attention weight")
    try:
        figure.savefig(path, format="png", dpi=150)
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror or error}", hint="check the path") from error


def _chosen(index: int | None, count: int, what: str) -> list[int]:
    if index is None:
        return list(range(count))
    if not -count <= index < count:
        raise ConfigError(
            f"there is no {what} {index}: the model has {count}", hint=f"choose one of 0 … {count - 1}"
        )
    return [index % count]


def _readable(tokenizer: Tokenizer, token_id: int) -> str:
    """A token as one visible word: spaces as ·, line breaks and other control characters escaped."""
    text = tokenizer.token_bytes(token_id).decode(errors="replace")
    shown = (char if char.isprintable() else repr(char)[1:-1] for char in text.replace(" ", "·"))
    return "".join(shown)


def _shade(weight: float) -> str:
    return SHADES[min(int(weight * len(SHADES)), len(SHADES) - 1)] if np.isfinite(weight) else "?"


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _escaped(text: str) -> str:
    """Matplotlib would read a formula between dollar signs."""
    return text.replace("$", r"\$")
