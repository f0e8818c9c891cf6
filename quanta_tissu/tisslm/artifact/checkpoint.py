"""The inference part of a checkpoint directory: write it atomically, read it back with everything checked.

    model.safetensors      weights, by Hugging Face's names where the architecture has a counterpart there
    config.json            the architecture (see `architecture.py`)
    tokenizer.json         the tokenizer; tokenizer_config.json beside a BPE one is for `transformers`
    manifest.json          hash and size of every file, whole configuration, versions, data, metrics
    README.md              model card

A trainer adds files of its own through `extra_files`, which are hashed and replaced together with the others.
"""

from __future__ import annotations

import hashlib
import json
import math
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

import quanta_tissu
from quanta_tissu.atomic_directory import DirectoryKind, locate, replacing
from quanta_tissu.errors import CheckpointError, TissuError
from quanta_tissu.tisslm import tokenizers
from quanta_tissu.tisslm.artifact.architecture import FORMAT, from_config_json, to_config_json
from quanta_tissu.tisslm.artifact.model_card import model_card
from quanta_tissu.tisslm.artifact.tensors import find_tensors, load_tensors, save_tensors
from quanta_tissu.tisslm.config import Config
from quanta_tissu.tisslm.model.decoder import Decoder
from quanta_tissu.tisslm.model.parameter import Parameters
from quanta_tissu.tisslm.model.state_dict import deferred_from_state_dict, from_state_dict, to_state_dict
from quanta_tissu.tisslm.tokenizers.base import Tokenizer

WEIGHTS, CONFIG, TOKENIZER, MANIFEST = "model.safetensors", "config.json", "tokenizer.json", "manifest.json"
TOKENIZER_CONFIG, CARD = "tokenizer_config.json", "README.md"
_OWN = {WEIGHTS, CONFIG, TOKENIZER, MANIFEST, TOKENIZER_CONFIG, CARD}
CHECKPOINT = DirectoryKind(
    "checkpoint", CheckpointError, lambda path: (path / MANIFEST).is_file() and (path / WEIGHTS).is_file()
)
_ATTEMPTS = 5  # at reading a directory that a training run replaces meanwhile


@dataclass(frozen=True)
class Artifact:
    """What a checkpoint directory holds for inference.

    Attributes:
        decoder: Architecture and weights.
        tokenizer: The tokenizer that belongs to them.
        config: The whole configuration of the run; its model section is the decoder's.
        manifest: The content of manifest.json.
        directory: Where it was read from.
    """

    decoder: Decoder
    tokenizer: Tokenizer
    config: Config
    manifest: dict[str, Any]
    directory: Path


def write(
    directory: Path,
    decoder: Decoder,
    tokenizer: Tokenizer,
    config: Config,
    *,
    parameters: Parameters | None = None,
    extra_files: Mapping[str, bytes | Callable[[Path], None]] | None = None,
    metrics: Mapping[str, Any] | None = None,
    data_manifest: Mapping[str, Any] | None = None,
) -> None:
    """Write a checkpoint directory, or replace one, so that at every moment a complete one can be read.

    Args:
        directory: Where; missing parents are made.
        decoder: Architecture and weights; weights of another type are stored as float32.
        tokenizer: The tokenizer that belongs to them.
        config: The configuration of the run; the decoder's architecture takes the place of its model section.
        parameters: Weights to store instead of the decoder's own (an average of them, for example).
        extra_files: File name → content, or a function that writes the file at the path it is given.
        metrics: What was measured, for the manifest and the model card.
        data_manifest: What it was trained on, as the dataset describes itself.

    Raises:
        CheckpointError: The directory cannot be written (disk full, permissions), or something that is not a
            checkpoint is in the way. What was there before is untouched.
    """
    extra_files = extra_files or {}
    if clash := _OWN & set(extra_files):
        raise ValueError(f"extra files must not be called {sorted(clash)}")
    config = config.model_copy(update={"model": decoder.config})
    weights = decoder.parameters if parameters is None else parameters
    if weights.dtype != np.float32:
        weights = weights.astype(np.float32)
    with replacing(Path(directory), CHECKPOINT) as partial:
        save_tensors(partial / WEIGHTS, to_state_dict(decoder.config, weights), {"format": "np"})
        _write_json(partial / CONFIG, to_config_json(decoder.config, tokenizer))
        tokenizer.save(partial / TOKENIZER)
        if tokenizer.kind == "bpe":
            _write_json(partial / TOKENIZER_CONFIG, _tokenizer_config(tokenizer, decoder))
        for name, content in extra_files.items():
            if isinstance(content, bytes):
                (partial / name).write_bytes(content)
            else:
                content(partial / name)
        manifest = _manifest(partial, config, metrics, data_manifest)
        _write_json(partial / MANIFEST, manifest)
        (partial / CARD).write_text(model_card(decoder, tokenizer, config, manifest), encoding="utf-8")


def read(directory: Path, *, verify: bool = True, deferred: bool = False) -> Artifact:
    """Read a checkpoint directory.

    Args:
        directory: Where `write` put it. If a killed replacement left it moved aside, it is found there.
        verify: Check weights, tokenizer and config.json against the hashes in the manifest.
        deferred: Read a parameter when it is asked for, and as often; the directory must stay what it is until
            then. For whoever copies them elsewhere.

    Raises:
        CheckpointError: Something is missing, truncated, changed, of another architecture or format.
    """
    directory = Path(directory)
    for _ in range(_ATTEMPTS - 1):
        found, identity = _identified(directory)
        try:
            return _read(found, verify, deferred)
        except (TissuError, OSError):
            # A running training may have replaced the directory between two files: then try the new one.
            if _identified(directory) == (found, identity):
                raise
    return _read(locate(directory, CHECKPOINT), verify, deferred)


