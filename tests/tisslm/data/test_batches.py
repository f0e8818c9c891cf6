"""Windows over a stream of tokens: pure functions of (seed, number), each once an epoch, boundaries masked."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quanta_tissu.errors import DataError
from quanta_tissu.tisslm.config import DataConfig
from quanta_tissu.tisslm.data.batches import (
    IGNORE_INDEX,
    PackedDocuments,
    RandomWindows,
    StridedWindows,
    boundary_id,
    evaluation_batches,
    make_batches,
)

EOS = 0

lengths = st.integers(2, 120)
contexts = st.integers(1, 40)
seeds = st.integers(0, 2**40)


def stream(length: int) -> np.ndarray:
    """Tokens that name their own place: token i is i + 1 (so that none is EOS)."""
    return np.arange(1, length + 1, dtype=np.uint16)


def build(kind: str, tokens: np.ndarray, context: int, seed: int, stride: int | None = None):
    return make_batches(tokens, DataConfig(windows=kind, stride=stride), context, seed, eos_id=EOS)


@pytest.mark.parametrize("kind", ["random", "strided", "packed"])
@given(length=lengths, context=contexts, seed=seeds, start=st.integers(0, 500), sizes=st.lists(st.integers(1, 7)))
def test_a_sequence_depends_on_its_number_alone(kind, length, context, seed, start, sizes):
    tokens = stream(max(length, context + 1))
    whole = build(kind, tokens, context, seed).sequences(start, sum(sizes) + 1)
    again = build(kind, tokens, context, seed)
    position = start
    for size in sizes:
        part = again.sequences(position, size)
        inside = slice(position - start, position - start + size)
        np.testing.assert_array_equal(part.inputs, whole.inputs[inside])
        np.testing.assert_array_equal(part.targets, whole.targets[inside])
        position += size


@pytest.mark.parametrize("kind", ["random", "strided", "packed"])
@given(length=lengths, context=contexts, seed=seeds)
def test_targets_are_the_inputs_one_token_later(kind, length, context, seed):
    tokens = stream(max(length, context + 1))
    batch = build(kind, tokens, context, seed).sequences(3, 5)
    assert batch.inputs.dtype == batch.targets.dtype == np.int64
    assert batch.inputs.shape == batch.targets.shape == (5, context)
    assert batch.inputs.flags.c_contiguous
    assert batch.targets.flags.c_contiguous
    np.testing.assert_array_equal(batch.targets, batch.inputs + 1)
    assert batch.num_targets == 5 * context


@given(length=lengths, context=contexts, stride=st.integers(1, 50), seed=seeds, epoch=st.integers(0, 3))
def test_an_epoch_has_every_strided_window_exactly_once(length, context, stride, seed, epoch):
    tokens = stream(max(length, context + 1))
    batches = StridedWindows(tokens, context, seed, stride=stride)
    batch = batches.sequences(epoch * batches.per_epoch, batches.per_epoch)
    assert sorted(batch.inputs[:, 0].tolist()) == list(range(1, len(tokens) - context + 1, stride))


def test_a_stride_beyond_the_text_leaves_its_first_window():
    batches = build("strided", stream(20), 5, seed=1, stride=10**30)
    assert batches.per_epoch == 1
    assert batches.sequences(0, 2).inputs.tolist() == [[1, 2, 3, 4, 5]] * 2


def test_strided_windows_of_the_default_stride_predict_no_token_twice():
    batch = build("strided", stream(1 + 7 * 5 + 3), 5, seed=1).sequences(0, 7)
    assert sorted(batch.targets.ravel().tolist()) == list(range(2, 37))


def test_every_epoch_has_its_own_order():
    batches = build("strided", stream(2001), 10, seed=5)
    first, second = batches.sequences(0, 200).inputs, batches.sequences(200, 200).inputs
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, np.sort(first, axis=0))


def test_random_windows_reach_every_place_evenly():
    tokens, context, draws = stream(14), 4, 20_000
    starts = RandomWindows(tokens, context, seed=3).sequences(0, draws).inputs[:, 0]
    counts = np.bincount(starts, minlength=11)[1:]
    expected = draws / 10
    chi_squared = np.sum((counts - expected) ** 2 / expected)
    assert chi_squared < 27.9  # 9 degrees of freedom, p = 0.001
    assert len(counts) == 10


def test_random_windows_differ_between_seeds_and_count_an_epoch_by_its_tokens():
    tokens = stream(1001)
    assert RandomWindows(tokens, 10, seed=1).per_epoch == 100
    one, other = (RandomWindows(tokens, 10, seed=seed).sequences(0, 50).inputs for seed in (1, 2))
    assert not np.array_equal(one, other)


@given(
    documents=st.lists(st.lists(st.integers(1, 9), max_size=12), min_size=3, max_size=12),
    context=st.integers(1, 9),
    stride=st.integers(1, 12),
    seed=seeds,
)
def test_packed_documents_ignore_exactly_the_first_token_of_the_next_document(documents, context, stride, seed):
    tokens = np.concatenate([[*document, EOS] for document in documents]).astype(np.uint16)
    if len(tokens) < context + 1:
        tokens = np.tile(tokens, context + 1)
    packed = PackedDocuments(tokens, context, seed, stride=stride, eos_id=EOS)
    plain = StridedWindows(tokens, context, seed, stride=stride)
    batch, unmasked = packed.sequences(0, packed.per_epoch), plain.sequences(0, plain.per_epoch)
    np.testing.assert_array_equal(batch.inputs, unmasked.inputs)
    np.testing.assert_array_equal(batch.targets == IGNORE_INDEX, batch.inputs == EOS)
    kept = batch.targets != IGNORE_INDEX
    np.testing.assert_array_equal(batch.targets[kept], unmasked.targets[kept])
    assert batch.num_targets == np.count_nonzero(kept)


@pytest.mark.parametrize("kind", ["random", "strided", "packed"])
def test_a_split_without_a_window_says_how_many_tokens_it_has_and_needs(kind):
    with pytest.raises(DataError, match=r"has 8 tokens, but one window of context length 8 needs 9") as caught:
        build(kind, stream(8), 8, seed=0)
    assert "context_length" in caught.value.hint
    assert build(kind, stream(9), 8, seed=0).sequences(0, 1).inputs.tolist() == [[1, 2, 3, 4, 5, 6, 7, 8]]


def test_packed_windows_need_an_eos_token():
    config = DataConfig(windows="packed")
    with pytest.raises(DataError, match="no EOS token") as caught:
        make_batches(stream(20), config, 4, seed=0, eos_id=None)
    assert "special_tokens" in caught.value.hint
    assert boundary_id(config, 7) == 7
    assert boundary_id(DataConfig(windows="strided"), None) is None


@given(length=lengths, context=contexts, batch_size=st.integers(1, 6))
def test_evaluating_everything_predicts_every_token_but_the_first_exactly_once(length, context, batch_size):
    tokens = stream(length)
    batches = list(evaluation_batches(tokens, context, batch_size))
    assert all(batch.inputs.shape[1] == context for batch in batches)
    assert [len(batch.inputs) for batch in batches[:-1]] == [batch_size] * (len(batches) - 1)
    targets = np.concatenate([batch.targets.ravel() for batch in batches])
    inputs = np.concatenate([batch.inputs.ravel() for batch in batches])
    counted = targets != IGNORE_INDEX
    assert targets[counted].tolist() == list(range(2, length + 1))
    np.testing.assert_array_equal(inputs[counted] + 1, targets[counted])
    assert sum(batch.num_targets for batch in batches) == length - 1


def test_a_single_partial_window_has_inputs_and_targets_of_its_own():
    (batch,) = evaluation_batches(np.array([7, 8, 9]), 5, batch_size=4)
    assert batch.inputs.tolist() == [[7, 8, 9, 0, 0]]
    assert batch.targets.tolist() == [[8, 9, -100, -100, -100]]


@given(length=lengths, context=contexts, batch_size=st.integers(1, 4), limit=st.integers(1, 5))
def test_a_limited_evaluation_takes_distinct_windows_spread_over_the_whole_stream(
    length, context, batch_size, limit
):
    tokens = stream(length)
    batches = list(evaluation_batches(tokens, context, batch_size, limit))
    again = list(evaluation_batches(tokens, context, batch_size, limit))
    windows = -(-(length - 1) // context)
    count = min(windows, limit * batch_size)
    starts = np.concatenate([batch.inputs[:, 0] for batch in batches]) - 1
    assert len(batches) <= limit
    assert len(starts) == count
    assert np.all(starts % context == 0)
    gaps = np.diff(np.append(starts, windows * context)) // context
    assert gaps.min() >= 1
    assert gaps.max() - gaps.min() <= 1  # evenly spread
    assert starts[0] == 0
    for one, other in zip(batches, again, strict=True):
        np.testing.assert_array_equal(one.inputs, other.inputs)
        np.testing.assert_array_equal(one.targets, other.targets)


def test_evaluation_can_ignore_the_same_boundaries_as_training():
    tokens = np.array([5, 6, EOS, 7, 8, 9, EOS], np.uint16)
    (batch,) = evaluation_batches(tokens, 10, 1, ignore_after=EOS)
    assert batch.targets.tolist() == [[6, EOS, IGNORE_INDEX, 8, 9, EOS, *[IGNORE_INDEX] * 4]]
    assert batch.num_targets == 5


@pytest.mark.parametrize("length", [0, 1])
def test_evaluating_nothing_is_an_error_at_the_call(length):
    with pytest.raises(DataError, match=f"has {length} tokens, but predicting one token needs 2"):
        evaluation_batches(stream(length), 8, 1)


def test_tokens_of_a_memory_mapped_file_are_read_in_place(tmp_path):
    path = tmp_path / "tokens.bin"
    stream(50).astype("<u2").tofile(path)
    mapped = np.memmap(path, dtype="<u2", mode="r")
    batch = build("strided", mapped, 7, seed=2).sequences(0, 3)
    assert type(batch.inputs) is np.ndarray
    np.testing.assert_array_equal(batch.targets, batch.inputs + 1)
