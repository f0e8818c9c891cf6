"""Giving up root: who a command runs as, and what it then reaches.

What needs root runs in processes of their own; where the tests do not run as root there is nothing to give up, and
only what needs none is tested.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap

import pytest

from quanta_tissu.tisslang.sandbox import identity
from quanta_tissu.tisslang.sandbox.identity import NOBODY, identity_for


def as_identity(project, needed, code):
    """What a process prints as JSON after it has become the user of a project."""
    begin = (
        "import json, os, sys\n"
        "from quanta_tissu.tisslang.sandbox import identity\n"
        "def attempt(call, *arguments):\n"
        "    try: return call(*arguments)\n"
        "    except OSError as error: return type(error).__name__\n"
        f"project, needed = {str(project)!r}, {[str(one) for one in needed]!r}\n"
        "who = identity.identity_for(project)\n"
        "identity.drop_bounding_set()\n"
        "identity.become(who, project, needed)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", begin + textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


if os.geteuid() == 0:

    def test_a_project_of_roots_is_nobodys_and_translated(tmp_path):
        assert identity_for(str(tmp_path)) == (NOBODY, NOBODY, (0, 0))

    def test_a_project_of_another_is_theirs(tmp_path):
        os.chown(tmp_path, 4321, 8765)
        assert identity_for(str(tmp_path)) == (4321, 8765, None)

    def test_the_group_of_root_is_never_given(tmp_path):
        os.chown(tmp_path, 4321, 0)
        assert identity_for(str(tmp_path)) == (4321, 4321, None)

    def test_nothing_of_root_is_left_and_nothing_comes_back(tmp_path):
        found = as_identity(
            tmp_path,
            [],
            """
            sets = ("CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb")
            status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines())
            print(json.dumps({
                "ids": [os.getresuid(), os.getresgid(), os.getgroups()],
                "capabilities": [int(status[name], 16) for name in sets],
                "back": [attempt(os.setuid, 0), attempt(os.setgid, 0), attempt(os.setgroups, [0])],
            }))
            """,
        )
        assert found["ids"] == [[NOBODY] * 3, [NOBODY] * 3, []]
        assert found["capabilities"] == [0] * 5
        assert found["back"] == ["PermissionError"] * 3

    def test_files_of_a_translated_project_are_nobodys_there_and_roots_on_the_disk(tmp_path):
        (tmp_path / "old").write_text("old")
        (tmp_path / "old").chmod(0o600)
        owner = as_identity(
            tmp_path,
            [],
            """
            os.chdir(project)
            open("new", "w").close()
            open("old", "a").write("er")
            print(json.dumps([os.stat("old").st_uid, os.stat("new").st_uid]))
            """,
        )
        assert owner == [NOBODY, NOBODY]
        assert (tmp_path / "old").read_text() == "older"
        assert {path.stat().st_uid for path in tmp_path.iterdir()} == {0}

    def test_a_folder_that_may_not_be_passed_shows_only_what_is_needed(tmp_path):
        closed = tmp_path / "closed"
        for name in ("project", "tools", "secret"):
            (closed / name).mkdir(parents=True)
        (closed / "tools" / "tool").write_text("tool")
        (closed / "one-file").write_text("one")
        closed.chmod(0o700)
        tmp_path.chmod(0o755)
        for above in list(tmp_path.parents)[:2]:
            above.chmod(0o711)
        found = as_identity(
            closed / "project",
            [closed / "tools", closed / "one-file"],
            """
            above = os.path.dirname(project)
            print(json.dumps([
                sorted(os.listdir(above)),
                open(needed[0] + "/tool").read(),
                open(needed[1]).read(),
                attempt(open, needed[0] + "/new", "w"),
                attempt(os.mkdir, above + "/new"),
                attempt(os.mkdir, project + "/new"),
            ]))
            """,
        )
        assert found == [
            ["one-file", "project", "tools"],
            "tool",
            "one",
            "OSError",
            "PermissionError",
            None,
        ]
        assert sorted(os.listdir(closed)) == ["one-file", "project", "secret", "tools"]
        assert (closed / "project" / "new").stat().st_uid == 0

else:

    def test_what_belongs_to_this_user_stays_so(tmp_path):
        assert identity_for(str(tmp_path)) == (os.getuid(), os.getgid(), None)


@pytest.mark.parametrize(
    ("path", "folder", "below"), [("/a/b", "/a", True), ("/ab", "/a", False), ("/a", "/a", False)]
)
def test_a_path_below_a_folder(path, folder, below):
    assert identity._is_below(path, folder) is below
