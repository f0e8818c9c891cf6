"""`load` finds out what a file is, and `train` does what the configuration says."""

from __future__ import annotations

import json

import pytest

from quanta_tissu.errors import TokenizerError
from quanta_tissu.tisslm import tokenizers
from quanta_tissu.tisslm.config import TokenizerConfig


def test_a_folder_stands_for_its_tokenizer_file(bpe, tmp_path):
    bpe.save(tmp_path / "tokenizer.json")
    assert tokenizers.load(tmp_path).fingerprint() == bpe.fingerprint()


def test_the_configuration_chooses_the_kind(topics):
    bpe = tokenizers.train(TokenizerConfig(vocab_size=300), topics[:3])
    assert (bpe.kind, bpe.vocab_size) == ("bpe", 300)
    characters = tokenizers.train(TokenizerConfig(kind="character"), ["abc"])
    assert (characters.kind, characters.vocab_size) == ("character", 7)
    plain = tokenizers.train(TokenizerConfig(kind="character", special_tokens=False), ["abc"])
    assert plain.vocab_size == 3


def test_a_configured_path_is_loaded_instead_of_trained(bpe, tmp_path):
    bpe.save(tmp_path / "mine.json")

    def unread():
        raise AssertionError("the texts were read")
        yield ""

    loaded = tokenizers.train(TokenizerConfig(path=str(tmp_path / "mine.json")), unread())
    assert loaded.fingerprint() == bpe.fingerprint()


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(TokenizerError, match=r"cannot read the tokenizer .*none\.json: No such file") as error:
        tokenizers.load(tmp_path / "none.json")
    assert "checkpoint folder" in error.value.hint
    with pytest.raises(TokenizerError, match=r"tokenizer\.json: No such file"):
        tokenizers.load(tmp_path)


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b"])
def test_a_name_that_no_file_can_have_is_refused(name):
    with pytest.raises(TokenizerError, match="cannot read the tokenizer"):
        tokenizers.load(name)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not JSON"),
        (b'{"type": "character"', "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[1]", "neither the field 'model' of a tokenizer.json nor a known 'type'"),
        (b"{}", "neither the field 'model' of a tokenizer.json nor a known 'type'"),
        (b'{"type": "sentencepiece"}', "its type 'sentencepiece' is unknown"),
        (b'{"type": "character"}', "a character tokenizer's file has exactly the fields"),
        (b'{"model": {}}', "this is no tokenizer.json"),
        (b"GGUF\x03\0\0\0", "is a GGUF file"),
    ],
)
def test_a_file_that_is_something_else_is_named_with_the_reason(tmp_path, content, message):
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    with pytest.raises(TokenizerError) as error:
        tokenizers.load(path)
    assert message in error.value.message
    assert str(path) in error.value.message
    assert error.value.hint


def test_half_a_file_is_refused(bpe, tmp_path):
    path = tmp_path / "tokenizer.json"
    text = bpe.to_json()
    path.write_text(text[: len(text) // 2], encoding="utf-8")
    with pytest.raises(TokenizerError, match="is not JSON"):
        tokenizers.load(path)


def test_a_damaged_vocabulary_is_refused(bpe, tmp_path):
    data = json.loads(bpe.to_json())
    del data["model"]["vocab"]["Ġ"]
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(TokenizerError, match="cannot use the tokenizer"):
        tokenizers.load(path)
