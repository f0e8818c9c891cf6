"""Personas: who a model is asked to be, as files. A persona is a system message with a name.

    ---
    description: Writes tests that read like a specification.
    ---
    You write tests. Each test has one reason to fail ...

The file `personas/test_writer.md` is the persona `test_writer`. It is looked for in the project, then among the
user's (`$XDG_CONFIG_HOME/tissu/personas`), then among those that come with the package; the first one is taken.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from quanta_tissu.errors import ConfigError, ModelError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_FRONT = re.compile(r"---\n(.*?)^---[ \t]*(?:\n(.*))?", re.DOTALL | re.MULTILINE)
_LARGEST = 64 * 2**10


@dataclass(frozen=True, slots=True)
class Persona:
    """Who a model is asked to be.

    Attributes:
        name: Its name.
        description: What it is good for, in a sentence; may be empty.
        text: The system message.
        origin: Where it comes from: "project", "user" or "built in".
    """

    name: str
    description: str
    text: str
    origin: str


def persona(name: str, root: Path | None = None) -> Persona:
    """The persona of a name.

    Args:
        name: Its name: letters, digits, `_` and `-`.
        root: The project's folder; None: there is no project.

    Raises:
        ModelError: There is none, or its file cannot be used.
    """
    if not _NAME.fullmatch(name):
        raise ModelError(
            f"{name!r} cannot be the name of a persona", hint="letters, digits, _ and -: careful_engineer"
        )
    for origin, folder in _folders(root):
        path = folder / f"{name}.md"
        if path.is_file():
            return _read(path, name, origin, root)
    names = sorted({one.name for one in personas(root)})
    close = get_close_matches(name, names, n=1)
    raise ModelError(
        f"there is no persona {name!r}",
        hint=f"did you mean {close[0]}?" if close else f"write personas/{name}.md, or use {', '.join(names)}",
    )


def personas(root: Path | None = None) -> tuple[Persona, ...]:
    """All personas that `persona` finds, by name.

    Raises:
        ModelError: A file cannot be used.
    """
    found: dict[str, Persona] = {}
    for origin, folder in _folders(root):
        for path in sorted(folder.glob("*.md")):
            if path.stem not in found and _NAME.fullmatch(path.stem):
                found[path.stem] = _read(path, path.stem, origin, root)
    return tuple(found[name] for name in sorted(found))


def _folders(root: Path | None) -> Iterator[tuple[str, Path]]:
    if root is not None:
        yield "project", root / "personas"
    base = os.environ.get("XDG_CONFIG_HOME", "")
    yield "user", (Path(base) if base else Path.home() / ".config") / "tissu" / "personas"
    yield "built in", Path(__file__).parent / "builtin_personas"


def _read(path: Path, name: str, origin: str, root: Path | None) -> Persona:
    if origin == "project" and root is not None and not path.resolve().is_relative_to(root.resolve()):
        raise ModelError(
            f"personas/{path.name} leads out of the project, to {path.resolve()}",
            hint="copy the file into the project, or into the folder of your own personas",
        )
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
        text = data.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ModelError(f"the persona {name!r} cannot be read: {reason}", hint=f"look at {path}") from None
    if len(data) > _LARGEST:
        raise ModelError(f"the persona {name!r} has more than {_LARGEST:,} bytes", hint=f"shorten {path}")
    front, body = _parts(text.replace("\r\n", "\n"), name, path)
    if not body:
        raise ModelError(f"the persona {name!r} says nothing", hint=f"write whom the model shall be into {path}")
    return Persona(name, _description(front, name, path), body, origin)


def _parts(text: str, name: str, path: Path) -> tuple[Any, str]:
    """What stands between the lines `---` at the top, and the rest."""
    from quanta_tissu.tisslm.config.yaml_text import parse_document

    if not text.startswith("---\n"):
        return {}, text.strip()
    found = _FRONT.fullmatch(text)
    if found is None:
        raise ModelError(
            f"the front matter of the persona {name!r} is never closed", hint=f"end it with a line --- in {path}"
        )
    front, body = found.groups()
    try:
        return parse_document(front, str(path))[0] or {}, (body or "").strip()
    except ConfigError as error:
        raise ModelError(error.message, hint=error.hint) from None


def _description(front: Any, name: str, path: Path) -> str:
    unknown = [str(key) for key in front if key != "description"] if isinstance(front, dict) else ["?"]
    if unknown or not isinstance(front.get("description", ""), str):
        raise ModelError(
            f"the front matter of the persona {name!r} is not understood"
            + (f": {', '.join(unknown)}" if unknown else ""),
            hint=f"it has a `description`, which is a text, and nothing else: {path}",
        )
    return str(front.get("description", "")).strip()
