"""`tissu evaluate` measures what training held out, every token once, and prints what other tools rely on."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from quanta_tissu.tisslm import artifact
from quanta_tissu.tisslm.config import Config, DataConfig, ModelConfig, TrainConfig
from quanta_tissu.tisslm.data.prepare import prepare
from quanta_tissu.tisslm.data.sources import open_source
from quanta_tissu.tisslm.evaluate.evaluator import evaluate
from quanta_tissu.tisslm.evaluate.floors import floors
from quanta_tissu.tisslm.model import Decoder
from quanta_tissu.tisslm.tokenizers import CharacterTokenizer

KEYS = ["loss", "loss_stderr", "perplexity", "bits_per_byte", "tokens", "tokens_per_second"]
TOKENIZER = CharacterTokenizer("abcdefgh\n ")


@pytest.fixture
def trained(tmp_path):
    """A checkpoint as training leaves it, the folder of documents it was trained on, and its dataset."""
    rng = np.random.default_rng(0)
    (tmp_path / "texts").mkdir()
    for i in range(12):
        text = "".join(rng.choice(list("abcdefgh\n "), 60))
        (tmp_path / "texts" / f"{i:02}.txt").write_text(text)
    config = Config(
        data=DataConfig(source=str(tmp_path / "texts"), validation_split_ratio=0.25, max_bytes=600),
        train=TrainConfig(seed=5),
    )
    source = open_source(config.data.source, max_bytes=600)
    dataset = prepare(source, TOKENIZER, tmp_path / "dataset", config.data, 5)
    model = ModelConfig(vocab_size=TOKENIZER.vocab_size, context_length=16, n_layers=1, d_model=16, n_heads=2)
    decoder = Decoder.initialise(model.model_copy(update={"init_std": 0.3}), seed=1)
    artifact.write(
        tmp_path / "best", decoder, TOKENIZER, config, data_manifest=dataset.manifest.model_dump(mode="json")
    )
    return tmp_path / "best", tmp_path / "texts", dataset


def figures(outcome):
    assert outcome.code == 0, outcome.err
    result = json.loads(outcome.out)
    assert list(result) == KEYS
    return result


@pytest.mark.parametrize("split", ["validation", "train"])
def test_the_parts_are_those_of_the_training(tissu, trained, split):
    """Same shuffle, same cut, same text: the figures are those of the tokens that training had."""
    checkpoint, texts, dataset = trained
    expected = evaluate(artifact.read(checkpoint).decoder, TOKENIZER, dataset.tokens(split))
    detour = texts / ".." / "texts"
    for source in (["--data", str(texts)], ["--data", str(detour)], ["--data", str(dataset.path)], []):
        result = figures(tissu("evaluate", str(checkpoint), *source, "--split", split, "--json"))
        assert result["tokens"] == len(dataset.tokens(split)) - 1
        assert result["loss"] == pytest.approx(expected.loss, rel=1e-12)
        assert result["loss_stderr"] == pytest.approx(expected.loss_stderr, rel=1e-12)
        assert result["perplexity"] == pytest.approx(math.exp(expected.loss))
        assert result["bits_per_byte"] == pytest.approx(expected.bits_per_byte)


def test_all_of_a_text_is_evaluated_however_short(tissu, trained, tmp_path):
    (tmp_path / "short.txt").write_text("abc")
    result = figures(
        tissu("evaluate", str(trained[0]), "--data", str(tmp_path / "short.txt"), "--split", "all", "--json")
    )
    assert result["tokens"] == 2
    assert result["loss_stderr"] is None
    expected = artifact.read(trained[0]).decoder.loss(np.array([[4, 5]]), np.array([[5, 6]]))
    assert result["loss"] == pytest.approx(float(expected), rel=1e-6)
    assert result["bits_per_byte"] == pytest.approx(result["loss"] / math.log(2))


def test_all_of_a_prepared_dataset(tissu, trained):
    checkpoint, _, dataset = trained
    result = figures(tissu("evaluate", str(checkpoint), "--data", str(dataset.path), "--split", "all", "--json"))
    assert result["tokens"] == len(dataset.train) + len(dataset.validation) - 1


def test_another_text_is_not_cut_to_the_size_of_the_training_data(tissu, trained, tmp_path):
    (tmp_path / "long.txt").write_text("abcd" * 500)
    result = figures(
        tissu("evaluate", str(trained[0]), "--data", str(tmp_path / "long.txt"), "--split", "all", "--json")
    )
    assert result["tokens"] == 1999


@pytest.mark.parametrize("option", [["--stride", "4"], ["--engine", "reference"]])
def test_stride_and_engine_reach_the_evaluation(tissu, trained, option):
    checkpoint, _, dataset = trained
    stride = 4 if option[0] == "--stride" else None
    expected = evaluate(artifact.read(checkpoint).decoder, TOKENIZER, dataset.validation, stride=stride)
    result = figures(tissu("evaluate", str(checkpoint), *option, "--json"))
    assert result["loss"] == pytest.approx(expected.loss, rel=1e-6)
    assert result["tokens"] == expected.tokens


def test_packed_training_leaves_out_the_boundaries_here_too(tissu, trained, tmp_path):
    checkpoint, _, dataset = trained
    read = artifact.read(checkpoint)
    packed = read.config.data.model_copy(update={"windows": "packed"})
    config = read.config.model_copy(update={"data": packed})
    artifact.write(tmp_path / "packed", read.decoder, TOKENIZER, config)
    result = figures(tissu("evaluate", str(tmp_path / "packed"), "--json"))
    boundaries = np.count_nonzero(dataset.validation[:-1] == TOKENIZER.eos_id)
    assert boundaries > 0
    assert result["tokens"] == len(dataset.validation) - 1 - boundaries


def test_the_floors_stand_beside_the_loss(tissu, trained):
    checkpoint, _, dataset = trained
    outcome = tissu("evaluate", str(checkpoint))
    assert outcome.code == 0, outcome.err
    found = floors(dataset.train, dataset.validation, TOKENIZER.vocab_size)
    for name, value in (("ln V", found.uniform), ("unigram", found.unigram), ("bigram", found.bigram)):
        assert f"  {name:<14}  {value:.4f}, " in outcome.out
    assert "the part that training held out" in outcome.out
    assert " ± " in outcome.out
    assert "the first 0.75 of it" in tissu("evaluate", str(checkpoint), "--split", "train").out
    outcome = tissu("evaluate", str(checkpoint), "--split", "all")
    assert "unigram" not in outcome.out
    assert f"{math.log(TOKENIZER.vocab_size):.4f}" in outcome.out


@pytest.mark.parametrize("split", ["validation", "all"])
def test_special_tokens_are_read_as_training_read_them(tissu, trained, tmp_path, split):
    read = artifact.read(trained[0])
    (tmp_path / "special.txt").write_text("abcd<|eos|>" * 50)
    data = DataConfig(source=str(tmp_path / "special.txt"), allow_special=True, validation_split_ratio=0.25)
    artifact.write(tmp_path / "allowing", read.decoder, TOKENIZER, Config(data=data))
    tokens = np.array([*TOKENIZER.encode("abcd"), TOKENIZER.eos_id] * 50)
    expected = evaluate(read.decoder, TOKENIZER, tokens if split == "all" else tokens[187:])
    result = figures(tissu("evaluate", str(tmp_path / "allowing"), "--split", split, "--json"))
    assert result["loss"] == pytest.approx(expected.loss, rel=1e-12)
    assert result["bits_per_byte"] == pytest.approx(expected.bits_per_byte, rel=1e-12)
    refused = tissu("evaluate", str(trained[0]), "--data", data.source, "--split", split)
    assert refused.code == 1
    assert "special token '<|eos|>'" in refused.err


def test_a_text_that_was_not_trained_on_is_called_so(tissu, trained, tmp_path):
    (tmp_path / "other.txt").write_text("abcd" * 500)
    outcome = tissu("evaluate", str(trained[0]), "--data", str(tmp_path / "other.txt"))
    assert "not the data of the training; --split all takes all" in outcome.out


def test_what_cannot_be_evaluated_is_said(tissu, trained, tmp_path):
    checkpoint, _, _ = trained
    (tmp_path / "foreign.txt").write_text("abc" * 100)
    read = artifact.read(checkpoint)
    artifact.write(tmp_path / "unknown", read.decoder, TOKENIZER, Config())
    other = CharacterTokenizer("xyz")
    prepare(open_source(tmp_path / "foreign.txt"), other, tmp_path / "foreign", DataConfig(), 1)
    for arguments, message, code in (
        ([str(tmp_path / "absent")], "does not exist", 1),
        ([str(tmp_path / "unknown")], "does not say what it was trained on", 1),
        ([str(checkpoint), "--data", "absent.txt"], "there is no file or folder 'absent.txt'", 1),
        ([str(checkpoint), "--data", str(tmp_path / "foreign")], "was made by another tokenizer", 1),
        ([str(checkpoint), "--stride", "17"], "a stride of 17 is not between 1 and the context length, 16", 2),
        ([str(checkpoint), "--split", "test"], "'test' is not one of", 2),
    ):
        outcome = tissu("evaluate", *arguments)
        assert outcome.code == code
        assert message in outcome.err
        assert outcome.out == ""
