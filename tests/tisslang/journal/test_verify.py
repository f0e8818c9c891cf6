"""An audit finds every change of a journal and names the record."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quanta_tissu.errors import JournalError
from quanta_tissu.tisslang.journal.anchor import (
    Anchor,
    AnchorFile,
    anchor_path,
    append_anchor,
    boot_id,
    read_anchor,
)
from quanta_tissu.tisslang.journal.journal import Journal
from quanta_tissu.tisslang.journal.record import FIRST, make_record
from quanta_tissu.tisslang.journal.verify import Change, verify

COUNT = 8  # records of the journal that is tampered with


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Path:
    """A run of COUNT records, the last of which has a blob."""
    folder = tmp_path_factory.mktemp("project") / ".tissu" / "runs" / "r1"
    with Journal.create(folder, script="plan.tiss") as journal:
        for number in range(2, COUNT):
            journal.append("note", text=f"note {number}")
        journal.append("run.end", status="done", output="x" * 300)
    return folder


@pytest.fixture
def run(original, tmp_path) -> Path:
    """A copy of its own of that run."""
    return _copy(original, tmp_path / "copy")


def _copy(original: Path, to: Path) -> Path:
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(original.parent.parent, to / ".tissu")
    return to / ".tissu" / "runs" / "r1"


def _lines(run: Path) -> list[bytes]:
    return (run / "journal.jsonl").read_bytes().splitlines(keepends=True)


def _write(run: Path, lines: list[bytes]) -> None:
    (run / "journal.jsonl").write_bytes(b"".join(lines))


def _found(run: Path, **options) -> list[tuple[Change, int | None]]:
    return [(one.change, one.record) for one in verify(run, **options).findings]


def _forged(lines: list[bytes], first: int, change) -> list[bytes]:
    """The lines from a record on, each made anew so that the chain holds: what somebody with time would do."""
    records = [json.loads(line) for line in lines]
    out, previous = lines[: first - 1], records[first - 1]["previous"]
    for content in records[first - 1 :]:
        change(content)
        time = datetime.fromisoformat(content["time"])
        record, line = make_record(
            content["seq"], time, content["kind"], content["fields"], previous, tuple(content["blobs"])
        )
        out.append(line)
        previous = record.hash
    return out


def test_an_untouched_run_is_in_order(run):
    verdict = verify(run)
    assert verdict.ok
    assert (verdict.run, verdict.records, verdict.blobs, verdict.findings) == ("r1", COUNT, 1, ())
    assert verdict.head == read_anchor(run).hash


def test_a_run_that_goes_on_while_it_is_audited_is_in_order(tmp_path):
    folder = tmp_path / ".tissu" / "runs" / "r1"
    with Journal.create(folder) as journal:
        for _ in range(5):
            journal.append("note", text="on")
            verdict = verify(folder)
            assert (verdict.ok, verdict.running) == (True, True)


def test_a_killed_run_is_in_order_but_for_a_note(run):
    anchor = read_anchor(run)
    lines = _lines(run)
    before = json.loads(lines[-2])["hash"]
    open_anchor = Anchor(run="r1", seq=COUNT - 1, hash=before, synchronised=1)
    AnchorFile(anchor_path(run)).write(open_anchor)
    verdict = verify(run)
    assert verdict.ok
    assert [(one.change, one.record, one.severe) for one in verdict.findings] == [
        (Change.UNANCHORED, COUNT, False)
    ]
    _write(run, [*lines[:-1], b'{"blobs":'])
    (run / "blobs").rename(run / "moved")
    verdict = verify(run)
    assert verdict.ok
    assert [(one.change, one.severe) for one in verdict.findings] == [(Change.TORN, False)]
    assert anchor.closed


class TestLines:
    @pytest.mark.parametrize("number", range(1, COUNT + 1))
    def test_an_edit_is_found_where_it_is(self, run, number):
        lines = _lines(run)
        lines[number - 1] = lines[number - 1].replace(b'"v":1', b'"v" :1')
        _write(run, lines)
        assert (Change.ALTERED, number) in _found(run)

    @pytest.mark.parametrize("number", range(1, COUNT))
    def test_a_record_that_was_taken_out_is_missed(self, run, number):
        lines = _lines(run)
        del lines[number - 1]
        _write(run, lines)
        assert _found(run) == [(Change.MISSING, number)]

    @pytest.mark.parametrize("kept", range(COUNT))
    def test_an_end_that_was_cut_off_is_missed(self, run, kept):
        _write(run, _lines(run)[:kept])
        assert (Change.CUT, kept + 1) in _found(run)

    @pytest.mark.parametrize("number", range(1, COUNT))
    def test_records_that_were_exchanged(self, run, number):
        lines = _lines(run)
        lines[number - 1 : number + 1] = lines[number], lines[number - 1]
        _write(run, lines)
        found = _found(run)
        assert {record for change, record in found if change is Change.MOVED} >= {number}

    @pytest.mark.parametrize("number", range(1, COUNT + 1))
    def test_a_record_that_stands_there_twice(self, run, number):
        lines = _lines(run)
        _write(run, [*lines[:number], lines[number - 1], *lines[number:]])
        assert (Change.REPEATED, number) in _found(run)

    def test_a_branch_of_the_chain(self, run):
        lines = _lines(run)
        third = json.loads(lines[2])
        _, other = make_record(4, datetime.now(UTC), "note", {"text": "another"}, third["hash"])
        _write(run, [*lines[:3], other, *lines[3:]])
        assert _found(run).count((Change.FORK, 4)) >= 1
        _write(run, [*lines, other])
        assert (Change.FORK, 4) in _found(run)

    def test_a_record_that_was_made_anew_with_a_right_hash(self, run):
        lines = _lines(run)
        fourth = json.loads(lines[3])
        _, forged = make_record(4, datetime.now(UTC), "note", {"text": "forged"}, fourth["previous"])
        _write(run, [*lines[:3], forged, *lines[4:]])
        assert _found(run) == [(Change.REWRITTEN, 5)]

    def test_a_record_that_was_put_in(self, run):
        lines = _lines(run)
        _, foreign = make_record(5, datetime.now(UTC), "note", {"text": "foreign"}, "ab" * 32)
        _write(run, [*lines[:4], foreign, *lines[4:]])
        verdict = verify(run)
        assert not verdict.ok
        assert (Change.REWRITTEN, 5) in _found(run)

    def test_a_record_that_was_added_to_a_closed_journal(self, run):
        last = json.loads(_lines(run)[-1])
        _, more = make_record(COUNT + 1, datetime.now(UTC), "note", {"text": "more"}, last["hash"])
        _write(run, [*_lines(run), more])
        assert _found(run) == [(Change.ADDED, COUNT + 1)]
        _write(run, [*_lines(run)[:-1], more[:20]])
        assert not verify(run).ok

    def test_a_record_whose_number_is_wrong(self, run):
        lines = _lines(run)
        last = json.loads(lines[-1])
        _, forged = make_record(COUNT + 5, datetime.now(UTC), "run.end", {}, last["previous"])
        _write(run, [*lines[:-1], forged])
        assert (Change.ALTERED, COUNT + 5) in _found(run)

    def test_the_whole_journal_taken_away(self, run):
        (run / "journal.jsonl").unlink()
        assert (Change.CUT, 1) in _found(run)

    @pytest.mark.parametrize("line", [b"[]", b"{}", b"nonsense", b"\xff\xfe", b'{"v":2}', b"[" * 100_000])
    def test_lines_that_are_no_records(self, run, line):
        _write(run, [*_lines(run)[:2], line + b"\n", *_lines(run)[3:]])
        assert (Change.ALTERED, 3) in _found(run)

    def test_fields_of_other_types_in_a_line_with_a_right_hash(self, run):
        import hashlib

        from quanta_tissu.tisslang.journal.record import canonical

        for name, value in {"seq": "3", "time": 5, "time ": "", "fields": [], "blobs": {}, "v": 2}.items():
            content = json.loads(_lines(run)[2])
            del content["hash"]
            content[name.strip()] = value
            content["hash"] = hashlib.sha256(canonical(content)).hexdigest()
            lines = _lines(run)
            _write(run, [*lines[:2], canonical(content) + b"\n", *lines[3:]])
            assert (Change.ALTERED, 3) in _found(run)
            _write(run, lines)


class TestEnds:
    def test_a_journal_that_was_written_anew_does_not_suit_its_anchor(self, run):
        def change(content):
            content["fields"].pop("text", None)

        _write(run, _forged(_lines(run), 3, change))
        assert _found(run) == [(Change.REWRITTEN, COUNT)]

    def test_one_who_changes_both_is_found_by_anchors_kept_elsewhere_only(self, run, tmp_path):
        elsewhere = tmp_path / "elsewhere.jsonl"
        append_anchor(elsewhere, read_anchor(run), durable=True)
        assert verify(run, anchors=elsewhere).ok
        lines = _forged(_lines(run), 3, lambda content: content["fields"].pop("text", None))
        _write(run, lines)
        last = json.loads(lines[-1])
        anchor = Anchor(run="r1", seq=COUNT, hash=last["hash"], synchronised=COUNT, closed=True)
        AnchorFile(anchor_path(run)).write(anchor)
        assert verify(run).ok
        assert _found(run, anchors=elsewhere) == [(Change.REWRITTEN, COUNT)]
        _write(run, lines[:5])
        AnchorFile(anchor_path(run)).write(
            Anchor(run="r1", seq=5, hash=json.loads(lines[4])["hash"], synchronised=5, closed=True)
        )
        (run / "blobs").rename(run / "gone")
        assert verify(run).ok
        assert _found(run, anchors=elsewhere) == [(Change.CUT, 6)]

    def test_a_missing_anchor_leaves_the_end_unproved_unless_another_proves_it(self, run, tmp_path):
        elsewhere = tmp_path / "elsewhere.jsonl"
        append_anchor(elsewhere, read_anchor(run), durable=False)
        anchor_path(run).unlink()
        verdict = verify(run)
        assert not verdict.ok
        assert _found(run) == [(Change.UNANCHORED, None)]
        assert verify(run, anchors=elsewhere).ok

    @pytest.mark.parametrize("content", ["nonsense", "[]", '{"run": "r1"}', '{"run": 1, "seq": 0}', ""])
    def test_an_anchor_that_is_none(self, run, content):
        anchor_path(run).write_text(content)
        assert not verify(run).ok

    def test_many_records_behind_the_anchor_are_not_what_a_kill_leaves(self, run):
        hash = json.loads(_lines(run)[1])["hash"]
        AnchorFile(anchor_path(run)).write(Anchor(run="r1", seq=2, hash=hash, synchronised=2, boot=boot_id()))
        [finding] = verify(run).findings
        assert (finding.change, finding.record, finding.severe) == (Change.ADDED, 3, True)
        assert "power" not in finding.message

    def test_what_a_failure_of_power_may_do_is_said_and_is_no_proof_of_a_change(self, run):
        lines, anchor = _lines(run), read_anchor(run)
        early = json.loads(lines[1])["hash"]
        AnchorFile(anchor_path(run)).write(Anchor(run="r1", seq=2, hash=early, synchronised=2, boot="another"))
        [finding] = verify(run).findings
        assert (finding.change, finding.severe) == (Change.ADDED, False)
        assert "or the machine lost its power" in finding.message
        for boot, kept, severe in (("another", 5, False), ("another", 2, True), (boot_id(), 5, True)):
            noted = Anchor(run="r1", seq=COUNT, hash=anchor.hash, synchronised=3, boot=boot)
            AnchorFile(anchor_path(run)).write(noted)
            _write(run, lines[:kept])
            [finding] = [one for one in verify(run).findings if one.change is Change.CUT]
            assert finding.severe is severe
            assert ("or lost with the machine's power" in finding.message) is not severe

    def test_files_of_anchors_that_are_none(self, run, tmp_path):
        file = tmp_path / "anchors.jsonl"
        with pytest.raises(JournalError, match="cannot be read"):
            verify(run, anchors=file)
        file.write_text("nonsense\n")
        with pytest.raises(JournalError, match="is no file of anchors"):
            verify(run, anchors=file)
        file.write_text("")
        [finding] = verify(run, anchors=file).findings
        assert (finding.change, finding.severe) == (Change.UNANCHORED, False)
        assert "knows nothing of this run" in finding.message

    def test_no_run(self, tmp_path):
        with pytest.raises(JournalError, match="there is no run at"):
            verify(tmp_path / "runs" / "none")


class TestBlobs:
    def test_missing_and_altered_ones_are_found_with_the_record_that_vouches_for_them(self, run):
        [path] = (run / "blobs").iterdir()
        path.write_bytes(b"other")
        [finding] = verify(run).findings
        assert (finding.change, finding.record) == (Change.BLOB, COUNT)
        assert "was altered; record 8 vouches for it" in finding.message
        path.unlink()
        [finding] = verify(run).findings
        assert "is missing; record 8" in finding.message

    def test_one_that_nobody_vouches_for(self, run):
        from quanta_tissu.tisslang.journal.blobs import BlobFolder

        BlobFolder(run / "blobs").put(b"left behind")
        assert verify(run).ok
        assert _found(run) == [(Change.BLOB, None)]
        (run / "blobs" / "planted").write_bytes(b"")
        assert not verify(run).ok


_LINE = st.integers(0, COUNT - 1)
_CHANGES = st.one_of(
    st.tuples(st.just("flip"), st.floats(0, 1, exclude_max=True), st.integers(1, 255)),
    st.tuples(st.just("remove"), _LINE, st.integers(1, COUNT)),
    st.tuples(st.just("swap"), _LINE, _LINE),
    st.tuples(st.just("copy"), _LINE, _LINE),
    st.tuples(st.just("cut"), st.floats(0, 1, exclude_max=True), st.just(0)),
    st.tuples(st.just("insert"), st.floats(0, 1), st.binary(min_size=1, max_size=30)),
    st.tuples(st.just("forge"), _LINE, st.integers(1, COUNT)),
)


def _changed(content: bytes, change) -> bytes:
    what, one, two = change
    lines = content.splitlines(keepends=True)
    if what == "flip":
        at = int(one * len(content))
        return content[:at] + bytes([content[at] ^ two]) + content[at + 1 :] if content else content
    if what == "cut":
        return content[: int(one * len(content))]
    if what == "insert":
        at = int(one * len(content))
        return content[:at] + two + content[at:]
    if not lines:
        return content
    one %= len(lines)
    if what == "remove":
        del lines[one : one + two]
    elif what == "swap":
        two %= len(lines)
        lines[one], lines[two] = lines[two], lines[one]
    elif what == "copy":
        lines.insert(two, lines[one])
    elif what == "forge":
        try:
            record = json.loads(lines[one])
            _, lines[one] = make_record(two, datetime.now(UTC), "note", {}, record["previous"])
        except (ValueError, TypeError, KeyError):
            return content
    return b"".join(lines)


class TestAnyChange:
    @settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(changes=st.lists(_CHANGES, min_size=1, max_size=4))
    def test_is_found(self, run, original, changes):
        content = whole = (original / "journal.jsonl").read_bytes()
        for change in changes:
            content = _changed(content, change)
        (run / "journal.jsonl").write_bytes(content)
        verdict = verify(run)
        assert verdict.ok is (content == whole)
        for finding in verdict.findings:
            assert (
                finding.record is None or f"{finding.record}" in finding.message or finding.change is Change.TORN
            )

    @settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.data())
    def test_of_any_file_of_a_run_is_found(self, original, tmp_path, data):
        run = _copy(original, tmp_path / "copy")
        path = data.draw(
            st.sampled_from(sorted(one for one in run.rglob("*") if one.is_file() and one.name != "lock"))
        )
        whole = path.read_bytes()
        match data.draw(st.sampled_from(["change", "remove", "rename", "copy"])):
            case "change":
                path.write_bytes(changed := _changed(whole, data.draw(_CHANGES)))
                if changed == whole:
                    return
            case "remove":
                path.unlink()
            case "rename":
                path.rename(path.with_name(data.draw(st.sampled_from(["0" * 64, "other"]))))
            case "copy":
                (run / "blobs" / ("0" * 64)).write_bytes(whole)
        assert not verify(run).ok

    @pytest.mark.slow
    def test_of_any_single_byte_is_found(self, run, original):
        whole = (original / "journal.jsonl").read_bytes()
        for at in range(len(whole)):
            (run / "journal.jsonl").write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
            assert not verify(run).ok, at
            (run / "journal.jsonl").write_bytes(whole[:at] + whole[at + 1 :])
            assert not verify(run).ok, at


def test_the_first_record_follows_on_nothing(original):
    assert json.loads(_lines(original)[0])["previous"] == FIRST
