"""Plain text: paragraphs between empty lines."""

from __future__ import annotations

from quanta_tissu.knowledge.passages import Block


def read_text(text: str, headings: tuple[str, ...] = (), first: int = 1) -> list[Block]:
    """Cut a text into paragraphs.

    Args:
        text: The text.
        headings: What it stands under.
        first: The number of its first line.
    """
    blocks: list[Block] = []
    paragraph: list[str] = []
    lines = text.splitlines()
    for number, line in enumerate([*lines, ""], first):
        if line.strip():
            paragraph.append(line.rstrip())
        elif paragraph:
            blocks.append(Block("\n".join(paragraph), headings, number - len(paragraph), number - 1))
            paragraph = []
    return blocks
