"""The `tissu` command: one file per sub-command, imported only when called."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NoReturn


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run `tissu` and exit; the entry point of the installed command.

    Args:
        args: The command line without the program's name; null takes the process's.
    """
    try:
        from quanta_tissu.cli.app import run

        code = run(args)
    except KeyboardInterrupt:  # before there was anything to report it
        code = 130
    if "WORLD_SIZE" in os.environ and "torch" in sys.modules:
        # One of several processes that train together. PyTorch's caches and default arguments keep their group
        # when it is destroyed, so its threads are still there while the interpreter ends, and one process in a
        # hundred aborts then, which torchrun reports as a failed run (docs/experiments.md).
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    raise SystemExit(code)
