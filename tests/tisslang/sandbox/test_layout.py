"""What of the system a command sees, and which folders can be projects."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from quanta_tissu.errors import SandboxError
from quanta_tissu.tisslang.sandbox import layout


class TestProjects:
    def test_the_real_path_of_a_folder(self, tmp_path):
        (tmp_path / "real").mkdir()
        (tmp_path / "link").symlink_to("real")
        assert layout.project_root(tmp_path / "link") == f"{tmp_path}/real"

    @pytest.mark.parametrize("path", sorted(layout._NOT_PROJECTS))
    def test_folders_of_the_system_are_none(self, path):
        if os.path.isdir(path):
            with pytest.raises(SandboxError, match="the system's, not a project's"):
                layout.project_root(path)

    @pytest.mark.parametrize("path", ["/usr/bin", "/etc/ssl", "/proc/self", "/dev/fd"])
    def test_neither_is_what_is_in_them(self, path):
        with pytest.raises(SandboxError):
            layout.project_root(path)

    def test_neither_is_one_that_a_link_hides(self, tmp_path):
        (tmp_path / "mine").symlink_to("/usr/bin")
        with pytest.raises(SandboxError, match="/usr/bin is the system's"):
            layout.project_root(tmp_path / "mine")

    def test_neither_is_a_file_or_nothing(self, tmp_path):
        (tmp_path / "file").touch()
        for name in ("file", "missing"):
            with pytest.raises(SandboxError, match="not there"):
                layout.project_root(tmp_path / name)


class TestReadable:
    def test_a_link_and_where_it_leads(self, tmp_path):
        (tmp_path / "real").mkdir()
        (tmp_path / "link").symlink_to("real")
        assert layout.readable_paths((tmp_path / "link",)) == [f"{tmp_path}/real", f"{tmp_path}/link"]
        assert layout.readable_paths((tmp_path / "real",)) == [f"{tmp_path}/real"]

    @pytest.mark.parametrize(
        "path", ["/", "/proc", "/proc/self/root", "/proc/1/root", "/sys", "/dev", "/dev/null"]
    )
    def test_what_shows_everything_is_refused(self, path):
        with pytest.raises(SandboxError, match=r"cannot be made readable|not there"):
            layout.readable_paths((Path(path),))

    def test_so_is_what_a_link_leads_to(self, tmp_path):
        (tmp_path / "all").symlink_to("/")
        with pytest.raises(SandboxError, match="cannot be made readable"):
            layout.readable_paths((tmp_path / "all",))

    def test_so_is_what_is_missing(self, tmp_path):
        with pytest.raises(SandboxError, match="not there"):
            layout.readable_paths((tmp_path / "missing",))


def test_what_is_shown_of_the_system_names_no_user_and_holds_no_key():
    shown = (*layout.SYSTEM, *layout.MERGED, *layout.SETTINGS, *layout.NETWORK_SETTINGS)
    secrets = ("/etc/shadow", "/etc/passwd", "/etc/ssh", "/etc/ssl/private", "/etc/machine-id", "/etc/sudoers")
    for secret in secrets:
        assert not [one for one in shown if secret == one or secret.startswith(one + "/")]


def test_links_are_left_out_of_what_is_protected(tmp_path):
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "hooks").symlink_to("../elsewhere")
    (tmp_path / ".git" / "config").touch()
    assert layout.protected_paths(str(tmp_path)) == [f"{tmp_path}/.git/config"]
