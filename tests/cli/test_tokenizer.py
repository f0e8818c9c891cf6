"""`tissu tokenizer`: train, encode, decode, show and convert, as a user meets them."""

from __future__ import annotations

import io
import json
import subprocess
import sys

import pytest

from quanta_tissu.tisslm import tokenizers
from quanta_tissu.tisslm.tokenizers import BPETokenizer, CharacterTokenizer

TEXT = "def main():\n    return 'main'\n" * 20


@pytest.fixture
def source(tmp_path) -> str:
    path = tmp_path / "source.txt"
    path.write_text(TEXT, encoding="utf-8")
    return str(path)


@pytest.fixture
def bpe(tmp_path) -> str:
    tokenizer = BPETokenizer()
    tokenizer.train([TEXT], 270)
    tokenizer.save(tmp_path / "bpe.json")
    return str(tmp_path / "bpe.json")


@pytest.fixture
def standard_input(monkeypatch):
    def give(raw: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))

    return give


# -- train -----------------------------------------------------------------------------------------------------


def test_train_bpe(tissu, source, tmp_path):
    out = tmp_path / "tokenizer.json"
    outcome = tissu("tokenizer", "train", "--data", source, "--vocab-size", "270", "--out", str(out), "--json")
    assert (outcome.code, outcome.err) == (0, "")
    result = json.loads(outcome.out)
    tokenizer = tokenizers.load(out)
    assert result.pop("seconds") > 0
    assert result == {
        "path": str(out),
        "kind": "bpe",
        "vocab_size": 270,
        "documents": 1,
        "bytes": len(TEXT),
        "fingerprint": tokenizer.fingerprint(),
    }
    assert tokenizer.decode(tokenizer.encode(TEXT)) == TEXT


def test_train_says_when_the_text_is_too_small_for_the_vocabulary(tissu, source, tmp_path):
    out = tmp_path / "tokenizer.json"
    outcome = tissu("tokenizer", "train", "--data", source, "--vocab-size", "5000", "--out", str(out))
    assert outcome.code == 0
    size = tokenizers.load(out).vocab_size
    assert f"wrote {out}: {size} tokens from {len(TEXT)} bytes in 1 document," in outcome.out
    assert f"no pair of tokens twice after {size}" in outcome.out


@pytest.mark.parametrize(("options", "size"), [((), 4), (("--no-special-tokens",), 0)])
def test_train_characters(tissu, source, tmp_path, options, size):
    out = tmp_path / "characters.json"
    outcome = tissu("tokenizer", "train", "--data", source, "--kind", "character", *options, "--out", str(out))
    assert outcome.code == 0
    assert tokenizers.load(out).vocab_size == size + len(set(TEXT))


def test_train_on_a_field_of_jsonl_and_only_so_many_bytes(tissu, tmp_path):
    path = tmp_path / "mail.jsonl"
    path.write_text('{"body": "abc"}\n{"body": "xyz"}\n')
    out = tmp_path / "characters.json"
    options = ["--text-field", "body", "--max-bytes", "4", "--kind", "character", "--no-special-tokens"]
    assert tissu("tokenizer", "train", "--data", str(path), *options, "--out", str(out)).code == 0
    assert tokenizers.load(out).characters == "abcx"


def test_train_replaces_a_file_only_when_told(tissu, source, bpe):
    arguments = ["tokenizer", "train", "--data", source, "--kind", "character", "--out", bpe]
    outcome = tissu(*arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert f"{bpe} is there already" in outcome.err
    assert tokenizers.load(bpe).kind == "bpe"
    assert tissu(*arguments, "--overwrite").code == 0
    assert tokenizers.load(bpe).kind == "character"


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (
            ["--kind", "character", "--vocab-size", "300"],
            2,
            "--vocab-size 300 means nothing to a character tokenizer",
        ),
        (["--no-special-tokens"], 2, "BPE always has <|endoftext|>"),
        (["--vocab-size", "256"], 1, "vocab_size = 256 is too small"),
        (["--vocab-size", "many"], 2, "'many' is not a valid integer"),
        (["--kind", "word"], 2, "'word' is not one of 'bpe', 'character'"),
    ],
)
def test_train_refuses_what_it_cannot_do(tissu, source, tmp_path, options, code, message):
    out = tmp_path / "tokenizer.json"
    outcome = tissu("tokenizer", "train", "--data", source, *options, "--out", str(out))
    assert outcome.code == code
    assert message in outcome.err
    assert "help: " in outcome.err
    assert not out.exists()


