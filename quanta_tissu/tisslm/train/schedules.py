"""Learning-rate schedules: pure functions from the step to a factor on the peak learning rate."""

from __future__ import annotations

import math

from quanta_tissu.tisslm.config import ScheduleConfig


def learning_rate_factor(config: ScheduleConfig, step: int, total_steps: int) -> float:
    """Factor on the learning rate at one step.

    Warmup rises linearly and never starts at zero: (step + 1) / (warmup + 1). After it, with progress x from 0
    (end of the warmup) to 1 (end of the run) and final ratio r:

        constant    1
        linear      1 - x (1 - r)
        cosine      r + (1 - r) (1 + cos πx) / 2                 (Loshchilov & Hutter 2017, arXiv:1608.03983)
        step        max(γ^k, r) with k = ⌊steps after the warmup / step_size⌋
        wsd         1, then linear to r over the last decay_fraction of the run (Hu et al. 2024, arXiv:2404.06395)

    Args:
        config: The `schedule` section.
        step: Step about to be made, from 0.
        total_steps: Length of the run; from there on the factor stays what it is at its end.
    """
    warmup = warmup_steps(config, total_steps)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    progress = _share(step, warmup, total_steps)
    final = config.final_ratio
    match config.name:
        case "constant":
            return 1.0
        case "linear":
            return 1.0 - progress * (1.0 - final)
        case "cosine":
            return final + (1.0 - final) * 0.5 * (1.0 + math.cos(math.pi * progress))
        case "step":
            return max(config.gamma ** ((step - warmup) // config.step_size), final)
        case "wsd":
            decay_start = max(warmup, total_steps - round(config.decay_fraction * total_steps))
            return 1.0 - _share(step, decay_start, total_steps) * (1.0 - final)


def warmup_steps(config: ScheduleConfig, total_steps: int) -> int:
    """Steps of linear warmup."""
    if config.warmup_steps is not None:
        return config.warmup_steps
    return round(config.warmup_fraction * total_steps)


def _share(step: int, start: int, end: int) -> float:
    """How far `step` lies between `start` (0) and `end` (1)."""
    if step >= end:
        return 1.0
    if step <= start:
        return 0.0
    return (step - start) / (end - start)
