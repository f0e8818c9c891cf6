"""The alphabet is a bijection of bytes and printable characters, and it is the library's."""

import pytest

from quanta_tissu.errors import TokenizerError
from quanta_tissu.tisslm.tokenizers.byte_alphabet import BYTE_ORDER, BYTE_TO_CHARACTER, to_bytes, to_characters

ALL_BYTES = bytes(range(256))


def test_it_is_a_bijection():
    assert to_bytes(to_characters(ALL_BYTES)) == ALL_BYTES
    assert sorted(BYTE_ORDER) == list(range(256))


def test_it_is_the_librarys():
    from tokenizers import pre_tokenizers

    assert sorted(pre_tokenizers.ByteLevel.alphabet()) == [BYTE_TO_CHARACTER[byte] for byte in BYTE_ORDER]
    for byte in range(128):
        ((word, _),) = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(
            chr(byte)
        )
        assert to_bytes(word) == bytes([byte])


def test_every_character_prints():
    assert all(character.isprintable() and not character.isspace() for character in to_characters(ALL_BYTES))


def test_a_foreign_character_is_named():
    with pytest.raises(TokenizerError, match="'a▁' has the character '▁', which stands for no byte"):
        to_bytes("a▁")
