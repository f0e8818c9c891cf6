"""The sampling profiler finds what is busy, with its callers."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from quanta_tissu.tisslm.engine.threads import ThreadTeam
from quanta_tissu.tisslm.inspect.profile.flame import flame_graph
from quanta_tissu.tisslm.inspect.profile.sampling import Node, sample


def busy(seconds):
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def idle(seconds):
    time.sleep(seconds)


def names(node):
    yield node.name
    for child in node.children.values():
        yield from names(child)


def test_a_busy_function_is_found_below_its_caller():
    def caller():
        busy(0.3)

    root = sample(caller, interval=0.001)
    assert root.samples > 5
    path = [name for name in names(root) if "test_sampling.py" in name]
    assert "caller" in path[-2]
    assert "busy (" in path[-1]


def test_children_have_no_more_samples_than_their_parent():
    def check(node):
        assert sum(child.samples for child in node.children.values()) <= node.samples
        for child in node.children.values():
            check(child)

    check(sample(lambda: busy(0.2), interval=0.001))


def test_threads_are_told_apart_and_waiting_does_not_count():
    with ThreadTeam(2) as team:
        root = sample(lambda: team.run([lambda: busy(0.3), lambda: busy(0.3)]), interval=0.001)
        assert {"MainThread", "replica-1"} <= set(root.children)
        root = sample(lambda: team.run([lambda: None, lambda: busy(0.3)]), interval=0.001)
    waiting = root.children.get("MainThread", Node("")).samples  # between two waits at most
    assert waiting < 0.3 * root.samples


def test_an_error_ends_the_sampling():
    with pytest.raises(ZeroDivisionError):
        sample(lambda: 1 / 0)
    assert "sampler" not in {thread.name for thread in threading.enumerate()}


class TestFlameGraph:
    def test_bars_are_as_wide_as_their_share(self):
        root = Node("all", 100, {"a": Node("a <x>", 75), "b": Node("b", 25)})
        html = flame_graph(root)
        assert 'data-left="0.000000" data-width="0.750000"' in html
        assert 'data-left="0.750000" data-width="0.250000"' in html
        assert "a &lt;x&gt;: 75.0% (75 samples)" in html
        assert "a <x>" not in html

    def test_what_cannot_be_seen_is_left_out(self):
        root = Node("all", 10_000, {"a": Node("rare", 1), "b": Node("often", 9_999)})
        assert "rare" not in flame_graph(root)

    def test_without_samples_it_says_so(self):
        assert "over before" in flame_graph(Node("all"))


def test_products_are_the_time_of_their_caller():
    a = np.ones((900, 900), np.float32)

    def multiply():
        end = time.perf_counter() + 0.3
        while time.perf_counter() < end:
            a @ a

    assert any("multiply" in name for name in names(sample(multiply, interval=0.001)))
