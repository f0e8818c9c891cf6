"""Markdown: paragraphs under headings; fenced code stays in one piece (CommonMark 0.31.2, 4.2, 4.3 and 4.5)."""

from __future__ import annotations

import re

from quanta_tissu.knowledge.passages import Block
from quanta_tissu.knowledge.readers.text import read_text

_HEADING = re.compile(r" {0,3}(#{1,6})(?:\s+(.*?))?(?:\s+#+)?\s*$")
_UNDERLINE = re.compile(r" {0,3}(=+|-+)\s*$")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")


def read_markdown(text: str) -> list[Block]:
    """Cut a text into paragraphs, lists and pieces of code, each with the headings above it."""
    lines = text.splitlines()
    blocks: list[Block] = []
    headings: list[tuple[int, str]] = []  # levels and titles
    start = 0  # of what has not become blocks yet
    number = _end_of_metadata(lines)

    def flush(end: int) -> None:
        titles = tuple(title for _, title in headings)
        blocks.extend(read_text("\n".join(lines[start:end]), titles, start + 1))

    def enter(level: int, title: str) -> None:
        while headings and headings[-1][0] >= level:
            headings.pop()
        headings.append((level, title))

    while number < len(lines):
        if fence := _FENCE.match(lines[number]):
            flush(number)
            end = _end_of_fence(lines, number, fence[1])
            titles = tuple(title for _, title in headings)
            blocks.append(Block("\n".join(lines[number:end]), titles, number + 1, end))
            start = number = end
        elif (heading := _HEADING.match(lines[number])) and heading[2]:
            flush(number)
            enter(len(heading[1]), heading[2].strip())
            number += 1
            start = number
        elif number > start and lines[number - 1].strip() and (line := _UNDERLINE.match(lines[number])):
            title = lines[number - 1].strip()
            flush(number - 1)
            enter(1 if line[1][0] == "=" else 2, title)
            number += 1
            start = number
        else:
            number += 1
    flush(len(lines))
    return blocks


def _end_of_metadata(lines: list[str]) -> int:
    """The line after a block of metadata between `---`, which many tools put at the beginning."""
    if lines and lines[0].strip() == "---":
        for number, line in enumerate(lines[1:], 1):
            if line.strip() in ("---", "..."):
                return number + 1
    return 0


def _end_of_fence(lines: list[str], start: int, fence: str) -> int:
    """The line after a piece of code; unclosed, it goes to the end."""
    for number in range(start + 1, len(lines)):
        closing = lines[number].strip()
        if closing.startswith(fence) and set(closing) == {fence[0]}:
            return number + 1
    return len(lines)
