"""Activation recomputation: memory against time (Chen et al. 2016, arXiv:1604.06174, section 3).

A block keeps about twenty arrays of the size of its input for its backward pass. Recomputed, it keeps its input
and runs forward once more when backward needs the rest: a third more arithmetic, and the memory of one block
instead of all of them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from quanta_tissu.tisslm.engine import Variable
from quanta_tissu.tisslm.model.forward_pass import ForwardPass


def recomputed(block: Callable[[Any, ForwardPass], Any], x: Any, run: ForwardPass) -> Any:
    """Return `block(x, run)`, keeping only `x` for the backward pass; values and gradients are the same bits.

    On tape variables the tape runs the block again, on torch tensors `torch.utils.checkpoint` does. Arrays have no
    backward pass, and a pass that is recorded for inspection keeps everything anyway: there the block just runs.

    Args:
        block: What to run, from (B, T, D) to (B, T, D).
        x: Its input (B, T, D).
        run: The pass; its dropout seeds are set back for the second run, which so draws the same masks.
    """
    seeds = run.dropout
    calls = 0 if seeds is None else seeds.calls

    def function(x: Any) -> Any:
        if seeds is not None:
            seeds.calls = calls
        return block(x, run)

    if run.recorder is None:
        if isinstance(x, Variable):
            return x.tape.checkpoint(function, x)
        if "torch" in sys.modules and isinstance(x, sys.modules["torch"].Tensor):
            from torch.utils.checkpoint import checkpoint

            return checkpoint(function, x, use_reentrant=False)
    return function(x)
