"""How a diagnostic looks, to the character."""

from __future__ import annotations

import re
import textwrap

from quanta_tissu.tisslang.diagnostics.diagnostic import Diagnostic, Label, Severity
from quanta_tissu.tisslang.diagnostics.text import render, render_all
from quanta_tissu.tisslang.source import SourceFile, Span
from quanta_tissu.tisslang.syntax.parser import parse


def rendered(text: str) -> str:
    source = SourceFile(text, "x.tiss")
    return render_all(parse(source).diagnostics, source)


def expected(text: str) -> str:
    return textwrap.dedent(text).lstrip("\n")


class TestRender:
    def test_shows_the_line_with_carets_other_places_and_help(self):
        assert rendered('STEP "a" {\n  STEP "b" {\n  }\n}') == expected("""
            error[E010]: `STEP` blocks cannot be nested
             --> x.tiss:2:3
            1 | STEP "a" {
              | ---- enclosing STEP opened here
            2 |   STEP "b" {
              |   ^^^^ nested STEP
              = help: close the outer STEP first, or wrap the inner ones in PARALLEL { } or CHOOSE { }
        """)

    def test_leaves_out_lines_between(self):
        assert rendered('WRITE "f" <<A\n1\n2\n A') == expected("""
            error[E003]: heredoc `A` is never closed
             --> x.tiss:1:11
            1 | WRITE "f" <<A
              |           ^^^ heredoc starts here
            ...
            4 |  A
              | -- this line is not exactly `A`: it has spaces
              = help: put `A` alone on its own line, not indented
        """)

    def test_points_behind_the_line_where_something_is_missing(self):
        assert rendered("READ 'x'") == expected("""
            error[E008]: expected `AS`, but the line ends
             --> x.tiss:1:9
            1 | READ 'x'
              |         ^
        """)

    def test_carets_stand_right_below_tabs_wide_and_joined_characters(self):
        for before in ("\t", "\tab\t", "漢字", "e\u0301", "\U0001f642", "\u200b"):
            text = f'LOG "{before}" $\n'
            _, _, line, carets, *_ = rendered(text).splitlines()
            shown = line.replace("漢", "漢_").replace("字", "字_").replace("\U0001f642", "\U0001f642_")
            shown = shown.replace("\u0301", "")
            assert carets.index("^") == shown.index("$"), before

    def test_characters_that_cannot_be_seen_are_shown(self):
        assert "\ufffd" in rendered("LOG \x01")

    def test_numbers_of_lines_stand_in_columns(self):
        text = rendered("\n" * 9 + "RUNN 'x'")
        assert "  --> x.tiss:10:1\n10 | RUNN 'x'\n   | ^^^^ did you mean `RUN`?" in text

    def test_colours_change_nothing_but_colours(self):
        source = SourceFile("RUNN 'x'", "x.tiss")
        [one] = parse(source).diagnostics
        painted = render(one, source, colour=True)
        assert re.sub(r"\x1b\[[\d;]*m", "", painted) == render(one, source)
        assert painted != render(one, source)

    def test_warnings_say_that_they_are(self):
        source = SourceFile("LOG 1")
        text = render(Diagnostic("E008", "odd", Label(Span(4, 5)), Severity.WARNING), source)
        assert text.startswith("warning[E008]: odd\n --> <input>:1:5\n")

    def test_a_label_of_several_lines_is_shown_on_its_first(self):
        source = SourceFile("abc\ndef\n")
        text = render(Diagnostic("E008", "odd", Label(Span(1, 6))), source)
        assert "1 | abc\n  |  ^^\n" in text
