"""Numbers, times and sizes as people read them."""

from __future__ import annotations

from datetime import UTC, datetime


def seconds_text(seconds: float) -> str:
    """A time that something took: `80 ms`, `1.2 s`, `3 min 4 s`."""
    if 0 < seconds < 0.0005:
        return "< 1 ms"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s".removesuffix(" 0 s")
    minutes = round(seconds / 60)
    if minutes < 1440:
        return f"{minutes // 60} h {minutes % 60} min".removesuffix(" 0 min")
    return f"{minutes // 1440} d {minutes % 1440 // 60} h".removesuffix(" 0 h")


def moment_text(time: datetime | None) -> str:
    """A moment, in UTC."""
    return "" if time is None else time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def size_text(count: int) -> str:
    """A number of bytes."""
    if count < 1000:
        return f"{count} bytes"
    for unit in ("kB", "MB", "GB"):
        count_in = count / 1000
        if count_in < 999.5 or unit == "GB":
            return f"{count_in:.1f} {unit}" if count_in < 9.95 else f"{count_in:.0f} {unit}"
        count = round(count_in)
    raise AssertionError


def amount_text(value: float) -> str:
    """A number, with as many digits as say something."""
    if float(value).is_integer():
        return f"{int(value):,}"
    return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"


def count_text(count: int, noun: str, plural: str = "") -> str:
    """`1 file`, `2 files`."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def limit_text(name: str, limit: object) -> str:
    """A budget's limit with its unit."""
    if not isinstance(limit, int | float):
        return "?"
    if name == "EXECUTION_TIME":
        return seconds_text(limit)
    unit = {"TOKEN_COUNT": " tokens", "API_CALLS": " calls"}.get(name, "")
    return f"{amount_text(limit)}{unit}"
