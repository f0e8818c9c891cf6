"""Whatever fills a hole, the command gets exactly it, and nothing of it is done: tried with real shells."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quanta_tissu.tisslang.engine.shell import ShellText, as_shown, as_written
from quanta_tissu.tisslang.engine.values import Unknown, WrongValue, as_text
from tests.tisslang.engine.trying import folder

SHOW = "printf '<%s>' "
TEMPLATES = {
    # the text around the hole, and what the program is given
    "{}": ["{}"],
    '"{}"': ["{}"],
    "'{}'": ["{}"],
    "x{}y": ["x{}y"],
    '"x{}y"': ["x{}y"],
    "'x{}y'": ["x{}y"],
    "'a\"b' {}": ['a"b', "{}"],
    '"a\'b" {}': ["a'b", "{}"],
    "\\' {}": ["'", "{}"],
    '\\" {}': ['"', "{}"],
    "'{}'\"{}\"{}": ["{}{}{}"],
    "a#b {}": ["a#b", "{}"],
    "\"$(printf %s 'a')\" {}": ["a", "{}"],
    '"$(printf %s {}.)"': ["{}."],
    '"$(printf %s "{}.")"': ["{}."],
    "# it's a comment\nprintf '<%s>' {}": ["", "{}"],
    "--name={}": ["--name={}"],
    "a && printf '<%s>' {}": ["a", "{}"],
    "$((1 + 1)) {}": ["2", "{}"],
    '"${HOME:+a}" {}': ["a", "{}"],
}
HOSTILE = [
    "; touch pwned",
    "$(touch pwned)",
    "`touch pwned`",
    "' ; touch pwned ; '",
    '" ; touch pwned ; "',
    "\\'; touch pwned",
    "a\ntouch pwned",
    "* ? [a-z] ~ $HOME ${HOME}",
    "| touch pwned",
    "> pwned",
    "",
    " ",
    "--help",
    "\\",
    "!!",
    "{a,b}",
    "$TISS_1",
    "${TISS_1}",
    "ä 漢 \U0001f642",
    "\x01\x7f\t\r",
]
values = st.one_of(
    st.sampled_from(HOSTILE),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    st.lists(st.sampled_from(list("'\"`$();&|<>\\ \n#*{}=~!a")), max_size=12).map("".join),
)


def made(template, *values):
    """A command with values in its holes."""
    shell = ShellText()
    pieces = template.split("{}")
    for piece, value in zip(pieces, [*values, None], strict=True):
        shell.text(piece)
        if value is not None:
            shell.value(value)
    return shell


def said(shell, command, variables, root):
    found = subprocess.run(
        [shell, "-c", command],
        env={**variables, "PATH": "/usr/bin:/bin", "HOME": "/root", "LC_ALL": "C.UTF-8"},
        cwd=root,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert list(root.iterdir()) == []
    return found.stdout.decode(errors="surrogateescape")


@pytest.mark.parametrize("shell", ["sh", "bash"])
@pytest.mark.parametrize("template", TEMPLATES)
@settings(max_examples=12, deadline=None)
@given(value=values)
def test_the_command_is_given_the_value_and_does_nothing_of_it(shell, template, value):
    text = made(SHOW + template, *[value] * template.count("{}"))
    assert not text.raw
    given_to = [one.replace("{}", value) for one in TEMPLATES[template]]
    expected = "".join(f"<{one}>" for one in given_to)
    if template.startswith("#"):
        expected = f"<><{value}>"
    with folder() as root:
        assert said(shell, text.command, text.variables, root) == expected


@pytest.mark.parametrize("value", HOSTILE)
def test_hostile_values_are_arguments_wherever_they_stand(value):
    with folder() as root:
        for template, expected in TEMPLATES.items():
            text = made(SHOW + template, *[value] * template.count("{}"))
            shown = "".join(f"<{one.replace('{}', value)}>" for one in expected)
            assert said("sh", text.command, text.variables, root) == shown


@given(st.lists(values, min_size=1, max_size=4))
@settings(max_examples=15, deadline=None)
def test_a_list_is_as_many_arguments(items):
    text = made(SHOW + "{} end", items)
    with folder() as root:
        assert said("sh", text.command, text.variables, root) == "".join(f"<{one}>" for one in [*items, "end"])


def test_a_list_in_quotes_is_one_argument():
    text = made(SHOW + '"{}"', ["a", "b"])
    with folder() as root:
        assert said("sh", text.command, text.variables, root) == '<["a", "b"]>'


@pytest.mark.parametrize(
    "template",
    [
        "echo $(({}))",
        "echo $(( 1 + {} ))",
        "echo ${x:-{}}",
        "cat <<E\n{}\nE",
        "cat <<-E\n{}\nE",
        "echo a # {}",
        "# {}",
        "echo \\{}",
        "echo $'{}'",
    ],
)
def test_holes_are_refused_where_no_quoting_helps(template):
    with pytest.raises(WrongValue):
        made(template, "1")


@pytest.mark.parametrize(
    "template",
    [
        "sh -c {}",
        'sh -c "echo {}"',
        "sh -c 'echo {}'",
        "bash -ec {}",
        "/bin/bash -c {}",
        "env A=1 sh -c {}",
        "python3 -c {}",
        "perl -e {}",
        "node -e {}",
        "eval {}",
        "eval echo {}",
        "ssh host {}",
        "xargs {}",
        "awk {} file",
        "su -c {}",
        "true; sh -c {}",
        "cat a | sh -c {}",
        "$(sh -c {})",
        "trap {} EXIT",
    ],
)
def test_a_hole_in_a_program_that_is_an_argument_counts_as_raw(template):
    assert made(template, "x").raw


@pytest.mark.parametrize(
    "template", ["python3 main.py {}", "grep -e {} a", "sh script.sh {}", "echo sh -x {}", "make -c {}"]
)
def test_other_arguments_do_not(template):
    assert not made(template, "x").raw


def test_nothing_can_hold_a_character_0():
    with pytest.raises(WrongValue):
        made("echo {}", "a\0b")


def test_a_raw_value_is_text_of_the_shell():
    text = ShellText()
    text.text("ls ")
    text.raw_value("-l | wc")
    assert (text.command, text.raw, text.variables) == ("ls -l | wc", True, {})


def test_quotes_of_a_raw_value_count_for_what_comes_after_it():
    text = ShellText()
    text.text("printf %s ")
    text.raw_value("'")
    text.value("a; b")
    text.text("'")
    with folder() as root:
        assert said("sh", text.command, text.variables, root) == "a; b"


def test_what_is_not_known_is_kept_apart():
    text = made("cp {} out", Unknown("{name}"))
    assert text.command == 'cp "${TISS_1}" out'
    assert text.variables == {"TISS_1": Unknown("{name}")}
    text.raw_value(Unknown("{more}"))
    assert text.command == Unknown('cp "${TISS_1}" out{more}')


@given(values)
def test_a_command_is_shown_as_one_that_does_the_same(value):
    text = made(SHOW + "a {}", value)
    shown = as_shown(text.command, [(name, as_text(one)) for name, one in text.variables.items()])
    assert "TISS_" not in shown.replace(value, "")


def test_a_command_is_written_as_it_stands_in_the_script():
    text = made("a {} \"b {}\" 'c {}'", "1", "2", "3")
    assert as_written(text.command, text.variables) == "a 1 \"b 2\" 'c 3'"
