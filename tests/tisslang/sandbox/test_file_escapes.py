"""No attempt to leave the project, or to write what is protected, succeeds through file commands or transactions.

The attempts are functions in path_escapes.py, race_escapes.py and transaction_escapes.py, whose names say what
they try. Each runs by both ways of finding folders, and where the tests run as root also as an ordinary user: this
file is a program, too, that gives up its rights and makes all attempts (`python test_file_escapes.py FOLDER`).
After each, all that lies outside of the project is as it was, and its secret was not read.
"""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quanta_tissu.errors import FileMissingError, FileRefusedError
from quanta_tissu.tisslang.sandbox import beneath

sys.path.insert(0, str(Path(__file__).parent))

import path_escapes  # noqa: F401
import race_escapes  # noqa: F401
import transaction_escapes  # noqa: F401
from escaping import ATTEMPTS, Area

NOBODY = 65534

RESOLVERS = {"openat2": beneath.Kernel, "walk": beneath.Walk}


USERS = ["this user"]
if os.geteuid() == 0:
    USERS.append(pytest.param("nobody", marks=pytest.mark.slow))


@pytest.fixture(scope="module")
def as_nobody():
    """What became of every attempt in a process that has given up the rights of root, by name and resolver."""
    with tempfile.TemporaryDirectory() as folder:
        os.chown(folder, NOBODY, NOBODY)
        found = subprocess.run([sys.executable, __file__, folder], capture_output=True, text=True, check=False)
        assert found.returncode == 0, found.stderr
        return json.loads(found.stdout)


@pytest.mark.parametrize("resolver", RESOLVERS)
@pytest.mark.parametrize("name", ATTEMPTS)
@pytest.mark.parametrize("user", USERS)
def test_nothing_outside_is_touched(user, name, resolver, tmp_path, request):
    if user == "nobody":
        assert request.getfixturevalue("as_nobody")[f"{name} {resolver}"] is None
    else:
        Area(tmp_path, RESOLVERS[resolver]()).run(name)


def main():
    """Make every attempt as an ordinary user; print what went wrong with each."""
    folder = Path(sys.argv[1])
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    found = {}
    for name in ATTEMPTS:
        for resolver in RESOLVERS:
            place = folder / f"{name} {resolver}"
            place.mkdir()
            try:
                Area(place, RESOLVERS[resolver]()).run(name)
                found[place.name] = None
            except BaseException as error:
                found[place.name] = repr(error)
    print(json.dumps(found))


# Any text at all

TEXTS = st.one_of(
    st.text(),
    st.lists(
        st.sampled_from(
            [
                "..",
                ".",
                "",
                "a",
                "src",
                "out",
                "in",
                "secret",
                ".git",
                "hooks",
                ".tissu",
                "\0",
                "~",
                "é",
                "x" * 300,
            ]
        )
    ).map("/".join),
    st.builds("{}{}".format, st.sampled_from(["../outside/", "/", "out/", "in/", "src/../"]), st.text(max_size=5)),
)


@pytest.mark.parametrize("resolver", RESOLVERS)
def test_no_text_leads_outside(resolver, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # it is not the disk that is tested
    area = Area(tmp_path, RESOLVERS[resolver]())
    (area.root / "out").symlink_to("../outside")
    (area.root / "in").symlink_to("src")

    # What one text leaves in the project, another may run into.
    @given(path=TEXTS, data=st.binary(max_size=5))
    @settings(max_examples=250)
    def nothing_is_touched(path, data):
        with suppress(FileRefusedError, FileMissingError):
            area.files.write(path, data)
            assert area.read(path) == data
        area.tries_all(path)
        assert not (area.root / ".tissu").exists()
        assert area.picture() == area.before

    nothing_is_touched()
    area.check()


# That the attempts could succeed


class ByText:
    """A way of finding that trusts the text of a path, as most programs do."""

    def folder(self, root, names):
        return beneath.Folder(os.open("/".join(names) or ".", beneath.HOLD, dir_fd=root), names)

    def target(self, root, names):
        project = os.readlink(f"/proc/self/fd/{root}")
        end = os.path.realpath(os.path.join(project, *names))
        return tuple(os.path.relpath(end, project).split("/"))


class Checked(ByText):
    """A way that looks where a path leads before it trusts its text."""

    def folder(self, root, names):
        if names and self.target(root, names)[0] == "..":
            raise OSError(errno.EXDEV, "leads outside")
        return super().folder(root, names)

    def target(self, root, names):
        names = super().target(root, names)
        if names[0] == "..":
            raise OSError(errno.EXDEV, "leads outside")
        return names


def succeeds(name, way, folder):
    folder.mkdir()
    try:
        Area(folder, way).run(name)
    except (AssertionError, pytest.fail.Exception):
        return True
    return False


@pytest.mark.parametrize(
    "name",
    [
        "a_link_to_a_file_outside",
        "a_link_to_a_folder_outside",
        "a_link_to_nowhere_outside_that_a_write_would_fill",
        "a_link_that_goes_up_behind_a_link",
        "magic_links_of_a_project_in_proc",
        "hooks_of_git_through_links_inside",
        "the_journal",
    ],
)
def test_who_trusts_the_text_of_a_path_does_not_withstand(name, tmp_path):
    assert succeeds(name, ByText(), tmp_path / "area")


def test_who_checks_a_path_and_then_opens_it_loses_the_race(tmp_path):
    name = "a_folder_that_becomes_the_hooks_while_it_is_used"
    assert any(succeeds(name, Checked(), tmp_path / str(number)) for number in range(10))


if __name__ == "__main__":
    main()
