"""The encoder: every token sees its own text, all of it and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from quanta_tissu.errors import DataError
from quanta_tissu.tisslm import engine
from quanta_tissu.tisslm.interop import sentence_transformers
from quanta_tissu.tisslm.model.encoder import text_edges


@pytest.fixture
def encoder(encoder_folder):
    return sentence_transformers.read(encoder_folder).encoder


def row(*texts):
    return np.concatenate(texts), np.concatenate([np.arange(len(text)) for text in texts])


FIRST, SECOND, THIRD = np.array([2, 5, 6, 3]), np.array([2, 3]), np.array([2, 8, 9, 4, 12, 3])


@pytest.mark.parametrize("name", ["reference", "fast"])
def test_texts_in_one_row_do_not_see_each_other(encoder, name):
    with engine.use(name):
        together = encoder.forward(*row(FIRST, SECOND, THIRD))
        alone = np.concatenate([encoder.forward(*row(text)) for text in (FIRST, SECOND, THIRD)])
    assert np.allclose(together, alone, rtol=1e-5, atol=1e-6)


def test_a_token_sees_what_comes_after_it(encoder):
    before, changed = encoder.forward(*row(FIRST)), encoder.forward(*row(np.array([2, 5, 6, 4])))
    assert np.abs(before[0] - changed[0]).max() > 1e-3


def test_both_engines_compute_the_same(encoder):
    with engine.use("reference"):
        readable = encoder.embed(*row(FIRST, SECOND, THIRD))
    with engine.use("fast"):
        fast = encoder.embed(*row(FIRST, SECOND, THIRD))
    assert np.allclose(readable, fast, rtol=1e-5, atol=1e-6)


def test_a_vector_is_the_mean_of_its_texts_hidden_states_at_length_one(encoder):
    hidden, vectors = encoder.forward(*row(FIRST, THIRD)), encoder.embed(*row(FIRST, THIRD))
    mean = hidden[len(FIRST) :].mean(axis=0)
    assert np.allclose(vectors[1], mean / np.linalg.norm(mean), rtol=1e-5, atol=1e-7)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1)


def test_ids_and_positions_outside_the_model_are_refused(encoder):
    with pytest.raises(DataError, match="outside the vocabulary"):
        encoder.forward(np.array([2, 99]), np.arange(2))
    with pytest.raises(DataError, match="16"):
        encoder.forward(np.full(17, 4), np.arange(17))


def test_edges_of_texts_are_where_positions_begin_again():
    assert text_edges(np.array([0, 1, 2, 0, 0, 1])).tolist() == [0, 3, 4, 6]


@pytest.mark.torch
def test_it_is_the_bert_of_transformers(encoder_folder, encoder, torch, transformers):
    # Read from the same files, whose names of tensors are theirs.
    judge = transformers.BertModel.from_pretrained(encoder_folder, attn_implementation="eager").eval()
    ids = np.stack([THIRD, THIRD[::-1]])
    with torch.inference_mode():
        theirs = judge(torch.from_numpy(ids.copy())).last_hidden_state.numpy()
    ours = encoder.forward(*row(*ids)).reshape(theirs.shape)
    assert np.abs(ours - theirs).max() < 1e-5
