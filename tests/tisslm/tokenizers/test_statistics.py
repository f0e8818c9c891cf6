"""What a vocabulary is made of and how well it compresses, against counts made by hand."""

import pytest

from quanta_tissu.errors import TokenizerError
from quanta_tissu.tisslm.tokenizers import BPETokenizer, CharacterTokenizer
from quanta_tissu.tisslm.tokenizers.statistics import compression, vocabulary_statistics


def test_a_vocabulary():
    tokenizer = BPETokenizer()
    tokenizer.train(["abcd abcd"], 300)  # merges ab, cd, abcd
    found = vocabulary_statistics(tokenizer)
    assert (found.kind, found.vocab_size, found.special_tokens) == ("bpe", 260, {"<|endoftext|>": 259})
    assert found.lengths == {1: 256, 2: 2, 4: 1}
    assert found.max_length == 4
    assert found.mean_length == pytest.approx((256 + 2 * 2 + 4) / 259)
    assert [tokenizer.token_bytes(i) for i in found.longest[:3]] == [b"abcd", b"ab", b"cd"]
    assert len(found.longest) == 10
    assert found.fingerprint == tokenizer.fingerprint()


def test_a_vocabulary_of_special_tokens_only():
    found = vocabulary_statistics(CharacterTokenizer(""))
    assert (found.vocab_size, found.mean_length, found.max_length, found.longest) == (4, 0, 0, [])


def test_compression():
    tokenizer = BPETokenizer()
    tokenizer.train(["abcd abcd"], 300)
    found = compression(tokenizer, ["abcdé", "abcd<|endoftext|>"])
    # abcd, two bytes of é | abcd, <|endoftext|>
    assert (found.bytes, found.characters, found.tokens, found.distinct_tokens) == (6 + 17, 5 + 17, 5, 4)
    assert found.bytes_per_token == pytest.approx(23 / 5)
    assert found.characters_per_token == pytest.approx(22 / 5)
    assert found.vocabulary_used == pytest.approx(4 / 260)


def test_compression_of_nothing_is_refused():
    with pytest.raises(TokenizerError, match="there is no text to measure the compression on"):
        compression(CharacterTokenizer("ab"), ["", ""])