def _identified(directory: Path) -> tuple[Path, tuple[int, int]]:
    """Where the complete directory is now, and what distinguishes it from its predecessor and its successor."""
    while True:
        found = locate(directory, CHECKPOINT)
        try:
            status = found.stat()
        except FileNotFoundError:
            continue  # replaced just now
        return found, (status.st_ino, status.st_mtime_ns)


def _read(directory: Path, verify: bool, deferred: bool) -> Artifact:
    for name in (CONFIG, WEIGHTS, TOKENIZER, MANIFEST):
        if not (directory / name).is_file():
            raise CheckpointError(f"{directory} has no {name}", hint=_missing_hint(directory))
    content = _read_json(directory / CONFIG)
    model_config = from_config_json(content, origin=str(directory / CONFIG))
    manifest = _read_json(directory / MANIFEST)
    if manifest.get("format") != FORMAT:
        raise CheckpointError(
            f"{directory / MANIFEST} has format {manifest.get('format')!r}; this version reads {FORMAT!r}"
        )
    files = manifest.get("files")
    if not isinstance(files, dict) or not all(isinstance(entry, dict) for entry in files.values()):
        raise CheckpointError(f"{directory / MANIFEST} does not say which files belong to the checkpoint")
    origin = str(directory / WEIGHTS)
    if deferred:
        parameters = deferred_from_state_dict(model_config, find_tensors(directory / WEIGHTS), origin=origin)
    else:
        parameters = from_state_dict(model_config, load_tensors(directory / WEIGHTS), origin=origin)
    if verify:
        _verify(directory, manifest)
    decoder = Decoder(model_config, parameters)
    tokenizer = tokenizers.load(directory / TOKENIZER)
    if tokenizer.vocab_size > (model_config.vocab_size or 0):
        raise CheckpointError(
            f"{directory / TOKENIZER} has {tokenizer.vocab_size} tokens, the model only {model_config.vocab_size}",
            hint="put the tokenizer beside the model that it was trained with",
        )
    return Artifact(decoder, tokenizer, _configuration(directory, manifest, decoder), manifest, directory)


def _configuration(directory: Path, manifest: Mapping[str, Any], decoder: Decoder) -> Config:
    try:
        config = Config.model_validate(manifest["configuration"])
    except (KeyError, ValidationError) as error:
        raise CheckpointError(f"{directory / MANIFEST}: the configuration is invalid: {error}") from error
    return config.model_copy(update={"model": decoder.config})


def _missing_hint(directory: Path) -> str:
    """What could be meant by a directory that is no checkpoint."""
    inside = sorted(path.parent.name for path in directory.glob(f"*/{WEIGHTS}"))
    if inside:
        return f"choose one of the checkpoints inside it: {', '.join(inside)}"
    if (directory / CONFIG).is_file() and not (directory / MANIFEST).is_file():
        return "a checkpoint of another program is converted with `tissu import`"
    if (directory / "shards").is_dir():
        return "it is a sharded one; `tissu convert` turns it into one directory"
    return "the checkpoint is incomplete; copy it again"


# -- manifest ----------------------------------------------------------------------------------------------------


def _manifest(
    directory: Path,
    config: Config,
    metrics: Mapping[str, Any] | None,
    data_manifest: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Describe the files that are already in the directory."""
    data = None if data_manifest is None else _finite(dict(data_manifest))
    return {
        "format": FORMAT,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {
            "quanta_tissu": quanta_tissu.__version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
        },
        "files": {
            path.name: {"sha256": _sha256(path), "bytes": path.stat().st_size}
            for path in sorted(directory.iterdir())
            if path.is_file()
        },
        "data_sha256": None if data is None else hashlib.sha256(_canonical(data)).hexdigest(),
        "data": data,
        "metrics": _finite(dict(metrics or {})),
        "configuration": config.model_dump(mode="json"),
    }


def _verify(directory: Path, manifest: Mapping[str, Any]) -> None:
    for name in (WEIGHTS, TOKENIZER, CONFIG):
        recorded = manifest["files"].get(name, {}).get("sha256")
        found = _sha256(directory / name)
        if recorded != found:
            raise CheckpointError(
                f"{directory / name} is not the file that was saved: its SHA-256 is {found[:16]}…, the manifest "
                f"says {str(recorded)[:16]}…",
                hint="it was damaged or edited; restore it, or use another checkpoint of the run",
            )


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error


def _tokenizer_config(tokenizer: Tokenizer, decoder: Decoder) -> dict[str, Any]:
    """What `transformers.AutoTokenizer` needs to know beside tokenizer.json."""
    spelling = {token_id: token for token, token_id in tokenizer.special_tokens.items()}
    roles = {
        "bos_token": tokenizer.bos_id,
        "eos_token": tokenizer.eos_id,
        "pad_token": tokenizer.pad_id,
        "unk_token": tokenizer.unk_id,
    }
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": decoder.config.context_length,
        "clean_up_tokenization_spaces": False,
    } | {role: spelling[token_id] for role, token_id in roles.items() if token_id is not None}


# -- JSON --------------------------------------------------------------------------------------------------------


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"cannot read {path}: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} does not hold a JSON object")
    return content


def _canonical(content: Any) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _finite(value: Any) -> Any:
    """The value in types of JSON, which knows no NumPy numbers, infinity or NaN (they become null)."""
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if isinstance(value, np.generic):
        return _finite(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value
