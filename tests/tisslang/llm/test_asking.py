"""Asking for JSON: what is said to the model, what is taken as an answer, and how often it is asked again."""

from __future__ import annotations

import contextlib
import json
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quanta_tissu.errors import AnswerFormError, ModelCancelledError, ModelError
from quanta_tissu.tisslang.llm.asking import ask, prepared, read_json
from quanta_tissu.tisslang.llm.mock import Entry, MockModel
from quanta_tissu.tisslang.llm.openai import EndpointModel, Price
from quanta_tissu.tisslang.llm.schemas import schema_of

PERSON = schema_of({"name": "text", "age": "integer?"})


def saying(*answers):
    """A model that gives these answers, and keeps what it was asked."""

    class Listening(MockModel):
        def generate(self, request, on_text=None, cancelled=None):
            self.asked.append(request)
            return super().generate(request, on_text, cancelled)

    model = Listening([Entry(1, None, list(answers))])
    model.asked = []
    return model


def test_without_a_schema_the_answer_is_the_text(ask_for):
    model = saying("hello")
    answer = ask(model, ask_for("hi"))
    assert (answer.text, answer.value) == ("hello", None)
    assert model.asked == [ask_for("hi")]
    assert answer.tokens == 2


def test_the_schema_is_told_and_the_value_given(ask_for):
    model = saying('{"name": "Ada"}')
    pieces = []
    answer = ask(model, ask_for("Who?", schema=PERSON), on_text=pieces.append)
    assert answer.value == {"name": "Ada"}
    assert "".join(pieces) == answer.text
    [asked] = model.asked
    assert asked == prepared(ask_for("Who?", schema=PERSON))
    said = asked.messages[-1].content
    assert said.startswith("Who?\n\nAnswer with JSON")
    assert json.loads(said.split("\n")[-1]) == PERSON
    assert prepared(ask_for("Who?")) == ask_for("Who?")


def test_what_is_wrong_goes_back_by_path_until_it_fits(ask_for):
    model = saying("I think Ada.", '{"name": 3, "age": "old"}', '{"name": "Ada", "age": 36}')
    answer = ask(model, ask_for("Who?", schema=PERSON))
    assert answer.value == {"name": "Ada", "age": 36}
    assert answer.replies[0].text == "I think Ada."
    second, third = (request.messages for request in model.asked[1:])
    assert [one.role for one in third] == ["user", "assistant", "user"]
    assert "this is no JSON" in second[-1].content
    assert third[1].content == '{"name": 3, "age": "old"}'
    assert '- $.age: "old" is not of type "integer"' in third[-1].content
    assert '- $.name: 3 is not of type "string"' in third[-1].content


def test_it_is_asked_a_bounded_number_of_times(ask_for):
    model = saying("a", "b", "c", "d")
    with pytest.raises(AnswerFormError, match="was asked 3 times") as error:
        ask(model, ask_for(schema=PERSON))
    assert [one.text for one in error.value.replies] == ["a", "b", "c"]
    with pytest.raises(AnswerFormError, match="was asked once"):
        ask(saying("a"), ask_for(schema=PERSON), attempts=1)


def test_a_model_that_answers_the_same_again_is_given_up(ask_for):
    model = saying("{}", "{}", '{"name": "Ada"}')
    with pytest.raises(AnswerFormError, match=r"was asked 2 times.*it answers the same again"):
        ask(model, ask_for(schema=PERSON))


def test_a_model_that_fails_at_the_correction_is_told_with_what_was_wrong(ask_for):
    model = MockModel([Entry(1, None, ["{}"]), Entry(2, None, [], fails="the context is full")])
    with pytest.raises(AnswerFormError, match=r"the context is full") as error:
        ask(model, ask_for(schema=PERSON))
    assert '$: "name" is a required property' in error.value.message
    assert len(error.value.replies) == 1
    with pytest.raises(ModelError, match="at once"):
        ask(MockModel([Entry(1, None, [], fails="at once")]), ask_for(schema=PERSON))


def test_giving_up_is_no_wrong_answer_and_counts_what_was_spent(ask_for):
    cancelled = threading.Event()
    model = saying("{}", "{}")
    with pytest.raises(ModelCancelledError) as error:
        ask(model, ask_for(schema=PERSON), on_text=lambda piece: cancelled.set(), cancelled=cancelled)
    first, second = map(model.count_tokens, model.asked)
    assert error.value.prompt_tokens == first + second
    assert error.value.completion_tokens == 1


def test_an_answer_that_was_cut_off_is_asked_for_in_fewer_words(ask_for):
    model = saying('{"name": "Ada Augusta King, Countess of Lovelace', '{"name": "Ada"}')
    answer = ask(model, ask_for(schema=PERSON, max_tokens=3))
    assert answer.value == {"name": "Ada"}
    assert "cut off, so answer shorter" in model.asked[1].messages[-1].content


def test_many_mistakes_are_told_in_part(ask_for):
    model = saying(json.dumps(["x"] * 50), "[1]")
    assert ask(model, ask_for(schema=schema_of(["integer"]))).value == [1]
    assert "- ... and 30 more" in model.asked[1].messages[-1].content


def test_a_schema_that_is_none_is_refused_before_anybody_is_asked(ask_for):
    model = saying("x")
    with pytest.raises(ModelError, match="no JSON Schema"):
        ask(model, ask_for(schema={"type": "txet"}))
    assert not model.asked


def test_a_servers_answers_are_corrected_and_paid_for(server, ask_for):
    """From a real server: the first answer does not fit, the second does."""
    texts = iter(["no idea", '```json\n{"name": "Ada"}\n```'])
    server.script = [
        lambda handler, body: handler.server.__setattr__("pieces", [next(texts)]) or handler.stream()
    ] * 2
    model = EndpointModel(server.url, "tiny", price=Price(1e6, 0))
    answer = ask(model, ask_for(schema=PERSON))
    assert answer.value == {"name": "Ada"}
    assert answer.cost == 24
    assert answer.tokens == 32
    assert [one["role"] for one in server.requests[1][2]["messages"]] == ["user", "assistant", "user"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (" 3\n", 3),
        ('{"a": [1, 2]}', {"a": [1, 2]}),
        ('```json\n{"a": 1}\n```', {"a": 1}),
        ("Sure!\n```\n[1]\n```\nAnything else?", [1]),
        ('The answer is {"a": {"b": 1}}, I think.', {"a": {"b": 1}}),
        ("I weighed {this} and [that]: [1, 2]", [1, 2]),
        ('"text"', "text"),
        ("null", None),
        ("\ufeff{}".lstrip("\ufeff"), {}),
    ],
)
def test_json_is_found_where_models_put_it(text, value):
    assert read_json(text) == value


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "Expecting value"),
        ("nothing", "Expecting value"),
        ('{"a": 1, "a": 2}', "the field 'a' is there twice"),
        ("NaN", "NaN is no JSON"),
        ('{"a": Infinity}', "Infinity is no JSON"),
        ('"\\ud800"', "half of a surrogate pair"),
        ("1e999", "too large"),
        ("[" * 100_000, "nested too deep"),
        ("[1, " * 100_000, "nested too deep"),
    ],
)
def test_what_is_no_json_is_told(text, why):
    with pytest.raises(ValueError, match=why):
        read_json(text)


@given(st.text())
def test_whatever_a_model_says_is_read_or_refused(text):
    with contextlib.suppress(ValueError):
        json.dumps(read_json(text))
