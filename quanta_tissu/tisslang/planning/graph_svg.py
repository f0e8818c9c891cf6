"""The picture of a graph as SVG, without any other program: boxes, frames and arrows, from top to bottom."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from quanta_tissu.tisslang.planning.graph import ON_A_COPY, Block, Box, Line, Node, Shape, Way

_CHAR = 6.65  # the width of a letter of 11 px in a monospaced font, in px
_TITLE_CHAR = 7.4  # of one of 13 px in a bold one
_ROW = 19
_PAD = 12
_GAP = 30  # between what follows each other: room for an arrow
_BESIDE = 26
_LABEL = 20
_BADGE = {"file": 62, "run": 40, "model": 58, "person": 58, "database": 62}
_NAMES = {"file": "", "run": "RUN", "model": "MODEL", "person": "PERSON", "database": "DATA"}
_FRAME_LABELS: dict[Shape, str] = {
    "parallel": "PARALLEL",
    "choose": "PERSON",
    "if": "IF",
    "loop": "AGAIN",
    "try": "TRY",
    "task": "TASK",
    "step": "STEP",
}

_STYLE = """
.page{fill:#ffffff}
text{font-family:ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace;font-size:11px;fill:#33373d}
.title{font-family:system-ui,'DejaVu Sans',sans-serif;font-size:13px;font-weight:600;fill:#16191d}
.head{font-size:17px} .label{font-family:system-ui,'DejaVu Sans',sans-serif;fill:#5c6470}
.box{fill:#fbfcfd;stroke:#b9c1cb;stroke-width:1.2} .copy{stroke-dasharray:5 3}
.frame{fill:none;stroke:#cdd4dc;stroke-width:1.2} .frame.parallel{fill:#f4f7fb;stroke:#9db7d8}
.frame.choose{fill:#fdf5f8;stroke:#dfa3bd;stroke-dasharray:6 4} .frame.if{fill:#fcfcfd;stroke-dasharray:6 4}
.frame.loop{fill:#f9f9f4} .frame.try{fill:#faf8f5} .frame.task{fill:#f7f7f9}
.frame.step{fill:#fbfcfd;stroke:#b9c1cb} .frame.copy{stroke-dasharray:5 3}
.edge{fill:none;stroke:#8b95a1;stroke-width:1.4} .arrow{fill:#8b95a1}
.badge{font-size:9px;font-weight:700;fill:#ffffff;letter-spacing:.3px}
.file{fill:#5b7da5} .run{fill:#b26a00} .model{fill:#7446b0} .person{fill:#c2255c} .database{fill:#0b7a75}
.other{fill:#6b7480}
@media (prefers-color-scheme:dark){
.page{fill:#15181c} text{fill:#c9d1d9} .title{fill:#f0f3f6} .label{fill:#9aa4af} .box{fill:#1d2127;stroke:#4a535e}
.frame{stroke:#3c444d} .frame.parallel{fill:#182029;stroke:#456080} .frame.choose{fill:#231a1f;stroke:#7d4a60}
.frame.if{fill:#17191d}
.frame.loop{fill:#1b1c18} .frame.try{fill:#1d1b18} .frame.task{fill:#1a1b1f}
.frame.step{fill:#1d2127;stroke:#4a535e}
.edge{stroke:#6e7781} .arrow{fill:#6e7781}
}
"""


def as_svg(nodes: Sequence[Node], title: str) -> str:
    """The picture of a graph.

    Args:
        nodes: The graph.
        title: What stands above it.
    """
    flow = _flow(nodes)
    width = max(flow.width, len(title) * 9.6, 160) + 2 * _BESIDE
    top = 58.0
    height = top + flow.height + 58
    middle = width / 2
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{escape(title)}">',
        f"<style>{_STYLE}</style>",
        '<defs><marker id="end" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path class="arrow" d="M0 0L8 4L0 8z"/></marker></defs>',
        f'<rect class="page" width="{width:.0f}" height="{height:.0f}"/>',
        f'<text class="title head" x="{middle:.1f}" y="30" text-anchor="middle">{escape(title)}</text>',
        _arrow(middle, 38, top),
        *flow.draw(middle - flow.width / 2, top),
        _arrow(middle, top + flow.height, top + flow.height + 22),
        f'<text class="title" x="{middle:.1f}" y="{top + flow.height + 40:.1f}" text-anchor="middle">done</text>',
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _arrow(x: float, top: float, bottom: float) -> str:
    return f'<path class="edge" marker-end="url(#end)" d="M{x:.1f} {top:.1f}V{bottom:.1f}"/>'


class _Part(ABC):
    """Something that can be drawn; arrows come to the middle of its top, and leave from its bottom."""

    width: float
    height: float

    @abstractmethod
    def draw(self, x: float, y: float) -> Iterator[str]:
        """Its elements, with the upper left corner at a place."""


@dataclass
class _Flow(_Part):
    """Parts one below the other."""

    parts: list[_Part]

    def __post_init__(self) -> None:
        self.width = max((one.width for one in self.parts), default=0.0)
        self.height = sum(one.height for one in self.parts) + _GAP * max(0, len(self.parts) - 1)

    def draw(self, x: float, y: float) -> Iterator[str]:
        """They, with arrows between them."""
        middle = x + self.width / 2
        for number, one in enumerate(self.parts):
            if number:
                yield _arrow(middle, y - _GAP, y)
            yield from one.draw(middle - one.width / 2, y)
            y += one.height + _GAP


@dataclass
class _Drawn(_Part):
    """A box."""

    box: Box

    def __post_init__(self) -> None:
        longest = max((_line_width(one) for one in self.box.lines), default=0.0)
        self.width = max(longest, len(self._title) * _TITLE_CHAR, 70) + 2 * _PAD
        self.height = 2 * _PAD - 4 + len(self.box.lines) * _ROW + (_ROW if self._title else 0)

    @property
    def _title(self) -> str:
        return f"{self.box.title}{ON_A_COPY * self.box.copy}"

    def draw(self, x: float, y: float) -> Iterator[str]:
        """Its frame, its title, and its lines."""
        copy = " copy" if self.box.copy else ""
        yield (
            f'<rect class="box{copy}" x="{x:.1f}" y="{y:.1f}" width="{self.width:.1f}" height="{self.height:.1f}" '
            'rx="7"/>'
        )
        at = y + _PAD + 7
        if self._title:
            yield f'<text class="title" x="{x + _PAD:.1f}" y="{at:.1f}">{escape(self._title)}</text>'
            at += _ROW
        for one in self.box.lines:
            yield from _line(one, x + _PAD, at)
            at += _ROW


def _badge(line: Line) -> str:
    return _NAMES[line.kind] or line.op


def _line_width(line: Line) -> float:
    return (_BADGE[line.kind] + 6 if line.op else 0) + len(line.text) * _CHAR


def _line(line: Line, x: float, y: float) -> Iterator[str]:
    wide = 0.0
    if line.op:
        wide = _BADGE[line.kind]
        yield f'<rect class="{line.kind}" x="{x:.1f}" y="{y - 11:.1f}" width="{wide}" height="14" rx="3"/>'
        yield (
            f'<text class="badge" x="{x + wide / 2:.1f}" y="{y - 0.8:.1f}" text-anchor="middle">'
            f"{escape(_badge(line))}</text>"
        )
        wide += 6
    yield f'<text x="{x + wide:.1f}" y="{y:.1f}" xml:space="preserve">{escape(line.text)}</text>'


class _Framed(_Part):
    """Ways side by side, in a frame."""

    def __init__(self, block: Block) -> None:
        self._block = block
        self._label = block.label + ON_A_COPY * block.copy
        self._flows = [_flow(one.nodes) for one in block.ways]
        self._widths = [
            max(flow.width, len(way.label) * _CHAR, 46) for flow, way in zip(self._flows, block.ways, strict=True)
        ]
        inner = sum(self._widths) + _BESIDE * max(0, len(self._widths) - 1)
        self.width = max(inner, len(self._label) * _CHAR + 96) + 2 * _BESIDE
        self._above = 30 + (_GAP if self._flows else 0) + (_LABEL if any(one.label for one in block.ways) else 0)
        tallest = max((one.height for one in self._flows), default=0.0)
        self._below = _GAP if self._flows else 8
        self.height = self._above + tallest + self._below

    def draw(self, x: float, y: float) -> Iterator[str]:
        """The frame, what is said of it, and the ways."""
        shape = self._block.shape
        look = f"{shape} copy" if self._block.copy else shape
        yield (
            f'<rect class="frame {look}" x="{x:.1f}" y="{y:.1f}" width="{self.width:.1f}" '
            f'height="{self.height:.1f}" rx="9"/>'
        )
        name = _FRAME_LABELS[shape]
        wide = len(name) * 6.4 + 12
        kind = "person" if shape == "choose" else "other"
        yield f'<rect class="{kind}" x="{x + 10:.1f}" y="{y + 9:.1f}" width="{wide:.1f}" height="14" rx="3"/>'
        yield (
            f'<text class="badge" x="{x + 10 + wide / 2:.1f}" y="{y + 19.2:.1f}" text-anchor="middle">'
            f"{name}</text>"
        )
        yield f'<text class="label" x="{x + wide + 18:.1f}" y="{y + 20:.1f}">{escape(self._label)}</text>'
        yield from self._ways(x, y)

    def _ways(self, x: float, y: float) -> Iterator[str]:
        middle = x + self.width / 2
        fork, join = y + 34, y + self.height - 10
        top = y + self._above
        at = middle - (sum(self._widths) + _BESIDE * (len(self._widths) - 1)) / 2
        for flow, wide, way in zip(self._flows, self._widths, self._block.ways, strict=True):
            centre = at + wide / 2
            yield f'<path class="edge" d="M{middle:.1f} {fork:.1f}H{centre:.1f}V{top - 8:.1f}"/>'
            yield _arrow(centre, top - 8, top)
            yield from self._said(way, centre, top)
            yield from flow.draw(centre - flow.width / 2, top)
            yield f'<path class="edge" d="M{centre:.1f} {top + flow.height:.1f}V{join:.1f}H{middle:.1f}"/>'
            at += wide + _BESIDE
        if self._flows:
            yield f'<path class="edge" d="M{middle:.1f} {join:.1f}V{y + self.height:.1f}"/>'

    def _said(self, way: Way, centre: float, top: float) -> Iterator[str]:
        if not way.label:
            return
        wide = len(way.label) * _CHAR * 0.92 + 8
        yield (
            f'<rect class="frame {self._block.shape} page" style="stroke:none" x="{centre - wide / 2:.1f}" '
            f'y="{top - 30:.1f}" width="{wide:.1f}" height="15"/>'
        )
        yield (
            f'<text class="label" x="{centre:.1f}" y="{top - 18:.1f}" text-anchor="middle">'
            f"{escape(way.label)}</text>"
        )


def _flow(nodes: Sequence[Node]) -> _Flow:
    return _Flow([_Drawn(one) if isinstance(one, Box) else _Framed(one) for one in nodes])
