"""Ids are unique, in order, and checked where they are given."""

from __future__ import annotations

import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from quanta_tissu.errors import InvalidDocumentError
from quanta_tissu.tissdb.ids import check_id, new_id


def test_new_ids_are_uuids_of_version_7_with_the_time_in_them():
    before = time.time_ns() // 1_000_000
    made = uuid.UUID(new_id())
    assert made.version == 7
    assert made.variant == uuid.RFC_4122
    assert before <= made.int >> 80 <= time.time_ns() // 1_000_000 + 1


def test_new_ids_are_in_order_and_unique_across_threads():
    own = [new_id() for _ in range(5000)]
    assert own == sorted(set(own))
    with ThreadPoolExecutor(8) as pool:
        made = [one for batch in pool.map(lambda _: [new_id() for _ in range(500)], range(8)) for one in batch]
    assert len(set(made)) == len(made)


def test_order_holds_when_the_clock_goes_back(monkeypatch):
    first = new_id()
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    assert new_id() > first


@pytest.mark.parametrize("bad", [1, "", "x" * 513, "a\nb", "a\0", None])
def test_what_is_no_id_is_refused(bad):
    with pytest.raises(InvalidDocumentError) as caught:
        check_id(bad)
    assert caught.value.path == "_id"


def test_ids_may_be_any_printable_text():
    assert check_id("überall/42 ✓") == "überall/42 ✓"
