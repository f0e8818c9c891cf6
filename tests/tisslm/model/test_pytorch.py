"""A model on the torch engine: the same logits, the same text, the same evaluation."""

from __future__ import annotations

import numpy as np
import pytest

from quanta_tissu.tisslm import engine
from quanta_tissu.tisslm.config import ModelConfig
from quanta_tissu.tisslm.evaluate.evaluator import evaluate
from quanta_tissu.tisslm.generate.growing import GrowingBatch
from quanta_tissu.tisslm.language_model import LanguageModel
from quanta_tissu.tisslm.model import Decoder
from quanta_tissu.tisslm.model.pytorch import TorchKVCache, parameters_on
from quanta_tissu.tisslm.tokenizers import CharacterTokenizer

TOKENIZER = CharacterTokenizer("\n abcdefghijklmnopqrstuvwxyz")
MODELS = {"rotary": {"n_kv_heads": 2}, "learned": {"positions": "learned", "norm": "layer_norm", "bias": True}}

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("torch")]


@pytest.fixture(params=MODELS.values(), ids=MODELS)
def decoder(request):
    config = ModelConfig(
        vocab_size=TOKENIZER.vocab_size, context_length=16, n_layers=2, d_model=32, n_heads=4, **request.param
    )
    model = Decoder.initialise(config, seed=1)
    model.parameters.flat[:] += np.random.default_rng(2).normal(size=model.parameters.flat.shape) * 0.1
    return model


def test_on_a_cpu_the_tensors_share_the_decoders_memory(decoder):
    found = parameters_on(engine.get("torch"), decoder)
    assert all(
        np.shares_memory(found[name].cpu().numpy(), decoder.parameters[name]) for name in decoder.parameters
    )
    assert parameters_on(engine.get("reference"), decoder) is None


def test_logits_and_loss(decoder):
    torch, reference = (LanguageModel(decoder, TOKENIZER, engine=name) for name in ("torch", "reference"))
    ids = np.random.default_rng(0).integers(0, 20, (3, 9))
    np.testing.assert_allclose(torch.logits(ids), reference.logits(ids), atol=1e-5)
    text = "a model says the same on every engine, in pieces of the context"
    assert torch.loss(text.replace(",", "")) == pytest.approx(reference.loss(text.replace(",", "")), rel=1e-5)


@pytest.mark.parametrize(
    "settings", [{}, {"kv_cache": False}, {"prefill_chunk": 3}, {"num_samples": 3, "seed": 1}]
)
def test_generation_with_rows_of_all_lengths_that_outgrow_the_context(decoder, settings):
    settings = {"temperature": 0.0, "max_new_tokens": 25, **settings}
    texts = [
        [
            completion.text
            for completion in LanguageModel(decoder, TOKENIZER, engine=name)
            .generate(["to be", "or", "not to be that is"], **settings)
            .completions
        ]
        for name in ("torch", "reference")
    ]
    assert texts[0] == texts[1]


def test_the_cache_holds_what_reading_anew_gives(decoder):
    batch = GrowingBatch(decoder, [[3, 4, 5], [6]], room=30, engine=engine.get("torch"))
    plain = GrowingBatch(decoder, [[3, 4, 5], [6]], room=30, kv_cache=False, engine=engine.get("torch"))
    for token in range(25):
        ids = np.array([token % 20, (token * 7) % 20])
        batch.append(ids)
        plain.append(ids)
        np.testing.assert_allclose(batch.logits, plain.logits, atol=2e-5)
    batch.select([1, 1])
    np.testing.assert_allclose(batch.logits, plain.logits[[1, 1]], atol=2e-5)


def test_forgetting_moves_the_rest_to_the_front(decoder):
    parameters = parameters_on(engine.get("torch"), decoder)
    cache = TorchKVCache.like(parameters, decoder, 2, 6)
    for position in range(6):
        cache.keys[:, :, position] = cache.values[:, :, position] = position
    cache.advance(6)
    cache.forget(2)
    assert cache.length == 4
    assert cache.keys[0, 0, :4, 0, 0].tolist() == cache.values[1, 1, :4, 0, 0].tolist() == [2, 3, 4, 5]


@pytest.mark.parametrize("stride", [None, 5])
def test_evaluation(decoder, stride):
    tokens = np.random.default_rng(0).integers(0, 20, 200)
    found, expected = (
        evaluate(decoder, TOKENIZER, tokens, stride=stride, engine=engine.get(name))
        for name in ("torch", "reference")
    )
    assert found.loss == pytest.approx(expected.loss, rel=1e-6)
    assert (found.tokens, found.text_bytes) == (expected.tokens, expected.text_bytes)
