"""How generation chooses what runs the model."""

from __future__ import annotations

import numpy as np
import pytest

from quanta_tissu.errors import ConfigError
from quanta_tissu.tisslm import engine
from quanta_tissu.tisslm.config import GenerateConfig
from quanta_tissu.tisslm.engine.threads import available_cores
from quanta_tissu.tisslm.generate import decode, generate
from quanta_tissu.tisslm.generate.compiled.fast_forward import FastForward
from quanta_tissu.tisslm.generate.forward import PlainForward, make_forward


def test_the_fast_engine_has_a_pass_of_its_own_and_others_the_decoders(decoder):
    assert isinstance(make_forward(decoder, engine.get("fast"), None), FastForward)
    assert isinstance(make_forward(decoder, engine.get("reference"), None), PlainForward)
    with engine.use("reference"):
        assert isinstance(make_forward(decoder, None, None), PlainForward)


def test_it_uses_all_cores_by_default(decoder):
    assert make_forward(decoder, engine.get("fast"), None).threads == available_cores()
    assert make_forward(decoder, engine.get("fast"), 3).threads == 3


def test_a_number_of_threads_that_would_change_nothing_is_refused_before_the_first_token(decoder, tokenizer):
    with pytest.raises(ConfigError, match=r"threads = 2 is a setting of the fast engine.*reference"):
        decode(decoder, tokenizer, ["a"], GenerateConfig(threads=2), engine=engine.get("reference"))


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_the_number_of_threads_does_not_change_a_completion(decoder, tokenizer, threads):
    """More threads than cores, too: they give way to each other."""
    settings = {"max_new_tokens": 20, "seed": 3, "stop_at_eos": False}
    prompts = ["to be or not", "a"]
    want = generate(decoder, tokenizer, prompts, GenerateConfig(**settings), engine=engine.get("reference"))
    got = generate(decoder, tokenizer, prompts, GenerateConfig(**settings, threads=threads))
    assert [c.tokens for c in got] == [c.tokens for c in want]


@pytest.mark.parametrize("name", ["fast", "reference"])
@pytest.mark.parametrize(("ids", "positions"), [([[99]], [[0]]), ([[1]], [[10_000]])])
def test_what_the_model_does_not_have_is_refused(decoder, name, ids, positions):
    forward = make_forward(decoder, engine.get(name), None)
    with pytest.raises(ConfigError, match=r"must lie in|outside the context"):
        forward(np.array(ids), np.array(positions), np.zeros(1, np.int64), forward.allocate(1, 4))
