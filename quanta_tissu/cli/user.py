"""Who runs a command."""

from __future__ import annotations

import getpass


def user() -> str:
    """The name of the user who runs the command, for records; `local` for one without a name, as in containers."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "local"
