"""Sources of text: a file, a folder, JSONL, or the standard library of the running Python.

A source streams its documents: at any time memory holds one document (a piece of it if it is long) and the index
that shuffling needs, up to 28 bytes for each document.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quanta_tissu.errors import DataError
from quanta_tissu.tisslm.config import DataConfig
from quanta_tissu.tisslm.data.dataset import is_prepared
from quanta_tissu.tisslm.data.readers import Document, JsonLines, PythonTopics, Reader, TextFile
from quanta_tissu.tisslm.data.splitmix import permutation

JSON_LINES_SUFFIXES = frozenset({".jsonl", ".ndjson"})
_PROSE = ".txt .text .md .markdown .rst .tex .org .adoc .html .htm .xml .csv .tsv"
_CODE = (
    ".py .pyi .pyx .c .h .cc .cpp .hpp .rs .go .java .kt .scala .swift .js .jsx .ts .tsx .css .sh .sql .rb .php "
    ".pl .lua .r .jl .hs .ml .lisp .clj .ex .erl .f90 .zig .tiss .json .yaml .yml .toml .ini .cfg"
)
TEXT_SUFFIXES = frozenset(_PROSE.split()) | frozenset(_CODE.split())
"""What counts as text in a folder, beside JSONL; a file named directly may have any name."""

BUILTIN = "builtin:"
_PYTHON_TESTS = frozenset({"test", "tests", "idle_test"})
_PYTHON_FOREIGN = frozenset({"site-packages", "dist-packages", "__pycache__"})


class Source:
    """Documents from a sequence of readers.

    Args:
        description: What the user named.
        readers: Where the documents are, in a fixed order.
        text_field: The field of JSONL objects that the readers take the text from.
        max_bytes: Stop after this many bytes of text; the last document is cut to fit. None for all.
    """

    def __init__(
        self, description: str, readers: Sequence[Reader], text_field: str = "text", max_bytes: int | None = None
    ) -> None:
        self.description = description
        self.readers = readers
        self.text_field = text_field
        self.max_bytes = max_bytes

    @property
    def num_bytes(self) -> int:
        """Bytes on disk that will be read: for progress, not an exact count of text."""
        total = sum(reader.num_bytes for reader in self.readers)
        return total if self.max_bytes is None else min(total, self.max_bytes)

    def documents(self, shuffle_seed: int | None = None) -> Iterator[Document]:
        """All documents that have text, in their own or in a shuffled order.

        A document that is too long to hold comes in pieces, one after the other (`Document.complete`).

        Args:
            shuffle_seed: Decides the order; None keeps the source's own.

        Raises:
            DataError: A file cannot be read, is not UTF-8 or not what it should be, or there is no text at all.
        """
        left, found = self.max_bytes, False
        for reader, place in self._order(shuffle_seed):
            for document in reader.read(place):
                if left is not None:
                    document, left = _cut(document, left)
                    if not document.text:
                        return
                found = True
                yield document
        if not found:
            raise DataError(
                f"{self.description} has no text: {_count(len(self.readers), 'file')}, all of them empty",
                hint="name a source with text in it",
            )

    def _order(self, shuffle_seed: int | None) -> Iterator[tuple[Reader, int]]:
        places = [np.asarray(reader.places(), np.int64) for reader in self.readers]
        owners: NDArray[np.int32] = np.repeat(np.arange(len(places), dtype=np.int32), [len(p) for p in places])
        offsets = np.concatenate(places)
        order = range(len(offsets)) if shuffle_seed is None else permutation(shuffle_seed, len(offsets))
        for number in order:
            yield self.readers[owners[number]], int(offsets[number])


def open_source(spec: str | os.PathLike[str], *, text_field: str = "text", max_bytes: int | None = None) -> Source:
    """A source by its name.

    Args:
        spec: A text file; a `.jsonl` file; a folder, read recursively in alphabetical order without hidden and
            binary files; or `builtin:python`, the topics of `help()` and the standard library without its tests.
        text_field: The field of JSONL objects that holds the text.
        max_bytes: Stop after this many bytes of text; None for all.

    Raises:
        DataError: There is no such source, or no text in it.
    """
    description = os.fspath(spec)
    if description.startswith(BUILTIN):
        return Source(description, _builtin(description), text_field, max_bytes)
    path = Path(description)
    # os.path answers False where pathlib raises: names that are too long, folders that may not be entered.
    if os.path.isdir(path):
        return Source(description, _folder(path, text_field), text_field, max_bytes)
    if not os.path.exists(path):
        raise DataError(
            f"there is no file or folder {description!r}",
            hint="name a text file, a folder, a .jsonl file, or builtin:python",
        )
    return Source(description, [_file(path, description, text_field)], text_field, max_bytes)


def configured_source(config: DataConfig) -> Source:
    """The source that the data section names.

    Raises:
        DataError: It names none, or `open_source` refuses it.
    """
    if config.source is None:
        raise DataError(
            "no text to read: data.source is not set",
            hint="name a file, a folder, a .jsonl file or builtin:python with `--data SOURCE`",
        )
    return open_source(config.source, text_field=config.text_field, max_bytes=config.max_bytes)


def _file(path: Path, name: str, text_field: str) -> Reader:
    if path.suffix.lower() in JSON_LINES_SUFFIXES:
        return JsonLines(path, name, text_field)
    return TextFile(path, name)


def _folder(folder: Path, text_field: str) -> list[Reader]:
    if is_prepared(folder):
        raise DataError(
            f"{folder} is a prepared dataset: its text is tokens already",
            hint="train on it directly, or name the text it was made from",
        )
    suffixes = TEXT_SUFFIXES | JSON_LINES_SUFFIXES
    files = [path for path in _walk(folder) if path.suffix.lower() in suffixes and not _is_binary(path)]
    if not files:
        raise DataError(
            f"the folder {folder} has no text files",
            hint=f"a text file ends in .jsonl {_PROSE}, or in a suffix of source code",
        )
    return [_file(path, str(path), text_field) for path in files]


def _walk(folder: Path, skipped: frozenset[str] = frozenset()) -> list[Path]:
    """Files below a folder in alphabetical order of their path, without hidden ones and `skipped` folders."""
    found = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".") and name not in skipped]
        found += [Path(parent, name) for name in files if not name.startswith(".")]
    return sorted(found, key=lambda path: path.relative_to(folder).parts)


def _is_binary(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return b"\0" in file.read(8192)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error


def _builtin(spec: str) -> list[Reader]:
    if spec != BUILTIN + "python":
        raise DataError(f"there is no built-in source {spec!r}", hint="the only one is builtin:python")
    library = Path(sysconfig.get_path("stdlib"))
    if not library.is_dir():
        raise DataError(
            f"the standard library of {sys.executable} is not a folder of source files ({library})",
            hint="use a Python with its library unpacked, or another text",
        )
    readers: list[Reader] = [PythonTopics()]
    for path in _walk(library, _PYTHON_TESTS | _PYTHON_FOREIGN):
        name = path.relative_to(library).as_posix()
        # The topics come as text already, and _sysconfigdata only says how this interpreter was built.
        if path.suffix == ".py" and name != "pydoc_data/topics.py" and not name.startswith("_sysconfigdata"):
            readers.append(TextFile(path, name))
    return readers


def _cut(document: Document, left: int) -> tuple[Document, int]:
    """The document cut to `left` bytes at a character, and what then remains of them."""
    raw = document.text.encode()
    if len(raw) <= left:
        return document, left - len(raw)
    return Document(document.name, raw[:left].decode(errors="ignore")), 0


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
