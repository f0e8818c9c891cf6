"""A journal: what is appended is there, in order, for a later process, whatever ended this one."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quanta_tissu.errors import JournalError
from quanta_tissu.tisslang.journal.anchor import anchor_path, boot_id, read_anchor, read_anchors
from quanta_tissu.tisslang.journal.blobs import expanded, reference_of, shortened
from quanta_tissu.tisslang.journal.journal import Journal
from quanta_tissu.tisslang.journal.reading import read_records
from quanta_tissu.tisslang.journal.record import FIRST
from quanta_tissu.tisslang.journal.redaction import Redactor
from quanta_tissu.tisslang.journal.verify import verify

_TEXTS = st.text(max_size=3) | st.sampled_from(["", "~", "_blob", "a_blob", "a_blob~", "x" * 201, "a"])
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=10,
)


def _before_this_start(folder: Path) -> bytes:
    """The anchor as it would be after the machine had lost its power."""
    return anchor_path(folder).read_bytes().replace(boot_id().encode(), b"x" * len(boot_id()))


def _refuse(*arguments) -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / ".tissu" / "runs" / "r1"


@pytest.fixture
def journal(folder):
    with Journal.create(folder, script="plan.tiss", root="/project") as journal:
        yield journal


def test_records_are_read_back_as_they_were_appended(folder, journal):
    journal.append("step.begin", key="step[1]", title="Write it", line=3)
    journal.append("effect.intent", durable=True, key="step[1]/write[0]#0", args={"path": "a.txt", "n": (1, 2)})
    journal.close()
    with Journal.open(folder) as again:
        assert again.records == journal.records
    first, begin, intent = journal.records
    assert (first.seq, first.kind, first.previous) == (1, "run.start", FIRST)
    assert first.fields == {"script": "plan.tiss", "root": "/project"}
    assert begin.previous == first.hash
    assert intent.fields["args"] == {"path": "a.txt", "n": [1, 2]}
    assert abs((datetime.now(UTC) - intent.time).total_seconds()) < 60


def test_a_line_is_canonical_json_that_carries_its_own_hash(folder, journal):
    journal.append("note", text="grün 😀 \ud800")
    line = (folder / "journal.jsonl").read_bytes().splitlines()[1]
    content = json.loads(line)
    assert json.dumps(content, sort_keys=True, separators=(",", ":")).encode() == line
    claimed = content.pop("hash")
    assert (
        claimed == hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    )


def test_what_others_must_not_read_is_private(folder, journal):
    journal.put(b"content")
    for path in (folder, folder / "blobs"):
        assert path.stat().st_mode & 0o777 == 0o700
    for path in (folder / "journal.jsonl", anchor_path(folder), *(folder / "blobs").iterdir()):
        assert path.stat().st_mode & 0o777 == 0o600


class TestBlobs:
    def test_contents_are_kept_once_under_their_digest(self, folder, journal):
        reference = journal.put(b"a content")
        assert reference == reference_of(b"a content") == journal.put(b"a content")
        assert journal.get(reference) == b"a content"
        assert [path.name for path in (folder / "blobs").iterdir()] == [reference.removeprefix("sha256:")]

    def test_the_next_record_vouches_for_them(self, journal):
        reference = journal.put(b"a content")
        assert journal.append("note", text="").blobs == (reference,)
        assert journal.append("note", text="").blobs == ()

    def test_a_content_that_a_killed_process_left_unrecorded_is_recorded_when_it_is_stored_again(
        self, folder, journal
    ):
        journal.put(b"a content")
        journal.close()
        with Journal.open(folder) as again:
            reference = again.put(b"a content")
            assert again.append("note", text="").blobs == (reference,)

    def test_long_texts_and_bytes_become_blobs_by_themselves(self, journal):
        record = journal.append("effect.result", stdout="x" * 201, stderr="y" * 200, image=b"\x00")
        assert record.fields["stdout_blob"] == reference_of(b"x" * 201)
        assert record.fields["stderr"] == "y" * 200
        assert record.fields["image"] == reference_of(b"\x00")
        assert journal.expanded(record)["stdout"] == "x" * 201

    def test_a_text_that_was_stored_by_the_caller_is_named_as_it_is(self, journal):
        reference = journal.put(b"what was said")
        record = journal.append("effect.result", text_blob=reference)
        assert record.fields == {"text_blob": reference}
        assert journal.expanded(record) == {"text": "what was said"}

    @given(value=_VALUES)
    def test_any_value_is_given_back_as_it_was(self, value):
        store: dict[str, bytes] = {}

        def put(content: bytes) -> str:
            return store.setdefault(reference_of(content), content) and reference_of(content)

        short = shortened({"value": value}, put)
        assert expanded(json.loads(json.dumps(short)), store.__getitem__) == {"value": value}

    def test_a_text_from_outside_cannot_pass_for_a_reference(self, journal):
        hidden = journal.put(b"not for the model")
        record = journal.append("effect.result", value={"stdout_blob": hidden, "list": [{"_blob": hidden}]})
        assert journal.expanded(record)["value"] == {"stdout_blob": hidden, "list": [{"_blob": hidden}]}

    def test_one_that_is_gone_or_altered_is_an_error(self, folder, journal):
        reference = journal.put(b"a content")
        journal.append("note", durable=True, text="")
        path = folder / "blobs" / reference.removeprefix("sha256:")
        path.write_bytes(b"another")
        with pytest.raises(JournalError, match="was altered"):
            journal.get(reference)
        path.unlink()
        with pytest.raises(JournalError, match="is missing"):
            journal.get(reference)
        with pytest.raises(JournalError, match="names no blob"):
            journal.get("sha256:../../etc/passwd")


class TestReading:
    def test_a_run_is_looked_at_while_another_process_goes_on_with_it(self, folder, journal):
        record = journal.append("note", text="x" * 300)
        before = {path: path.read_bytes() for path in folder.parent.parent.rglob("*") if path.is_file()}
        with Journal.read(folder) as other:
            assert other.records == journal.records
            assert other.expanded(record) == {"text": "x" * 300}
            for write in (lambda: other.append("note", text="no"), lambda: other.put(b"no")):
                with pytest.raises(JournalError, match="cannot go on: it was opened for reading only"):
                    write()
        assert before == {path: path.read_bytes() for path in folder.parent.parent.rglob("*") if path.is_file()}
        assert journal.append("note", text="goes on").seq == 3

    def test_a_torn_line_is_passed_over_and_stays(self, folder, journal):
        journal.close()
        path = folder / "journal.jsonl"
        path.write_bytes(torn := path.read_bytes() + b'{"blobs"')
        assert len(Journal.read(folder).records) == 1
        assert path.read_bytes() == torn


class TestRefusals:
    def test_values_that_json_does_not_know(self, journal):
        for value in (float("nan"), float("inf"), {1: 2}, Path("a"), {"a": {1, 2}}):
            with pytest.raises(JournalError):
                journal.append("note", value=value)
        assert journal.append("note", text="goes on").seq == 2

    def test_a_run_that_is_there_already(self, folder, journal):
        journal.close()
        with pytest.raises(JournalError, match="there is a run r1 already"):
            Journal.create(folder)

    def test_a_run_that_is_not_there(self, folder):
        with pytest.raises(JournalError, match="there is no run at"):
            Journal.open(folder)
        with pytest.raises(JournalError, match="there is no run at"):
            read_records(folder)

    def test_a_closed_journal(self, journal):
        journal.close()
        with pytest.raises(JournalError, match="is closed"):
            journal.append("note", text="too late")

    @pytest.mark.parametrize("how", ["written into", "shortened", "replaced", "removed"])
    def test_a_journal_that_something_else_has_changed_takes_no_more_records(self, folder, journal, how):
        journal.append("note", text="mine")
        path = folder / "journal.jsonl"
        content = path.read_bytes()
        if how == "written into":
            path.write_bytes(content + content.splitlines(keepends=True)[-1])
        elif how == "shortened":
            os.truncate(path, len(content) - 1)
        else:
            path.unlink()
            if how == "replaced":
                path.write_bytes(content)
        for _ in range(2):
            with pytest.raises(JournalError, match="something else has written into it, or replaced it"):
                journal.append("note", text="next")

    def test_a_second_process_is_told_who_holds_the_run(self, folder, journal):
        script = (
            "import sys, pathlib; from quanta_tissu.tisslang.journal.journal import Journal\n"
            "try: Journal.open(pathlib.Path(sys.argv[1]))\n"
            "except Exception as error: print(error)"
        )
        said = subprocess.run([sys.executable, "-c", script, folder], capture_output=True, text=True, check=True)
        assert f"the run r1 is in use by process {os.getpid()} on " in said.stdout
        assert "help: wait until it has ended" in said.stdout

    def test_a_disk_that_is_full_from_the_start_leaves_nothing_to_be_in_the_way(self, folder, monkeypatch):
        def refuse(descriptor: int, content: bytes) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with monkeypatch.context() as patch:
            patch.setattr(os, "write", refuse)
            with pytest.raises(JournalError, match="the disk is full"):
                Journal.create(folder, script="plan.tiss")
        Journal.create(folder, script="plan.tiss").close()

    def test_a_journal_that_cannot_be_gone_on_with_can_be_opened_later(self, folder, journal, monkeypatch):
        journal.close()
        with (folder / "journal.jsonl").open("a") as file:
            file.write("torn")
        with monkeypatch.context() as patch:
            patch.setattr(os, "fdatasync", _refuse)
            with pytest.raises(JournalError, match="cannot be written"):
                Journal.open(folder)
        Journal.open(folder).close()

    def test_a_blob_that_the_disk_refuses(self, folder, journal, monkeypatch):
        journal.put(b"there is a folder")
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", _refuse)
            with pytest.raises(JournalError, match="cannot be written"):
                journal.put(b"content")
        assert len(list((folder / "blobs").iterdir())) == 1
        assert journal.get(journal.put(b"content")) == b"content"

    def test_a_record_that_cannot_even_be_taken_back_ends_the_journal(self, folder, journal, monkeypatch):
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", _refuse)
            patch.setattr(os, "ftruncate", _refuse)
            with pytest.raises(JournalError, match="cannot be written"):
                journal.append("note", text="lost")
        with pytest.raises(JournalError, match="cannot go on: the record 2 could not be taken back"):
            journal.append("note", text="after")
        journal.close()
        Journal.open(folder).close()

    def test_a_place_where_nothing_can_be_written(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(JournalError, match="cannot be written"):
            Journal.create(tmp_path / "file" / "run")

    @pytest.mark.parametrize("line", [0, 1])
    def test_a_journal_that_was_altered(self, folder, journal, line):
        journal.append("note", text="one")
        journal.close()
        path = folder / "journal.jsonl"
        lines = path.read_bytes().splitlines(keepends=True)
        lines[line] = lines[line].replace(b'"v":1', b'"v": 1')
        path.write_bytes(b"".join(lines))
        with pytest.raises(JournalError, match=f"is damaged: record {line + 1} was altered"):
            Journal.open(folder)

    def test_a_journal_whose_durable_end_was_cut_off(self, folder, journal):
        journal.append("effect.intent", durable=True, key="a")
        journal.close()
        path = folder / "journal.jsonl"
        path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
        with pytest.raises(JournalError, match="record 2 is cut off"):
            Journal.open(folder)


class TestEndings:
    """Whatever ends a process, the journal opens, with every record that `append` has returned."""

    def test_a_line_torn_at_any_byte_is_cut_off_and_the_cut_is_recorded(self, folder, journal):
        journal.append("note", text="kept")
        whole = len((folder / "journal.jsonl").read_bytes())
        line = json.dumps({"some": "line that was being written", "v": 1})
        journal.close()
        path = folder / "journal.jsonl"
        for torn in range(1, len(line)):
            content = path.read_bytes()
            path.write_bytes(content + line[:torn].encode())
            with Journal.open(folder) as again:
                note = again.records[-1]
            assert note.fields["recovered"] is True
            assert f"a torn line of {torn} bytes" in note.fields["text"]
            assert path.read_bytes()[:whole] == content[:whole]
        assert len(read_records(folder)) == 2 + len(line) - 1

    def test_a_journal_torn_at_any_byte_of_its_own_last_line_opens_unless_the_disk_had_the_line(
        self, folder, journal
    ):
        journal.append("note", text="not durable")
        size = (folder / "journal.jsonl").stat().st_size
        content, anchor = (folder / "journal.jsonl").read_bytes(), _before_this_start(folder)
        journal.close()
        start = content[:-1].rindex(b"\n") + 1
        for cut in range(start, size):
            (folder / "journal.jsonl").write_bytes(content[:cut])
            anchor_path(folder).write_bytes(anchor)
            with Journal.open(folder) as again:
                assert [record.kind for record in again.records] == ["run.start", "note"]
                assert (
                    "record 2 is missing, which the disk was not known to have" in again.records[-1].fields["text"]
                )

    def test_while_the_machine_is_up_nothing_that_was_written_is_lost(self, folder, journal):
        journal.append("note", text="not durable")
        anchor = anchor_path(folder).read_bytes()
        journal.close()
        anchor_path(folder).write_bytes(anchor)
        path = folder / "journal.jsonl"
        path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
        with pytest.raises(JournalError, match="record 2 is cut off"):
            Journal.open(folder)

    def test_sigkill_loses_nothing_that_was_appended(self, folder):
        script = (
            "import sys, pathlib; from quanta_tissu.tisslang.journal.journal import Journal\n"
            "journal = Journal.create(pathlib.Path(sys.argv[1]))\n"
            "while True: print(journal.append('note', text='x' * 300).seq, flush=True)"
        )
        process = subprocess.Popen([sys.executable, "-c", script, folder], stdout=subprocess.PIPE, text=True)
        for _ in range(50):
            last = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        last = int((process.communicate()[0].split() or [last])[-1])
        with Journal.open(folder) as journal:
            assert len(journal.records) >= last
            assert journal.expanded(journal.records[last - 1]) == {"text": "x" * 300}

    @pytest.mark.slow
    def test_a_run_that_is_killed_at_any_moment_is_in_order_and_goes_on(self, folder):
        script = (
            "import sys, pathlib; from quanta_tissu.tisslang.journal.journal import Journal\n"
            "folder = pathlib.Path(sys.argv[1])\n"
            "start = Journal.open if folder.exists() else Journal.create\n"
            "journal = start(folder)\n"
            "print('up', flush=True)\n"
            "while True:\n"
            "    count = len(journal.records)\n"
            "    journal.append('note', durable=count % 3 == 0, text='x' * (count % 400))\n"
        )
        chance, before = random.Random(0), 0
        for _ in range(15):
            process = subprocess.Popen([sys.executable, "-c", script, folder], stdout=subprocess.PIPE)
            assert process.stdout.readline() == b"up\n"
            time.sleep(chance.uniform(0, 0.05))
            process.kill()
            process.communicate()
            verdict = verify(folder)
            assert verdict.ok, verdict.findings
            assert verdict.records > before
            before = verdict.records

    @pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
    @pytest.mark.parametrize("written", [0, 10])
    def test_an_append_that_the_disk_refuses_leaves_no_trace(self, folder, journal, monkeypatch, number, written):
        real = os.write

        def write(descriptor: int, content: bytes) -> int:
            if len(content) > written and written:
                monkeypatch.setattr(os, "write", refuse)
                return real(descriptor, content[:written])
            return refuse(descriptor, content)

        def refuse(descriptor: int, content: bytes) -> int:
            raise OSError(number, os.strerror(number))

        before = (folder / "journal.jsonl").read_bytes()
        monkeypatch.setattr(os, "write", write)
        with pytest.raises(JournalError, match="disk is full" if number == errno.ENOSPC else "cannot be written"):
            journal.append("note", text="lost")
        monkeypatch.undo()
        assert (folder / "journal.jsonl").read_bytes() == before
        assert journal.append("note", text="goes on").seq == 2
        journal.close()
        with Journal.open(folder) as again:
            assert [record.fields.get("text") for record in again.records] == [None, "goes on"]

    def test_a_really_full_file_system_leaves_a_journal_that_opens(self, folder):
        script = (
            "import resource, signal, sys, pathlib\n"
            "from quanta_tissu.tisslang.journal.journal import Journal\n"
            "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))\n"
            "journal = Journal.create(pathlib.Path(sys.argv[1]))\n"
            "try:\n"
            "    while True: journal.append('note', text='x' * 100)\n"
            "except Exception as error: print(len(journal.records), error)\n"
        )
        done = subprocess.run([sys.executable, "-c", script, folder], capture_output=True, text=True, check=True)
        count, _, message = done.stdout.partition(" ")
        assert message.startswith(
            "the disk is full: the journal of r1 cannot be written; what was written is intact"
        )
        with Journal.open(folder) as journal:
            assert len(journal.records) == int(count)

    def test_after_a_failed_synchronisation_nothing_more_is_accepted(self, folder, journal, monkeypatch):
        def fail(descriptor: int) -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        with monkeypatch.context() as patch:
            patch.setattr(os, "fdatasync", fail)
            with pytest.raises(JournalError, match="cannot be written"):
                journal.append("effect.intent", durable=True, key="a")
        with pytest.raises(JournalError, match="cannot go on: the disk refused"):
            journal.append("note", text="after")
        journal.close()
        with Journal.open(folder) as again:
            assert again.records[1].fields == {"key": "a"}

    def test_records_that_lack_their_blobs_are_cut_off_if_the_disk_was_not_known_to_have_them(
        self, folder, journal
    ):
        reference = journal.put(b"never reached the disk")
        journal.append("effect.result", text_blob=reference)
        journal.append("note", text="behind it")
        anchor = _before_this_start(folder)
        journal.close()
        anchor_path(folder).write_bytes(anchor)
        (folder / "blobs" / reference.removeprefix("sha256:")).write_bytes(b"never rea")
        with Journal.open(folder) as again:
            assert [record.kind for record in again.records] == ["run.start", "note"]
            assert "records 2 to 3 are without all blobs, and cut off" in again.records[-1].fields["text"]

    def test_a_process_that_ended_before_the_first_record_leaves_nothing_to_resume(self, folder):
        folder.mkdir(parents=True)
        (folder / "journal.jsonl").write_bytes(b'{"blobs"')
        with pytest.raises(JournalError, match="ended before its first record"):
            Journal.open(folder)


class TestAnchors:
    def test_the_end_is_anchored_outside_of_the_folder_with_each_record(self, folder, journal, tmp_path):
        assert anchor_path(folder) == tmp_path / ".tissu" / "anchors" / "r1.json"
        for durable in (False, True):
            record = journal.append("note", durable=durable, text="")
            anchor = read_anchor(folder)
            assert (anchor.run, anchor.seq, anchor.hash, anchor.closed) == ("r1", record.seq, record.hash, False)
            assert (anchor.synchronised == record.seq) is durable
        journal.close()
        assert read_anchor(folder).closed

    def test_and_in_a_file_elsewhere_if_asked_for(self, folder, tmp_path):
        elsewhere = tmp_path / "anchors.jsonl"
        with Journal.create(folder, anchors=elsewhere) as journal:
            journal.append("note", text="not durable")
            journal.append("note", durable=True, text="durable")
        assert [(one.seq, one.closed) for one in read_anchors(elsewhere)["r1"]] == [
            (1, False),
            (3, False),
            (3, True),
        ]

    def test_a_file_elsewhere_that_cannot_be_written_is_an_error(self, folder, tmp_path):
        with pytest.raises(JournalError, match="the anchor cannot be noted"):
            Journal.create(folder, anchors=tmp_path / "missing" / "anchors.jsonl")


class TestThreads:
    def test_appends_of_many_threads_make_one_chain(self, folder, journal):
        def work(name: int) -> None:
            for number in range(50):
                journal.append(
                    "note", durable=number % 10 == 0, text=f"{name} {number} " + "x" * 300 * (number % 2)
                )

        threads = [threading.Thread(target=work, args=(name,)) for name in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        journal.close()
        records = read_records(folder)
        assert len(records) == 401
        for name in range(8):
            mine = [journal.expanded(record)["text"] for record in records[1:]]
            mine = [text for text in mine if text.startswith(f"{name} ")]
            assert [int(text.split()[1]) for text in mine] == list(range(50))

    def test_threads_that_wait_for_the_disk_pay_once(self, journal, monkeypatch):
        calls = []
        real, started = os.fdatasync, threading.Event()

        def slow(descriptor: int) -> None:
            calls.append(descriptor)
            started.set()
            threading.Event().wait(0.1)
            real(descriptor)

        monkeypatch.setattr(os, "fdatasync", slow)
        threads = [
            threading.Thread(target=journal.append, args=("note",), kwargs={"durable": True}) for _ in range(16)
        ]
        threads[0].start()
        started.wait()
        for thread in threads[1:]:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(calls) <= 3

    def test_records_that_are_not_durable_reach_the_disk_soon(self, folder, journal, monkeypatch):
        import quanta_tissu.tisslang.journal.journal as module

        journal.append("note", text="one")
        assert read_anchor(folder).synchronised == 1
        monkeypatch.setattr(module, "_LATEST", -1.0)
        journal.append("note", text="two")
        assert read_anchor(folder).synchronised == 3


def test_no_secret_reaches_the_disk(folder):
    secret = "correct horse battery"
    with Journal.create(folder, redactor=Redactor({"PHRASE": secret}), script=secret) as journal:
        journal.put(b"before " + secret.encode() + b" behind")
        journal.append("note", text=secret, nested={secret: [secret * 20]}, data=secret.encode())
    for path in folder.rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes(), path
    assert read_records(folder)[0].fields == {"script": "[secret PHRASE]"}
