"""Requests and replies: what they may hold, and what names a request."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quanta_tissu.errors import ModelError
from quanta_tissu.tisslang.llm.protocol import Message, Request, count_at_most

HELLO = Request((Message("user", "Hello"),))


def test_a_digest_is_the_same_for_ever():
    canonical = (
        '{"max_tokens":null,"messages":[{"content":"Hello","role":"user"}],"schema":null,"seed":null,"stop":[],'
        '"temperature":null,"template":null}'
    )
    assert HELLO.digest() == "sha256:" + hashlib.sha256(canonical.encode()).hexdigest()


def test_equal_requests_have_one_digest_however_they_are_written():
    one = replace(HELLO, temperature=0, schema={"type": "object", "required": ["a"]})
    other = replace(HELLO, temperature=0.0, schema={"required": ["a"], "type": "object"})
    assert one.digest() == other.digest()


@pytest.mark.parametrize(
    "change",
    [
        {"messages": (Message("system", "Be brief."), Message("user", "Hello"))},
        {"messages": (Message("user", "Hello "),)},
        {"max_tokens": 1},
        {"temperature": 0.5},
        {"seed": 0},
        {"stop": ("\n",)},
        {"schema": True},
        {"template": "plain"},
    ],
    ids=str,
)
def test_whatever_is_changed_changes_the_digest(change):
    assert replace(HELLO, **change).digest() != HELLO.digest()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"messages": ()}, "a conversation of nothing"),
        ({"messages": (Message("system", "x"),)}, "a conversation of system cannot"),
        ({"messages": (Message("user", "x"), Message("user", "y"))}, "user, user"),
        ({"messages": (Message("user", "x"), Message("system", "y"))}, "user, system"),
        ({"messages": (Message("user", "x"), Message("assistant", "y"))}, "nothing to answer"),
        ({"max_tokens": 0}, "max_tokens = 0"),
        ({"max_tokens": 1.5}, "max_tokens = 1.5"),
        ({"max_tokens": True}, "max_tokens = True"),
        ({"seed": -1}, "seed = -1"),
        ({"temperature": -0.1}, "temperature = -0.1"),
        ({"temperature": float("nan")}, "temperature = nan"),
        ({"temperature": "hot"}, "temperature = 'hot'"),
        ({"stop": ("",)}, "a stop text is empty"),
    ],
)
def test_what_no_model_can_do_is_refused(settings, message):
    with pytest.raises(ModelError, match=message):
        replace(HELLO, **settings)


def test_a_message_is_text_of_a_role():
    with pytest.raises(ModelError, match="'tool' is no role"):
        Message("tool", "x")
    with pytest.raises(ModelError, match="a text, not int"):
        Message("user", 3)
    with pytest.raises(ModelError, match="surrogate pair at position 1"):
        Message("user", "a\ud800")


def test_a_schema_that_is_no_json_has_no_digest():
    with pytest.raises(ModelError, match="no JSON"):
        replace(HELLO, schema={"const": float("nan")}).digest()


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=3))
def test_no_tokenizer_makes_more_tokens_than_the_bound(texts):
    messages = tuple(Message(("user", "assistant")[place % 2], text) for place, text in enumerate(texts))
    if len(messages) % 2 == 0:
        messages = messages[:-1]
    request = Request(messages, schema={"type": "string"})
    least = sum(len(one.content.encode()) for one in messages) + len(json.dumps(request.schema))
    assert count_at_most(request) >= least
