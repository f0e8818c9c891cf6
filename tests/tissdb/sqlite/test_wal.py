"""The checksums of a write-ahead log, against SQLite's own."""

from __future__ import annotations

import struct

import apsw
import pytest

from quanta_tissu.tissdb.sqlite.wal import log_header, log_problem


@pytest.fixture(params=[512, 4096, 65536])
def log(request, tmp_path):
    """A log that is in use, and how many frames it has."""
    connection = apsw.Connection(str(tmp_path / "test.db"))
    for sql in (
        f"PRAGMA page_size = {request.param}",
        "PRAGMA journal_mode = wal",
        "PRAGMA wal_autocheckpoint = 0",
    ):
        connection.execute(sql).fetchall()
    connection.execute("CREATE TABLE t (x)").fetchall()
    for n in range(20):
        connection.execute("INSERT INTO t VALUES (randomblob(?))", (n * 100,)).fetchall()
    [(_, frames, _)] = connection.execute("PRAGMA wal_checkpoint(NOOP)").fetchall()
    yield tmp_path / "test.db-wal", frames
    connection.close()


def test_what_sqlite_has_written_is_as_it_was(log):
    path, frames = log
    assert frames > 20
    assert all(log_problem(path, count) is None for count in (0, 1, 7, frames))


def test_what_sqlite_would_have_written_on_another_machine_is_understood(log):
    """Where words have their first byte first: the same, summed by the format's own words."""
    path, frames = log
    data = bytearray(path.read_bytes())
    data[:4] = struct.pack(">I", 0x377F0683)
    page = struct.unpack(">I", data[8:12])[0]

    def summed(s, t, part):
        for a, b in struct.iter_unpack(">II", part):
            s = (s + a + t) & 0xFFFFFFFF
            t = (t + b + s) & 0xFFFFFFFF
        return s, t

    s, t = summed(0, 0, bytes(data[:24]))
    data[24:32] = struct.pack(">II", s, t)
    for at in range(32, 32 + 3 * (24 + page), 24 + page):
        s, t = summed(*summed(s, t, bytes(data[at : at + 8])), bytes(data[at + 24 : at + 24 + page]))
        data[at + 16 : at + 24] = struct.pack(">II", s, t)
    other = path.with_name("other")
    other.write_bytes(data)
    assert log_problem(other, 3) is None
    assert log_problem(other, frames) == f"frame 4 of {frames} is not what was written"


def test_each_kind_of_damage_is_named(log, tmp_path):
    path, frames = log
    whole, copy = path.read_bytes(), tmp_path / "copy"
    size = 24 + struct.unpack(">I", whole[8:12])[0]

    def says(data: bytes) -> str | None:
        copy.write_bytes(data)
        return log_problem(copy, frames)

    def flipped(at: int) -> bytes:
        return whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]

    assert says(whole[:10]) == f"it has 10 bytes, and {frames} frames are in use"
    assert says(whole[: 32 + 3 * size + 5]) == f"it ends in frame 4 of {frames}"
    assert {says(flipped(at)) for at in range(32)} <= {
        "its header is damaged",
        f"frame 1 of {frames} is not what was written",
    }
    for frame in (1, 7, frames):
        start = 32 + (frame - 1) * size
        for at in (*range(start, start + 24), start + 24, start + size - 1):
            assert says(flipped(at)) == f"frame {frame} of {frames} is not what was written"


def test_where_there_is_no_log_there_is_nothing_to_see(tmp_path):
    assert log_header(tmp_path / "none") == b""
    assert log_problem(tmp_path / "none", 0) is None
