"""Models of a server, here a real one on this machine."""

from __future__ import annotations

import json
import threading
import time

import pytest

from quanta_tissu.errors import ModelCancelledError, ModelError
from quanta_tissu.tisslang.llm.openai import EndpointModel, Price, is_strict
from quanta_tissu.tisslang.llm.protocol import Message, Request, count_at_most

SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "string"}},
    "required": ["a"],
    "additionalProperties": False,
}


def test_an_answer_streams_with_its_tokens_and_its_price(server, ask_for):
    model = EndpointModel(server.url, "tiny", key="sk-1", price=Price(prompt=2.0, completion=10.0))
    pieces = []
    reply = model.generate(ask_for(), pieces.append)
    assert pieces == ["An immutable", " sequence."]
    assert (reply.text, reply.finish, reply.model) == ("An immutable sequence.", "stop", "tiny-1")
    assert (reply.prompt_tokens, reply.completion_tokens) == (12, 4)
    assert reply.cost == pytest.approx((12 * 2 + 4 * 10) / 1e6)
    assert model.name == f"tiny at {server.url}"


def test_the_request_holds_what_was_asked_for_and_no_more(server):
    model = EndpointModel(server.url + "/", "tiny", key="sk-1")
    messages = (Message("system", "Be brief."), Message("user", "Hi"))
    model.generate(Request(messages, max_tokens=7, temperature=0.0, seed=3, stop=("\n",), schema=SCHEMA))
    model.generate(Request(messages[1:]))
    (path, headers, full), (_, _, least) = server.requests
    assert (path, headers["Authorization"]) == ("/v1/chat/completions", "Bearer sk-1")
    assert full == {
        "model": "tiny",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": 7,
        "temperature": 0.0,
        "seed": 3,
        "stop": ["\n"],
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True},
        },
    }
    assert set(least) == {"model", "messages", "stream", "stream_options"}


def test_a_server_that_does_not_stream_is_understood(server, ask_for):
    answer = {"choices": [{"message": {"content": "42"}, "finish_reason": "length"}], "usage": server.usage}
    server.script = [(200, {"Content-Type": "application/json"}, json.dumps(answer))]
    reply = EndpointModel(server.url, "tiny").generate(ask_for())
    assert (reply.text, reply.finish, reply.model, reply.prompt_tokens) == ("42", "length", "tiny", 12)


def test_tokens_that_a_server_does_not_count_are_never_too_few(server, ask_for):
    server.usage = None
    reply = EndpointModel(server.url, "tiny").generate(ask_for())
    assert (
        reply.prompt_tokens == count_at_most(ask_for()) == EndpointModel(server.url, "x").count_tokens(ask_for())
    )
    assert reply.completion_tokens == len("An immutable sequence.") + 1


@pytest.mark.parametrize(
    ("said", "changed"),
    [
        ("Unrecognized request argument: stream_options", "stream_options"),
        ("Invalid parameter: 'response_format' of type 'json_schema' is not supported", "response_format"),
        ("Invalid schema for response: root must be an object", "response_format"),
        ("Use 'max_completion_tokens' instead of 'max_tokens'", "max_tokens"),
    ],
)
def test_what_a_server_does_not_know_is_asked_for_in_another_way(server, ask_for, said, changed):
    server.script = [(400, {}, json.dumps({"error": {"message": said}}))]
    EndpointModel(server.url, "tiny").generate(ask_for(schema=SCHEMA, max_tokens=5))
    first, second = (body for _, _, body in server.requests)
    assert set(first) - set(second) == {changed}
    if changed == "max_tokens":
        assert second["max_completion_tokens"] == 5


def test_a_refusal_is_told_with_the_servers_words_and_without_the_key(server, ask_for):
    server.script = [(401, {}, "no such key: sk-secret")]
    model = EndpointModel(server.url, "tiny", key="sk-secret")
    with pytest.raises(ModelError, match=r"answered 401: no such key: \(the key\)") as refusal:
        model.generate(ask_for())
    assert "API key" in refusal.value.hint
    assert "sk-secret" not in repr(model) + str(vars(model))
    server.script = [(400, {}, "temperature is not supported")]
    with pytest.raises(ModelError, match="temperature is not supported"):
        model.generate(ask_for(temperature=0.5))


