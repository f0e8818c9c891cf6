"""A disk that fails at any one call: the error says so, what was acknowledged stays, and a retry happens once."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import apsw
import pytest

from quanta_tissu.errors import DatabaseError, StorageError, UnknownOutcomeError
from quanta_tissu.tissdb import Database
from quanta_tissu.tissdb.sqlite import backend
from tests.tissdb.crash.disk import Disk, RecordingLayer
from tests.tissdb.crash.workload import open_on, state_of

KINDS = ("full", "short write", "write error", "sync error")


class FailingDisk(Disk):
    """Fails once, at the n-th call of a kind after it was armed."""

    def __init__(self, kind: str, number: int) -> None:
        super().__init__()
        self._kind = kind
        self._left = number
        self.armed = False
        self.failed = False

    def before(self, kind: str, name: str) -> None:
        if not self.armed or self.failed or kind != ("sync" if self._kind == "sync error" else "write"):
            return
        self._left -= 1
        if self._left == 0:
            self.failed = True
            if self._kind in ("full", "short write"):
                raise apsw.FullError("no space left")
            raise apsw.IOError("the disk is broken")

    def shortened(self, data: bytes) -> bytes:
        """What of a write that is about to fail reaches the file."""
        return data[: len(data) // 2] if self._kind == "short write" and self._left == 1 else b""


def operations(db: Database):
    """What is done, each under a key and therefore repeatable."""
    yield lambda: db["a"].insert({"text": "one"}, id="1", vectors={"near": [1, 0]}, key="op 1")
    yield lambda: db["a"].insert_many([{"_id": f"m{n}", "text": f"many {n}"} for n in range(30)], key="op 2")
    yield lambda: db["a"].patch("1", {"text": "patched"}, vectors={"near": [0, 1]}, key="op 3")
    yield lambda: db["a"].delete("m3", key="op 4")
    yield lambda: db["b"].insert({"n": 5}, id="5", key="op 5")
    yield db._backend.maintain
    yield lambda: db["b"].upsert("5", {"n": 6}, key="op 6")


EXPECTED = {
    "a": {"1": {"text": "patched"}} | {f"m{n}": {"text": f"many {n}"} for n in range(30) if n != 3},
    "b": {"5": {"n": 6}},
}


def run_with_fault(folder, kind: str, number: int) -> tuple[bool, list[Exception]]:
    """Do everything on a disk that fails once, repeating what fails.

    Returns:
        Whether the disk came to fail, and what the callers saw.
    """
    disk = FailingDisk(kind, number)
    layer = RecordingLayer(disk, f"failing-{folder.name}")
    seen = []
    with open_on(folder, f"failing-{folder.name}") as db:
        db["a"].create_index("words", kind="text", fields="text")
        db["a"].create_index("near", kind="vector", dimension=2)
        disk.armed = True
        for operation in operations(db):
            for _ in range(3):
                try:
                    operation()
                    break
                except (DatabaseError, apsw.Error) as error:
                    seen.append(error)
            else:
                pytest.fail(f"{kind} at call {number}: it does not recover: {seen}")
        disk.armed = False
        assert state_of(db) == EXPECTED, f"{kind} at call {number}"
        assert db.check() == [], f"{kind} at call {number}"
    with open_on(folder, f"failing-{folder.name}") as db:
        assert state_of(db) == EXPECTED
    layer.unregister()
    return disk.failed, seen


@pytest.fixture(autouse=True)
def _restore_checkpoints(monkeypatch):
    monkeypatch.setattr(backend, "_CHECKPOINT_BYTES", backend._CHECKPOINT_BYTES)


def numbers() -> Iterator[int]:
    """Every call of the first operations, then a sample."""
    return itertools.chain(range(1, 12), range(12, 10_000, 9))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_whichever_call_fails_everything_happens_exactly_once(tmp_path, kind):
    errors: list[Exception] = []
    for number in numbers():
        folder = tmp_path / f"{kind.replace(' ', '-')}-{number}"
        folder.mkdir()
        failed, seen = run_with_fault(folder, kind, number)
        errors += seen
        if not failed:
            break
    assert errors, "the disk never failed: the test tests nothing"
    known = (UnknownOutcomeError, StorageError)
    assert {type(error).__name__ for error in errors if not isinstance(error, known)} == set()
    if kind == "sync error":
        assert any(isinstance(error, UnknownOutcomeError) for error in errors)
