"""JSON Merge Patch (RFC 7396)."""

from __future__ import annotations

from quanta_tissu.tissdb.values import Value


def merge_patch(target: Value, patch: Value) -> Value:
    """A value with some of its fields changed.

    An object in the patch changes the fields that it names, None removes one, and everything else replaces what
    was there (section 2 of the RFC).
    """
    if not isinstance(patch, dict):
        return patch
    out = dict(target) if isinstance(target, dict) else {}
    for key, change in patch.items():
        if change is None:
            out.pop(key, None)
        else:
            out[key] = merge_patch(out.get(key), change)
    return out
