"""Tiny models that generate."""

from __future__ import annotations

import numpy as np
import pytest

from quanta_tissu.tisslm.config import ModelConfig
from quanta_tissu.tisslm.model import Decoder
from quanta_tissu.tisslm.tokenizers import CharacterTokenizer


@pytest.fixture(scope="session")
def tokenizer() -> CharacterTokenizer:
    """Letters, space and line break, with PAD, BOS, EOS and UNK."""
    return CharacterTokenizer("\n abcdefghijklmnopqrstuvwxyz")


@pytest.fixture(scope="session")
def decoder(tokenizer) -> Decoder:
    """Two layers that know nothing but are sure of it: logits with a spread of several nats."""
    config = ModelConfig(
        vocab_size=tokenizer.vocab_size, context_length=24, n_layers=2, d_model=32, n_heads=4, n_kv_heads=2
    )
    model = Decoder.initialise(config, seed=1)
    model.parameters.flat[:] += np.random.default_rng(2).normal(size=model.parameters.flat.shape) * 0.2
    return model
