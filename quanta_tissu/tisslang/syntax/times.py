"""Times: `90s`, `1.5h`, `1h 30m`."""

from __future__ import annotations

import re

UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_TIME = re.compile(rf"(?:{_PART.pattern}\s*)+")


def parse_time(text: str) -> float:
    """The seconds of a time.

    Raises:
        ValueError: It is none.
    """
    if not _TIME.fullmatch(text.strip()):
        raise ValueError(f"{text!r} is no time")
    return sum(float(number) * UNITS[unit] for number, unit in _PART.findall(text))
