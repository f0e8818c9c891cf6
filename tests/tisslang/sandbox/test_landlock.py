"""Landlock: what is not named in the rules cannot be touched; each in a process of its own, as it lasts."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

from quanta_tissu.tisslang.sandbox import landlock


@pytest.fixture(autouse=True)
def works(unavailable):
    if landlock.abi() < landlock.NEEDED_ABI:
        unavailable(f"Landlock is too old here: {landlock.abi()}")


def restricted(rules, code, *, network=False):
    """What a process under these rules prints: `attempt(f)` is "ok" or the name of the error."""
    text = (
        "import os, socket\n"
        "from quanta_tissu.tisslang.sandbox import landlock, system_calls\n"
        "from quanta_tissu.tisslang.sandbox.landlock import *\n"
        "def attempt(call, *arguments):\n"
        "    try: call(*arguments)\n"
        "    except OSError as error: print(type(error).__name__ + str(error.errno), flush=True)\n"
        "    else: print('ok', flush=True)\n"
        "system_calls.process_control(system_calls.NO_NEW_PRIVILEGES, 1)\n"
        f"landlock.restrict({rules!r}, network={network})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", text + textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_what_is_named_can_be_used_and_nothing_else(tmp_path):
    mine, other, read = tmp_path / "mine", tmp_path / "other", tmp_path / "read"
    for folder in (mine, other, read):
        folder.mkdir()
        (folder / "file").write_text("x")
    rules = [(str(mine), landlock.CHANGE | landlock.USE), (str(read), landlock.USE)]
    code = f"""
        attempt(open, "{mine}/file", "w")
        attempt(open, "{mine}/new", "w")
        attempt(os.rename, "{mine}/new", "{mine}/newer")
        attempt(open, "{read}/file")
        attempt(open, "{read}/file", "w")
        attempt(os.truncate, "{read}/file", 0)
        attempt(os.unlink, "{read}/file")
        attempt(open, "{other}/file")
        attempt(os.listdir, "{other}")
        attempt(os.mkdir, "{other}/new")
        attempt(os.symlink, "x", "{other}/link")
        attempt(os.mkfifo, "{other}/pipe")
        attempt(os.rename, "{mine}/file", "{other}/moved")
        attempt(os.link, "{other}/file", "{mine}/linked")
    """
    said = restricted(rules, code)
    assert said[:4] == ["ok"] * 4
    assert set(said[4:]) <= {"PermissionError13", "OSError18"}
    assert len(said) == 14
    assert sorted(os.listdir(other)) == ["file"]
    assert (other / "file").read_text() == (read / "file").read_text() == "x"


def test_a_rule_for_a_file_is_for_that_file(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    code = f"attempt(open, '{tmp_path}/a')\nattempt(open, '{tmp_path}/b')\nattempt(os.listdir, '{tmp_path}')"
    said = restricted([(f"{tmp_path}/a", landlock.USE)], code)
    assert said == ["ok", "PermissionError13", "PermissionError13"]


def test_a_path_that_is_not_there_is_left_out(tmp_path):
    (tmp_path / "file").touch()
    rules = [(f"{tmp_path}/missing", landlock.USE), (f"{tmp_path}/file/below", landlock.USE)]
    assert restricted(rules, f"attempt(open, '{tmp_path}/file')") == ["PermissionError13"]


def test_connections_of_tcp(tmp_path):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code = f"attempt(socket.socket().connect, ('127.0.0.1', {port}))"
        assert restricted([], code) == ["PermissionError13"]
        assert restricted([], code, network=True) == ["ok"]


def test_signals_and_abstract_sockets_stay_inside(tmp_path):
    import socket

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"\0tissu-{tmp_path}")
        server.listen()
        code = f"""
            attempt(os.kill, {os.getpid()}, 0)
            attempt(os.kill, os.getpid(), 0)
            attempt(socket.socket(socket.AF_UNIX).connect, "\\0tissu-{tmp_path}")
        """
        assert restricted([], code) == ["PermissionError1", "ok", "PermissionError1"]


def test_devices_are_not_made(tmp_path):
    rules = [(str(tmp_path), landlock.CHANGE)]
    code = f"import stat\nattempt(os.mknod, '{tmp_path}/disk', stat.S_IFBLK | 0o600, os.makedev(8, 0))"
    assert restricted(rules, code)[0].startswith("PermissionError")


def test_a_kernel_without_it_has_version_0(monkeypatch):
    def missing(*_):
        raise OSError(38, "not implemented")

    monkeypatch.setattr(landlock.system_calls, "call", missing)
    assert landlock.abi() == 0
