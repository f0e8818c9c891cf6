"""TissLM: a decoder-only language model built from scratch on NumPy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quanta_tissu.tisslm.language_model import LanguageModel, load

__all__ = ["LanguageModel", "load"]


def __getattr__(name: str) -> Any:
    """Import the language model when it is first asked for, so that importing a part of TissLM stays cheap."""
    if name in __all__:
        from quanta_tissu.tisslm import language_model

        return getattr(language_model, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
