"""The chain as a whole, and the choice at its end."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from quanta_tissu.errors import ConfigError, GenerationError
from quanta_tissu.tisslm.config import GenerateConfig
from quanta_tissu.tisslm.generate import Context, Sampler, random_generator
from quanta_tissu.tisslm.generate.processors import probabilities
from quanta_tissu.tisslm.generate.sampler import draw

INF = math.inf
LOGITS = np.array([[2.0, 1.0, 0.0, -1.0, -2.0]])


def sampler(*, processors=(), eos_id=None, vocab_size=5, **settings) -> Sampler:
    settings = {"temperature": 1.0} | settings
    return Sampler(GenerateConfig(**settings), vocab_size, eos_id=eos_id, processors=processors)


def context(*rows: list[int], step: int = 0) -> Context:
    return Context([np.array(row, dtype=np.int64) for row in rows], step)


def distribution(logits=LOGITS, history=(), **settings) -> np.ndarray:
    return probabilities(sampler(vocab_size=logits.shape[1], **settings).process(logits, context(list(history))))[
        0
    ]


def choose(logits=LOGITS, history=(), seed=0, **settings) -> int:
    chosen = sampler(vocab_size=logits.shape[1], **settings)(
        logits, context(list(history)), [random_generator(seed, 0)]
    )
    return int(chosen[0])


# -- the choice --------------------------------------------------------------------------------------------------


def test_neutral_settings_leave_the_models_own_distribution():
    assert sampler().chain == ()
    np.testing.assert_allclose(distribution(), np.exp(LOGITS[0]) / np.exp(LOGITS).sum(), rtol=1e-14)


def test_temperature_zero_takes_the_likeliest_and_of_equals_the_lowest_id():
    assert choose(np.array([[0.0, 3.0, 1.0, 3.0]]), temperature=0.0) == 1


@given(st.lists(st.floats(-30, 30), min_size=1, max_size=8), st.integers(0, 50))
def test_narrow_settings_are_greedy(row, seed):
    logits = np.array([row])
    greedy = choose(logits, temperature=0.0)
    assert choose(logits, seed=seed, top_k=1) == greedy
    assert choose(logits, seed=seed, top_p=1e-300) == greedy
    coldest = choose(logits, seed=seed, temperature=5e-324)
    assert row[coldest] == max(row)


def test_draws_follow_the_distribution():
    weights = np.array([0.5, 0.0, 0.3, 0.2])
    generator = np.random.default_rng(0)
    ids = [draw(weights, u) for u in generator.random(20_000)]
    counts = np.bincount(ids, minlength=4)
    assert counts[1] == 0
    assert chisquare(counts[weights > 0], 20_000 * weights[weights > 0]).pvalue > 0.01


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9).filter(lambda w: sum(w) > 0), st.floats(0, 1))
def test_a_draw_never_takes_what_has_no_probability(weights, u):
    """Not even at u = 1, which generators do not give but rounding of u · total can."""
    assert weights[draw(np.array(weights), u)] > 0


def test_a_draw_inverts_the_cumulative_distribution():
    weights = np.array([0.25, 0.5, 0.0, 0.25])
    assert [draw(weights, u) for u in (0.0, 0.2499, 0.25, 0.7499, 0.75)] == [0, 0, 1, 1, 3]


def test_each_row_draws_from_its_own_generator():
    logits = np.zeros((2, 1000))
    chain = sampler(vocab_size=1000)
    both = chain(logits, context([], []), [random_generator(5, 0), random_generator(5, 1)])
    alone = [chain(logits[:1], context([]), [random_generator(5, row)])[0] for row in range(2)]
    assert both.tolist() == alone
    assert alone[0] != alone[1]


@given(
    row=st.lists(st.one_of(st.just(-INF), st.floats(-1e4, 1e4)), min_size=5, max_size=5),
    history=st.lists(st.integers(0, 4), max_size=9),
    seed=st.integers(0, 9),
    settings=st.fixed_dictionaries(
        {"temperature": st.one_of(st.just(0.0), st.floats(0, 1e308))},
        optional={
            "top_k": st.integers(1, 9),
            "top_p": st.floats(1e-300, 1),
            "min_p": st.floats(0, 1),
            "repetition_penalty": st.floats(1e-300, 1e300),
            "presence_penalty": st.floats(-1e300, 1e300),
            "frequency_penalty": st.floats(-1e300, 1e300),
            "no_repeat_ngram": st.integers(1, 4),
            "logit_bias": st.dictionaries(st.integers(0, 4), st.floats(-1e308, 1e308)),
            "banned_tokens": st.lists(st.integers(0, 4), max_size=5),
        },
    ),
)
def test_any_settings_give_an_allowed_token_or_an_error_that_explains(row, history, seed, settings):
    logits = np.array([row])
    try:
        chosen = choose(logits, history, seed, **settings)
    except GenerationError as error:
        explained = error.message
    else:
        explained = None
    if explained is not None:
        assert "ruled out" in explained or "overflow" in explained
        return
    assert 0 <= chosen < 5
    assert chosen not in settings.get("banned_tokens", [])
    after = sampler(**settings).process(logits, context(history))
    assert not np.isnan(after).any()
    assert after[0, chosen] > -INF


# -- the order ---------------------------------------------------------------------------------------------------


def test_the_chain_has_the_documented_order():
    def own(logits, context):
        return logits

    full = sampler(
        processors=[own],
        eos_id=4,
        temperature=0.7,
        top_k=3,
        top_p=0.9,
        min_p=0.1,
        repetition_penalty=1.2,
        presence_penalty=0.1,
        frequency_penalty=0.1,
        no_repeat_ngram=3,
        logit_bias={1: 1.0},
        banned_tokens=[2],
        forced_tokens=[0],
        min_new_tokens=2,
    )
    names = [
        link.__qualname__.removeprefix("test_the_chain_has_the_documented_order.<locals>.") for link in full.chain
    ]
    assert [name.split(".")[0] for name in names] == [
        "repetition_penalty", "presence_penalty", "frequency_penalty", "logit_bias", "no_repeat_ngram", "banned",
        "min_new_tokens", "own", "forced", "temperature", "top_k", "top_p", "min_p",
    ]  # fmt: skip


def test_the_repetition_penalty_sees_the_models_logits_before_the_bias():
    processed = sampler(repetition_penalty=2.0, logit_bias={1: -3.0}).process(LOGITS, context([1]))
    assert processed[0, 1] == 1 / 2 - 3  # and not (1 - 3) * 2


def test_a_ban_wins_over_any_bias():
    assert distribution(logit_bias={3: 1e308}, banned_tokens=[3])[3] == 0


def test_temperature_widens_the_nucleus():
    assert (distribution(top_p=0.6) > 0).sum() == 1
    assert (distribution(top_p=0.6, temperature=100.0) > 0).sum() == 3


def test_top_p_shares_out_what_top_k_has_left():
    logits = np.log([[0.4, 0.3, 0.2, 0.1]])
    assert (distribution(logits, top_p=0.55) > 0).sum() == 2
    assert (distribution(logits, top_p=0.55, top_k=2) > 0).sum() == 1  # 0.4 of 0.7 is 0.57


def test_forced_tokens_win_over_the_users_processors():
    def only_the_last(logits, context):
        return np.where(np.arange(5) == 4, logits, -INF)

    assert choose(processors=[only_the_last]) == 4
    assert choose(processors=[only_the_last], forced_tokens=[2]) == 2


# -- the user's own ----------------------------------------------------------------------------------------------


def test_users_processors_see_the_history_and_the_step():
    seen = []

    def watch(logits, context):
        seen.append((logits.tolist(), [row.tolist() for row in context.tokens], context.step))
        return logits

    sampler(processors=[watch], temperature=0.0)(LOGITS, context([3, 1], step=1), [])
    assert seen == [(LOGITS.tolist(), [[3, 1]], 1)]


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (lambda logits: logits[:, :2], r"'broken' returned shape \(1, 2\) for logits of shape \(1, 5\)"),
        (lambda logits: None, "'broken' returned NoneType"),
        (lambda logits: logits * np.nan, "'broken' returned NaN"),
    ],
)
def test_a_broken_processor_is_named(result, message):
    def broken(logits, context):
        return result(logits)

    with pytest.raises(GenerationError, match=message):
        choose(processors=[broken])


# -- what cannot be done -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [math.nan, INF])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_damaged_logits_are_an_error(value, temperature):
    with pytest.raises(GenerationError, match="not finite"):
        choose(np.array([[0.0, value]]), temperature=temperature)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_banning_everything_is_an_error(temperature):
    with pytest.raises(GenerationError, match="every one of the 5 tokens is ruled out"):
        choose(banned_tokens=[0, 1, 2, 3, 4], temperature=temperature)


def test_ids_the_tokenizer_does_not_have_are_never_chosen():
    """A model may have more rows in its embedding than its tokenizer has tokens."""
    chain = Sampler(GenerateConfig(temperature=0.0), 5, usable=3)
    assert chain(np.array([[0.0, 1.0, 0.5, 9.0, 9.0]]), context([]), []).tolist() == [1]


def test_penalties_that_overflow_both_ways_are_an_error():
    with pytest.raises(GenerationError, match="overflow in opposite directions"):
        choose(history=[0, 0], repetition_penalty=1e-308, frequency_penalty=1e308)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"logit_bias": {5: 1.0}}, "logit_bias names the token id 5, but the model has 5 tokens"),
        ({"banned_tokens": [-1]}, "banned_tokens names the token id -1"),
        ({"forced_tokens": [99]}, "forced_tokens names the token id 99"),
        ({"min_new_tokens": 3, "max_new_tokens": 2}, "min_new_tokens = 3 is larger than max_new_tokens = 2"),
        ({"banned_tokens": [1, 2], "forced_tokens": [2]}, "the token 2 is both"),
        ({"forced_tokens": [1, 4], "min_new_tokens": 2, "eos_id": 4}, r"ends the sequence \(id 4\) before"),
    ],
)
def test_contradictory_settings_are_errors(settings, message):
    with pytest.raises(ConfigError, match=message):
        sampler(**settings)
