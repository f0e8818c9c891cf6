"""`tissu run`, `resume` and `replay`, held rightly and wrongly; what scripts may rely on is in the features."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from quanta_tissu.cli.app import run as tissu


@pytest.fixture
def project(tmp_path, monkeypatch):
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return folder


def write(project, text):
    (project / "plan.tiss").write_text(text + "\n")


def runs(project):
    folder = project / ".tissu" / "runs"
    return [path.name for path in folder.iterdir()] if folder.exists() else []


def test_a_script_with_mistakes_is_not_run(project, capsys):
    write(project, "LOG nothing")
    assert tissu(["run", "plan.tiss"]) == 1
    assert "E101" in (said := capsys.readouterr().err)
    assert "nothing was run" in said
    assert runs(project) == []


def test_a_script_that_is_not_there(project, capsys):
    assert tissu(["run", "nothing.tiss"]) == 1
    assert "nothing.tiss" in capsys.readouterr().err


def test_an_unknown_secret_is_said_before_anything_is_begun(project, capsys):
    write(project, 'RUN "true"')
    assert tissu(["run", "plan.tiss", "--secret", "NOWHERE"]) == 2
    assert "there is no secret NOWHERE" in capsys.readouterr().err
    assert runs(project) == []


def test_a_command_sees_the_secrets_that_it_is_given_and_the_record_none(project, monkeypatch, capsys):
    monkeypatch.setenv("TISSU_SECRET_API_TOKEN", "very-secret-value")
    write(project, 'RUN "printf %s \\"$API_TOKEN\\" | wc -c; echo $API_TOKEN"\nLOG LAST_RUN.STDOUT')
    assert tissu(["run", "plan.tiss", "--secret", "API_TOKEN"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("17\n")
    everything = b"".join(path.read_bytes() for path in (project / ".tissu").rglob("*") if path.is_file())
    assert b"very-secret-value" not in everything + said.out.encode() + said.err.encode()


def test_a_script_with_a_secret_written_into_it_is_refused(project, monkeypatch, capsys):
    monkeypatch.setenv("TISSU_SECRET_API_TOKEN", "very-secret-value")
    write(project, 'LOG "very-secret-value"')
    assert tissu(["run", "plan.tiss"]) == 2
    assert "the value of a secret" in capsys.readouterr().err


def test_an_answer_that_is_none_of_the_options(project, capsys):
    write(project, 'CHOOSE "Which?" {\n OPTION "A" { LOG "a" }\n OPTION "B" { LOG "b" }\n}')
    assert tissu(["run", "plan.tiss", "--answer", "C"]) == 2
    assert "'C' is none of A, B" in capsys.readouterr().err
    (name,) = runs(project)
    assert tissu(["resume", name, "--answer", "B"]) == 0
    assert capsys.readouterr().out == "b\n"


def test_a_server_that_the_script_names_is_asked_about(project, capsys):
    write(project, '@model "http://127.0.0.1:9/v1#m"\nPROMPT_AGENT "x" INTO y')
    assert tissu(["run", "plan.tiss"]) == 1
    assert "R204" in (said := capsys.readouterr().err)
    assert "the script itself names the server" in said


def test_events_for_programs(project, capsys):
    write(project, 'STEP "One" {\n WRITE "a.txt" "a"\n LOG "said"\n}')
    assert tissu(["run", "plan.tiss", "--json"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["kind"] for one in events] == [
        "step.begin",
        "effect.intent",
        "effect.result",
        "note",
        "step.end",
        "run.end",
    ]
    assert events[-1]["status"] == "done"
    assert events[2]["files"][0][:2] == ["A", "a.txt"]


def test_the_end_of_the_record_is_kept_elsewhere(project, tmp_path, capsys):
    write(project, 'WRITE "a.txt" "a"')
    anchors = tmp_path / "anchors.jsonl"
    assert tissu(["run", "plan.tiss", "--anchor", str(anchors)]) == 0
    (name,) = runs(project)
    assert tissu(["audit", name, "--anchor", str(anchors)]) == 0
    journal = project / ".tissu" / "runs" / name / "journal.jsonl"
    journal.write_text("".join(journal.read_text().splitlines(keepends=True)[:-1]))
    assert tissu(["audit", name, "--anchor", str(anchors)]) == 1


def test_no_sandbox_is_asked_for_and_asked_about(project, capsys):
    write(project, 'RUN "true"')
    assert tissu(["run", "plan.tiss", "--sandbox", "none"]) == 1
    assert "not kept in by a sandbox" in capsys.readouterr().err
    assert tissu(["run", "plan.tiss", "--sandbox", "none", "--answer", "allow"]) == 0


def test_rules_of_the_project(project, capsys):
    (project / ".tissu").mkdir()
    (project / ".tissu" / "rules.toml").write_text(
        '[[rule]]\ndecision = "deny"\nop = "DELETE"\npath = "kept/**"\nwhy = "ours"\n'
    )
    (project / "kept").mkdir()
    (project / "kept" / "a.txt").write_text("a")
    write(project, 'DELETE "kept/a.txt"')
    assert tissu(["run", "plan.tiss"]) == 1
    assert "a rule forbids it (ours)" in capsys.readouterr().err
    assert (project / "kept" / "a.txt").exists()


def test_a_rule_without_a_reason_says_what_it_is_about(project, capsys):
    (project / ".tissu").mkdir()
    (project / ".tissu" / "rules.toml").write_text(
        '[[rule]]\ndecision = "deny"\nprogram = ["curl", "wget"]\nnetwork = false\n'
    )
    write(project, 'RUN "wget example.org"')
    assert tissu(["run", "plan.tiss"]) == 1
    assert "a rule forbids it (program = curl or wget, network = false)" in capsys.readouterr().err


def test_a_run_that_lacked_a_model_and_a_variable_goes_on_with_them(project, capsys, monkeypatch):
    write(
        project,
        'STEP "a" {\nPROMPT_AGENT "Hello" INTO said\nLOG "{{said}}"\n}\n'
        'STEP "b" {\nRUN "echo $COLOUR"\nASSERT LAST_RUN.STDOUT CONTAINS "blue"\n}',
    )
    (project / "answers.yaml").write_text("- good day\n")
    assert tissu(["run", "plan.tiss"]) == 1
    (name,) = runs(project)
    assert tissu(["resume", name, "--again"]) == 1
    assert "and none is named" in capsys.readouterr().err
    assert tissu(["resume", name, "--again", "--model", "nowhere"]) != 0
    assert tissu(["resume", name, "--again", "--model", "mock:answers.yaml"]) == 1
    assert "good day" in capsys.readouterr().out
    assert tissu(["resume", name, "--again", "--env", "COLOUR"]) == 2
    assert "there is no variable 'COLOUR'" in capsys.readouterr().err
    assert tissu(["resume", name, "--again", "--secret", "KEY"]) == 2
    assert "there is no secret KEY" in capsys.readouterr().err
    monkeypatch.setenv("COLOUR", "blue")
    assert tissu(["resume", name, "--again", "--env", "COLOUR"]) == 0
    assert tissu(["replay", name]) == 0


def test_rules_that_are_none(project, capsys):
    (project / ".tissu").mkdir()
    (project / ".tissu" / "rules.toml").write_text('[[rule]]\ndecision = "perhaps"\n')
    write(project, 'RUN "true"')
    assert tissu(["run", "plan.tiss"]) == 2
    assert "rule 1: the decision is 'perhaps'" in capsys.readouterr().err


def test_a_run_that_is_not_there(project, capsys):
    assert tissu(["resume", "nothing", "--project", str(project)]) == 1
    assert tissu(["replay", "nothing", "--project", str(project)]) == 1


def test_a_run_that_is_done_is_not_gone_on_with(project, capsys):
    write(project, 'LOG "x"')
    assert tissu(["run", "plan.tiss"]) == 0
    (name,) = runs(project)
    assert tissu(["resume", name]) == 1
    assert "is done" in capsys.readouterr().err


@pytest.mark.slow
def test_an_interrupt_ends_the_command_and_the_run_goes_on(project, capsys):
    write(
        project,
        'RUN "echo one >> log.txt"\nRUN "touch begun; sleep 30; echo two >> log.txt"\nRUN "echo three >> log.txt"',
    )
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "quanta_tissu", "run", "plan.tiss"], env=environment, stderr=subprocess.PIPE
    )
    for _ in range(600):
        if (project / "begun").exists():
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 130, said
    assert "goes on" in said
    left = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert "sleep 30; echo two" not in left
    (name,) = runs(project)
    assert tissu(["resume", name, "--answer", "skip"]) == 0
    assert (project / "log.txt").read_text() == "one\nthree\n"


class TestHeldWrong:
    """What is wrong on the command line is said before anything is done."""

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--model", "nowhere"], "there is no model 'nowhere'"),
            (["--model", "mock:nowhere.yaml"], "cannot read the answers of a mock from"),
            (["--model", "cassette:new.jsonl=nowhere"], "there is no model 'nowhere'"),
            (["--model", "http://localhost:1/v1"], "names no model"),
            (["--model", ""], "there is no model ''"),
            (["--env", "NO_SUCH_VARIABLE"], "there is no variable 'NO_SUCH_VARIABLE'"),
            (["--price", "-1", "1"], "--price"),
            (["--price", "1", "nan"], "--price"),
            (["--price", "inf", "1"], "--price"),
            (["--anchor", "plan.tiss"], "plan.tiss is no file of anchors"),
        ],
    )
    def test_nothing_is_begun(self, project, capsys, options, message):
        write(project, 'WRITE "a.txt" "a"')
        assert tissu(["run", "plan.tiss", *options]) in (1, 2)
        assert message in capsys.readouterr().err
        assert runs(project) == []
        assert sorted(path.name for path in project.iterdir()) == ["plan.tiss"]

    def test_a_variable_that_is_nearly_there(self, project, monkeypatch, capsys):
        monkeypatch.setenv("DEPLOY_TARGET", "x")
        write(project, 'LOG "a"')
        assert tissu(["run", "plan.tiss", "--env", "DEPLOY_TARGT"]) == 2
        assert "did you mean DEPLOY_TARGET?" in capsys.readouterr().err

    def test_whoever_resumes_cannot_have_anchors_added_to_a_script(self, project, capsys):
        write(project, 'PAUSE "look"')
        assert tissu(["run", "plan.tiss", "--unattended", "wait"]) == 75
        assert tissu(["resume", "last", "--answer", "continue", "--anchor", "plan.tiss"]) == 1
        assert (project / "plan.tiss").read_text() == 'PAUSE "look"\n'


def test_a_question_is_shown_once_with_commands_that_answer_it(project, capsys):
    write(project, 'CHOOSE "Which one?" {\n OPTION "This one" { LOG "a" }\n OPTION "B" { LOG "b" }\n}')
    assert tissu(["run", "plan.tiss"]) == 75
    said = capsys.readouterr().err
    (name,) = runs(project)
    assert said.count("Which one?") == 1
    assert f"answer it with tissu resume {name} --answer 'This one'\n" in said
    assert f"or             tissu resume {name} --answer B\n" in said


def test_who_was_refused_for_want_of_a_person_is_told_how_to_answer(project, capsys):
    write(project, 'VAR a = "x"\nREQUEST_REVIEW a\nLOG "approved"')
    assert tissu(["run", "plan.tiss"]) == 1
    assert "--again --answer approve" in capsys.readouterr().err
    assert tissu(["resume", "last", "--again", "--answer", "approve"]) == 0
    assert capsys.readouterr().out == "approved\n"


def test_an_answer_that_fits_not_says_how_the_run_goes_on_also_to_programs(project, capsys):
    write(project, 'PAUSE "look"')
    assert tissu(["run", "plan.tiss", "--answer", "maybe"]) == 2
    (name,) = runs(project)
    assert f"tissu resume {name} goes on" in capsys.readouterr().err
    assert tissu(["resume", name, "--answer", "maybe", "--json"]) == 2
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last["status"] == "broken"
    assert last["error"]["message"] == "the answer 'maybe' is none of continue, stop"


def test_an_answer_that_nothing_asked_for_is_said(project, capsys):
    (project / "plan.tiss").write_text("PAUSE")
    assert tissu(["run", "plan.tiss", "--answer", "continue", "--answer", "approve"]) == 0
    assert "nothing asked for the answer 'approve': it was not used" in capsys.readouterr().err


def test_a_run_of_another_project_is_not_gone_on_with(project, tmp_path, capsys):
    (project / "plan.tiss").write_text("PAUSE")
    assert tissu(["run", "plan.tiss", "--unattended", "wait"]) == 75
    folder = next((project / ".tissu" / "runs").iterdir())
    other = tmp_path / "other"
    other.mkdir()
    capsys.readouterr()
    assert tissu(["resume", str(folder), "--project", str(other), "--answer", "continue"]) != 0
    assert f"is one of {project}, not of {other}" in capsys.readouterr().err
    assert tissu(["resume", str(folder), "--answer", "continue"]) == 0
