"""A bigram model trained by gradient descent converges to what counting gives."""

from __future__ import annotations

import numpy as np
import pytest

from quanta_tissu.tisslm import ops
from quanta_tissu.tisslm.engine import Tape
from quanta_tissu.tisslm.train.optimizers import AdamW, Group, RMSProp

SYMBOLS, STEPS = 27, 80


@pytest.fixture(scope="module")
def bigrams(shared_data):
    """First and second symbol of every bigram; "." (0) stands at both ends of a name."""
    names = (shared_data / "names.txt").read_text().split()
    text = "." + ".".join(names) + "."
    ids = np.array([0 if c == "." else ord(c) - ord("a") + 1 for c in text])
    return ids[:-1], ids[1:]


def loss_and_gradient(table, first, second):
    tape = Tape()
    weight = tape.variable(table)
    loss = ops.cross_entropy(ops.embedding(weight, ids=first), targets=second)
    tape.backward(loss)
    return float(loss.value), weight.grad


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [
        lambda p, g: AdamW(p, g, learning_rate=1.0, betas=(0.8, 0.9)),
        lambda p, g: RMSProp(p, g, learning_rate=1.0, alpha=0.9, momentum=0.5),
    ],
    ids=["adamw", "rmsprop"],
)
def test_converges_to_the_counted_likelihood(bigrams, make):
    first, second = bigrams
    assert len(first) == 228_146
    counts = np.zeros((SYMBOLS, SYMBOLS))
    np.add.at(counts, (first, second), 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.where(counts > 0, counts * np.log(counts / counts.sum(axis=1, keepdims=True)), 0)
    counted = -logs.sum() / counts.sum()
    assert counted == pytest.approx(2.454014, abs=1e-6)

    table = np.zeros((SYMBOLS, SYMBOLS), np.float32)
    optimizer = make(table.reshape(-1), [Group(0, table.size)])
    start, _ = loss_and_gradient(table, first, second)
    assert start == pytest.approx(np.log(SYMBOLS), rel=1e-6)
    for step in range(STEPS):
        _, gradient = loss_and_gradient(table, first, second)
        optimizer.step(gradient.reshape(-1), factor=1 - step / STEPS)
    loss, _ = loss_and_gradient(table, first, second)
    # Pairs that never come keep a little probability, so the loss stays above what counting gives.
    assert counted < loss < counted + 5e-5
