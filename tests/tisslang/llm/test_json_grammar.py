"""JSON Schemas as grammars: what is written fits, and what fits can be written."""

from __future__ import annotations

import json
import random

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quanta_tissu.tisslang.llm.grammar import ENDLESS, Automaton
from quanta_tissu.tisslang.llm.json_grammar import json_grammar

SCALARS = st.none() | st.booleans() | st.integers(-(10**12), 10**12) | st.text(max_size=5)


def _object(members):
    fields = {name: schema for name, (schema, _, _) in members.items()}
    required = [name for name, (_, _, there) in members.items() if there != "optional"]
    value = {name: value for name, (_, value, there) in members.items() if there != "missing"}
    # What is called missing is left out, so it must not be required.
    required = [name for name in required if members[name][2] == "required"]
    schema = {"type": "object", "properties": fields, "required": required, "additionalProperties": False}
    return schema, value


def _larger(pairs):
    there = st.sampled_from(["required", "optional", "missing"])
    members = st.dictionaries(
        st.text(max_size=3), st.tuples(pairs, there).map(lambda g: (*g[0], g[1])), max_size=4
    )
    return st.one_of(
        members.map(_object),
        st.tuples(pairs, st.integers(0, 3)).map(lambda given: (
            {"type": "array", "items": given[0][0], "minItems": min(given[1], 2), "maxItems": 3},
            [given[0][1]] * given[1],
        )),
        st.lists(pairs, min_size=1, max_size=3).map(lambda some: (
            {"type": "array", "prefixItems": [one[0] for one in some], "items": False, "minItems": len(some)},
            [one[1] for one in some],
        )),
        st.tuples(pairs, pairs).map(lambda both: ({"anyOf": [both[0][0], both[1][0]]}, both[1][1])),
        pairs.map(lambda pair: ({"type": "object", "additionalProperties": pair[0]}, {"k": pair[1]})),
    )  # fmt: skip


# Schemas, each with a value that fits.
PAIRS = st.recursive(
    st.one_of(
        SCALARS.map(lambda value: ({"const": value}, value)),
        st.lists(SCALARS, min_size=1, max_size=4).map(lambda some: ({"enum": some}, some[-1])),
        st.text(max_size=6).map(lambda text: ({"type": "string", "maxLength": len(text)}, text)),
        st.text(max_size=6).map(lambda text: ({"type": "string", "minLength": len(text)}, text)),
        st.integers(-(10**15), 10**15).map(lambda number: ({"type": "integer"}, number)),
        st.integers(-20, 20).map(lambda n: ({"type": "integer", "minimum": n - 3, "maximum": n + 5}, n)),
        st.integers(0, 10**9).map(lambda number: ({"type": ["integer", "null"], "minimum": 0}, number)),
        st.decimals(-1000, 1000, places=3).map(lambda number: ({"type": "number"}, float(number))),
        st.booleans().map(lambda value: ({"type": ["boolean", "null"]}, value)),
        SCALARS.map(lambda value: (True, [value, {"x": value}])),
    ),
    _larger,
    max_leaves=6,
)


def accepts(schema, text):
    state = Automaton(json_grammar(schema)).start.read(text.encode())
    return state is not None and state.ends


