"""What `tissu generate` and `tissu chat` share: the generation settings as options, and text safe to show."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, TypeVar, get_origin

import click
from click.core import ParameterSource

from quanta_tissu.tisslm.config.fields import FieldInfo, fields
from quanta_tissu.tisslm.config.load import config_from_mapping, load_config

Function = TypeVar("Function", bound=Callable[..., Any])

ENGINE_OPTION = click.option(
    "--engine",
    type=click.Choice(["reference", "fast", "torch"]),
    help="What runs the model: fast (compiled; the default), reference (plain NumPy) or torch (PyTorch, on a GPU "
    "if there is one).",
)

# Control characters, which could move the cursor or worse, and the pictures that Unicode has of them.
_PICTURES = {code: 0x2400 + code for code in range(32) if chr(code) not in "\n\t"}
_PICTURES |= {0x7F: 0x2421} | dict.fromkeys(range(0x80, 0xA0), 0xFFFD)


def generation_options(*, without: Collection[str] = ()) -> Callable[[Function], Function]:
    """One option for every field of the `generate` section, explained by the field's own description."""

    def decorate(function: Function) -> Function:
        for field in reversed(list(fields("generate"))):
            if field.name not in without:
                function = _option(field)(function)
        return function

    return decorate


def given_settings(ctx: click.Context) -> dict[str, Any]:
    """The generation settings that the user chose: from `TISSU_GENERATE__…`, and above them from the options.

    Raises:
        ConfigError: A value is not allowed.
    """
    environment = load_config().generate
    chosen = {
        field.name: _value(field, ctx.params[field.name])
        for field in fields("generate")
        if ctx.get_parameter_source(field.name) not in (None, ParameterSource.DEFAULT)
    }
    config_from_mapping({"generate": chosen}, "command line")
    return {name: getattr(environment, name) for name in environment.model_fields_set} | chosen


def visible(text: str) -> str:
    """Text for a terminal: control characters, which a model may well generate, as pictures of themselves."""
    return text.translate(_PICTURES)


def _or_null(number: Callable[[str], Any], noun: str) -> Callable[[str], Any]:
    def convert(text: str) -> Any:
        try:
            return None if text == "null" else number(text)
        except ValueError:
            raise click.BadParameter(f"{text!r} is neither {noun} nor null") from None

    return convert


def _pair(text: str) -> tuple[int, float]:
    try:
        token, number = text.split("=")
        return int(token), float(number)
    except ValueError:
        raise click.BadParameter(f"{text!r} is not of the form ID=VALUE, a token id and a number") from None


# Type of a field -> type of the option, placeholder in the help.
_REPEATED: dict[Any, tuple[Any, str]] = {
    list[int]: (int, "ID"),
    list[str]: (str, "TEXT"),
    dict[int, float]: (_pair, "ID=VALUE"),
}
_NUMBERS: dict[Any, tuple[Any, str, str]] = {int: (int, "N", "a whole number"), float: (float, "X", "a number")}


def _option(field: FieldInfo) -> Callable[[Function], Function]:
    flag, explanation = "--" + field.name.replace("_", "-"), field.description
    [annotation] = field.types
    if annotation is bool:
        return click.option(f"{flag}/--no-{flag[2:]}", field.name, default=None, help=explanation)
    if annotation in _REPEATED:
        kind, metavar = _REPEATED[annotation]
        explanation += " May be repeated."
        return click.option(flag, field.name, multiple=True, type=kind, metavar=metavar, help=explanation)
    explanation += f"  [{'null' if field.default is None else field.default}]"
    if field.choices:
        return click.option(flag, field.name, type=click.Choice(field.choices), help=explanation)
    number, metavar, noun = _NUMBERS[annotation]
    kind = _or_null(number, noun) if field.nullable else number
    return click.option(flag, field.name, type=kind, metavar=metavar, help=explanation)


def _value(field: FieldInfo, value: Any) -> Any:
    """Click gives tuples; the configuration wants a list or a mapping."""
    if not isinstance(value, tuple):
        return value
    return dict(value) if get_origin(field.annotation) is dict else list(value)
