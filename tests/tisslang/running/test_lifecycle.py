"""What `start`, `resume` and `replay` promise: what counts, what is done again, and what is refused."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from quanta_tissu.errors import ConfigError, JournalError, TissLangError
from quanta_tissu.tisslang.engine.effects import Outcome
from quanta_tissu.tisslang.journal.journal import Journal
from quanta_tissu.tisslang.journal.redaction import Redactor
from quanta_tissu.tisslang.running.lifecycle import RUNS, new_name, read_options, replay, resume, start
from quanta_tissu.tisslang.running.mock import MockPerformer
from quanta_tissu.tisslang.running.people import Nobody, Prepared
from tests.tisslang.engine.trying import OPTIONS, Watching, program, run


class OnDisk(MockPerformer):
    """Writes and reads the files of a folder, so that others can change them meanwhile."""

    def __init__(self, root, **about):
        super().__init__({one.name: one.read_text() for one in root.iterdir() if one.is_file()}, **about)
        self._root = root

    def perform(self, effect, prepared, cancelled):
        outcome = super().perform(effect, prepared, cancelled)
        for name, text in self.files.items():
            (self._root / name).write_text(text)
        return outcome


class Slow(MockPerformer):
    """Its command `slow` goes on until it is ended from outside."""

    def perform(self, effect, prepared, cancelled):
        if getattr(effect.action, "command", "") == "slow":
            assert cancelled.wait(10)
            return Outcome(problem=("R211", "it was ended"))
        return super().perform(effect, prepared, cancelled)


def go_on(folder, mock=None, *, answers=(), watcher=None, **about):
    return resume(
        folder,
        doer=lambda journal, options: mock or MockPerformer(),
        person=Prepared(answers, Nobody(), "tester"),
        watcher=watcher or Watching(),
        **about,
    )


def kinds(folder):
    with Journal.read(folder) as journal:
        return [one.kind for one in journal.records]


def works(**commands):
    return MockPerformer(commands={**commands, "": 0})


# --- start -------------------------------------------------------------------------------------------------------


def test_names_of_runs_are_in_the_order_of_time():
    assert re.fullmatch(r"\d{8}-\d{6}-[0-9a-f]{4}", new_name())
    assert new_name() != new_name()


def test_a_run_is_a_folder_of_the_project_that_keeps_how_it_is_made(tmp_path):
    ending = run("VAR a = 1", tmp_path)
    assert (ending.status, ending.variables) == ("done", {"a": 1})
    assert ending.folder == tmp_path / RUNS / ending.run
    assert read_options(ending.folder) == OPTIONS


def test_in_a_run_on_copies_each_step_works_on_one_unless_it_says_otherwise(tmp_path):
    text = 'STEP "a" {\nWRITE "a" "a"\nASSERT 1 == 2\n}'
    for script, files in ((text, {}), (text.replace("WRITE", "@sandbox bwrap\nWRITE"), {"a": "a"})):
        mock = MockPerformer()
        ending = start(
            program(script),
            tmp_path,
            replace(OPTIONS, sandbox="txn"),
            doer=lambda journal, options, mock=mock: mock,
            person=Nobody(),
            watcher=Watching(),
        )
        assert ending.status == "failed"
        assert mock.files == files
        assert replay(ending.folder, watcher=Watching()).failure.value() == ending.failure.value()


def test_two_runs_have_two_names(tmp_path):
    run("VAR a = 1", tmp_path, name="r")
    with pytest.raises(JournalError, match="there is a run r already"):
        run("VAR a = 1", tmp_path, name="r")


def test_a_script_with_a_secret_in_it_is_not_run(tmp_path):
    with pytest.raises(ConfigError, match=r"plan\.tiss has the value of a secret in it"):
        run('RUN "curl -H hunter22222"', tmp_path, redactor=Redactor({"TOKEN": "hunter22222"}))
    assert not (tmp_path / RUNS).exists()


@pytest.mark.parametrize("prompt", ['PROMPT_AGENT "x {{b}}"', '@model "x{{b}}"\nPROMPT_AGENT "x"'])
def test_an_estimate_of_what_only_the_run_will_tell(tmp_path, prompt):
    text = f'ESTIMATE_COST {{\nREAD "i" AS b\n{prompt}\n}}'
    ending = run(text, tmp_path, mock=MockPerformer({"i": "text"}, answers=["yes"]))
    assert ending.status == "done"
    assert replay(ending.folder, watcher=Watching()).status == "done"


# --- resume: which run -------------------------------------------------------------------------------------------


def test_a_run_that_is_not_there(tmp_path):
    with pytest.raises(JournalError, match="there is no run nothing") as refused:
        go_on(tmp_path / RUNS / "nothing")
    assert refused.value.hint == "`tissu runs` lists those that there are"


def test_a_run_that_is_done(tmp_path):
    ending = run('RUN "make"', tmp_path, mock=works())
    with pytest.raises(JournalError, match="is done") as refused:
        go_on(ending.folder)
    assert f"tissu replay {ending.run}" in refused.value.hint


def test_a_run_that_is_done_goes_on_with_more_of_a_script(tmp_path):
    ending = run('RUN "make"', tmp_path, mock=works())
    mock = works()
    assert go_on(ending.folder, mock, edited=program('RUN "make"\nRUN "test"')).status == "done"
    assert mock.done == ["1:RUN"]


def test_a_run_of_another_project(tmp_path):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ending = run("PAUSE", theirs)
    with pytest.raises(JournalError, match=f"is one of {theirs}, not of {ours}") as refused:
        go_on(ending.folder, root=ours)
    assert refused.value.hint == f"tissu resume {ending.run} --project {theirs}"
    assert go_on(ending.folder, root=theirs, answers=("continue",)).status == "done"


def test_a_project_that_was_moved_may_be_a_copy_whose_twin_has_gone_on(tmp_path):
    ending = run("PAUSE", tmp_path / "before")
    (tmp_path / "before").rename(tmp_path / "after")
    folder = tmp_path / "after" / RUNS / ending.run
    with pytest.raises(TissLangError, match=f"was made in {tmp_path}/before, and is in {tmp_path}/after now"):
        go_on(folder)
    assert go_on(folder, answers=("continue",), accept_changes=True).status == "done"


def test_a_run_that_another_process_works_on(tmp_path):
    ending = run("PAUSE", tmp_path)
    with Journal.open(ending.folder), pytest.raises(JournalError, match=ending.run):
        go_on(ending.folder)


def test_a_record_that_was_changed(tmp_path):
    ending = run('RUN "make"\nPAUSE', tmp_path, mock=works())
    journal = ending.folder / "journal.jsonl"
    journal.write_text(journal.read_text().replace('"make"', '"pray"'))
    with pytest.raises(JournalError, match="is not what was written") as refused:
        go_on(ending.folder)
    assert refused.value.hint == f"tissu audit {ending.run} shows all of it"


def test_what_is_refused_leaves_no_trace(tmp_path):
    ending = run('RUN "make"', tmp_path, mock=works())
    before = kinds(ending.folder)

    def lacking(journal, options):
        raise ConfigError("there is no secret TOKEN", hint="set it")

    with pytest.raises(JournalError, match="did not fail"):
        go_on(ending.folder, edited=program("LOG 1"), again=True)
    with pytest.raises(ConfigError, match="no secret TOKEN"):
        resume(ending.folder, doer=lacking, person=Nobody(), watcher=Watching(), edited=program("LOG 1"))
    assert [one for one in kinds(ending.folder) if one.startswith("run.")] == ["run.start", "run.end"]
    assert len(kinds(ending.folder)) == len(before)
    with pytest.raises(JournalError, match="is done"):
        go_on(ending.folder)


# --- resume: files -----------------------------------------------------------------------------------------------

WRITES = 'WRITE "a.txt" "one"\nWRITE "b.txt" "one"\nPAUSE'


def test_files_that_the_run_wrote_and_somebody_changed_are_named(tmp_path):
    ending = run(WRITES, tmp_path, mock=OnDisk(tmp_path))
    (tmp_path / "a.txt").write_text("two")
    (tmp_path / "b.txt").unlink()
    with pytest.raises(TissLangError, match=r"as it left them: a\.txt was changed, b\.txt is gone") as refused:
        go_on(ending.folder)
    assert "--accept-changes" in refused.value.hint
    assert go_on(ending.folder, answers=("continue",), accept_changes=True).status == "done"


def test_files_that_are_as_the_run_left_them_are_no_reason_to_stop(tmp_path):
    ending = run(WRITES, tmp_path, mock=OnDisk(tmp_path))
    assert go_on(ending.folder, answers=("continue",)).status == "done"


def test_files_that_the_run_read_and_somebody_changed_are_named(tmp_path):
    (tmp_path / "in.txt").write_text("one")
    (tmp_path / "more.txt").write_text("one")
    ending = run('READ "in.txt" AS a\nREAD "more.txt" AS b\nPAUSE', tmp_path, mock=OnDisk(tmp_path))
    (tmp_path / "in.txt").write_text("two")
    (tmp_path / "more.txt").unlink()
    with pytest.raises(TissLangError, match=r"as it read them: in\.txt was changed, more\.txt is gone") as refused:
        go_on(ending.folder)
    assert "--accept-changes" in refused.value.hint
    assert go_on(ending.folder, answers=("continue",), accept_changes=True).variables == {"a": "one", "b": "one"}


def test_a_file_that_was_read_and_is_perhaps_written_is_no_reason_to_stop(tmp_path):
    class Dying(OnDisk):
        def perform(self, effect, prepared, cancelled):
            outcome = super().perform(effect, prepared, cancelled)
            if effect.action.op == "WRITE":
                raise SystemExit
            return outcome

    (tmp_path / "in.txt").write_text("one")
    with pytest.raises(SystemExit):
        run('READ "in.txt" AS a\nWRITE "in.txt" "two"', tmp_path, mock=Dying(tmp_path), name="r")
    assert (tmp_path / "in.txt").read_text() == "two"
    assert go_on(tmp_path / RUNS / "r").status == "done"


def test_a_file_that_is_no_text_any_more_was_changed(tmp_path):
    (tmp_path / "in.txt").write_text("one")
    ending = run('READ "in.txt" AS a\nPAUSE', tmp_path, mock=OnDisk(tmp_path))
    (tmp_path / "in.txt").write_bytes(b"\xff")
    with pytest.raises(TissLangError, match=r"in\.txt was changed"):
        go_on(ending.folder)


def test_a_long_text_and_a_long_path_are_compared_as_a_whole(tmp_path):
    name = f"{'n' * 220}.txt"
    (tmp_path / name).write_text("x" * 5000)
    text = f'READ "{name}" AS a\nWRITE "{name}" a + "y"\nPAUSE'
    ending = run(text, tmp_path, mock=OnDisk(tmp_path))
    (tmp_path / name).write_text("z" * 5000)
    with pytest.raises(TissLangError, match=f"{name} was changed"):
        go_on(ending.folder)


def test_an_input_of_the_step_that_is_done_again_may_be_mended(tmp_path):
    (tmp_path / "in.txt").write_text("bad")
    text = 'STEP "s" {\nREAD "in.txt" AS a\nASSERT a == "good"\n}'
    ending = run(text, tmp_path, mock=OnDisk(tmp_path))
    (tmp_path / "in.txt").write_text("good")
    assert go_on(ending.folder, OnDisk(tmp_path), again=True).variables == {"a": "good"}


def test_a_secret_in_a_file_is_no_change_of_it(tmp_path):
    redactor = Redactor({"TOKEN": "hunter22222"})
    (tmp_path / "in.txt").write_text("it is hunter22222")
    ending = run('READ "in.txt" AS a\nPAUSE', tmp_path, mock=OnDisk(tmp_path), redactor=redactor)
    assert "hunter" not in (ending.folder / "journal.jsonl").read_text()
    assert go_on(ending.folder, answers=("continue",), redactor=redactor).status == "done"


# --- resume: the script ------------------------------------------------------------------------------------------


def test_a_run_goes_on_with_its_script_as_it_was_whatever_became_of_the_file(tmp_path):
    (tmp_path / "plan.tiss").write_text("something else")
    ending = run("PAUSE\nVAR a = 1", tmp_path)
    assert go_on(ending.folder, answers=("continue",)).variables == {"a": 1}


def test_models_variables_and_secrets_that_are_named_come_to_those_of_the_run(tmp_path):
    folder = run("ASSERT 1 == 2", tmp_path).folder
    go_on(folder, models={"": "mock:a", "judge": "mock:b"}, environment=["HOME"], secrets=["KEY"])
    go_on(folder, models={"judge": "mock:c"}, environment=["HOME", "LANG"])
    go_on(folder)
    assert read_options(folder) == replace(
        OPTIONS, models={"": "mock:a", "judge": "mock:c"}, environment=("HOME", "LANG"), secrets=("KEY",)
    )
    with Journal.read(folder) as journal:
        recorded = ["options" in one.fields for one in journal.records if one.kind == "run.resume"]
    assert recorded == [True, True, False]


def test_an_edited_script_is_the_script_from_then_on(tmp_path):
    ending = run("PAUSE\nVAR a = 1", tmp_path)
    assert go_on(ending.folder, edited=program("PAUSE\nVAR a = 2")).status == "paused"
    assert go_on(ending.folder, answers=("continue",)).variables == {"a": 2}
    assert replay(ending.folder, watcher=Watching()).variables == {"a": 2}


def test_an_edited_script_with_a_secret_in_it_is_not_gone_on_with(tmp_path):
    ending = run("PAUSE", tmp_path)
    redactor = Redactor({"TOKEN": "hunter22222"})
    with pytest.raises(ConfigError, match="has the value of a secret in it"):
        go_on(ending.folder, edited=program('RUN "curl -H hunter22222"'), redactor=redactor)


def test_branches_that_were_ended_go_on_with_an_edited_script(tmp_path):
    text = 'PARALLEL {\nSTEP "a" {\nRUN "bad"\nASSERT LAST_RUN.EXIT_CODE == 0\n}\nSTEP "b" {\nRUN "slow"\n}\n}'
    ending = run(text, tmp_path, mock=Slow(commands={"bad": 1}))
    assert ending.status == "failed"
    mock, edited = works(), program(text.replace("bad", "good"))
    assert go_on(ending.folder, mock, edited=edited).status == "done"
    assert sorted(mock.done) == ["0:PARALLEL/0:STEP/0:RUN", "0:PARALLEL/1:STEP/0:RUN"]
    assert replay(ending.folder, watcher=Watching()).status == "done"


# --- resume: the failed step again -------------------------------------------------------------------------------


def test_again_is_for_runs_that_failed(tmp_path):
    ending = run("PAUSE", tmp_path)
    with pytest.raises(JournalError, match="did not fail") as refused:
        go_on(ending.folder, again=True)
    assert refused.value.hint == "tissu resume without --again goes on"


def test_again_needs_something_that_was_done(tmp_path):
    ending = run("ASSERT 1 == 2", tmp_path)
    with pytest.raises(JournalError, match="has nothing that could be done again") as refused:
        go_on(ending.folder, again=True)
    assert "--script" in refused.value.hint


FAILED = {
    "the step, and no other": (
        'STEP "a" {\nRUN "a"\n}\nSTEP "b" {\nRUN "b"\nRUN "c"\nASSERT LAST_RUN.EXIT_CODE == 0\n}',
        ["1:STEP/0:RUN", "1:STEP/1:RUN"],
    ),
    "the last effect outside of steps": (
        'RUN "a"\nRUN "b"\nASSERT LAST_RUN.EXIT_CODE == 0',
        ["1:RUN"],
    ),
    "the last effect before a step that did nothing": (
        'STEP "a" {\nRUN "a"\nRUN "b"\n}\nSTEP "b" {\nASSERT LAST_RUN.EXIT_CODE == 0\n}',
        ["0:STEP/1:RUN"],
    ),
    "no step whose failure was caught": (
        'TRY {\nSTEP "a" {\nRUN "a"\nASSERT 1 == 2\n}\n} CATCH {\nRUN "b"\n}\nRUN "c"\n'
        "ASSERT LAST_RUN.EXIT_CODE == 0",
        ["1:RUN"],
    ),
    "all of the steps in each other": (
        'DEFINE_TASK "t" {\nSTEP "inner" {\nRUN "b"\nASSERT LAST_RUN.EXIT_CODE == 0\n}\n}\n'
        'STEP "outer" {\nRUN "a"\nCALL "t"\n}',
        ["1:STEP/0:RUN", "1:STEP/1:CALL/0:STEP/0:RUN"],
    ),
    "each branch that failed": (
        'PARALLEL {\n@on_error collect\nSTEP "a" {\nRUN "a"\nASSERT LAST_RUN.EXIT_CODE == 0\n}\n'
        'STEP "b" {\nWRITE "b" "b"\n}\nSTEP "c" {\nRUN "c"\nASSERT LAST_RUN.EXIT_CODE == 0\n}\n}',
        ["0:PARALLEL/1:STEP/0:RUN", "0:PARALLEL/3:STEP/0:RUN"],
    ),
    "the last attempt": (
        'RETRY MAX 2 {\nSTEP "a" {\nRUN "a"\nASSERT LAST_RUN.EXIT_CODE == 0\n}\n}',
        ["0:RETRY#2/0:STEP/0:RUN"],
    ),
    "a step on a copy": (
        'STEP "a" {\n@sandbox txn\nRUN "a"\nASSERT LAST_RUN.EXIT_CODE == 0\n}',
        ["0:STEP.begin", "0:STEP/1:RUN", "0:STEP.commit"],
    ),
    "a step on a copy, before what failed": (
        'STEP "a" {\n@sandbox txn\nRUN "a"\n}\nASSERT LAST_RUN.EXIT_CODE == 0',
        ["0:STEP.begin", "0:STEP/1:RUN", "0:STEP.commit"],
    ),
}


@pytest.mark.parametrize("what", FAILED)
def test_again_does(tmp_path, what):
    text, done = FAILED[what]
    ending = run(text, tmp_path, mock=MockPerformer(commands={"": 1}))
    assert ending.status == "failed"
    mock = works()
    again = go_on(ending.folder, mock, again=True, accept_changes=True)
    assert again.status == "done", again.error or again.failure
    assert sorted(mock.done) == sorted(done)
    assert replay(ending.folder, watcher=Watching()).status == "done"


ENDED = (
    'PARALLEL {\nSTEP "a" {\nRUN "bad"\nASSERT LAST_RUN.EXIT_CODE == 0\n}\nSTEP "b" {\nRUN "slow"\nRUN "b"\n}\n}'
)


def test_again_lets_branches_go_on_that_were_ended(tmp_path):
    ending = run(ENDED, tmp_path, mock=Slow(commands={"bad": 1}))
    mock = works()
    assert go_on(ending.folder, mock, again=True).status == "done"
    assert len(mock.done) == 3
    assert replay(ending.folder, watcher=Watching()).status == "done"


def test_without_again_a_failed_run_fails_in_the_same_way_and_does_nothing(tmp_path):
    ending = run(ENDED, tmp_path, mock=Slow(commands={"bad": 1}))
    mock = works()
    again = go_on(ending.folder, mock)
    assert again.failure.value() == ending.failure.value()
    assert mock.done == []


def test_again_and_again(tmp_path):
    ending = run('STEP "a" {\nRUN "a"\nASSERT LAST_RUN.EXIT_CODE == 0\n}', tmp_path, mock=MockPerformer())
    for code in (2, 3, 0):
        ending = go_on(ending.folder, MockPerformer(commands={"a": code}), again=True)
        assert ending.status == ("failed" if code else "done")
    assert replay(ending.folder, watcher=Watching()).status == "done"


# --- resume: answers ---------------------------------------------------------------------------------------------


def test_an_answer_that_is_none_of_the_options_leaves_the_question_open(tmp_path):
    ending = run('REQUEST_REVIEW "this"', tmp_path)
    wrong = go_on(ending.folder, answers=("perhaps",))
    assert wrong.status == "broken"
    assert "'perhaps' is none of approve, reject" in wrong.error.message
    assert go_on(ending.folder, answers=("approve",)).status == "done"


def test_an_answer_to_what_was_shown_is_none_to_what_is_shown_now(tmp_path):
    ending = run('REQUEST_REVIEW "delete one file"', tmp_path)
    edited = program('REQUEST_REVIEW "delete all files"')
    refused = go_on(ending.folder, edited=edited, answers=("approve",))
    assert refused.status == "broken"
    assert "shows something else now: is this right? delete all files" in refused.error.message
    assert refused.error.hint == "look at it, and give the answer again"
    assert go_on(ending.folder, answers=("approve",)).status == "done"


def test_only_the_first_answer_is_to_what_was_shown(tmp_path):
    ending = run('REQUEST_REVIEW "one"\nREQUEST_REVIEW "two"', tmp_path)
    assert go_on(ending.folder, answers=("approve", "approve")).status == "done"


def test_of_branches_that_wait_the_answer_may_be_to_any(tmp_path):
    text = 'PARALLEL {\nSTEP "a" {\nREQUEST_REVIEW "a"\n}\nSTEP "b" {\nREQUEST_REVIEW "b"\n}\n}'
    ending = run(text, tmp_path)
    assert go_on(ending.folder, answers=("approve", "approve")).status == "done"


def test_answers_that_nobody_asked_for_are_left(tmp_path):
    ending = run("PAUSE\nVAR a = 1", tmp_path)
    person = Prepared(("continue", "approve"), Nobody(), "tester")
    done = resume(ending.folder, doer=lambda *_: MockPerformer(), person=person, watcher=Watching())
    assert done.status == "done"
    assert person.left == ("approve",)


# --- ends --------------------------------------------------------------------------------------------------------


def test_an_interrupt_is_recorded_and_the_run_goes_on(tmp_path):
    class Interrupted(MockPerformer):
        def perform(self, effect, prepared, cancelled):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run('WRITE "a" "a"', tmp_path, mock=Interrupted(), name="r")
    folder = tmp_path / RUNS / "r"
    assert kinds(folder)[-1] == "run.end"
    mock = MockPerformer()
    assert go_on(folder, mock).status == "done"
    assert mock.files == {"a": "a"}


# --- replay ------------------------------------------------------------------------------------------------------


def test_a_replay_does_and_writes_nothing(tmp_path):
    ending = run('RUN "make"\nVAR a = LAST_RUN.EXIT_CODE', tmp_path, mock=works())
    before = {one: one.read_bytes() for one in ending.folder.rglob("*") if one.is_file()}
    assert replay(ending.folder, watcher=Watching()).variables == {"a": 0}
    assert {one: one.read_bytes() for one in ending.folder.rglob("*") if one.is_file()} == before


def test_a_replay_of_a_run_that_waits_says_where_it_ends_and_how_it_goes_on(tmp_path):
    ending = run('RUN "make"\nPAUSE', tmp_path, mock=works())
    told = replay(ending.folder, watcher=Watching())
    assert told.status == "broken"
    assert told.error.message == "the record ends before ASK in plan.tiss:2"
    assert told.error.hint == f"the run goes on with tissu resume {ending.run}"


def test_a_replay_of_nothing(tmp_path):
    with pytest.raises(JournalError, match="there is no run"):
        replay(tmp_path / RUNS / "nothing", watcher=Watching())


def test_a_replay_of_a_record_that_was_changed(tmp_path):
    ending = run('RUN "make"', tmp_path, mock=works())
    journal = ending.folder / "journal.jsonl"
    journal.write_text(journal.read_text().replace('"make"', '"pray"'))
    with pytest.raises(JournalError):
        replay(ending.folder, watcher=Watching())
