"""A record of a journal, and the line that it is in the file.

A line is canonical JSON: keys in order, no blanks, ASCII. A record has one spelling only, so that any change of
its line shows, also one that JSON itself would not mind. `hash` is the SHA-256 of the line without it; as the line
holds the hash of its predecessor, a hash stands for everything up to there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

VERSION = 1
FIRST = "0" * 64
"""What the first record has for the hash of a predecessor."""

_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)
_KEYS = {"blobs", "fields", "hash", "kind", "previous", "seq", "time", "v"}


@dataclass(frozen=True, slots=True)
class Record:
    """A record.

    Attributes:
        seq: Its number, from 1.
        time: When it was written (UTC).
        kind: What it tells: `effect.intent`, `note`.
        fields: What it tells, in JSON's types. A text that was too long for a line is a blob, named in its place
            (`blobs.py`).
        hash: SHA-256 of the line without the hash, in hexadecimal digits.
        previous: The hash of the record before it; zeros in the first one.
        blobs: References of the blobs that were stored since the record before it.
    """

    seq: int
    time: datetime
    kind: str
    fields: Mapping[str, Any]
    hash: str
    previous: str
    blobs: tuple[str, ...] = ()


def canonical(value: Any) -> bytes:
    """The one spelling of a value of JSON's types.

    Raises:
        ValueError: A number in it is infinite or none.
        TypeError: It holds something that JSON does not know.
    """
    return _ENCODER.encode(value).encode("ascii")


def make_record(
    seq: int, time: datetime, kind: str, fields: Mapping[str, Any], previous: str, blobs: tuple[str, ...] = ()
) -> tuple[Record, bytes]:
    """A record and its line, with the end of the line.

    Raises:
        ValueError: A number in the fields is infinite or none.
        TypeError: The fields hold something that JSON does not know.
    """
    content = {
        "blobs": list(blobs),
        "fields": fields,
        "kind": kind,
        "previous": previous,
        "seq": seq,
        "time": time.strftime(_TIME),
        "v": VERSION,
    }
    hash = hashlib.sha256(canonical(content)).hexdigest()
    line = canonical(content | {"hash": hash}) + b"\n"
    # Read back, so that what is in memory is what a later process will read: lists for tuples, texts for names.
    return Record(seq, time, kind, json.loads(canonical(fields)), hash, previous, blobs), line


def parse_line(line: bytes) -> Record:
    """The record of a line without its end.

    Raises:
        ValueError: It is no record, or not as it was written; the message says how it differs.
    """
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        raise ValueError("is no JSON") from None
    if not isinstance(content, dict) or content.keys() != _KEYS:
        raise ValueError("is no record of a journal")
    if content["v"] != VERSION:
        raise ValueError(f"is of version {content['v']!r}, and {VERSION} can be read")
    try:
        spelling = canonical(content)
        claimed = content.pop("hash")
        hash = hashlib.sha256(canonical(content)).hexdigest()
    except ValueError:
        raise ValueError("is no record of a journal") from None
    if claimed != hash or spelling != line:
        raise ValueError("was altered: its hash is another one")
    match content:
        case {
            "seq": int(seq),
            "time": str(time),
            "kind": str(kind),
            "fields": dict(fields),
            "previous": str(previous),
            "blobs": list(blobs),
        }:
            with suppress(ValueError):
                return Record(seq, datetime.fromisoformat(time), kind, fields, hash, previous, tuple(blobs))
    raise ValueError("is no record of a journal")
