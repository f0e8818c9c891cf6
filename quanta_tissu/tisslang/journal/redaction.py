"""Hiding the values of secrets in what is written and shown.

A value is also found in the spellings in which programs pass it on: base64 (also as a part of something longer, as
in `user:password`), hexadecimal digits, percent-encoding, escaped as in JSON, HTML, Python and a shell, and the
single lines of a value that has several. What was encrypted, compressed or taken apart in other ways is not found.
"""

from __future__ import annotations

import base64
import html
import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

from quanta_tissu.errors import JournalError

SHORTEST = 6
"""Characters of the shortest value that can be hidden: anything shorter is a part of ordinary words."""

_SHORTEST_LINE = 16  # of a value of several lines: shorter ones (`-----`) stand in other texts, too


class Redactor:
    """Replaces the values of secrets by their names. May be used by several threads.

    Args:
        secrets: Name → value.

    Raises:
        JournalError: A value is too short to be told from other text.
    """

    def __init__(self, secrets: Mapping[str, str] | None = None) -> None:
        forms: dict[bytes, str] = {}
        for name, value in (secrets or {}).items():
            if len(value) < SHORTEST:
                raise JournalError(
                    f"the secret {name} is {len(value)} characters long, too short to be hidden",
                    hint=f"secrets have {SHORTEST} characters or more",
                )
            for form in spellings(value):
                forms.setdefault(form, name)
        self._forms = forms
        self._longest = max(map(len, forms), default=0)

    def __bool__(self) -> bool:
        return bool(self._forms)

    def text(self, text: str) -> str:
        """A text without secrets: `[secret NAME]` stands in their places."""
        if not self._forms:
            return text
        content = text.encode("utf-8", "surrogatepass")
        clean = self.data(content)
        return text if clean is content else clean.decode("utf-8", "surrogatepass")

    def data(self, content: bytes) -> bytes:
        """Bytes without secrets; the same object if there are none in it."""
        spans = self._spans(content)
        return self._replaced(content, spans, len(content)) if spans else content

    def value(self, value: Any) -> Any:
        """A value of JSON's types without secrets, in names, texts and numbers."""
        if not self._forms:
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, bytes):
            return self.data(value)
        if isinstance(value, Mapping):
            return {self.value(name): self.value(one) for name, one in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(one) for one in value]
        if isinstance(value, int | float) and not isinstance(value, bool):
            clean = self.text(written := str(value))
            return value if clean == written else clean
        return value

    def stream(self) -> RedactedStream:
        """For output that comes in pieces, which may part a secret anywhere."""
        return RedactedStream(self)

    def _spans(self, content: bytes) -> list[tuple[int, int, str]]:
        """Start, end and name of what is to be hidden, in order; what overlaps is one."""
        found = []
        for form, name in self._forms.items():
            at = content.find(form)
            while at >= 0:
                found.append((at, at + len(form), name))
                at = content.find(form, at + 1)
        found.sort(key=lambda span: (span[0], -span[1]))
        merged: list[tuple[int, int, str]] = []
        for start, end, name in found:
            if merged and start < merged[-1][1]:
                merged[-1] = (merged[-1][0], max(end, merged[-1][1]), merged[-1][2])
            else:
                merged.append((start, end, name))
        return merged

    def _replaced(self, content: bytes, spans: list[tuple[int, int, str]], end: int) -> bytes:
        out, at = [], 0
        for start, stop, name in spans:
            if start >= end:
                break
            out += [content[at:start], f"[secret {name}]".encode()]
            at = stop
        out.append(content[at:end])
        return b"".join(out)

    def _held_from(self, content: bytes) -> int:
        """From where on bytes could be the beginning of a secret whose rest has not come yet."""
        first = len(content)
        for form in self._forms:
            at = content.find(form[:1], max(len(content) - len(form) + 1, 0))
            while 0 <= at < first:
                if form.startswith(content[at:]):
                    first = at
                    break
                at = content.find(form[:1], at + 1)
        return first


class RedactedStream:
    """Output in pieces. What comes out in all is what `Redactor.data` makes of the whole."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._kept = b""

    def feed(self, piece: bytes) -> bytes:
        """What is certain now: everything but an end that could be the beginning of a secret."""
        content = self._kept + piece
        spans = self._redactor._spans(content)
        cut = self._redactor._held_from(content)
        for start, end, _ in spans:
            if start < cut < end:  # a secret in which another one may begin: both are hidden as one
                cut = start
        self._kept = content[cut:]
        return self._redactor._replaced(content, spans, cut)

    def finish(self) -> bytes:
        """The rest, when nothing more comes."""
        content, self._kept = self._kept, b""
        return self._redactor.data(content)


def spellings(value: str) -> Iterator[bytes]:
    """The forms in which a value is looked for."""
    yield from _encoded(value)
    lines = [line.strip() for line in value.splitlines()]
    if len(lines) > 1:
        for line in lines:
            if len(line) >= _SHORTEST_LINE:
                yield from _encoded(line)


def _encoded(value: str) -> Iterator[bytes]:
    raw = value.encode("utf-8", "surrogatepass")
    yield raw
    for ascii_only in (True, False):
        once = json.dumps(value, ensure_ascii=ascii_only)[1:-1]
        yield once.encode("utf-8", "surrogatepass")
        yield once.replace("/", "\\/").encode("utf-8", "surrogatepass")
        yield json.dumps(once, ensure_ascii=ascii_only)[1:-1].encode("utf-8", "surrogatepass")
    for form in (repr(value)[1:-1], html.escape(value), shlex.quote(value)[1:-1] if "'" in value else value):
        yield form.encode("utf-8", "surrogatepass")
    for form in (quote(raw, safe=""), quote(raw), quote_plus(raw)):
        yield form.encode()
        yield _lower_percent(form).encode()
    yield raw.hex().encode()
    yield raw.hex().upper().encode()
    for width in (64, 76):  # as programs break the lines of base64
        plain = base64.b64encode(raw).decode()
        yield "\n".join(plain[at : at + width] for at in range(0, len(plain), width)).rstrip("=").encode()
    for before in range(3):
        # Behind `before` other bytes the same bytes give other characters; the first and the last may also hold
        # bits of the neighbours.
        whole = base64.b64encode(bytes(before) + raw)
        first = (before * 8 + 5) // 6
        last = (before + len(raw)) * 8 // 6
        part = whole[first:last]
        yield part
        yield part.replace(b"+", b"-").replace(b"/", b"_")


def _lower_percent(text: str) -> str:
    """Percent-encoding with small letters."""
    parts = text.split("%")
    return "%".join([parts[0], *(part[:2].lower() + part[2:] for part in parts[1:])])
