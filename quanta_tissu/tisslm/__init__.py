"""TissLM: a decoder-only language model built from scratch on NumPy."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quanta_tissu.tisslm.language_model import LanguageModel, load
    from quanta_tissu.tisslm.sentence_encoder import SentenceEncoder

__all__ = ["LanguageModel", "SentenceEncoder", "load"]

_MODULES = {"LanguageModel": "language_model", "load": "language_model", "SentenceEncoder": "sentence_encoder"}


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is first asked for, so that importing a part of TissLM stays cheap."""
    if name in _MODULES:
        return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
