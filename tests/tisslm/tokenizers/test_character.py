"""One id per character, with four special tokens or without any."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quanta_tissu.errors import TokenizerError
from quanta_tissu.tisslm.tokenizers import CharacterTokenizer


def test_special_tokens_have_fixed_ids():
    tokenizer = CharacterTokenizer.train(["hello"])
    assert (tokenizer.pad_id, tokenizer.bos_id, tokenizer.eos_id, tokenizer.unk_id) == (0, 1, 2, 3)
    assert tokenizer.special_tokens == {"<|pad|>": 0, "<|bos|>": 1, "<|eos|>": 2, "<|unk|>": 3}
    assert tokenizer.encode("hello") == [5, 4, 6, 6, 7]  # e h l o are 4 5 6 7
    assert tokenizer.characters == "ehlo"
    assert tokenizer.vocab_size == 8


def test_without_special_tokens_characters_start_at_zero():
    tokenizer = CharacterTokenizer.train(["hello"], special_tokens=False)
    assert tokenizer.special_tokens == {}
    assert (tokenizer.pad_id, tokenizer.bos_id, tokenizer.eos_id, tokenizer.unk_id) == (None, None, None, None)
    assert tokenizer.encode("hello") == [1, 0, 2, 2, 3]
    assert tokenizer.vocab_size == 4


def test_an_unknown_character_becomes_unk():
    tokenizer = CharacterTokenizer("ab")
    assert tokenizer.encode("aéb") == [4, 3, 5]
    assert tokenizer.decode([4, 3, 5]) == "a<|unk|>b"


def test_an_unknown_character_without_unk_is_named_with_its_place():
    tokenizer = CharacterTokenizer("ab", special_tokens=False)
    for allow_special in (False, True):
        with pytest.raises(TokenizerError) as error:
            tokenizer.encode("abéa", allow_special=allow_special)
        assert "'é' at position 2 is not in the vocabulary of 2 characters" in error.value.message
        assert "with special tokens" in error.value.hint


def test_the_place_of_a_special_token_does_not_shift():
    tokenizer = CharacterTokenizer("ab")
    assert tokenizer.encode("a<|eos|>b<|unk|><|pad|>", allow_special=True) == [4, 2, 5, 3, 0]


def test_special_tokens_in_the_training_text_are_not_learned():
    text = "ab<|eos|>ba<|pad|>"
    assert CharacterTokenizer.train([text]).characters == "ab"
    assert CharacterTokenizer.train([text], special_tokens=False).characters == "".join(sorted(set(text)))


@given(st.text(min_size=1))
def test_any_text_round_trips_through_its_own_characters(text):
    tokenizer = CharacterTokenizer.train([text], special_tokens=False)
    assert tokenizer.vocab_size == len(set(text))
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.decode_bytes(tokenizer.encode(text)) == text.encode()
    again = CharacterTokenizer.from_json(tokenizer.to_json())
    assert again.characters == tokenizer.characters
    assert again.fingerprint() == tokenizer.fingerprint()


def test_empty_training_text_is_refused():
    for texts in ([], ["", ""]):
        with pytest.raises(TokenizerError, match="the training text is empty"):
            CharacterTokenizer.train(texts)


def test_half_a_surrogate_pair_is_refused():
    with pytest.raises(TokenizerError, match="lone surrogate"):
        CharacterTokenizer.train(["\udc00"])


def test_a_character_twice_is_refused():
    with pytest.raises(TokenizerError, match="'b' is in the vocabulary twice"):
        CharacterTokenizer("abcb")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"characters": None}, "has exactly the fields type, version, special_tokens, characters"),
        ({"characters": ["a"]}, "each of its type"),
        ({"special_tokens": 1}, "each of its type"),
        ({"surprise": 1}, "has exactly the fields"),
        ({"version": 2}, "type 'character' version 2 is not a character tokenizer of version 1"),
        ({"type": "word"}, "type 'word' version 1 is not a character tokenizer"),
    ],
)
def test_a_changed_file_is_refused(change, message):
    data = json.loads(CharacterTokenizer("ab").to_json()) | change
    with pytest.raises(TokenizerError, match=message):
        CharacterTokenizer.from_json(json.dumps({key: value for key, value in data.items() if value is not None}))


def test_what_is_not_json_is_refused():
    with pytest.raises(TokenizerError, match="the character tokenizer is not JSON"):
        CharacterTokenizer.from_json("{")


def test_nanogpts_counts_on_tinyshakespeare(shared_data):
    text = (shared_data / "tinyshakespeare.txt").read_text(encoding="utf-8")
    tokenizer = CharacterTokenizer.train([text], special_tokens=False)
    assert tokenizer.vocab_size == 65
    assert tokenizer.characters == "\n !$&',-.3:;?ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    ids = tokenizer.encode(text)
    split = int(0.9 * len(ids))
    assert (split, len(ids) - split) == (1_003_854, 111_540)
    assert tokenizer.decode(ids) == text
