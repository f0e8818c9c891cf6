"""All benchmarks in one go: what was measured stands beside what was wanted, failures included."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

SPREAD = {"median": 1.6, "q25": 1.5, "q75": 1.7, "n": 10}


@pytest.fixture
def run_all(benchmark_module):
    return benchmark_module("run_all")


def outcome(run_all, name, report):
    benchmark = next(benchmark for benchmark in run_all.BENCHMARKS if benchmark.name == name)
    return run_all.Outcome(benchmark, 10.0, {"environment": {"cpu": "a CPU", "load": 0.5}, **report})


def training(run_all, size="small", **spread):
    side = {"milliseconds_per_step": SPREAD | {"best": 1.4}, "tokens_per_second": 1000, "share_of_peak": 0.9}
    result = {"size": size, "ours": side, "pytorch": side, "ratio": SPREAD | spread, "ratio_of_best": 1.5}
    result |= {"operations_per_step": 112_000_000, "product_peak_gflops": 100.0}
    return outcome(run_all, "train_vs_torch", {"results": [result]})


def test_every_benchmark_is_there_and_understands_its_arguments(run_all):
    for benchmark in run_all.BENCHMARKS:
        source = benchmark.path.read_text(encoding="utf-8")
        for argument in (*benchmark.arguments, "--json"):
            assert not argument.startswith("--") or f'"{argument}"' in source


def test_the_time_limits_are_worth_having(run_all):
    assert all(60 <= benchmark.seconds <= 300 for benchmark in run_all.BENCHMARKS)


def test_a_bar_is_reached_or_not(run_all):
    text = "\n".join(run_all.section([training(run_all)], "abc"))
    assert (
        "| training against PyTorch eager, 12×64 × 4 × 128 | at least 1.5 "
        "| 1.60 (1.50 – 1.70, n = 10) | reached |" in text
    )
    text = "\n".join(run_all.section([training(run_all, median=1.4)], "abc"))
    assert "1.40 (1.50 – 1.70, n = 10) | **not reached** |" in text


def test_one_measurement_has_no_quartiles(run_all):
    assert str(run_all.Figure.of({"median": 1.6, "q25": 1.6, "q75": 1.6, "n": 1})) == "1.60 (n = 1)"
    assert str(run_all.Figure(1.6)) == "1.60 (n = 1)"


def test_more_seeds_get_more_time(run_all):
    (time_to_loss,) = [benchmark for benchmark in run_all.BENCHMARKS if benchmark.name == "time_to_loss"]
    five = time_to_loss.with_seeds(5)
    assert five.command(Path("text.txt"))[2:] == ["text.txt", "--seeds", "5", "--json"]
    assert five.seconds == 5 * time_to_loss.seconds
    assert run_all.BENCHMARKS[0].with_seeds(5) == run_all.BENCHMARKS[0]


def test_what_was_not_measured_is_not_reached(run_all):
    text = "\n".join(run_all.section([], "abc"))
    assert text.count("| not measured |  |") == len(run_all.BARS)
    assert "| reached |" not in text


def test_the_share_of_the_peak_is_that_of_the_median_step(run_all):
    """112 MFLOP in 1.6 ms are 70 GFLOP/s, of 100; the best step does not count."""
    (bar,) = [bar for bar in run_all.BARS if "matrix-product peak" in bar.measure]
    figure = run_all.figure_of(bar, [training(run_all, "small"), training(run_all, "gpt2")])
    assert figure.value == pytest.approx(0.7)
    assert figure.low < figure.value < figure.high
    assert not bar.reached(figure)


def test_every_bar_reads_its_report(run_all):
    ratios = dict.fromkeys(("prefill", "decode 1"), SPREAD)
    sides = {key: {"ours": SPREAD, "transformers": SPREAD} for key in ratios}
    generated = {"ratio": ratios, "bandwidth": {"share": SPREAD}, "tokens_per_second": sides}
    memory = {"peak": 2e8, "above": 1e8, "of_pytorch": {"peak": 0.5, "above": 0.4}}
    loss = {"seconds": SPREAD, "losses": SPREAD, "mean_loss": 1.87, "standard_deviation": 0.01, "reached": 2}
    times = {name: {"seconds": SPREAD, "best": 1} for name in ("help", "generate, cold", "generate, warm")}
    rates = {"1": 1.0, "2": 2.0}
    product = {"shape": (1, 2, 3), "separate": rates, "shared": rates}
    both = {"ours": SPREAD, "sentence-transformers": SPREAD}
    embedded = dict.fromkeys(("texts_per_second", "texts_per_cpu_second", "query_milliseconds"), both)
    embedded |= {"ratio": dict.fromkeys(("passages", "passages, CPU time", "query"), SPREAD)}
    outcomes = [
        *(training(run_all, size) for size in ("small", "large", "gpt2")),
        outcome(run_all, "generate_vs_torch", {"results": [{"size": s, **generated} for s in ("24M", "134M")]}),
        outcome(
            run_all,
            "memory",
            {"results": [{"size": s, **dict.fromkeys(("pytorch", "ours", "recomputed"), memory)}
                         for s in ("small", "large", "gpt2")]},
        ),
        outcome(run_all, "embed_vs_torch", {"result": embedded}),
        outcome(run_all, "time_to_loss", {"ratio": SPREAD, "runs": [{}] * 3, "ours": loss, "pytorch": loss}),
        outcome(run_all, "startup", {"results": times}),
        outcome(run_all, "roofline", {"fma": rates, "products": {"x": product}, "memory": {"read": rates}}),
    ]  # fmt: skip
    text = "\n".join(run_all.section(outcomes, "abc"))
    assert "not measured" not in text
    assert "| ours | 3 | 1.6 | 1.8700 ± 0.0100 | 2 |" in text
    for benchmark in run_all.BENCHMARKS:
        assert f"benchmarks/{benchmark.name}.py" in text
    assert "cpu a CPU" in text
    assert "blas" in text
    assert "Commit abc" in text


def test_a_benchmark_that_fails_is_an_outcome(run_all, tmp_path, monkeypatch):
    program = tmp_path / "wrong.py"
    program.write_text("import sys; sys.exit('no luck today')")
    monkeypatch.setattr(run_all.Benchmark, "path", program)
    failed = run_all.run(run_all.Benchmark("wrong", (), 60), None)
    assert (failed.report, failed.problem) == (None, "exit code 1: no luck today")
    assert "no luck today" in "\n".join(run_all.section([failed], "abc"))


def test_a_benchmark_that_takes_too_long_is_ended(run_all, tmp_path, monkeypatch):
    program = tmp_path / "slow.py"
    program.write_text("import time; time.sleep(60)")
    monkeypatch.setattr(run_all.Benchmark, "path", program)
    assert run_all.run(run_all.Benchmark("slow", (), 1), None).problem == "took more than 1 s"


def test_a_text_that_is_not_there_and_a_program_that_is_not_there(run_all):
    assert "--text" in run_all.run(run_all.Benchmark("time_to_loss", ("TEXT",), 60), None).problem
    assert "no such program" in run_all.run(run_all.Benchmark("nothing", (), 60), None).problem


def test_only_the_measured_part_of_the_page_is_replaced(run_all, tmp_path):
    page = tmp_path / "results.md"
    page.write_text("before\n<!-- measured -->\nold\n<!-- end measured -->\nafter\n")
    run_all.write(iter(["new", r"a \1 b"]), page)
    assert page.read_text() == "before\n<!-- measured -->\nnew\na \\1 b\n<!-- end measured -->\nafter\n"
    page.write_text("no such part")
    with pytest.raises(SystemExit, match="measured"):
        run_all.write(iter([]), page)


def test_the_page_has_its_part(run_all):
    assert len(run_all._MEASURED.findall(run_all.PAGE.read_text(encoding="utf-8"))) == 1


def test_the_command(run_all, tmp_path, monkeypatch, capsys):
    program = tmp_path / "startup.py"
    report = {"environment": {"load": 1.0}, "results": {"help": {"seconds": SPREAD, "best": 1}}}
    program.write_text(f"print({json.dumps(report)!r})")
    monkeypatch.setattr(run_all.Benchmark, "path", program)
    monkeypatch.setattr(run_all, "REPORTS", tmp_path / "reports")
    monkeypatch.setattr(sys, "argv", ["run_all.py", "--only", "startup", "--no-write"])
    run_all.main()
    assert "| seconds of `tissu --help` | at most 0.3 | 1.60" in capsys.readouterr().out
    (saved,) = Path(tmp_path / "reports").iterdir()
    assert json.loads(saved.read_text()) == report
