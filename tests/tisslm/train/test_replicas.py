from __future__ import annotations

import math

import numpy as np
import pytest

from quanta_tissu.tisslm.data.batches import Batch
from quanta_tissu.tisslm.engine import Tape
from quanta_tissu.tisslm.model import Decoder, DropoutSeeds
from quanta_tissu.tisslm.train.replicas import Replicas


@pytest.fixture
def decoder(config):
    return Decoder.initialise(config().model, 0, dtype=np.float64)


def batch_of(rows, seed=0, ignored=0.0):
    rng = np.random.default_rng(seed)
    inputs, targets = rng.integers(0, 11, (2, rows, 8))
    return Batch(inputs, np.where(rng.random(targets.shape) < ignored, -100, targets))


def direct(decoder, batch, **options):
    """Loss and gradients of one batch on one tape."""
    tape = Tape()
    variables = {name: tape.variable(array) for name, array in decoder.parameters.items()}
    loss = decoder.loss(batch.inputs, batch.targets, params=variables, **options)
    tape.backward(loss)
    return float(loss.value), {name: variable.grad for name, variable in variables.items()}


def assert_equal(found, expected):
    assert found[0] == pytest.approx(expected[0], rel=1e-12)
    for name, gradient in expected[1].items():
        scale = np.abs(gradient).max()
        np.testing.assert_allclose(found[1][name], gradient, rtol=1e-9, atol=1e-12 * scale, err_msg=name)


def together(*batches):
    return Batch(np.concatenate([b.inputs for b in batches]), np.concatenate([b.targets for b in batches]))


@pytest.mark.parametrize("count", [1, 2, 3, 5])
@pytest.mark.parametrize("rows", [1, 4, 5])
def test_replicas_together_compute_what_one_tape_computes(decoder, count, rows):
    batch = batch_of(rows, ignored=0.3)
    with Replicas(decoder, count, label_smoothing=0.1, z_loss=1e-3) as replicas:
        assert_equal(replicas.loss_and_gradients(batch), direct(decoder, batch, label_smoothing=0.1, z_loss=1e-3))


def test_accumulated_micro_batches_are_one_large_batch(decoder):
    """Averages are over tokens: ragged micro-batches with different numbers of ignored targets weigh exactly."""
    parts = [batch_of(4, 1, ignored=0.9), batch_of(4, 2), batch_of(1, 3, ignored=0.5)]
    with Replicas(decoder, 2) as replicas:
        assert_equal(replicas.loss_and_gradients(parts), direct(decoder, together(*parts)))


def test_a_call_leaves_nothing_behind_for_the_next(decoder):
    with Replicas(decoder, 2) as replicas:
        replicas.loss_and_gradients([batch_of(4, 1), batch_of(4, 2)])
        assert_equal(replicas.loss_and_gradients(batch_of(3, 5)), direct(decoder, batch_of(3, 5)))
        assert_equal(replicas.loss_and_gradients(batch_of(1, 6)), direct(decoder, batch_of(1, 6)))


def test_parameters_that_the_loss_does_not_depend_on_have_zero_gradient(config):
    model = config(model={"positions": "learned", "context_length": 20}).model
    with Replicas(Decoder.initialise(model, 0), 1) as replicas:
        replicas.loss_and_gradients(batch_of(2))
        positions = replicas.gradients["model.embed_positions.weight"]
        assert positions[:8].any()
        assert not positions[8:].any()


def test_the_same_number_of_replicas_gives_the_same_bits(decoder):
    results = []
    for _ in range(3):
        with Replicas(decoder, 3) as replicas:
            loss, gradients = replicas.loss_and_gradients([batch_of(5, 1), batch_of(5, 2)], dropout=(1, 2))
            results.append((loss, *(gradient.tobytes() for gradient in gradients.values())))
    assert len(set(results)) == 1


def test_dropout_masks_depend_on_entropy_micro_batch_and_replica(config):
    model = config(model={"dropout": 0.5}).model
    decoder = Decoder.initialise(model, 0, dtype=np.float64)
    batch = batch_of(4)
    halves = [Batch(batch.inputs[i : i + 2], batch.targets[i : i + 2]) for i in (0, 2)]
    with Replicas(decoder, 2) as replicas:
        loss, gradients = replicas.loss_and_gradients([batch, batch], dropout=(9, 4))
        expected = [
            direct(decoder, half, dropout=DropoutSeeds(9, 4, micro, replica))
            for micro in range(2)
            for replica, half in enumerate(halves)
        ]
        assert loss == pytest.approx(sum(e[0] for e in expected) / 4, rel=1e-12)
        name = "model.layers.0.mlp.down_proj.weight"
        np.testing.assert_allclose(gradients[name], sum(e[1][name] for e in expected) / 4, rtol=1e-9)
        assert len({e[0] for e in expected}) == 4
        assert replicas.loss_and_gradients([batch, batch], dropout=(9, 5))[0] != loss


@pytest.mark.parametrize("count", [1, 2, 3])
def test_evaluation_is_the_mean_over_tokens(decoder, count):
    batches = [batch_of(4, 1), batch_of(4, 2, ignored=0.9), batch_of(1, 3)]
    with Replicas(decoder, count, label_smoothing=0.5, z_loss=1.0) as replicas:
        found = replicas.evaluate(iter(batches))
    assert found.loss == pytest.approx(direct(decoder, together(*batches))[0], rel=1e-12)
    assert found.tokens == sum(batch.num_targets for batch in batches)


def test_evaluation_does_not_drop_and_takes_other_weights(config):
    model = config(model={"dropout": 0.5}).model
    decoder = Decoder.initialise(model, 0)
    other = Decoder.initialise(model, 1)
    with Replicas(decoder, 2) as replicas:
        own = replicas.evaluate([batch_of(4)])
        assert own == replicas.evaluate([batch_of(4)])
        found = replicas.evaluate([batch_of(4)], parameters=other.parameters)
    assert found.loss == pytest.approx(direct(other, batch_of(4))[0], rel=1e-6)
    assert found.loss != own.loss


def test_evaluation_can_be_cancelled(decoder):
    seen = []

    def cancelled():
        seen.append(1)
        return len(seen) > 2

    with Replicas(decoder, 1) as replicas:
        assert replicas.evaluate((batch_of(1, seed) for seed in range(100)), cancelled=cancelled) is None
    assert len(seen) < 10


def test_squared_norm(decoder):
    with Replicas(decoder, 3) as replicas:
        _, gradients = replicas.loss_and_gradients(batch_of(4))
        assert math.sqrt(replicas.squared_norm(gradients)) == pytest.approx(
            math.hypot(*map(np.linalg.norm, gradients.values())), rel=1e-12
        )


def test_an_error_in_a_replica_comes_out(decoder):
    batch = batch_of(4)
    batch.inputs[3, 0] = 99
    with Replicas(decoder, 2) as replicas, pytest.raises(Exception, match="99"):
        replicas.loss_and_gradients(batch)
