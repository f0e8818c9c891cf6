"""What stands at a path of a JSON value, in PostgreSQL's SQL: the same words in queries as in indexes."""

from __future__ import annotations

import json
from collections.abc import Sequence


def json_at(expression: str, path: Sequence[str | int]) -> str:
    """What stands at a path of a JSON value, as JSON; null where nothing does.

    `->` with text finds keys of objects only; `#>` would take a place for a key. But with a number `->` finds
    places in lists, and with 0 also a value that is in no list: places have to be asked for more strictly.
    """
    if all(isinstance(step, str) for step in path):
        return expression + "".join(f" -> {_literal(str(step))}" for step in path)
    steps = "".join(f"[{step}]" if isinstance(step, int) else f".{json.dumps(step)}" for step in path)
    return f"jsonb_path_query_first({expression}, {_literal('strict $' + steps)}, '{{}}', true)"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