@given(PAIRS)
def test_what_fits_a_schema_can_be_written(pair):
    schema, value = pair
    assert jsonschema_rs.is_valid(schema, value)
    assert accepts(schema, json.dumps(value, ensure_ascii=False))
    assert accepts(schema, json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def written(schema, chance):
    """A text that an automaton lets through, byte by byte by chance, ended when it becomes long."""
    state, data = Automaton(json_grammar(schema)).start, bytearray()
    assert state.least < ENDLESS
    while state.next and not (state.ends and chance.random() < 0.5):
        bytes_ = sorted(state.next)
        if len(data) > 60:
            if state.ends:
                break
            bytes_ = [byte for byte in bytes_ if state.step(byte).least < state.least]
        byte = chance.choice(bytes_)
        data.append(byte)
        state = state.step(byte)
    return data.decode()


@given(PAIRS, st.integers(0, 1000))
def test_what_can_be_written_fits_the_schema(pair, seed):
    text = written(pair[0], random.Random(seed))
    assert jsonschema_rs.is_valid(pair[0], json.loads(text)), text


@given(st.text())
def test_every_text_can_be_written_as_a_string(text):
    assert accepts({"type": "string"}, json.dumps(text, ensure_ascii=False))


@pytest.mark.parametrize("text", [
    '"\\x"', '"\\u12"', '"\\ud800"', '"a\nb"', '"a', "'a'", '"a""', '"\x00"',
])  # fmt: skip
def test_what_is_no_string_cannot_be_written(text):
    assert not accepts({"type": "string"}, text)


@pytest.mark.parametrize(
    "data", [b'"\xff"', b'"\xc0\xaf"', b'"\xed\xa0\x80"', b'"\xf4\x90\x80\x80"', b'"\xe2\x82"']
)
def test_what_is_no_utf8_cannot_be_written(data):
    assert Automaton(json_grammar({"type": "string"})).start.read(data) is None


@pytest.mark.parametrize("text", ["0", "-0", "7", "-12.50", "1e5", "2.5E-7", "10"])
def test_numbers(text):
    assert accepts({"type": "number"}, text)


@pytest.mark.parametrize("text", ["01", "+1", ".5", "1.", "1e", "--1", "NaN", "0x1"])
def test_what_is_no_number(text):
    assert not accepts({"type": "number"}, text)
    assert not accepts({"type": "integer"}, text)


def test_fields_come_in_the_order_of_the_schema_and_optional_ones_may_be_missing():
    schema = {"properties": {"a": {"type": "integer"}, "b": {"const": 1}, "c": False}, "required": ["b"]}
    assert accepts(schema, '{"a": 5, "b":1}')
    assert accepts(schema, '{"b":1}')
    for text in (
        '{"b":1,"a":5}',
        '{"a":5}',
        "{}",
        '{"b":1,}',
        '{,"b":1}',
        '{"b":1,"c":1}',
        '{"b":1,"d":1}',
        '{"b" :1}',
    ):
        assert not accepts(schema, text)


def test_what_is_required_but_not_described_is_written_too():
    assert accepts({"type": "object", "required": ["x"]}, '{"x": [1]}')
    assert not accepts({"type": "object", "required": ["x"]}, "{}")


def test_many_optional_fields_cost_little():
    fields = {f"f{number}": {"type": "boolean"} for number in range(200)}
    automaton = Automaton(json_grammar({"type": "object", "properties": fields}))
    assert automaton.start.least == 2
    assert automaton.start.read(b'{"f3": true, "f199": false}').ends


def test_references_and_recursion():
    tree = {
        "$defs": {"a/b~c": {"properties": {"v": {"type": "integer"}, "next": {"$ref": "#"}}, "required": ["v"]}},
        "anyOf": [{"$ref": "#/$defs/a~1b~0c"}, {"type": "null"}],
    }
    assert accepts(tree, '{"v": 1, "next": {"v": 2, "next": null}}')
    assert not accepts(tree, '{"v": 1, "next": 2}')
    assert accepts({"anyOf": [{"type": "null"}, {"const": 1}], "$defs": {}}, "1")
    assert accepts({"prefixItems": [{"const": 1}, {"$ref": "#/prefixItems/0"}]}, "[1, 1]")
    endless = {"properties": {"x": {"$ref": "#"}}, "required": ["x"]}
    assert Automaton(json_grammar(endless)).start.least == ENDLESS


def test_several_schemas_at_once_are_joined():
    both = {
        "allOf": [
            {"properties": {"a": {"const": 1}}, "required": ["a"]},
            {"properties": {"b": {"const": 2}}, "required": ["b"]},
        ],
        "type": "object",
    }
    assert accepts(both, '{"a":1,"b":2}')
    assert not accepts(both, '{"a":1}')
    assert accepts({"allOf": [True, {"const": 3}]}, "3")
    assert Automaton(json_grammar({"allOf": [False, {"const": 3}]})).start.least == ENDLESS
    chosen = {"type": "object", "properties": {"k": {"enum": ["x", "y"]}}, "oneOf": [{"required": ["k"]}, False]}
    assert accepts(chosen, '{"k":"y"}')
    assert not accepts(chosen, "{}")


@pytest.mark.parametrize(
    ("schema", "fits", "does_not"),
    [
        ({"items": {"const": 1}}, "[1]", "1"),
        ({"maxLength": 1}, '"a"', "1"),
        ({"minimum": 0}, "0.5", '"a"'),
        ({"minimum": 0, "maximum": 3, "type": "integer"}, "3", "4"),
        ({"minimum": 0, "type": "number"}, "0.5", "-1"),
        ({"additionalProperties": False}, "{}", '{"a":1}'),
        ({"type": "object", "minProperties": 1, "maxProperties": 1}, '{"a":1}', "{}"),
        ({"type": "array", "maxItems": 0}, "[]", "[1]"),
        ({"type": "array", "minItems": 2.0, "maxItems": 2.0, "items": {"const": 0}}, "[0,0]", "[0]"),
        ({"type": "array", "prefixItems": [{"const": 1}], "items": {"const": 2}, "minItems": 2}, "[1,2]", "[1]"),
        ({"type": "string", "minLength": 1, "maxLength": 2}, '"äß"', '"äßü"'),
    ],
)
def test_words_of_schemas(schema, fits, does_not):
    assert accepts(schema, fits)
    assert not accepts(schema, does_not)
