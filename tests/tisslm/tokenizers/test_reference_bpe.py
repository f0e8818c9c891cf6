"""The readable BPE is right (published example), and the fast one is the same (real and random text)."""

from __future__ import annotations

import inspect
import sys
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quanta_tissu.errors import TokenizerError
from quanta_tissu.tisslm.tokenizers import BPETokenizer, reference_bpe
from quanta_tissu.tisslm.tokenizers.byte_alphabet import BYTE_ORDER
from quanta_tissu.tisslm.tokenizers.reference_bpe import ReferenceBPE, word_pattern


def trained(texts, vocab_size, **options) -> ReferenceBPE:
    tokenizer = ReferenceBPE()
    tokenizer.train(texts, vocab_size, **options)
    return tokenizer


def fast(texts, vocab_size, **options) -> BPETokenizer:
    tokenizer = BPETokenizer()
    tokenizer.train(texts, vocab_size + 1, **options)  # one more for <|endoftext|>, which the reference lacks
    return tokenizer


def merges_as_bytes(reference: ReferenceBPE) -> list[tuple[bytes, bytes]]:
    return [(reference.decode_bytes([left]), reference.decode_bytes([right])) for left, right in reference.merges]


def reference_ids(ids: list[int]) -> list[int]:
    """Ids of the fast tokenizer as the reference has them: the 256 bytes stand in GPT-2's order there."""
    return [BYTE_ORDER[token_id] if token_id < 256 else token_id for token_id in ids]


def assert_same(reference: ReferenceBPE, library: BPETokenizer, text: str) -> None:
    assert reference.encode(text) == reference_ids(library.encode(text))


def test_the_published_example():
    # Wikipedia's example with minbpe's published ids.
    tokenizer = trained(["aaabdaaabac"], 256 + 3)
    assert tokenizer.encode("aaabdaaabac") == [258, 100, 258, 97, 99]
    assert tokenizer.decode([258, 100, 258, 97, 99]) == "aaabdaaabac"
    assert tokenizer.decode([258]) == "aaab"


def test_it_can_be_read_in_one_sitting():
    assert len(inspect.getsource(reference_bpe).splitlines()) < 200


def test_merges_and_ids_equal_the_librarys_on_pythons_documentation(topics):
    reference, library = trained(topics, 256 + 400), fast(topics, 256 + 400)
    assert merges_as_bytes(reference) == library.merges
    assert len(reference.merges) == 400
    assert_same(reference, library, "".join(topics)[:100_000])


@pytest.mark.slow
def test_merges_and_ids_equal_the_librarys_on_tinyshakespeare(shared_data):
    text = (shared_data / "tinyshakespeare.txt").read_text(encoding="utf-8")
    reference, library = trained([text], 256 + 700), fast([text], 256 + 700)
    assert merges_as_bytes(reference) == library.merges
    assert_same(reference, library, text[-100_000:])


@given(
    st.lists(st.text(alphabet="ab \n", max_size=40), min_size=1, max_size=6).filter(any),
    st.integers(256, 290),
    st.sampled_from([1, 2, 3]),
)
def test_ties_break_as_in_the_library(texts, vocab_size, min_frequency):
    # Two letters and short texts: most pairs are equally frequent, and many overlap themselves.
    reference = trained(texts, vocab_size, min_frequency=min_frequency)
    library = fast(texts, vocab_size, min_frequency=min_frequency)
    assert merges_as_bytes(reference) == library.merges
    for text in texts:
        assert_same(reference, library, text)


def test_ties_go_to_the_pair_that_comes_first_in_gpt2s_order():
    # Bytes of "é" are C3 A9; in GPT-2's order they stand before the space, by value after it.
    tokenizer = trained([" x éé ab ab"], 256 + 1)
    assert merges_as_bytes(tokenizer) == [(b"a", b"b")]
    assert merges_as_bytes(trained([" x x éé"], 256 + 1)) == [("é".encode()[:1], "é".encode()[1:])]


# Python 3.11 knows Unicode 14; the library's tables are newer, so only characters that Python knows are compared.
known_text = st.text(st.characters(exclude_categories=["Cs", "Cn"]))


@given(known_text)
@settings(max_examples=300)
def test_words_are_cut_as_in_the_library(text):
    from tokenizers import pre_tokenizers

    words = pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str(text)
    assert word_pattern().findall(text) == [text[start:end] for _, (start, end) in words]
    assert "".join(word_pattern().findall(text)) == text


@pytest.mark.slow
def test_every_character_belongs_to_the_class_it_has_in_the_library():
    from tokenizers import pre_tokenizers

    library = pre_tokenizers.ByteLevel(add_prefix_space=False)
    known = [c for c in map(chr, range(sys.maxunicode + 1)) if unicodedata.category(c) not in ("Cs", "Cn")]
    for start in range(0, len(known), 1000):
        # Letter, number, sign and space each cut this differently.
        probe = "".join(f"a{character}1{character}!\n" for character in known[start : start + 1000])
        words = [probe[first:last] for _, (first, last) in library.pre_tokenize_str(probe)]
        assert word_pattern().findall(probe) == words, hex(ord(known[start]))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Hello world", ["Hello", " world"]),
        ("it's we'LL", ["it", "'s", " we", "'", "LL"]),
        ("a  b", ["a", " ", " b"]),
        ("x1 = 22;\n\n  y", ["x", "1", " =", " 22", ";", "\n\n ", " y"]),
        ("tab\tend \n", ["tab", "\t", "end", " \n"]),
        ("größe²", ["größe", "²"]),
    ],
)
def test_the_pattern_by_example(text, words):
    assert word_pattern().findall(text) == words


@given(st.text())
def test_any_text_round_trips(text):
    tokenizer = ReferenceBPE([(97, 98), (256, 99)])
    assert tokenizer.decode(tokenizer.encode(text)) == text


@given(st.binary())
def test_any_bytes_are_ids(raw):
    tokenizer = ReferenceBPE([])
    assert tokenizer.decode_bytes(raw) == raw
    assert tokenizer.decode(raw) == raw.decode(errors="replace")


def test_training_stops_when_no_pair_is_frequent_enough():
    assert trained(["ab"], 300).merges == []
    assert trained(["ab"], 300, min_frequency=1).merges == [(97, 98)]
    assert trained(["a"], 300, min_frequency=1).merges == []


def test_training_again_starts_afresh():
    tokenizer = trained(["abab"], 257)
    tokenizer.train(["cdcd"], 257)
    assert tokenizer.merges == [(99, 100)]


def test_using_it_untrained_is_refused():
    for use in (lambda t: t.encode("a"), lambda t: t.decode([97])):
        with pytest.raises(TokenizerError, match="the BPE tokenizer is not trained") as error:
            use(ReferenceBPE())
        assert error.value.hint == "call train(texts, vocab_size) first"


def test_a_vocabulary_without_room_for_the_bytes_is_refused():
    with pytest.raises(TokenizerError, match="vocab_size = 255 is too small"):
        trained(["text"], 255)


def test_empty_training_text_is_refused():
    for texts in ([], [""]):
        with pytest.raises(TokenizerError, match="the training text is empty"):
            trained(texts, 300)


@pytest.mark.parametrize("outside", [-1, 257])
def test_an_id_outside_the_vocabulary_is_named(outside):
    with pytest.raises(TokenizerError, match=f"token id {outside} is outside the vocabulary, 0 … 256"):
        ReferenceBPE([(97, 98)]).decode([outside])
