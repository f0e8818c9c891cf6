"""What the machine can do."""

from __future__ import annotations

import pytest

from quanta_tissu.tisslm.inspect.profile.machine import Machine, best_seconds, measure_machine, product_gflops


@pytest.fixture(scope="module")
def machine():
    return measure_machine(seconds=0.2)


def test_figures_are_plausible(machine):
    assert machine.cores >= 1
    assert 1 < machine.gflops_one_core <= machine.gflops < 1e5
    assert 0.5 < machine.read_gbs < 1e4
    assert machine.to_json()["cores"] == machine.cores


def test_the_roof_is_the_lower_of_the_two_limits():
    machine = Machine(2, gflops=100.0, gflops_one_core=50.0, read_gbs=20.0)
    assert machine.ridge == 5
    assert machine.seconds(flops=1e9, nbytes=1e6) == 0.01
    assert machine.seconds(flops=1e6, nbytes=1e9) == 0.05


def test_a_large_product_is_faster_than_a_tiny_one():
    assert product_gflops((512, 512, 512), 1, seconds=0.1) > 3 * product_gflops((4, 4, 4), 1, seconds=0.1)


def test_tasks_run_at_the_same_time():
    import threading

    together = threading.Barrier(2, timeout=10)
    assert best_seconds([together.wait, together.wait], 0.01) < 5
