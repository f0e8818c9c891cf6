from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quanta_tissu.tisslang.engine.programs import programs


@pytest.mark.parametrize(
    ("command", "found"),
    [
        ("ls -l", ["ls"]),
        ("/usr/bin/curl x", ["curl"]),
        ("ls | grep a && make || echo no; true & wait", ["ls", "grep", "make", "echo", "true", "wait"]),
        ("A=1 B=2 make", ["make"]),
        ("make >out 2>&1 <in", ["make"]),
        ("2>/dev/null >out make", ["make"]),
        ("if test -f a; then make; else echo; fi", ["test", "make", "echo"]),
        ("for a in b c; do make $a; done", ["make"]),
        ("case x in a) make;; esac", ["make"]),
        ("'make' all", ["make"]),
        ("find . -exec rm {} \\;", ["find", "rm"]),
        ("echo a | tr '\n' x", ["echo", "tr"]),
        ("echo 'a;b' \"c|d\" \\& && wc", ["echo", "wc"]),
        ("echo a\\\n  curl", ["echo"]),
        ("", []),
    ],
)
def test_programs_are_what_a_command_starts(command, found):
    assert programs(command) == found


@pytest.mark.parametrize(
    "command",
    [
        "ls\ncurl x",
        "ls # it's nothing\ncurl x",
        "ls # nothing\ncurl x",
        "env -i curl x",
        "env A=1 curl x",
        "timeout 5 curl x",
        "nice -n 5 curl x",
        "sudo -u me curl x",
        "xargs curl",
        "find . -exec curl {} ;",
        "(curl x)",
        "{ curl x; }",
        "! curl x",
        "coproc curl x",
        "while curl x; do ls; done",
        "f() { curl x; }; f",
        "echo $(curl x)",
        'echo "$(curl x)"',
        "echo `curl x`",
        'echo "a `curl x` b"',
        "\\curl x",
        "c'ur'l x",
        "sh -c 'ls; curl x'",
        "env -u '>' curl x",
        'env -u ">" curl x',
        "env -u \\> curl x",
        "cur\\\nl x",
        '"cur\\\nl" x',
        "bash -c 'sh -c \"curl x\"'",
        "eval curl x",
        "ls&curl x",
        "ls;curl x",
        "echo $(ls\ncurl x)",
        '"${TISS_1}" x',
        '"${TISS_2}" "$TISS_1" x',
    ],
)
def test_a_program_is_found_however_the_command_is_written(command):
    assert "curl" in programs(command, {"TISS_1": "curl", "TISS_2": "env"})


@pytest.mark.parametrize("command", ["$X a", "${X} a", "echo 'never closed", "$(which ls) a"])
def test_what_cannot_be_read_is_a_question_mark(command):
    assert "?" in programs(command)


def test_a_value_is_no_text_of_the_shell():
    assert programs('echo "${TISS_1}"', {"TISS_1": '"; curl x; "'}) == ["echo"]


@given(st.text())
def test_any_text_can_be_asked(text):
    assert isinstance(programs(text), list)


@pytest.mark.parametrize(
    "command", ["echo '# a' ; curl", 'echo "# a" ; curl', "echo a#b ; curl", "echo \\# a ; curl"]
)
def test_not_every_hash_begins_a_comment(command):
    assert programs(command) == ["echo", "curl"]


def test_what_a_comment_says_is_not_started():
    assert programs("ls # && curl x\n# curl y") == ["ls"]
