"""RMSProp: steps divided by the running root mean square of the gradient."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quanta_tissu.tisslm.engine.threads import ThreadTeam
from quanta_tissu.tisslm.train.optimizers.base import Flat, Group, Optimizer


class RMSProp(Optimizer):
    """RMSProp (Tieleman & Hinton 2012, Coursera lecture 6.5), with momentum as in Graves 2013 (arXiv:1308.0850).

        g ← g + λ θ                 weight decay is an L2 penalty
        s ← α s + (1 - α) g²        mean square, starts at zero
        b ← μ b + g / (√s + ε)      momentum, starts at zero
        θ ← θ - η b

    Args:
        parameters: As in `Optimizer`.
        groups: As in `Optimizer`.
        learning_rate: η.
        alpha: α.
        eps: ε.
        momentum: μ.
        team: As in `Optimizer`.
    """

    buffers = ("mean_square", "momentum")

    def __init__(
        self,
        parameters: Flat,
        groups: Sequence[Group],
        *,
        learning_rate: float,
        alpha: float = 0.99,
        eps: float = 1e-8,
        momentum: float = 0.0,
        team: ThreadTeam | None = None,
    ) -> None:
        super().__init__(parameters, groups, learning_rate=learning_rate, team=team)
        self.alpha = alpha
        self.eps = eps
        self.momentum = momentum

    def update(
        self,
        parameter: Flat,
        gradient: Flat,
        *state: Flat,
        learning_rate: float,
        weight_decay: float,
        gradient_scale: float,
    ) -> None:
        """The equations of the class, in its order."""
        mean_square, momentum = state
        g = gradient * gradient_scale
        if weight_decay:
            g += weight_decay * parameter
        mean_square *= self.alpha
        mean_square += (1 - self.alpha) * g * g
        momentum *= self.momentum
        momentum += g / (np.sqrt(mean_square) + self.eps)
        parameter -= learning_rate * momentum
