"""The knowledge base: files in, passages out, and only what changed is touched."""

from __future__ import annotations

import pytest

import quanta_tissu.tissdb as tissdb
from quanta_tissu.errors import ConfigError, DatabaseError, DataError
from quanta_tissu.knowledge import KnowledgeBase, NgramEmbedder

GUIDE = """# Guide

## Sorting
Call sorted to put the items of a list in order.

## Weather
It rains in November.
"""


@pytest.fixture
def guide(tmp_path):
    path = tmp_path / "guide.md"
    path.write_text(GUIDE)
    return path


def ids(kb):
    return {
        hit.text: hit.id
        for question in ("sorted list items", "rains November weather")
        for hit in kb.search(question)
    }


def test_a_file_becomes_passages_with_places(kb, guide):
    added = kb.add(guide)
    assert (added.files, added.inserted, added.deleted) == (1, 2, 0)
    best = kb.search("how do I sort a list?")[0]
    assert best.source == guide.resolve().as_posix()
    assert (best.heading, best.first, best.last, best.unit) == ("Guide › Sorting", 4, 4, "line")
    assert best.words == 1
    assert 0 < best.nearness < 1
    assert len(kb) == 2
    assert kb.sources() == [best.source]


def test_a_file_that_has_not_changed_is_not_read_again(kb, guide):
    kb.add(guide)
    before = kb._db.head().seq
    again = kb.add(guide)
    assert (again.files, again.same, again.changed) == (1, 1, False)
    assert kb._db.head().seq == before


def test_of_a_changed_file_only_what_changed_is_new(kb, guide):
    kb.add(guide)
    before = ids(kb)
    guide.write_text("A new beginning.\n\n" + GUIDE.replace("rains", "snows"))
    added = kb.add(guide)
    assert (added.inserted, added.kept, added.deleted) == (2, 1, 1)
    sorting = kb.search("sorted list")[0]
    assert sorting.id == before[sorting.text]
    assert (sorting.first, sorting.last) == (6, 6)
    assert "rains" not in " ".join(hit.text for hit in kb.search("rains November snows", 10))


def test_unchanged_passages_are_not_embedded_again(kb, guide, monkeypatch):
    kb.add(guide)
    embedded = []
    make = kb.embedder.embed
    monkeypatch.setattr(kb.embedder, "embed", lambda texts: embedded.extend(texts) or make(texts))
    guide.write_text(GUIDE + "More.\n")
    kb.add(guide)
    assert embedded == ["Guide › Weather\nIt rains in November.\nMore."]


def test_the_same_passage_twice_is_kept_twice(kb, tmp_path):
    path = tmp_path / "a.md"
    path.write_text("# A\nsame\n# B\nx\n# A\nsame\n")
    assert kb.add(path).inserted == 3
    path.write_text("# A\nsame\n# B\nx\n")
    assert (kb.add(path).kept, len(kb)) == (2, 2)
    path.write_text("# A\nsame\n# A\nsame\n# A\nsame\n")
    kb.add(path)
    assert len(kb.search("same", 10, mode="words")) == len(kb) == 1  # under one heading they are one passage


def test_a_folder_is_brought_up_to_date(kb, tmp_path):
    folder = tmp_path / "docs"
    (folder / "deep").mkdir(parents=True)
    (folder / ".hidden").mkdir()
    (folder / "a.md").write_text("alpha")
    (folder / "deep" / "b.py").write_text("def beta(): pass")
    (folder / "bad.txt").write_bytes(b"\xff")
    (folder / "picture.png").write_bytes(b"\x89PNG")
    (folder / ".hidden" / "c.md").write_text("gamma")
    seen = []
    added = kb.add(folder, on_file=seen.append)
    assert (added.files, added.inserted) == (3, 2)
    assert [why for _, why in added.skipped] == [
        f"{folder / 'bad.txt'} is not UTF-8 text: byte 0xff at position 0"
    ]
    assert len(seen) == 3
    (folder / "a.md").unlink()
    again = kb.add(folder)
    assert (again.gone, again.deleted, again.same) == (1, 1, 1)
    assert kb.search("alpha", mode="words") == []
    assert kb.remove(folder) == 1
    assert (len(kb), kb.sources()) == (0, [])


