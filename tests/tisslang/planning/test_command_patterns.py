from __future__ import annotations

import shlex
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quanta_tissu.tisslang.engine.effects import RunCommand
from quanta_tissu.tisslang.engine.planning import plan_of
from quanta_tissu.tisslang.engine.values import Unknown
from quanta_tissu.tisslang.planning.command_patterns import allows, command_pattern
from tests.tisslang.engine.trying import program


def patterns(text):
    plan = plan_of(program(text).interpreter(exhaustive=True).run())
    return [
        command_pattern(one.effect.action) for one in plan.effects if isinstance(one.effect.action, RunCommand)
    ]


def _pattern(command, value):
    about = {"raw": False, "timeout": None, "sandbox": None, "network": False, "on_resume": "ask"}
    return command_pattern(RunCommand(command=command, variables={"TISS_1": value}, **about))


HOLES = {
    "git status": "git status",
    "git push {{a}}": "git push *",
    "git push --to={{a}}": "git push --to=*",
    'say \\"so: {{a}}\\"': 'say "so: *"',
    "say 'so: {{a}}'": "say 'so: *'",
    "ls *.txt": "ls [*].txt",
    "ls {{a | raw}}": "ls **",
    "cp {{k}} {{a}}": "cp 'one two' *",
    "cp {{l}}": "cp p 'q r'",
    "say \\\"{{q}}.\\\" '{{q}}' {{q}}": "say \"it's \\$x [*].\" 'it'\\''s $x [*]' 'it'\"'\"'s $x [*]'",
    "ls out/{{a}}.txt": "ls out/*.txt",
    "ls {{e}}": "ls ''",
}


@pytest.mark.parametrize("command", HOLES)
def test_a_command_is_its_text_with_what_holes_hold(command):
    values = 'READ "f" AS a\nVAR k = "one two"\nVAR l = ["p", "q r"]\nVAR q = "it\'s $x *"\nVAR e = ""'
    assert patterns(f'{values}\nRUN "{command}"') == [HOLES[command]]


def test_a_command_that_a_value_holds_may_be_any():
    assert patterns('READ "f" AS c\nRUN c') == ["**"]


def test_what_is_known_of_a_value_is_no_text_of_the_shell():
    assert _pattern('ls "${TISS_1}"', Unknown("x; {a}")) == "ls 'x; '*"


def test_a_loop_over_what_is_known_has_a_command_for_each():
    assert patterns('FOR n IN ["a", "b"] {\nRUN "rm {{n}}"\n}') == ["rm a", "rm b"]


ALLOWED = [
    ("git push *", "git push main"),
    ("git push *", "git push 'a b; c'"),
    ("git push *", 'git push "a b"'),
    ("git push *", "git push a\\ b"),
    ("git push *", "git push *"),
    ("git push *", "git push x*y"),
    ("git push *", "git  push\tmain "),
    ("rm *.txt", "rm 'a b.txt'"),
    ("say 'a *'", "say 'a b'"),
    ('say "a *"', 'say "a \\"b\\""'),
    ("ls [*]", "ls [*]"),
    ("ls **", "ls x; rm y"),
    ("**", "ls **"),
    ("**", "ls *"),
    ("ls 'a'", "ls a"),
]
REFUSED = [
    ("git status", "git push"),
    ("git push main", "git push *"),
    ("git push *", "git push --force main"),
    ("git push *", "git push main; rm x"),
    ("git push *", "git push main\nrm x"),
    ("git push *", "git push main & rm x"),
    ("git push *", "git push $(rm x)"),
    ("git push *", 'git push "$(rm x)"'),
    ("git push *", "git push `rm x`"),
    ("git push *", "git push $HOME"),
    ("git push *", "git push >x"),
    ("git push *", "git push [*]"),
    ("git push *", "git push **"),
    ("git push *", "git push # x"),
    ("git push *", "git pull *"),
    ('say "*" *', 'say "\'" ; rm "\'" x'),
    ("say 'a *'", "say a b"),
    ("say '$x'", "say $x"),
    ('say "$x"', "say $x"),
    ("ls [*]", "ls a"),
    ("ls a", "ls a b"),
    ("ls a\\ ", "ls a"),
]


@pytest.mark.parametrize(("whole", "part"), ALLOWED)
def test_the_same_and_less_is_allowed(whole, part):
    assert allows(whole, part)


@pytest.mark.parametrize(("whole", "part"), REFUSED)
def test_more_is_not_allowed(whole, part):
    assert not allows(whole, part)


texts = st.text("ab *\"'\\$;`\n#", max_size=9)


@given(texts)
def test_every_command_allows_itself(text):
    assert allows(text, text)


@settings(max_examples=150, deadline=None)
@given(st.text("ab \"'\\\t", max_size=10))
def test_what_fills_a_hole_is_a_part_of_one_argument_for_the_shell_itself(text):
    if allows("printf %s. *", f"printf %s. {text}"):
        done = subprocess.run(["sh", "-c", f"printf '%s\\n' {text}"], capture_output=True, check=False)
        assert done.returncode == 0
        assert len(shlex.split(text)) <= 1


@given(st.text(max_size=12))
def test_any_value_of_a_hole_is_allowed_wherever_the_hole_stands(text):
    value = text.replace("\0", "")
    for command in (
        'ls "${TISS_1}"',
        "ls 'x'\"${TISS_1}\"''",
        'ls "x${TISS_1}"',
        'ls x"${TISS_1}"y',
        "ls ''\"${TISS_1}\"''",
    ):
        now = _pattern(command, value)
        assert allows(_pattern(command, Unknown("{a}")), now), now
