"""A JSON Schema as a grammar of JSON texts, so that a model can write nothing else.

The grammar holds types, fields (in the order of the schema, optional ones left out or not), items, lengths, enums,
constants, small ranges of whole numbers, alternatives and references within the schema. Fields that a schema does
not name are not written. What a grammar of bytes cannot say well (patterns, formats, other ranges, uniqueness,
`not`, conditions) is left to the check of the whole answer. Blanks: at most one behind a comma or a colon, so that
a small model cannot lose itself in them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from quanta_tissu.tisslang.llm.grammar import Bytes, Choice, Node, OneOf, Repeat, Rule, Sequence

_TYPES = ("object", "array", "string", "integer", "number", "boolean", "null")
_MOST_NUMBERS = 1000  # of a range that is written out

_SPACE = Repeat(Bytes(b" "), 0, 1)
_COMMA = Sequence(Bytes(b","), _SPACE)
_COLON = Sequence(Bytes(b":"), _SPACE)

_DIGIT = OneOf(b"0123456789")
_CONTINUATION = OneOf(range(0x80, 0xC0))
_HEX = OneOf(b"0123456789abcdefABCDEF")
# Characters of a string (RFC 8259, section 7) in UTF-8 (RFC 3629, section 4). No halves of surrogate pairs.
_CHARACTER = Choice(
    OneOf(set(range(0x20, 0x80)) - set(b'"\\')),
    Sequence(OneOf(range(0xC2, 0xE0)), _CONTINUATION),
    Sequence(Bytes(b"\xe0"), OneOf(range(0xA0, 0xC0)), _CONTINUATION),
    Sequence(OneOf([*range(0xE1, 0xED), 0xEE, 0xEF]), _CONTINUATION, _CONTINUATION),
    Sequence(Bytes(b"\xed"), OneOf(range(0x80, 0xA0)), _CONTINUATION),
    Sequence(Bytes(b"\xf0"), OneOf(range(0x90, 0xC0)), _CONTINUATION, _CONTINUATION),
    Sequence(OneOf(range(0xF1, 0xF4)), _CONTINUATION, _CONTINUATION, _CONTINUATION),
    Sequence(Bytes(b"\xf4"), OneOf(range(0x80, 0x90)), _CONTINUATION, _CONTINUATION),
    Sequence(
        Bytes(b"\\"),
        Choice(
            OneOf(b'"\\/bfnrt'),
            Sequence(
                Bytes(b"u"),
                Choice(
                    Sequence(OneOf(b"0123456789abcefABCEF"), _HEX, _HEX, _HEX),
                    Sequence(OneOf(b"dD"), OneOf(b"01234567"), _HEX, _HEX),
                ),
            ),
        ),
    ),
)
_WHOLE = Choice(Bytes(b"0"), Sequence(OneOf(b"123456789"), Repeat(_DIGIT, 0, 17)))
_MINUS = Repeat(Bytes(b"-"), 0, 1)
_FRACTION = Sequence(Bytes(b"."), Repeat(_DIGIT, 1, 17))
_EXPONENT = Sequence(OneOf(b"eE"), Repeat(OneOf(b"+-"), 0, 1), _DIGIT, Repeat(_DIGIT, 0, 1))


def json_grammar(schema: Mapping[str, Any] | bool) -> Node:
    """The grammar of answers of a schema, which is a valid one with references within itself only.

    A blank may stand before an answer, as tokens of words have one, and a line break behind it.
    """
    return Sequence(_SPACE, _Maker(schema).value(schema), Repeat(Bytes(b"\n"), 0, 1))


class _Maker:
    """Makes one rule for each schema within a schema."""

    def __init__(self, whole: Mapping[str, Any] | bool) -> None:
        self._whole = whole
        self._rules: dict[str, Rule] = {}

    def value(self, schema: Mapping[str, Any] | bool) -> Node:
        name = json.dumps(schema, sort_keys=True)
        if name not in self._rules:
            self._rules[name] = Rule(lambda: self._make(schema))
        return self._rules[name]

    def _make(self, schema: Mapping[str, Any] | bool) -> Node:
        if schema is False:
            return Choice()
        if schema is True:
            return self._types({}, _TYPES)
        if "$ref" in schema:
            rest = {name: value for name, value in schema.items() if name != "$ref"}
            return self.value(_merged(rest, self._referred(str(schema["$ref"]))))
        for name in ("allOf", "anyOf", "oneOf"):
            if schema.get(name):
                rest = {other: value for other, value in schema.items() if other != name}
                if name != "allOf":
                    return Choice(*(self.value(_merged(rest, one)) for one in schema[name]))
                whole: Mapping[str, Any] | bool = rest
                for one in schema[name]:
                    whole = _merged(whole, one)
                return self.value(whole)
        if "const" in schema:
            return _literal(schema["const"])
        if "enum" in schema:
            return Choice(*map(_literal, schema["enum"]))
        types = schema.get("type")
        if types is None:
            types = _likely_types(schema)
        return self._types(schema, (types,) if isinstance(types, str) else tuple(types))

    def _types(self, schema: Mapping[str, Any], types: tuple[str, ...]) -> Node:
        return Choice(*(self._of_type(schema, one) for one in types))

    def _of_type(self, schema: Mapping[str, Any], kind: str) -> Node:
        match kind:
            case "object":
                return self._object(schema)
            case "array":
                return self._array(schema)
            case "string":
                characters = Repeat(_CHARACTER, _count(schema, "minLength") or 0, _count(schema, "maxLength"))
                return Sequence(Bytes(b'"'), characters, Bytes(b'"'))
            case "integer":
                return _integer(schema)
            case "number":
                minus = Bytes(b"") if schema.get("minimum", -1) >= 0 else _MINUS
                return Sequence(minus, _WHOLE, Repeat(_FRACTION, 0, 1), Repeat(_EXPONENT, 0, 1))
            case "boolean":
                return Choice(Bytes(b"true"), Bytes(b"false"))
        return Bytes(b"null")

    def _object(self, schema: Mapping[str, Any]) -> Node:
        fields = list(schema.get("properties", {}).items())
        required = set(schema.get("required", ()))
        others = schema.get("additionalProperties", True)
        fields += [(name, others) for name in sorted(required - dict(fields).keys())]
        if fields:
            return Sequence(Bytes(b"{"), self._fields(fields, required), Bytes(b"}"))
        most = _count(schema, "maxProperties")
        if others is False or most == 0:
            return Bytes(b"{}")
        member = Sequence(self.value({"type": "string"}), _COLON, self.value(others))
        return Sequence(Bytes(b"{"), _listed(member, _count(schema, "minProperties") or 0, most), Bytes(b"}"))

    def _fields(self, fields: list[tuple[str, Any]], required: set[str]) -> Node:
        """Fields in their order, those that are not required perhaps left out."""
        # What may stand from each field on, from the last one backwards: with nothing before it, and after others.
        first: Node = Bytes(b"")
        after: Node = Bytes(b"")
        for name, schema in reversed(fields):
            field = None if schema is False else Sequence(_literal(name), _COLON, self.value(schema))
            skipped = [] if name in required else [(first, after)]
            written = [] if field is None else [(Sequence(field, after), Sequence(_COMMA, field, after))]
            ways = [*written, *skipped]
            first, after = _shared(Choice(*(way[0] for way in ways))), _shared(Choice(*(way[1] for way in ways)))
        return first

    def _array(self, schema: Mapping[str, Any]) -> Node:
        first = list(schema.get("prefixItems", ()))
        least, most = _count(schema, "minItems") or 0, _count(schema, "maxItems")
        items = schema.get("items", not first)
        if not first:
            if items is False or most == 0:
                return Bytes(b"[]")
            return Sequence(Bytes(b"["), _listed(self.value(items), least, most), Bytes(b"]"))
        # A tuple is written whole: all that its schema names, and as many more as it must have.
        more = [items] * max(0, least - len(first))
        parts: list[Node] = []
        for one in [*first, *more][:most]:
            parts += [_COMMA, self.value(one)] if parts else [self.value(one)]
        return Sequence(Bytes(b"["), *parts, Bytes(b"]"))

    def _referred(self, reference: str) -> Any:
        """What a reference such as `#/$defs/name` means (RFC 6901)."""
        found: Any = self._whole
        for step in reference.removeprefix("#").split("/")[1:]:
            step = step.replace("~1", "/").replace("~0", "~")
            found = found[int(step)] if isinstance(found, list) else found[step]
        return found


def _shared(node: Node) -> Rule:
    """A node that several others contain: as a rule its length is worked out once."""
    return Rule(lambda: node)


def _count(schema: Mapping[str, Any], name: str) -> int | None:
    """A limit of a schema, which may be written `2.0`."""
    return None if name not in schema else int(schema[name])


def _listed(item: Node, least: int, most: int | None) -> Node:
    """Items with commas between them."""
    rest = Repeat(Sequence(_COMMA, item), max(0, least - 1), None if most is None else most - 1)
    some = Sequence(item, rest)
    return some if least else Choice(Bytes(b""), some)


def _integer(schema: Mapping[str, Any]) -> Node:
    least, most = schema.get("minimum"), schema.get("maximum")
    if isinstance(least, int) and isinstance(most, int) and 0 <= most - least < _MOST_NUMBERS:
        return Choice(*(_literal(number) for number in range(least, most + 1)))
    return Sequence(Bytes(b"") if least is not None and least >= 0 else _MINUS, _WHOLE)


def _literal(value: Any) -> Node:
    return Bytes(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


def _likely_types(schema: Mapping[str, Any]) -> tuple[str, ...]:
    """Types of a schema that names none: those that its words are about; all if they are about none."""
    about = {
        "object": ("properties", "required", "additionalProperties", "minProperties", "maxProperties"),
        "array": ("items", "prefixItems", "minItems", "maxItems"),
        "string": ("minLength", "maxLength", "pattern", "format"),
        "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    }
    return tuple(kind for kind, words in about.items() if any(word in schema for word in words)) or _TYPES


def _merged(one: Mapping[str, Any] | bool, other: Mapping[str, Any] | bool) -> Mapping[str, Any] | bool:
    """A schema whose texts mostly fit both: fields and required ones of both, otherwise the second's words win."""
    if isinstance(one, bool):
        return other if one else False
    if isinstance(other, bool):
        return one if other else False
    merged = {**one, **other}
    for name in ("properties", "$defs"):
        if name in one and name in other:
            merged[name] = {**one[name], **other[name]}
    if "required" in one and "required" in other:
        merged["required"] = list(dict.fromkeys([*one["required"], *other["required"]]))
    return merged
