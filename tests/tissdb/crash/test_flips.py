"""Bits that a disk has flipped are found, and never served."""

from __future__ import annotations

import shutil
import threading

import pytest

import quanta_tissu.tissdb as tissdb
from quanta_tissu.errors import CorruptionError, DatabaseError
from quanta_tissu.tissdb.backup import restore
from tests.tissdb.crash.flips import SECRET, answers, campaign, fill, opened, outcome, wrong


@pytest.mark.slow
@pytest.mark.parametrize("secret", [None, SECRET], ids=["plain", "encrypted"])
def test_after_any_flip_no_wrong_value_is_served(tmp_path, secret):
    """Thousands: `python tests/tissdb/crash/flips.py --flips 10000`."""
    counts = campaign(tmp_path, 150, seed=1, secret=secret)
    assert wrong(counts) == []
    assert counts["found"] > counts["harmless"]
    assert counts["refused"] > 0


def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 0x10
    path.write_bytes(data)


def test_a_page_that_says_it_has_no_checksum_is_refused(tmp_path):
    """The one bit that would switch the checksums off."""
    path = tmp_path / "flipped.db"
    with opened(path, None) as db:
        fill(db)
    data = bytearray(path.read_bytes())
    assert data[20] == 8
    data[20] = 0
    path.write_bytes(data)
    with pytest.raises(CorruptionError, match=r"flipped\.db"):
        opened(path, None)


def test_a_flip_in_an_encrypted_log_that_is_in_use_is_not_served(tmp_path):
    """Without encryption SQLite trusts a log that it has open, and only the check finds it (docs/tissdb.md)."""
    secret = SECRET
    path = tmp_path / "flipped.db"
    with opened(path, secret) as db:
        fill(db)
        right, _ = answers(path, secret)
        wal = tmp_path / "flipped.db-wal"
        whole = wal.read_bytes()
        found = 0
        for at in range(40, len(whole), len(whole) // 60):
            flip(wal, at)
            result = outcome(path, secret, right)
            assert result in ("harmless", "found", "refused")
            found += result != "harmless"
            wal.write_bytes(whole)
        assert found > 10


@pytest.mark.parametrize("secret", [None, SECRET], ids=["plain", "encrypted"])
def test_the_check_finds_every_flip_in_a_log_that_is_in_use(tmp_path, secret):
    path, wal = tmp_path / "flipped.db", tmp_path / "flipped.db-wal"
    with opened(path, secret) as db:
        fill(db)
        assert db.check() == []
        whole, named, looked = wal.read_bytes(), 0, 0
        for at in [*range(32), *range(32, 56), *range(60, len(whole), len(whole) // 60), len(whole) - 1]:
            flip(wal, at)
            problems = db.check()
            assert any("flipped.db" in problem for problem in problems), at
            named += any("its write-ahead log" in problem for problem in problems)
            looked += 1
            wal.write_bytes(whole)
        assert named >= looked - 2  # without the last copy of the first page nothing can be asked
        assert db.check() == []


def test_a_log_that_is_written_and_begun_anew_meanwhile_is_no_damage(tmp_path):
    with tissdb.open(tmp_path / "busy.db") as db, tissdb.open(tmp_path / "busy.db") as other:
        done = threading.Event()

        def write() -> None:
            while not done.is_set():
                other["notes"].insert_many({"text": "x" * 1000} for _ in range(50))
                other.compact()

        writer = threading.Thread(target=write)
        writer.start()
        try:
            for _ in range(20):
                assert db.check() == []
        finally:
            done.set()
            writer.join()


@pytest.mark.parametrize("secret", [None, SECRET], ids=["plain", "encrypted"])
def test_a_flip_in_a_log_that_a_crash_has_left_ends_recovery_there_and_anchors_show_it(tmp_path, secret):
    """SQLite's checksum of frames cannot tell it from a write that a power cut tore: what follows is gone."""
    path, crashed = tmp_path / "running.db", tmp_path / "crashed.db"
    anchors = tmp_path / "anchors"
    with opened(path, secret) as db:
        for n in range(30):
            db["notes"].insert({"n": n}, id=f"d{n}")
        db.anchor(anchors)
        for suffix in ("", "-wal"):
            shutil.copy(f"{path}{suffix}", f"{crashed}{suffix}")
    wal = tmp_path / "crashed.db-wal"
    flip(wal, wal.stat().st_size * 3 // 4)
    with opened(crashed, secret) as db:
        there = [document["n"] for document in db["notes"]]
        assert there == list(range(len(there)))  # a state that was, not a wrong one
        assert 0 < len(there) < 30
        assert db.check() == []
        report = db.verify_log(anchors)
        assert not report.ok
        assert "its end was cut off" in report.problem


@pytest.mark.parametrize("secret", [None, SECRET], ids=["plain", "encrypted"])
def test_a_flipped_backup_is_not_restored(tmp_path, secret):
    path, copy = tmp_path / "test.db", tmp_path / "copy.db"
    with opened(path, secret) as db:
        fill(db)
        db.compact()  # nobody reads, or misses, what is in pages that are not used
        db.backup(copy)
    size = copy.stat().st_size
    whole = copy.read_bytes()
    for at in range(100, size, size // 10):
        flip(copy, at)
        with pytest.raises(CorruptionError):
            restore(copy, tmp_path / "again.db", secret=secret)
        assert not (tmp_path / "again.db").exists()
        copy.write_bytes(whole)
    restore(copy, tmp_path / "again.db", secret=secret)


def test_a_damaged_database_gives_no_backup(tmp_path):
    path = tmp_path / "test.db"
    with tissdb.open(path) as db:
        fill(db)
    flip(path, path.stat().st_size // 2)
    with tissdb.open(path) as db, pytest.raises(CorruptionError, match=r"test.db|copy.db"):
        db.backup(tmp_path / "copy.db")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["test.db"]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: path.write_bytes(b"SQLite"), "it has 6 bytes only"),
        (lambda path: path.write_bytes(b"hello, this is text\n" * 1000), "is no database"),
        (lambda path: path.write_bytes(b"SQLite format 3\0" + bytes(5000)), "test.db"),
        (lambda path: path.mkdir(), "is a directory"),
    ],
    ids=["short", "text", "a beginning only", "directory"],
)
def test_what_is_no_database_is_named_and_left_alone(tmp_path, make, says):
    path = tmp_path / "test.db"
    make(path)
    before = None if path.is_dir() else path.read_bytes()
    with pytest.raises(DatabaseError, match=r"test\.db") as caught:
        tissdb.open(path)
    assert says in str(caught.value)
    assert caught.value.hint
    assert path.is_dir() or path.read_bytes() == before


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_file_whose_end_is_missing_is_named(tmp_path, share):
    path = tmp_path / "test.db"
    with tissdb.open(path) as db:
        fill(db)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(CorruptionError, match=r"test\.db"), tissdb.open(path) as db:
        db["notes"].count()
        raise CorruptionError("\n".join(db.check()))


def test_an_empty_file_becomes_a_database(tmp_path):
    path = tmp_path / "test.db"
    path.touch()
    with tissdb.open(path) as db:
        assert db.collections() == []


def test_a_file_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    path = tmp_path / "test.db"
    tissdb.open(path).close()
    path_open = type(path).open

    def refuse(self, *args, **options):  # the user who runs tests may be allowed everything
        if self == path:
            raise PermissionError(13, "Permission denied")
        return path_open(self, *args, **options)

    monkeypatch.setattr(type(path), "open", refuse)
    with pytest.raises(DatabaseError, match=r"test.db cannot be read: Permission denied"):
        tissdb.open(path)
