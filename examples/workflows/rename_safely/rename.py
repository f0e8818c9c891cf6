"""Replace a name in all Python files beside this one: rename.py OLD NEW."""

import pathlib
import re
import sys

old, new = sys.argv[1:]
for path in pathlib.Path(__file__).parent.glob("*.py"):
    if path.name != pathlib.Path(__file__).name:
        path.write_text(re.sub(rf"\b{re.escape(old)}\b", new, path.read_text()))
