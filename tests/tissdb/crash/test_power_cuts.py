"""After a power cut everything that was acknowledged is there, and nothing is there by halves."""

from __future__ import annotations

import pytest

from quanta_tissu.tissdb.sqlite import backend
from quanta_tissu.tissdb.sqlite.protection import Secret
from tests.tissdb.crash.disk import Disk, Event, cuts
from tests.tissdb.crash.power_cuts import check_workload, record


@pytest.fixture(autouse=True)
def _restore_checkpoints(monkeypatch):
    monkeypatch.setattr(backend, "_CHECKPOINT_BYTES", backend._CHECKPOINT_BYTES)


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "secret"), [(1, None), (2, None), (4, Secret(key=bytes(range(32))))])
def test_every_way_to_cut_some_places_of_a_workload(seed, secret):
    """The whole of it, tens of thousands of cuts, is `python tests/tissdb/crash/power_cuts.py`."""
    problems = [
        f"event {cut.at}, {mode}: {problem}"
        for cut, mode, problem in check_workload(seed, operations=12, every=17, secret=secret)
        if problem is not None
    ]
    assert problems == []


def test_what_reaches_the_disk_of_an_encrypted_database_is_encrypted(tmp_path):
    """A test of the test: the simulator stands below the cipher."""
    disk, _ = record(tmp_path, 5, 3, Secret(key=bytes(range(32))))
    written = b"".join(event.data for event in disk.events)
    assert len(written) > 100_000
    assert b"alpha" not in written
    assert b"CREATE TABLE" not in written


def test_the_simulator_itself_loses_what_was_not_synced():
    """A test of the test: an acknowledgement before the sync would be caught."""
    disk = Disk()
    disk.events += [
        Event("write", "f", 0, b"a" * 1024),
        Event("sync", "f"),
        Event("write", "f", 0, b"b" * 1024),
        Event("mark"),
    ]
    last = list(cuts(disk.events))[-1]
    assert last.marks == 1
    assert last.files("drop", 0)["f"] == b"a" * 1024
    assert last.files("keep", 0)["f"] == b"b" * 1024
    assert {bytes(last.files("torn", seed)["f"]) for seed in range(20)} == {
        first * 512 + second * 512 for first in (b"a", b"b") for second in (b"a", b"b")
    }


@pytest.mark.slow
def test_without_waiting_for_the_disk_documents_would_be_lost(monkeypatch):
    """A test of the test: the same cuts find what `synchronous=OFF` loses."""
    connect = backend.SqliteBackend.__init__

    def careless(self, path, **options):
        connect(self, path, **(options | {"durable": False}))

    monkeypatch.setattr(backend.SqliteBackend, "__init__", careless)
    assert any(problem for _, _, problem in check_workload(3, operations=8, modes=("drop",), every=5))
