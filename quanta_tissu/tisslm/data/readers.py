"""Readers: documents out of one text file, one JSONL file, or the documentation inside the Python interpreter.

A reader knows where its documents begin (`places`) and reads any of them (`read`): documents are shuffled by their
places while their texts stay on disk.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from quanta_tissu.errors import DataError

PIECE_BYTES = 1 << 22
"""A longer file is read in pieces of this size, so that memory does not depend on it."""

_BYTE_ORDER_MARK = "\ufeff"


@dataclass(frozen=True)
class Document:
    """A text, or a piece of one that is too long to hold.

    Attributes:
        name: Where it comes from, for messages.
        text: Its characters, line ends as they are.
        complete: False if the next document of the source continues this one.
    """

    name: str
    text: str
    complete: bool = True


class Reader(Protocol):
    """What has documents at places."""

    @property
    def num_bytes(self) -> int:
        """Size on disk, roughly the bytes of text."""

    def places(self) -> Sequence[int]:
        """Where each document begins."""

    def read(self, place: int) -> Iterator[Document]:
        """The document at a place, in one or more pieces; none if it is empty."""


@dataclass(frozen=True)
class TextFile:
    """A file of UTF-8 text: one document. A byte-order mark at its beginning is dropped.

    Attributes:
        path: The file.
        name: What messages call it.
    """

    path: Path
    name: str

    @property
    def num_bytes(self) -> int:
        """Size of the file."""
        return self.path.stat().st_size

    def places(self) -> Sequence[int]:
        """One document, at the beginning."""
        return (0,)

    def read(self, place: int) -> Iterator[Document]:
        """The text, cut where no pre-tokenizer joins: before white space that follows something else.

        Raises:
            DataError: The file cannot be read or is not UTF-8.
        """
        try:
            with self.path.open("rb") as file:
                file.seek(place)
                offset, rest, last = place, b"", False
                while not last:
                    block = rest + file.read(PIECE_BYTES)
                    last = not file.peek(1)
                    end = len(block) if last else _safe_cut(block)
                    if text := _decode(block[:end], self.name, offset):
                        yield Document(self.name, text, complete=last)
                    offset, rest = offset + end, block[end:]
        except OSError as error:
            raise _unreadable(self.name, error) from error


@dataclass(frozen=True)
class JsonLines:
    """A file with one JSON object a line, each a document. Blank lines are skipped.

    Attributes:
        path: The file.
        name: What messages call it.
        text_field: The field that holds the text.
    """

    path: Path
    name: str
    text_field: str

    @property
    def num_bytes(self) -> int:
        """Size of the file."""
        return self.path.stat().st_size

    def places(self) -> Sequence[int]:
        """Byte offset of every line that is not blank; 8 bytes of memory each."""
        offsets, offset = array("q"), 0
        try:
            with self.path.open("rb") as file:
                for line in file:
                    if not line.isspace():
                        offsets.append(offset)
                    offset += len(line)
        except OSError as error:
            raise _unreadable(self.name, error) from error
        return offsets

    def read(self, place: int) -> Iterator[Document]:
        """The text of one line.

        Raises:
            DataError: The line is not UTF-8, not a JSON object, or has no text in the field.
        """
        try:
            with self.path.open("rb") as file:
                file.seek(place)
                line = file.readline()
        except OSError as error:
            raise _unreadable(self.name, error) from error
        if text := self._text(_decode(line, self.name, place), place):
            yield Document(f"{self.name} at byte {place:,}", text)

    def _text(self, line: str, place: int) -> str:
        try:
            record: Any = json.loads(line)
        except json.JSONDecodeError as error:
            raise self._malformed(place, f"is not JSON: {error.msg} (column {error.colno})") from None
        except (ValueError, RecursionError) as error:  # a number of thousands of digits, thousands of brackets
            raise self._malformed(place, f"cannot be read as JSON: {error}") from None
        if not isinstance(record, dict):
            raise self._malformed(place, f"is not a JSON object but {line.strip()[:40]!r}")
        if self.text_field not in record:
            raise self._malformed(
                place,
                f"has no field {self.text_field!r}; its fields are {', '.join(map(repr, record)) or 'none'}",
                hint="name the field that holds the text: `--set data.text_field=NAME`",
            )
        text = record[self.text_field]
        if not isinstance(text, str):
            raise self._malformed(place, f"has {text!r:.40} in its field {self.text_field!r}, which is not text")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            reason = f"has a lone surrogate {text[error.start]!r} in its text, which no encoding can express"
            raise self._malformed(place, reason) from None
        return text

    def _malformed(self, place: int, reason: str, hint: str = "correct or remove the line") -> DataError:
        return DataError(f"{self.name}: line {self._line_number(place)} {reason}", hint=hint)

    def _line_number(self, place: int) -> int:
        with self.path.open("rb") as file:
            return file.read(place).count(b"\n") + 1


class PythonTopics:
    """The documentation that `help()` shows: one document for each topic of `pydoc_data`."""

    @cached_property
    def _topics(self) -> list[tuple[str, str]]:
        from pydoc_data import topics

        return sorted(topics.topics.items())

    @property
    def num_bytes(self) -> int:
        """Size of all topics together."""
        return sum(len(text.encode()) for _, text in self._topics)

    def places(self) -> Sequence[int]:
        """One document for each topic, in alphabetical order."""
        return range(len(self._topics))

    def read(self, place: int) -> Iterator[Document]:
        """The text of a topic."""
        name, text = self._topics[place]
        if text:
            yield Document(f"pydoc_data.topics[{name!r}]", text)


def _safe_cut(block: bytes) -> int:
    """Where to cut a block of text so that both parts tokenize as the whole does; 0 if nowhere.

    A word takes the space before it along, never what follows it: the cut goes before a space or line end that
    follows anything but white space.
    """
    place = len(block)
    while (place := max(block.rfind(b" ", 0, place), block.rfind(b"\n", 0, place))) > 0:
        before = block[max(0, place - 4) : place].decode(errors="ignore")
        if before and not before[-1].isspace():
            return place
    return 0


def _decode(raw: bytes, name: str, offset: int) -> str:
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise DataError(
            f"{name} is not UTF-8 text: byte 0x{raw[error.start]:02x} at offset {offset + error.start:,} "
            f"({error.reason})",
            hint="convert it first, from Latin-1 for example with `iconv -f LATIN1 -t UTF-8`",
        ) from None
    return text if offset else text.removeprefix(_BYTE_ORDER_MARK)


def _unreadable(name: str, error: OSError) -> DataError:
    return DataError(f"cannot read {name}: {error.strerror}")
