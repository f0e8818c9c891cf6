"""Lion: steps of equal size in the direction of the momentum's sign."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quanta_tissu.tisslm.engine.threads import ThreadTeam
from quanta_tissu.tisslm.train.optimizers.base import Flat, Group, Optimizer


class Lion(Optimizer):
    """Evolved sign momentum (Chen et al. 2023, arXiv:2302.06675, algorithm 2).

        c = β₁ m + (1 - β₁) g
        θ ← θ - η (sign(c) + λ θ)
        m ← β₂ m + (1 - β₂) g       m starts at zero

    Every element moves by η, so the paper uses a learning rate 3 to 10 times smaller than AdamW's, and a weight
    decay larger by the same factor.

    Args:
        parameters: As in `Optimizer`.
        groups: As in `Optimizer`.
        learning_rate: η.
        betas: (β₁, β₂).
        team: As in `Optimizer`.
    """

    buffers = ("momentum",)

    def __init__(
        self,
        parameters: Flat,
        groups: Sequence[Group],
        *,
        learning_rate: float,
        betas: tuple[float, float] = (0.9, 0.99),
        team: ThreadTeam | None = None,
    ) -> None:
        super().__init__(parameters, groups, learning_rate=learning_rate, team=team)
        self.betas = betas

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
        (momentum,) = state
        beta1, beta2 = self.betas
        g = gradient * gradient_scale
        direction = np.sign(beta1 * momentum + (1 - beta1) * g)
        parameter -= learning_rate * (direction + weight_decay * parameter)
        momentum *= beta2
        momentum += (1 - beta2) * g
