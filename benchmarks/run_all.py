"""Run every benchmark, and write what came of it beside what was wanted: `make bench`.

    python benchmarks/run_all.py [--only NAME] [--text tinyshakespeare.txt] [--seeds N] [--no-write]

Each benchmark is a program of its own in this folder, run with --json, one after the other, in under 15 minutes in
all on two cores. The part of docs/results.md between `<!-- measured -->` and `<!-- end measured -->` is replaced;
what is around it is written by hand. A benchmark that fails or takes too long is named there, and so is what could
not be measured because of it. The reports themselves go to benchmarks/reports/, one JSON file each.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "results.md"
REPORTS = Path(__file__).with_name("reports")
TEXTS = (Path("tinyshakespeare.txt"), ROOT.parent / "shared" / "data" / "tinyshakespeare.txt")

_MEASURED = re.compile(r"(<!-- measured -->\n).*?(<!-- end measured -->)", re.DOTALL)

Report = dict[str, Any]


@dataclass(frozen=True)
class Benchmark:
    """One of the programs.

    Attributes:
        name: Its file's name.
        arguments: What it is run with, besides --json; "TEXT" stands for tinyshakespeare.
        seconds: It is ended after so many.
        needs: Libraries that it compares with.
    """

    name: str
    arguments: tuple[str, ...]
    seconds: int
    needs: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """The program."""
        return Path(__file__).with_name(f"{self.name}.py")

    def command(self, text: Path | None) -> list[str]:
        """How it is called."""
        arguments = [str(text) if argument == "TEXT" else argument for argument in self.arguments]
        return [sys.executable, str(self.path), *arguments, "--json"]

    def with_seeds(self, count: int) -> Benchmark:
        """The same with so many runs of each side, where that can be said, and as much more time."""
        if "--seeds" not in self.arguments:
            return self
        return replace(self, arguments=(*self.arguments[:-1], str(count)), seconds=count * self.seconds)

    @property
    def shown(self) -> str:
        """The command as a person would type it."""
        words = ["tinyshakespeare.txt" if argument == "TEXT" else argument for argument in self.arguments]
        return " ".join(["python", f"benchmarks/{self.name}.py", *words])


BENCHMARKS = (
    Benchmark("roofline", (), 120),
    Benchmark("train_vs_torch", ("--size", "small", "--rounds", "10"), 90, ("torch",)),
    Benchmark("train_vs_torch", ("--size", "large", "--rounds", "8"), 120, ("torch",)),
    Benchmark("train_vs_torch", ("--size", "gpt2", "--rounds", "4"), 180, ("torch",)),
    Benchmark("memory", (), 150, ("torch",)),
    Benchmark("generate_vs_torch", ("--size", "24M", "--rounds", "3"), 120, ("torch", "transformers")),
    Benchmark("generate_vs_torch", ("--size", "134M", "--rounds", "3"), 240, ("torch", "transformers")),
    Benchmark("embed_vs_torch", ("--rounds", "5"), 180, ("torch", "sentence_transformers")),
    Benchmark("time_to_loss", ("TEXT", "--seeds", "1"), 300, ("torch",)),
    Benchmark("startup", ("--rounds", "5", "--cold-rounds", "1"), 180),
)


@dataclass(frozen=True)
class Figure:
    """One measured number.

    Attributes:
        value: The median.
        low: Lower quartile, if there were several.
        high: Upper quartile.
        count: Of how many.
    """

    value: float
    low: float | None = None
    high: float | None = None
    count: int = 1

    @classmethod
    def of(cls, spread: Mapping[str, float]) -> Figure:
        """From the `spread` of a report."""
        return cls(spread["median"], spread["q25"], spread["q75"], int(spread["n"]))

    def __str__(self) -> str:
        quartiles = "" if self.count == 1 else f"{self.low:.2f} – {self.high:.2f}, "
        return f"{self.value:.2f} ({quartiles}n = {self.count})"


@dataclass(frozen=True)
class Bar:
    """Something that has to be reached.

    Attributes:
        measure: What is measured.
        bound: The number.
        at_least: Whether more is better.
        benchmark: Which program measures it.
        find: Where in the report of which size.
    """

    measure: str
    bound: float
    at_least: bool
    benchmark: str
    find: Callable[[Report], Figure]

    def reached(self, figure: Figure) -> bool:
        """Whether the figure is on the right side."""
        return figure.value >= self.bound if self.at_least else figure.value <= self.bound


def _result(report: Report, size: str) -> Report:
    """The result of one size; KeyError if it was not measured."""
    for result in report["results"]:
        if result["size"] == size:
            found: Report = result
            return found
    raise KeyError(size)


def _training(size: str) -> Callable[[Report], Figure]:
    return lambda report: Figure.of(_result(report, size)["ratio"])


def _share_of_peak(report: Report) -> Figure:
    """Of the median step, quartiles the other way round: a longer step is a smaller share."""
    result = _result(report, "gpt2")
    milliseconds = result["ours"]["milliseconds_per_step"]
    best = 1e-6 * result["operations_per_step"] / result["product_peak_gflops"]
    median, q25, q75 = (best / milliseconds[key] for key in ("median", "q75", "q25"))
    return Figure(median, q25, q75, int(milliseconds["n"]))


def _generation(size: str, what: str) -> Callable[[Report], Figure]:
    return lambda report: Figure.of(_result(report, size)["ratio"][what])


def _memory(size: str) -> Callable[[Report], Figure]:
    return lambda report: Figure(_result(report, size)["ours"]["of_pytorch"]["peak"])


def _startup(what: str) -> Callable[[Report], Figure]:
    return lambda report: Figure.of(report["results"][what]["seconds"])


BARS = (
    Bar("training against PyTorch eager, 12×64 × 4 × 128", 1.5, True, "train_vs_torch", _training("small")),
    Bar("the same, 8×256 × 6 × 384", 1.25, True, "train_vs_torch", _training("large")),
    Bar("the same, GPT-2 124M (4×256)", 1.15, True, "train_vs_torch", _training("gpt2")),
    Bar(
        "share of the matrix-product peak in training, 124M",
        0.8,
        True,
        "train_vs_torch",
        _share_of_peak,
    ),
    Bar(
        "decode at 134M, share of the measured read bandwidth",
        0.8,
        True,
        "generate_vs_torch",
        lambda report: Figure.of(_result(report, "134M")["bandwidth"]["share"]),
    ),
    Bar("decode against transformers, 24M", 5, True, "generate_vs_torch", _generation("24M", "decode 1")),
    Bar("decode against transformers, 134M", 3, True, "generate_vs_torch", _generation("134M", "decode 1")),
    Bar("prefill of 256 tokens at 134M", 1.3, True, "generate_vs_torch", _generation("134M", "prefill")),
    Bar(
        "vectors of texts against sentence-transformers",
        1,
        True,
        "embed_vs_torch",
        lambda report: Figure.of(report["result"]["ratio"]["passages"]),
    ),
    Bar(
        "time to nanoGPT's 1.88, share of PyTorch's",
        1 / 3,
        False,
        "time_to_loss",
        lambda report: Figure.of(report["ratio"]),
    ),
    Bar(
        "the loss reached in that time, whole validation split",
        1.88,
        False,
        "time_to_loss",
        lambda report: Figure.of(report["ours"]["losses"]),
    ),
    Bar("peak memory against PyTorch, 12×64 × 4 × 128", 0.8, False, "memory", _memory("small")),
    Bar("the same, 8×256 × 6 × 384", 0.8, False, "memory", _memory("large")),
    Bar("the same, GPT-2 124M", 0.8, False, "memory", _memory("gpt2")),
    Bar("seconds of the first `tissu generate`", 60, False, "startup", _startup("generate, cold")),
    Bar("seconds of a later `tissu generate`", 2, False, "startup", _startup("generate, warm")),
    Bar("seconds of `tissu --help`", 0.3, False, "startup", _startup("help")),
)


@dataclass(frozen=True)
class Outcome:
    """What a benchmark came to.

    Attributes:
        benchmark: Which one.
        seconds: How long it took.
        report: What it printed; None if it failed.
        problem: Why there is no report.
    """

    benchmark: Benchmark
    seconds: float
    report: Report | None
    problem: str | None = None


def run(benchmark: Benchmark, text: Path | None) -> Outcome:
    """Run one benchmark in a process of its own; whatever happens is an outcome."""
    start = time.perf_counter()
    if "TEXT" in benchmark.arguments and text is None:
        return Outcome(benchmark, 0.0, None, "there is no tinyshakespeare.txt (give it with --text)")
    if not benchmark.path.exists():
        return Outcome(benchmark, 0.0, None, "there is no such program")
    try:
        found = subprocess.run(
            benchmark.command(text),
            capture_output=True,
            text=True,
            check=False,
            timeout=benchmark.seconds,
            cwd=ROOT,
        )
    except subprocess.TimeoutExpired:
        return Outcome(benchmark, time.perf_counter() - start, None, f"took more than {benchmark.seconds} s")
    seconds = time.perf_counter() - start
    if found.returncode:
        last = (found.stderr.strip().splitlines() or ["no message"])[-1]
        return Outcome(benchmark, seconds, None, f"exit code {found.returncode}: {last}")
    return Outcome(benchmark, seconds, json.loads(found.stdout.splitlines()[-1]))


def figure_of(bar: Bar, outcomes: list[Outcome]) -> Figure | None:
    """What was measured; None if nothing was."""
    for outcome in outcomes:
        if outcome.benchmark.name == bar.benchmark and outcome.report is not None:
            try:
                return bar.find(outcome.report)
            except KeyError:  # the report of another size
                continue
    return None


def section(outcomes: list[Outcome], commit: str) -> Iterator[str]:
    """The measured part of the page."""
    around = next((outcome.report["environment"] for outcome in outcomes if outcome.report), None)
    if around is not None:
        known = {**around, "blas": _blas()}
        loads = [outcome.report["environment"].get("load") for outcome in outcomes if outcome.report]
        known["load"] = (
            " – ".join(f"{load:.1f}" for load in (min(loads), max(loads))) if None not in loads else None
        )
        yield (
            "Machine: " + ", ".join(f"{name} {value}" for name, value in known.items() if value is not None) + "."
        )
    total = sum(outcome.seconds for outcome in outcomes)
    yield f"Commit {commit}, {time.strftime('%Y-%m-%d')}; `make bench`, {total / 60:.0f} minutes.\n"
    yield "| measure | wanted | measured: median (quartiles, number of measurements) | |\n|---|---|---|---|"
    for bar in BARS:
        figure = figure_of(bar, outcomes)
        wanted = f"{'at least' if bar.at_least else 'at most'} {bar.bound:.3g}"
        verdict = "" if figure is None else "reached" if bar.reached(figure) else "**not reached**"
        yield f"| {bar.measure} | {wanted} | {figure or 'not measured'} | {verdict} |"
    yield ""
    for outcome in outcomes:
        if outcome.problem is not None:
            yield f"- `{outcome.benchmark.shown}`: {outcome.problem}"
    yield from _tables(outcomes)


def _tables(outcomes: list[Outcome]) -> Iterator[str]:
    """The reports that have a table of their own."""
    for outcome in outcomes:
        if outcome.report is None:
            continue
        table = TABLES.get(outcome.benchmark.name)
        if table is not None:
            yield f"\n`{outcome.benchmark.shown}`\n"
            yield from table(outcome.report)


def _roofline(report: Report) -> Iterator[str]:
    counts = list(report["fma"])
    yield "| | " + " | ".join(f"{n} thread{'s' if n != '1' else ''}" for n in counts) + " |"
    yield "|---|" + "---|" * len(counts)
    yield f"| fused multiply-adds, GFLOP/s | {_cells(report['fma'], counts)} |"
    for name, product in report["products"].items():
        M, K, N = product["shape"]
        yield f"| {name}: ({M}, {K}) @ ({K}, {N}), a product each | {_cells(product['separate'], counts)} |"
        yield f"| the same, one product shared | {_cells(product['shared'], counts)} |"
    for name, rates in report["memory"].items():
        yield f"| {name}, GB/s | {_cells(rates, counts)} |"


def _cells(rates: Mapping[str, float], counts: list[str]) -> str:
    return " | ".join(f"{rates[n]:.0f}" for n in counts)


def _train(report: Report) -> Iterator[str]:
    yield "| size | side | ms per step (quartiles) | best | tokens/s |\n|---|---|---|---|---|"
    for result in report["results"]:
        for side in ("ours", "pytorch"):
            spread = result[side]["milliseconds_per_step"]
            quartiles = f"{spread['median']:.1f} ({spread['q25']:.1f} – {spread['q75']:.1f})"
            rate = result[side]["tokens_per_second"]
            yield f"| {result['size']} | {side} | {quartiles} | {spread['best']:.1f} | {rate:,} |"
        yield f"| {result['size']} | ratio | {Figure.of(result['ratio'])} | {result['ratio_of_best']:.2f} | |"


def _generate(report: Report) -> Iterator[str]:
    yield "| size | tokens/s | ours | transformers | ratio |\n|---|---|---|---|---|"
    for result in report["results"]:
        for key, sides in result["tokens_per_second"].items():
            rates = " | ".join(f"{sides[name]['median']:,.1f}" for name in ("ours", "transformers"))
            yield f"| {result['size']} | {key} | {rates} | {Figure.of(result['ratio'][key])} |"


def _memory_table(report: Report) -> Iterator[str]:
    yield "| size | side | peak, MB | of PyTorch | above the imports, MB | of PyTorch |\n|---|---|---|---|---|---|"
    for result in report["results"]:
        for side in ("pytorch", "ours", "recomputed"):
            row = result[side]
            cells = [f"{row[key] / 1e6:,.0f} | {row['of_pytorch'][key]:.2f}" for key in ("peak", "above")]
            yield f"| {result['size']} | {side} | {' | '.join(cells)} |"


def _loss(report: Report) -> Iterator[str]:
    yield "| side | runs | seconds | loss on the whole validation split | reached in |\n|---|---|---|---|---|"
    for side in ("ours", "pytorch"):
        found, runs = report[side], len(report["runs"])
        deviation = f" ± {found['standard_deviation']:.4f}" if runs > 1 else ""
        seconds = f"{found['seconds']['median']:.1f}"
        yield f"| {side} | {runs} | {seconds} | {found['mean_loss']:.4f}{deviation} | {found['reached']} |"


def _embed(report: Report) -> Iterator[str]:
    yield "| | ours | sentence-transformers | ratio |\n|---|---|---|---|"
    result = report["result"]
    rows = {
        "passages": "texts_per_second",
        "passages, CPU time": "texts_per_cpu_second",
        "query": "query_milliseconds",
    }
    for key, name in rows.items():
        sides = " | ".join(f"{result[name][side]['median']:.1f}" for side in ("ours", "sentence-transformers"))
        yield f"| {key}, {name.replace('_', ' ')} | {sides} | {Figure.of(result['ratio'][key])} |"


def _startup_table(report: Report) -> Iterator[str]:
    yield "| seconds | median (quartiles) | best |\n|---|---|---|"
    for name, result in report["results"].items():
        yield f"| {name} | {Figure.of(result['seconds'])} | {result['best']:.2f} |"


TABLES: dict[str, Callable[[Report], Iterator[str]]] = {
    "roofline": _roofline,
    "train_vs_torch": _train,
    "generate_vs_torch": _generate,
    "memory": _memory_table,
    "embed_vs_torch": _embed,
    "time_to_loss": _loss,
    "startup": _startup_table,
}


def _blas() -> str:
    from quanta_tissu.cli.environment import blas

    return blas()


def _commit() -> str:
    """The commit that is measured, and whether there is more than that."""
    git = ["git", "-C", str(ROOT)]
    found = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    changed = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=False)
    return (found.stdout.strip() or "unknown") + (" with changes" if changed.stdout.strip() else "")


def write(lines: Iterator[str], page: Path = PAGE) -> None:
    """Replace the measured part of the page.

    Raises:
        SystemExit: The page has no such part.
    """
    text = page.read_text(encoding="utf-8")
    content = "\n".join(lines).rstrip() + "\n"
    fresh, count = _MEASURED.subn(lambda match: match[1] + content + match[2], text)
    if count != 1:
        raise SystemExit(f"{page} needs one part between <!-- measured --> and <!-- end measured -->")
    page.write_text(fresh, encoding="utf-8")


def main() -> None:
    """Run the benchmarks, print a line for each, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = list(dict.fromkeys(benchmark.name for benchmark in BENCHMARKS))
    parser.add_argument("--only", action="append", choices=names, help="this one alone; may be repeated")
    parser.add_argument("--text", type=Path, help="tinyshakespeare.txt  [default: looked for]")
    parser.add_argument("--seeds", type=int, default=1, help="runs of each side of time_to_loss (default: 1)")
    parser.add_argument("--no-write", action="store_true", help="print the page's part instead of writing it")
    arguments = parser.parse_args()
    if arguments.seeds < 1:
        parser.error("--seeds: at least one")
    text = arguments.text or next((path.resolve() for path in TEXTS if path.exists()), None)
    commit, outcomes = _commit(), []
    REPORTS.mkdir(exist_ok=True)
    for number, benchmark in enumerate(BENCHMARKS):
        if arguments.only and benchmark.name not in arguments.only:
            continue
        benchmark = benchmark.with_seeds(arguments.seeds)
        print(f"{benchmark.shown} …", end=" ", file=sys.stderr, flush=True)
        outcome = run(benchmark, text)
        print(outcome.problem or f"{outcome.seconds:.0f} s", file=sys.stderr, flush=True)
        outcomes.append(outcome)
        if outcome.report is not None:
            report = REPORTS / f"{number}-{benchmark.name}.json"
            report.write_text(json.dumps(outcome.report, indent=2) + "\n", encoding="utf-8")
    lines = section(outcomes, commit)
    if arguments.no_write:
        print("\n".join(lines))
    else:
        write(lines)
        print(f"wrote {os.path.relpath(PAGE)}", file=sys.stderr)
    if any(outcome.report is None for outcome in outcomes):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
