"""The page of a profile stands alone and shows what the tables show."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from quanta_tissu.tisslm.inspect.profile.machine import Machine
from quanta_tissu.tisslm.inspect.profile.page import page
from quanta_tissu.tisslm.inspect.profile.profile import Profile, Row, Speed
from quanta_tissu.tisslm.inspect.profile.roofline import roofline_chart
from quanta_tissu.tisslm.inspect.profile.sampling import Node
from quanta_tissu.tisslm.inspect.profile.text import COLUMNS, cells, summary

MACHINE = Machine(2, gflops=100.0, gflops_one_core=50.0, read_gbs=10.0)


def row(op, seconds, flops, nbytes, phase="forward", module="attention", layer=0):
    least = MACHINE.seconds(flops or 0, nbytes)
    return Row(op, phase, module, layer, 2, seconds, seconds, flops, nbytes, 1000, 2_000_000, least)


ROWS = (
    row("linear", 0.5, 40e9, 1e8),
    row("linear", 0.25, 20e9, 1e8, phase="backward"),
    row("gelu", 0.1, 1e8, 5e8, module="feed_forward"),
    row("mine <&>", 0.1, None, 1e6, module="other", layer=None),
    row("split", 0.05, 0, 1e8, phase="backward"),
)
PROFILE = Profile(
    MACHINE, "training step", "fast", "tiny & small", 3, 1.0, 0.98, ROWS, {"step": Speed(0.98, 1234.5, 0.61)}
)
CALLS = Node("all threads", 10, {"main": Node("main", 10, {"f": Node("f (x.py:1)", 9)})})


class Checker(HTMLParser):
    """Every element that is opened is closed, in order."""

    def __init__(self):
        super().__init__()
        self.open = []
        self.seen = []

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        if tag not in ("meta", "line", "polyline", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_it_is_well_formed_and_needs_nothing_from_elsewhere():
    html = page(PROFILE, CALLS)
    checker = Checker()
    checker.feed(html)
    assert checker.open == []
    assert checker.seen.count("table") == 3
    assert "svg" in checker.seen
    assert not re.search(r"(?:src|href)=|https?://|@import|url\(", html)


def test_names_are_escaped():
    html = page(PROFILE, CALLS)
    assert "mine &lt;&amp;&gt;" in html
    assert "tiny &amp; small" in html


def test_every_operation_is_in_the_table_with_its_figures():
    html = page(PROFILE, CALLS)
    for one in PROFILE.by_operation():
        for cell in filter(None, cells(one)):
            assert f">{cell}<" in html


class TestChart:
    @pytest.fixture
    def svg(self):
        return ElementTree.fromstring(roofline_chart(MACHINE, PROFILE.by_operation()))

    def dots(self, svg):
        return [dot for dot in svg.iter("circle") if "%" in dot.findtext("title", "")]

    def test_a_dot_for_each_operation_that_computes(self, svg):
        titles = [dot.findtext("title") for dot in self.dots(svg)]
        assert [title.split(":")[0] for title in titles] == ["linear forward", "linear backward", "gelu forward"]
        assert "80.0 GFLOP/s, 80% of the roofline" in titles[0]

    def test_dots_are_placed_by_intensity_and_speed_and_sized_by_time(self, svg):
        linear, backward, gelu = self.dots(svg)
        assert float(linear.get("cx")) > float(backward.get("cx")) > float(gelu.get("cx"))  # 400, 200, 0.2 FLOP/B
        assert float(linear.get("cy")) == float(backward.get("cy")) < float(gelu.get("cy"))  # 80, 80, 1 GFLOP/s
        assert float(linear.get("r")) > float(backward.get("r")) > float(gelu.get("r"))

    def test_the_roof_bends_where_memory_stops_to_matter(self, svg):
        (roof,) = svg.iter("polyline")
        (_, y0), (x1, y1), (x2, y2) = (
            [float(n) for n in point.split(",")] for point in roof.get("points").split()
        )
        assert y0 > y1 == y2
        assert x1 < x2
        assert MACHINE.ridge == 10

    def test_everything_is_inside(self, svg):
        _, _, width, height = map(float, svg.get("viewBox").split())
        for dot in svg.iter("circle"):
            assert 0 <= float(dot.get("cx")) <= width
            assert 0 <= float(dot.get("cy")) <= height

    def test_nothing_to_show_is_shown_as_nothing(self):
        svg = ElementTree.fromstring(roofline_chart(MACHINE, []))
        assert not self.dots(svg)


class TestText:
    def test_a_row(self):
        figures = dict(zip(COLUMNS, cells(ROWS[0]), strict=True))
        assert figures == {
            "calls": "2",
            "ms": "500.000",
            "share": "50.0%",
            "FLOPs": "40 G",
            "bytes": "100 M",
            "FLOP/B": "400",
            "GFLOP/s": "80",
            "GB/s": "0.2",
            "roofline": "80%",
            "new": "1 k",
            "kept": "2 M",
        }

    def test_unknown_work_is_a_question_mark(self):
        assert cells(ROWS[3])[3] == "?"
        assert cells(ROWS[4])[3] == ""

    def test_the_summary(self):
        lines = summary(PROFILE)
        assert lines[0] == "machine: 100 GFLOP/s in float32 products on 2 cores (50 on one), 10.0 GB/s read"
        assert "980.00 ms, 1,234 tokens/s, 61% of the peak" in lines[2]
        assert "+2.0%" in lines[3]
        assert "10 MB kept for backward" in lines[3]
