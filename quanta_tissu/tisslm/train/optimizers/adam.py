"""Adam and AdamW: steps scaled by running estimates of the gradient's first two moments."""

from __future__ import annotations

from collections.abc import Sequence

from quanta_tissu.tisslm.engine import flat
from quanta_tissu.tisslm.engine.threads import ThreadTeam
from quanta_tissu.tisslm.train.optimizers.base import Flat, Group, Optimizer


class AdamW(Optimizer):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019, arXiv:1711.05101, algorithm 2).

        m ← β₁ m + (1 - β₁) g                     first moment
        v ← β₂ v + (1 - β₂) g²                    second moment
        m̂ = m / (1 - β₁ᵗ),  v̂ = v / (1 - β₂ᵗ)      both start at zero; this removes the bias at step t = 1, 2, …
        θ ← θ - η λ θ - η m̂ / (√v̂ + ε)            η learning rate, λ weight decay

    The arithmetic is `engine.flat.adamw_step`, one pass over memory.

    Args:
        parameters: As in `Optimizer`.
        groups: As in `Optimizer`.
        learning_rate: η.
        betas: (β₁, β₂).
        eps: ε.
        team: As in `Optimizer`.
    """

    buffers = ("first_moment", "second_moment")

    def __init__(
        self,
        parameters: Flat,
        groups: Sequence[Group],
        *,
        learning_rate: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        team: ThreadTeam | None = None,
    ) -> None:
        super().__init__(parameters, groups, learning_rate=learning_rate, team=team)
        self.betas = betas
        self.eps = eps

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
        first_moment, second_moment = state
        flat.adamw_step(
            parameter,
            gradient,
            first_moment,
            second_moment,
            lr=learning_rate,
            beta1=self.betas[0],
            beta2=self.betas[1],
            eps=self.eps,
            decay=weight_decay,
            step=self.steps,
            grad_scale=gradient_scale,
        )


class Adam(AdamW):
    """Adam (Kingma & Ba 2015, arXiv:1412.6980, algorithm 1); weight decay is an L2 penalty in the gradient.

    As AdamW without decay, on g + λ θ instead of g. The penalty is thus divided by √v̂ like the rest of the
    gradient, which is why AdamW is the better choice for λ > 0.
    """

    def update(
        self,
        parameter: Flat,
        gradient: Flat,
        *state: Flat,
        learning_rate: float,
        weight_decay: float,
        gradient_scale: float,
    ) -> None:
        """Fold the penalty into the gradient, then step as AdamW without decay."""
        if weight_decay:
            gradient = gradient * gradient_scale + weight_decay * parameter
            gradient_scale = 1.0
        super().update(
            parameter,
            gradient,
            *state,
            learning_rate=learning_rate,
            weight_decay=0.0,
            gradient_scale=gradient_scale,
        )
