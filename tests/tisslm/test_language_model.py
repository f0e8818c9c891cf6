"""The Python API: load, look, measure, generate, save."""

import subprocess
import sys

import numpy as np
import pytest

from quanta_tissu import tisslm
from quanta_tissu.errors import CheckpointError, ConfigError, DataError, GenerationError, TokenizerError
from quanta_tissu.tisslm import LanguageModel, engine
from quanta_tissu.tisslm.config import Config, GenerateConfig, ModelConfig
from quanta_tissu.tisslm.model import Decoder
from quanta_tissu.tisslm.tokenizers import CharacterTokenizer

TEXT = "to be or not to be that is the question"


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    tokenizer = CharacterTokenizer("\n abcdefghijklmnopqrstuvwxyz")
    config = ModelConfig(vocab_size=tokenizer.vocab_size, context_length=16, n_layers=2, d_model=32, n_heads=4)
    decoder = Decoder.initialise(config, seed=1)
    decoder.parameters.flat[:] += np.random.default_rng(2).normal(size=decoder.parameters.flat.shape) * 0.2
    return LanguageModel(decoder, tokenizer, Config(generate=GenerateConfig(max_new_tokens=9, temperature=0.0)))


# -- load and save -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [None, "reference", "fast"])
def test_what_is_saved_loads_as_it_was(model, tmp_path, name):
    model.save(tmp_path / "model")
    loaded = tisslm.load(tmp_path / "model", engine=name)
    assert loaded.engine is (engine.current() if name is None else engine.get(name))
    assert loaded.config == model.config
    np.testing.assert_array_equal(loaded.decoder.parameters.flat, model.decoder.parameters.flat)
    assert loaded.generate(TEXT).text == model.generate(TEXT).text


def test_a_missing_checkpoint_is_an_error(tmp_path):
    with pytest.raises(CheckpointError):
        tisslm.load(tmp_path / "nothing")


def test_an_unknown_engine_is_an_error(model):
    with pytest.raises(ConfigError, match="unknown engine 'warp'"):
        LanguageModel(model.decoder, model.tokenizer, engine="warp")


def test_importing_tisslm_imports_nothing_heavy():
    program = (
        "import sys; from quanta_tissu import tisslm\n"
        "print([name for name in ('numpy', 'pydantic') if name in sys.modules])\n"
        "tisslm.load; print('numpy' in sys.modules)"
    )
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert output.split("\n")[:2] == ["[]", "True"]


def test_tisslm_has_no_other_names():
    with pytest.raises(AttributeError, match="nonsense"):
        tisslm.nonsense  # noqa: B018


# -- look and measure --------------------------------------------------------------------------------------------


def test_logits_are_the_decoders(model):
    ids = np.array([[4, 5, 6], [7, 8, 9]])
    logits = model.logits(ids)
    assert (logits.shape, logits.dtype) == ((2, 3, 32), np.float32)
    np.testing.assert_array_equal(logits, model.decoder.forward(ids))
    np.testing.assert_array_equal(model.logits(ids.tolist()), logits)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([1, 2], r"must have shape .*\n  help: put one row of ids in a list: \[ids\]"),
        ([[]], r"there are no token ids: their shape is \(1, 0\)"),
        ([[], []], r"there are no token ids: their shape is \(2, 0\)"),
        ([[1.0]], "must be integers; they are float64"),
        ([[99]], "must lie in"),
        ([[1], [2, 3]], "different lengths"),
        ([[1] * 17], "outside the context of 16"),
    ],
)
def test_ids_that_cannot_be_are_errors(model, ids, message):
    with pytest.raises(ConfigError, match=message):
        model.logits(ids)


def test_loss_is_the_mean_over_all_predictions(model):
    """39 characters are 38 predictions in pieces of 16, 16 and 6; an independent softmax over each piece."""
    ids, total = model.tokenizer.encode(TEXT), 0.0
    for start in (0, 16, 32):
        inputs, targets = ids[start : start + 16], ids[start + 1 : start + 17]
        logits = model.logits([inputs[: len(targets)]])[0].astype(np.float64)
        probabilities = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
        total -= np.log(probabilities[range(len(targets)), targets]).sum()
    assert model.loss(TEXT) == pytest.approx(total / 38, rel=1e-6)


