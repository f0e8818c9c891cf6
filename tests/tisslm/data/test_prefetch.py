"""The background worker: same items in the same order, errors where they belong, nothing left running."""

from __future__ import annotations

import threading
import time
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quanta_tissu.tisslm.data.prefetch import Prefetcher


def prefetching_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "tissu-prefetch"]


@given(start=st.integers(0, 100), count=st.integers(0, 20), depth=st.integers(1, 5))
def test_items_come_in_order_from_the_start(start, count, depth):
    with Prefetcher(lambda number: number * number, start, depth=depth) as upcoming:
        assert list(islice(upcoming, count)) == [number * number for number in range(start, start + count)]


def test_it_ends_at_stop_and_stays_ended():
    upcoming = Prefetcher(str, 3, stop=6)
    assert list(upcoming) == ["3", "4", "5"]
    assert list(upcoming) == []
    assert not prefetching_threads()


def test_it_works_ahead_but_no_further_than_its_depth():
    fetched: list[int] = []
    enough = threading.Event()

    def fetch(number: int) -> int:
        fetched.append(number)
        if len(fetched) == 4:
            enough.set()
        return number

    with Prefetcher(fetch, depth=3) as upcoming:
        assert enough.wait(5)  # three in the queue, the fourth in hand, with none taken
        time.sleep(0.05)
        assert fetched == [0, 1, 2, 3]
        assert next(upcoming) == 0


def test_items_are_fetched_outside_the_calling_thread():
    with Prefetcher(lambda _: threading.current_thread().name) as upcoming:
        assert next(upcoming) == "tissu-prefetch"


def test_an_error_is_raised_in_its_turn_and_ends_the_iteration():
    def fetch(number: int) -> int:
        if number == 2:
            raise OSError("the disk is gone")
        return number

    upcoming = Prefetcher(fetch)
    assert next(upcoming) == 0
    assert next(upcoming) == 1
    with pytest.raises(OSError, match="the disk is gone"):
        next(upcoming)
    assert list(upcoming) == []
    assert not prefetching_threads()


def test_closing_joins_the_thread_even_with_items_waiting():
    upcoming = Prefetcher(lambda number: number, depth=1)
    next(upcoming)
    upcoming.close()
    upcoming.close()
    assert not prefetching_threads()
    with pytest.raises(StopIteration):
        next(upcoming)


def test_leaving_the_block_by_an_error_joins_the_thread():
    with pytest.raises(KeyError), Prefetcher(lambda number: number):
        raise KeyError
    assert not prefetching_threads()


def test_a_depth_of_nothing_is_refused():
    with pytest.raises(ValueError, match="depth is 0"):
        Prefetcher(str, depth=0)
