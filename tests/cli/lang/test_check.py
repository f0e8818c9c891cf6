from __future__ import annotations

import json

import pytest

NESTED = 'STEP "a" {\n  STEP "b" {\n  }\n}\n'


@pytest.fixture
def scripts(tmp_path):
    (tmp_path / "good.tiss").write_text('STEP "a" {\n    LOG "hello"\n}\n')
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "bad.tiss").write_text(NESTED)
    return tmp_path


class TestCheck:
    def test_a_good_script_has_exit_code_0(self, tissu, scripts):
        outcome = tissu("lang", "check", str(scripts / "good.tiss"))
        assert (outcome.code, outcome.out) == (0, "")
        assert outcome.err == "1 script: 0 errors\n"

    def test_a_folder_stands_for_the_scripts_in_it(self, tissu, scripts):
        outcome = tissu("lang", "check", str(scripts))
        assert outcome.code == 1
        assert outcome.out.startswith("error[E010]")
        assert outcome.err == "2 scripts: 1 error\n"

    def test_programs_get_an_object_a_line(self, tissu, scripts):
        outcome = tissu("lang", "check", "--json", str(scripts))
        assert [json.loads(line)["code"] for line in outcome.out.splitlines()] == ["E010"]

    @pytest.mark.parametrize(("form", "start"), [("github", "::error "), ("sarif", "{"), ("json", "{")])
    def test_other_forms(self, tissu, scripts, form, start):
        assert tissu("lang", "check", "--format", form, str(scripts)).out.startswith(start)

    def test_scripts_that_cannot_be_read(self, tissu, tmp_path):
        (tmp_path / "latin.tiss").write_bytes(b"LOG \xe9")
        outcome = tissu("lang", "check", str(tmp_path / "latin.tiss"))
        assert outcome.code == 1
        assert "not UTF-8: byte 0xe9 at 4" in outcome.err
        assert "No such file" in tissu("lang", "check", str(tmp_path / "none.tiss")).err
        (tmp_path / "empty").mkdir()
        assert "there is no script in" in tissu("lang", "check", str(tmp_path / "empty")).err

    @pytest.mark.parametrize("command", ["check", "fmt"])
    def test_an_empty_name_is_not_the_current_folder(self, tissu, command):
        outcome = tissu("lang", command, "")
        assert outcome.code == 1
        assert "the name of a script is empty" in outcome.err

    @pytest.mark.parametrize("command", ["check", "plan", "graph", "fmt"])
    def test_what_has_no_end_is_not_read_for_ever(self, tissu, command):
        outcome = tissu("lang", command, "/dev/zero")
        assert outcome.code == 1
        assert "/dev/zero is longer than 10,000,000 bytes" in outcome.err


class TestExplain:
    def test_a_mistake(self, tissu):
        out = tissu("lang", "explain", "e010").out
        assert out.startswith("E010: a STEP inside a STEP")
        assert "Wrong:" in out
        assert "Right:" in out

    def test_a_command(self, tissu):
        out = tissu("lang", "explain", "read").out
        assert out.startswith("READ <path> AS <into>")

    def test_all(self, tissu):
        out = tissu("lang", "explain").out
        assert "E010" in out
        assert "PROMPT_AGENT" in out

    def test_what_there_is_not(self, tissu):
        outcome = tissu("lang", "explain", "RETYR")
        assert outcome.code == 1
        assert "did you mean RETRY?" in outcome.err


class TestMeaning:
    def test_is_checked_where_the_writing_is_right(self, tissu, tmp_path):
        (tmp_path / "plan.tiss").write_text("LOG x\n")
        assert "error[E101]: the variable `x` is unknown" in tissu("lang", "check", str(tmp_path)).out

    def test_warnings_are_no_failure(self, tissu, tmp_path):
        (tmp_path / "plan.tiss").write_text("@persone 'x'\n")
        outcome = tissu("lang", "check", str(tmp_path))
        assert outcome.code == 0
        assert outcome.err == "1 script: 0 errors, 1 warning\n"

    def test_imported_tasks_are_known(self, tissu, tmp_path):
        (tmp_path / "lib.tiss").write_text('DEFINE_TASK "t" {\n}\n')
        (tmp_path / "plan.tiss").write_text('IMPORT "lib.tiss"\nIMPORT "no.tiss"\nCALL "t"\n')
        assert [line for line in tissu("lang", "check", str(tmp_path)).out.splitlines() if "E1" in line] == [
            f"error[E114]: {tmp_path}/no.tiss cannot be read: No such file or directory"
        ]
