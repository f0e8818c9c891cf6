"""Places of a project that a command must leave as they are, and that no wall keeps from it.

Used by the helper process, so it imports little.
"""

from __future__ import annotations

import os


def put_back(places: dict[str, str | None]) -> list[str]:
    """Make places of `layout.open_places` what they were, and say which were not.

    What is there instead gets another name.

    Raises:
        OSError: It cannot be done.
    """
    changed = []
    for path, link in places.items():
        if _link(path) == link and os.path.lexists(path) is (link is not None):
            continue
        changed.append(path)
        if os.path.lexists(path):
            number = 1
            while os.path.lexists(aside := f"{path}.undone-{number}"):
                number += 1
            os.rename(path, aside)
        if link is not None:
            os.symlink(link, path)
    return changed


def _link(path: str) -> str | None:
    return os.readlink(path) if os.path.islink(path) else None
