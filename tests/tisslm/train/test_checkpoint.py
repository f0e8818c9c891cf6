from __future__ import annotations

import hashlib
import json
import shutil

import numpy as np
import pytest

from quanta_tissu.errors import CheckpointError
from quanta_tissu.tisslm import artifact
from quanta_tissu.tisslm.model.deferred import Deferred
from quanta_tissu.tisslm.train.checkpoint import TrainerState, load_resumable, rolling_checkpoints


@pytest.fixture
def run(config, make_trainer):
    """Folder of a finished run with two rolling checkpoints."""
    trainer = make_trainer(config(train={"checkpoint_interval": 3}))
    trainer.run()
    return trainer.out_dir


def test_a_checkpoint_holds_what_the_design_says(run):
    names = {path.name for path in (run / "step-6").iterdir()}
    inference = {"model.safetensors", "config.json", "tokenizer.json", "manifest.json", "README.md"}
    assert names == inference | {"trainer_state.json", "optimizer.safetensors"}
    assert {path.name for path in (run / "best").iterdir()} == inference
    tensors = artifact.load_tensors(run / "step-6" / "optimizer.safetensors")
    assert {(name, str(t.dtype), t.ndim) for name, t in tensors.items()} == {
        ("first_moment", "float32", 1),
        ("second_moment", "float32", 1),
    }


def test_the_folder_of_the_run_stands_for_its_last_checkpoint(run):
    assert load_resumable(run).state.step == 6
    assert load_resumable(run / "step-3").state.step == 3
    assert load_resumable(run / "step-3").run_dir == run
    assert [path.name for path in rolling_checkpoints(run)] == ["step-3", "step-6"]


def test_what_is_read_to_go_on_from_is_not_held_before_it_is_asked_for(run):
    found = load_resumable(run)
    for flat in (found.artifact.decoder.parameters.flat, *found.buffers.values()):
        assert isinstance(flat, Deferred)
    expected = artifact.read(run / "step-6").decoder.parameters
    assert np.array_equal(np.asarray(found.artifact.decoder.parameters.flat), expected.flat)
    stored = artifact.load_tensors(run / "step-6" / "optimizer.safetensors")["first_moment"]
    assert np.array_equal(np.asarray(found.buffers["first_moment"]), stored)


def test_moments_of_another_architecture_are_refused(run):
    path, manifest = (run / "step-6" / name for name in ("optimizer.safetensors", "manifest.json"))
    artifact.save_tensors(path, {"first_moment": np.zeros(7, np.float32)})
    content = json.loads(manifest.read_text())
    content["files"][path.name]["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    manifest.write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=r"another architecture: its first_moment has shape \(7,\)"):
        load_resumable(run)


def test_steps_are_ordered_as_numbers(tmp_path):
    for name in ("step-10", "step-9", "step-x", "best"):
        (tmp_path / name).mkdir()
    assert [path.name for path in rolling_checkpoints(tmp_path)] == ["step-9", "step-10"]


def test_a_checkpoint_that_a_killed_writer_moved_aside_is_found(run):
    (run / "step-6").rename(run / ".step-6.previous")
    assert load_resumable(run).state.step == 6


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "trainer_state.json"])
def test_a_truncated_file_is_a_clear_error_that_names_another_checkpoint(run, name):
    path = run / "step-6" / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(CheckpointError, match="cannot resume from") as error:
        load_resumable(run)
    assert name in error.value.message
    assert str(run / "step-3") in error.value.hint
    shutil.rmtree(run / "step-3")
    with pytest.raises(CheckpointError) as error:
        load_resumable(run)
    assert "there is no other one" in error.value.hint


def test_a_missing_file_is_a_clear_error(run):
    (run / "step-6" / "optimizer.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"optimizer\.safetensors cannot be read"):
        load_resumable(run)


def test_best_is_for_use_and_the_error_says_what_can_be_resumed(run):
    with pytest.raises(CheckpointError, match="nothing to resume") as error:
        load_resumable(run / "best")
    assert str(run / "step-6") in error.value.hint


def test_a_model_that_was_moved_away_from_its_run_is_named_as_one(run, tmp_path):
    alone = tmp_path / "elsewhere" / "model"
    shutil.copytree(run / "best", alone)
    with pytest.raises(CheckpointError) as caught:
        load_resumable(alone)
    assert "without the state of its training" in caught.value.hint


def test_folders_without_checkpoints(tmp_path):
    with pytest.raises(CheckpointError, match="nothing to resume") as error:
        load_resumable(tmp_path)
    assert "--out" in error.value.hint
    with pytest.raises(CheckpointError, match="nothing to resume") as error:
        load_resumable(tmp_path / "absent")
    assert "name the folder of a run" in error.value.hint


def test_state_survives_json_exactly():
    state = TrainerState(3, 12, 96, 1.5, loss_sum=0.1 + 0.2, val_loss=1 / 3, spike_windows={"loss": [0.1, 1e-300]})
    assert TrainerState.from_json(state.to_json(), origin="x") == state


def test_state_from_before_loss_scaling_has_none():
    values = json.loads(TrainerState(3).to_json())
    del values["loss_scale"], values["loss_scale_good_steps"]
    assert TrainerState.from_json(json.dumps(values).encode(), origin="x") == TrainerState(3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda values: {name: values[name] for name in values if name != "step"}, "lacks fields"),
        (lambda values: {**values, "format": "tissu-trainer-9"}, "tissu-trainer-9"),
        (lambda values: {**values, "luck": 7}, "fields that this version does not know"),
        (lambda values: [1], "format None"),
    ],
)
def test_state_of_another_format_is_refused(change, message):
    content = json.dumps(change(json.loads(TrainerState().to_json()))).encode()
    with pytest.raises(CheckpointError, match=message):
        TrainerState.from_json(content, origin="trainer_state.json")


def test_smoothed_loss_before_the_first_step_is_unknown():
    assert TrainerState().ema_loss is None
