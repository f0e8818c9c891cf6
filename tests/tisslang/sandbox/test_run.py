"""Commands in the sandbox: what comes of them, and that nothing else does."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from quanta_tissu.errors import SandboxError
from quanta_tissu.tisslang.sandbox import layout, probe
from quanta_tissu.tisslang.sandbox import run as running
from quanta_tissu.tisslang.sandbox.policy import Level, Limits, Policy
from quanta_tissu.tisslang.sandbox.run import run

NONE, LANDLOCK, BWRAP = Level.NONE, Level.LANDLOCK, Level.BWRAP
pytestmark = pytest.mark.usefixtures("every_level")
KEPT_IN = pytest.mark.parametrize("level", [LANDLOCK, BWRAP])


@pytest.fixture(params=[NONE, LANDLOCK, BWRAP])
def level(request):
    return request.param


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


def do(command, project, level, *, timeout=60.0, variables=None, on_output=None, cancelled=None, **policy):
    limits = Limits(**{"free_disk": 0, **policy.pop("limits", {})})
    return run(
        command,
        root=project,
        policy=Policy(level=level, limits=limits, **policy),
        timeout=timeout,
        variables=variables,
        on_output=on_output,
        cancelled=cancelled,
    )


class TestResults:
    def test_what_it_writes_and_how_it_ends(self, project, level):
        came = do("echo out; echo err >&2; exit 3", project, level)
        assert (came.exit_code, came.stdout, came.stderr) == (3, b"out\n", b"err\n")
        assert (came.ended_by, came.truncated) == (None, False)
        assert 0 < came.seconds < 30

    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
    def test_a_signal_is_128_and_its_number(self, project, level, number):
        assert do(f"kill -{int(number)} $$", project, level).exit_code == 128 + number

    def test_a_pipe_that_nobody_reads_any_more_ends_its_writer(self, project, level):
        came = do("yes | head -n 1; seq 1000000 | head -n 1", project, level)
        assert (came.stdout, came.stderr) == (b"y\n1\n", b"")

    def test_an_unknown_program_is_a_result_like_any_other(self, project, level):
        came = do("no-such-program", project, level)
        assert came.exit_code == 127
        assert b"not found" in came.stderr

    def test_it_works_in_the_project_and_its_files_stay(self, project, level):
        (project / "before.txt").write_text("before")
        came = do("pwd; cat before.txt; mkdir made; echo new > made/after.txt; rm before.txt", project, level)
        assert came.stdout == f"{project}\nbefore".encode()
        assert (project / "made" / "after.txt").read_text() == "new\n"
        assert not (project / "before.txt").exists()
        assert (project / "made" / "after.txt").stat().st_uid == project.stat().st_uid

    def test_it_has_nothing_to_read_from(self, project, level):
        assert do("cat; echo done", project, level).stdout == b"done\n"

    def test_it_has_a_temporary_folder_that_is_gone_afterwards(self, project, level):
        came = do('echo x > "$TMPDIR/t" && cat "$TMPDIR/t"; echo y > "$HOME/h" && cat "$HOME/h"', project, level)
        assert came.stdout == b"x\ny\n"
        came = do('ls "$TMPDIR" "$HOME"; echo "$TMPDIR"', project, level)
        assert b"t\n" not in came.stdout.splitlines()
        if level is not BWRAP:
            assert not Path(came.stdout.splitlines()[-1].decode()).exists()

    def test_python_and_pipes_and_git_work(self, project, level):
        came = do("python3 -c 'print(6 * 7)' | sed s/4/four/; git init -q sub && ls -d sub/.git", project, level)
        assert came.stdout == b"four2\nsub/.git\n", came

    def test_a_folder_with_an_odd_name(self, tmp_path, level):
        folder = tmp_path / "a 'b\" $c\\ é\n—"
        folder.mkdir()
        came = do("touch here; pwd", folder, level)
        assert came.exit_code == 0, came
        assert (folder / "here").exists()

    def test_a_link_to_a_project_is_the_project(self, project, level, tmp_path):
        (tmp_path / "link").symlink_to(project)
        do("touch here", tmp_path / "link", level)
        assert (project / "here").exists()


class TestOutput:
    def test_of_too_much_the_beginning_and_the_end_are_kept(self, project, level):
        came = do("seq 1 200000; echo short >&2", project, level, limits={"output": 1000})
        assert came.truncated
        assert came.stdout.startswith(b"1\n2\n3\n")
        assert came.stdout.endswith(b"199999\n200000\n")
        whole = sum(len(str(n)) + 1 for n in range(1, 200001))
        assert f"\n… {whole - 1000:,} bytes are left out …\n".encode() in came.stdout
        assert came.stderr == b"short\n"

    def test_what_just_fits_is_kept_whole(self, project):
        came = do("head -c 1000 /dev/zero", project, NONE, limits={"output": 1000})
        assert (came.stdout, came.truncated) == (bytes(1000), False)

    def test_it_comes_as_it_is_written(self, project, level):
        heard = []
        came = do(
            "echo one; sleep 1; echo two >&2; sleep 1; echo three",
            project,
            level,
            on_output=lambda stream, piece: heard.append((stream, piece, time.monotonic())),
        )
        assert [(stream, piece) for stream, piece, _ in heard] == [
            ("stdout", b"one\n"),
            ("stderr", b"two\n"),
            ("stdout", b"three\n"),
        ]
        assert heard[1][2] - heard[0][2] > 0.5 < heard[2][2] - heard[1][2]
        assert came.exit_code == 0

    def test_an_error_of_the_listener_ends_the_command_and_is_raised(self, project, level):
        def listen(stream, piece):
            raise RuntimeError("no room")

        began = time.monotonic()
        with pytest.raises(RuntimeError, match="no room"):
            do("echo x; sleep 60; echo y", project, level, on_output=listen)
        assert time.monotonic() - began < 30

    def test_a_flood_ends_it(self, project, level):
        came = do("yes", project, level, limits={"flood": 1 << 20, "output": 1000})
        assert (came.ended_by, came.exit_code, came.truncated) == ("output", 137, True)


class TestEnds:
    def test_a_timeout_ends_the_whole_tree(self, project, level):
        came = do("(sleep 61.25; touch late) & setsid sleep 61.25 & sleep 61.25", project, level, timeout=1)
        assert (came.ended_by, came.exit_code) == ("timeout", 137)
        assert came.seconds < 30
        assert not left("61.25")

    def test_cancelling_ends_it(self, project, level):
        cancelled = threading.Event()
        came = do(
            "echo begun; sleep 60",
            project,
            level,
            timeout=None,
            cancelled=cancelled,
            on_output=lambda *_: cancelled.set(),
        )
        assert (came.ended_by, came.stdout, came.exit_code) == ("cancelled", b"begun\n", 137)

    def test_one_that_was_cancelled_before_is_ended_at_once(self, project):
        cancelled = threading.Event()
        cancelled.set()
        assert do("sleep 60", project, NONE, cancelled=cancelled).ended_by == "cancelled"

    def test_the_end_of_the_shell_is_the_end_of_everything(self, project, level):
        came = do("sleep 62.25 & setsid sleep 62.25 & echo done", project, level)
        assert (came.exit_code, came.stdout, came.ended_by) == (0, b"done\n", None)
        assert not left("62.25")

    def test_ignoring_signals_does_not_help(self, project, level):
        came = do("trap '' TERM INT HUP; while :; do sleep 0.1; done", project, level, timeout=1)
        assert came.ended_by == "timeout"

    def test_a_full_disk_is_prevented(self, project, level):
        free = shutil.disk_usage(project).free
        came = do("sleep 60", project, level, limits={"free_disk": free * 2})
        assert came.ended_by == "disk"

    def test_more_memory_than_allowed_in_one_process_is_refused(self, project, level):
        came = do("python3 -c 'bytearray(900 << 20)'", project, level, limits={"memory": 400 << 20})
        assert came.exit_code == 1
        assert b"MemoryError" in came.stderr

    def test_more_memory_than_allowed_in_all_processes_together_ends_it(self, project, level):
        command = (
            "for i in 1 2 3 4; do python3 -c 'import time; x = bytearray(120 << 20); time.sleep(60)' & done; wait"
        )
        came = do(command, project, level, limits={"memory": 300 << 20})
        assert (came.ended_by, came.exit_code) == ("memory", 137)

    def test_an_engine_that_is_killed_takes_its_commands_with_it(self, project, level):
        code = (
            "from pathlib import Path\n"
            "from quanta_tissu.tisslang.sandbox.policy import Level, Policy\n"
            "from quanta_tissu.tisslang.sandbox.run import run\n"
            "run('mkdir -p $HOME/a/b; ln -s / $HOME/a/c; setsid sleep 63.25 & echo begun; sleep 63.25',\n"
            f"    root=Path({str(project)!r}),\n"
            f"    policy=Policy(level=Level({level.value!r})), timeout=None,\n"
            "    on_output=lambda *_: print('begun', flush=True))\n"
        )
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as engine:
            assert engine.stdout.readline() == b"begun\n"
            assert soon(lambda: left("63.25"))
            engine.kill()
        assert soon(lambda: not left("63.25") and not private_folders(engine.pid))


class TestTheSandboxItself:
    def test_a_helper_that_is_killed_is_an_error_and_no_result(self, project, level):
        def kill(stream, piece):
            for process in helpers():
                os.kill(process, signal.SIGKILL)

        with pytest.raises(SandboxError, match="helper died") as caught:
            do("sleep 64.25 & sleep 64.25 >/dev/null 2>&1 & echo go; sleep 64.25", project, level, on_output=kill)
        assert "nothing is known" in caught.value.hint
        assert soon(lambda: not left("64.25"))

    def test_missing_bubblewrap_is_an_error_and_never_less(self, project, monkeypatch):
        monkeypatch.setattr(layout, "PATH", str(project))
        probe._offered.cache_clear()
        try:
            for level in (BWRAP, Level.TXN):
                with pytest.raises(SandboxError, match="bwrap is not installed") as caught:
                    do("touch here", project, level)
                assert "apt-get install bubblewrap" in caught.value.hint
        finally:
            monkeypatch.undo()
            probe._offered.cache_clear()
        assert not (project / "here").exists()

    def test_a_bubblewrap_that_stops_to_work_is_an_error(self, project, monkeypatch):
        probe.require(BWRAP)
        monkeypatch.setattr(running.shutil, "which", lambda *_, **__: "/bin/false")
        with pytest.raises(SandboxError, match="the sandbox \\(bwrap\\) failed"):
            do("touch here", project, BWRAP)
        monkeypatch.setattr(running.shutil, "which", lambda *_, **__: "/no/bwrap")
        with pytest.raises(SandboxError, match="No such file"):
            do("touch here", project, BWRAP)
        assert not (project / "here").exists()

    def test_a_python_that_is_gone_is_an_error(self, project, monkeypatch):
        before = descriptors()
        monkeypatch.setattr(sys, "executable", "/no/python")
        with pytest.raises(SandboxError, match="could not be started"):
            do("true", project, NONE)
        assert descriptors() == before

    def test_a_helper_that_cannot_start_is_an_error(self, project, monkeypatch):
        before = descriptors()
        monkeypatch.setattr(running, "_START", "raise SystemExit('no helper')")
        with pytest.raises(SandboxError, match="no helper"):
            do("true" + " " * 200_000, project, NONE)
        assert descriptors() == before

    def test_a_helper_without_its_engine_runs_nothing(self, project, level, monkeypatch):
        plain = running.orders_for
        monkeypatch.setattr(running, "orders_for", lambda *given: {**plain(*given), "engine": 1})
        with pytest.raises(SandboxError, match="the engine is gone"):
            do("touch here", project, level)
        assert not (project / "here").exists()

    def test_a_command_that_is_too_long_is_an_error(self, project, level):
        with pytest.raises(SandboxError, match="Argument list too long"):
            do("true " + "x" * 200_000, project, level)

    @pytest.mark.parametrize("folder", ["/", "/usr", "/etc/ssl", "/tmp", "/proc/self", "/no/such/folder"])
    def test_folders_of_the_system_are_no_projects(self, folder):
        with pytest.raises(SandboxError, match=r"system's|not there"):
            do("true", Path(folder), NONE)

    def test_a_character_0_is_refused(self, project):
        with pytest.raises(SandboxError, match="character 0"):
            do("echo \0", project, NONE)

    def test_threads_run_commands_at_once_and_nothing_is_left(self, project, level):
        do("true", project, level)
        before, children = descriptors(), process_children()
        found = {}

        def one(number):
            found[number] = do(f"sleep 0.1; echo {number}; echo {number} > file{number}", project, level).stdout

        for begin in range(0, 30, 6):
            threads = [threading.Thread(target=one, args=(number,)) for number in range(begin, begin + 6)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert found == {number: f"{number}\n".encode() for number in range(30)}
        assert descriptors() == before
        assert process_children() == children
        assert private_folders(os.getpid()) == []


class TestVariables:
    def test_only_what_is_listed_passes(self, project, level, monkeypatch):
        monkeypatch.setenv("TISSU_SECRET", "s3cret")
        monkeypatch.setenv("TISSU_WANTED", "wanted")
        came = do(
            "env", project, level, environment=("TISSU_WANTED", "TISSU_NOT_THERE"), variables={"MINE": "yes"}
        )
        names = {line.split("=")[0] for line in came.stdout.decode().splitlines()}
        assert names - {"OLDPWD", "_", "SHLVL"} == {
            *("PATH", "HOME", "TMPDIR", "LANG", "USER", "PWD", "TISSU_WANTED", "MINE"),
            *(("GIT_CONFIG_NOSYSTEM",) if level is LANDLOCK else ()),
        }
        assert b"s3cret" not in came.stdout

    @pytest.mark.parametrize(
        "value",
        [
            "",
            "two\nlines\n",
            "'; touch pwned; '",
            '"$(touch pwned)"',
            "`touch pwned`",
            "--help",
            "é—\U0001f600",
            "a=b",
        ],
    )
    def test_values_come_as_they_are(self, project, level, value):
        came = do('printf %s "$HOLE"', project, level, variables={"HOLE": value})
        assert came.stdout == value.encode()
        assert not (project / "pwned").exists()

    def test_a_value_of_100_kb(self, project, level):
        value = "abc\n" * 25_000
        assert do('printf %s "$HOLE"', project, level, variables={"HOLE": value}).stdout == value.encode()

    @pytest.mark.parametrize(("name", "value"), [("", "x"), ("A=B", "x"), ("A\0", "x"), ("A", "x\0y")])
    def test_what_cannot_be_a_variable_is_refused(self, project, name, value):
        with pytest.raises(SandboxError, match="cannot be a variable"):
            do("true", project, NONE, variables={name: value})

    def test_they_do_not_reach_the_helper(self, project, level):
        came = do("echo ok", project, level, variables={"LD_PRELOAD": "/no/such.so", "PYTHONPATH": str(project)})
        assert came.stdout == b"ok\n"


class TestWhatIsGranted:
    @KEPT_IN
    def test_the_network_works_where_it_is_granted(self, project, level):
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            code = f"import socket; print(socket.create_connection(('127.0.0.1', {port}), 5).recv(9))"
            threading.Thread(target=lambda: server.accept()[0].sendall(b"hello"), daemon=True).start()
            came = do(f'python3 -c "{code}"', project, level, network=True)
            assert came.stdout == b"b'hello'\n", came
            refused = do(f'python3 -c "{code}"', project, level)
        assert refused.exit_code != 0
        assert b"hello" not in refused.stdout

    @KEPT_IN
    def test_it_grants_no_sockets_of_the_machines_own_services(self, project, level, tmp_path):
        code = "import socket; socket.socket(socket.AF_UNIX)"
        came = do(f'python3 -c "{code}"', project, level, network=True)
        assert b"PermissionError" in came.stderr

    @KEPT_IN
    def test_a_folder_that_is_readable_is_only_that(self, project, level, tmp_path):
        other = tmp_path / "other"
        other.mkdir()
        (other / "tool").write_text("#!/bin/sh\necho tool\n")
        (other / "tool").chmod(0o755)
        assert do(f"{other}/tool", project, level).exit_code in (126, 127)
        came = do(f"{other}/tool; echo x > {other}/new", project, level, readable=(other,))
        assert came.stdout == b"tool\n"
        assert list(other.iterdir()) == [other / "tool"]

    @KEPT_IN
    def test_a_virtual_environment_inside_of_the_project_works(self, project, level):
        command = "python3 -m venv --without-pip .venv && .venv/bin/python -c 'import sys; print(sys.prefix)'"
        made = do(command, project, level)
        assert made.stdout == f"{project}/.venv\n".encode(), made

    @pytest.mark.parametrize("path", ["/", "/proc", "/proc/1", "/sys/kernel", "/dev/shm", "/no/such"])
    def test_what_shows_everything_cannot_be_readable(self, project, path):
        with pytest.raises(SandboxError, match="readable"):
            do("true", project, LANDLOCK, readable=(Path(path),))


class TestWhatGitRuns:
    """Places in which git finds programs, and over which nothing can be mounted because they are not there."""

    @pytest.mark.parametrize(
        "command",
        [
            "mkdir .git/hooks; touch .git/hooks/pre-commit",
            "echo ../evil > .git/commondir",
            "touch .git/config.worktree",
        ],
    )
    def test_what_a_command_makes_there_is_undone_and_an_error(self, project, command):
        (project / ".git").mkdir()
        (project / ".git" / "config").touch()
        with pytest.raises(SandboxError, match=r"made or replaced \.git/.*undone"):
            do(command, project, BWRAP)
        here = {path.name for path in (project / ".git").iterdir()}
        assert not here & {"hooks", "commondir", "config.worktree"}
        assert [name for name in here if name.endswith(".undone-1")]

    def test_a_link_is_put_back(self, project):
        (project / ".git").mkdir()
        (project / ".git" / "config").touch()
        (project / ".git" / "hooks").symlink_to("/elsewhere")
        with pytest.raises(SandboxError, match=r"made or replaced \.git/hooks,"):
            do("rm .git/hooks; mkdir .git/hooks", project, BWRAP)
        assert os.readlink(project / ".git" / "hooks") == "/elsewhere"

    def test_git_itself_works_there(self, project):
        do("git init -q . && touch a && git add a", project, BWRAP)
        came = do("git -c user.name=a -c user.email=b commit -qm c && git log --format=%s", project, BWRAP)
        assert came.stdout == b"c\n", came


class TestWhoItIs:
    def test_without_a_sandbox_it_is_who_the_engine_is(self, project):
        assert do("id -u", project, NONE).stdout == f"{os.geteuid()}\n".encode()

    @KEPT_IN
    def test_it_is_never_root(self, project, level):
        assert do("id -u; id -g; id -G", project, level).stdout.split().count(b"0") == 0

    if os.geteuid() == 0:  # only root can work for others

        @KEPT_IN
        def test_a_project_of_another_user_is_worked_on_as_that_user(self, project, level):
            os.chown(project, 4321, 8765)
            came = do("touch mine; id -u", project, level)
            assert came.exit_code == 0, came
            status = (project / "mine").stat()
            assert (status.st_uid, status.st_gid) == (4321, 8765)
            (project / "roots").write_text("root's")
            (project / "roots").chmod(0o600)
            assert do("cat roots", project, level).exit_code != 0

        @KEPT_IN
        def test_in_a_project_of_roots_files_stay_roots(self, project, level):
            (project / "private").write_text("x")
            (project / "private").chmod(0o600)
            assert do("cat private; echo y > private; touch new", project, level).stdout == b"x"
            assert {path.stat().st_uid for path in project.iterdir()} == {0}


def left(mark):
    """Whether a process with these words in its command line is running."""
    return [line for line in _arguments() if f"sleep\0{mark}" in line[1]]


def helpers():
    """Helpers that this process has started."""
    found = []
    for process, arguments in _arguments():
        if "sandbox.child" in arguments and _parent(process) == os.getpid():
            found.append(process)
    return found


def private_folders(engine):
    return list(Path(tempfile.gettempdir()).glob(f"tissu-command-{engine}-*"))


def process_children():
    return [process for process, _ in _arguments() if _parent(process) == os.getpid()]


def descriptors():
    return sorted(os.listdir("/proc/self/fd"))


def _arguments():
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                yield int(name), Path(f"/proc/{name}/cmdline").read_text(errors="replace")
            except OSError:
                continue


def _parent(process):
    try:
        return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None


def soon(holds):
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.05)
    return False
