"""Write a configuration as YAML, every field with its meaning, what it allows and its default."""

from __future__ import annotations

import textwrap

from quanta_tissu.tisslm.config import Config
from quanta_tissu.tisslm.config.fields import fields, sections
from quanta_tissu.tisslm.config.yaml_text import scalar

_WIDTH = 100


def dump_yaml(config: Config, commented: bool = True) -> str:
    """Every field of a configuration as YAML; `load_config` reads it back to an equal configuration.

    Args:
        config: What to write.
        commented: Put the description, what is allowed and the default above each field.
    """
    lines: list[str] = []
    for section, kind in sections().items():
        if lines:
            lines.append("")
        if commented:
            lines += _comment(_first_line(kind.__doc__), indent=0)
        lines.append(f"{section}:")
        for field in fields(section):
            if commented:
                lines += _comment(field.description, indent=2)
                lines += _comment(f"({field.allowed}; default: {scalar(field.default)})", indent=2)
            lines.append(f"  {field.name}: {scalar(getattr(getattr(config, section), field.name))}")
    return "\n".join(lines) + "\n"


def _first_line(docstring: str | None) -> str:
    return (docstring or "").strip().splitlines()[0]


def _comment(text: str, indent: int) -> list[str]:
    prefix = " " * indent + "# "
    return textwrap.wrap(
        text, width=_WIDTH, initial_indent=prefix, subsequent_indent=prefix, break_long_words=False
    )
