"""The encoder: a BERT-style transformer in which every token sees its whole text, and the vector of a text.

Devlin et al. 2019, arXiv:1810.04805, section 3; the vector: Reimers & Gurevych 2019, arXiv:1908.10084, section 3.
It is made of the decoder's modules, in the architecture with norms after the sums (`norm_placement: post`),
learned positions and biases. What differs: attention is not causal, and the sum of the three embeddings (token,
position, token type) is normalised.

Texts of different lengths stand one after the other in a single row, without padding:

    ids         101 2054 102 101 2129 2079 102
    positions     0    1   2   0    1    2   3       a text begins at every 0

Everything but attention treats tokens alone, so it does all texts in one go; attention visits one text at a time.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quanta_tissu.tisslm import ops
from quanta_tissu.tisslm.config import ModelConfig
from quanta_tissu.tisslm.model.attention import SelfAttention
from quanta_tissu.tisslm.model.block import Block
from quanta_tissu.tisslm.model.decoder import EMBEDDING
from quanta_tissu.tisslm.model.forward_pass import ForwardPass
from quanta_tissu.tisslm.model.norm import make_norm
from quanta_tissu.tisslm.model.parameter import Parameters, ParameterSpec
from quanta_tissu.tisslm.model.positions import make_positions

TYPES = "model.embed_types.weight"
EMBEDDING_NORM = "model.embed_norm"
TOKEN_TYPES = 2
"""The first and the second text of a pair; a single text is all of the first type."""

_SHORTEST = 1e-12  # a mean shorter than this keeps its direction only roughly, and does not become of length 1


class TextAttention(SelfAttention):
    """Self-attention within each text of a row of texts, to what comes before and after."""

    def mix(self, q: Any, k: Any, v: Any, run: ForwardPass) -> Any:
        """As in `SelfAttention`, one text after the other: q, k and v are (1, N, H, E)."""
        texts = [slice(start, end) for start, end in pairwise(text_edges(run.positions[0]))]
        mixed = [ops.attention(q[:, text], k[:, text], v[:, text], causal=False) for text in texts]
        return mixed[0] if len(mixed) == 1 else np.concatenate(mixed, axis=1)


class Encoder:
    """A transformer encoder for texts, with weights on NumPy arrays.

    Args:
        config: The architecture, with `vocab_size` resolved.
        parameters: Values of all parameters, as `Encoder.specs(config)` names them.
    """

    def __init__(self, config: ModelConfig, parameters: Parameters) -> None:
        self.config = config
        self.parameters = parameters
        self.positions = make_positions(config)
        self.embedding_norm = make_norm(EMBEDDING_NORM, config)
        self.blocks = [
            Block.make(layer, config, self.positions, attention=TextAttention) for layer in range(config.n_layers)
        ]

    @classmethod
    def specs(cls, config: ModelConfig) -> list[ParameterSpec]:
        """All parameters that an architecture needs, in the order of use."""
        bare = cls(config, Parameters([]))
        specs = [ParameterSpec(EMBEDDING, (config.vocab_size or 0, config.d_model), "embedding")]
        specs += bare.positions.specs()
        specs.append(ParameterSpec(TYPES, (TOKEN_TYPES, config.d_model), "embedding"))
        specs += bare.embedding_norm.specs()
        for block in bare.blocks:
            specs += block.specs()
        return specs

    def forward(self, ids: NDArray[np.integer[Any]], positions: NDArray[np.integer[Any]]) -> NDArray[Any]:
        """What the last layer says of every token.

        Args:
            ids: Token ids of the texts, one text after the other (N), N ≥ 1.
            positions: Position of each token in its text (N); the first is 0.

        Returns:
            Hidden states (N, D).

        Raises:
            DataError: An id lies outside the vocabulary, or a position outside the context.
        """
        run = ForwardPass(self.parameters, positions[None], self.parameters.dtype)
        x = ops.embedding(self.parameters[EMBEDDING], ids=ids[None])
        x = self.positions.embed(x, run)
        x = ops.add(x, self.parameters[TYPES][0])
        x = self.embedding_norm(x, run)
        for block in self.blocks:
            x = block(x, run)
        hidden: NDArray[Any] = x[0]
        return hidden

    def embed(self, ids: NDArray[np.integer[Any]], positions: NDArray[np.integer[Any]]) -> NDArray[Any]:
        """One vector of length 1 for each text: the mean of its tokens' hidden states, normalised.

        Args:
            ids: As for `forward`.
            positions: As for `forward`.

        Returns:
            Vectors (texts, D).

        Raises:
            DataError: As for `forward`.
        """
        edges = text_edges(positions)
        sums = np.add.reduceat(self.forward(ids, positions), edges[:-1], axis=0)
        means = sums / np.diff(edges)[:, None].astype(sums.dtype)
        lengths = np.sqrt(np.sum(means * means, axis=1, keepdims=True))
        vectors: NDArray[Any] = means / np.maximum(lengths, _SHORTEST)
        return vectors


def text_edges(positions: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """Where texts begin in a row of them, and where the last one ends: positions (N) → (texts + 1)."""
    return np.append(np.flatnonzero(positions == 0), len(positions))
