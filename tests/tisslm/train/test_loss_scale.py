"""Loss scaling: an overflow costs one update and half the scale, and without scaling gradients vanish."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quanta_tissu.errors import TrainingError
from quanta_tissu.tisslm.data.batches import Batch
from quanta_tissu.tisslm.model import Decoder
from quanta_tissu.tisslm.train.checkpoint import load_resumable
from quanta_tissu.tisslm.train.loss_scale import LossScale
from quanta_tissu.tisslm.train.replicas import Replicas
from quanta_tissu.tisslm.train.step import TrainStep

HALF = {"precision": "float16"}


def batch(seed=0, rows=5):
    inputs = np.random.default_rng(seed).integers(0, 11, (rows, 9))
    return Batch(inputs[:, :-1], inputs[:, 1:])


def norm(x):
    return float(np.linalg.norm(x))


def flat(gradients):
    return np.concatenate([np.array(gradient).reshape(-1) for gradient in gradients.values()])


class TestTheScale:
    def test_it_doubles_after_so_many_finite_gradients_in_a_row(self):
        scale = LossScale(8.0, 3)
        values = []
        for finite in (True, True, False, True, True, True, True, True, True):
            scale.is_too_large(finite)
            values.append(scale.value)
        assert values == [8, 8, 4, 4, 4, 8, 8, 8, 16]

    def test_it_is_to_blame_for_an_overflow_unless_it_is_one(self):
        scale = LossScale(4.0, 100)
        assert [scale.is_too_large(False) for _ in range(4)] == [True, True, False, False]
        assert scale.value == 1

    @pytest.mark.torch
    @given(st.lists(st.booleans(), max_size=60), st.integers(1, 5))
    def test_it_follows_torchs_grad_scaler(self, torch, finite, interval):
        ours = LossScale(2.0**40, interval)
        theirs = torch.amp.GradScaler("cpu", init_scale=2.0**40, growth_interval=interval)
        weight = torch.zeros(1, requires_grad=True)
        optimizer = torch.optim.SGD([weight], lr=0.0)
        for good in finite:
            theirs.scale(weight.sum())  # a scaler begins at its first use
            weight.grad = torch.tensor([1.0 if good else math.inf])
            theirs.step(optimizer)
            theirs.update()
            ours.is_too_large(good)
            assert ours.value == theirs.get_scale()
            assert ours.good_steps == theirs.state_dict()["_growth_tracker"]


def step_of(config, decoder, replicas, **train):
    return TrainStep(config(train={**HALF, **train}), replicas)


@pytest.mark.filterwarnings("ignore:invalid value")
def test_an_overflow_halves_the_scale_and_leaves_everything_else_untouched(config):
    decoder = Decoder.initialise(config().model, 0)
    with Replicas(decoder, 2, float16=True) as replicas:
        settings = {"ema_decay": 0.9, "loss_scale": 2.0**30, "clip_value": 1.0, "spike_threshold": 3.0}
        step = step_of(config, decoder, replicas, **settings)
        before = decoder.parameters.flat.copy()
        skipped = []
        while not skipped or skipped[-1]:
            outcome = step([batch()], len(skipped), 50)
            skipped.append(outcome.skipped)
            if outcome.skipped:
                assert not math.isfinite(outcome.gradient_norm)
                np.testing.assert_array_equal(decoder.parameters.flat, before)
                assert step.optimizer.steps == step.average.updates == 0
                assert step.spike_windows() == {"loss": [], "gradient norm": []}
    assert skipped[0] == (
        "a gradient overflowed float16 with the loss multiplied by 1,073,741,824, from now on by 536,870,912"
    )
    assert step.loss_scale.value == 2.0 ** (30 - (len(skipped) - 1))
    assert outcome.loss_scale == step.loss_scale.value  # the last one was made with it
    assert math.isfinite(outcome.gradient_norm)
    assert not np.array_equal(decoder.parameters.flat, before)
    assert [len(values) for values in step.spike_windows().values()] == [1, 1]


def test_neither_loss_nor_gradients_are_scaled(config):
    decoder = Decoder.initialise(config().model, 0)
    found = []
    for scale in (2.0**8, 2.0**12):
        with Replicas(decoder, 2, float16=True) as replicas:
            loss, gradients = replicas.loss_and_gradients(batch(), loss_scale=scale)
            found.append((loss, flat(gradients)))
    assert found[0][0] == found[1][0]
    assert norm(found[1][1] - found[0][1]) < 1e-4 * norm(found[0][1])
    with Replicas(decoder, 1) as replicas:
        exact = flat(replicas.loss_and_gradients(batch())[1])
        scaled = flat(replicas.loss_and_gradients(batch(), loss_scale=2.0**12)[1])
        np.testing.assert_array_equal(scaled, exact)  # in float32 a power of two changes nothing


def test_gradients_that_are_not_finite_at_a_scale_of_one_stop_the_run(config):
    decoder = Decoder.initialise(config().model, 0)
    with Replicas(decoder, 1, float16=True) as replicas:
        step = step_of(config, decoder, replicas, loss_scale=1.0)
        original = replicas.loss_and_gradients

        def overflowing(*args, **kwargs):
            loss, gradients = original(*args, **kwargs)
            gradients.totals()[2][0] = np.inf
            return loss, gradients

        replicas.loss_and_gradients = overflowing
        before = decoder.parameters.flat.copy()
        with pytest.raises(TrainingError, match="the gradient norm is inf at step 1") as error:
            step([batch()], 0, 10)
        assert "train.precision = float32" in error.value.hint
        np.testing.assert_array_equal(decoder.parameters.flat, before)


@pytest.mark.filterwarnings("ignore:invalid value")
def test_activations_beyond_float16_stop_the_run_at_any_scale(config):
    """No loss scale goes into the forward pass, so a smaller one would not help."""
    decoder = Decoder.initialise(config().model, 0)
    decoder.parameters["model.layers.0.mlp.gate_up_proj.weight"][...] *= 1e4
    with Replicas(decoder, 1) as replicas:
        TrainStep(config(), replicas)([batch()], 0, 10)  # float32 has room for them
    decoder = Decoder.initialise(config().model, 0)
    decoder.parameters["model.layers.0.mlp.gate_up_proj.weight"][...] *= 1e4
    with Replicas(decoder, 1, float16=True) as replicas:
        step = step_of(config, decoder, replicas)
        with pytest.raises(TrainingError, match="the loss is nan at step 1"):
            step([batch()], 0, 10)
        assert step.loss_scale.value == 65536


def losses_of(config, steps=25, replicas=2, **train):
    """Training losses with gradients as small as those of a large batch: means over 8,192 tokens."""
    settings = config(train=train, schedule={"warmup_steps": 0}, optimizer={"learning_rate": 3e-3})
    decoder = Decoder.initialise(settings.model, 0)
    ids = np.cumsum(np.random.default_rng(0).integers(1, 3, (1024, 9)), axis=1) % 11
    half = settings.train.precision == "float16"
    with Replicas(decoder, replicas, float16=half) as team:
        step = TrainStep(settings, team)
        return np.array([step([Batch(ids[:, :-1], ids[:, 1:])], n, 100).loss for n in range(steps)])


@pytest.mark.slow
def test_float16_follows_float32_and_without_loss_scaling_it_does_not(config):
    expected = losses_of(config)
    assert expected[-1] < expected[0] - 0.5  # it learns
    scaled = losses_of(config, **HALF)
    unscaled = losses_of(config, **HALF, loss_scale=1.0)
    assert np.abs(scaled - expected).max() < 1e-4
    assert np.abs(unscaled - expected).max() > 10 * np.abs(scaled - expected).max()


@pytest.mark.torch
@pytest.mark.parametrize("variant", ["llama", "gpt2"])
def test_it_is_as_far_from_float32_as_torchs_autocast(torch, config, variant):
    """Autocast on the CPU has kernels of its own for float16; errors are of the same size, and near each other."""
    from quanta_tissu.tisslm import ops

    gpt2 = {"feed_forward": "gelu", "norm": "layer_norm", "positions": "learned", "n_kv_heads": 4, "bias": True}
    model = {"d_model": 64, "d_ff": 128, **(gpt2 if variant == "gpt2" else {})}
    settings, scale = config(model=model), 2.0**16
    decoder = Decoder.initialise(settings.model, 3)
    many = batch(rows=60)
    with Replicas(decoder, 1) as replicas:
        exact = flat(replicas.loss_and_gradients(many)[1])
    with Replicas(decoder, 1, float16=True) as replicas:
        ours = flat(replicas.loss_and_gradients(many, loss_scale=scale)[1])
    tensors = {n: torch.tensor(a, requires_grad=True) for n, a in decoder.parameters.items()}
    with torch.autocast("cpu", dtype=torch.float16):
        logits = decoder.forward(many.inputs, params=tensors)
    (ops.cross_entropy(logits.float(), targets=many.targets) * scale).backward()
    theirs = flat({name: tensor.grad.numpy() / scale for name, tensor in tensors.items()})
    error, autocast_error = norm(ours - exact), norm(theirs - exact)
    assert 0.8 < error / autocast_error < 1.25
    assert norm(ours - theirs) < 1.2 * autocast_error
    assert autocast_error < 2e-3 * norm(exact)


def lines(trainer, kind):
    found = [json.loads(line) for line in (trainer.out_dir / "metrics.jsonl").read_text().splitlines()]
    return [line for line in found if line["kind"] == kind]


def test_a_run_reports_the_scale_and_skipped_steps(config, make_trainer, recorder):
    trainer = make_trainer(config(train={**HALF, "loss_scale": 2.0**20}), callbacks=[recorder])
    result = trainer.run()
    scales = [report.loss_scale for report in recorder.steps]
    skipped = [report.skipped is not None for report in recorder.steps]
    assert [line["loss_scale"] for line in lines(trainer, "train")] == scales
    assert skipped[0]
    assert not skipped[-1]
    assert scales == [2.0 ** (20 - sum(skipped[:n])) for n in range(6)]
    warnings = [m.text for m in recorder.messages if m.level == "warning"]
    assert warnings[0].startswith("step 1: a gradient overflowed float16")
    assert warnings[0].endswith("; the update was skipped")
    assert len(warnings) == sum(skipped)
    state = load_resumable(trainer.out_dir).state
    assert (state.loss_scale, state.optimizer_steps) == (scales[-1], 6 - sum(skipped))
    assert result.val_loss < 2.4


def test_other_precisions_report_no_scale(config, make_trainer):
    trainer = make_trainer(config())
    trainer.run()
    assert all("loss_scale" not in line for line in lines(trainer, "train"))
    assert load_resumable(trainer.out_dir).state.loss_scale is None


def test_validation_is_in_float32(config, make_trainer, recorder):
    """What is validated is what is saved and used: the float32 weights, in float32."""
    trainer = make_trainer(config(train=HALF), callbacks=[recorder])
    data = trainer.data
    trainer.run()
    with Replicas(trainer.replicas.decoder, trainer.replicas.count) as plain:
        expected = plain.evaluate(data.validation()).loss
    assert recorder.evaluations[-1].val_loss == expected


def test_a_float32_run_may_go_on_in_float16_and_back(config, make_trainer, recorder):
    trainer = make_trainer(config())
    trainer.run()
    for steps, train in ((9, HALF), (12, {})):
        settings = config(train={**train, "max_steps": steps})
        trainer = make_trainer(settings, resumed=load_resumable(trainer.out_dir), callbacks=[recorder])
        trainer.run()
    assert [report.loss_scale for report in recorder.steps] == [65536.0] * 3 + [None] * 3
