"""The machine's limits are measured, and make sense beside each other."""

from __future__ import annotations

import pytest


@pytest.fixture
def roofline(benchmark_module, monkeypatch):
    pytest.importorskip("numba")
    module = benchmark_module("roofline")
    monkeypatch.setattr(module, "SECONDS", 0.02)
    monkeypatch.setattr(module, "SHAPES", {"square": (256, 256, 256)})
    return module


def test_a_report_and_its_table(roofline):
    report = roofline.measure()
    assert report["environment"]["numpy"]
    counts = list(report["fma"])
    assert "1" in counts
    figures = [report["fma"], *report["products"]["square"].values(), *report["memory"].values()]
    for rates in figures[:1] + figures[2:]:
        assert list(rates) == counts
        assert all(rate > 0 for rate in rates.values())
    text = roofline.table(report)
    for word in (
        "fused multiply-adds",
        "(256, 256) @ (256, 256)",
        "separate",
        "shared",
        "read",
        "written",
        "copied",
    ):
        assert word in text


def test_multiply_adds_are_counted_and_computed(roofline):
    run, operations = roofline.fma_kernel()
    assert operations % (2 * roofline._ACCUMULATORS) == 0
    # Each register goes from its start towards the fixed point 0.001 / (1 - 0.999) = 1; the result is their sum.
    once = sum(0.999 * (1 + n / 16) + 0.001 for n in range(roofline._ACCUMULATORS))
    assert run(1) == pytest.approx(once, rel=1e-5)
    assert run(100_000) == pytest.approx(roofline._ACCUMULATORS, rel=1e-3)
