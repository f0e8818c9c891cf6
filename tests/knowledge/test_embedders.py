"""Embedders: vectors of length 1, near for what is alike."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quanta_tissu.errors import CheckpointError, ConfigError, MissingDependencyError
from quanta_tissu.knowledge import EncoderEmbedder, KnowledgeBase, NgramEmbedder, default_embedder, embedders
from quanta_tissu.knowledge.choosing import embedder_for, embedder_named
from quanta_tissu.knowledge.embedders import count_words


@given(st.lists(st.text(max_size=80), max_size=5))
def test_vectors_by_spelling_have_length_one_and_depend_on_the_text_alone(texts):
    embedder = NgramEmbedder(64)
    vectors = embedder.embed(texts)
    assert vectors.shape == (len(texts), 64)
    assert vectors.dtype == np.float32
    for text, vector in zip(texts, vectors, strict=True):
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5) or not vector.any()
        assert np.array_equal(vector, embedder.embed([text])[0])


def test_other_forms_of_the_same_words_are_near():
    a, b, c = NgramEmbedder().embed(["sorting lists", "sorted list", "weather report"])
    assert a @ b > 0.2 > 0.1 > a @ c


def test_function_words_accents_and_case_do_not_count():
    a, b = NgramEmbedder().embed(["the café of Paris", "CAFE in paris"])
    assert a @ b == pytest.approx(1, abs=1e-6)
    assert not NgramEmbedder().embed(["of the"]).any()


def test_words_and_signs_are_counted():
    assert count_words(["a b_c, d!", ""]) == [5, 0]


def test_vectors_by_spelling_are_the_same_everywhere():
    vector = NgramEmbedder(64).embed(["knowledge"])[0]
    assert np.flatnonzero(vector).size > 10
    assert NgramEmbedder().name == "ngrams-1024"
    assert "install" in NgramEmbedder().note


def test_the_sentence_encoder_is_the_default(minilm):
    embedder = default_embedder()
    assert (embedder.name, embedder.width, embedder.longest, embedder.note) == ("all-MiniLM-L6-v2", 384, 254, None)
    assert embedder.measure(["hello world", ""]) == [2, 0]
    a, b, c = embedder.embed(["a car", "an automobile", "a banana"])
    assert a @ b > 0.8 > 0.5 > a @ c


def test_without_the_encoder_it_is_spelling_with_a_warning(monkeypatch):
    def absent():
        raise MissingDependencyError("not installed")

    monkeypatch.setattr(embedders, "EncoderEmbedder", absent)
    with pytest.warns(UserWarning, match="from spelling, not from meaning"):
        assert default_embedder().name == "ngrams-1024"


def test_embedders_have_names(minilm):
    assert embedder_named("ngrams-128").width == 128
    assert isinstance(embedder_named("all-MiniLM-L6-v2"), EncoderEmbedder)
    assert embedder_named(str(minilm)).name == minilm.resolve().as_posix()


def test_names_of_no_embedder_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="there is no embedder 'nothing'"):
        embedder_named("nothing")
    with pytest.raises(ConfigError, match="too few"):
        embedder_named("ngrams-3")
    with pytest.raises(CheckpointError):
        embedder_named(str(tmp_path))


def test_a_collection_remembers_its_embedder(db):
    KnowledgeBase(db, NgramEmbedder(256), "notes")
    assert embedder_for(db, "notes").name == "ngrams-256"
