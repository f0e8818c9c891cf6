from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from quanta_tissu.errors import ConfigError
from quanta_tissu.tisslang.engine.planning import plan_of
from quanta_tissu.tisslang.planning.capabilities import (
    ATTEMPTS,
    as_toml,
    capabilities_of,
    narrowed,
    read_toml,
    widened,
)
from quanta_tissu.tisslang.running.live import models
from tests.tisslang.engine.trying import program, scripts


def can(text):
    return capabilities_of(plan_of(program(text).interpreter(exhaustive=True).run()))


def changes(before, after):
    return [(one.name, one.before, one.now) for one in widened(can(before), can(after))]


WIDER = {
    "another file is read": ('READ "a" AS a', 'READ "b" AS a', ("read", "", "b")),
    "any file is read": ('READ "a" AS a', 'READ "a" AS a\nREAD a AS b', ("read", "", "*")),
    "another file is written": ('WRITE "a" ""', 'WRITE "a" ""\nWRITE "b" ""', ("write", "", "b")),
    "what was written is removed": ('WRITE "a" ""', 'DELETE "a"', ("delete", "", "a")),
    "another program": ('RUN "ls"', 'RUN "ls; rm a"', ("programs", "", "rm")),
    "a program that a value names": ('RUN "ls"', 'READ "a" AS p\nRUN "{{p}} x"', ("programs", "", "?")),
    "the network": ('RUN "ls"', '@network allow\nRUN "ls"', ("network", "false", "true")),
    "another command of the same program": ('RUN "git status"', 'RUN "git push"', ("run", "", "git push")),
    "another argument": ('RUN "git push"', 'RUN "git push --force"', ("run", "", "git push --force")),
    "a value where a text was": (
        'READ "a" AS b\nRUN "git push main"',
        'READ "a" AS b\nRUN "git push {{b}}"',
        ("run", "", "git push *"),
    ),
    "raw text": ('VAR a = "x"\nRUN "ls {{a}}"', 'VAR a = "x"\nRUN "ls {{a | raw}}"', ("raw", "false", "true")),
    "less of a sandbox": ('RUN "ls"', '@sandbox landlock\nRUN "ls"', ("sandbox", "default", "landlock")),
    "none at all": ('@sandbox landlock\nRUN "ls"', '@sandbox none\nRUN "ls"', ("sandbox", "landlock", "none")),
    "more commands": ('RUN "ls"', 'RUN "ls"\nRUN "ls"', ("commands", "1", "2")),
    "commands without a bound": (
        'VAR l = ["a"]\nFOR n IN l {\nRUN "ls"\n}',
        'VAR l = FILE "l"\nFOR n IN l {\nRUN "ls"\n}',
        ("commands", "1", "no bound"),
    ),
    "more calls": ('PROMPT_AGENT "a"', 'RETRY MAX 2 {\nPROMPT_AGENT "a"\n}', ("model_calls", "1", "2")),
    "another model": ('PROMPT_AGENT "a"', '@model "big"\nPROMPT_AGENT "a"', ("models", "", "big")),
    "more tokens": (
        '@max_tokens 10\nPROMPT_AGENT "a"',
        '@max_tokens 20\nPROMPT_AGENT "a"',
        ("tokens", "27", "37"),
    ),
    "tokens without a bound": (
        'SET_BUDGET TOKEN_COUNT = 9\nPROMPT_AGENT "a"',
        'PROMPT_AGENT "a"',
        ("tokens", "9", "no bound"),
    ),
    "another collection": (
        'QUERY_DB "SELECT a FROM b" INTO r',
        'QUERY_DB "SELECT a FROM c" INTO r',
        ("query", "", "c"),
    ),
    "a collection that is changed": (
        'VAR d = {}\nINSERT_DOC "a" FROM_VAR d',
        'VAR d = {}\nINSERT_DOC "b" FROM_VAR d',
        ("change", "", "b"),
    ),
    "nobody is asked": ("PAUSE", "LOG 1", ("people.pause", "1", "0")),
}


@pytest.mark.parametrize("what", WIDER)
def test_more_than_what_is_locked_is_seen(what):
    before, after, change = WIDER[what]
    assert change in changes(before, after)


@pytest.mark.parametrize("what", WIDER)
def test_less_is_none_and_could_be_tightened(what):
    before, after, (name, old, new) = WIDER[what]
    assert (name, new, old) in [(one.name, one.before, one.now) for one in narrowed(can(after), can(before))]


def test_a_text_where_a_value_was_is_less():
    assert changes('READ "a" AS b\nRUN "git push {{b}}"', 'READ "a" AS b\nRUN "git push main"') == []


def test_the_same_command_at_another_place_or_with_other_blanks_is_the_same():
    assert changes('RUN "git  push"', 'LOG 1\nRUN "git push "') == []


