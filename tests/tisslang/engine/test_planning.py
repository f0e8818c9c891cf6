from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from quanta_tissu.tisslang.engine.effects import (
    AskModel,
    Begin,
    Commit,
    Discard,
    EstimateBlock,
    ReadFile,
    RunCommand,
)
from quanta_tissu.tisslang.engine.effects import TestFile as LookAtFile
from quanta_tissu.tisslang.engine.planning import Plan, Planned, at_most, plan_of
from quanta_tissu.tisslang.engine.shell import as_written
from quanta_tissu.tisslang.engine.values import as_text
from quanta_tissu.tisslang.planning.capabilities import capabilities_of, widened
from quanta_tissu.tisslang.planning.patterns import covers, pattern_of
from quanta_tissu.tisslang.running.mock import MockPerformer
from quanta_tissu.tisslang.running.rules import Rule
from tests.tisslang.engine.trying import Anyone, Watching, any_performer, folder, program, run, scripts

NOT_PLANNED = (Begin, Commit, Discard, EstimateBlock)


def plan(text, **others):
    return plan_of(program(text, **others).interpreter(exhaustive=True).run())


def paths(text):
    return [as_text(one.effect.action.path) for one in plan(text).effects if hasattr(one.effect.action, "path")]


def whens(text):
    return [one.when for one in plan(text).effects]


def often(text):
    return [one.effect.at_most for one in plan(text).effects]


# --- the plan is the run -----------------------------------------------------------------------------------------


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.reuse, Phase.generate),  # such scripts shrink for minutes
)
@given(scripts(), st.integers(0, 1000))
def test_every_effect_of_any_run_is_in_the_plan(text, seed):
    made = program(text)
    planned = plan_of(made.interpreter(exhaustive=True).run())
    watcher = Watching()
    with folder() as root:
        ending = run(made, root, mock=any_performer(seed), person=Anyone(seed), watcher=watcher)
    assert ending.error is None
    if planned.failure is not None:
        assert ending.status == "failed"
    done = [one for one in watcher.begun if not isinstance(one.action, NOT_PLANNED)]
    by_site = {}
    for one in planned.effects:
        by_site.setdefault((one.effect.site.span, one.effect.action.op), []).append(one.effect)
    for effect in done:
        assert any(_is_planned(effect, one) for one in by_site[effect.site.span, effect.action.op]), effect
    real = capabilities_of(Plan(effects=[Planned(one, None, ()) for one in done]))
    wider = [one for one in widened(capabilities_of(planned), real) if not one.name.startswith("people")]
    assert wider == []
    counts = {}
    for effect in done:
        if not isinstance(effect.action, ReadFile | LookAtFile):  # a failed assertion looks again
            place = (effect.site.span, effect.action.op)
            counts[place] = counts.get(place, 0) + 1
    for place, number in counts.items():
        most = at_most(one.at_most for one in by_site[place])
        assert most is None or number <= most


def _is_planned(effect, planned):
    """Whether what was done is an instance of what was planned."""
    now, before = effect.action, planned.action
    if isinstance(now, RunCommand):
        same = (now.sandbox, now.network, now.raw) == (before.sandbox, before.network, before.raw)
        written = as_written(as_text(now.command), {name: as_text(one) for name, one in now.variables.items()})
        return same and covers(_command_pattern(before), written.replace("*", "[*]"))
    if isinstance(now, AskModel):
        return now.settings == before.settings and covers(pattern_of(before.prompt), pattern_of(now.prompt))
    fields = ("path", "collection", "query", "shown")
    args, known = now.args(), before.args()
    return all(covers(pattern_of(known[one]), pattern_of(args[one])) for one in fields if one in args)


def _command_pattern(command):
    text = as_text(command.command).replace("*", "[*]")
    for name, value in reversed(list(command.variables.items())):
        for written in (f"'\"${{{name}}}\"'", f'"${{{name}}}"', f'"${name}"', f"${{{name}}}"):
            text = text.replace(written, pattern_of(value))
    if not isinstance(command.command, str):
        text = text.replace("{a}", "*")
    return text


