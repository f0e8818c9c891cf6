"""Starting times are those of whole processes, with and without compiled kernels."""

from __future__ import annotations

import pytest


def test_a_command_that_fails_ends_the_benchmark(benchmark_module, tmp_path):
    startup = benchmark_module("startup")
    with pytest.raises(SystemExit, match="nowhere"):
        startup.run("generate", "nowhere", cache=tmp_path)


def test_the_checkpoint_and_the_text_can_be_used(benchmark_module, tmp_path):
    from quanta_tissu.tisslm.language_model import load

    startup = benchmark_module("startup")
    checkpoint, text = startup.prepare(tmp_path)
    assert load(checkpoint, "reference").generate("def", max_new_tokens=1).tokens
    assert 1e5 < text.stat().st_size < 1e6


@pytest.mark.slow
def test_cold_is_slower_than_warm(benchmark_module):
    pytest.importorskip("numba")
    startup = benchmark_module("startup")
    report = startup.measure(rounds=1, cold_rounds=1)
    seconds = {name: result["seconds"]["median"] for name, result in report["results"].items()}
    assert seconds["help"] < seconds["generate, warm"] < seconds["generate, cold"]
    assert seconds["train, warm"] < seconds["train, cold"]
    table = startup.table(report)
    assert "generate, cold" in table
    assert "60" in table
