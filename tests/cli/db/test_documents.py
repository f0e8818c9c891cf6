"""`tissu db put`, `get` and `delete`."""

from __future__ import annotations

import json

import pytest

import quanta_tissu.tissdb as tissdb


def test_what_was_put_is_got(tissu, notes):
    put = json.loads(tissu("db", "put", notes, "notes", '{"day": {"$date": "2026-11-22"}}', "--json").out)
    got = json.loads(tissu("db", "get", notes, "notes", put["_id"], "--json").out)
    assert got["day"] == {"$date": "2026-11-22"}
    assert got["_rev"] == put["_rev"]


def test_a_document_may_come_from_a_pipe(tissu, notes, typed):
    typed('{"title": "piped"}')
    assert tissu("db", "put", notes, "notes", "-", "--id", "p").out.startswith("p has revision")
    assert '"title": "piped"' in tissu("db", "get", notes, "notes", "p").out


def test_put_replaces_what_has_the_id(tissu, notes):
    tissu("db", "put", notes, "notes", '{"_id": "first", "n": 1}')
    with tissdb.open(notes) as db:
        assert db["notes"]["first"].value == {"n": 1}


def test_patch_changes_some_fields(tissu, notes):
    assert tissu("db", "put", notes, "notes", '{"stars": null, "n": 1}', "--id", "first", "--patch").code == 0
    with tissdb.open(notes) as db:
        assert db["notes"]["first"].value == {"title": "A first note", "n": 1}


def test_an_old_revision_is_refused_and_the_present_one_is_not(tissu, notes):
    outcome = tissu("db", "put", notes, "notes", "{}", "--id", "first", "--revision", "1")
    assert outcome.code == 1
    assert "was changed meanwhile" in outcome.err
    revision = str(json.loads(tissu("db", "get", notes, "notes", "first").out)["_rev"])
    assert tissu("db", "put", notes, "notes", "{}", "--id", "first", "--revision", revision).code == 0
    assert tissu("db", "delete", notes, "notes", "first", "--revision", revision).code == 1


def test_ttl_expires_and_key_are_kept(tissu, notes):
    tissu("db", "put", notes, "notes", "{}", "--id", "soon", "--ttl", "3600")
    tissu("db", "put", notes, "notes", '{"_id": "then", "_expires": {"$datetime": "2100-01-01T00:00:00Z"}}')
    tissu("db", "put", notes, "counted", "{}", "--key", "once")
    tissu("db", "put", notes, "counted", "{}", "--key", "once")
    with tissdb.open(notes) as db:
        soon = db["notes"]["soon"]
        assert abs(soon.expires - soon.created - 3600e6) < 60e6
        assert db["notes"]["then"].expires == 4102444800_000000
        assert len(db["counted"]) == 1


def test_delete_removes(tissu, notes):
    assert tissu("db", "delete", notes, "notes", "first").out == "deleted first\n"
    assert tissu("db", "delete", notes, "notes", "first").code == 1


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["put", "DB", "notes", "{"], "this is not JSON"),
        (["put", "DB", "notes", "[1]"], "no document but a list"),
        (["put", "DB", "notes", "7"], "no document but a int"),
        (["put", "DB", "notes", "{}", "--patch"], "name it with --id"),
        (["put", "DB", "notes", '{"_id": "a"}', "--id", "b"], "its id is 'a', not 'b'"),
        (["put", "DB", "notes", "{}", "--ttl", "0"], "is not in the range"),
        (["get", "DB", "notes", "none"], "there is no document 'none'"),
        (["get", "DB", "none", "none"], "collections: notes"),
        (["get", "gone.db", "a", "b"], "`tissu db create gone.db` makes it"),
        (["get", ":memory:", "a", "b"], "name a file"),
        (["get", "mysql://x", "a", "b"], "no kind of database"),
    ],
)
def test_what_is_wrong_is_said(tissu, notes, args, says):
    outcome = tissu("db", *(notes if arg == "DB" else arg for arg in args))
    assert outcome.code in (1, 2)
    assert says in outcome.err


def test_input_that_is_no_text_is_refused(tissu, notes, typed):
    typed(b"\xff")
    outcome = tissu("db", "put", notes, "notes", "-")
    assert outcome.code == 1
    assert "standard input is not UTF-8 text" in outcome.err


def test_a_terminal_is_not_waited_for(tissu, notes, monkeypatch, typed):
    typed("")
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    outcome = tissu("db", "put", notes, "notes")
    assert outcome.code == 2
    assert "the document is missing" in outcome.err


@pytest.mark.parametrize("seconds", ["nan", "inf", "0", "-1", "1e13", "1e300"])
@pytest.mark.parametrize("command", ["put", "create", "alter"])
def test_a_time_to_live_is_a_time(tissu, notes, command, seconds):
    what = ("{}",) if command == "put" else ()
    outcome = tissu("db", command, notes, "notes", *what, "--ttl", seconds)
    assert outcome.code == 2
    assert "--ttl" in outcome.err


@pytest.mark.parametrize("moment", ["1e30", "100000000000000000000", "true", '"tomorrow"', "-300000000000000000"])
def test_an_expiry_that_is_no_moment(tissu, notes, moment):
    outcome = tissu("db", "put", notes, "notes", f'{{"_expires": {moment}}}')
    assert outcome.code == 1
    assert "is no moment" in outcome.err


def test_what_would_be_gone_at_once_is_not_stored_in_silence(tissu, notes):
    outcome = tissu("db", "put", notes, "notes", '{"_id": "gone", "_expires": 1795404462}')
    assert outcome.code == 2
    assert "would be gone at once" in outcome.err
    assert "--ttl SECONDS" in outcome.err


@pytest.mark.parametrize("command", ["get", "delete"])
def test_a_document_that_is_not_there(tissu, notes, command):
    outcome = tissu("db", command, notes, "notes", "nowhere")
    assert outcome.code == 1
    assert "there is no document 'nowhere' in 'notes'\n  help: `tissu db query DB" in outcome.err
    assert "collections: notes" in tissu("db", command, notes, "note", "first").err


def test_a_pipe_that_is_no_text(tissu, notes, typed):
    typed(b'{"a": "\xff"}')
    outcome = tissu("db", "put", notes, "notes", "-")
    assert outcome.code == 1
    assert "standard input is not UTF-8 text: invalid start byte at byte 7" in outcome.err
