"""Checkpoints of a run: rolling ones to resume from, and the best one to use.

    runs/baby/
      best/                lowest validation loss so far: weights, configuration, tokenizer, manifest, card
      step-1500/           the same for one moment, and beside it what resuming needs:
        trainer_state.json       where the run stands (`TrainerState`)
        optimizer.safetensors    the optimizer's buffers, float32; with an average of the weights, which then is
                                 model.safetensors, also the weights themselves

Every directory appears complete or not at all (`atomic_directory.py`), so a run that is killed at any moment has
its last checkpoint left.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from quanta_tissu.atomic_directory import locate
from quanta_tissu.errors import CheckpointError, TissuError, TrainingError
from quanta_tissu.tisslm import artifact
from quanta_tissu.tisslm.artifact import Artifact
from quanta_tissu.tisslm.config import Config
from quanta_tissu.tisslm.engine.engines import require_torch
from quanta_tissu.tisslm.model import Decoder, ParameterSpec
from quanta_tissu.tisslm.model.deferred import Deferred
from quanta_tissu.tisslm.tokenizers import Tokenizer
from quanta_tissu.tisslm.train.differentiator import Snapshot
from quanta_tissu.tisslm.train.step import WEIGHTS, TrainStep

STATE, OPTIMIZER = "trainer_state.json", "optimizer.safetensors"
FORMAT = "tissu-trainer-1"
SHARDS = "shards"
BEST, STEP_PREFIX, ABANDONED_PREFIX = "best", "step-", "abandoned-step-"


@dataclass
class TrainerState:
    """Where a run stands; with weights and optimizer buffers, all there is to resume from.

    There is no state of a random generator: order of the data and dropout masks are functions of the seed and of
    these numbers.

    Attributes:
        step: Optimizer steps made.
        position: Training sequences consumed.
        tokens: Training tokens consumed.
        seconds: Time spent, over all sittings.
        step_seconds: The part of it that went into steps.
        replicas: Number of model replicas on threads, which decides how sums are rounded; 0 before there were any.
        optimizer_steps: Updates made (skipped ones are steps, but no updates).
        average_updates: Updates of the weights' average.
        loss_sum: Numerator of the smoothed training loss.
        loss_weight: Its denominator.
        val_loss: Last validation loss.
        evaluated_step: Step of the last validation.
        best_val_loss: Lowest validation loss.
        without_improvement: Validations since then.
        spike_windows: Recent values that spikes are measured against.
        loss_scale: What the loss is multiplied by in float16; None in other precisions.
        loss_scale_good_steps: Finite gradients since it last changed.
        dataset: Fingerprint of the tokens trained on.
    """

    step: int = 0
    position: int = 0
    tokens: int = 0
    seconds: float = 0.0
    step_seconds: float = 0.0
    replicas: int = 0
    optimizer_steps: int = 0
    average_updates: int = 0
    loss_sum: float = 0.0
    loss_weight: float = 0.0
    val_loss: float | None = None
    evaluated_step: int | None = None
    best_val_loss: float | None = None
    without_improvement: int = 0
    spike_windows: dict[str, list[float]] = field(default_factory=dict)
    loss_scale: float | None = None
    loss_scale_good_steps: int = 0
    dataset: str = ""

    @property
    def ema_loss(self) -> float | None:
        """The smoothed training loss; None before the first step."""
        return self.loss_sum / self.loss_weight if self.loss_weight else None

    def to_json(self) -> bytes:
        """The content of trainer_state.json; floats survive exactly."""
        return (json.dumps({"format": FORMAT, **asdict(self)}, indent=2, allow_nan=False) + "\n").encode()

    @classmethod
    def from_json(cls, content: bytes, *, origin: str) -> TrainerState:
        """Read the content of trainer_state.json.

        Raises:
            CheckpointError: It is truncated, or of another format.
        """
        try:
            values = json.loads(content)
            found = values.pop("format", None) if isinstance(values, dict) else None
        except ValueError as error:
            raise CheckpointError(f"{origin} is truncated or damaged: {error}", hint=_OLDER) from error
        names = {f.name for f in fields(cls)}
        if found != FORMAT or not names - _LATER <= set(values) <= names:
            raise CheckpointError(
                f"{origin} has format {found!r}, lacks fields, or has fields that this version does not know; "
                f"it reads {FORMAT!r}",
                hint="resume with the version of quanta-tissu that wrote it (see manifest.json)",
            )
        return cls(**values)


# What the first checkpoints of this format do not have; its default is what they mean.
_LATER = {"loss_scale", "loss_scale_good_steps"}

_OLDER = "resume from an older checkpoint: --resume RUN/step-N"


@dataclass(frozen=True)
class Resumed:
    """A checkpoint to go on from.

    Its arrays may be read when they are asked for (`model/deferred.py`), so it must still be there then.

    Attributes:
        artifact: Architecture, weights, tokenizer, configuration.
        state: Where the run stood.
        buffers: Content of optimizer.safetensors.
        run_dir: Folder of the run it belongs to.
    """

    artifact: Artifact
    state: TrainerState
    buffers: Mapping[str, Any]
    run_dir: Path

    def restore(self, step: TrainStep) -> None:
        """Put weights, optimizer, average and spike windows back.

        Raises:
            CheckpointError: They belong to another architecture, another optimizer, or a run with another choice
                of averaging.
        """
        saved, current = self.artifact.decoder, step.replicas.decoder
        require_same_architecture(saved, current)
        was, now = self.artifact.config.optimizer.name, step.config.optimizer.name
        if was != now:
            raise CheckpointError(
                f"the run was started with optimizer.name = {was}, not {now}",
                hint="resume with the optimizer of the run, or start a new run in another folder",
            )
        buffers = dict(self.buffers)
        weights = buffers.pop(WEIGHTS, None)
        if (weights is not None) != (step.average is not None):
            raise CheckpointError(
                f"the checkpoint {self.artifact.directory} was trained "
                f"{'without' if weights is None else 'with'} an average of the weights",
                hint="resume with the train.ema_decay of the run (null: none); another value than null may change",
            )
        step.optimizer.load_state_dict(buffers, self.state.optimizer_steps)
        if step.average is None:
            step.replicas.from_host(saved.parameters)
        else:
            if weights.shape != current.parameters.flat.shape:
                raise CheckpointError(f"{OPTIMIZER} in {self.artifact.directory} belongs to another architecture")
            step.replicas.from_host(saved.parameters.like(weights))
            step.average.load(saved.parameters.flat, self.state.average_updates)
        step.restore_spike_windows(self.state.spike_windows)
        if step.loss_scale is not None and self.state.loss_scale is not None:
            step.loss_scale.value = self.state.loss_scale
            step.loss_scale.good_steps = self.state.loss_scale_good_steps


def require_same_architecture(saved: Decoder, current: Decoder) -> None:
    """Refuse to put weights into another architecture.

    Raises:
        CheckpointError: Fields of the model section differ; the message names them. Dropout may differ.
    """
    old, new = saved.config.model_dump(), current.config.model_dump()
    different = [name for name in new if old[name] != new[name] and "dropout" not in name]
    if different:
        values = ", ".join(f"model.{name} = {old[name]} (now {new[name]})" for name in different)
        raise CheckpointError(
            f"the checkpoint belongs to another architecture: it has {values}",
            hint="resume with the architecture of the run, or start a new run in another folder",
        )


class Checkpoints:
    """Writes the checkpoints of one run.

    Args:
        run_dir: Folder of the run.
        keep: Rolling checkpoints to keep.
        tokenizer: Saved beside the weights.
        config: Saved beside the weights.
        data_manifest: What the run is trained on, for manifest and model card.
        resuming: Whether the checkpoints in the folder belong to this run.
        writing: Whether this process is the one that writes; the others only give their part.
    """

    def __init__(
        self,
        run_dir: Path,
        keep: int,
        tokenizer: Tokenizer,
        config: Config,
        data_manifest: Mapping[str, Any] | None,
        *,
        resuming: bool = False,
        writing: bool = True,
    ) -> None:
        self.run_dir = run_dir
        self._writing = writing
        self.best = run_dir / BEST
        self._best_loss = best_metrics(run_dir).get("val_loss") if resuming else None
        self._keep = keep
        self._tokenizer = tokenizer
        self._config = config
        self._data_manifest = data_manifest

    def save_step(self, step: TrainStep, state: TrainerState) -> Path:
        """Write `step-N`, then drop the oldest rolling checkpoints beyond the number to keep.

        Raises:
            TrainingError: It cannot be written; all earlier checkpoints are as they were.
        """
        state.optimizer_steps = step.optimizer.steps
        state.spike_windows = step.spike_windows()
        scale = step.loss_scale
        state.loss_scale = None if scale is None else scale.value
        state.loss_scale_good_steps = 0 if scale is None else scale.good_steps
        if step.average is not None:
            state.average_updates = step.average.updates
        directory = self.run_dir / f"{STEP_PREFIX}{state.step}"
        if self._config.torch.sharded_checkpoints:
            self._write_shards(directory, step, state)
        else:
            snapshot = step.snapshot()
            self._write(directory, step, snapshot, state, _extra_files(state, snapshot.buffers))
        for old in rolling_checkpoints(self.run_dir)[: -self._keep] if self._writing else ():
            _remove(old)
        return directory

    def save_best(self, step: TrainStep, state: TrainerState) -> Path:
        """Write `best`; until it is complete, the previous best stays.

        A run that goes on from an older checkpoint may find a better one than its own so far; that one stays.

        Raises:
            TrainingError: It cannot be written; all earlier checkpoints are as they were.
        """
        loss = state.best_val_loss
        if loss is None or self._best_loss is None or loss < self._best_loss:
            self._write(self.best, step, step.snapshot(), state, {})
            self._best_loss = loss
        return self.best

    def _write(
        self, directory: Path, step: TrainStep, snapshot: Snapshot, state: TrainerState, extra: Mapping[str, Any]
    ) -> None:
        if not self._writing:
            return
        with self._explained(state):
            artifact.write(
                directory,
                step.replicas.decoder,
                self._tokenizer,
                self._config,
                parameters=snapshot.evaluated,
                extra_files=extra,
                metrics=_metrics(state),
                data_manifest=self._data_manifest,
            )

    def _write_shards(self, directory: Path, step: TrainStep, state: TrainerState) -> None:
        from quanta_tissu.tisslm.train.pytorch.shards import About, save_sharded

        about = About(
            self._config, self._tokenizer, state, {"metrics": _metrics(state), "data": self._data_manifest}
        )
        with self._explained(state):
            save_sharded(directory, step, about)

    @contextmanager
    def _explained(self, state: TrainerState) -> Iterator[None]:
        try:
            yield
        except CheckpointError as error:
            raise TrainingError(
                f"training stops at step {state.step}: {error.message}",
                hint=f"{error.hint}; then go on with `{resume_command(self.run_dir)}`"
                if rolling_checkpoints(self.run_dir)
                else error.hint,
            ) from error


def _metrics(state: TrainerState) -> dict[str, Any]:
    return {
        "step": state.step,
        "tokens": state.tokens,
        "train_loss": state.ema_loss,
        "val_loss": state.val_loss,
        "best_val_loss": state.best_val_loss,
    }


def _extra_files(state: TrainerState, buffers: Mapping[str, Any]) -> dict[str, bytes | Callable[[Path], None]]:
    """What resuming needs beside the model."""
    return {STATE: state.to_json(), OPTIMIZER: lambda path: artifact.save_tensors(path, buffers)}


def write_resumable(directory: Path, resumed: Resumed) -> None:
    """Write a checkpoint that was read, from shards for example, as one directory.

    Raises:
        CheckpointError: It cannot be written.
    """
    read = resumed.artifact
    artifact.write(
        directory,
        read.decoder,
        read.tokenizer,
        read.config,
        extra_files=_extra_files(resumed.state, resumed.buffers),
        metrics=read.manifest.get("metrics"),
        data_manifest=read.manifest.get("data"),
    )


def resume_command(run_dir: Path) -> str:
    """What goes on with a run."""
    return f"tissu train --resume {run_dir}"


def rolling_checkpoints(run_dir: Path) -> list[Path]:
    """The `step-N` directories of a run, oldest first, also one that a killed process left moved aside."""
    names = {path.name for path in run_dir.glob(f"{STEP_PREFIX}*")}
    names |= {path.name[1:].removesuffix(".previous") for path in run_dir.glob(f".{STEP_PREFIX}*.previous")}
    steps = sorted(int(n) for name in names if (n := name.removeprefix(STEP_PREFIX)).isdecimal())
    return [run_dir / f"{STEP_PREFIX}{step}" for step in steps]


def best_metrics(run_dir: Path) -> dict[str, Any]:
    """What was measured of the best checkpoint of a run; nothing if there is none that tells."""
    try:
        best = locate(run_dir / BEST, artifact.CHECKPOINT)
        manifest = json.loads((best / "manifest.json").read_text(encoding="utf-8"))
        return dict(manifest["metrics"])
    except (CheckpointError, OSError, ValueError, KeyError, TypeError):
        return {}


def load_resumable(directory: Path) -> Resumed:
    """Read a checkpoint to go on from.

    Args:
        directory: Folder of a run (its last rolling checkpoint is taken) or a rolling checkpoint itself.

    Raises:
        CheckpointError: There is none, it is damaged, or it was saved for use only.
    """
    directory = directory.absolute()
    checkpoint = directory
    if not directory.name.startswith(STEP_PREFIX):
        if not (rolling := rolling_checkpoints(directory)):
            raise CheckpointError(f"there is nothing to resume in {directory}", hint=_what_instead(directory))
        checkpoint = rolling[-1]
    found = locate(checkpoint, artifact.CHECKPOINT)
    try:
        if (found / SHARDS).is_dir():
            require_torch()
            from quanta_tissu.tisslm.train.pytorch.shards import read_sharded

            return read_sharded(checkpoint, checkpoint.parent)
        loaded = artifact.read(checkpoint, deferred=True)
        for name in (STATE, OPTIMIZER):
            _verify(found, name, loaded)
        state = TrainerState.from_json((found / STATE).read_bytes(), origin=str(found / STATE))
        buffers = _deferred_buffers(found / OPTIMIZER, loaded.decoder)
    except TissuError as error:
        others = [path.name for path in rolling_checkpoints(checkpoint.parent) if path != checkpoint]
        hint = f"{error.hint}; " if error.hint else ""
        raise CheckpointError(
            f"cannot resume from {checkpoint}: {error.message}",
            hint=hint
            + (f"or resume from {checkpoint.parent / others[-1]}" if others else "there is no other one"),
        ) from error
    return Resumed(loaded, state, buffers, checkpoint.parent)


def _deferred_buffers(path: Path, decoder: Decoder) -> dict[str, Any]:
    """Content of optimizer.safetensors; a parameter's elements are read when they are asked for.

    Raises:
        CheckpointError: The file is malformed, or belongs to another architecture.
    """
    parameters, buffers = decoder.parameters, dict[str, Any]()
    for name, stored in artifact.find_tensors(path).items():
        if stored.shape != parameters.flat.shape:
            raise CheckpointError(f"{path} belongs to another architecture: its {name} has shape {stored.shape}")

        def make(spec: ParameterSpec, stored: artifact.StoredTensor = stored) -> Any:
            return stored[parameters.slices[spec.name]]

        buffers[name] = Deferred(parameters.specs, make, stored.dtype)
    return buffers


def abandon_later(run_dir: Path, step: int) -> list[Path]:
    """Set aside the rolling checkpoints after `step`: the run goes on from there and will pass them again.

    Returns:
        Where they are now.
    """
    moved = []
    for path in rolling_checkpoints(run_dir):
        if int(path.name.removeprefix(STEP_PREFIX)) > step and path.is_dir():
            base = run_dir / path.name.replace(STEP_PREFIX, ABANDONED_PREFIX, 1)
            target, number = base, 1
            while target.exists():
                number += 1
                target = base.with_name(f"{base.name}-{number}")
            path.rename(target)
            moved.append(target)
    return moved


def _verify(directory: Path, name: str, loaded: Artifact) -> None:
    """Check that a file is the one that the manifest vouches for."""
    try:
        with (directory / name).open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CheckpointError(f"its {name} cannot be read: {error.strerror}") from error
    if found != loaded.manifest.get("files", {}).get(name, {}).get("sha256"):
        raise CheckpointError(f"{name} is truncated or was changed: its SHA-256 is not the one in the manifest")


def _what_instead(directory: Path) -> str:
    if rolling := rolling_checkpoints(directory.parent):
        return f"only rolling checkpoints can be resumed: --resume {rolling[-1]}"
    if not directory.is_dir():
        return "name the folder of a run, or a step-N folder inside it"
    if (directory / "config.json").is_file():
        return f"it is a model without the state of its training; name a run with a {STEP_PREFIX}N folder"
    return f"it has no {STEP_PREFIX}N folder; start a run there with --out {directory}"


def _remove(directory: Path) -> None:
    """Delete a checkpoint; it loses its name first, so that a killed deletion leaves nothing that looks whole."""
    doomed = directory.with_name(f".{directory.name}.deleted")
    shutil.rmtree(doomed, ignore_errors=True)
    if directory.is_dir():
        directory.rename(doomed)
    for leftover in directory.parent.glob(f".{STEP_PREFIX}*.deleted"):
        shutil.rmtree(leftover, ignore_errors=True)
    shutil.rmtree(directory.with_name(f".{directory.name}.previous"), ignore_errors=True)
