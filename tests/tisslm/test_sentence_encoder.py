"""Vectors of texts: the same as sentence-transformers makes, whatever stands beside a text."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quanta_tissu.errors import ConfigError, TokenizerError
from quanta_tissu.tisslm import SentenceEncoder, engine
from quanta_tissu.tisslm.sentence_encoder import _BATCH_TOKENS, _batches

TEXTS = ["the quick brown fox jumps", "", "over the lazy dog", "fox", "jumping the fox over and over " * 9]


@pytest.fixture
def encoder(encoder_folder):
    return SentenceEncoder.load(encoder_folder)


def test_texts_become_vectors_of_length_one(encoder):
    vectors = encoder.encode(TEXTS)
    assert vectors.shape == (5, encoder.width)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1)
    assert np.array_equal(encoder.encode(TEXTS[0]), encoder.encode(TEXTS[:1])[0])
    assert encoder.encode([]).shape == (0, encoder.width)


def test_a_vector_does_not_depend_on_the_texts_beside_it(encoder):
    alone = np.stack([encoder.encode(text) for text in TEXTS])
    for batch_size in (1, 2, 32):
        assert np.allclose(encoder.encode(TEXTS, batch_size=batch_size), alone, atol=1e-6)
    assert np.allclose(encoder.encode(TEXTS[::-1])[::-1], alone, atol=1e-6)


def test_the_number_of_threads_and_the_engine_change_nothing(encoder, encoder_folder):
    vectors = encoder.encode(TEXTS * 20)
    for other in ({"threads": 1}, {"threads": 3}, {"engine": "reference"}):
        assert np.allclose(SentenceEncoder.load(encoder_folder, **other).encode(TEXTS * 20), vectors, atol=1e-6)


def test_what_comes_after_the_longest_text_does_not_count(encoder):
    assert encoder.count_tokens(TEXTS) == [8, 2, 6, 3, 12]
    assert np.array_equal(encoder.encode(TEXTS[4]), encoder.encode(TEXTS[4] + "dog " * 9))


def test_more_texts_than_a_portion_keep_their_order(encoder, monkeypatch):
    whole = encoder.encode(TEXTS)
    monkeypatch.setattr("quanta_tissu.tisslm.sentence_encoder._PORTION", 2)
    assert np.allclose(encoder.encode(TEXTS), whole, atol=1e-6)


@settings(max_examples=50)
@given(st.lists(st.integers(2, 300), max_size=60), st.integers(1, 40))
def test_batches_are_all_texts_in_order_within_the_limits(lengths, batch_size):
    ids = [[0] * n for n in lengths]
    batches = _batches(list(range(len(ids))), ids, batch_size)
    assert [text for batch in batches for text in batch] == list(range(len(ids)))
    for batch in batches:
        assert 1 <= len(batch) <= batch_size
        assert len(batch) == 1 or sum(lengths[text] for text in batch) <= _BATCH_TOKENS


def test_mistakes_are_refused(encoder, encoder_folder):
    with pytest.raises(ConfigError, match="batch_size = 0"):
        encoder.encode(["a"], batch_size=0)
    with pytest.raises(ConfigError, match="7 is int"):
        encoder.encode(["a", 7])
    with pytest.raises(ConfigError, match="a list of texts"):
        encoder.count_tokens("text")
    with pytest.raises(TokenizerError, match="surrogate"):
        encoder.encode(["\ud800"])
    with pytest.raises(ConfigError, match="threads = 0"):
        SentenceEncoder.load(encoder_folder, threads=0)
    with pytest.raises(ConfigError, match="unknown engine"):
        SentenceEncoder.load(encoder_folder, engine="quick")


@pytest.mark.torch
def test_the_torch_engine_is_refused(encoder, encoder_folder, torch):
    with pytest.raises(ConfigError, match="torch engine"):
        SentenceEncoder.load(encoder_folder, engine="torch")
    with engine.use("torch"), pytest.raises(ConfigError, match="torch engine"):
        encoder.encode(["fox"])


def test_it_says_what_it_is(encoder):
    assert repr(encoder).endswith("2 layers, width 8, reads 12 tokens>")


# -- the real model ----------------------------------------------------------------------------------------------

REAL = [
    "How do I sort a list in Python?",
    "sorted(iterable, key=None, reverse=False) returns a new sorted list from the items in iterable. " * 30,
    "",
    "Über naïve café 你好 😀\t\n control\x00characters",
    "[SEP] is spelled [MASK] here",
    "a" * 300,
    *(f"passage number {i} " * (i + 1) for i in range(10)),
]


@pytest.mark.torch
@pytest.mark.parametrize("name", ["reference", "fast"])
def test_the_real_model_gives_what_transformers_gives(name, minilm, torch, transformers):
    tokenizer = transformers.AutoTokenizer.from_pretrained(minilm)
    judge = transformers.BertModel.from_pretrained(minilm, attn_implementation="eager").eval()
    inputs = tokenizer(REAL, padding=True, truncation=True, max_length=256, return_tensors="pt")
    with torch.inference_mode():
        hidden, mask = judge(**inputs).last_hidden_state, inputs["attention_mask"][..., None]
    means = (hidden * mask).sum(dim=1) / mask.sum(dim=1)
    theirs = torch.nn.functional.normalize(means).numpy()
    assert np.abs(SentenceEncoder.load(engine=name).encode(REAL) - theirs).max() < 1e-5


@pytest.mark.torch
def test_the_real_model_gives_what_sentence_transformers_gives(minilm, sentence_transformers):
    theirs = sentence_transformers.SentenceTransformer(str(minilm), device="cpu").encode(REAL)
    assert np.abs(SentenceEncoder.load().encode(REAL) - theirs).max() < 1e-5


def test_near_in_meaning_is_near_in_space(minilm):
    vectors = SentenceEncoder.load().encode(
        ["How do I sort a list?", "Putting the items of a sequence in order", "The weather in Lisbon is mild"]
    )
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.2
