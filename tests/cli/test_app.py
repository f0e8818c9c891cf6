"""The top of the command line: help, version, unknown commands, interruptions."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time

import click
import pytest

from quanta_tissu import __version__
from quanta_tissu.cli.app import COMMANDS, app
from quanta_tissu.cli.compiling import TITLE
from quanta_tissu.cli.failures import EXIT_CODES

HEAVY = {
    "numpy", "numba", "pydantic", "torch", "transformers", "scipy", "tokenizers", "safetensors", "matplotlib",
    "yaml", "rich", "prompt_toolkit", "jaxtyping", "quanta_tissu.tisslm",
}  # fmt: skip


class TestHelp:
    def test_lists_every_command_and_exit_code(self, tissu):
        help_text = tissu("--help").out
        for name, (_, summary) in COMMANDS.items():
            assert f"  {name} " in help_text
            assert summary in help_text
        for code, meaning in EXIT_CODES.items():
            assert f"{code.value:<4} {meaning}" in help_text
        assert "Examples:" in help_text

    def test_is_what_no_arguments_show(self, tissu):
        assert tissu() == tissu("--help")

    def test_imports_nothing_heavy(self):
        lines = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", "quanta_tissu", "--help"],
            capture_output=True, text=True, check=True,
        ).stderr.splitlines()  # fmt: skip
        imported = {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}
        assert "click" in imported, "the list of imports was understood"
        assert not HEAVY & imported

    def test_answers_in_less_than_0_3_seconds(self):
        seconds = []
        for _ in range(3):
            # Processor time, which is what it takes on a machine that does nothing else.
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([sys.executable, "-m", "quanta_tissu", "--help"], capture_output=True, check=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        assert 0 < min(seconds) < 0.3

    @pytest.mark.parametrize("name", COMMANDS)
    def test_the_summary_of_a_command_is_its_own(self, name):
        command = app.get_command(click.Context(app), name)
        assert command.name == name
        assert command.get_short_help_str(limit=200) == COMMANDS[name][1]

    @pytest.mark.parametrize("name", COMMANDS)
    def test_every_command_and_option_explains_itself_with_examples(self, name):
        command = app.get_command(click.Context(app), name)
        leaves = list(command.commands.values()) if isinstance(command, click.Group) else [command]
        for leaf in leaves:
            text = leaf.get_help(click.Context(leaf, info_name=leaf.name))
            assert "Example" in text, f"{name} {leaf.name} shows no example"
            for parameter in leaf.params:
                assert isinstance(parameter, click.Argument) or parameter.help, f"{name} {parameter.name}"


def test_version_names_everything_that_changes_numbers(tissu):
    line = tissu("--version").out
    assert line.startswith(f"tissu {__version__} (Python {sys.version.split()[0]}, NumPy ")
    assert "blas" in line.lower()
    assert "engine" in line


class TestMistakes:
    def test_a_misspelled_command_gets_a_suggestion(self, tissu):
        outcome = tissu("docter")
        assert outcome.code == 2
        assert "there is no command 'docter'; did you mean 'doctor'?" in outcome.err
        assert outcome.out == ""

    def test_a_command_like_no_other_gets_the_list(self, tissu):
        assert "commands: init, doctor, train" in tissu("xyzzy").err

    def test_an_unknown_option_points_to_the_help(self, tissu):
        outcome = tissu("doctor", "--xyzzy")
        assert outcome.code == 2
        assert "--xyzzy" in outcome.err
        assert "`tissu doctor --help`" in outcome.err

    def test_an_unknown_option_of_the_program_itself(self, tissu):
        assert tissu("--xyzzy").code == 2

    def test_a_missing_argument_is_named(self, tissu):
        outcome = tissu("init")
        assert outcome.code == 2
        assert "DIR" in outcome.err


class TestEndings:
    @pytest.mark.parametrize(
        "args", [("--help",), ("doctor", "--json"), ("doctor",), ("gradcheck", "--op", "add")]
    )
    def test_a_reader_that_goes_away_ends_it_silently(self, tissu_process, args):
        process = tissu_process(*args)
        process.stdout.close()
        assert process.stderr.read() in ("", f"{TITLE} …\n")  # that it compiles is said if the cache is empty
        assert process.wait() == 141

    @pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
    def test_a_stream_that_is_closed_is_no_error(self, closed):
        command = f"{sys.executable} -m quanta_tissu lang explain RUN {closed}"
        done = subprocess.run(command, shell=True, capture_output=True, text=True)
        assert done.returncode == 0
        assert done.stderr == ""
        assert (done.stdout == "") == (">&-" in closed.split())

    def test_ctrl_c_has_its_own_exit_code(self, tissu_process, tmp_path):
        process = tissu_process("doctor")  # takes a second; no way to know how far it is
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
        # Python ends by the signal itself if it came while a generated function (a dataclass's) was being made;
        # to a shell both are 130.
        assert process.returncode in {130, -signal.SIGINT}
        assert "Traceback" not in err

    def test_output_that_the_terminal_cannot_show_does_not_end_it(self, tissu_process, tmp_path):
        environ = {**os.environ, "PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "0"}
        process = tissu_process("init", "pr漢ject", cwd=tmp_path, env=environ)
        out, err = process.communicate()
        assert (process.returncode, err) == (0, "")
        assert "pr?ject" in out

    def test_completion_offers_commands(self, tissu_process):
        environ = {**os.environ, "_TISSU_COMPLETE": "bash_complete", "COMP_WORDS": "tissu do", "COMP_CWORD": "1"}
        out, _ = tissu_process(env=environ).communicate()
        assert out.split() == ["plain,doctor"]
