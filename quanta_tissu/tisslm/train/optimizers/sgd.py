"""Stochastic gradient descent with momentum."""

from __future__ import annotations

from collections.abc import Sequence

from quanta_tissu.tisslm.engine.threads import ThreadTeam
from quanta_tissu.tisslm.train.optimizers.base import Flat, Group, Optimizer


class SGD(Optimizer):
    """Gradient descent with heavy-ball or Nesterov momentum, in the form of Sutskever et al. 2013 (ICML, sec. 2).

        g ← g + λ θ                 weight decay is an L2 penalty
        b ← μ b + g                 b starts at zero
        d = g + μ b  (Nesterov)     or  d = b
        θ ← θ - η d

    The learning rate multiplies the velocity b when it is used, not when it is built (PyTorch's convention), so
    that a schedule acts at once.

    Args:
        parameters: As in `Optimizer`.
        groups: As in `Optimizer`.
        learning_rate: η.
        momentum: μ.
        nesterov: Look ahead along the velocity.
        team: As in `Optimizer`.
    """

    buffers = ("momentum",)

    def __init__(
        self,
        parameters: Flat,
        groups: Sequence[Group],
        *,
        learning_rate: float,
        momentum: float = 0.9,
        nesterov: bool = True,
        team: ThreadTeam | None = None,
    ) -> None:
        super().__init__(parameters, groups, learning_rate=learning_rate, team=team)
        self.momentum = momentum
        self.nesterov = nesterov

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
        (velocity,) = state
        g = gradient * gradient_scale
        if weight_decay:
            g += weight_decay * parameter
        velocity *= self.momentum
        velocity += g
        direction = g + self.momentum * velocity if self.nesterov else velocity
        parameter -= learning_rate * direction
