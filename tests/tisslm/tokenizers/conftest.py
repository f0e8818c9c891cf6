"""Tokenizers trained on the documentation that comes with every Python."""

from __future__ import annotations

import pytest

from quanta_tissu.tisslm.tokenizers import BPETokenizer, CharacterTokenizer


@pytest.fixture(scope="session")
def topics() -> list[str]:
    """Real text that every machine has: the topics of `help()`, 0.5 MB."""
    from pydoc_data.topics import topics

    return [topics[name] for name in sorted(topics)]


@pytest.fixture(scope="session")
def bpe(topics) -> BPETokenizer:
    tokenizer = BPETokenizer()
    tokenizer.train(topics, 1024)
    return tokenizer


@pytest.fixture(scope="session")
def character(topics) -> CharacterTokenizer:
    return CharacterTokenizer.train(topics)
