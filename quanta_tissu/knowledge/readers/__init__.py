"""Files as blocks: what belongs together, under which headings, at which lines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from quanta_tissu.errors import DataError
from quanta_tissu.knowledge.passages import Block, Unit
from quanta_tissu.knowledge.readers.html import read_html
from quanta_tissu.knowledge.readers.markdown import read_markdown
from quanta_tissu.knowledge.readers.pdf import read_pdf
from quanta_tissu.knowledge.readers.python import read_python
from quanta_tissu.knowledge.readers.text import read_text

TEXTS: dict[str, Callable[[str], list[Block]]] = {
    ".txt": read_text,
    ".rst": read_text,
    ".md": read_markdown,
    ".markdown": read_markdown,
    ".html": read_html,
    ".htm": read_html,
    ".py": read_python,
    ".pyi": read_python,
}
"""What reads a text, by the end of the file's name; others are plain text."""

SUFFIXES = frozenset({*TEXTS, ".pdf"})
"""Files of a folder that are read; a file that is named by itself may be called anything."""

LARGEST = 64 * 2**20
"""Bytes of a file at most."""


class Contents(NamedTuple):
    """What a file says.

    Attributes:
        blocks: In order.
        unit: What their places count.
    """

    blocks: list[Block]
    unit: Unit


def read_file(path: Path, data: bytes) -> Contents:
    """Read a file by its kind, which the end of its name says.

    Args:
        path: The file.
        data: Its bytes.

    Raises:
        DataError: It is larger than `LARGEST`, is not UTF-8, or is a PDF that cannot be read.
        MissingDependencyError: It is a PDF, and pypdf is not installed.
    """
    if len(data) > LARGEST:
        raise DataError(
            f"{path} has {len(data):,} bytes", hint=f"split it into files of at most {LARGEST:,} bytes"
        )
    suffix = path.suffix.lower()
    if suffix == ".pdf":
        return Contents(read_pdf(data, str(path)), "page")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not UTF-8 text: byte {data[error.start]:#04x} at position {error.start}",
            hint="convert it first: iconv -f latin1 -t utf-8",
        ) from None
    if "\0" in text:
        raise DataError(
            f"{path} is not text: it has a zero byte", hint="only texts, HTML, Python and PDF are read"
        )
    return Contents(TEXTS.get(suffix, read_text)(text), "line")
