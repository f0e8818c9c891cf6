"""A knowledge base on every engine."""

from __future__ import annotations

from quanta_tissu.knowledge import KnowledgeBase, NgramEmbedder

GUIDE = "# Guide\n\n## Sorting\nCall sorted to put a list in order.\n\n## Weather\nIt rains in November.\n"


def test_files_are_added_found_brought_up_to_date_and_kept(every_db, tmp_path):
    path = tmp_path / "guide.md"
    path.write_text(GUIDE)
    kb = KnowledgeBase(every_db, NgramEmbedder(), limit=40, overlap=8)
    assert kb.add(path).inserted == 2
    best = kb.search("how do I sort a list?")[0]
    assert (best.heading, best.first, best.words) == ("Guide › Sorting", 4, 1)
    assert 0 < best.nearness < 1
    path.write_text(GUIDE.replace("rains", "snows"))
    added = kb.add(path)
    assert (added.inserted, added.kept, added.deleted) == (1, 1, 1)
    again = KnowledgeBase(every_db, NgramEmbedder(), limit=40, overlap=8)
    assert len(again) == 2
    assert "snows" in again.search("November weather")[0].text
    assert not again.add(path).changed
