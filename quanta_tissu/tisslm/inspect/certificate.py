"""The gradient certificate: what was checked, how exactly it agreed, and whether that is enough."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from quanta_tissu.tisslm.inspect.differences import ENTIRELY_WRONG
from quanta_tissu.tisslm.wording import counted


@dataclass(frozen=True)
class Check:
    """One comparison.

    Attributes:
        op: Name of the op, or `model` for a whole decoder.
        check: What was compared with what.
        sample: On which case.
        relative_error: As `differences.relative_error` measures it; 2 is entirely wrong.
        tolerance: The largest error that passes.
        source: Where the op's formula comes from.
        detail: What went wrong, if the error alone does not say it.
    """

    op: str
    check: str
    sample: str
    relative_error: float
    tolerance: float
    source: str = ""
    detail: str = ""

    @classmethod
    def measure(
        cls, op: str, check: str, sample: str, tolerance: float, error: Callable[[], float], source: str = ""
    ) -> Check:
        """Compare: call `error`; an exception in what is checked is entirely wrong, and does not end the walk."""
        try:
            return cls(op, check, sample, error(), tolerance, source)
        except Exception as exception:
            return cls(
                op, check, sample, ENTIRELY_WRONG, tolerance, source, f"{type(exception).__name__}: {exception}"
            )

    @property
    def passed(self) -> bool:
        """Whether the error is within the tolerance."""
        return self.relative_error <= self.tolerance


@dataclass(frozen=True)
class Row:
    """All samples of one op and check: the worst of them speaks for all."""

    worst: Check
    samples: int


@dataclass(frozen=True)
class Timing:
    """How long one op takes, forward and backward together.

    Attributes:
        op: Name of the op.
        shape: The size it was timed at.
        milliseconds: By implementation: `reference`, `fast`, `torch`.
    """

    op: str
    shape: str
    milliseconds: dict[str, float]

    def milliseconds_by(self, name: str) -> str:
        """The time of one implementation as text; empty if there is none."""
        return f"{self.milliseconds[name]:.2f}" if name in self.milliseconds else ""


@dataclass(frozen=True)
class Certificate:
    """The result of a run of the harness.

    Attributes:
        checks: Every comparison.
        environment: Names and versions of what took part.
        timings: Speed by op, if asked for.
    """

    checks: list[Check]
    environment: dict[str, str] = field(default_factory=dict)
    timings: list[Timing] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether something was checked and all of it is within its tolerance."""
        return bool(self.checks) and not self.failures

    @property
    def failures(self) -> list[Check]:
        """The comparisons that are not within their tolerance."""
        return [check for check in self.checks if not check.passed]

    @property
    def worst(self) -> float:
        """Largest error of all checks in double precision."""
        return max((c.relative_error for c in self.checks if "float32" not in c.check), default=0.0)

    def rows(self) -> Iterator[Row]:
        """One row per op and check, in the order of checking."""
        groups: dict[tuple[str, str], list[Check]] = {}
        for check in self.checks:
            groups.setdefault((check.op, check.check), []).append(check)
        for group in groups.values():
            # A failure outranks a larger error that a wider tolerance allows.
            yield Row(max(group, key=lambda c: (not c.passed, c.relative_error)), len(group))

    def to_json(self) -> dict[str, Any]:
        """As plain data: `checks` by op and check with the worst sample, `worst`, and more."""
        checks = [
            {
                "op": row.worst.op,
                "check": row.worst.check,
                "relative_error": row.worst.relative_error,
                "tolerance": row.worst.tolerance,
                "passed": row.worst.passed,
                "samples": row.samples,
                "worst_sample": row.worst.sample,
                "source": row.worst.source,
            }
            for row in self.rows()
        ]
        data: dict[str, Any] = {
            "checks": checks,
            "worst": self.worst,
            "passed": self.passed,
            "environment": self.environment,
        }
        if self.timings:
            data["benchmark"] = [
                {"op": t.op, "shape": t.shape, "milliseconds": t.milliseconds} for t in self.timings
            ]
        return data

    def to_markdown(self) -> str:
        """As a document: the table of checks and, if there are any, of timings."""
        verdict = "All checks passed." if self.passed else f"{counted(len(self.failures), 'check')} failed."
        lines = [
            "# Gradient certificate",
            "",
            f"{verdict} Worst relative error in double precision: {self.worst:.1e}.",
            "Checked with " + ", ".join(f"{name} {version}" for name, version in self.environment.items()) + ".",
            "",
            *_table(
                ("op", "check", "worst relative error", "tolerance", "samples", "source"),
                (
                    (
                        row.worst.op,
                        row.worst.check,
                        f"{row.worst.relative_error:.1e}" + ("" if row.worst.passed else " **FAILED**"),
                        f"{row.worst.tolerance:.0e}",
                        str(row.samples),
                        row.worst.source,
                    )
                    for row in self.rows()
                ),
            ),
        ]
        if self.failures:
            lines += ["", "## Failures", ""]
            lines += [
                f"- {c.op}, {c.check}, {c.sample}: {c.relative_error:.1e} {c.detail}".rstrip()
                for c in self.failures
            ]
        if self.timings:
            names = list(dict.fromkeys(name for timing in self.timings for name in timing.milliseconds))
            lines += ["", "## Time, forward and backward, float32, one thread, in milliseconds", ""]
            lines += _table(
                ("op", "size", *names),
                ((t.op, t.shape, *(t.milliseconds_by(name) for name in names)) for t in self.timings),
            )
        return "\n".join(lines) + "\n"


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    """The lines of a Markdown table."""
    lines = [header, tuple("---" for _ in header), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]
