"""What AS JSON may say, and what is told of a value that does not fit."""

from __future__ import annotations

import threading

import pytest

from quanta_tissu.errors import ModelError
from quanta_tissu.tisslang.llm.schemas import check, path_of, schema_of, violations

TEXT = {"type": "string"}


@pytest.mark.parametrize(
    ("short", "schema"),
    [
        ("text", TEXT),
        ("string", TEXT),
        ("number", {"type": "number"}),
        ("integer", {"type": "integer"}),
        ("boolean", {"type": "boolean"}),
        ("list", {"type": "array"}),
        ("any", True),
        (True, True),
        ("text or null", {"type": ["string", "null"]}),
        (["red", "green"], {"enum": ["red", "green"]}),
        ([1, 2, None], {"enum": [1, 2, None]}),
        ([3], {"enum": [3]}),
        ([], {"type": "array"}),
        (["text"], {"type": "array", "items": TEXT}),
        ([["number"]], {"type": "array", "items": {"type": "array", "items": {"type": "number"}}}),
        ({}, {"type": "object", "properties": {}, "required": [], "additionalProperties": False}),
        (
            {"name": "text", "age": "integer?", "tags": ["text"], "pet": {"kind": ["cat", "dog"]}},
            {
                "type": "object",
                "properties": {
                    "name": TEXT,
                    "age": {"type": "integer"},
                    "tags": {"type": "array", "items": TEXT},
                    "pet": {
                        "type": "object",
                        "properties": {"kind": {"enum": ["cat", "dog"]}},
                        "required": ["kind"],
                        "additionalProperties": False,
                    },
                },
                "required": ["name", "tags", "pet"],
                "additionalProperties": False,
            },
        ),
    ],
    ids=str,
)
def test_the_short_form(short, schema):
    assert schema_of(short) == schema


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object"},
        {"type": ["object", "null"]},
        {"type": "array", "items": TEXT},
        {"type": "object", "properties": {"a": TEXT}, "x-note": "mine"},
        {"anyOf": [TEXT, {"type": "null"}]},
        {"enum": ["a", "b"]},
        {"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "string"},
        {"$ref": "#/$defs/a", "$defs": {"a": TEXT}},
        {"properties": {"a": TEXT}, "required": ["a"]},
    ],
    ids=str,
)
def test_a_json_schema_is_left_as_it_is(schema):
    assert schema_of(schema) == schema


@pytest.mark.parametrize(
    "names", [["items"], ["title", "description"], ["type"], ["enum", "required"], ["properties"]]
)
def test_fields_may_have_names_of_json_schema(names):
    schema = schema_of(dict.fromkeys(names, "text"))
    assert schema["required"] == names
    assert schema["properties"] == dict.fromkeys(names, TEXT)


@pytest.mark.parametrize("given", [{"type": "string"}, {"type": "string", "title": "string"}])
def test_what_could_be_both_is_refused(given):
    with pytest.raises(ModelError, match="may be a JSON Schema, and an object with a field") as refusal:
        schema_of(given)
    assert "$schema" in refusal.value.hint


@pytest.mark.parametrize(
    ("given", "message", "hint"),
    [
        ("txet", "'txet' is no type for the answer", "did you mean 'text'"),
        ({"a": {"b": "zzz"}}, "'zzz' is no type for 'b'", '["text"] for a list'),
        ("text and number", "is no type", None),
        (None, "null says nothing about the answer", '["text"]'),
        (7, "7 says nothing", '["text"]'),
        (False, "false says nothing", '["text"]'),
        ({"a": None}, "null says nothing about 'a'", '["text"]'),
        ([["text"], ["number"]], "one of several values, which cannot be lists", None),
        (
            {"type": "array", "items": {"type": "txet"}},
            r"no JSON Schema: \$\.items\.type|no JSON Schema",
            "2020-12",
        ),
        ({"$ref": "#/$defs/none"}, "does not exist", "within the schema"),
        ({"const": float("nan"), "$schema": "x"}, "no JSON Schema", None),
    ],
)
def test_what_is_no_schema_is_refused(given, message, hint):
    with pytest.raises(ModelError, match=message) as refusal:
        schema_of(given)
    assert hint is None or hint in refusal.value.hint


def test_nothing_is_fetched_for_a_schema(server):
    """A reference to another place would let a script reach the network, and read files."""
    for uri in (f"{server.url}/schema.json", "file:///etc/passwd"):
        with pytest.raises(ModelError, match="is not within the schema"):
            check({"$ref": uri})
    assert not server.requests
    assert threading.active_count() < 50


def test_violations_are_told_by_path():
    schema = schema_of({"items": [{"price": "number", "mail": "text?"}], "a b": "text"})
    found = dict(violations(schema, {"items": [{"price": 1}, {"price": "2"}], "c": 1}))
    assert found["$.items[1].price"] == '"2" is not of type "number"'
    assert "$" in found
    assert violations(schema, {"items": [], "a b": ""}) == []
    assert violations({"type": "string", "format": "date"}, "yesterday")


def test_paths():
    assert path_of([]) == "$"
    assert path_of(["a", 0, "b c", "d"]) == '$.a[0]["b c"].d'
