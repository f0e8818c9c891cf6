"""`tissu import` turns other projects' weights into checkpoints that the other commands take."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest

from quanta_tissu.tisslm import artifact
from quanta_tissu.tisslm.config import Config, ModelConfig
from quanta_tissu.tisslm.model import Decoder
from quanta_tissu.tisslm.tokenizers import BPETokenizer, CharacterTokenizer


@pytest.mark.data
def test_llama2c_weights_tell_their_story(tissu, shared_data, tmp_path):
    source, tokenizer = str(shared_data / "stories260K.bin"), str(shared_data / "tok512.bin")
    outcome = tissu("import", source, "--tokenizer", tokenizer, "--out", str(tmp_path / "stories"))
    assert outcome.code == 0, outcome.err
    assert "260,032 parameters, llama2c tokenizer of 512 tokens" in outcome.out
    settings = ["--max-new-tokens", "200", "--temperature", "0", "--json"]
    outcome = tissu("generate", str(tmp_path / "stories"), *settings)
    assert outcome.code == 0, outcome.err
    text = json.loads(outcome.out)["completions"][0]["text"]
    expected = "beeb5cb46785efee81a8545300b31e396b595e5ce6f3b77db201545501981d14"
    assert hashlib.sha256(text.encode()).hexdigest() == expected


@pytest.fixture
def foreign(tmp_path):
    """A folder as Hugging Face's programs leave it: config.json without our section, weights, tokenizer.json."""
    tokenizer = BPETokenizer()
    tokenizer.train(["the cat sat on the mat"] * 4, 270)
    config = ModelConfig(
        vocab_size=tokenizer.vocab_size, context_length=12, n_layers=2, d_model=16, n_heads=4, n_kv_heads=2
    )
    decoder = Decoder.initialise(config, seed=1)
    folder = tmp_path / "foreign"
    artifact.write(folder, decoder, tokenizer, Config())
    content = json.loads((folder / "config.json").read_text())
    del content["tissu"]
    (folder / "config.json").write_text(json.dumps(content))
    for name in ("manifest.json", "README.md"):
        (folder / name).unlink()
    return folder, decoder


def test_a_hugging_face_folder_becomes_a_checkpoint(tissu, foreign, tmp_path):
    folder, decoder = foreign
    outcome = tissu("import", str(folder), "--out", str(tmp_path / "ours"))
    assert outcome.code == 0, outcome.err
    read = artifact.read(tmp_path / "ours")
    np.testing.assert_array_equal(read.decoder.parameters.flat, decoder.parameters.flat)
    assert read.manifest["metrics"] == {"imported_from": "foreign"}
    outcome = tissu("generate", str(tmp_path / "ours"), "--prompt", "the", "--max-new-tokens", "3", "--json")
    assert outcome.code == 0, outcome.err
    assert len(json.loads(outcome.out)["completions"][0]["tokens"]) == 3


def test_another_tokenizer_can_be_named(tissu, foreign, tmp_path):
    CharacterTokenizer("abc").save(tmp_path / "abc.json")
    outcome = tissu(
        "import", str(foreign[0]), "--out", str(tmp_path / "ours"), "--tokenizer", str(tmp_path / "abc.json")
    )
    assert outcome.code == 0, outcome.err
    assert artifact.read(tmp_path / "ours").tokenizer.kind == "character"


def test_a_tokenizer_larger_than_the_model_is_refused(tissu, foreign, tmp_path):
    CharacterTokenizer("".join(chr(i) for i in range(0x4E00, 0x4E00 + 300))).save(tmp_path / "large.json")
    outcome = tissu(
        "import", str(foreign[0]), "--out", str(tmp_path / "ours"), "--tokenizer", str(tmp_path / "large.json")
    )
    assert outcome.code == 1
    assert "the tokenizer has 304 tokens, the model only" in outcome.err
    assert not (tmp_path / "ours").exists()


def test_what_is_missing_or_unknown_is_said(tissu, foreign, tmp_path):
    (tmp_path / "weights.pt").write_bytes(b"")
    (tmp_path / "model.bin").write_bytes(bytes(10))
    (foreign[0] / "tokenizer.json").unlink()
    out = ["--out", str(tmp_path / "ours")]
    for source, message in (
        (tmp_path / "absent.bin", "cannot read"),
        (tmp_path / "weights.pt", "is not a file that can be imported"),
        (tmp_path / "model.bin", "is truncated"),
        (foreign[0], "--tokenizer FILE"),
    ):
        outcome = tissu("import", str(source), *out)
        assert outcome.code == 1
        assert message in outcome.err
        assert "help: " in outcome.err


@pytest.mark.data
def test_llama2c_weights_need_their_tokenizer(tissu, shared_data, tmp_path):
    outcome = tissu("import", str(shared_data / "stories260K.bin"), "--out", str(tmp_path / "ours"))
    assert outcome.code == 1
    assert "holds weights only" in outcome.err
    assert "--tokenizer" in outcome.err
