"""What users see while kernels are compiled."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from quanta_tissu.cli.app import COMMANDS, app
from quanta_tissu.cli.compiling import TITLE, Compilation, KernelCommand

RUNS_KERNELS = {"train", "evaluate", "generate", "chat", "gradcheck", "inspect", "doctor", "profile"}


def display(terminal):
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=terminal, width=100, color_system=None, soft_wrap=True)
    return Compilation(console), stream


def test_a_log_gets_one_line_however_many_kernels_there_are():
    shown, stream = display(terminal=False)
    for name in ("gelu.forward", "gelu.backward", "rope.rotate"):
        shown(name, None)
        shown(name, 0.5)
    assert stream.getvalue() == f"{TITLE} …\n"
    assert (shown.kernels, shown.seconds) == (3, 1.5)


def test_a_terminal_shows_the_count_and_the_name_and_is_left_clean():
    shown, stream = display(terminal=True)
    shown("attention.forward", None)
    shown("gemm.tile", None)  # which attention calls
    shown("gemm.tile", 1.0)
    assert "0 done in 0 s, now attention.forward" in stream.getvalue()
    shown._live.refresh()
    assert "1 done" in stream.getvalue()
    shown("attention.forward", 1.0)
    assert stream.getvalue().endswith("\x1b[2K")  # the line is erased
    shown("gelu.forward", None)
    assert "2 done" in stream.getvalue()
    shown("gelu.forward", 0.1)
    assert shown.kernels == 3


def test_nothing_is_shown_when_nothing_is_compiled(tissu):
    tissu("gradcheck", "--op", "gelu", "--json")
    assert TITLE not in tissu("gradcheck", "--op", "gelu", "--json").err


@pytest.mark.parametrize("name", sorted(RUNS_KERNELS & set(COMMANDS)))
def test_every_command_that_runs_kernels_shows_them(name):
    assert isinstance(app.get_command(None, name), KernelCommand)


def test_the_result_on_standard_output_stays_alone(tissu_process, tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    out, err = tissu_process("gradcheck", "--op", "gelu", "--json").communicate()
    assert json.loads(out)["passed"]
    assert err == f"{TITLE} …\n"
