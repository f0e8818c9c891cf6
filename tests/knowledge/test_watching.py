"""Watching: what changes is read again, once."""

from __future__ import annotations

import os

from quanta_tissu.knowledge.watching import watch


def test_changes_are_followed(kb, tmp_path):
    folder, file = tmp_path / "docs", tmp_path / "one.txt"
    folder.mkdir()
    (folder / "a.md").write_text("alpha")
    file.write_text("single")
    steps = iter(
        [
            lambda: None,
            lambda: (folder / "a.md").write_text("alpha beta"),
            lambda: (folder / "b.md").write_text("gamma"),
            lambda: os.remove(file),
        ]
    )
    found = []
    sleeps = []

    def sleep(seconds):
        sleeps.append(seconds)
        step = next(steps, None)
        if step is None:
            raise KeyboardInterrupt
        step()

    try:
        for path, added in watch(kb, [folder, file], interval=0.5, sleep=sleep):
            found.append((path.name, added.inserted, added.deleted, added.gone))
    except KeyboardInterrupt:
        pass
    assert found == [
        ("docs", 1, 0, 0),
        ("one.txt", 1, 0, 0),
        ("docs", 1, 1, 0),
        ("docs", 1, 0, 0),
        ("one.txt", 0, 1, 1),
    ]
    assert set(sleeps) == {0.5}
    assert len(kb) == 2
