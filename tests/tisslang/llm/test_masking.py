"""Which tokens may come next: exactly those that leave a way to the end."""

from __future__ import annotations

import json

import numpy as np
import pytest

from quanta_tissu.tisslang.llm import masking
from quanta_tissu.tisslang.llm.grammar import ENDLESS, Automaton
from quanta_tissu.tisslang.llm.json_grammar import json_grammar
from quanta_tissu.tisslang.llm.masking import Mask, Vocabulary
from quanta_tissu.tisslm.tokenizers import BPETokenizer, CharacterTokenizer

SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "ages": {"type": "array", "items": {"type": "integer"}}},
    "required": ["name", "ages"],
    "additionalProperties": False,
}
TEXTS = ['{"name": "Ada", "ages": [36, 40]}'] * 5 + ["Grüße 🙂 and more words, and more"]


@pytest.fixture(scope="module")
def tokenizer():
    tokenizer = BPETokenizer()
    tokenizer.train(TEXTS, 330)
    return tokenizer


@pytest.fixture
def mask(tokenizer):
    return Mask(Vocabulary(tokenizer, tokenizer.vocab_size + 7), json_grammar(SCHEMA))


def test_a_token_is_allowed_if_and_only_if_its_bytes_are(tokenizer, mask):
    """The walk of the tree, held against reading every token by itself."""
    state = Automaton(json_grammar(SCHEMA)).start
    special = set(tokenizer.special_tokens.values())
    for token in tokenizer.encode('{"name": "Grüße", "ages": [1, -20]}'):
        for left in (5, 60):
            allowed = mask.allowed(left)
            assert len(allowed) == tokenizer.vocab_size + 7
            for one in range(tokenizer.vocab_size):
                after = state.read(tokenizer.token_bytes(one))
                expected = one not in special and after is not None and after.least < left
                assert allowed[one] == expected, tokenizer.token_bytes(one)
            assert not allowed[tokenizer.vocab_size :].any()
        mask.take(token)
        state = state.read(tokenizer.token_bytes(token))
    assert mask.complete
    assert mask.over


@pytest.mark.parametrize("most", [22, 23, 40])
@pytest.mark.parametrize("seed", range(20))
def test_however_a_model_chooses_its_text_is_whole_in_time(tokenizer, mask, most, seed):
    assert mask.least == len('{"name":"","ages":[]}') == 21
    chance = np.random.default_rng(seed)
    tokens = []
    for step in range(most):
        token = int(chance.choice(np.flatnonzero(mask.allowed(most - step))))
        mask.take(token)
        tokens.append(token)
        if mask.over:
            break
    assert mask.complete
    assert set(json.loads(tokenizer.decode(tokens))) == {"name", "ages"}


def test_a_token_that_may_not_come_is_refused(tokenizer, mask):
    with pytest.raises(ValueError, match="may not come here"):
        mask.take(tokenizer.encode("A")[0])


def test_what_is_known_of_many_states_is_forgotten_again(tokenizer, monkeypatch):
    monkeypatch.setattr(masking, "_KEPT", 8)
    mask = Mask(Vocabulary(tokenizer, tokenizer.vocab_size), json_grammar({"type": "string", "maxLength": 40}))
    for token in tokenizer.encode('"' + "xyz" * 10):
        assert mask.allowed(1000)[token]
        mask.take(token)
    assert len(mask._needs) == 8


def test_a_vocabulary_without_braces_writes_no_objects():
    letters = CharacterTokenizer('abc" ')
    vocabulary = Vocabulary(letters, letters.vocab_size)
    assert Mask(vocabulary, json_grammar(SCHEMA)).least == ENDLESS
    mask = Mask(vocabulary, json_grammar({"type": "string"}))
    assert mask.least == 2
    mask.take(letters.encode('"')[0])
    allowed = mask.allowed(9)
    assert {letters.decode([token]) for token in np.flatnonzero(allowed)} == set('abc" ')
