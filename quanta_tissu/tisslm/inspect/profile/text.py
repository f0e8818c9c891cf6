"""The figures of a profile as text, for tables in the terminal and on the page."""

from __future__ import annotations

from quanta_tissu.tisslm.inspect.profile.profile import Profile, Row

COLUMNS = ("calls", "ms", "share", "FLOPs", "bytes", "FLOP/B", "GFLOP/s", "GB/s", "roofline", "new", "kept")
"""Headings: `new` is what forward returned in new arrays, `kept` what it keeps for backward, both in bytes."""

_UNITS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def summary(profile: Profile) -> list[str]:
    """The lines above the tables."""
    machine = profile.machine
    lines = [
        f"machine: {machine.gflops:.0f} GFLOP/s in float32 products on {machine.cores} cores "
        f"({machine.gflops_one_core:.0f} on one), {machine.read_gbs:.1f} GB/s read",
        f"{profile.workload} on the {profile.engine} engine: {profile.description}",
    ]
    for name, speed in profile.speeds.items():
        lines.append(
            f"{name}: {1e3 * speed.seconds:.2f} ms, {speed.tokens_per_second:,.0f} tokens/s, "
            f"{speed.utilisation:.0%} of the peak in the products that the model asks for"
        )
    slower = profile.seconds / profile.plain_seconds - 1
    lines.append(
        f"profiled: {1e3 * profile.seconds:.2f} ms, {slower:+.1%} against that without the profiler "
        f"(mean of {profile.runs})" + (f"; {human(profile.kept)}B kept for backward" if profile.kept else "")
    )
    return lines


def cells(row: Row) -> tuple[str, ...]:
    """The figures of a row, in the order of `COLUMNS`; empty where there is nothing to say."""
    return (
        f"{row.calls:,.0f}" if row.calls else "",
        f"{1e3 * row.seconds:.3f}",
        f"{row.share:.1%}",
        human(row.flops) if row.flops else "" if row.flops == 0 else "?",
        human(row.nbytes),
        _number(row.intensity),
        _number(row.gflops),
        _number(row.gbs),
        "" if row.roofline is None else f"{row.roofline:.0%}",
        human(row.allocated),
        human(row.kept),
    )


def operation(row: Row) -> str:
    """Its name and phase."""
    return f"{row.op} {row.phase}".strip()


def human(number: float) -> str:
    """A large number in three digits or so; empty for none."""
    if not number:
        return ""
    for factor, unit in _UNITS:
        if number >= factor:
            return f"{number / factor:.3g} {unit}"
    return f"{number:.0f} "


def _number(value: float | None) -> str:
    if not value:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}"
