"""GPT-2's alphabet: one printable character for each of the 256 bytes (Radford et al. 2019, section 2.2).

Byte-level BPE works on bytes, but vocabularies and merges are stored as text. GPT-2 therefore writes each byte as
one character: a byte that prints as itself in Latin-1 stays itself, the 68 others (controls, spaces, the soft
hyphen) take the characters from U+0100 on. A space becomes Ġ, a newline Ċ.
"""

from __future__ import annotations

from quanta_tissu.errors import TokenizerError

_PRINTABLE = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAC + 1), *range(0xAE, 0xFF + 1)]
_OTHERS = sorted(set(range(256)) - set(_PRINTABLE))

BYTE_ORDER: tuple[int, ...] = (*_PRINTABLE, *_OTHERS)
"""All 256 bytes in the order of their characters, which is the order of ids 0-255 in GPT-2's vocabulary."""

BYTE_TO_CHARACTER: dict[int, str] = {
    **{byte: chr(byte) for byte in _PRINTABLE},
    **{byte: chr(0x100 + i) for i, byte in enumerate(_OTHERS)},
}
"""The character that stands for each byte."""

CHARACTER_TO_BYTE: dict[str, int] = {character: byte for byte, character in BYTE_TO_CHARACTER.items()}
"""The byte that each character stands for."""


def to_characters(raw: bytes) -> str:
    """Write bytes in the alphabet, one character each."""
    return "".join(BYTE_TO_CHARACTER[byte] for byte in raw)


def to_bytes(token: str) -> bytes:
    """Read bytes written in the alphabet.

    Raises:
        TokenizerError: A character is not in the alphabet.
    """
    try:
        return bytes(CHARACTER_TO_BYTE[character] for character in token)
    except KeyError as error:
        raise TokenizerError(
            f"the token {token!r} has the character {error.args[0]!r}, which stands for no byte",
            hint="only byte-level BPE vocabularies in GPT-2's alphabet are supported",
        ) from None
