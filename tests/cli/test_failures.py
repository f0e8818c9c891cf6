"""Exceptions become messages and exit codes in one place."""

from __future__ import annotations

import errno

import click
import pytest

from quanta_tissu.cli.failures import EXIT_CODES, ExitCode, report
from quanta_tissu.errors import CheckpointError, ConfigError


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.delenv("TISSU_DEBUG", raising=False)


def raised(error: BaseException) -> BaseException:
    """The exception with a traceback, as it arrives."""
    try:
        raise error
    except BaseException as caught:
        return caught


def test_a_users_mistake_shows_message_and_help_without_a_traceback(capsys):
    assert report(raised(ConfigError("n_heads = 3 is odd", hint="choose an even number"))) == ExitCode.USAGE
    captured = capsys.readouterr()
    assert captured.err == "error: n_heads = 3 is odd\n  help: choose an even number\n"
    assert captured.out == ""


def test_what_cannot_be_done_has_exit_code_1(capsys):
    assert report(raised(CheckpointError("no model.safetensors in x"))) == ExitCode.FAILURE
    assert capsys.readouterr().err == "error: no model.safetensors in x\n"


def test_a_system_error_names_the_file(tmp_path, capsys):
    with pytest.raises(FileNotFoundError) as caught:
        (tmp_path / "missing").read_text()
    assert report(caught.value) == ExitCode.FAILURE
    said = capsys.readouterr().err
    error, help = said.splitlines()
    assert error == f"error: No such file or directory: {tmp_path / 'missing'}"
    assert help == "  help: is its name right? `ls` shows what is there"


def test_a_system_error_that_nobody_knows_has_no_made_up_help(capsys):
    assert report(raised(OSError(errno.ENOTUNIQ, "Name not unique"))) == ExitCode.FAILURE
    assert capsys.readouterr().err == "error: Name not unique\n"


def test_running_out_of_memory_has_advice(capsys):
    assert report(raised(MemoryError("cannot allocate 9 TiB"))) == ExitCode.FAILURE
    captured = capsys.readouterr().err
    assert "out of memory: cannot allocate 9 TiB" in captured
    assert "train.batch_size" in captured


@pytest.mark.parametrize("error", [click.Abort(), KeyboardInterrupt()])
def test_an_interruption_is_not_an_error(error, capsys):
    assert report(raised(error)) == ExitCode.INTERRUPTED
    assert "error" not in capsys.readouterr().err


class TestUnexpected:
    def test_a_bug_asks_for_a_report_and_hides_the_traceback(self, capsys):
        assert report(raised(ZeroDivisionError("division by zero"))) == ExitCode.BUG
        captured = capsys.readouterr().err
        assert captured.startswith("error: unexpected ZeroDivisionError: division by zero\n")
        assert "please report it" in captured
        assert "Traceback" not in captured

    @pytest.mark.parametrize("error", [ZeroDivisionError("x"), ConfigError("x"), OSError(28, "No space left")])
    def test_the_traceback_is_shown_on_request(self, error, monkeypatch, capsys):
        monkeypatch.setenv("TISSU_DEBUG", "1")
        report(raised(error))
        assert "Traceback (most recent call last)" in capsys.readouterr().err

    def test_zero_means_no_debugging(self, monkeypatch, capsys):
        monkeypatch.setenv("TISSU_DEBUG", "0")
        report(raised(ZeroDivisionError("x")))
        assert "Traceback" not in capsys.readouterr().err

    def test_the_debug_option_does_the_same(self, tissu, monkeypatch):
        monkeypatch.setenv("TISSU_DEBUG", "")  # restored after the test, which sets it
        assert "Traceback" in tissu("--debug", "init", "x", "--preset", "nope").err


def test_every_exit_code_is_explained():
    assert set(EXIT_CODES) == set(ExitCode)
