"""One process on torch tensors computes what the NumPy replicas compute."""

from __future__ import annotations

import numpy as np
import pytest

from quanta_tissu.errors import ConfigError
from quanta_tissu.tisslm.data.batches import IGNORE_INDEX, Batch
from quanta_tissu.tisslm.model import Decoder
from quanta_tissu.tisslm.train.replicas import Replicas
from quanta_tissu.tisslm.train.world import World

pytestmark = pytest.mark.torch

MODELS = {
    "llama": {},
    "gpt": {"norm": "layer_norm", "feed_forward": "gelu_tanh", "positions": "learned", "n_kv_heads": 4},
    "post-norm": {"norm_placement": "post", "positions": "sinusoidal", "bias": True},
    "window": {"sliding_window": 3, "tie_embeddings": False, "rope_interleaved": True},
}
TRAIN = {"engine": "torch", "replicas": None, "label_smoothing": 0.1, "z_loss": 1e-3}


def batches(count=2, vocab=11, rows=5, time=8):
    rng = np.random.default_rng(3)
    made = []
    for _ in range(count):
        targets = rng.integers(0, vocab, (rows, time))
        targets[rng.random(targets.shape) < 0.3] = IGNORE_INDEX
        made.append(Batch(rng.integers(0, vocab, (rows, time)), targets))
    return made


def replica(settings, seed=1):
    from quanta_tissu.tisslm.train.pytorch.replica import TorchReplica

    return TorchReplica(settings, Decoder.initialise(settings.model, seed), World())


def numpy_result(settings, seed=1):
    train = settings.train
    decoder = Decoder.initialise(settings.model, seed)
    with Replicas(decoder, 1, label_smoothing=train.label_smoothing, z_loss=train.z_loss) as replicas:
        loss, gradients = replicas.loss_and_gradients(batches())
        return (
            loss,
            {name: np.array(gradients[name]) for name in decoder.parameters},
            replicas.squared_norm(gradients),
        )


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_loss_and_gradients_are_those_of_numpy(config, model, recompute):
    settings = config(model=model, train={**TRAIN, "recompute": recompute})
    loss, expected, squared = numpy_result(settings)
    one = replica(settings)
    found, gradients = one.loss_and_gradients(batches())
    assert found == pytest.approx(loss, rel=1e-6)
    assert one.squared_norm(gradients) == pytest.approx(squared, rel=1e-5)
    for name, gradient in one.host_gradients(gradients).items():
        scale = np.abs(expected[name]).max()
        np.testing.assert_allclose(gradient / scale, expected[name] / scale, atol=5e-6, err_msg=name)


def test_a_call_leaves_nothing_behind_for_the_next(config):
    one = replica(config(train=TRAIN))
    first, gradients = one.loss_and_gradients(batches())
    before = one.host_gradients(gradients)
    one.loss_and_gradients(batches(1, rows=3))
    again, gradients = one.loss_and_gradients(batches())
    assert again == first
    for name, gradient in one.host_gradients(gradients).items():
        assert np.array_equal(gradient, before[name])


