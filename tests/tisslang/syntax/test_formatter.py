from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quanta_tissu.errors import ScriptError
from quanta_tissu.tisslang.source import SourceFile
from quanta_tissu.tisslang.syntax.commands import COMMANDS
from quanta_tissu.tisslang.syntax.formatter import format_script
from quanta_tissu.tisslang.syntax.parser import parse
from tests.tisslang.syntax.scripts import GOOD


def formatted(text: str) -> str:
    return format_script(parse(SourceFile(text)))


PIECES = [
    *(
        "LOG 1",
        "LOG [1,\n 2]",
        "# why",
        "",
        "IF a {",
        "}",
        "} ELSE {",
        "STEP 'a' { LOG 1 }",
        "WRITE 'f' <<A\n x\nA",
    ),
    *("TRY {", "} CATCH AS e {", "LOG {a:\n1}  # c", "ASSERT a AND\n\n b, 'm'", "IF a\n{"),
]


class TestLayout:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ('STEP   "a"{\nLOG 1\n}', 'STEP "a" {\n    LOG 1\n}\n'),
            ('STEP "a"\n{\n  LOG 1\n  }\n', 'STEP "a" {\n    LOG 1\n}\n'),
            ("SETUP { LOG 1 }", "SETUP { LOG 1 }\n"),
            ("SETUP {}", "SETUP { }\n"),
            ("IF a { IF b { LOG 1 } }", "IF a {\n    IF b { LOG 1 }\n}\n"),
            (
                "IF a {\nLOG 1\n}\nELSE   IF b\n{\n}\n\nELSE {\n}",
                "IF a {\n    LOG 1\n} ELSE IF b {\n} ELSE {\n}\n",
            ),
            ("IF a {\n}\n# why\nELSE {\n}", "IF a {\n}\n# why\nELSE {\n}\n"),
            ("LOG   [1,2 , 3 ]", "LOG [1, 2, 3]\n"),
            ("LOG {a:1,b : {c: []}}", "LOG {a: 1, b: {c: []}}\n"),
            ("LOG a .b[ 0 ]", "LOG a.b[0]\n"),
            ("LOG - 1+2 -3", "LOG -1 + 2 - 3\n"),
            ("LOG a- -b", "LOG a - -b\n"),
            ("LOG NOT ( a OR b )", "LOG NOT (a OR b)\n"),
            ('CALL "f"( 1 ,2)', 'CALL "f"(1, 2)\n'),
            ('CALL "f" (1)', 'CALL "f" (1)\n'),
            ("LOG [\n1,\n  {\n a: 2,\n }\n]", "LOG [\n    1,\n    {\n        a: 2,\n    }\n]\n"),
            ("LOG a AND\nb", "LOG a AND\n    b\n"),
            ("LOG 1 # why  \n#   more\n", "LOG 1  # why\n#   more\n"),
            ('STEP "a" { # why\n\n\nLOG 1\n\n\n\nLOG 2\n\n}', 'STEP "a" {  # why\n\n    LOG 1\n\n    LOG 2\n}\n'),
            ("\n\n\nLOG 1\n\n\n\n", "LOG 1\n"),
            ("#TISS!  version = 1.0   Language= Python\n\nLOG 1", "#TISS! version=1.0 Language=Python\n\nLOG 1\n"),
            ("@persona   'x'\n", "@persona 'x'\n"),
            ("", ""),
        ],
    )
    def test_is_this(self, text, expected):
        assert formatted(text) == expected

    def test_heredocs_stay_byte_for_byte(self):
        text = 'STEP "a" {\nWRITE   "f" <<A # why\n   x \n\n\n  }\nA\n\n\nLOG 1\n}\n'
        assert formatted(text) == 'STEP "a" {\n    WRITE "f" <<A  # why\n   x \n\n\n  }\nA\n\n    LOG 1\n}\n'

    def test_ends_of_lines_and_the_mark_of_byte_order_stay(self):
        assert formatted("\ufeffSTEP 'a' {\r\nLOG 1\r\n}\r\n") == "\ufeffSTEP 'a' {\r\n    LOG 1\r\n}\r\n"

    def test_a_well_written_script_is_left_as_it_is(self):
        once = formatted(GOOD)
        assert once == GOOD.replace("}\n        ELSE IF", "} ELSE IF")
        assert formatted(once) == once

    @pytest.mark.parametrize("command", COMMANDS, ids=lambda one: one.keyword)
    def test_examples_are_well_written(self, command):
        assert formatted(command.example) == command.example + "\n"


class TestAnyLayout:
    @given(st.data())
    def test_blanks_between_tokens_do_not_matter(self, data):
        """However a script is indented and spaced, it comes out the same."""
        blanks = st.sampled_from(["", " ", "   ", "\t"])
        lines = []
        heredoc = False
        for line in formatted(GOOD).splitlines():
            if heredoc:
                lines.append(line)
                heredoc = line != "PY"
                continue
            heredoc = "<<PY" in line
            spaced = re.sub(r"(?<=[\w\"}]) (?=[{\"\w])", lambda _: data.draw(blanks) or " ", line.strip())
            keep = line.strip() if '"' in line or "#" in line else spaced
            lines.append(data.draw(blanks) + keep + (data.draw(blanks) if "#" not in line else ""))
        assert formatted("\n".join(lines) + "\n") == formatted(GOOD)

    @given(st.lists(st.sampled_from(PIECES), max_size=12))
    def test_twice_is_the_same_as_once(self, pieces):
        text = "\n".join(pieces) + "\n"
        if parse(SourceFile(text)).ok:
            once = formatted(text)
            assert formatted(once) == once


class TestRefusal:
    def test_a_script_with_errors_is_left_alone(self):
        with pytest.raises(ScriptError, match="has errors, so it is left"):
            formatted("STEP {")