@pytest.mark.parametrize("text", ["", "a"])
def test_a_text_with_nothing_to_predict_is_an_error(model, text):
    with pytest.raises(DataError, match="nothing to predict"):
        model.loss(text)


def test_summary_and_representation_say_what_it_is(model):
    count = model.decoder.parameters.num_elements
    assert model.summary().parameters == count
    assert repr(model) == (
        f"<LanguageModel of {count:,} parameters: 2 layers, width 32, context 16, vocabulary 32>"
    )


# -- generate ----------------------------------------------------------------------------------------------------


def test_generation_takes_its_defaults_from_the_configuration(model):
    assert len(model.generate(TEXT, stop_at_eos=False).tokens) == 9
    assert len(model.generate(TEXT, stop_at_eos=False, max_new_tokens=3).tokens) == 3


def test_a_list_of_prompts_gives_a_list_of_completions(model):
    result = model.generate(["to be", "or not", model.tokenizer.encode("that is")])
    assert [c.prompt for c in result] == ["to be", "or not", "that is"]
    assert [c.text for c in result] == [model.generate(c.prompt).text for c in result]
    assert result.tokens_per_second > 0


def test_the_stream_joins_to_what_generate_returns(model):
    settings = {"max_new_tokens": 30, "temperature": 1.0, "seed": 4, "stop": ["q"]}
    pieces = list(model.stream("to be", **settings))
    assert len(pieces) > 1
    assert all(pieces)
    assert "".join(pieces) == model.generate("to be", **settings).text


@pytest.mark.parametrize("method", ["generate", "stream"])
def test_settings_are_checked_at_once(model, method):
    call = getattr(model, method)
    with pytest.raises(ConfigError, match=r"generate.temperature = -1"):
        call("to be", temperature=-1)
    with pytest.raises(ConfigError, match=r"no configuration field generate.temprature"):
        call("to be", temprature=1)
    with pytest.raises(ConfigError, match="stop string is empty"):
        call("to be", stop=[""])
    with pytest.raises(TokenizerError, match="special token"):
        call("<|pad|>")


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        (5, "the prompt must be a text or a list of prompts; it is int"),
        (None, "the prompt must be a text or a list of prompts; it is NoneType"),
        ([5], "a prompt must be a text or a list of token ids; it is int"),
    ],
)
def test_what_is_no_prompt_is_an_error(model, prompt, message):
    with pytest.raises(GenerationError, match=message):
        model.generate(prompt)
    with pytest.raises(GenerationError, match="a prompt must be a text or a list of token ids"):
        model.stream(None)


@pytest.mark.parametrize("method", ["generate", "stream"])
def test_a_single_stop_string_needs_no_list(model, method):
    def text(stop):
        result = getattr(model, method)("to be", stop=stop, max_new_tokens=30, temperature=1.0, seed=4)
        return result.text if method == "generate" else "".join(result)

    assert "q" not in text("q")
    assert text("q") == text(["q"])


def test_a_stream_has_one_completion(model):
    with pytest.raises(ConfigError, match="num_samples = 2"):
        model.stream("to be", num_samples=2)


def test_users_processors_take_part(model):
    def only_a(logits, context):
        return np.where(np.arange(32) == model.tokenizer.encode("a")[0], logits, -np.inf)

    assert model.generate("to be", processors=[only_a], max_new_tokens=3).text == "aaa"
    assert "".join(model.stream("to be", processors=[only_a], max_new_tokens=3)) == "aaa"


@pytest.mark.parametrize("name", ["reference", "fast"])
def test_an_engine_runs_the_model_and_nothing_else(model, name, monkeypatch):
    """A half-read stream must not change the engine of whoever reads it."""
    chosen = LanguageModel(model.decoder, model.tokenizer, model.config, engine=name)
    other = engine.get("fast" if name == "reference" else "reference")
    used, forward = [], model.decoder.forward
    monkeypatch.setattr(
        model.decoder, "forward", lambda *a, **k: used.append(engine.current()) or forward(*a, **k)
    )
    with engine.use(other):
        stream = chosen.stream("to be", banned_tokens=[0, 1, 2, 3])
        next(stream)
        assert engine.current() is other
        chosen.logits([[1]])
        chosen.loss("to be")
        assert engine.current() is other
    assert used
    assert set(used) == {engine.get(name)}
