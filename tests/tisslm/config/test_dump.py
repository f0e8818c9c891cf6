"""What is written as YAML reads back to the same configuration, and explains itself."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, get_args, get_origin

import hypothesis.strategies as st
import pytest
from hypothesis import given
from pydantic import ValidationError

from quanta_tissu.tisslm.config import Config
from quanta_tissu.tisslm.config.dump import dump_yaml
from quanta_tissu.tisslm.config.fields import all_fields
from quanta_tissu.tisslm.config.load import load_config
from quanta_tissu.tisslm.config.presets import list_presets
from quanta_tissu.tisslm.config.yaml_text import parse_document, parse_value, scalar

texts = st.text() | st.sampled_from(["null", "1e-3", "on", "true", "- a", "a: b", "#x", "'", '"', "a\nb", "~", ""])
scalars = {int: st.integers(-(2**40), 2**40), float: st.floats(allow_nan=False, allow_infinity=False), str: texts}


def values(annotation: Any) -> st.SearchStrategy:
    """Values of a field's type, allowed or not."""
    origin, args = get_origin(annotation), get_args(annotation)
    if annotation is bool:
        return st.booleans()
    if annotation in scalars:
        return scalars[annotation]
    if origin is Literal:
        return st.sampled_from(args)
    if origin is list:
        return st.lists(values(args[0]), max_size=3)
    if origin is tuple:
        return st.tuples(*map(values, args))
    return st.dictionaries(values(args[0]), values(args[1]), max_size=3)


@st.composite
def configs(draw) -> Config:
    """The default configuration with one changed field in each section where the change is allowed."""
    config = Config()
    for section in Config.model_fields:
        field = draw(st.sampled_from([f for f in all_fields().values() if f.section == section]))
        value = draw(st.one_of([values(kind) for kind in field.types]))
        changed = config.model_dump()
        changed[section][field.name] = value
        try:
            config = Config.model_validate(changed)
        except ValidationError:
            continue
    return config


@given(configs(), st.booleans())
def test_what_is_written_reads_back_equal(tmp_path_factory, config, commented):
    file = tmp_path_factory.mktemp("dump") / "tissu.yaml"
    file.write_text(dump_yaml(config, commented=commented), encoding="utf-8")
    assert load_config(file, environ={}) == config


@given(st.recursive(st.none() | st.booleans() | st.one_of(list(scalars.values())), st.lists, max_leaves=5))
def test_any_value_survives_one_line_of_yaml(value):
    line = scalar(value)
    assert "\n" not in line
    assert parse_value(line, "test") == value


@pytest.mark.parametrize("preset", list_presets(), ids=lambda preset: preset.name)
def test_presets_read_back_equal(preset, tmp_path):
    config = load_config(preset=preset.name, environ={})
    (tmp_path / "tissu.yaml").write_text(dump_yaml(config), encoding="utf-8")
    assert load_config(tmp_path / "tissu.yaml", environ={}) == config


def test_every_field_is_written_with_its_meaning_what_it_allows_and_its_default():
    text = dump_yaml(Config())
    flat = " ".join(line.strip().removeprefix("# ") for line in text.splitlines())
    for field in all_fields().values():
        assert field.description in flat, field.key
        assert f"({field.allowed}; default: {scalar(field.default)})" in flat, field.key
    assert max(map(len, text.splitlines())) <= 100


def test_a_field_of_a_kind_that_nothing_describes_is_noticed():
    field = dataclasses.replace(all_fields()["train", "seed"], annotation=complex)
    with pytest.raises(TypeError, match="describe <class 'complex'>"):
        _ = field.allowed


def test_without_comments_there_is_one_line_for_each_field_and_section():
    lines = [line for line in dump_yaml(Config(), commented=False).splitlines() if line]
    assert len(lines) == len(all_fields()) + len(Config.model_fields)


def test_lines_of_keys_are_known_two_levels_deep():
    _, lines = parse_document("a:\n  b: {c: 1}\nd: 2\n", "test")
    assert lines == {("a",): 1, ("a", "b"): 2, ("d",): 3}
