"""A profile's parts add up, and its figures follow from each other."""

from __future__ import annotations

import json
from time import perf_counter

import numpy as np
import pytest

from quanta_tissu.tisslm import engine
from quanta_tissu.tisslm.config import ModelConfig
from quanta_tissu.tisslm.engine import Tape
from quanta_tissu.tisslm.inspect.profile import Machine, Workload, profile
from quanta_tissu.tisslm.inspect.profile.costs import model_flops
from quanta_tissu.tisslm.inspect.profile.profile import OVERHEAD, Phase
from quanta_tissu.tisslm.inspect.profile.recording import Recorder
from quanta_tissu.tisslm.model import Decoder

MACHINE = Machine(1, 50.0, 50.0, 10.0)
CONFIG = ModelConfig(vocab_size=17, context_length=16, n_layers=2, d_model=16, n_heads=4, n_kv_heads=2)


def differentiation(config=CONFIG):
    """The loss of a tiny model and its gradient, as a workload."""
    decoder = Decoder.initialise(config, seed=0)
    ids = np.random.default_rng(0).integers(0, 17, size=(2, config.context_length + 1))

    def run():
        start = perf_counter()
        tape = Tape()
        params = {name: tape.variable(value) for name, value in decoder.parameters.items()}
        tape.backward(decoder.loss(ids[:, :-1], ids[:, 1:], params=params))
        return {"step": perf_counter() - start}

    flops = 3 * model_flops(decoder, 2, config.context_length)
    phases = {"step": Phase(2 * config.context_length, flops)}
    return Workload("step", "tiny", decoder, run, phases), Recorder(1, parameters=decoder.parameters.flat)


@pytest.fixture(scope="module", params=["reference", "fast"])
def result(request):
    if request.param == "fast":
        pytest.importorskip("numba")
    return profile(*differentiation(), engine.get(request.param), MACHINE, runs=5)


def test_operations_and_what_is_not_in_them_add_up_to_the_step(result):
    assert sum(row.seconds for row in result.rows) == pytest.approx(result.seconds, rel=1e-9)
    assert sum(row.share for row in result.rows) == pytest.approx(1)
    assert result.rows[-1].op == OVERHEAD
    assert all(row.seconds > 0 for row in result.rows)
    assert result.runs == 3  # the half of five that is nearest to the median


@pytest.mark.parametrize("table", ["by_operation", "by_module"])
def test_tables_add_up_too(result, table):
    rows = getattr(result, table)()
    assert sum(row.seconds for row in rows) == pytest.approx(result.seconds)
    assert sum(row.nbytes for row in rows) == sum(row.nbytes for row in result.rows)


def test_products_are_those_that_the_model_asks_for(result):
    """Each product once forward and twice backward; what else there is, is little."""
    decoder = Decoder.initialise(CONFIG, seed=0)
    products = sum(
        row.flops for row in result.by_operation() if row.op in ("linear", "attention", "linear_cross_entropy")
    )
    asked = 3 * model_flops(decoder, 2, 16)
    assert asked < products < 1.1 * asked


def test_modules_and_layers_are_told_apart(result):
    modules = [row.module for row in result.by_module()]
    assert modules == ["embedding", "attention", "feed_forward", "norm", "residual", "head", OVERHEAD]
    layers = [(row.layer, row.module) for row in result.by_layer()]
    assert layers == [(n, module) for n in (0, 1) for module in ("attention", "feed_forward", "norm", "residual")]
    first, second = (row for row in result.by_layer() if row.module == "feed_forward")
    assert first.flops == second.flops
    assert first.calls == second.calls == 6  # two linear layers and an activation, forward and backward


def test_figures_follow_from_time_and_work(result):
    row = next(row for row in result.by_operation() if row.op == "linear" and row.phase == "forward")
    assert row.gflops == pytest.approx(row.flops / row.seconds / 1e9)
    assert row.gbs == pytest.approx(row.nbytes / row.seconds / 1e9)
    assert row.intensity == pytest.approx(row.flops / row.nbytes)
    assert row.least_seconds >= max(row.flops / 50e9, row.nbytes / 10e9) * 0.999
    assert row.roofline == pytest.approx(row.least_seconds / row.seconds)


def test_speed_is_that_without_the_profiler(result):
    speed = result.speeds["step"]
    assert speed.seconds == result.plain_seconds
    assert speed.tokens_per_second == pytest.approx(32 / speed.seconds)
    flops = 3 * model_flops(Decoder.initialise(CONFIG, seed=0), 2, 16)
    assert speed.utilisation == pytest.approx(flops / speed.seconds / 50e9)


def test_it_becomes_json(result):
    report = json.loads(json.dumps(result.to_json()))
    assert report["machine"]["gflops"] == 50
    assert {row["op"] for row in report["operations"]} >= {"linear", "attention", OVERHEAD}
    assert report["kept"] == result.kept > 0


def test_recomputed_blocks_do_more_than_the_model_asks_for():
    workload, recorder = differentiation()
    again, other = differentiation()
    decoder = again.decoder
    loss = decoder.loss
    decoder.loss = lambda *args, **kwargs: loss(*args, **kwargs, recompute=True)
    plain = profile(workload, recorder, engine.get("reference"), MACHINE, runs=1)
    recomputed = profile(again, other, engine.get("reference"), MACHINE, runs=1)
    calls = [
        next(row.calls for row in result.by_operation() if (row.op, row.phase) == ("attention", "forward"))
        for result in (plain, recomputed)
    ]
    assert calls == [2, 4]
    assert recomputed.by_layer()[0].layer == 0


def test_the_model_is_left_as_it_was():
    workload, recorder = differentiation()
    blocks = list(workload.decoder.blocks)
    profile(workload, recorder, engine.get("reference"), MACHINE, runs=1)
    assert workload.decoder.blocks == blocks
    assert engine.current().name in engine.ENGINES


@pytest.mark.parametrize("changes", [{"norm_placement": "post"}, {"positions": "learned", "norm": "layer_norm"}])
def test_other_architectures_leave_nothing_without_a_module(changes):
    workload, recorder = differentiation(CONFIG.model_copy(update=changes))
    result = profile(workload, recorder, engine.get("reference"), MACHINE, runs=1)
    assert "other" not in {row.module for row in result.rows}
