"""What every tokenizer promises, whatever its kind."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quanta_tissu.errors import TokenizerError
from quanta_tissu.tisslm import tokenizers
from quanta_tissu.tisslm.tokenizers import Piece
from quanta_tissu.tisslm.tokenizers.byte_alphabet import to_characters


@pytest.fixture(params=["bpe", "character"])
def tokenizer(request):
    return request.getfixturevalue(request.param)


def test_ids_become_the_text_again(tokenizer, topics):
    for text in ["", "def f():\n    return 1", *topics[:20]]:
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_every_id_decodes_to_its_bytes(tokenizer):
    for token_id in range(tokenizer.vocab_size):
        assert tokenizer.decode_bytes([token_id]) == tokenizer.token_bytes(token_id) != b""


def test_decoding_concatenates(tokenizer):
    ids = st.lists(st.integers(0, tokenizer.vocab_size - 1))

    @given(ids, ids)
    def concatenates(a, b):
        assert tokenizer.decode_bytes(a + b) == tokenizer.decode_bytes(a) + tokenizer.decode_bytes(b)
        assert tokenizer.decode(a) == tokenizer.decode_bytes(a).decode(errors="replace")

    concatenates()


def test_ids_may_be_an_array(tokenizer):
    ids = np.array(tokenizer.encode("return"), dtype=np.uint16)
    assert tokenizer.decode(ids) == "return"


@pytest.mark.parametrize("outside", [-1, 1 << 20])
def test_an_id_outside_the_vocabulary_is_named(tokenizer, outside):
    with pytest.raises(TokenizerError, match=rf"token id {outside} is outside the vocabulary, 0 … "):
        tokenizer.decode([5, outside])


def test_a_batch_is_encoded_as_its_texts_are(tokenizer, topics):
    texts = ["", *topics[:30], "a"]
    assert tokenizer.encode_batch(texts) == [tokenizer.encode(text) for text in texts]
    assert tokenizer.encode_batch([]) == []


def test_special_tokens_in_text_are_refused_with_their_place(tokenizer):
    for token in tokenizer.special_tokens:
        for call in (tokenizer.encode, lambda text: tokenizer.encode_batch(["fine", text])):
            with pytest.raises(TokenizerError) as error:
                call(f"four{token} and {token}")
            assert f"{token!r} at position 4" in error.value.message
            assert "allow_special=True" in error.value.hint


def test_allowed_special_tokens_become_their_ids(tokenizer):
    for token, token_id in tokenizer.special_tokens.items():
        text = f"a{token}{token} b"
        expected = [*tokenizer.encode("a"), token_id, token_id, *tokenizer.encode(" b")]
        assert tokenizer.encode(text, allow_special=True) == expected
        assert tokenizer.encode_batch([text], allow_special=True) == [expected]
        assert tokenizer.decode(expected) == text


def test_the_first_of_several_special_tokens_is_reported(character):
    with pytest.raises(TokenizerError, match=r"'<\|eos\|>' at position 1"):
        character.encode("a<|eos|><|pad|>")


def test_half_a_surrogate_pair_is_refused_with_its_place(tokenizer):
    with pytest.raises(TokenizerError, match=r"lone surrogate '\\ud83d' at position 2") as error:
        tokenizer.encode("ab\ud83d")
    assert "errors='replace'" in error.value.hint


def test_pieces_show_ids_bytes_and_text(tokenizer):
    pieces = tokenizer.pieces("the end")
    assert [piece.id for piece in pieces] == tokenizer.encode("the end")
    assert b"".join(piece.bytes for piece in pieces) == b"the end"
    assert "".join(piece.text for piece in pieces) == "the end"


def test_half_a_character_shows_as_the_replacement_character(bpe):
    pieces = bpe.pieces("\N{SNOWMAN}")
    assert [piece.bytes for piece in pieces] == [b"\xe2", b"\x98", b"\x83"]
    assert pieces[0] == Piece(bpe.encode("\N{SNOWMAN}")[0], b"\xe2", "\ufffd")


def test_a_saved_tokenizer_comes_back_the_same(tokenizer, topics, tmp_path):
    path = tmp_path / "tokenizer.json"
    tokenizer.save(path)
    again = tokenizers.load(path)
    assert type(again) is type(tokenizer)
    assert again.fingerprint() == tokenizer.fingerprint()
    assert again.special_tokens == tokenizer.special_tokens
    assert (again.bos_id, again.eos_id, again.pad_id, again.unk_id) == (
        tokenizer.bos_id,
        tokenizer.eos_id,
        tokenizer.pad_id,
        tokenizer.unk_id,
    )
    assert again.encode(topics[0]) == tokenizer.encode(topics[0])
    assert [file.name for file in tmp_path.iterdir()] == ["tokenizer.json"]


def test_saving_replaces_the_file_and_is_json(tokenizer, tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_text("something else")
    tokenizer.save(str(path))
    assert json.loads(path.read_text(encoding="utf-8"))


def test_different_tokenizers_have_different_fingerprints(bpe, character):
    assert len(bpe.fingerprint()) == 64
    assert bpe.fingerprint() != character.fingerprint()


def test_a_tokenizer_prints_its_size(bpe, character):
    assert repr(bpe) == "<BPETokenizer of 1,024 tokens>"
    assert repr(character).startswith("<CharacterTokenizer of ")


def test_the_byte_alphabet_is_gpt2s(bpe):
    assert to_characters(b" \n!\xc3\xa9\xad") == "ĠĊ!Ã©Ń"
