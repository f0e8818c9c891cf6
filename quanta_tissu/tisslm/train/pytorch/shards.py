"""Sharded rolling checkpoints: every process writes what it holds, by `torch.distributed.checkpoint`.

    shards/*.safetensors   a file for each process: its part of weights, moments and average, with their places
    trainer_state.json     as in a checkpoint of one directory
    config.json            the architecture
    tokenizer.json         the tokenizer
    manifest.json          sizes of all files, whole configuration, how the rows were spread out

The files of tensors are safetensors, not pickles. A sharded checkpoint is for going on with a run, on any engine
and any number of processes; `tissu convert` turns it into a directory to use, and back.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch.distributed import checkpoint as distributed_checkpoint

from quanta_tissu.atomic_directory import DirectoryKind, locate, replacing
from quanta_tissu.errors import CheckpointError, ConfigError, MissingDependencyError
from quanta_tissu.tisslm import tokenizers
from quanta_tissu.tisslm.artifact import Artifact
from quanta_tissu.tisslm.artifact.architecture import from_config_json, to_config_json
from quanta_tissu.tisslm.config import Config
from quanta_tissu.tisslm.model import Decoder, Parameters, ParameterSpec
from quanta_tissu.tisslm.model.deferred import Deferred
from quanta_tissu.tisslm.tokenizers import Tokenizer
from quanta_tissu.tisslm.train.checkpoint import SHARDS, STATE, Resumed, TrainerState
from quanta_tissu.tisslm.train.pytorch.replica import TorchReplica
from quanta_tissu.tisslm.train.pytorch.sharded import ShardedWeights, interleaved
from quanta_tissu.tisslm.train.pytorch.world import TorchWorld
from quanta_tissu.tisslm.train.step import WEIGHTS, TrainStep

FORMAT = "tissu-sharded-1"
AVERAGE = "average"
_MANIFEST = "manifest.json"
SHARDED = DirectoryKind(
    "sharded checkpoint",
    CheckpointError,
    lambda path: (path / _MANIFEST).is_file() and (path / SHARDS).is_dir(),
)


@dataclass(frozen=True)
class About:
    """What is written beside the tensors.

    Attributes:
        config: The whole configuration of the run.
        tokenizer: Its tokenizer.
        state: Where the run stands.
        manifest: More entries for manifest.json.
    """

    config: Config
    tokenizer: Tokenizer
    state: TrainerState
    manifest: Mapping[str, Any]


def save_sharded(directory: Path, step: TrainStep, about: About) -> None:
    """Write a sharded checkpoint; all processes call this together.

    Raises:
        CheckpointError: It cannot be written; what was there before is untouched.
        ConfigError: Every process holds all weights, so there is nothing to shard.
    """
    replica = step.replicas
    if not (
        isinstance(replica, TorchReplica)
        and isinstance(replica.weights, ShardedWeights)
        and isinstance(replica.world, TorchWorld)
    ):
        raise ConfigError(
            "torch.sharded_checkpoints is for weights of which every process holds a part",
            hint="choose torch.parallel = fsdp or tensor, or leave it out",
        )
    _require_safetensors()
    weights, world = replica.weights, replica.world
    quantities: dict[str, Any] = {WEIGHTS: weights.values, **step.optimizer.state}  # type: ignore[attr-defined]
    if step.average is not None:
        quantities[AVERAGE] = step.average.tensors  # type: ignore[attr-defined]
    names = [spec.name for spec in replica.decoder.parameters.specs]
    tensors = {
        f"{quantity}.{name}": tensor
        for quantity, parts in quantities.items()
        for name, tensor in zip(names, weights.distributed(parts), strict=True)
    }
    with replacing(directory, SHARDED) if world.main else nullcontext() as partial:
        folder = Path(world.told(str(partial)))
        _save(folder / SHARDS, tensors)
        if partial is not None:
            _write_about(partial, replica.decoder, about, weights.row_processes, sorted(quantities))
    world.barrier()


def read_sharded(directory: Path, run_dir: Path) -> Resumed:
    """A sharded checkpoint as a whole, whatever number of processes wrote it; parameters are read when asked for.

    Raises:
        CheckpointError: Something is missing, truncated, or of another format.
        MissingDependencyError: The library that reads the files is not installed.
    """
    _require_safetensors()
    directory = locate(directory, SHARDED)
    manifest = _read_json(directory / _MANIFEST)
    if manifest.get("format") != FORMAT:
        raise CheckpointError(f"{directory} has format {manifest.get('format')!r}; this version reads {FORMAT!r}")
    for name, size in manifest["files"].items():
        path = directory / name
        if not path.is_file() or path.stat().st_size != size:
            raise CheckpointError(
                f"{path} is missing or truncated: the manifest says {size:,} bytes",
                hint="copy the files of all processes together, or resume from another checkpoint",
            )
    try:
        config = Config.model_validate(manifest["configuration"])
    except (KeyError, ValidationError) as error:
        raise CheckpointError(f"{directory / _MANIFEST}: the configuration is invalid: {error}") from error
    model = from_config_json(_read_json(directory / "config.json"), origin=str(directory / "config.json"))
    specs = Decoder.specs(model)
    _require_tensors(
        directory / SHARDS, {f"{name}.{spec.name}" for name in manifest["quantities"] for spec in specs}
    )
    quantities = {
        name: Deferred(specs, partial(_read_parameter, directory / SHARDS, name, manifest["row_processes"]))
        for name in manifest["quantities"]
    }
    state = TrainerState.from_json((directory / STATE).read_bytes(), origin=str(directory / STATE))
    tokenizer = tokenizers.load(directory / "tokenizer.json")
    buffers: dict[str, Any] = dict(quantities)
    average = buffers.pop(AVERAGE, None)
    evaluated = buffers.pop(WEIGHTS) if average is None else average
    decoder = Decoder(model, Parameters(specs, evaluated))
    config = config.model_copy(update={"model": model})
    return Resumed(Artifact(decoder, tokenizer, config, manifest, directory), state, buffers, run_dir)


def split(resumed: Resumed, directory: Path) -> None:
    """Write what was read of a one-directory checkpoint as a sharded one, in one shard.

    Raises:
        CheckpointError: It cannot be written.
    """
    _require_safetensors()
    decoder, buffers = resumed.artifact.decoder, dict(resumed.buffers)
    values = buffers.pop(WEIGHTS, None)
    quantities = {WEIGHTS: decoder.parameters.flat if values is None else values, **buffers}
    if values is not None:
        quantities[AVERAGE] = decoder.parameters.flat
    tensors = {
        f"{quantity}.{name}": torch.from_numpy(array)
        for quantity, flat in quantities.items()
        for name, array in decoder.parameters.like(flat).items()
    }
    kept = {name: resumed.artifact.manifest.get(name) for name in ("metrics", "data")}
    about = About(resumed.artifact.config, resumed.artifact.tokenizer, resumed.state, kept)
    with replacing(directory, SHARDED) as partial:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*in a single process")
            _save(partial / SHARDS, tensors, no_dist=True)
        _write_about(partial, decoder, about, 1, sorted(quantities))


def _save(folder: Path, tensors: Mapping[str, Any], **options: Any) -> None:
    writer = distributed_checkpoint.HuggingFaceStorageWriter(str(folder), save_distributed=True)
    distributed_checkpoint.save(dict(tensors), storage_writer=writer, **options)


def _write_about(folder: Path, decoder: Decoder, about: About, row_processes: int, quantities: list[str]) -> None:
    """Everything but the tensors; the manifest last, because it lists the others."""
    config = about.config.model_copy(update={"model": decoder.config})
    _write_json(folder / "config.json", to_config_json(decoder.config, about.tokenizer))
    about.tokenizer.save(folder / "tokenizer.json")
    (folder / STATE).write_bytes(about.state.to_json())
    files = {
        str(path.relative_to(folder)): path.stat().st_size for path in sorted(folder.rglob("*")) if path.is_file()
    }
    _write_json(
        folder / _MANIFEST,
        {
            "format": FORMAT,
            "row_processes": row_processes,
            "quantities": quantities,
            "files": files,
            "configuration": config.model_dump(mode="json"),
            **about.manifest,
        },
    )


def _require_tensors(folder: Path, names: set[str]) -> None:
    """Refuse shards that cannot be read, or in which a tensor is missing."""
    with _explained(folder):
        missing = names - set(_reader(folder).read_metadata().state_dict_metadata)
    if missing:
        raise CheckpointError(f"{folder} lacks {len(missing)} tensors, {min(missing)} for example")


def _read_parameter(folder: Path, quantity: str, row_processes: int, spec: ParameterSpec) -> NDArray[Any]:
    """One parameter's elements of a quantity, put together from the files of all processes.

    Raises:
        CheckpointError: They cannot be read.
    """
    array = np.empty(spec.shape, np.float32)
    with _explained(folder), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*in a single process")
        distributed_checkpoint.load(
            {f"{quantity}.{spec.name}": torch.from_numpy(array)}, storage_reader=_reader(folder), no_dist=True
        )
    if (order := interleaved(spec, row_processes)) is not None:  # what tensor parallelism does to packed rows
        array[order.numpy()] = array.copy()
    return array


def _reader(folder: Path) -> Any:
    return distributed_checkpoint.HuggingFaceStorageReader(str(folder))


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except (Exception, distributed_checkpoint.CheckpointException) as error:  # which is no Exception
        raise CheckpointError(f"cannot read {folder}: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]


def _require_safetensors() -> None:
    try:
        import safetensors  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError(
            "sharded checkpoints need the library safetensors, which is not installed",
            hint="install it with `pip install 'quanta-tissu[torch]'`",
        ) from error


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"cannot read {path}: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} does not hold a JSON object")
    return content
