"""A flame graph as HTML: every function a bar as wide as its share of the samples, below the one that called it.

Brendan Gregg's invention (*The flame graph*, CACM 59(6), 2016), upside down: callers are on top. Pointing at a bar
tells its name and share; a click makes it as wide as the page.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from html import escape

from quanta_tissu.tisslm.inspect.profile.sampling import Node

_LEAST = 0.001
"""Share of the samples below which a bar could not be seen and is left out."""

_HEIGHT = 20

STYLE = f"""
.flame {{ position: relative; overflow: hidden; border: 1px solid #ccc; }}
.flame div {{ position: absolute; height: {_HEIGHT - 1}px; line-height: {_HEIGHT - 1}px; overflow: hidden;
  white-space: nowrap; text-overflow: ellipsis; font-size: 11px; padding: 0 3px; box-sizing: border-box;
  border-radius: 2px; cursor: pointer; color: #222; }}
.flame div:hover {{ outline: 1px solid #000; }}
#flame-name {{ font-family: monospace; min-height: 1.5em; }}
"""

# Bars know their place as shares of the whole; a click takes one of them as the whole.
SCRIPT = """
for (const flame of document.querySelectorAll(".flame")) {
  const bars = [...flame.querySelectorAll("div")];
  const name = document.getElementById("flame-name");
  const place = (from, width) => {
    for (const bar of bars) {
      const left = Math.max((bar.dataset.left - from) / width, 0);
      const right = Math.min((+bar.dataset.left + +bar.dataset.width - from) / width, 1);
      bar.style.display = right - left > 0.0005 ? "block" : "none";
      bar.style.left = 100 * left + "%";
      bar.style.width = 100 * (right - left) + "%";
    }
  };
  flame.addEventListener("mouseover", event => {
    if (event.target !== flame) name.textContent = event.target.title;
  });
  flame.addEventListener("click", event => {
    if (event.target !== flame) place(+event.target.dataset.left, +event.target.dataset.width);
  });
}
"""


def flame_graph(root: Node) -> str:
    """The graph as a piece of a page that has `STYLE` and, at its end, `SCRIPT`.

    Args:
        root: The tree of calls.
    """
    if not root.samples:
        return "<p>It was over before a sample was taken.</p>"
    bars = list(_bars(root, root.samples, 0.0, 0))
    depth = 1 + max(level for level, _ in bars)
    inside = "\n".join(bar for _, bar in bars)
    return (
        f'<p id="flame-name">&nbsp;</p>\n<div class="flame" style="height:{_HEIGHT * depth}px">\n{inside}\n</div>'
    )


def _bars(node: Node, total: int, left: float, level: int) -> Iterator[tuple[int, str]]:
    """A bar and those below it, each with its level."""
    width = node.samples / total
    if width < _LEAST:
        return
    title = escape(f"{node.name}: {width:.1%} ({node.samples} samples)", quote=True)
    hue = 15 + zlib.crc32(node.name.encode()) % 40
    style = (
        f"left:{100 * left:.3f}%;width:{100 * width:.3f}%;top:{_HEIGHT * level}px;background:hsl({hue} 85% 68%)"
    )
    data = f'data-left="{left:.6f}" data-width="{width:.6f}"'
    yield level, f'<div style="{style}" {data} title="{title}">{escape(node.name)}</div>'
    for child in sorted(node.children.values(), key=lambda child: child.name):
        yield from _bars(child, total, left, level + 1)
        left += child.samples / total