# --- what is known, and what is not ------------------------------------------------------------------------------


def test_what_a_loop_changes_is_not_known_in_it():
    loop = 'VAR p = "a"\nREAD "l" AS l\nFOR n IN l {\nWRITE p "x"\nVAR p = p + n\n}'
    assert paths(loop) == ["l", "{p}"]


def test_what_is_known_of_a_path_is_said():
    text = 'READ "n" AS n\nVAR d = "out"\nWRITE "{{d}}/{{n}}.txt" "x"\nWRITE d + "/" + n "x"\nWRITE n "x"'
    assert paths(text) == ["n", "out/{n}.txt", "out/{text of n}", "{text of n}"]


def test_a_sum_of_what_is_not_known_is_no_text_in_which_the_parts_stand():
    assert paths('RUN "x"\nWRITE "f" + (LAST_RUN.EXIT_CODE + 1) "x"') == ["f{LAST_RUN.EXIT_CODE + 1}"]


def test_a_field_of_what_is_not_known_may_be_anything():
    assert paths('PROMPT_AGENT "?" INTO user\nWRITE user.name "x"') == ["{user.name}"]


def test_a_list_that_is_known_is_gone_through():
    assert paths('FOR n IN ["a", "b"] {\nWRITE "{{n}}.txt" "x"\n}') == ["a.txt", "b.txt"]


def test_decisions_that_are_known_are_taken():
    assert paths('VAR n = 1\nIF n == 1 {\nWRITE "a" ""\n} ELSE {\nWRITE "b" ""\n}') == ["a"]


def test_a_way_that_fails_for_certain_does_not_end_the_plan():
    assert paths('RUN "x"\nIF LAST_RUN.EXIT_CODE == 0 {\nASSERT 1 == 2\n}\nWRITE "a" ""') == ["a"]


def test_a_script_that_fails_for_certain_says_so():
    failure = plan('WRITE "a" ""\nVAR n = 1\nASSERT n == 2\nWRITE "b" ""').failure
    assert failure.diagnostic.code == "R202"


def test_a_task_that_calls_itself_is_said_once_with_no_bound():
    text = (
        'DEFINE_TASK "down"(n) {\nRUN "x"\nIF LAST_RUN.EXIT_CODE == 0 {\nCALL "down"(n + "a")\n}\nWRITE n ""\n}\n'
        'CALL "down"("b")'
    )
    assert paths(text) == ["{n}"]
    assert often(text) == [None, None]


def test_directives_reach_the_tasks_that_are_called_after_them():
    text = 'DEFINE_TASK "t" {\nRUN "x"\n@sandbox none\nIF LAST_RUN.EXIT_CODE == 0 {\nCALL "t"\n}\n}\nCALL "t"'
    assert {one.effect.action.sandbox for one in plan(text).effects} == {None, "none"}


def test_directives_in_choose_and_parallel_end_with_them():
    text = (
        'PARALLEL {\n@network allow\nSTEP "a" {\nRUN "a"\n}\n}\nRUN "b"\n'
        'CHOOSE {\n@network allow\nOPTION "a" {\n}\n}\nRUN "c"'
    )
    commands = [one.effect.action for one in plan(text).effects if isinstance(one.effect.action, RunCommand)]
    assert [one.network for one in commands] == [True, False, False]


# --- how often, and when -----------------------------------------------------------------------------------------


def test_attempts_are_counted():
    text = 'RETRY MAX 3 {\nRUN "a"\n} FIX_WITH PROMPT_AGENT "mend {{failure}}"'
    assert often(text) == [3, 2]
    assert whens(text) == [("up to 3 times",), ("up to 3 times", "if it fails")]