def test_the_loss_scale_changes_neither_loss_nor_gradients(config):
    one = replica(config(train=TRAIN))
    loss, gradients = one.loss_and_gradients(batches())
    plain = {name: np.array(g) for name, g in one.host_gradients(gradients).items()}
    scaled, gradients = one.loss_and_gradients(batches(), loss_scale=2.0**16)
    assert scaled == loss
    for name, gradient in one.host_gradients(gradients).items():
        np.testing.assert_allclose(gradient, plain[name], rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize(("precision", "bits"), [("bfloat16", 8), ("float16", 11)])
def test_half_precision_is_as_close_as_its_bits_allow(config, precision, bits):
    settings = config(train={**TRAIN, "precision": precision})
    loss, expected, _ = numpy_result(settings)
    found, gradients = (one := replica(settings)).loss_and_gradients(batches(), loss_scale=2.0**10)
    assert found == pytest.approx(loss, rel=2.0**-bits)
    assert found != loss
    host = one.host_gradients(gradients)
    assert {g.dtype for g in host.values()} == {np.dtype(np.float32)}
    total = np.sqrt(sum((g**2).sum() for g in expected.values()))
    error = np.sqrt(sum(((host[n] - expected[n]) ** 2).sum() for n in host))
    assert error < 8 * 2.0**-bits * total


def test_on_a_cpu_the_weights_are_the_decoders_own_memory(config):
    one = replica(config(train=TRAIN))
    for piece in one.weights.values:
        assert np.shares_memory(piece.numpy(), one.decoder.parameters.flat)


def test_on_a_cpu_callbacks_can_look_at_the_gradients_but_not_change_them(config):
    one = replica(config(train=TRAIN))
    assert not one.gradients["model.norm.weight"].any()
    _, gradients = one.loss_and_gradients(batches())
    for name, gradient in one.host_gradients(gradients).items():
        assert np.array_equal(one.gradients[name], gradient)
    with pytest.raises(ValueError, match="read-only"):
        one.gradients["model.norm.weight"][0] = 1.0


@pytest.mark.parametrize("recompute", [False, True])
def test_dropout_is_a_function_of_where_training_stands(config, recompute):
    settings = config(model={"dropout": 0.3}, train={**TRAIN, "recompute": recompute})
    one = replica(settings)

    def result(*entropy):
        loss, gradients = one.loss_and_gradients(batches(), dropout=entropy)
        return loss, one.squared_norm(gradients)

    assert result(1, 2) == result(1, 2)
    assert result(1, 3)[0] != result(1, 2)[0]
    plain = replica(config(model={"dropout": 0.3}, train=TRAIN))
    assert plain.loss_and_gradients(batches(), dropout=(1, 2))[0] == result(1, 2)[0]
    assert one.loss_and_gradients(batches())[0] != result(1, 2)[0]


def test_validation_is_the_mean_over_tokens_with_the_weights_or_their_average(config):
    settings = config(train=TRAIN)
    one, other = replica(settings), Decoder.initialise(settings.model, 9)
    with Replicas(other, 1) as replicas:
        expected = replicas.evaluate(batches())
    average = one.make_average(0.9)
    average.load(other.parameters.flat, 3)
    own = one.validate(batches(), None, lambda: False)
    found = one.validate(batches(), average, lambda: False)
    assert found.tokens == expected.tokens
    assert found.loss == pytest.approx(expected.loss, rel=1e-6)
    assert own.loss != pytest.approx(found.loss, rel=1e-3)
    assert one.validate(batches(), None, lambda: False) == own  # the weights are back
    assert np.array_equal(average.host(), other.parameters.flat)
    assert one.validate(batches(), None, lambda: True) is None


def test_clipping_by_value(config):
    one = replica(config(train=TRAIN))
    _, gradients = one.loss_and_gradients(batches())
    one.clip_by_value(gradients, 1e-3)
    largest = max(float(g.abs().max()) for g in gradients.flat)
    assert largest == pytest.approx(1e-3)


def test_shares_cover_a_batch_once_and_nobody_is_left_without_a_row():
    from quanta_tissu.tisslm.train.pytorch.replica import share

    for rows in (1, 2, 5):
        [batch] = batches(1, rows=rows)
        shares = [share(batch, rank, 3) for rank in range(3)]
        assert sum(s.num_targets for s in shares) == batch.num_targets
        assert all(len(s.inputs) >= 1 for s in shares)
        rows_with_targets = [s.inputs for s in shares if s.num_targets]
        assert np.array_equal(np.concatenate(rows_with_targets), batch.inputs)


def test_ids_outside_the_vocabulary_are_refused(config):
    one = replica(config(train=TRAIN))
    with pytest.raises(ConfigError, match="token ids must lie in"):
        one.loss_and_gradients(batches(vocab=400))


@pytest.mark.slow
def test_compiled_is_the_same(config):
    loss, expected, _ = numpy_result(config(train=TRAIN))
    one = replica(config(train=TRAIN, torch={"compile": True}))
    found, gradients = one.loss_and_gradients(batches(1))
    found, gradients = one.loss_and_gradients(batches())
    assert found == pytest.approx(loss, rel=1e-6)
    for name, gradient in one.host_gradients(gradients).items():
        scale = np.abs(expected[name]).max()
        np.testing.assert_allclose(gradient / scale, expected[name] / scale, atol=5e-6, err_msg=name)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_on_a_gpu_the_results_are_those_of_the_cpu(config, torch, precision):
    if not torch.cuda.is_available():
        pytest.skip("PyTorch finds no GPU here")
    settings = config(train={**TRAIN, "precision": precision}, torch={"device": "cuda"})
    loss, expected, _ = numpy_result(settings)
    one = replica(settings)
    found, gradients = one.loss_and_gradients(batches())
    tolerance = 1e-4 if precision == "float32" else 3e-2
    assert found == pytest.approx(loss, rel=tolerance)
    for name, gradient in one.host_gradients(gradients).items():
        scale = np.abs(expected[name]).max()
        np.testing.assert_allclose(gradient / scale, expected[name] / scale, atol=tolerance, err_msg=name)
    one.to_host()
    assert np.array_equal(one.decoder.parameters.flat, Decoder.initialise(settings.model, 1).parameters.flat)
