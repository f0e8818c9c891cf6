"""Muon: momentum steps orthogonalised matrix by matrix."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from quanta_tissu.tisslm.engine.threads import ThreadTeam
from quanta_tissu.tisslm.train.optimizers.adam import AdamW
from quanta_tissu.tisslm.train.optimizers.base import Flat, Group, Spans

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)


@dataclass(frozen=True)
class Matrix:
    """A hidden matrix inside the flat buffer.

    Attributes:
        start: Its first element.
        rows: Output width (A).
        columns: Input width (B).
        learning_rate_scale: Factor on Muon's learning rate.
        weight_decay: Decoupled decay.
    """

    start: int
    rows: int
    columns: int
    learning_rate_scale: float = 1.0
    weight_decay: float = 0.0

    def view(self, flat: Spans) -> Flat:
        """The matrix (rows, columns) as a view of a flat buffer."""
        return flat[self.start : self.start + self.rows * self.columns].reshape(self.rows, self.columns)


class Muon(AdamW):
    """MomentUm Orthogonalised by Newton-Schulz (Jordan et al. 2024, kellerjordan.github.io/posts/muon).

    For a hidden matrix W (A, B) with gradient G:

        M ← μ M + (1 - μ) G                 M starts at zero
        U = (1 - μ) G + μ M  (Nesterov)     or  U = M
        O = NewtonSchulz(U) ≈ (U Uᵀ)^(-1/2) U     all singular values near 1
        W ← W - η λ W - η √max(1, A/B) O

    Embeddings, norms, biases and the output matrix are not linear maps between hidden states; they take AdamW's
    step with its own learning rate.

    Args:
        parameters: As in `Optimizer`.
        groups: The slices that AdamW updates.
        matrices: The hidden matrices; projections packed into one parameter are listed one by one.
        learning_rate: AdamW's learning rate.
        muon_learning_rate: η.
        momentum: μ.
        nesterov: Look ahead along the momentum.
        newton_schulz_steps: Iterations of `orthogonalise`.
        betas: AdamW's.
        eps: AdamW's.
        team: As in `Optimizer`.
    """

    # On a matrix `first_moment` is the momentum M and `second_moment` stays zero.

    def __init__(
        self,
        parameters: Flat,
        groups: Sequence[Group],
        matrices: Sequence[Matrix],
        *,
        learning_rate: float,
        muon_learning_rate: float = 0.02,
        momentum: float = 0.95,
        nesterov: bool = True,
        newton_schulz_steps: int = 5,
        betas: tuple[float, float] = (0.9, 0.95),
        eps: float = 1e-8,
        team: ThreadTeam | None = None,
    ) -> None:
        super().__init__(parameters, groups, learning_rate=learning_rate, betas=betas, eps=eps, team=team)
        self.matrices = tuple(matrices)
        self.muon_learning_rate = muon_learning_rate
        self.momentum = momentum
        self.nesterov = nesterov
        self.newton_schulz_steps = newton_schulz_steps
        self._matrix_shares = _share(self.matrices, team.size if team else 1)

    def step(self, gradients: Spans, *, factor: float = 1.0, gradient_scale: float = 1.0) -> None:
        """Update the groups as AdamW and the matrices as Muon."""
        super().step(gradients, factor=factor, gradient_scale=gradient_scale)
        work = [partial(self._orthogonal_work, s, gradients, factor, gradient_scale) for s in self._matrix_shares]
        if self.team is None:
            work[0]()
        else:
            self.team.run(work)

    def _orthogonal_work(
        self, share: Sequence[Matrix], gradients: Spans, factor: float, gradient_scale: float
    ) -> None:
        for matrix in share:
            self._update_matrix(matrix, gradients, factor, gradient_scale)

    def _update_matrix(self, matrix: Matrix, gradients: Spans, factor: float, gradient_scale: float) -> None:
        """The equations of the class, in its order."""
        weight, momentum = matrix.view(self.parameters), matrix.view(self.state["first_moment"])
        learning_rate = self.muon_learning_rate * factor * matrix.learning_rate_scale
        g = matrix.view(gradients) * ((1 - self.momentum) * gradient_scale)
        momentum *= self.momentum
        momentum += g
        ahead = g + self.momentum * momentum if self.nesterov else momentum
        direction = orthogonalise(ahead, self.newton_schulz_steps)
        weight *= 1 - learning_rate * matrix.weight_decay
        weight -= learning_rate * math.sqrt(max(1.0, matrix.rows / matrix.columns)) * direction


def orthogonalise(matrix: Flat, steps: int = 5, eps: float = 1e-7) -> Flat:
    """Push all singular values of a matrix towards 1 and keep its singular vectors (Newton-Schulz iteration).

    After scaling by the Frobenius norm, every step applies the odd polynomial p(x) = a x + b x³ + c x⁵ to the
    singular values by products alone, X ← P X with P = a I + b S + c S² and S = X Xᵀ. The coefficients are
    Jordan's: their slope at zero is as large as can be, in exchange for singular values that end between about
    0.7 and 1.2. With fewer steps the small ones stay further below.

    Args:
        matrix: (A, B), any scale; zero stays zero.
        steps: Iterations.
        eps: Smallest norm that is divided by.

    Returns:
        A new matrix of the same shape.
    """
    x = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix  # the smaller Gram matrix
    x = x / max(float(np.linalg.norm(x)), eps)
    x = _iterate_on_gram(x, steps) if x.shape[1] >= 2 * x.shape[0] else _iterate(x, steps)
    return x.T if matrix.shape[0] > matrix.shape[1] else x


def _iterate(x: Flat, steps: int) -> Flat:
    """X ← P X, step by step."""
    for _ in range(steps):
        x = _polynomial(x @ x.T) @ x
    return x


def _iterate_on_gram(x: Flat, steps: int) -> Flat:
    """The same with fewer operations where X is much wider than high.

    (P X) (P X)ᵀ = P S P, so S goes on without X, which is multiplied at the end by all P at once. All of them are
    polynomials of the first S and commute.
    """
    s = x @ x.T
    product = p = _polynomial(s)
    for _ in range(steps - 1):
        s = p @ s @ p
        p = _polynomial(s)
        product = p @ product
    return product @ x


def _polynomial(s: Flat) -> Flat:
    """P = a I + b S + c S² for a Gram matrix S."""
    a, b, c = _COEFFICIENTS
    p: Flat = s @ s
    p *= c
    p += b * s
    p.flat[:: len(p) + 1] += a
    return p


def _share(matrices: Sequence[Matrix], workers: int) -> list[list[Matrix]]:
    """Deal the matrices out, the costliest first, each to the worker with the least to do."""
    shares: list[list[Matrix]] = [[] for _ in range(workers)]
    loads = [0] * workers
    for matrix in sorted(matrices, key=_cost, reverse=True):
        worker = loads.index(min(loads))
        shares[worker].append(matrix)
        loads[worker] += _cost(matrix)
    return shares


def _cost(matrix: Matrix) -> int:
    """Multiplications of a Newton-Schulz step, about."""
    small, large = sorted((matrix.rows, matrix.columns))
    return small * small * (4 * small if large >= 2 * small else 2 * large + small)
