"""YAML as people mean it: the scalars of YAML 1.2, no duplicate keys, and errors with line numbers.

PyYAML follows YAML 1.1, where `1e-3` is text, `on` is a boolean, `010` is eight and `12:30` is 750. Here
`1e-3` is a number, only `true` and `false` are booleans, numbers are decimal and dates are text.
"""

from __future__ import annotations

import math
import re
from typing import Any

import yaml

from quanta_tissu.errors import ConfigError

_RESOLVERS = [
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"[-+]?[0-9][0-9_]*", "-+0123456789"),
    (
        "float",
        r"[-+]?(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "-+.0123456789",
    ),
]


class _Loader(yaml.SafeLoader):
    """Safe loader with the scalars above."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 (the base class's protocol)

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        return int(self.construct_scalar(node).replace("_", ""))

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key.value!r} appears twice", key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Safe dumper that quotes exactly what the loader above would misread."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012

    def represent_text(self, text: str) -> yaml.ScalarNode:
        # Anything with a control character or line break goes on one line, escaped.
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=None if text.isprintable() else '"')

    def represent_number(self, number: float) -> yaml.ScalarNode:
        # As Python writes it, 1e-05 rather than 1.0e-05; the loader reads both.
        if not math.isfinite(number):
            return self.represent_float(number)
        return self.represent_scalar("tag:yaml.org,2002:float", repr(number))


for _tag, _pattern, _first in _RESOLVERS:
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first))
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)
_Dumper.add_representer(str, _Dumper.represent_text)
_Dumper.add_representer(float, _Dumper.represent_number)


def parse_value(text: str, name: str) -> Any:
    """Read one value, from the command line for example.

    Args:
        text: The value, one line of YAML.
        name: Where it comes from, for the error message.

    Raises:
        ConfigError: It is not valid YAML.
    """
    return _parse(text, name, with_line=False)[0]


def parse_document(text: str, name: str) -> tuple[Any, dict[tuple[str, ...], int]]:
    """Read one YAML document, and the line (from 1) of every key of its first two levels.

    Args:
        text: The document.
        name: Where it comes from, for the error message.

    Returns:
        The document, and lines such as `{("model",): 1, ("model", "n_layers"): 2}`.

    Raises:
        ConfigError: It is not valid YAML; the message names the line.
    """
    document, node = _parse(text, name, with_line=True)
    return document, dict(_lines(node, depth=2))


def _parse(text: str, name: str, *, with_line: bool) -> tuple[Any, yaml.Node | None]:
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        return None if node is None else loader.construct_document(node), node
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark and with_line else ""
        raise ConfigError(
            f"{name}{line}: not valid YAML: {error.problem or error.context}",
            hint="indent with spaces, write `key: value`, and quote text that contains ': ' or ' #'",
        ) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{name}: not valid YAML: {error}") from error


def _lines(node: yaml.Node | None, depth: int) -> list[tuple[tuple[str, ...], int]]:
    if depth == 0 or not isinstance(node, yaml.MappingNode):
        return []
    found: list[tuple[tuple[str, ...], int]] = []
    for key, value in node.value:
        if isinstance(key, yaml.ScalarNode):
            found.append(((key.value,), key.start_mark.line + 1))
            found += [((key.value, *path), line) for path, line in _lines(value, depth - 1)]
    return found


def scalar(value: Any) -> str:
    """Write a value (number, text, null, list or mapping) on one line of YAML."""
    text = yaml.dump(
        value, Dumper=_Dumper, default_flow_style=True, width=float("inf"), sort_keys=False, allow_unicode=True
    )
    return str(text).removesuffix("...\n").removesuffix("\n")