@pytest.mark.parametrize(
    ("finish", "message"),
    [(None, "broke off"), ("content_filter", "the filter of"), ("tool_calls", "ends with 'tool_calls'")],
)
def test_an_answer_without_an_end_is_none(server, ask_for, finish, message):
    server.finish = finish
    with pytest.raises(ModelError, match=message):
        EndpointModel(server.url, "tiny").generate(ask_for())


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ({"error": {"message": "out of memory"}}, "broke off: out of memory"),
        ({"error": "full"}, "broke off: full"),
        ([], "is not what was asked for"),
        ({"choices": [{"delta": {"content": 3}}]}, "is not what was asked for"),
        ({"choices": [{"delta": {"refusal": "I will not."}}]}, "refuses to answer: I will not."),
    ],
)
def test_what_goes_wrong_within_a_stream_is_told(server, ask_for, event, message):
    text = f"data: {json.dumps(event)}\n\ndata: [DONE]\n\n"
    server.script = [(200, {"Content-Type": "text/event-stream"}, text)]
    with pytest.raises(ModelError, match=message):
        EndpointModel(server.url, "tiny").generate(ask_for())


def test_an_answer_that_broke_off_is_not_begun_again_once_it_was_passed_on(server, ask_for):
    event = json.dumps({"choices": [{"delta": {"content": "Once"}}]})
    torn = (200, {"Content-Type": "text/event-stream", "Content-Length": "999"}, f"data: {event}\n\n")
    server.script = [torn]
    pieces = []
    with pytest.raises(ModelError):
        EndpointModel(server.url, "tiny").generate(ask_for(), pieces.append)
    assert pieces == ["Once"]
    assert len(server.requests) == 1


def test_an_answer_can_be_given_up_between_two_tokens(server, ask_for):
    server.pieces, server.pause = ["word "] * 10_000, 0.01
    cancelled = threading.Event()
    pieces = []

    def take(piece):
        pieces.append(piece)
        if len(pieces) == 3:
            cancelled.set()

    start = time.monotonic()
    with pytest.raises(ModelCancelledError) as error:
        EndpointModel(server.url, "tiny").generate(ask_for(), take, cancelled)
    assert time.monotonic() - start < 10
    assert error.value.completion_tokens > 0
    assert server.gone.wait(5), "the connection is closed, so that the server stops, too"


def test_a_template_cannot_be_chosen_for_a_server(server, ask_for):
    with pytest.raises(ModelError, match="the template 'chatml' cannot be chosen"):
        EndpointModel(server.url, "tiny").generate(ask_for(template="chatml"))
    assert not server.requests


def test_a_key_is_not_sent_unencrypted_to_another_machine():
    with pytest.raises(ModelError, match="would be sent unencrypted") as refusal:
        EndpointModel("http://example.org/v1", "tiny", key="sk-secret")
    assert "sk-secret" not in str(refusal.value)
    EndpointModel("http://example.org/v1", "tiny")
    EndpointModel("https://example.org/v1", "tiny", key="sk-secret")
    EndpointModel("http://localhost:1/v1", "tiny", key="sk-secret")


def test_an_address_that_is_none_is_refused():
    with pytest.raises(ModelError, match="name or password"):
        EndpointModel("https://me:secret@example.org/v1", "tiny")


def test_which_schemas_are_strict():
    closed = {
        "type": ["object", "null"],
        "properties": {"a": {}},
        "required": ["a"],
        "additionalProperties": False,
    }
    assert is_strict(SCHEMA)
    assert is_strict(closed)
    assert is_strict({"type": "array", "items": SCHEMA, "default": [{"type": "object"}]})
    assert not is_strict({"type": "object"})
    assert not is_strict(SCHEMA | {"required": []})
    assert not is_strict({"anyOf": [SCHEMA, {"type": "object"}]})