def test_a_folder_does_not_touch_another_that_begins_alike(kb, tmp_path):
    for name in ("docs", "docs2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text(name)
    kb.add(tmp_path / "docs2")
    kb.add(tmp_path / "docs")
    assert len(kb) == 2


def test_texts_need_no_file(kb):
    assert kb.add_text(GUIDE, "notes.md").inserted == 2
    assert kb.search("sorted list")[0].where == "notes.md, line 4"
    assert kb.add_text(GUIDE, "notes.md").same == 1
    assert kb.remove("notes.md") == 2
    for name in ("", "x.pdf"):
        with pytest.raises(DataError, match="cannot have the source"):
            kb.add_text("x", name)


def test_what_is_not_there_is_refused(kb, tmp_path):
    with pytest.raises(DataError, match="No such file"):
        kb.add(tmp_path / "nothing.md")
    assert kb.sources() == []


def test_words_and_meaning_find_by_themselves(kb, guide):
    kb.add(guide)
    by_words = kb.search("November", mode="words")
    assert [(hit.words, hit.nearness) for hit in by_words] == [(1, None)]
    by_meaning = kb.search("rainy Novembers", mode="meaning")
    assert "rains" in by_meaning[0].text
    assert by_meaning[0].words is None


def test_a_question_is_no_query(kb, guide):
    kb.add(guide)
    assert "sorted" in kb.search('-sorted "list items', 1)[0].text
    assert kb.search("?!", 3) == []
    assert kb.search("the", 3, mode="meaning") == []
    assert kb.search(" ".join(f"word{i}" for i in range(500)) + " November")


def test_mistakes_are_refused(kb, db):
    with pytest.raises(ConfigError, match="mode = 'magic'"):
        kb.search("x", mode="magic")
    with pytest.raises(ConfigError, match="empty"):
        kb.search("  ")
    with pytest.raises(ConfigError, match="limit = 20 and overlap = 20"):
        KnowledgeBase(db, NgramEmbedder(), limit=20, overlap=20)
    with pytest.raises(DatabaseError, match="was made with the embedder ngrams-1024"):
        KnowledgeBase(db, NgramEmbedder(64))


def test_it_is_all_there_after_opening_again(tmp_path, guide):
    path = tmp_path / "k.db"
    with tissdb.open(path) as db:
        KnowledgeBase(db, NgramEmbedder()).add(guide)
    with tissdb.open(path) as db:
        kb = KnowledgeBase(db, NgramEmbedder())
        assert kb.search("sort a list")[0].heading == "Guide › Sorting"
        assert db.check() == []


def test_other_limits_cut_files_anew(db, tmp_path):
    path = tmp_path / "long.txt"
    path.write_text("\n".join(f"line {i}" for i in range(60)))
    assert KnowledgeBase(db, NgramEmbedder()).add(path).inserted == 1
    again = KnowledgeBase(db, NgramEmbedder(), limit=30, overlap=2).add(path)
    assert (again.same, again.deleted) == (0, 1)
    assert again.inserted > 3


def test_a_source_that_others_change_meanwhile_is_looked_at_again(kb, guide, db):
    other = KnowledgeBase(db, NgramEmbedder(), limit=40, overlap=8)
    make, calls = kb.embedder.embed, []

    def interrupted(texts):
        if not calls:
            calls.append(1)
            other.add(guide)
        return make(texts)

    kb.embedder.embed = interrupted
    kb.add(guide)
    assert len(kb) == 2


def test_two_collections_do_not_mix(db, guide):
    one, two = (KnowledgeBase(db, NgramEmbedder(), name) for name in ("one", "two"))
    one.add(guide)
    assert two.search("sorted list") == []
    assert (len(one), len(two)) == (2, 0)
