"""A profile as one page: the chart, the tables and the flame graph, nothing to load from elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

from quanta_tissu.tisslm.inspect.profile import flame
from quanta_tissu.tisslm.inspect.profile.profile import Profile, Row
from quanta_tissu.tisslm.inspect.profile.roofline import roofline_chart
from quanta_tissu.tisslm.inspect.profile.sampling import Node
from quanta_tissu.tisslm.inspect.profile.text import COLUMNS, cells, operation, summary

_STYLE = """
body { font: 14px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 1180px; padding: 0 1em; color: #222; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 12.5px; width: 100%; }
th, td { text-align: right; padding: 2px 8px; white-space: nowrap; }
th { border-bottom: 1px solid #999; }
th:first-child, td:first-child { text-align: left; }
tr:hover td { background: #f2f6fb; }
td.share { background: linear-gradient(90deg, #cfe2f3 var(--share), transparent var(--share)); }
section { overflow-x: auto; }
svg { max-width: 100%; height: auto; }
.note { color: #555; max-width: 60em; }
"""

_NOTES = {
    "roofline": "Each dot is an operation, as large as its share of the time. Under the sloping line memory is "
    "the limit, under the level one matrix products are. Bytes are the least that must be moved; what lies above "
    "the line found them in a cache.",
    "flame": "Samples of all busy threads, callers on top. Compiled kernels and matrix products have no frame of "
    "their own: they are part of the function that calls them. Point at a bar to read it, click to widen it; a "
    "click on the topmost bar shows everything again.",
}


def page(profile: Profile, calls: Node) -> str:
    """The whole page.

    Args:
        profile: The figures.
        calls: The tree of calls for the flame graph.
    """
    lines = "\n".join(f"<li>{escape(line)}</li>" for line in summary(profile))
    title = escape(f"Profile of a {profile.workload}")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<style>{_STYLE}{flame.STYLE}</style>
</head>
<body>
<h1>{title}</h1>
<ul>
{lines}
</ul>
<h2>Roofline</h2>
<p class="note">{_NOTES["roofline"]}</p>
<section>{roofline_chart(profile.machine, profile.by_operation())}</section>
<h2>Operations</h2>
{_table("operation", profile.by_operation(), operation)}
<h2>Modules</h2>
{_table("module", profile.by_module(), lambda row: row.module)}
<h2>Layers</h2>
{_table("layer", profile.by_layer(), lambda row: f"{row.layer} {row.module}")}
<h2>Flame graph</h2>
<p class="note">{_NOTES["flame"]}</p>
{flame.flame_graph(calls)}
<script>{flame.SCRIPT}</script>
</body>
</html>
"""


def _table(title: str, rows: Sequence[Row], name: Callable[[Row], str]) -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in (title, *COLUMNS))
    body = []
    for row in rows:
        figures = []
        for column, cell in zip(COLUMNS, cells(row), strict=True):
            bar = f' class="share" style="--share:{100 * row.share:.1f}%"' if column == "share" else ""
            figures.append(f"<td{bar}>{escape(cell)}</td>")
        body.append(f"<tr><td>{escape(name(row))}</td>{''.join(figures)}</tr>")
    return f"<section><table>\n<tr>{head}</tr>\n" + "\n".join(body) + "\n</table></section>"
