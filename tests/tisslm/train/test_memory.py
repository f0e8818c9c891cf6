"""What a run will take is known before it takes it, and what there is, is read from the system."""

from __future__ import annotations

import sys
import tracemalloc

import numpy as np
import pytest

from quanta_tissu.errors import TrainingError
from quanta_tissu.tisslm import engine
from quanta_tissu.tisslm.data.batches import Batch
from quanta_tissu.tisslm.engine import memory as engine_memory
from quanta_tissu.tisslm.model import Decoder
from quanta_tissu.tisslm.train import memory
from quanta_tissu.tisslm.train.memory import available_memory, estimate_memory, require_memory
from quanta_tissu.tisslm.train.replicas import Replicas
from quanta_tissu.tisslm.train.step import TrainStep

WIDE = {"context_length": 16, "d_model": 256, "n_heads": 4, "n_kv_heads": 2, "d_ff": 512, "vocab_size": 500}
LONG = {"context_length": 256, "d_model": 32, "n_heads": 4, "n_kv_heads": 4, "d_ff": 64, "vocab_size": 300}


def _replicas(config):
    return Replicas(
        Decoder.initialise(config.model, 0),
        config.train.replicas,
        recompute=config.train.recompute,
        float16=config.train.precision == "float16",
    )


def peak_of_a_step(config):
    """Bytes of arrays at the peak of building a model and making a step."""
    model = config.model
    batch = Batch(*np.random.default_rng(0).integers(0, model.vocab_size, (2, 4, model.context_length)))

    def step():
        with engine.use("fast"), _replicas(config) as replicas:
            TrainStep(config, replicas)([batch], 0, 10)

    step()  # compiles, which takes memory of its own
    engine_memory.release_scratch()
    tracemalloc.start()
    try:
        step()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "sections",
    [
        {"model": WIDE},
        {"model": WIDE, "optimizer": {"name": "sgd"}, "train": {"ema_decay": 0.9}},
        {"model": LONG},
        {"model": {**LONG, "feed_forward": "gelu", "positions": "learned", "norm_placement": "post"}},
        {"model": {**LONG, "vocab_size": 4000, "context_length": 64}},
        {"model": {**WIDE, "context_length": 512}},
        {"model": {**WIDE, "context_length": 512, "feed_forward": "gelu", "positions": "learned"}},
        {"model": {**LONG, "n_layers": 6, "d_model": 64, "d_ff": 256}, "train": {"recompute": True}},
        {"model": {**WIDE, "n_layers": 4, "context_length": 128}, "train": {"recompute": True}},
        {"model": {**LONG, "vocab_size": 4000, "context_length": 64}, "train": {"recompute": True}},
        {"model": {**WIDE, "n_layers": 8}, "train": {"recompute": True}},
        {"model": {**LONG, "n_layers": 4}, "train": {"precision": "float16"}},
        {"model": {**WIDE, "n_layers": 4}, "train": {"precision": "float16"}},
        {"model": {**WIDE, "n_layers": 4}, "train": {"precision": "float16", "recompute": True}},
    ],
)
def test_the_estimate_is_close_to_what_a_step_takes_and_rather_low(config, sections):
    # One replica: by how much the peaks of several coincide is chance.
    settings = config(**{**sections, "train": {"replicas": 1, **sections.get("train", {})}})
    estimated = estimate_memory(settings, settings.model, 1).arrays
    peak = peak_of_a_step(settings)
    assert 0.85 * peak < estimated < peak


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd", "rmsprop", "lion", "muon"])
def test_buffers_as_long_as_the_weights_are_exact(config, name):
    settings = config(optimizer={"name": name}, train={"ema_decay": 0.9})
    with Replicas(Decoder.initialise(settings.model, 0), 3) as replicas:
        step = TrainStep(settings, replicas)
        found = estimate_memory(settings, settings.model, 3)
        assert found.weights == replicas.decoder.parameters.flat.nbytes
        assert found.gradients == sum(total.nbytes for total in replicas.gradients.totals())
        assert found.optimizer == sum(buffer.nbytes for buffer in step.optimizer.state.values())
        assert found.average == step.average.average.nbytes


def test_replicas_without_a_share_of_the_batch_take_nothing(config):
    settings = config(train={"batch_size": 2})
    assert estimate_memory(settings, settings.model, 8) == estimate_memory(settings, settings.model, 2)


@pytest.mark.parametrize(
    ("sections", "advice"),
    [
        ({"model": WIDE}, ["model.d_model", "training holds that several times"]),
        (
            {"model": LONG},
            ["train.batch_size", "train.gradient_accumulation", "model.context_length", "train.recompute = true"],
        ),
    ],
)
def test_what_does_not_fit_is_refused_with_both_figures_and_what_to_reduce(config, sections, advice):
    settings = config(**sections)
    needed = estimate_memory(settings, settings.model, 2).total
    require_memory(settings, settings.model, 2, needed)
    require_memory(settings, settings.model, 2, None)  # not known: not checked
    message = f"takes about {needed / 1e6:.1f} MB of memory, and 5.0 MB are available"
    with pytest.raises(TrainingError, match=message) as error:
        require_memory(settings, settings.model, 2, 5_000_000)
    assert all(words in error.value.hint for words in advice)


@pytest.fixture
def system(tmp_path, monkeypatch):
    """`system({file: text})`: what the files of a Linux system say."""

    def say(files):
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "_OWN_GROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(memory, "_GROUPS", tmp_path / "groups")
    say({"meminfo": "MemTotal:       9000 kB\nMemAvailable:    8000 kB\n"})
    return say


def test_without_a_limit_the_system_decides(system):
    assert available_memory() == 8000 * 1024
    system({"cgroup": "0::/user.slice\n", "groups/user.slice/memory.max": "max\n"})
    system({"groups/user.slice/memory.current": "1000\n"})
    assert available_memory() == 8000 * 1024


def test_the_tightest_group_above_the_process_decides(system):
    system({"cgroup": "0::/box/inner\n"})
    system({"groups/box/inner/memory.max": "6000000\n", "groups/box/inner/memory.current": "1000000\n"})
    assert available_memory() == 5_000_000
    system({"groups/box/memory.max": "3000000\n", "groups/box/memory.current": "1500000\n"})
    system({"groups/box/memory.stat": "anon 7\ninactive_file 400000\nactive_file 9\n"})
    assert available_memory() == 1_900_000


def test_the_limit_of_a_container_is_at_the_root_it_sees(system):
    system({"cgroup": "0::/hosts/name/for/it\n"})
    system({"groups/memory.max": "2000000\n", "groups/memory.current": "2500000\n"})
    assert available_memory() == 0


def test_version_1_of_control_groups(system):
    system({"cgroup": "5:cpu,cpuacct:/a\n4:memory:/a\n0::/\n"})
    system({"groups/memory/a/memory.limit_in_bytes": "2000000\n"})
    system({"groups/memory/a/memory.usage_in_bytes": "500000\n"})
    system({"groups/memory/a/memory.stat": "inactive_file 1\ntotal_inactive_file 300000\n"})
    assert available_memory() == 1_800_000


def test_a_system_that_does_not_say_is_not_checked(system, tmp_path, monkeypatch):
    (tmp_path / "meminfo").unlink()
    assert available_memory() is None
    monkeypatch.setattr(sys, "platform", "darwin")
    assert available_memory() is None
