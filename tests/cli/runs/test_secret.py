"""`tissu secret`: values are typed or piped, and never shown."""

from __future__ import annotations

import io
import os
import pty
import sys
import termios
import time

import pytest


@pytest.fixture
def piped(tissu, monkeypatch, tmp_path):
    """Run a command line with something on its standard input, for a user without secrets."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.delenv("TISSU_SECRETS_PASSPHRASE", raising=False)

    def call(*args: str, given: str | bytes = ""):
        data = given if isinstance(given, bytes) else given.encode()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))
        return tissu(*args)

    return call


def test_a_secret_is_read_from_standard_input(piped, tmp_path):
    path = tmp_path / "data" / "tissu" / "secrets"
    assert piped("secret", "set", "TOKEN", given="hunter22\n").err == f"kept TOKEN in {path}\n"
    assert path.stat().st_mode & 0o777 == 0o600
    outcome = piped("secret", "list")
    assert outcome.out == "TOKEN\tfile\n"
    assert piped("secret", "remove", "TOKEN").code == 0
    assert piped("secret", "list").out == ""


def test_only_the_last_end_of_line_is_no_part_of_it(piped, tmp_path):
    piped("secret", "set", "KEY", given="line one\nline two\n\n")
    assert '"line one\\nline two\\n"' in (tmp_path / "data" / "tissu" / "secrets").read_text()


def test_it_is_never_an_argument(piped):
    outcome = piped("secret", "set", "TOKEN", "hunter22")
    assert outcome.code == 2
    assert piped("secret", "list").out == ""


def test_mistakes(piped):
    assert "cannot be the name of a secret" in piped("secret", "set", "token", given="hunter22").err
    assert "the value of TOKEN is 3 characters long" in piped("secret", "set", "TOKEN", given="abc").err
    assert "no secret TOKEN is kept" in piped("secret", "remove", "TOKEN").err
    assert "there is no passphrase" in piped("secret", "encrypt").err


def test_variables_are_listed_without_their_values(piped, monkeypatch):
    monkeypatch.setenv("TISSU_SECRET_OTHER", "correct horse")
    outcome = piped("secret", "list")
    assert outcome.out == "OTHER\tenvironment\n"


def test_a_file_is_encrypted_and_opened_with_the_passphrase(piped, monkeypatch, tmp_path):
    piped("secret", "set", "TOKEN", given="hunter22")
    monkeypatch.setenv("TISSU_SECRETS_PASSPHRASE", "open sesame")
    assert "is encrypted" in piped("secret", "encrypt").err
    assert piped("secret", "list").out == "TOKEN\tfile\n"
    assert b"hunter22" not in (tmp_path / "data" / "tissu" / "secrets").read_bytes()
    monkeypatch.delenv("TISSU_SECRETS_PASSPHRASE")
    assert "there is no passphrase" in piped("secret", "list").err


class Terminal:
    """`tissu` in a terminal, with what is typed when it asks."""

    def __init__(self, folder) -> None:
        self.environment = os.environ | {"XDG_DATA_HOME": str(folder), "TISSU_SECRETS_PASSPHRASE": ""}

    def __call__(self, *args: str, typed: list[str]) -> str:
        pid, terminal = pty.fork()
        if pid == 0:
            os.execve(sys.executable, [sys.executable, "-m", "quanta_tissu", *args], self.environment)
        shown, asked = b"", 0
        while True:
            try:
                shown += os.read(terminal, 1000)
            except OSError:
                break
            if shown.count(b": ") > asked and asked < len(typed):
                while termios.tcgetattr(terminal)[3] & termios.ECHO:  # what was typed before is thrown away
                    time.sleep(0.01)
                os.write(terminal, typed[asked].encode() + b"\n")
                asked += 1
        os.waitpid(pid, 0)
        os.close(terminal)
        return shown.decode()


def test_in_a_terminal_values_and_passphrases_are_asked_for_and_not_shown(tmp_path):
    terminal = Terminal(tmp_path)
    shown = terminal("secret", "set", "TOKEN", typed=["hunter22"])
    assert "value of TOKEN: " in shown
    assert "hunter22" not in shown
    shown = terminal("secret", "encrypt", typed=["open sesame", "open sesame"])
    assert "sesame" not in shown
    assert b"hunter22" not in (tmp_path / "tissu" / "secrets").read_bytes()
    assert "TOKEN\tfile" in terminal("secret", "list", typed=["open sesame"]).replace("  ", "\t")


@pytest.mark.parametrize("value", [b"\xff\xfe\xfa\xfb\xfc\xfd", b"long\0enough"])
def test_what_is_no_text_could_not_be_hidden_and_is_not_kept(piped, value):
    outcome = piped("secret", "set", "TOKEN", given=value)
    assert outcome.code == 1
    assert "the value of TOKEN is no text" in outcome.err
    assert "base64 -w0 FILE | tissu secret set NAME" in outcome.err
    assert piped("secret", "list").out == ""