def test_train_refuses_a_source_without_text(tissu, tmp_path):
    empty = tmp_path / "empty.txt"
    empty.write_text("")
    outcome = tissu("tokenizer", "train", "--data", str(empty), "--out", str(tmp_path / "t.json"))
    assert outcome.code == 1
    assert "has no text" in outcome.err


def test_train_refuses_text_that_is_not_utf8(tissu, tmp_path):
    latin = tmp_path / "latin.txt"
    latin.write_bytes("größe".encode("latin-1"))
    for kind in ("bpe", "character"):
        outcome = tissu(
            "tokenizer", "train", "--data", str(latin), "--kind", kind, "--out", str(tmp_path / "t.json")
        )
        assert outcome.code == 1
        assert "UTF-8" in outcome.err


def test_an_output_that_cannot_be_written_is_refused_before_the_work(tissu, source, bpe, tmp_path):
    for command in (["train", "--data", source], ["convert", bpe]):
        outcome = tissu("tokenizer", *command, "--out", str(tmp_path))
        assert (outcome.code, "is a folder" in outcome.err) == (2, True)
        outcome = tissu("tokenizer", *command, "--out", str(tmp_path / "none" / "t.json"))
        assert (outcome.code, f"there is no folder {tmp_path / 'none'}" in outcome.err) == (2, True)


# -- encode and decode -----------------------------------------------------------------------------------------


def test_encode(tissu, bpe):
    ids = tokenizers.load(bpe).encode("return main")
    assert tissu("tokenizer", "encode", bpe, "return main").out == " ".join(map(str, ids)) + "\n"
    outcome = tissu("tokenizer", "encode", bpe, "return main", "--json")
    assert json.loads(outcome.out) == {"ids": ids, "tokens": len(ids)}


def test_encode_standard_input_to_the_last_byte(tissu, bpe, standard_input):
    standard_input("größe\r\n".encode())
    outcome = tissu("tokenizer", "encode", bpe, "--json")
    assert tokenizers.load(bpe).decode(json.loads(outcome.out)["ids"]) == "größe\r\n"


def test_encode_refuses_input_that_is_not_utf8(tissu, bpe, standard_input):
    standard_input(b"ab\xff")
    outcome = tissu("tokenizer", "encode", bpe)
    assert outcome.code == 1
    assert "standard input is not UTF-8: byte 0xff at position 2" in outcome.err


def test_encode_special_tokens_only_when_told(tissu, bpe):
    outcome = tissu("tokenizer", "encode", bpe, "x<|endoftext|>")
    assert outcome.code == 1
    assert "'<|endoftext|>' at position 1" in outcome.err
    assert "--allow-special" in outcome.err
    assert tissu("tokenizer", "encode", bpe, "x<|endoftext|>", "--allow-special").out.endswith(" 269\n")


def test_decode_undoes_encode_byte_for_byte(bpe):
    text = "größe \N{SNOWMAN}\r\n\n".encode()
    command = [sys.executable, "-m", "quanta_tissu", "tokenizer"]
    ids = subprocess.run([*command, "encode", bpe], input=text, stdout=subprocess.PIPE, check=True).stdout
    back = subprocess.run([*command, "decode", bpe], input=ids, stdout=subprocess.PIPE, check=True).stdout
    assert back == text


@pytest.mark.parametrize("ids", [["64", "65", "66"], ["64,65,66"], ["[64,", "65, 66]"]])
def test_decode_takes_ids_however_they_are_written(tissu, bpe, ids):
    assert tissu("tokenizer", "decode", bpe, *ids).out == "abc"
    assert json.loads(tissu("tokenizer", "decode", bpe, *ids, "--json").out) == {"text": "abc", "tokens": 3}


def test_decode_shows_half_a_character_in_json(tissu, bpe):
    first = tokenizers.load(bpe).encode("é")[0]
    assert json.loads(tissu("tokenizer", "decode", bpe, str(first), "--json").out)["text"] == "\ufffd"


def test_decode_nothing(tissu, bpe, standard_input):
    standard_input(b"\n")
    assert tissu("tokenizer", "decode", bpe).out == ""


@pytest.mark.parametrize(
    ("ids", "message"),
    [(["1", "x2"], "'x2' is not a token id"), (["270"], "token id 270 is outside the vocabulary")],
)
def test_decode_refuses_what_is_no_id(tissu, bpe, ids, message):
    outcome = tissu("tokenizer", "decode", bpe, *ids)
    assert (outcome.code, outcome.out) == (1, "")
    assert message in outcome.err


# -- show ------------------------------------------------------------------------------------------------------


def test_show_a_text(tissu, bpe):
    outcome = tissu("tokenizer", "show", bpe, "main é[b]")
    assert outcome.code == 0
    for expected in ("'main'", "b'\\xc3'", "c3", "'['", "7 tokens, 10 bytes, 1.43 bytes per token"):
        assert expected in outcome.out


