"""Databases that earlier versions have left are read by this one: every document, index, entry of the log."""

from __future__ import annotations

import json
import lzma
import sys
from pathlib import Path

import pytest

import quanta_tissu.tissdb as tissdb
from quanta_tissu.errors import DatabaseError
from quanta_tissu.tissdb.format import FORMAT

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from make import KEY, VALUES, content  # noqa: E402

FOLDERS = sorted(path.name for path in HERE.glob("format-*"))


@pytest.fixture(params=FOLDERS)
def golden(request, tmp_path):
    """A copy of one: the folder, and how it is opened."""
    for packed in (HERE / request.param).iterdir():
        data = packed.read_bytes()
        (tmp_path / packed.name.removesuffix(".xz")).write_bytes(
            lzma.decompress(data) if packed.suffix == ".xz" else data
        )
    return tmp_path, ({"key": KEY} if "encrypted" in request.param else {})


def test_there_is_one_of_this_format_and_of_each_before():
    assert {f"format-{number}" for number in range(1, FORMAT + 1)} <= set(FOLDERS)


def test_everything_in_it_is_found(golden):
    folder, options = golden
    expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    with tissdb.open(folder / "golden.db", **options) as db:
        # Through JSON: tuples become lists, as they are in the file.
        found = json.loads(json.dumps(content(db)))
        for wanted, hits in zip(expected.pop("searches"), found.pop("searches"), strict=True):
            assert [id for id, _ in hits] == [id for id, _ in wanted]
            assert [score for _, score in hits] == pytest.approx([score for _, score in wanted], rel=1e-5)
        assert found == expected
        report = db.verify_log(folder / "anchors")
        assert (report.ok, report.anchors, report.entries) == (True, 2, len(expected["log"]))
        assert db.check() == []


def test_it_can_be_written_and_opened_again(golden):
    folder, options = golden
    with tissdb.open(folder / "golden.db", **options) as db:
        before = db.head().seq
        late = db["notes"]["late"]
        db["notes"].patch("late", {"n": 2000})
        db["notes"].insert({"n": 3000}, id="new")
    with tissdb.open(folder / "golden.db", **options) as db:
        assert db["notes"]["late"].value == late.value | {"n": 2000}
        assert db.head().seq >= before + 2
        assert db.check() == []
        assert db.verify_log(folder / "anchors").ok


@pytest.mark.parametrize("name", [name for name in FOLDERS if "encrypted" not in name])
def test_values_are_of_their_types_and_what_is_over_is_gone(name, tmp_path):
    for file in ("golden.db", "golden.db-wal"):
        (tmp_path / file).write_bytes(lzma.decompress((HERE / name / f"{file}.xz").read_bytes()))
    with tissdb.open(tmp_path / "golden.db") as db:
        found = db["values"]["all"].value
        assert found == VALUES
        assert {key: type(value) for key, value in found.items()} == {
            key: type(value) for key, value in VALUES.items()
        }
        assert db["lasting"].get("over") is None
        assert db["values"].insert({"n": 2}, key="a key").id == "keyed"


def test_a_later_format_is_refused_and_left_as_it_is(golden):
    folder, options = golden
    path = folder / "golden.db"
    with tissdb.open(path, **options) as db:
        db.write(
            lambda changes: changes.connection.run(
                "UPDATE _settings SET value = ? WHERE name = 'format'", (str(FORMAT + 1),)
            )
        )
    before = path.read_bytes()
    with pytest.raises(DatabaseError, match=f"golden.db has format {FORMAT + 1}; .* up to {FORMAT}"):
        tissdb.open(path, **options)
    assert path.read_bytes() == before
