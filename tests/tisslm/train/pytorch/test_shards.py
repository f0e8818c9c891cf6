"""Sharded checkpoints become one directory and back, and what is damaged is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from quanta_tissu.cli.app import run
from quanta_tissu.errors import CheckpointError, ConfigError, MissingDependencyError
from quanta_tissu.tisslm.train.checkpoint import load_resumable

pytestmark = pytest.mark.torch


@pytest.fixture(params=[None, 0.9], ids=["plain", "average"])
def saved(request, config, make_trainer):
    """The last checkpoint of a tiny run, as one directory."""
    trainer = make_trainer(config(train={"ema_decay": request.param, "engine": "torch", "replicas": None}))
    trainer.run()
    return trainer.out_dir / "step-6"


def assert_equal(one, other):
    assert one.state == other.state
    assert set(one.buffers) == set(other.buffers)
    for name in one.buffers:
        assert np.array_equal(one.buffers[name], other.buffers[name])
    assert np.array_equal(one.artifact.decoder.parameters.flat, other.artifact.decoder.parameters.flat)
    assert one.artifact.config == other.artifact.config
    assert one.artifact.tokenizer.fingerprint() == other.artifact.tokenizer.fingerprint()


def test_there_and_back(saved, tmp_path, capsys):
    sharded, back = tmp_path / "sharded" / "step-6", tmp_path / "back" / "step-6"
    assert run(["convert", str(saved), "--out", str(sharded)]) == 0
    assert "sharded, at step 6" in capsys.readouterr().out
    assert sorted(path.name for path in sharded.iterdir()) == [
        "config.json",
        "manifest.json",
        "shards",
        "tokenizer.json",
        "trainer_state.json",
    ]
    assert_equal(load_resumable(sharded), load_resumable(saved))
    assert run(["convert", str(sharded.parent), "--out", str(back)]) == 0
    assert "one directory, at step 6" in capsys.readouterr().out
    assert_equal(load_resumable(back), load_resumable(saved))


def test_there_are_no_pickles(saved, tmp_path):
    from quanta_tissu.tisslm.train.pytorch.shards import split

    split(load_resumable(saved), tmp_path / "sharded")
    assert {path.suffix for path in (tmp_path / "sharded").rglob("*") if path.is_file()} == {
        ".json",
        ".safetensors",
    }


def test_a_sharded_checkpoint_cannot_be_used_before_it_is_converted(saved, tmp_path, capsys):
    from quanta_tissu.tisslm.train.pytorch.shards import split

    split(load_resumable(saved), tmp_path / "step-6")
    assert run(["generate", str(tmp_path / "step-6")]) == 1
    assert "tissu convert" in capsys.readouterr().err


def test_damage_is_refused(saved, tmp_path):
    from quanta_tissu.tisslm.train.pytorch.shards import split

    sharded = tmp_path / "step-6"
    split(load_resumable(saved), sharded)
    [shard] = (sharded / "shards").iterdir()
    content = shard.read_bytes()
    shard.write_bytes(content[:-8])
    with pytest.raises(CheckpointError, match="truncated: the manifest says"):
        load_resumable(sharded)
    shard.write_bytes(b"\xff" * len(content))
    with pytest.raises(CheckpointError, match="cannot read"):
        load_resumable(sharded)
    shard.write_bytes(content)
    manifest = json.loads((sharded / "manifest.json").read_text())
    (sharded / "manifest.json").write_text(json.dumps({**manifest, "format": "tissu-sharded-9"}))
    with pytest.raises(CheckpointError, match="tissu-sharded-9"):
        load_resumable(sharded)
    (sharded / "manifest.json").write_text(json.dumps({**manifest, "configuration": {"model": {"colour": 1}}}))
    with pytest.raises(CheckpointError, match="configuration is invalid"):
        load_resumable(sharded)
    (sharded / "manifest.json").write_text("[]")
    with pytest.raises(CheckpointError, match="does not hold a JSON object"):
        load_resumable(sharded)
    (sharded / "manifest.json").write_text("{")
    with pytest.raises(CheckpointError, match="cannot read"):
        load_resumable(sharded)


def test_a_missing_tensor_is_refused_at_once(saved, tmp_path):
    from safetensors.numpy import load_file, save_file

    from quanta_tissu.tisslm.train.pytorch.shards import split

    sharded = tmp_path / "step-6"
    split(load_resumable(saved), sharded)
    [shard] = (sharded / "shards").iterdir()
    tensors = load_file(shard)
    del tensors["first_moment.model.norm.weight"]
    save_file(tensors, shard, {"format": "pt"})
    manifest = json.loads((sharded / "manifest.json").read_text())
    manifest["files"][f"shards/{shard.name}"] = shard.stat().st_size
    (sharded / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match=r"lacks 1 tensors, first_moment\.model\.norm\.weight"):
        load_resumable(sharded)


def test_a_checkpoint_is_not_converted_onto_itself(saved, capsys):
    assert run(["convert", str(saved), "--out", str(saved)]) == 1
    assert "is the checkpoint itself" in capsys.readouterr().err


def test_without_safetensors_it_says_what_to_install(saved, tmp_path, monkeypatch):
    import sys

    from quanta_tissu.tisslm.train.pytorch.shards import split

    resumed = load_resumable(saved)
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(MissingDependencyError, match="safetensors"):
        split(resumed, tmp_path / "step-6")


def test_weights_that_every_process_holds_are_not_sharded(config, make_trainer, tmp_path):
    from quanta_tissu.tisslm.train.pytorch.shards import About, save_sharded

    trainer = make_trainer(config(train={"engine": "torch", "replicas": None}))
    with pytest.raises(ConfigError, match="every process holds a part"):
        save_sharded(tmp_path / "step-1", trainer.step, About(config(), None, trainer.state, {}))


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_rows_of_packed_projections_are_dealt_out_part_by_part(config, processes):
    from quanta_tissu.tisslm.model import Decoder
    from quanta_tissu.tisslm.train.pytorch.sharded import interleaved

    model = config(model={"n_kv_heads": 4, "d_model": 16, "d_ff": 24}).model
    specs = {spec.name: spec for spec in Decoder.specs(model)}
    order = interleaved(specs["model.layers.0.self_attn.qkv_proj.weight"], processes)
    if processes == 1:
        assert order is None
        return
    assert sorted(order.tolist()) == list(range(48))
    first = order[: 48 // processes].reshape(3, -1)  # of the first process: queries, keys, values
    assert (first // 16).tolist() == [[part] * (16 // processes) for part in range(3)]
    assert interleaved(specs["model.layers.0.self_attn.o_proj.weight"], processes) is None


def test_what_cannot_be_shared_evenly_is_refused():
    from quanta_tissu.tisslm.train.pytorch.sharded import require_divisible

    require_divisible("model.n_heads", 4, 2)
    with pytest.raises(ConfigError, match=r"model\.n_heads is 3, which 2 processes") as caught:
        require_divisible("model.n_heads", 3, 2)
    assert "fsdp" in caught.value.hint