def test_show_a_text_in_colours_on_a_terminal(tissu, bpe, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    outcome = tissu("tokenizer", "show", bpe, "main()")
    first_line = outcome.out.splitlines()[0]
    assert "\x1b[7;36mmain\x1b[0m\x1b[7;35m(" in first_line


def test_show_a_text_as_json(tissu, bpe):
    outcome = tissu("tokenizer", "show", bpe, "é", "--json")
    (first, second) = tokenizers.load(bpe).encode("é")
    assert json.loads(outcome.out) == {
        "pieces": [
            {"id": first, "text": "\ufffd", "bytes": "c3"},
            {"id": second, "text": "\ufffd", "bytes": "a9"},
        ],
        "tokens": 2,
    }


def test_show_the_vocabulary(tissu, bpe):
    outcome = tissu("tokenizer", "show", bpe)
    assert outcome.code == 0
    for expected in ("bpe tokenizer", "270", "'<|endoftext|>' 269", "1: 256", "fingerprint"):
        assert expected in outcome.out
    found = json.loads(tissu("tokenizer", "show", bpe, "--json").out)
    assert (found["kind"], found["vocab_size"], found["special_tokens"]) == ("bpe", 270, {"<|endoftext|>": 269})
    assert found["fingerprint"] == tokenizers.load(bpe).fingerprint()


def test_show_the_vocabulary_of_a_checkpoint_folder(tissu, tmp_path):
    CharacterTokenizer("abc", special_tokens=False).save(tmp_path / "tokenizer.json")
    outcome = tissu("tokenizer", "show", str(tmp_path))
    assert outcome.code == 0
    assert "character tokenizer" in outcome.out
    assert "none" in outcome.out


def test_show_the_compression_of_a_source(tissu, bpe, source):
    ids = tokenizers.load(bpe).encode(TEXT)
    found = json.loads(tissu("tokenizer", "show", bpe, "--data", source, "--json").out)
    assert found == {
        "source": source,
        "documents": 1,
        "bytes": len(TEXT),
        "characters": len(TEXT),
        "tokens": len(ids),
        "distinct_tokens": len(set(ids)),
        "bytes_per_token": pytest.approx(len(TEXT) / len(ids)),
        "characters_per_token": pytest.approx(len(TEXT) / len(ids)),
        "vocabulary_used": pytest.approx(len(set(ids)) / 270),
    }
    outcome = tissu("tokenizer", "show", bpe, "--data", source)
    assert f"{len(TEXT) / len(ids):.3f}" in outcome.out


def test_show_takes_a_text_or_a_source(tissu, bpe, source):
    outcome = tissu("tokenizer", "show", bpe, "text", "--data", source)
    assert outcome.code == 2
    assert "a text and --data are both given" in outcome.err


# -- other projects' files -------------------------------------------------------------------------------------


def test_gguf_files_are_tokenizers(tissu, shared_data, tmp_path):
    vocabulary = str(shared_data / "ggml-vocab-gpt-2.gguf")
    assert tissu("tokenizer", "encode", vocabulary, "Hello world").out == "15496 995\n"
    out = tmp_path / "gpt2.json"
    outcome = tissu("tokenizer", "convert", vocabulary, "--out", str(out))
    assert outcome.out == f"wrote {out}: bpe, 50,257 tokens\n"
    assert tokenizers.load(out).encode("Hello world") == [15496, 995]


def test_llama2c_files_are_tokenizers(tissu, shared_data):
    outcome = tissu("tokenizer", "encode", str(shared_data / "tok512.bin"), "Once upon")
    assert outcome.out == "403 407\n"


def test_a_damaged_gguf_file_is_named(tissu, tmp_path):
    path = tmp_path / "damaged.gguf"
    path.write_bytes(b"GGUF\x03\x00")
    outcome = tissu("tokenizer", "show", str(path))
    assert outcome.code == 1
    assert "ends after 6 bytes" in outcome.err


def test_a_gguf_file_with_another_name_says_what_to_do(tissu, tmp_path):
    path = tmp_path / "model.json"
    path.write_bytes(b"GGUF\x03\x00")
    outcome = tissu("tokenizer", "show", str(path))
    assert outcome.code == 1
    assert "tissu tokenizer convert" in outcome.err


def test_a_missing_tokenizer_is_named(tissu, tmp_path):
    outcome = tissu("tokenizer", "encode", str(tmp_path / "none.json"), "text")
    assert outcome.code == 1
    assert f"cannot read the tokenizer {tmp_path / 'none.json'}" in outcome.err