def test_nobody_knows_how_long_a_list_is():
    text = 'READ "l" AS l\nFOR n IN l {\nRETRY MAX 2 {\nRUN "a"\n}\n}'
    assert often(text) == [1, None]
    assert whens(text)[1] == ("for each n of l", "up to 2 times")


def test_ways_say_on_what_they_depend():
    text = (
        'RUN "x"\nIF LAST_RUN.EXIT_CODE == 1 {\nRUN "a"\n} ELSE IF LAST_RUN.STDOUT IS_EMPTY {\nRUN "b"\n}'
        ' ELSE {\nRUN "c"\n}\nTRY {\nRUN "d"\n} CATCH {\nRUN "e"\n} FINALLY {\nRUN "f"\n}'
        '\nCHOOSE {\nOPTION "p" {\nRUN "g"\n}\n}'
    )
    assert whens(text) == [
        (),
        ("if LAST_RUN.EXIT_CODE == 1",),
        ("if not LAST_RUN.EXIT_CODE == 1, but LAST_RUN.STDOUT IS_EMPTY",),
        ("if not LAST_RUN.EXIT_CODE == 1 and not LAST_RUN.STDOUT IS_EMPTY",),
        (),
        ("if what is tried in line 9 fails",),
        (),
        (),
        ("if “p” is chosen",),
    ]


def test_steps_are_known_also_those_that_do_nothing():
    text = 'STEP "a" {\nRUN "x"\n}\nSTEP "b" {\n@sandbox txn\nWRITE "y" ""\n}\nSTEP "c" {\nLOG 1\n}'
    found = plan(text)
    assert [one.title for one in found.steps] == ["a", "b", "c"]
    assert [one.step.title for one in found.effects] == ["a", "b"]
    assert found.transactions == {found.steps[1].key}


def test_tasks_of_other_scripts_are_planned():
    found = plan('IMPORT "tools.tiss"\nCALL "t"("a")', tools='DEFINE_TASK "t"(n) {\nRUN "echo {{n}}"\n}')
    assert [one.effect.site.source.name for one in found.effects] == ["tools.tiss"]


def test_unknown_times_of_retry():
    assert often('READ "n" AS n\nRETRY MAX n {\nRUN "a"\n}')[1] is None


@pytest.mark.parametrize("times", ["0", '"a"', "1.5"])
def test_attempts_that_count_nothing_fail_in_the_plan_as_in_the_run(times):
    assert plan(f'VAR n = {times}\nRETRY MAX n {{\nRUN "a"\n}}').failure.diagnostic.code == "R201"


@pytest.mark.parametrize("directive", ["@sandbox none", "@sandbox landlock", "@network allow"])
def test_on_a_copy_plan_rules_and_run_know_one_level(tmp_path, directive):
    text = f'STEP "s" {{\n@sandbox txn\nTRY {{\n{directive}\nRUN "make"\n}} CATCH {{\n}}\n}}'
    planned = plan(text)
    assert [one.effect.action.sandbox for one in planned.effects] == ["txn"]
    assert capabilities_of(planned).sandbox == "txn"
    watcher = Watching()
    mock = MockPerformer(commands={"make": 0})
    run(text, tmp_path, mock=mock, watcher=watcher, rules=(Rule("allow", {"sandbox": ("txn",)}),))
    [command] = [one for one, _, _ in watcher.ended if isinstance(one.action, RunCommand)]
    assert command.action.sandbox == mock.facts(command)["sandbox"] == "txn"
    assert len(mock.done) == 3  # no rule, and no person, was asked about less of a sandbox


def test_after_a_step_on_a_copy_directives_say_again_how_commands_are_kept_in():
    text = '@sandbox none\nSTEP "s" {\n@sandbox txn\nRUN "a"\n}\nSTEP "t" {\nRUN "b"\n}'
    assert [one.effect.action.sandbox for one in plan(text).effects] == ["txn", "none"]
