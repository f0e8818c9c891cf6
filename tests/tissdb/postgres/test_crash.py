"""The server dies and comes back: nothing that was acknowledged is lost, and nothing happens twice."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import threading
import time
from pathlib import Path

import pytest
from postgres_server import serving

import quanta_tissu.tissdb as tissdb
from quanta_tissu.errors import BusyError, StorageError, UnknownOutcomeError


@pytest.fixture
def address(postgres_server):  # which says why there is none
    """A server of our own, to be killed."""
    folder = Path(tempfile.mkdtemp(prefix=f"tissdb-pg-{os.getpid()}-", dir="/tmp"))
    try:
        with serving(folder) as found:
            yield found
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def wait_until_reachable(db):
    deadline = time.monotonic() + 60
    while True:
        try:
            len(db["a"])
            return
        except StorageError:
            assert time.monotonic() < deadline, "it does not come back"
            time.sleep(0.05)


@pytest.mark.slow
def test_killed_backends_lose_nothing_and_keys_hold(address):
    acknowledged, errors, done = set(), [], threading.Event()

    def write(db, name):
        """Insert under a key, again and again until it is known to be there."""
        n = 0
        while not done.is_set():
            id = f"{name}{n}"
            try:
                db["a"].insert({"n": n}, id=id, key=id)
            except (StorageError, UnknownOutcomeError, BusyError):
                time.sleep(0.01)
                continue
            except Exception as error:
                errors.append(error)
                return
            acknowledged.add(id)
            n += 1

    with tissdb.open(address) as db, tissdb.open(address) as other:
        db["a"].create_index("n")
        threads = [
            threading.Thread(target=write, args=(one, name)) for one, name in ((db, "p"), (db, "q"), (other, "r"))
        ]
        for thread in threads:
            thread.start()
        for kill in range(8):
            time.sleep(0.05 + 0.037 * kill)
            connection = (db, other)[kill % 2]._writer._connection
            if connection is not None and not connection.lost:
                # The server then ends all other backends, too, and recovers from its log.
                os.kill(connection.raw.info.backend_pid, signal.SIGKILL)
            before = len(acknowledged)
            deadline = time.monotonic() + 60
            while len(acknowledged) < before + 5 and not errors:
                assert time.monotonic() < deadline, "it does not come back"
                time.sleep(0.01)
        done.set()
        for thread in threads:
            thread.join()
        assert errors == []
        wait_until_reachable(db)  # the five may have been acknowledged before the server noticed the last kill
        assert {document.id for document in db["a"]} >= acknowledged
        assert len(db["a"]) <= len(acknowledged) + len(threads)  # the last of each may be there unheard
        assert db.check() == []
