"""What of a step's work may be taken over into the project, and what speaks against it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from quanta_tissu.tisslang.sandbox.manifest import Change, Scan, State
from quanta_tissu.tisslang.sandbox.paths import Protection, shown

_LINKS_FOLLOWED = 40  # as many as the kernel follows


@dataclass(frozen=True, slots=True)
class Room:
    """How much a step may have: as a copy to begin with, and as changes to take over.

    Attributes:
        count: Files, folders and links.
        size: Bytes in files.
    """

    count: int = 200_000
    size: int = 2 * 2**30

    def excess(self, count: int, size: int) -> str | None:
        """What is too much, in words; None if all is within."""
        if count > self.count:
            return f"{count:,} files, folders and links, and at most {self.count:,} are taken"
        if size > self.size:
            return f"{size:,} bytes, and at most {self.size:,} are taken"
        return None


def objections(
    changes: Sequence[Change], before: Mapping[str, State], after: Scan, protection: Protection, room: Room
) -> list[str]:
    """Every reason not to take over what a step did; none if it may be.

    Args:
        changes: What differs.
        before: The project as the step found it.
        after: The copy as the step left it.
        protection: What may not be written.
        room: How much may change.
    """
    found = list(after.problems)
    written = [change.path for change in changes if change.after is not None]
    too_much = room.excess(len(changes), sum(after.sizes.get(path, 0) for path in written))
    if too_much:
        found.append(f"the step has changed {too_much}")
    for change in changes:
        names = tuple(change.path.split("/"))
        becomes_folder = change.path in after.states and after.states[change.path].is_directory
        if pattern := protection.covering(names) or (None if becomes_folder else protection.behind(names)):
            found.append(f"{shown(change.path)} is protected ({pattern})")
        try:
            change.path.encode()
        except UnicodeEncodeError:
            found.append(f"{shown(change.path)} has a name that is not text (UTF-8)")
    found.extend(_links(before, after.states, protection))
    return found


def _links(before: Mapping[str, State], after: Mapping[str, State], protection: Protection) -> list[str]:
    """The links that lead where they should not. An old one counts, too, if it did not lead there before."""
    found = []
    for path, state in after.items():
        if state.target is None:
            continue
        end = destination(path, after)
        unchanged = before.get(path) == state
        old = destination(path, before) if unchanged else None
        if end is None and (old is not None or not unchanged):
            found.append(
                f"{shown(path)} is a link that leads outside the project, or in a circle: {shown(state.target)}"
            )
        elif end is not None and end != old and (pattern := protection.covering(end)):
            found.append(f"{shown(path)} is a link to something protected ({pattern})")
    return found


def destination(path: str, states: Mapping[str, State]) -> tuple[str, ...] | None:
    """The names of where a link leads after all links on its way, or None if that is outside or not found out.

    Args:
        path: The link's, from the project.
        states: What the project holds. What is missing there is taken for a folder, because it could become one.
    """
    way: list[str] = []
    pending = list(reversed(path.split("/")))
    followed = 0
    while pending:
        name = pending.pop()
        if name in {"", "."}:
            continue
        if name == "..":
            if not way:
                return None
            way.pop()
            continue
        state = states.get("/".join((*way, name)))
        if state is None or state.target is None:
            way.append(name)
            continue
        followed += 1
        if state.target.startswith("/") or followed > _LINKS_FOLLOWED:
            return None
        pending.extend(reversed(state.target.split("/")))
    return tuple(way)
