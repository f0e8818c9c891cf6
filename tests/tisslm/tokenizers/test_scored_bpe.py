"""BPE by score: the same ids as llama2.c's algorithm, and its way with leading spaces and bytes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quanta_tissu.errors import TokenizerError
from quanta_tissu.tisslm import tokenizers
from quanta_tissu.tisslm.tokenizers import ScoredBPETokenizer

BASE = [("<unk>", 0.0), ("<s>", 0.0), ("</s>", 0.0), *((f"<0x{byte:02X}>", 0.0) for byte in range(256))]


def tokenizer(*tokens):
    """Tokens from id 259 on; a token without a score gets a lower one than the token before it."""
    scored = [t if isinstance(t, tuple) else (t, -float(i)) for i, t in enumerate(tokens)]
    return ScoredBPETokenizer([*BASE, *scored])


CAT = tokenizer("ca", "at", " c", "cat", " cat", " ", "a", "c", "t", "é")
ID = {token: 259 + i for i, token in enumerate(["ca", "at", " c", "cat", " cat", " ", "a", "c", "t", "é"])}


def plain_algorithm(scored, text):
    """llama2.c's encoding, word for word: look at all pairs, merge the best, begin again."""
    vocabulary = {token: (i, score) for i, (token, score) in enumerate(scored) if i >= 259}
    pieces = []
    for character in (" " + text) if text else "":
        pieces += [character] if character in vocabulary else [bytes([b]) for b in character.encode()]
    while True:
        best_score, best = -1e10, None
        for i in range(len(pieces) - 1):
            if isinstance(pieces[i], str) and isinstance(pieces[i + 1], str):
                merged = pieces[i] + pieces[i + 1]
                if merged in vocabulary and vocabulary[merged][1] > best_score:
                    best_score, best = vocabulary[merged][1], i
        if best is None:
            return [vocabulary[p][0] if isinstance(p, str) else 3 + p[0] for p in pieces]
        pieces[best : best + 2] = [pieces[best] + pieces[best + 1]]


def test_the_best_score_merges_first_and_a_space_precedes_the_text():
    # " cat": "ca" (score 0) wins over "at" and " c", then " cat" is out of reach but "cat" is not.
    assert CAT.encode("cat") == [ID[" cat"]]
    assert CAT.encode("at") == [ID[" "], ID["at"]]
    assert CAT.encode("") == []


def test_the_leftmost_of_equal_scores_merges_first():
    equal = tokenizer(("a", -1.0), ("aa", 0.0), (" ", -1.0))
    assert equal.encode("aaa") == [261, 260, 259]


def test_characters_outside_the_vocabulary_become_their_bytes():
    assert CAT.encode("日é") == [ID[" "], 3 + 0xE6, 3 + 0x97, 3 + 0xA5, ID["é"]]
    assert CAT.decode_bytes(CAT.encode("日é")) == " 日é".encode()


def test_a_bytes_name_is_ordinary_text():
    spelled = tokenizer("<", "0", "x", "4", "1", ">", "<0", "x4", "1>", "x41>", "<0x41>", " ")
    ids = spelled.encode("<0x41>")
    assert spelled.decode_bytes(ids) == b" <0x41>"
    assert 3 + 0x41 not in ids


@st.composite
def vocabularies(draw):
    """Characters a, b, space, and some merges of them, many with equal scores."""
    tokens = draw(st.lists(st.text("ab ", min_size=2, max_size=4), max_size=12, unique=True))
    scores = draw(st.lists(st.integers(-3, 0).map(float), min_size=len(tokens) + 3, max_size=len(tokens) + 3))
    return [*BASE, *zip([*"ab ", *tokens], scores, strict=True)]


@given(vocabulary=vocabularies(), text=st.text("ab é", max_size=30))
def test_ids_are_those_of_the_plain_algorithm(vocabulary, text):
    assert ScoredBPETokenizer(vocabulary).encode(text) == plain_algorithm(vocabulary, text)


@given(text=st.text("cat é日\n", max_size=20))
def test_after_bos_a_text_returns_exactly(text):
    assert CAT.decode(CAT.encode_prompt(text)) == text


def test_the_space_before_the_text_is_dropped_only_after_bos():
    cat = ID[" cat"]
    assert CAT.decode([cat, cat]) == " cat cat"
    assert CAT.decode([1, cat, cat]) == "cat cat"
    assert CAT.bytes_after(1, cat) == b"cat"
    assert CAT.bytes_after(cat, cat) == CAT.bytes_after(None, cat) == b" cat"
    assert CAT.decode([cat, 1, cat]) == " cat<s>cat"


def test_special_tokens_are_refused_in_text_unless_allowed():
    with pytest.raises(TokenizerError, match="special token '</s>'"):
        CAT.encode("cat</s>")
    assert CAT.encode("cat</s>cat", allow_special=True) == [ID[" cat"], 2, ID[" cat"]]
    assert CAT.encode("<s>", allow_special=True) == [1]


def test_it_describes_itself():
    assert CAT.vocab_size == 269
    assert (CAT.bos_id, CAT.eos_id, CAT.unk_id, CAT.pad_id) == (1, 1, 0, None)
    assert dict(CAT.special_tokens) == {"<unk>": 0, "<s>": 1, "</s>": 2}
    assert CAT.token_bytes(3 + 0xE6) == b"\xe6"
    assert CAT.token_bytes(1) == b"<s>"
    with pytest.raises(TokenizerError, match="269 is outside"):
        CAT.token_bytes(269)


def test_it_is_saved_and_loaded(tmp_path):
    CAT.save(tmp_path / "tokenizer.json")
    loaded = tokenizers.load(tmp_path / "tokenizer.json")
    assert isinstance(loaded, ScoredBPETokenizer)
    assert loaded.fingerprint() == CAT.fingerprint()
    assert loaded.encode("cat at 日") == CAT.encode("cat at 日")
    assert json.loads(CAT.to_json())["type"] == "llama2c"


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (BASE[:100], "are not the bytes"),
        ([*BASE, ("a", float("nan"))], "score of token 'a' is nan"),
        ([*BASE, ("a", 0.0), ("b", 0.0), ("a", 1.0)], "'a' is in the vocabulary twice"),
    ],
)
def test_a_wrong_vocabulary_is_refused(tokens, message):
    with pytest.raises(TokenizerError, match=message):
        ScoredBPETokenizer(tokens)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"type": "llama2c", "version": 2, "tokens": []}', "version 2 is not"),
        ('{"type": "llama2c", "version": 1}', "malformed"),
        ('{"type": "llama2c", "version": 1, "tokens": [["a"]]}', "malformed"),
        ("[", "malformed"),
    ],
)
def test_a_damaged_file_is_refused(text, message):
    with pytest.raises(TokenizerError, match=message):
        ScoredBPETokenizer.from_json(text)


def test_long_texts_are_encoded_in_reasonable_time():
    """Quadratic time would take minutes."""
    text = "cat at cat ca " * 10_000
    ids = CAT.encode(text)
    assert CAT.decode([1, *ids]) == text
