from __future__ import annotations

import json

import pytest

from quanta_tissu.cli.app import run as tissu

SCRIPT = """TASK "Tidy" {
    STEP "Look" {
        READ "list.txt" AS names
        FOR name IN names {
            RUN "rm {{name}}" TIMEOUT "5s"
        }
    }
    STEP "Ask" {
        PROMPT_AGENT "Is it tidy?" INTO said
        CHOOSE "Well?" {
            OPTION "Yes" { WRITE "done.txt" said }
            OPTION "No" { DELETE "done.txt" }
        }
    }
}
"""


@pytest.fixture
def script(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "plan.tiss"
    path.write_text(SCRIPT)
    return path


def lock(script):
    assert tissu(["lang", "plan", "plan.tiss", "--lock", "lock.toml"]) == 0
    return script.parent / "lock.toml"


def test_a_plan_says_all_that_a_run_can_do_and_that_nothing_was_done(script, capsys):
    assert tissu(["lang", "plan", "plan.tiss"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("Plan of Tidy: nothing was done, and this is all that a run can do\n")
    assert said.endswith("Nothing was done.\n")
    assert "STEP “Look”  (plan.tiss:2)\n  READ  list.txt\n  for each name of names:\n" in said
    assert (
        "    RUN   rm {name}  (no bound)\n          · starts rm · sandbox of the run · no network · at most 5 s"
        in said
    )
    assert "  only if “No” is chosen:\n    DELETE        done.txt\n" in said
    assert "  model calls        at most 1\n" in said
    assert "  people asked       choose 1\n" in said
    assert sorted(script.parent.iterdir()) == [script]


def test_a_plan_for_programs(script, capsys):
    assert tissu(["lang", "plan", "plan.tiss", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["done"] is False
    assert found["capabilities"]["commands"] is None
    assert found["capabilities"]["programs"] == ["rm"]
    effects = found["steps"][0]["effects"]
    assert [(one["op"], one["at_most"], one["line"]) for one in effects] == [("READ", 1, 3), ("RUN", None, 5)]


def test_a_script_with_errors_is_not_planned(script, capsys):
    script.write_text("LOG never")
    assert tissu(["lang", "plan", "plan.tiss"]) == 1
    assert "E101" in capsys.readouterr().err


def test_a_run_that_fails_for_certain_is_said(script, capsys):
    script.write_text('WRITE "a" ""\nVAR n = 1\nASSERT n == 2')
    assert tissu(["lang", "plan", "plan.tiss"]) == 0
    said = capsys.readouterr()
    assert "WRITE  a" in said.out
    assert "Every run fails here" in said.err


def test_a_lock_lets_the_same_and_less_pass(script, capsys):
    path = lock(script)
    assert tissu(["lang", "plan", "plan.tiss", "--check", "lock.toml"]) == 0
    assert "tightened" not in capsys.readouterr().err
    script.write_text(SCRIPT.replace('DELETE "done.txt"', "LOG 1"))
    assert tissu(["lang", "plan", "plan.tiss", "--check", "lock.toml"]) == 0
    said = capsys.readouterr()
    assert "could be tightened" in said.err
    assert said.out == "- delete = done.txt\n"
    assert path.read_text().startswith("# What plan.tiss can do at most.")


def test_a_lock_fails_when_a_script_can_do_more_and_shows_where(script, capsys):
    lock(script)
    script.write_text(SCRIPT.replace('"rm {{name}}"', '"rm {{name}} && curl example.org"'))
    assert tissu(["lang", "plan", "plan.tiss", "--check", "lock.toml"]) == 1
    said = capsys.readouterr()
    assert "+ programs = curl\n    plan.tiss:5  RUN" in said.out
    assert "nothing was done" in said.err


def test_a_lock_names_a_command_that_does_more_with_the_same_programs(script, capsys):
    lock(script)
    script.write_text(SCRIPT.replace('"rm {{name}}"', '"rm -rf {{name}}"'))
    assert tissu(["lang", "plan", "plan.tiss", "--check", "lock.toml"]) == 1
    assert capsys.readouterr().out == '+ run = rm -rf *\n    plan.tiss:5  RUN "rm -rf {{name}}" TIMEOUT "5s"\n'


def test_a_lock_from_before_commands_were_locked_is_checked_and_can_be_tightened(script, capsys):
    path = lock(script)
    text = path.read_text().replace("version = 2", "version = 1").replace('run = [\n    "rm *",\n]\n', "")
    path.write_text(text)
    capsys.readouterr()
    assert tissu(["lang", "plan", "plan.tiss", "--check", "lock.toml"]) == 0
    said = capsys.readouterr()
    assert "could be tightened" in said.err
    assert said.out == "- run = **\n"
    lock(script)
    assert path.read_text() != text


def test_the_network_of_the_run_is_no_directive(script, capsys):
    lock(script)
    assert tissu(["lang", "plan", "plan.tiss", "--check", "lock.toml", "--network"]) == 1
    assert "- network = false\n+ network = true\n" in capsys.readouterr().out


def test_what_is_no_lock_is_refused(script, capsys):
    (script.parent / "lock.toml").write_text("[[rule]]")
    assert tissu(["lang", "plan", "plan.tiss", "--check", "lock.toml"]) == 2
    assert "no lock of capabilities" in capsys.readouterr().err


def test_a_lock_is_not_checked_and_written_at_once(script, capsys):
    lock(script)
    assert tissu(["lang", "plan", "plan.tiss", "--check", "lock.toml", "--lock", "x"]) == 2


class TestHeldWrong:
    def test_a_lock_replaces_nothing_but_a_lock(self, script, capsys):
        assert tissu(["lang", "plan", "plan.tiss", "--lock", "plan.tiss"]) == 1
        assert "plan.tiss exists and is something else" in capsys.readouterr().err
        assert script.read_text() == SCRIPT
        assert lock(script) == lock(script)

    def test_a_lock_that_is_no_text(self, script, capsys):
        (script.parent / "lock").write_bytes(b"\xff\xfe")
        assert tissu(["lang", "plan", "plan.tiss", "--check", "lock"]) == 2
        assert "lock is no text in UTF-8\n  help: tissu lang plan --lock writes" in capsys.readouterr().err

    @pytest.mark.parametrize("option", ["--lock", "--check"])
    def test_json_is_not_ignored(self, script, option, capsys):
        (script.parent / "lock").touch()
        assert tissu(["lang", "plan", "plan.tiss", "--json", option, "lock"]) == 2
        assert "leave one of them out" in capsys.readouterr().err
