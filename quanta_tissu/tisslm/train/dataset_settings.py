"""Settings that only the preparation of a dataset reads: refuse them where the tokens already exist."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from quanta_tissu.errors import ConfigError
from quanta_tissu.tisslm import tokenizers
from quanta_tissu.tisslm.config import Config
from quanta_tissu.tisslm.config.fields import all_fields, fields
from quanta_tissu.tisslm.config.yaml_text import scalar
from quanta_tissu.tisslm.data.dataset import Manifest

_CUTTING = ("data.windows", "data.stride")
"""Settings of the sections `data` and `tokenizer` that act on tokens, not on text."""


def check_prepared(config: Config, manifest: Manifest, source: str) -> list[str]:
    """Refuse settings that a prepared dataset shows to be without effect.

    A value that is not the default was chosen by someone and must not be ignored. A larger `tokenizer.vocab_size`
    is believed, because a small text does not fill it; and so is a limit in bytes that the text stays below.

    Args:
        config: The configuration of the run.
        manifest: What the dataset is.
        source: The name of the dataset, for the message.

    Returns:
        What the dataset has and the configuration only differs from by a default, or by a size that may not have
        been reached; as `section.field = value`.

    Raises:
        ConfigError: A setting that is not the default contradicts the dataset.
        TokenizerError: `tokenizer.path` names a file that cannot be used.
    """
    refused, accepted = {}, []
    for key, actual in _contradicted(config, manifest):
        section, _, name = key.partition(".")
        value = getattr(getattr(config, section), name)
        if value == all_fields()[section, name].default or (name == "vocab_size" and value > actual):
            accepted.append(f"{key} = {scalar(actual)}")
        else:
            refused[key] = actual
    if refused:
        asked = "; ".join(
            f"{key} = {_shown(config, key)}, not {scalar(actual)}" for key, actual in refused.items()
        )
        accept = " ".join(f"--set {key}={scalar(actual)}" for key, actual in refused.items())
        raise ConfigError(
            f"{source} is a prepared dataset, and was not prepared as the configuration says: {asked}",
            hint=f"take the dataset as it is with `{accept}`, or name the text it was made from",
        )
    return accepted


def check_unchanged(was: Config, now: Config, folder: Path) -> None:
    """Refuse to resume a run with other settings about its text: its tokens exist and would not change.

    Args:
        was: The configuration of the run so far.
        now: The configuration to go on with.
        folder: Where the tokens of the run are, for the message.

    Raises:
        ConfigError: A setting that decides about the tokens is another one.
    """
    keys = [field.key for section in ("data", "tokenizer") for field in fields(section)]
    changed = [key for key in keys if key not in _CUTTING and _shown(was, key) != _shown(now, key)]
    if changed:
        asked = "; ".join(f"{key} = {_shown(now, key)}, not {_shown(was, key)}" for key in changed)
        raise ConfigError(
            f"the run goes on with its own tokens in {folder}, which the configuration contradicts: {asked}",
            hint="leave these settings as they were, or start a new run in another folder",
        )


def _contradicted(config: Config, manifest: Manifest) -> Iterator[tuple[str, Any]]:
    """Keys whose value the dataset was not made with, and a value that fits it."""
    data, tokenizer, made, read = config.data, config.tokenizer, manifest.tokenizer, manifest.source
    if data.text_field != read.text_field:
        yield "data.text_field", read.text_field
    if data.allow_special != manifest.allow_special:
        yield "data.allow_special", manifest.allow_special
    if data.validation_split_ratio != manifest.validation_split_ratio:
        yield "data.validation_split_ratio", manifest.validation_split_ratio
    if data.shuffle_documents != (manifest.shuffle_seed is not None):
        yield "data.shuffle_documents", not data.shuffle_documents
    whole_text_fits = read.max_bytes is None and data.max_bytes is not None and data.max_bytes >= read.text_bytes
    if data.max_bytes != read.max_bytes and not whole_text_fits:
        yield "data.max_bytes", read.max_bytes
    if tokenizer.path is not None:
        if tokenizers.load(tokenizer.path).fingerprint() != made.fingerprint:
            yield "tokenizer.path", None
    elif tokenizer.kind != made.kind:
        if made.kind in all_fields()["tokenizer", "kind"].choices:
            yield "tokenizer.kind", made.kind
    elif made.kind == "character" and tokenizer.special_tokens != (made.eos_id is not None):
        yield "tokenizer.special_tokens", not tokenizer.special_tokens
    elif made.kind == "bpe" and tokenizer.vocab_size != made.vocab_size:
        yield "tokenizer.vocab_size", made.vocab_size


def _shown(config: Config, key: str) -> str:
    section, _, name = key.partition(".")
    return scalar(getattr(getattr(config, section), name))
