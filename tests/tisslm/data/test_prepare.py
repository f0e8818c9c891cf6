"""Preparing: exact counts, exact tokens, exact provenance, complete or not at all."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from itertools import chain

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from quanta_tissu.errors import DataError, TokenizerError
from quanta_tissu.tisslm.config import DataConfig
from quanta_tissu.tisslm.data import prepare as module
from quanta_tissu.tisslm.data.dataset import TokenDataset, is_prepared
from quanta_tissu.tisslm.data.prepare import num_train_tokens, prepare, tokenize
from quanta_tissu.tisslm.data.readers import Document
from quanta_tissu.tisslm.data.sources import configured_source, open_source
from quanta_tissu.tisslm.tokenizers import BPETokenizer, CharacterTokenizer

LETTERS = CharacterTokenizer("abcdefgh \n", special_tokens=False)
WITH_EOS = CharacterTokenizer("abcdefgh \n", special_tokens=True)
EOS = WITH_EOS.eos_id


@pytest.fixture(scope="module")
def bpe() -> BPETokenizer:
    tokenizer = BPETokenizer()
    tokenizer.train(["the cat sat on the mat; die Katze saß auf der Matte\n" * 50], 300)
    return tokenizer


def folder_of(path, *texts: str):
    path.mkdir()
    for number, text in enumerate(texts):
        (path / f"{number:03}.txt").write_text(text, encoding="utf-8")
    return open_source(path)


def whole_stream(dataset: TokenDataset) -> list[int]:
    return dataset.tokens("all").tolist()


# -- the split ----------------------------------------------------------------


def test_tinyshakespeare_gives_the_published_counts(shared_data, tmp_path):
    path = shared_data / "tinyshakespeare.txt"
    text = path.read_text(encoding="utf-8")
    tokenizer = CharacterTokenizer.train([text], special_tokens=False)
    dataset = prepare(open_source(path), tokenizer, tmp_path / "data", DataConfig(), seed=1337)
    assert (len(dataset.train), len(dataset.validation)) == (1_003_854, 111_540)
    assert dataset.train.dtype == np.dtype("<u2")
    assert tokenizer.decode(dataset.tokens("all").tolist()) == text
    assert dataset.manifest.source.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@given(tokens=st.integers(0, 10**15), percent=st.integers(1, 99))
def test_the_split_is_exact_in_decimal(tokens, percent):
    assert num_train_tokens(tokens, percent / 100) == tokens * (100 - percent) // 100


def test_the_split_does_not_lose_a_token_to_binary_fractions():
    assert int(10 * (1 - 0.9)) == 0
    assert num_train_tokens(10, 0.9) == 1


@given(text=st.text("abc \n", min_size=30, max_size=200), ratio=st.floats(0.1, 0.9), seed=st.integers(0, 99))
def test_one_file_is_split_where_it_stands(tmp_path_factory, text, ratio, seed):
    folder = tmp_path_factory.mktemp("one")
    (folder / "text.txt").write_bytes(text.encode())
    config = DataConfig(validation_split_ratio=ratio)
    dataset = prepare(open_source(folder / "text.txt"), LETTERS, folder / "data", config, seed)
    assert whole_stream(dataset) == LETTERS.encode(text)
    assert len(dataset.train) == num_train_tokens(len(text), ratio)


@pytest.mark.parametrize(
    ("text", "message"), [("abc", "of 3 tokens, .* leaves 2 to train on and 1"), ("a", "of 1 ")]
)
def test_too_little_text_to_split_is_an_error(tmp_path, text, message):
    with pytest.raises(DataError, match=f"too little text: {message}") as caught:
        prepare(folder_of(tmp_path / "in", text), LETTERS, tmp_path / "out", DataConfig(), 0)
    assert "validation_split_ratio" in caught.value.hint
    assert not (tmp_path / "out").exists()


def test_an_empty_source_is_an_error_and_leaves_nothing(tmp_path):
    with pytest.raises(DataError, match="has no text"):
        prepare(folder_of(tmp_path / "in", ""), LETTERS, tmp_path / "out", DataConfig(), 0)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


# -- documents ----------------------------------------------------------------


@given(
    texts=st.lists(st.text("abc ", min_size=1, max_size=20), min_size=1, max_size=8),
    packed=st.booleans(),
    chunk=st.integers(1, 30),
)
def test_every_document_ends_with_eos_if_there_are_several_or_they_are_packed(texts, packed, chunk):
    documents = [Document(str(number), text) for number, text in enumerate(texts)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CHUNK_BYTES", chunk)
        ids = list(chain(*(part.tolist() for part in tokenize(documents, WITH_EOS, packed=packed))))
        plain = list(chain(*(part.tolist() for part in tokenize(documents, LETTERS, packed=packed))))
    ends = [EOS] if packed or len(texts) > 1 else []
    assert ids == list(chain(*(WITH_EOS.encode(text) + ends for text in texts)))
    assert plain == LETTERS.encode("".join(texts))  # without EOS nothing marks the boundary


def test_a_document_in_pieces_is_one_document(tmp_path):
    pieces = [Document("x", "ab", complete=False), Document("x", " cd"), Document("y", "e")]
    tally = module.Tally()
    ids = np.concatenate(list(tokenize(pieces, WITH_EOS, tally=tally)))
    assert ids.tolist() == [*WITH_EOS.encode("ab cd"), EOS, *WITH_EOS.encode("e"), EOS]
    assert (tally.documents, tally.text_bytes, tally.separated) == (2, 6, True)
    assert tally.sha256 == hashlib.sha256(b"ab cd\0e").hexdigest()


def test_documents_are_shuffled_with_the_seed_unless_told_otherwise(tmp_path):
    source = folder_of(tmp_path / "in", *(letter * 5 for letter in "abcdefgh"))

    def order(seed: int, **fields) -> str:
        dataset = prepare(source, WITH_EOS, tmp_path / "out", DataConfig(**fields), seed)
        assert dataset.manifest.shuffle_seed == (None if fields else seed)
        return "".join(WITH_EOS.decode([i]) for i in whole_stream(dataset) if i != EOS)[::5]

    assert order(1) == order(1)
    assert order(1) != order(2)
    assert sorted(order(1)) == list("abcdefgh")
    assert order(1, shuffle_documents=False) == "abcdefgh"


def test_packed_windows_separate_even_a_single_document(tmp_path):
    source = folder_of(tmp_path / "in", "abc " * 10)
    packed = prepare(source, WITH_EOS, tmp_path / "packed", DataConfig(windows="packed"), 0)
    plain = prepare(source, WITH_EOS, tmp_path / "plain", DataConfig(), 0)
    assert whole_stream(packed) == [*whole_stream(plain), EOS]
    assert packed.manifest.separated
    assert not plain.manifest.separated


# -- the manifest ----------------------------------------------------------------


def test_the_manifest_says_what_is_there(tmp_path, bpe):
    texts = ["the cat sat " * 5, "die Katze saß auf der Matte", "", "the mat"]
    dataset = prepare(folder_of(tmp_path / "in", *texts), bpe, tmp_path / "out", DataConfig(), seed=5)
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    raw = [text.encode() for text in texts if text]
    assert manifest["format"] == "tissu-tokens-1"
    assert manifest["source"]["description"] == str(tmp_path / "in")
    assert manifest["source"]["documents"] == 3
    assert manifest["source"]["text_bytes"] == sum(map(len, raw))
    assert manifest["tokenizer"] == {
        "kind": "bpe",
        "vocab_size": bpe.vocab_size,
        "fingerprint": bpe.fingerprint(),
        "eos_id": bpe.eos_id,
    }
    assert (manifest["source"]["text_field"], manifest["source"]["max_bytes"]) == ("text", None)
    assert manifest["allow_special"] is False
    assert (manifest["dtype"], manifest["shuffle_seed"], manifest["validation_split_ratio"]) == ("uint16", 5, 0.1)
    for name in ("train", "validation"):
        content = (tmp_path / "out" / f"{name}.bin").read_bytes()
        assert manifest[name]["tokens"] == len(content) // 2 == len(dataset.tokens(name))
        assert manifest[name]["sha256"] == hashlib.sha256(content).hexdigest()
    assert dataset.load_tokenizer().fingerprint() == bpe.fingerprint()


@given(texts=st.lists(st.text(min_size=8, max_size=30), min_size=2, max_size=5), ratio=st.floats(0.2, 0.8))
def test_the_bytes_of_a_split_are_the_bytes_its_tokens_stand_for(tmp_path_factory, bpe, texts, ratio):
    # Even where the split falls inside a UTF-8 character; EOS stands for no text.
    folder = tmp_path_factory.mktemp("bytes")
    (folder / "in.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    source = open_source(folder / "in.jsonl")
    dataset = prepare(source, bpe, folder / "out", DataConfig(validation_split_ratio=ratio), 0)
    for split in ("train", "validation", "all"):
        ids = [i for i in dataset.tokens(split).tolist() if i != bpe.eos_id]
        assert dataset.text_bytes(split) == len(bpe.decode_bytes(ids))
    assert dataset.text_bytes("all") == sum(len(text.encode()) for text in texts)


def test_the_manifest_says_how_the_source_was_read(tmp_path):
    path = tmp_path / "mail.jsonl"
    path.write_text("".join(json.dumps({"body": "abc " * 5}) + "\n" for _ in range(10)))
    config = DataConfig(source=str(path), text_field="body", max_bytes=90)
    manifest = prepare(configured_source(config), LETTERS, tmp_path / "out", config, 0).manifest
    assert (manifest.source.text_field, manifest.source.max_bytes) == ("body", 90)
    assert manifest.source.text_bytes == 90


@given(
    parts=st.lists(
        st.sampled_from(["the cat", " saß ", "☃", "<|endoftext|>", "<|endo"]), min_size=20, max_size=60
    ),
    ratio=st.floats(0.2, 0.8),
)
def test_special_tokens_in_the_text_may_be_allowed_and_stand_for_no_bytes(tmp_path_factory, bpe, parts, ratio):
    assume(any(part != "<|endoftext|>" for part in parts))
    folder, text = tmp_path_factory.mktemp("special"), "".join(parts)
    (folder / "in.txt").write_bytes(text.encode())
    config = DataConfig(allow_special=True, validation_split_ratio=ratio)
    dataset = prepare(open_source(folder / "in.txt"), bpe, folder / "out", config, 0)
    assert bpe.decode(whole_stream(dataset)) == text
    assert whole_stream(dataset).count(bpe.eos_id) == parts.count("<|endoftext|>")
    assert dataset.manifest.allow_special
    assert dataset.manifest.source.text_bytes == len(text.encode())
    for split in ("train", "validation", "all"):
        ordinary = [i for i in dataset.tokens(split).tolist() if i != bpe.eos_id]
        assert dataset.text_bytes(split) == len(bpe.decode_bytes(ordinary))


def test_unknown_characters_share_the_bytes_of_the_text(tmp_path):
    tokenizer = CharacterTokenizer("ab", special_tokens=True)
    dataset = prepare(folder_of(tmp_path / "in", "ab☃b" * 50), tokenizer, tmp_path / "out", DataConfig(), 0)
    assert dataset.text_bytes("all") == 300
    assert dataset.text_bytes("validation") == pytest.approx(30, abs=2)
    nothing_known = prepare(folder_of(tmp_path / "cd", "cd" * 50), tokenizer, tmp_path / "cd.out", DataConfig(), 0)
    assert (nothing_known.text_bytes("train"), nothing_known.text_bytes("validation")) == (90, 10)


def test_a_large_vocabulary_takes_four_bytes_a_token(tmp_path):
    characters = "".join(map(chr, range(0x20000, 0x30001)))
    tokenizer = CharacterTokenizer(characters, special_tokens=False)
    assert tokenizer.vocab_size == (1 << 16) + 1
    text = (characters[:3] + characters[-3:]) * 10
    dataset = prepare(folder_of(tmp_path / "in", text), tokenizer, tmp_path / "out", DataConfig(), 0)
    assert dataset.manifest.dtype == "uint32"
    assert dataset.train.dtype == np.dtype("<u4")
    assert tokenizer.decode(whole_stream(dataset)) == text


def test_progress_counts_the_bytes_of_text(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "CHUNK_BYTES", 50)
    seen: list[int] = []
    source = folder_of(tmp_path / "in", *["abcdefgh" * 5] * 4)
    prepare(source, LETTERS, tmp_path / "out", DataConfig(), 0, progress=seen.append)
    assert seen == [80, 160]


def test_memory_does_not_grow_with_the_text(tmp_path, monkeypatch):
    # No chunk holds more than one document beyond its size, however many documents there are.
    monkeypatch.setattr(module, "CHUNK_BYTES", 100)
    documents = (Document(str(number), "abc " * 5) for number in range(200))
    sizes = [len(part) for part in tokenize(documents, LETTERS)]
    assert max(sizes) <= 120
    assert sum(sizes) == 4000


# -- what can go wrong ----------------------------------------------------------------


def test_a_refused_document_is_named(tmp_path, bpe):
    source = folder_of(tmp_path / "in", "fine " * 9, "not <|endoftext|> fine")
    with pytest.raises(
        TokenizerError, match=r"001\.txt: the text has the special token '<\|endoftext\|>'"
    ) as caught:
        prepare(source, bpe, tmp_path / "out", DataConfig(), 0)
    assert "remove it" in caught.value.hint
    assert "data.allow_special = true" in caught.value.hint
    with pytest.raises(TokenizerError, match=r"001\.txt: the character 'o' at position 1") as caught:
        prepare(source, CharacterTokenizer("fine ", special_tokens=False), tmp_path / "out", DataConfig(), 0)
    assert "allow_special" not in caught.value.hint
    assert not (tmp_path / "out").exists()


def test_a_prepared_dataset_is_replaced_as_a_whole(tmp_path):
    first = prepare(folder_of(tmp_path / "a", "abc " * 20), LETTERS, tmp_path / "out", DataConfig(), 0)
    second = prepare(folder_of(tmp_path / "b", "efg\n" * 30), LETTERS, tmp_path / "out", DataConfig(), 0)
    assert LETTERS.decode(whole_stream(second)) == "efg\n" * 30
    assert LETTERS.decode(whole_stream(first)) == "abc " * 20  # what was open stays readable
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "out"]


def test_a_failed_preparation_keeps_the_dataset_that_was_there(tmp_path, monkeypatch):
    prepare(folder_of(tmp_path / "a", "abc " * 20), LETTERS, tmp_path / "out", DataConfig(), 0)

    def full_disk(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(DataError, match=r"the disk is full: .*out could not be written; what was saved before"):
        prepare(folder_of(tmp_path / "b", "efg " * 20), LETTERS, tmp_path / "out", DataConfig(), 0)
    assert LETTERS.decode(whole_stream(TokenDataset.open(tmp_path / "out", verify=True))) == "abc " * 20
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "out"]


def test_a_dataset_whose_replacement_was_killed_between_the_renames_is_found(tmp_path):
    prepare(folder_of(tmp_path / "a", "abc " * 20), LETTERS, tmp_path / "out", DataConfig(), 0)
    (tmp_path / "out").rename(tmp_path / ".out.previous")
    assert is_prepared(tmp_path / "out")
    assert LETTERS.decode(whole_stream(TokenDataset.open(tmp_path / "out"))) == "abc " * 20
    prepare(folder_of(tmp_path / "b", "efg " * 20), LETTERS, tmp_path / "out", DataConfig(), 0)
    assert LETTERS.decode(whole_stream(TokenDataset.open(tmp_path / "out"))) == "efg " * 20
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "out"]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_nothing_else_is_overwritten(tmp_path, kind):
    out = tmp_path / "out"
    if kind == "file":
        out.write_text("precious")
    else:
        out.mkdir()
        (out / "precious.txt").write_text("precious")
    with pytest.raises(DataError, match=r"it will not be replaced|is a file"):
        prepare(folder_of(tmp_path / "in", "abc " * 20), LETTERS, out, DataConfig(), 0)


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "out").mkdir()
    prepare(folder_of(tmp_path / "in", "abc " * 20), LETTERS, tmp_path / "out", DataConfig(), 0)
    assert (tmp_path / "out" / "manifest.json").is_file()
