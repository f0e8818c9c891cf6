"""What bubblewrap is told: always all of its walls, and nothing of the machine but what is needed."""

from __future__ import annotations

import itertools
import os

import pytest

from quanta_tissu.tisslang.sandbox import bubblewrap, layout
from quanta_tissu.tisslang.sandbox.policy import Limits

WALLS = ["--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent", "--new-session", "--clearenv"]


def told(root, *, network=False, readable=(), environment=None):
    options, files = bubblewrap.arguments(
        root=str(root),
        seen_as=str(root),
        readable=list(readable),
        network=network,
        limits=Limits(temporary=12345),
        environment=environment or {},
    )
    return options, files


def mounts(options):
    """Each mount with its kind, source and place, in their order."""
    kinds = {"--bind", "--ro-bind", "--ro-bind-try"}
    return [tuple(options[n : n + 3]) for n, one in enumerate(options) if one in kinds]


@pytest.mark.parametrize("network", [False, True])
def test_every_wall_always_stands(tmp_path, network):
    options, _ = told(tmp_path, network=network)
    assert set(WALLS) <= set(options)
    assert ("--cap-drop", "ALL") in itertools.pairwise(options)
    assert ("--remount-ro", "/") in itertools.pairwise(options)
    assert "--cap-add" not in options
    assert ("--share-net" in options) is network
    assert not {one for one in options if one.startswith("--dev-bind")}


@pytest.mark.parametrize("network", [False, True])
def test_the_machine_is_not_shown_and_only_the_project_can_be_written(tmp_path, network):
    options, _ = told(tmp_path, network=network, readable=["/opt"])
    shown = mounts(options)
    assert all(source != "/" and place != "/" for _, source, place in shown)
    assert [one for one in shown if one[0] == "--bind"] == [("--bind", str(tmp_path), str(tmp_path))]
    known = {*layout.SYSTEM, *layout.MERGED, *layout.SETTINGS, *layout.NETWORK_SETTINGS, "/opt", str(tmp_path)}
    assert {place for _, _, place in shown} <= known
    for secret in ("/home", "/root", "/etc", "/var", "/run", "/sys", "/dev", "/proc", "/tmp"):
        assert secret not in {source for _, source, _ in shown}


def test_private_folders_are_bounded(tmp_path):
    options, _ = told(tmp_path)
    bounded = [
        options[n + 3] for n, one in enumerate(options) if options[n : n + 3] == ["--size", "12345", "--tmpfs"]
    ]
    assert bounded == ["/dev/shm", "/tmp"]


def test_what_is_deeper_comes_later_so_that_nothing_is_covered(tmp_path):
    inner = tmp_path / "tools"
    inner.mkdir()
    options, _ = told(tmp_path, readable=[str(inner), str(tmp_path.parent)])
    places = [place for _, _, place in mounts(options)]
    assert places.index(str(tmp_path.parent)) < places.index(str(tmp_path)) < places.index(str(inner))


def test_names_are_looked_up_only_with_a_network(tmp_path):
    assert "/etc/hosts" in told(tmp_path)[1]
    options, files = told(tmp_path, network=True)
    assert set(files) == {"/etc/passwd", "/etc/group"}
    assert "/etc/resolv.conf" in {place for _, _, place in mounts(options)}


def test_variables_are_set_one_by_one(tmp_path):
    options, _ = told(tmp_path, environment={"A": "--bind", "B": "two\nlines"})
    at = options.index("--setenv")
    assert options[at : at + 6] == ["--setenv", "A", "--bind", "--setenv", "B", "two\nlines"]


class TestProtection:
    def test_of_a_repository_what_makes_git_run_programs_is_read_only(self, tmp_path):
        for folder in (".git/hooks", ".git/modules/a/hooks", ".tissu"):
            (tmp_path / folder).mkdir(parents=True)
        for file in (".git/config", ".git/modules/a/config", ".git/index"):
            (tmp_path / file).touch()
        shown = mounts(told(tmp_path)[0])
        kept = {os.path.relpath(place, tmp_path) for kind, _, place in shown if kind == "--ro-bind"}
        assert {".git/hooks", ".git/config", ".git/modules/a/hooks", ".git/modules/a/config", ".tissu"} <= kept
        assert ".git/index" not in kept
        # It can be written, but not be moved away, because something is mounted there.
        assert ("--bind", f"{tmp_path}/.git", f"{tmp_path}/.git") in shown

    def test_of_a_work_tree_the_file_that_says_where_the_repository_is(self, tmp_path):
        (tmp_path / ".git").write_text("gitdir: ../main/.git/worktrees/one\n")
        assert ("--ro-bind", f"{tmp_path}/.git", f"{tmp_path}/.git") in mounts(told(tmp_path)[0])

    def test_nothing_is_made_in_a_project_for_it(self, tmp_path):
        told(tmp_path)
        assert list(tmp_path.iterdir()) == []
