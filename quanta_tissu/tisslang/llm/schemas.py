"""What `AS JSON` says of an answer: a JSON Schema, or a short form of one.

| short form | means |
|---|---|
| `"text"`, `"number"`, `"integer"`, `"boolean"`, `"null"`, `"list"`, `"object"`, `"any"` | a value of this type |
| `"text?"` | in an object: the field may be missing |
| `"text or null"` | one of several types |
| `["red", "green"]` | one of these values |
| `["text"]` | a list: its one item says of what |
| `{name: "text", tags: ["text"]}` | an object with these fields and no others |

An object is a JSON Schema if it says so by `$schema`, or by words that have no other use: `type: "object"` with
`properties`, `anyOf`, `$ref` and the like. All of it is then one; the two forms are not mixed. References lead to
places within the schema: nothing is fetched.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

from quanta_tissu.errors import ModelError

Schema = Mapping[str, Any] | bool

_TYPES = {
    "text": "string",
    "string": "string",
    "number": "number",
    "integer": "integer",
    "boolean": "boolean",
    "null": "null",
    "object": "object",
    "list": "array",
    "array": "array",
}
_JSON_TYPES = {"string", "number", "integer", "boolean", "null", "object", "array"}
_FORMS = 'write "text", ["one", "of", "these"], ["text"] for a list, or {name: "text", age: "integer?"}'

# Words that say something only in a schema, with what stands behind them there.
_TELLING: dict[str, type] = {
    "$ref": str,
    "anyOf": list,
    "oneOf": list,
    "allOf": list,
    "enum": list,
    "properties": dict,
    "items": dict,
    "prefixItems": list,
    "additionalProperties": dict,
}

_WORDS = {
    *("$id", "$comment", "$anchor", "$defs", "type", "title", "description", "default", "examples", "deprecated"),
    *("const", "not", "if", "then", "else", "format", "pattern", "minLength", "maxLength", "multipleOf"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "contains", "minContains", "maxContains"),
    *("minItems", "maxItems", "uniqueItems", "unevaluatedItems", "required", "minProperties", "maxProperties"),
    *("patternProperties", "propertyNames", "dependentRequired", "dependentSchemas", "unevaluatedProperties"),
    *("additionalProperties", "definitions", "readOnly", "writeOnly"),
    *_TELLING,
}


def schema_of(given: Any) -> Schema:
    """The JSON Schema that a script means.

    Args:
        given: What stands behind `AS JSON`, as a value.

    Raises:
        ModelError: It is neither a schema nor a short form, or could be both.
    """
    schema = given if _is_schema(given) else _short(given, "the answer")
    check(schema)
    return schema


def check(schema: Schema) -> None:
    """Refuse what is no JSON Schema, or one that refers to something outside.

    Raises:
        ModelError: It is none; the message says why.
    """
    try:
        _validator(json.dumps(schema, sort_keys=True, allow_nan=False))
    except (ValueError, TypeError) as error:
        where = path_of(getattr(error, "instance_path", []))
        reason = str(getattr(error, "message", error))
        raise ModelError(
            f"this is no JSON Schema: {where + ': ' if where != '$' else ''}{reason}",
            hint="see https://json-schema.org, draft 2020-12; references stay within the schema",
        ) from None


def violations(schema: Schema, value: Any) -> list[tuple[str, str]]:
    """What is wrong with a value: paths such as `$.items[2].price`, and what is wrong there."""
    errors = _validator(json.dumps(schema, sort_keys=True)).iter_errors(value)
    found = [(path_of(error.instance_path), str(error.message)) for error in errors]
    return sorted(found)


def path_of(steps: list[str | int]) -> str:
    """A place in a value, `$` being all of it."""
    text = "$"
    for step in steps:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += f".{step}" if re.fullmatch(r"\w+", step) else f"[{json.dumps(step)}]"
    return text


@lru_cache(maxsize=64)
def _validator(schema: str) -> Any:
    import jsonschema_rs

    # Without a retriever a reference would be fetched, from anywhere.
    return jsonschema_rs.validator_for(json.loads(schema), retriever=_fetch_nothing, validate_formats=True)


def _fetch_nothing(uri: str) -> Any:
    raise ValueError(f"{uri} is not within the schema")


def _is_schema(given: Any) -> bool:
    if not isinstance(given, dict):
        return given is True
    kind = given.get("type")
    kinds = kind if isinstance(kind, list) else [kind]
    typed = bool(kinds) and all(isinstance(one, str) and one in _JSON_TYPES for one in kinds)
    telling = any(isinstance(given.get(word), form) for word, form in _TELLING.items())
    if "$schema" in given or (typed and telling):
        return True
    if not given or not given.keys() <= _WORDS:
        return False
    if telling or (typed and ("object" in kinds or "array" in kinds)):
        return True
    if typed:
        raise ModelError(
            f"{json.dumps(given, ensure_ascii=False)} may be a JSON Schema, and an object with a field `type`",
            hint='write "$schema": "https://json-schema.org/draft/2020-12/schema" into a schema; "text" for '
            '"string" makes it an object with fields',
        )
    return False


def _short(given: Any, where: str) -> dict[str, Any] | bool:
    match given:
        case True:
            return True
        case str():
            return _type(given, where)
        case []:
            return {"type": "array"}
        case [one] if isinstance(one, str | dict | list):
            return {"type": "array", "items": _short(one, f"an item of {where}")}
        case list():
            if any(isinstance(one, dict | list) for one in given):
                raise ModelError(
                    f"{where} is one of several values, which cannot be lists or objects", hint=_FORMS
                )
            return {"enum": given}
        case dict():
            fields = {str(name): _short(_there(value), f"{name!r}") for name, value in given.items()}
            required = [str(name) for name, value in given.items() if _there(value) is value]
            return {
                "type": "object",
                "properties": fields,
                "required": required,
                "additionalProperties": False,
            }
    raise ModelError(f"{json.dumps(given)} says nothing about {where}", hint=_FORMS)


def _there(given: Any) -> Any:
    """What a field is if it is there: without the question mark."""
    if isinstance(given, str) and given.rstrip().endswith("?"):
        return given.rstrip()[:-1]
    return given


def _type(given: str, where: str) -> dict[str, Any] | bool:
    words = [word.strip() for word in given.split(" or ")]
    if "any" in words:
        return True
    for word in words:
        if word not in _TYPES:
            close = get_close_matches(word, _TYPES, n=1)
            raise ModelError(
                f"{word!r} is no type for {where}", hint=f"did you mean {close[0]!r}?" if close else _FORMS
            )
    kinds = [_TYPES[word] for word in words]
    return {"type": kinds[0] if len(kinds) == 1 else kinds}
