"""The links of the sampler chain, each against a few plain lines that say the same."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from quanta_tissu.errors import GenerationError
from quanta_tissu.tisslm.generate import processors as links
from quanta_tissu.tisslm.generate.processors import Context, probabilities

INF = math.inf

# Values from a small set give many ties; -inf is a token that was ruled out before.
VALUES = st.one_of(st.sampled_from([-INF, -2.0, 0.0, 1.0, 3.0]), st.floats(-50, 50))
ALIVE = st.lists(VALUES, min_size=1, max_size=12).filter(lambda row: max(row) > -INF)
HISTORY = st.lists(st.integers(0, 4), max_size=14)


def context(*rows: list[int], step: int = 0) -> Context:
    return Context([np.array(row, dtype=np.int64) for row in rows], step)


def apply(processor: links.Processor, row: list[float], history: list[int] = (), step: int = 0) -> list[float]:
    return processor(np.array([row]), context(list(history), step=step))[0].tolist()


def ranked(row: list[float]) -> list[int]:
    """Ids from the likeliest down, of equals the lower first."""
    return sorted(range(len(row)), key=lambda i: (-row[i], i))


def kept(row: list[float], ids: set[int]) -> list[float]:
    return [value if i in ids else -INF for i, value in enumerate(row)]


@given(ALIVE, st.integers(1, 14))
def test_top_k_keeps_exactly_the_k_likeliest(row, k):
    assert apply(links.top_k(k), row) == kept(row, set(ranked(row)[:k]))


@given(ALIVE, st.floats(1e-12, 1, exclude_max=True))
def test_top_p_keeps_the_smallest_set_that_reaches_p(row, p):
    order, probability = ranked(row), probabilities(np.array([row]))[0]
    size = next(n for n in range(1, len(row) + 1) if n == len(row) or sum(probability[order[:n]]) >= p)
    result = apply(links.top_p(p), row)
    if math.isclose(sum(probability[order[: size - 1]]), p, rel_tol=1e-12):
        return  # on the very edge rounding decides
    if math.isclose(sum(probability[order[:size]]), p, rel_tol=1e-12):
        return
    assert result == kept(row, set(order[:size]))


@given(ALIVE, st.floats(0, 1))
def test_min_p_keeps_tokens_of_a_share_of_the_likeliest(row, p):
    probability = probabilities(np.array([row]))[0]
    shares = probability / probability.max()
    clear = np.abs(shares - p) > 1e-9
    result = np.array(apply(links.min_p(p), row))
    np.testing.assert_array_equal((result > -INF)[clear], ((shares >= p) & (np.array(row) > -INF))[clear])
    assert result[np.argmax(row)] == max(row)


@given(ALIVE, st.floats(1e-3, 1e3))
def test_temperature_raises_probabilities_to_its_inverse(row, temperature):
    before = probabilities(np.array([row]))[0]
    after = probabilities(links.temperature(temperature)(np.array([row]), context([])))[0]
    with np.errstate(under="ignore"):
        powers = (before / before.max()) ** (1 / temperature)
    np.testing.assert_allclose(after, powers / powers.sum(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("temperature", [5e-324, 1e-300, 1e-9])
def test_temperature_towards_zero_tends_to_the_likeliest_tokens(temperature):
    processed = links.temperature(temperature)(np.array([[1.0, 3.0, -INF, 3.0, 2.999]]), context([]))
    np.testing.assert_array_equal(probabilities(processed), [[0, 0.5, 0, 0.5, 0]])


@pytest.mark.parametrize("temperature", [1e9, 1e300, 1.7e308])
def test_temperature_towards_infinity_tends_to_all_that_are_left(temperature):
    processed = links.temperature(temperature)(np.array([[1.0, 3.0, -INF, -40.0]]), context([]))
    np.testing.assert_allclose(probabilities(processed), [[1 / 3, 1 / 3, 0, 1 / 3]], rtol=1e-7)


def test_the_repetition_penalty_divides_positive_and_multiplies_negative_logits():
    assert apply(links.repetition_penalty(2.0), [4.0, -4.0, 0.0, 1.0, -INF], [0, 1, 2, 1, 4]) == [
        2.0, -8.0, 0.0, 1.0, -INF,
    ]  # fmt: skip


def test_presence_counts_once_and_frequency_every_time():
    row, history = [1.0, 1.0, 1.0], [0, 1, 1, 1]
    assert apply(links.presence_penalty(0.5), row, history) == [0.5, 0.5, 1.0]
    assert apply(links.frequency_penalty(0.5), row, history) == [0.5, -0.5, 1.0]
    assert apply(links.presence_penalty(-0.5), row, history) == [1.5, 1.5, 1.0]


def test_every_row_is_judged_by_its_own_history():
    result = links.presence_penalty(1.0)(np.zeros((2, 3)), context([0], [2, 2]))
    np.testing.assert_array_equal(result, [[-1, 0, 0], [0, 0, -1]])


def test_logit_bias_adds():
    assert apply(links.logit_bias({2: 1.5, 0: -1.0}), [1.0, 2.0, 3.0]) == [0.0, 2.0, 4.5]


@given(HISTORY, st.integers(1, 4))
def test_no_repeat_ngram_rules_out_what_would_repeat_one(history, n):
    ngrams = {tuple(history[i : i + n]) for i in range(len(history) - n + 1)}
    repeats = {token for token in range(5) if tuple([*history, token][-n:]) in ngrams}
    assert apply(links.no_repeat_ngram(n), [1.0] * 5, history) == kept([1.0] * 5, set(range(5)) - repeats)


def test_banned_tokens_are_ruled_out():
    assert apply(links.banned([0, 2]), [1.0, 2.0, 3.0]) == [-INF, 2.0, -INF]


def test_the_end_is_ruled_out_until_enough_tokens_are_there():
    assert apply(links.min_new_tokens(2, eos_id=1), [1.0, 2.0], step=1) == [1.0, -INF]
    assert apply(links.min_new_tokens(2, eos_id=1), [1.0, 2.0], step=2) == [1.0, 2.0]


def test_forced_tokens_come_one_after_the_other_whatever_their_logit():
    forced = links.forced([2, 0])
    assert [np.argmax(apply(forced, [-INF, 5.0, -INF], step=step)) for step in range(3)] == [2, 0, 1]


@pytest.mark.parametrize(
    "processor",
    [
        links.repetition_penalty(1.3),
        links.presence_penalty(0.7),
        links.frequency_penalty(0.7),
        links.logit_bias({1: 2.0}),
        links.no_repeat_ngram(2),
        links.banned([1]),
        links.min_new_tokens(3, 0),
        links.forced([1]),
        links.temperature(0.7),
        links.top_k(2),
        links.top_p(0.5),
        links.min_p(0.5),
    ],
)
@given(
    logits=hnp.arrays(np.float64, (2, 5), elements=st.floats(-1e6, 1e6)),
    histories=st.tuples(HISTORY, HISTORY),
    step=st.integers(0, 4),
)
def test_no_processor_changes_its_input_or_gives_nan(processor, logits, histories, step):
    before = logits.copy()
    after = processor(logits, context(*histories, step=step))
    np.testing.assert_array_equal(logits, before)
    assert after.shape == before.shape
    assert not np.isnan(after).any()


def test_nothing_left_to_choose_is_an_error_that_names_the_row():
    with pytest.raises(GenerationError, match=r"every one of the 2 tokens is ruled out .*row 1"):
        probabilities(np.array([[0.0, 1.0], [-INF, -INF]]))


def test_an_infinite_logit_takes_everything():
    np.testing.assert_array_equal(probabilities(np.array([[INF, 1.0, INF, -INF]])), [[0.5, 0, 0.5, 0]])
