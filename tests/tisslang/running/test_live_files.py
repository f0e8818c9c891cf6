"""Effects on files that are done again, since nobody knows whether they were done before the run died."""

from __future__ import annotations

import pytest

from quanta_tissu.tisslang.engine.effects import AppendFile, DeleteFile, WriteFile
from quanta_tissu.tisslang.running.live.files import perform, prepare
from quanta_tissu.tisslang.sandbox.files import ProjectFiles

LEFT = ".a.0123456789abcdef.new"


@pytest.fixture
def files(tmp_path):
    with ProjectFiles(tmp_path) as opened:
        opened.write("a", b"old ")
        (tmp_path / LEFT).write_bytes(b"half")
        yield opened


@pytest.mark.parametrize("done", [True, False])
@pytest.mark.parametrize(
    ("action", "content"),
    [
        (WriteFile(path="a", text="new"), b"new"),
        (AppendFile(path="a", text="new"), b"old new"),
        (DeleteFile(path="a"), None),
    ],
)
def test_they_happen_once_and_leave_nothing_of_what_was_begun(files, tmp_path, action, content, done):
    prepared = prepare(action, files)
    if done:
        perform(action, files, prepared, lambda data: "")
    assert not perform(action, files, {**prepared, "again": True}, lambda data: "").problem
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == (
        {} if content is None else {"a": content}
    )


def test_what_another_process_may_be_writing_is_left_alone(files, tmp_path):
    perform(WriteFile(path="a", text="new"), files, {}, lambda data: "")
    assert (tmp_path / LEFT).exists()
