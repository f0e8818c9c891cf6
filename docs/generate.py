"""Write the generated parts of the documentation: `make docs`; `--check` only says what is stale.

A generated part lies between `<!-- generated: NAME -->` and `<!-- end generated -->`; what is around it is written
by hand.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import yaml

from quanta_tissu.cli.app import COMMANDS, app
from quanta_tissu.cli.failures import EXIT_CODES
from quanta_tissu.tisslang.diagnostics.catalogue import MISTAKES
from quanta_tissu.tisslang.grammars.ebnf import ebnf
from quanta_tissu.tisslang.grammars.gbnf import gbnf
from quanta_tissu.tisslang.grammars.textmate import snippets, textmate
from quanta_tissu.tisslang.syntax.commands import COMMANDS as LANGUAGE
from quanta_tissu.tisslang.syntax.notation import notation
from quanta_tissu.tisslang.syntax.words import BUDGETS, DIRECTIVES, FILTERS, LAST_RUN
from quanta_tissu.tisslm.config.fields import fields, sections
from quanta_tissu.tisslm.config.presets import list_presets
from quanta_tissu.tisslm.config.yaml_text import scalar

DOCS = Path(__file__).parent
ROOT = DOCS.parent
NEEDS: dict[str, Any] = yaml.safe_load((DOCS / "needs.yaml").read_text(encoding="utf-8"))
_PART = re.compile(r"(<!-- generated: ([\w-]+) -->\n).*?(<!-- end generated -->)", re.DOTALL)


def configuration_fields() -> Iterator[str]:
    """One table for each section."""
    for section, kind in sections().items():
        summary = (kind.__doc__ or "").strip().splitlines()[0]
        yield f"## {section}\n\n{summary}\n"
        yield "| field | meaning | allowed | default |\n|---|---|---|---|"
        for field in fields(section):
            row = (f"`{field.name}`", field.description, field.allowed, f"`{scalar(field.default)}`")
            yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
        yield ""


def configuration_presets() -> Iterator[str]:
    """One line for each preset."""
    for preset in list_presets():
        yield f"- `{preset.name}`: {preset.description}"


def exit_codes() -> Iterator[str]:
    """The table of exit codes."""
    yield "| code | meaning |\n|---|---|"
    for code, meaning in EXIT_CODES.items():
        yield f"| {code.value} | {meaning} |"


def commands() -> Iterator[str]:
    """The help of every command, as the terminal shows it."""
    top = click.Context(app, info_name="tissu", **app.context_settings)
    for name in COMMANDS:
        command = app.get_command(top, name)
        if command is not None:
            yield from _help(command, click.Context(command, info_name=name, parent=top), level=3)


def tisslang_words() -> Iterator[str]:
    """Tables of directives, budgets, filters and parts of LAST_RUN."""
    yield "| directive | what it says | values |\n|---|---|---|"
    for one in DIRECTIVES.values():
        values = "any text" if one.values is None else ", ".join(f"`{word}`" for word in one.values) or "a number"
        yield f"| `@{one.name}` | {one.summary} | {values} |"
    for title, words in {"budget": BUDGETS, "filter": FILTERS, "`LAST_RUN.`": LAST_RUN}.items():
        yield f"\n| {title} | meaning |\n|---|---|"
        for word, meaning in words.items():
            yield f"| `{word}` | {meaning} |"


def tisslang_commands() -> Iterator[str]:
    """Each command: how it is written, what it does, where it may stand, an example."""
    for one in LANGUAGE:
        places = " or ".join(place.value for place in sorted(one.where, key=lambda place: place.name))
        yield f"### {one.keyword}\n\n`{notation(one)}`\n\n{one.summary} It stands in {places}.\n"
        yield from _snippet(one.example, NEEDS.get(one.keyword))
        yield ""


def tisslang_mistakes() -> Iterator[str]:
    """Each mistake with an example."""
    for one in MISTAKES:
        yield f"### {one.code}: {one.title}\n\n{one.why}{f' In the example: {one.when}' if one.when else ''}\n"
        if max(map(len, one.wrong.splitlines())) < 100:
            yield f"Wrong:\n\n```text\n{one.wrong}\n```\n\nRight:\n"
            yield from _snippet(one.right, NEEDS.get(one.code))
            yield ""


def _snippet(text: str, needed: dict[str, Any] | None) -> Iterator[str]:
    """A script, after a comment that says what it needs to run; readers do not see it."""
    if needed is not None:
        yield f"<!-- run: {json.dumps(needed, ensure_ascii=False)} -->"
    yield f"```tiss\n{text}\n```"


def _help(command: click.Command, ctx: click.Context, level: int) -> Iterator[str]:
    ctx.terminal_width = ctx.max_content_width = 100
    yield f"{'#' * level} {ctx.command_path}\n\n```text\n{command.get_help(ctx)}\n```\n"
    if isinstance(command, click.Group):
        for name in command.list_commands(ctx):
            child = command.get_command(ctx, name)
            if child is not None:
                yield from _help(child, click.Context(child, info_name=name, parent=ctx), level + 1)


PARTS: dict[str, Callable[[], Iterator[str]]] = {
    "configuration-fields": configuration_fields,
    "configuration-presets": configuration_presets,
    "exit-codes": exit_codes,
    "commands": commands,
    "tisslang-words": tisslang_words,
    "tisslang-commands": tisslang_commands,
    "tisslang-mistakes": tisslang_mistakes,
}


FILES: dict[str, Callable[[], str]] = {
    "docs/tisslang.ebnf": ebnf,
    "docs/tisslang.gbnf": gbnf,
    "editors/vscode/syntaxes/tiss.tmLanguage.json": textmate,
    "editors/vscode/snippets/tiss.json": snippets,
}


def render(text: str) -> str:
    """The page with its generated parts written anew."""

    def fill(match: re.Match[str]) -> str:
        return match[1] + "\n".join(PARTS[match[2]]()).rstrip() + "\n" + match[3]

    return _PART.sub(fill, text)


def stale_pages(*, write: bool) -> list[Path]:
    """Pages whose generated parts are not what the code says now; `write` brings them up to date."""
    stale = []
    for page in sorted(DOCS.glob("*.md")):
        text = page.read_text(encoding="utf-8")
        fresh = render(text)
        if fresh != text:
            stale.append(page)
            if write:
                page.write_text(fresh, encoding="utf-8")
    return stale


def stale_files(*, write: bool) -> list[str]:
    """Files that are generated as a whole and are not what the code says now."""
    stale = []
    for name, make in FILES.items():
        path, fresh = ROOT / name, make()
        if not path.is_file() or path.read_text(encoding="utf-8") != fresh:
            stale.append(name)
            if write:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(fresh, encoding="utf-8")
    return stale


def main() -> int:
    """Bring the pages and files up to date, or with `--check` only report."""
    check = "--check" in sys.argv[1:]
    stale = [f"docs/{page.name}" for page in stale_pages(write=not check)] + stale_files(write=not check)
    for name in stale:
        print(f"{'stale' if check else 'wrote'}: {name}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
