"""Cassettes: recording what a model answered, and playing it without the model."""

from __future__ import annotations

import json
import os
import threading

import pytest

from quanta_tissu.errors import ModelCancelledError, ModelError
from quanta_tissu.tisslang.llm.cassette import CassettePlayer, CassetteRecorder, read
from quanta_tissu.tisslang.llm.mock import Entry, MockModel


@pytest.fixture
def path(tmp_path):
    return tmp_path / "tapes" / "calls.jsonl"


@pytest.fixture
def recorder(path):
    return CassetteRecorder(path, MockModel([Entry(n, None, [f"answer {n}"]) for n in range(1, 9)]))


def test_what_was_recorded_is_played_in_its_order(recorder, path, ask_for):
    same, other = ask_for("same"), ask_for("other")
    pieces = []
    recorded = [recorder.generate(same, pieces.append), recorder.generate(other), recorder.generate(same)]
    assert "".join(pieces) == "answer 1"
    assert recorder.name == "mock"
    assert recorder.count_tokens(same) == 1
    player = CassettePlayer(path)
    played = [player.generate(other), player.generate(same, pieces.append), player.generate(same)]
    assert played == [recorded[1], recorded[0], recorded[2]]
    assert pieces[-1] == "answer 1"
    assert player.count_tokens(same) == 1
    with pytest.raises(ModelError, match="has 2 answers to this request, and it is made once more"):
        player.generate(same)


def test_a_request_that_was_not_recorded_is_held_against_the_nearest(recorder, path, ask_for):
    recorder.generate(ask_for("Write a poem about the sea.\nIt has four lines.", seed=1))
    recorder.generate(ask_for("Sum up the minutes of Monday."))
    with pytest.raises(ModelError) as refusal:
        CassettePlayer(path).generate(ask_for("Write a poem about the sky.\nIt has four lines.", seed=1))
    shown = refusal.value.message
    assert "-    Write a poem about the sea." in shown
    assert "+    Write a poem about the sky." in shown
    assert "line 1" in shown
    assert "minutes" not in shown
    assert "record it" in refusal.value.hint
    assert CassettePlayer(path).count_tokens(ask_for("new")) > 3


def test_a_long_difference_is_cut(recorder, path, ask_for):
    recorder.generate(ask_for("\n".join(f"a{n}" for n in range(100))))
    with pytest.raises(ModelError, match="lines more"):
        CassettePlayer(path).generate(ask_for("\n".join(f"b{n}" for n in range(100))))


def test_recording_goes_on_behind_what_is_there(recorder, path, ask_for):
    recorder.generate(ask_for())
    before = path.read_bytes()
    CassetteRecorder(path, MockModel([Entry(1, None, ["more"])])).generate(ask_for())
    assert path.read_bytes().startswith(before)
    player = CassettePlayer(path)
    assert [player.generate(ask_for()).text for _ in range(2)] == ["answer 1", "more"]


@pytest.mark.parametrize("cut", [1, 5, 40, 200])
def test_a_line_that_a_killed_process_left_is_passed_over_and_then_removed(recorder, path, ask_for, cut):
    recorder.generate(ask_for("a"))
    recorder.generate(ask_for("b"))
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    assert len(read(path)) == 1
    CassetteRecorder(path, MockModel([Entry(1, None, ["c"])])).generate(ask_for("c"))
    assert [one.request["messages"][0]["content"] for one in read(path)] == ["a", "c"]


def test_threads_record_whole_lines(recorder, path, ask_for):
    threads = [threading.Thread(target=recorder.generate, args=(ask_for(str(n) * 5000),)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {one.request["messages"][0]["content"][0] for one in read(path)} == set("01234567")


def test_what_fails_is_not_recorded(path, ask_for):
    recorder = CassetteRecorder(path, MockModel([]))
    with pytest.raises(ModelError):
        recorder.generate(ask_for())
    assert read(path) == []
    with pytest.raises(ModelError, match="is empty"):
        CassettePlayer(path).generate(ask_for())


def test_playing_can_be_given_up(recorder, path, ask_for):
    recorder.generate(ask_for())
    cancelled = threading.Event()
    cancelled.set()
    with pytest.raises(ModelCancelledError):
        CassettePlayer(path).generate(ask_for(), cancelled=cancelled)


@pytest.mark.parametrize("line", ["nonsense", "{}", '{"digest": "x", "request": {}, "reply": {"txt": ""}}', "3"])
def test_a_damaged_line_is_named(recorder, path, ask_for, line):
    recorder.generate(ask_for())
    with path.open("a") as file:
        file.write(line + "\n")
    with pytest.raises(ModelError, match=r"line 2 of .* is none of a cassette"):
        CassettePlayer(path)


def test_another_file_is_never_written_to(tmp_path):
    for content in ("my notes\n", "my notes"):
        notes = tmp_path / "notes.txt"
        notes.write_text(content)
        with pytest.raises(ModelError, match="none of a cassette"):
            CassetteRecorder(notes, MockModel([]))
        assert notes.read_text() == content


def test_a_file_that_cannot_be_used_is_named(tmp_path, ask_for):
    with pytest.raises(ModelError, match="cannot read the cassette"):
        CassettePlayer(tmp_path / "none.jsonl")
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match="cannot record to"):
        CassetteRecorder(tmp_path / "file" / "calls.jsonl", MockModel([]))
    recorder = CassetteRecorder(tmp_path / "calls.jsonl", MockModel([Entry(1, None, ["x"])]))
    os.unlink(tmp_path / "calls.jsonl")
    (tmp_path / "calls.jsonl").mkdir()
    with pytest.raises(ModelError, match="cannot record to"):
        recorder.generate(ask_for())


def test_a_line_can_be_read_by_people(recorder, path, ask_for):
    recorder.generate(ask_for("Grüße", temperature=0))
    line = json.loads(path.read_text())
    assert line["request"]["messages"] == [{"role": "user", "content": "Grüße"}]
    assert line["reply"] == {
        "text": "answer 1",
        "prompt_tokens": 1,
        "completion_tokens": 2,
        "finish": "stop",
        "model": "mock",
        "cost": 0.0,
    }
    assert "Grüße" in path.read_text()