def test_a_lock_of_version_1_is_read_and_holds_programs_only():
    old = GOOD.replace("version = 2", "version = 1").replace('run = [\n    "ls",\n]', "")
    assert "run" not in old.split("programs", 1)[0]
    locked = read_toml(old, "lock")
    assert widened(locked, can('RUN "ls -l"')) == []
    assert [one.name for one in widened(locked, can('RUN "rm a"'))] == ["programs"]
    assert [(one.name, one.before) for one in narrowed(locked, can('RUN "ls"'))] == [("run", "**")]


def test_commands_of_several_lines_are_kept_as_they_are():
    found = can('RUN "a\\n\\tb"')
    assert r'"a\n\tb"'.replace("\\\\", "\\") in as_toml(found, "x")
    assert list(read_toml(as_toml(found, "x"), "lock").lists["run"]) == ["a\n\tb"]


def test_changes_know_their_places():
    found = widened(can('RUN "ls"'), can('LOG 1\nRUN "ls"\nRUN "rm a"\nRUN "rm b"'))
    programs = next(one for one in found if one.name == "programs")
    assert [one.line for one in programs.sites] == [3, 4]


def test_a_program_that_is_not_known_may_be_any():
    assert changes('READ "a" AS p\nRUN "{{p}} x"', 'READ "a" AS p\nRUN "rm x"') == []


# --- numbers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ('PROMPT_AGENT "a"', 1),
        ('PROMPT_AGENT "a" INTO a AS JSON {type: "string"}', ATTEMPTS),
        ('VAR l = FILE "l"\nFOR n IN l {\nPROMPT_AGENT "a"\n}', None),
        ('SET_BUDGET API_CALLS = 5\nVAR l = FILE "l"\nFOR n IN l {\nPROMPT_AGENT "a"\n}', 5),
        ('VAR l = FILE "l"\nFOR n IN l {\nSET_BUDGET API_CALLS = 5\nPROMPT_AGENT "a"\n}', None),
        ('STEP "a" {\nSET_BUDGET API_CALLS = 5\nPROMPT_AGENT "a"\n}\nPROMPT_AGENT "b"', 2),
        (
            'SET_BUDGET API_CALLS = 9\nVAR l = FILE "l"\nSTEP "a" {\nSET_BUDGET API_CALLS = 2\n'
            'FOR n IN l {\nPROMPT_AGENT "a"\n}\n}\nPROMPT_AGENT "b"',
            3,
        ),
        (
            'RETRY MAX 4 {\nSET_BUDGET API_CALLS = 1\nPROMPT_AGENT "a"\nPROMPT_AGENT "b"\n}',
            8,
        ),
    ],
)
def test_calls_of_models_are_counted_within_budgets(text, calls):
    assert can(text).numbers["model_calls"] == calls


def test_as_many_attempts_are_reckoned_with_as_are_made():
    assert ATTEMPTS == models.ATTEMPTS


@pytest.mark.parametrize("text", ['PROMPT_AGENT "a"', '@persona "x"\n@max_tokens 5\nPROMPT_AGENT "a"'])
def test_tokens_have_no_bound_unless_prompt_and_answer_have_one(text):
    assert can(text).numbers["tokens"] is None


# --- the file ----------------------------------------------------------------------------------------------------


@settings(
    max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), phases=(Phase.reuse, Phase.generate)
)
@given(scripts())
def test_a_lock_is_read_as_it_was_written(text):
    found = can(text)
    written = as_toml(found, "folder/plan.tiss")
    read = read_toml(written, "lock")
    assert as_toml(read, "plan.tiss") == written
    assert widened(read, found) == [] == narrowed(read, found)


def test_odd_names_are_kept():
    found = can('READ "a\\"b\\\\c\\n\\u{1F642}" AS a')
    assert list(read_toml(as_toml(found, "x"), "lock").lists["read"]) == ['a"b\\c\n\U0001f642']


GOOD = as_toml(can('RUN "ls"'), "x")


@pytest.mark.parametrize(
    "text",
    [
        "=",
        "",
        GOOD.replace("version = 2", "version = 3"),
        GOOD.replace("network = false", 'network = "no"'),
        GOOD.replace("raw = false", "raw = 0"),
        GOOD.replace("commands = 1", 'commands = "many"'),
        GOOD.replace("commands = 1", "commands = true"),
        GOOD.replace('sandbox = "default"', 'sandbox = "paper"'),
        GOOD.replace("read = []", "read = [1]"),
        GOOD.replace("read = []", 'read = "a"'),
        GOOD.replace("read = []", ""),
        GOOD.replace("pause = 0", 'pause = "no"'),
        GOOD.replace("pause = 0", ""),
        GOOD + "more = 1\n",
        "more = 1\n" + GOOD,
    ],
)
def test_what_is_no_lock_is_refused(text):
    with pytest.raises(ConfigError):
        read_toml(text, "lock")
