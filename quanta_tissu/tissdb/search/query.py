"""What people type into a search box, taken apart: words, "phrases", beginnings*, and -what must not occur."""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

from quanta_tissu.errors import QueryError
from quanta_tissu.tissdb.definitions import Term, TextQuery

MOST_TERMS = 64

Need = Literal["any", "all"]

_PIECE = re.compile(r'(?P<sign>[-+]?)(?:"(?P<phrase>[^"]*)"|(?P<word>[^\s"]+))')
_WORD = re.compile(r"\w+")


def parse_query(text: str, need: Need = "any") -> TextQuery:
    """Take a query apart; whatever is no word separates words.

    Args:
        text: `words`, `"phrases"`, `beginnings*`, `+required`, `-excluded`.
        need: Whether any of the plain words is enough, or all must occur.

    Raises:
        QueryError: Nothing is left to look for, or too much.
    """
    if not isinstance(text, str):
        raise QueryError(f"the words to search for are {text!r}, not text")
    found: dict[str, dict[Term, None]] = {"": {}, "+": {}, "-": {}}
    for piece in _PIECE.finditer(unicodedata.normalize("NFC", text)):
        quoted = piece["phrase"] is not None
        raw = piece["phrase"] if quoted else piece["word"]
        prefix = not quoted and raw.endswith("*")
        words = tuple(_WORD.findall(raw))
        if words:
            found[piece["sign"]][Term(words, prefix)] = None
    plain = tuple(found[""])
    query = TextQuery(
        plain if need == "any" else (),
        (*found["+"], *(plain if need == "all" else ())),
        tuple(found["-"]),
    )
    if not query.wanted and not query.required:
        raise QueryError(f"{text[:80]!r} holds no word to look for", hint="letters or digits, at least one word")
    if sum(map(len, found.values())) > MOST_TERMS:
        raise QueryError(f"the query has more than {MOST_TERMS} terms", hint="leave out what is common")
    return query
