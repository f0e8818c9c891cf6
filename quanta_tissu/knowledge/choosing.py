"""Embedders by name: as a person names them, and as a collection remembers the one it was made with."""

from __future__ import annotations

import os
import re
from pathlib import Path

from quanta_tissu.errors import ConfigError
from quanta_tissu.knowledge.embedders import Embedder, EncoderEmbedder, NgramEmbedder, default_embedder
from quanta_tissu.knowledge.endpoint import EndpointEmbedder
from quanta_tissu.knowledge.knowledge_base import SETTINGS
from quanta_tissu.knowledge.searchable import SETTINGS as MADE_WITH
from quanta_tissu.tissdb import Database

MINILM = "all-MiniLM-L6-v2"

KEY_VARIABLE = "TISSU_EMBEDDING_KEY"
"""Environment variable with the API key of an endpoint."""

_NGRAMS = re.compile(r"ngrams-(\d+)")
_ENDPOINT = re.compile(r"(.+) at (https?://.+)")


def embedder_named(name: str) -> Embedder:
    """The embedder of a name.

    Args:
        name: `all-MiniLM-L6-v2`, `ngrams-1024` (vectors of 1024 numbers by spelling), `MODEL at URL` (an endpoint
            that speaks OpenAI's interface; its key is in the environment), or the folder of a sentence encoder.

    Raises:
        ConfigError: There is none of this name.
        MissingDependencyError: Its package is not installed.
        CheckpointError: The folder has no sentence encoder that is supported.
        EmbeddingError: The endpoint does not answer.
    """
    if name == MINILM:
        return EncoderEmbedder()
    if match := _NGRAMS.fullmatch(name):
        if not 64 <= int(match[1]) <= 16_000:
            raise ConfigError(
                f"{name} has too few or too many numbers", hint="64 to 16000; ngrams-1024, for example"
            )
        return NgramEmbedder(int(match[1]))
    if match := _ENDPOINT.fullmatch(name):
        return EndpointEmbedder(match[2], match[1], key=os.environ.get(KEY_VARIABLE))
    if (folder := Path(name)).is_dir():
        from quanta_tissu.tisslm.sentence_encoder import SentenceEncoder

        return EncoderEmbedder(SentenceEncoder.load(folder), name=folder.resolve().as_posix())
    raise ConfigError(
        f"there is no embedder {name!r}",
        hint=f"{MINILM}, ngrams-1024, 'MODEL at URL', or the folder of a sentence encoder",
    )


def embedder_for(db: Database, collection: str) -> Embedder:
    """The embedder that a collection was made with; for a new one the default.

    Raises:
        ConfigError: It was made with an embedder that has no name for this.
        MissingDependencyError: As for `embedder_named`, and its other errors.
    """
    made = db.collection(f"{collection}_sources").get(SETTINGS)
    return default_embedder() if made is None else embedder_named(str(made["embedder"]))


def embedder_of(db: Database, collection: str) -> Embedder:
    """The embedder that a memory's collection was made with; for a new one the default.

    Raises:
        ConfigError: As for `embedder_for`, and its other errors.
    """
    made = db.collection(MADE_WITH).get(collection)
    return default_embedder() if made is None else embedder_named(str(made["embedder"]))
