"""HTML that cannot be broken by what is put into it: text is escaped unless it was made here."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape
from typing import TypeAlias


class Html(str):
    """Markup. Any other text is text."""

    __slots__ = ()


Child: TypeAlias = "str | Html | Iterable[str | Html] | None"

_EMPTY = {"meta", "rect"}
_NAME = re.compile(r"[a-z][a-z0-9-]*", re.IGNORECASE)
# Control characters, half characters, and what is private, turns the direction or takes no place: with the tags
# from U+E0000 on, text can be hidden from people that models read all the same.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff"
    "\ud800-\udfff\ue000-\uf8ff\U000e0000-\U000e007f\U000f0000-\U0010ffff]"
)
_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")


def element(tag: str, *children: Child, **attributes: str | int | bool | None) -> Html:
    """An element.

    Args:
        tag: Its name.
        children: Texts, which are escaped, and markup, which is not; lists of them; None is nothing.
        attributes: By name; `class_` is `class`, `_` is `-`. True is an attribute without a value, False and None
            are none.
    """
    parts = [tag]
    for name, value in attributes.items():
        name = name.rstrip("_").replace("_", "-")
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no attribute")
        if value is True:
            parts.append(name)
        elif value is not None and value is not False:
            parts.append(f'{name}="{escape(visible(str(value)))}"')
    start = " ".join(parts)
    return Html(f"<{start}/>" if tag in _EMPTY else f"<{start}>{joined(*children)}</{tag}>")


def joined(*children: Child) -> Html:
    """Children one after the other."""
    return Html("".join(_parts(children)))


def _parts(children: Iterable[Child]) -> Iterable[str]:
    for child in children:
        if child is None:
            continue
        if isinstance(child, Html):
            yield child
        elif isinstance(child, str):
            yield escape(visible(child))
        else:
            yield from _parts(child)


def visible(text: str) -> str:
    """A text whose characters can all be seen: nothing that turns its direction, hides or moves what stands there.

    Colours of terminals are taken out; ends of lines and tabs stay.
    """
    if text.isascii() and text.isprintable():
        return text
    text = _ESCAPE.sub("", text.replace("\r\n", "\n"))
    return _HIDDEN.sub(lambda found: f"\N{LEFT CEILING}U+{ord(found[0]):04X}\N{RIGHT FLOOR}", text)
