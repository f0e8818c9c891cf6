"""Markup that cannot be broken by what is put into it."""

from __future__ import annotations

import html
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quanta_tissu.tisslang.report.markup import Html, element, joined, visible


def test_texts_are_escaped_and_markup_is_not():
    assert element("p", "a < b & ", element("b", '"c"')) == "<p>a &lt; b &amp; <b>&quot;c&quot;</b></p>"
    assert joined("<", Html("<br>"), None, ["&", [Html("x")]]) == "&lt;<br>&amp;x"


def test_attributes_are_escaped_and_may_be_left_out():
    assert element("a", "x", class_="b", aria_label='"><', open=True, id=None, hidden=False) == (
        '<a class="b" aria-label="&quot;&gt;&lt;" open>x</a>'
    )
    assert element("rect", width=3) == '<rect width="3"/>'
    with pytest.raises(ValueError, match="is no attribute"):
        element("a", **{"on click": "x"})


@given(text=st.text())
def test_no_text_makes_an_element_or_hides(text):
    shown = joined(text)
    assert not set("<>\"'") & set(shown)
    seen = html.unescape(shown)
    assert seen == visible(text)
    assert not [one for one in seen if unicodedata.category(one) in ("Cc", "Cs", "Co") and one not in "\n\t"]


def test_what_turns_or_hides_is_named_and_colours_are_taken_out():
    assert visible("a\u202eb\x00\ud800") == "a⌈U+202E⌋b⌈U+0000⌋⌈U+D800⌋"
    assert visible("\x1b[1;31mred\x1b[0m \x1b]0;title\x07text\r\n\tend") == "red text\n\tend"
    assert visible("a\u200bb\ufeff\U000e0041") == "a⌈U+200B⌋b⌈U+FEFF⌋⌈U+E0041⌋"
    assert visible("é 😀 漢") == "é 😀 漢"
