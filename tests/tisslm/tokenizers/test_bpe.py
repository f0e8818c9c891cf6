"""Byte-level BPE over the library: training, exact ids for long texts, files it refuses, and forks."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quanta_tissu.errors import TokenizerError
from quanta_tissu.tisslm.tokenizers import BPETokenizer
from quanta_tissu.tisslm.tokenizers import bpe as bpe_module
from quanta_tissu.tisslm.tokenizers.byte_alphabet import BYTE_ORDER, BYTE_TO_CHARACTER

BYTES = {BYTE_TO_CHARACTER[byte]: i for i, byte in enumerate(BYTE_ORDER)}


def test_the_vocabulary_is_laid_out_as_gpt2s(bpe):
    assert bpe.vocab_size == 1024
    assert [bpe.token_bytes(i) for i in range(256)] == [bytes([byte]) for byte in BYTE_ORDER]
    assert [bpe.token_bytes(256 + i) for i in range(767)] == [left + right for left, right in bpe.merges]
    assert bpe.special_tokens == {"<|endoftext|>": 1023}
    assert (bpe.bos_id, bpe.eos_id, bpe.pad_id, bpe.unk_id) == (1023, 1023, 1023, None)


@given(text=st.text())
def test_any_text_round_trips(bpe, text):
    assert bpe.decode(bpe.encode(text)) == text
    assert bpe.decode_bytes(bpe.encode(text)) == text.encode()


@given(text=st.text(min_size=1), data=st.data())
def test_ids_cut_anywhere_decode_without_an_error(bpe, text, data):
    ids = bpe.encode(text)
    cut = data.draw(st.integers(0, len(ids)))
    assert bpe.decode_bytes(ids[:cut]) + bpe.decode_bytes(ids[cut:]) == text.encode()
    assert bpe.decode(ids[:cut]) == bpe.decode_bytes(ids[:cut]).decode(errors="replace")


def test_training_does_not_depend_on_how_the_text_is_divided_among_threads(topics, bpe):
    again = BPETokenizer()
    again.train(iter(topics), 1024)
    assert again.to_json() == bpe.to_json()


def test_training_replaces_what_was_learned(bpe):
    tokenizer = BPETokenizer()
    tokenizer.train(["abab"], 258)
    tokenizer.train(["cdcd"], 258)
    assert tokenizer.merges == [(b"c", b"d")]


def test_a_small_text_gives_a_smaller_vocabulary():
    tokenizer = BPETokenizer()
    tokenizer.train(["abab"], 5000)
    assert tokenizer.vocab_size == 256 + 1 + 1
    assert tokenizer.decode(tokenizer.encode("zebra \N{SNOWMAN}")) == "zebra \N{SNOWMAN}"


def test_end_of_text_separates_training_documents():
    tokenizer = BPETokenizer()
    tokenizer.train(["ab<|endoftext|>ab<|endoftext|>endoftext"], 300)
    assert tokenizer.merges == [(b"a", b"b")]


def test_training_says_nothing(topics, capfd):
    BPETokenizer().train(topics[:5], 300)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "use",
    [
        lambda t: t.encode("a"),
        lambda t: t.encode(""),
        lambda t: t.encode_batch(["a"]),
        lambda t: t.decode([0]),
        lambda t: t.to_json(),
        lambda t: t.fingerprint(),
        lambda t: t.merges,
    ],
)
def test_using_it_untrained_is_refused(use):
    with pytest.raises(TokenizerError, match="the BPE tokenizer is not trained") as error:
        use(BPETokenizer())
    assert "train(texts, vocab_size)" in error.value.hint
    assert BPETokenizer().vocab_size == 0


def test_a_vocabulary_without_room_for_the_bytes_is_refused():
    with pytest.raises(TokenizerError, match="vocab_size = 256 is too small") as error:
        BPETokenizer().train(["text"], 256)
    assert error.value.hint == "choose a vocab_size of 257 or more"


def test_empty_training_text_is_refused_and_changes_nothing():
    tokenizer = BPETokenizer()
    tokenizer.train(["abab"], 300)
    for texts in ([], ["", ""], ["<|endoftext|>"]):
        with pytest.raises(TokenizerError, match="the training text is empty"):
            tokenizer.train(texts, 300)
    assert tokenizer.merges == [(b"a", b"b")]


def test_half_a_surrogate_pair_in_training_text_is_refused():
    with pytest.raises(TokenizerError, match="lone surrogate"):
        BPETokenizer().train(["fine", "\ud800"], 300)


# -- long texts are cut into pieces for the library's threads ----------------------------------------------------


def whole(tokenizer: BPETokenizer, text: str) -> list[int]:
    return tokenizer._library.encode(text, add_special_tokens=False).ids


signs = st.text(st.sampled_from("ab1 \n\t'\"!.,_sté中文、。²\x1c\x85\xa0\u2003\N{SNOWMAN}"), max_size=60)


@given(text=signs | st.text())
@settings(max_examples=400)
def test_cutting_a_text_changes_no_id(bpe, text):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bpe_module, "_PIECE_CHARACTERS", 1)
        patch.setattr(bpe_module, "_PORTION_CHARACTERS", 7)
        pieces = list(bpe_module._cut(text))
        assert "".join(pieces) == text
        assert bpe.encode(text) == whole(bpe, text)
        assert bpe.encode_batch([text, "", text]) == [whole(bpe, text), [], whole(bpe, text)]


def test_a_long_document_is_cut_and_has_the_same_ids(bpe, topics):
    text = "\n".join(topics)
    pieces = list(bpe_module._cut(text))
    assert len(pieces) > 20
    assert max(map(len, pieces)) < 2 * bpe_module._PIECE_CHARACTERS
    assert bpe.encode(text) == whole(bpe, text)


def test_allowed_special_tokens_survive_the_cutting(bpe, monkeypatch):
    monkeypatch.setattr(bpe_module, "_PIECE_CHARACTERS", 1)
    text = "a <|endoftext|>b c<|endoftext|>"
    end = bpe.eos_id
    expected = [*bpe.encode("a "), end, *bpe.encode("b c"), end]
    assert bpe.encode(text, allow_special=True) == expected == whole(bpe, text)


def test_the_longest_of_overlapping_special_tokens_is_meant(monkeypatch):
    monkeypatch.setattr(bpe_module, "_PIECE_CHARACTERS", 1)
    tokenizer = BPETokenizer.from_vocabulary(BYTES | {"<|a": 256, "<|a|>": 257}, [], ["<|a", "<|a|>"])
    text = "<|a|><|a"
    assert tokenizer.encode(text, allow_special=True) == [257, 256] == whole(tokenizer, text)


@pytest.mark.parametrize("unit", ["a", " ", "\n", "中", "x1.,"])
def test_text_without_a_place_to_cut_is_encoded_all_the_same(bpe, unit):
    text = unit * (3 * bpe_module._PIECE_CHARACTERS)
    assert bpe.decode(bpe.encode(text)) == text


# -- files -------------------------------------------------------------------------------------------------------


def changed(bpe, **changes) -> str:
    data = json.loads(bpe.to_json())
    for path, value in changes.items():
        *folders, name = path.split("__")
        place = data
        for folder in folders:
            place = place[int(folder) if isinstance(place, list) else folder]
        place[name] = value
    return json.dumps(data)


def test_the_file_opens_in_the_library(bpe, topics):
    from tokenizers import Tokenizer as LibraryTokenizer

    library = LibraryTokenizer.from_str(bpe.to_json())
    assert library.encode(topics[1]).ids == bpe.encode(topics[1])
    assert library.decode(bpe.encode(topics[1])) == topics[1]


def test_the_file_opens_in_transformers(torch, bpe, topics, tmp_path):
    transformers = pytest.importorskip("transformers")
    bpe.save(tmp_path / "tokenizer.json")
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "tokenizer.json"))
    assert tokenizer(topics[2])["input_ids"] == bpe.encode(topics[2])


def test_truncation_and_padding_in_a_file_do_not_touch_the_text(bpe, topics):
    truncation = {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}
    padding = {
        "strategy": {"Fixed": 9},
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": 0,
        "pad_type_id": 0,
        "pad_token": "!",
    }
    tokenizer = BPETokenizer.from_json(changed(bpe, truncation=truncation, padding=padding))
    assert tokenizer.encode(topics[0]) == bpe.encode(topics[0])
    assert tokenizer.fingerprint() == bpe.fingerprint()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"normalizer": {"type": "NFC"}}, "the normalizer {'type': 'NFC'}"),
        ({"pre_tokenizer": None}, "the pre-tokenizer {}"),
        ({"pre_tokenizer": {"type": "Whitespace"}}, "the pre-tokenizer {'type': 'Whitespace'}"),
        (
            {"pre_tokenizer__add_prefix_space": True},
            "the pre-tokenizer {'type': 'ByteLevel', 'add_prefix_space': True",
        ),
        ({"pre_tokenizer__use_regex": False}, "'use_regex': False"),
        ({"model__dropout": 0.1}, "dropout of merges"),
        ({"model__byte_fallback": True}, "byte fallback"),
        ({"model__ignore_merges": True}, "whole words looked up before merging"),
        ({"model__end_of_word_suffix": "w", "model__merges": []}, "prefixes or suffixes inside words"),
        ({"added_tokens__0__special": False}, "added tokens that are not special"),
        ({"added_tokens__0__lstrip": True}, "added tokens that swallow space or match whole words"),
    ],
)
def test_a_tokenizer_with_other_rules_is_refused(bpe, changes, message):
    with pytest.raises(TokenizerError) as error:
        BPETokenizer.from_json(changed(bpe, **changes))
    assert message in error.value.message
    assert "GPT-2's pre-tokenizer" in error.value.hint


def test_another_model_of_the_library_is_refused():
    from tokenizers import Tokenizer as LibraryTokenizer
    from tokenizers import models

    with pytest.raises(TokenizerError, match="a model of type 'WordLevel'"):
        BPETokenizer.from_json(LibraryTokenizer(models.WordLevel({"a": 0}, unk_token="a")).to_str())


@pytest.mark.parametrize("text", ["", "{}", "not json", '{"model": {"type": "BPE"}}'])
def test_what_is_no_tokenizer_is_refused(text):
    with pytest.raises(TokenizerError, match="this is no tokenizer"):
        BPETokenizer.from_json(text)


def test_a_truncated_file_is_refused(bpe):
    text = bpe.to_json()
    with pytest.raises(TokenizerError, match="this is no tokenizer"):
        BPETokenizer.from_json(text[: len(text) // 2])


# -- vocabularies made elsewhere ---------------------------------------------------------------------------------


def test_a_vocabulary_made_elsewhere():
    tokens = BYTES | {"ab": 256, "abc": 257, "<|endoftext|>": 258}
    tokenizer = BPETokenizer.from_vocabulary(tokens, [("a", "b"), ("ab", "c")], ["<|endoftext|>"])
    assert tokenizer.encode("abcab") == [257, 256]
    assert tokenizer.eos_id == 258
    assert tokenizer.vocab_size == 259


def test_a_vocabulary_may_lack_end_of_text():
    tokenizer = BPETokenizer.from_vocabulary(BYTES, [], [])
    assert tokenizer.eos_id is None
    assert tokenizer.encode("<|endoftext|>") == tokenizer.encode("<|endoftext|>", allow_special=True)


@pytest.mark.parametrize(
    ("tokens", "merges", "message"),
    [
        (BYTES, [("a", "b")], "the vocabulary and its merges do not fit together: .*ab"),
        (BYTES | {"a▁": 256}, [], "the character '▁', which stands for no byte"),
        (BYTES | {"ab": 300}, [], "the 257 ids of the vocabulary are not 0 … 256"),
        (BYTES | {"ab": 0}, [], "the 257 ids of the vocabulary are not 0 … 256"),
        ({"a": 0}, [], "no token for 255 of the 256 bytes, 0x00 first"),
    ],
)
def test_a_vocabulary_that_contradicts_itself_is_refused(tokens, merges, message):
    with pytest.raises(TokenizerError, match=message):
        BPETokenizer.from_vocabulary(tokens, merges, [])


# -- processes that fork -----------------------------------------------------------------------------------------

FORK = """
import os, sys
from quanta_tissu.tisslm.tokenizers import BPETokenizer
tokenizer = BPETokenizer()
tokenizer.train(["some text to learn from"] * 50, 300)
texts = ["some text " * 200] * 64
expected = tokenizer.encode_batch(texts)
variable = os.environ.get("TOKENIZERS_PARALLELISM")
process = os.fork()
if process == 0:
    os._exit(0 if tokenizer.encode_batch(texts) == expected else 1)
status = os.waitpid(process, 0)[1]
assert tokenizer.encode_batch(texts) == expected
assert os.environ.get("TOKENIZERS_PARALLELISM") == variable
sys.exit(status)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.parametrize("variable", [None, "true", "false"])
def test_a_forked_process_encodes_without_hanging_or_warning(variable):
    environment = {name: value for name, value in os.environ.items() if name != "TOKENIZERS_PARALLELISM"}
    if variable is not None:
        environment["TOKENIZERS_PARALLELISM"] = variable
    outcome = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORK], env=environment, timeout=60, capture_output=True, text=True
    )
    assert (outcome.returncode, outcome.stderr) == (0, "")


def test_importing_the_package_imports_no_library():
    code = "import sys, quanta_tissu.tisslm.tokenizers; sys.exit('tokenizers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
