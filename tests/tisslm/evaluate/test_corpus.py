"""Statistics of a corpus agree with counting by hand."""

from __future__ import annotations

import math
from collections import Counter

import pytest

from quanta_tissu.tisslm.config import DataConfig
from quanta_tissu.tisslm.data.prepare import prepare
from quanta_tissu.tisslm.data.sources import open_source
from quanta_tissu.tisslm.evaluate import corpus
from quanta_tissu.tisslm.evaluate.corpus import corpus_statistics
from quanta_tissu.tisslm.evaluate.floors import floors
from quanta_tissu.tisslm.tokenizers import CharacterTokenizer

TEXT = "aaä bb ☃ " * 30


@pytest.fixture
def dataset(tmp_path):
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")
    tokenizer = CharacterTokenizer.train([TEXT + "z"], special_tokens=False)
    return prepare(open_source(tmp_path / "text.txt"), tokenizer, tmp_path / "data", DataConfig(), 0)


def test_counts_are_those_of_the_text(dataset, monkeypatch):
    monkeypatch.setattr(corpus, "_CHUNK", 7)
    found = corpus_statistics(dataset, top=2)
    assert found.documents == 1
    assert found.text_bytes == len(TEXT.encode())
    assert found.tokens == len(TEXT) == found.train_tokens + found.validation_tokens
    assert found.validation_tokens == 27
    assert found.bytes_per_token == pytest.approx(12 / 9)
    assert (found.vocab_size, found.distinct_tokens) == (6, 5)  # z never comes
    [(first, times), *_] = Counter(TEXT).most_common()
    common = found.most_common[0]
    assert (common.text, common.count, common.share) == (first, times, pytest.approx(times / len(TEXT)))
    assert len(found.most_common) == 2
    assert found.most_common[0].count >= found.most_common[1].count


def test_tokens_that_never_come_are_not_common(dataset):
    assert len(corpus_statistics(dataset, top=100).most_common) == 5


def test_floors_are_given_per_token_and_per_byte(dataset):
    found = corpus_statistics(dataset)
    assert found.floors == floors(dataset.train, dataset.validation, 6)
    bytes_per_token = dataset.text_bytes("validation") / 27
    assert found.floors_bits_per_byte.uniform == pytest.approx(math.log2(6) / bytes_per_token)
    for name in ("unigram", "bigram"):
        nats = getattr(found.floors, name)
        assert getattr(found.floors_bits_per_byte, name) == pytest.approx(nats / math.log(2) / bytes_per_token)
