"""The roofline chart as SVG: what operations reach against what they could reach."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape

from quanta_tissu.tisslm.inspect.profile.machine import Machine
from quanta_tissu.tisslm.inspect.profile.profile import Row

_WIDTH, _HEIGHT = 860, 460
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 20, 20, 50
_COLORS = {
    "forward": "#1f77b4",
    "backward": "#d62728",
    "update": "#2ca02c",
    "prefill": "#1f77b4",
    "decode": "#d62728",
}
_LABELLED = 0.015
"""Share of the time from which an operation has its name beside it."""


def roofline_chart(machine: Machine, rows: Sequence[Row]) -> str:
    """Draw a dot for each operation, as large as its share of the time.

    Args:
        machine: Gives the roof.
        rows: Operations; those without FLOPs have no place on the chart.
    """
    dots = [row for row in rows if row.flops and row.gflops and row.intensity]
    axes = _Axes(machine, dots)
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" role="img" aria-label="roofline chart" '
        'font-family="sans-serif" font-size="11">',
        *axes.grid(),
        *_roof(machine, axes),
        *_dots(dots, axes),
        *_legend(dots),
        "</svg>",
    ]
    return "\n".join(parts)


class _Axes:
    """From FLOPs per byte and GFLOP/s to places on the chart, both by their logarithms."""

    def __init__(self, machine: Machine, dots: Sequence[Row]) -> None:
        xs = [machine.ridge, 0.1, *(row.intensity or 1.0 for row in dots)]
        ys = [machine.gflops, *(row.gflops or 1.0 for row in dots)]
        self.x = math.floor(math.log10(min(xs))), math.ceil(math.log10(max(xs) * 1.5))
        self.y = math.floor(math.log10(max(min(ys), max(ys) / 1e5))), math.ceil(math.log10(max(ys) * 1.2))

    def left(self, intensity: float) -> float:
        low, high = self.x
        share = (math.log10(intensity) - low) / (high - low)
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def top(self, gflops: float) -> float:
        low, high = self.y
        share = max(0.0, (math.log10(gflops) - low) / (high - low))
        return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)

    def grid(self) -> Iterator[str]:
        """Lines at the powers of ten, their numbers, and what they count."""
        bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
        for power in range(self.x[0], self.x[1] + 1):
            x = self.left(10.0**power)
            yield f'<line x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{bottom}" stroke="#e5e5e5"/>'
            yield _text(x, bottom + 15, f"{10.0**power:g}", "middle")
        for power in range(self.y[0], self.y[1] + 1):
            y = self.top(10.0**power)
            yield f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" stroke="#e5e5e5"/>'
            yield _text(_LEFT - 6, y + 4, f"{10.0**power:g}", "end")
        yield _text((_LEFT + right) / 2, bottom + 35, "intensity, FLOP per byte", "middle")
        turned = f"translate(14 {(_TOP + bottom) / 2}) rotate(-90)"
        yield f'<g transform="{turned}">{_text(0, 0, "GFLOP/s", "middle")}</g>'


def _roof(machine: Machine, axes: _Axes) -> Iterator[str]:
    """Memory bounds from the left, products from above."""
    start, end = 10.0 ** axes.x[0], 10.0 ** axes.x[1]
    # The sloping part begins where it enters the chart.
    start = max(start, 10.0 ** axes.y[0] / machine.read_gbs)
    points = [(start, start * machine.read_gbs), (machine.ridge, machine.gflops), (end, machine.gflops)]
    path = " ".join(f"{axes.left(x):.1f},{axes.top(y):.1f}" for x, y in points)
    yield f'<polyline points="{path}" fill="none" stroke="#444" stroke-width="2"/>'
    peak, slope = f"{machine.gflops:.0f} GFLOP/s in products", f"{machine.read_gbs:.1f} GB/s read"
    yield _text(axes.left(end) - 4, axes.top(machine.gflops) - 6, peak, "end")
    middle = math.sqrt(start * machine.ridge)
    yield _text(axes.left(middle) - 8, axes.top(middle * machine.read_gbs) - 6, slope, "end")


def _dots(dots: Sequence[Row], axes: _Axes) -> Iterator[str]:
    taken: list[tuple[float, float]] = []
    for row in sorted(dots, key=lambda row: -row.seconds):
        x, y = axes.left(row.intensity or 1.0), axes.top(row.gflops or 1.0)
        radius = 3 + 22 * math.sqrt(max(0.0, row.share))
        name = escape(f"{row.op} {row.phase}")
        reached = "" if row.roofline is None else f", {row.roofline:.0%} of the roofline"
        title = f"{name}: {1e3 * row.seconds:.3f} ms, {row.share:.1%}; {row.gflops or 0:.1f} GFLOP/s{reached}"
        yield _circle(x, y, radius, row.phase, title)
        if row.share >= _LABELLED:
            right = x + radius + 4 + 6 * len(name) > _WIDTH  # no room beside it
            while any(abs(x - a) < 110 and abs(y - b) < 11 for a, b in taken):
                y += 11
            taken.append((x, y))
            place = x - radius - 4 if right else x + radius + 4
            yield _text(place, y + 4, name, "end" if right else "start")


def _legend(dots: Sequence[Row]) -> Iterator[str]:
    for place, phase in enumerate(dict.fromkeys(row.phase for row in dots)):
        y = _HEIGHT - _BOTTOM - 14 - 16 * place
        yield _circle(_WIDTH - 110, y, 5, phase, escape(phase))
        yield _text(_WIDTH - 98, y + 4, escape(phase), "start")


def _circle(x: float, y: float, radius: float, phase: str, title: str = "") -> str:
    color = _COLORS.get(phase, "#7f7f7f")
    style = f'fill="{color}" fill-opacity="0.55" stroke="{color}"'
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" {style}><title>{title}</title></circle>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'
