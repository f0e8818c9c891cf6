"""Engines: chosen by name, one current in every context."""

from __future__ import annotations

import importlib.util
import threading
from contextvars import copy_context

import pytest

from quanta_tissu.errors import ConfigError, MissingDependencyError
from quanta_tissu.tisslm import engine
from quanta_tissu.tisslm.engine import engines
from quanta_tissu.tisslm.ops import REGISTRY


def without_numba(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "numba" else find(name))


def test_fast_is_the_default_where_numba_is_installed():
    assert engines._default().name == "fast"


def test_reference_is_the_default_without_numba(monkeypatch):
    without_numba(monkeypatch)
    assert engines._default().name == "reference"


def test_the_torch_engine_without_pytorch_says_what_to_do(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torch" else find(name))
    with pytest.raises(MissingDependencyError, match="needs PyTorch") as caught:
        engine.get("torch")
    assert "pip install 'quanta-tissu[torch]'" in caught.value.hint


def test_an_unknown_engine_is_refused_with_the_choices():
    with pytest.raises(ConfigError, match="unknown engine 'cuda'") as caught:
        engine.get("cuda")
    assert "reference, fast" in caught.value.hint


def test_the_fast_engine_without_numba_says_what_to_do(monkeypatch):
    without_numba(monkeypatch)
    with pytest.raises(ConfigError, match="needs Numba") as caught:
        engine.get("fast")
    assert "pip install numba" in caught.value.hint


def test_use_ends_with_its_block_even_after_an_error():
    def fail():
        assert engine.current().name == "reference"
        raise RuntimeError

    before = engine.current()
    with pytest.raises(RuntimeError), engine.use("reference"):
        fail()
    assert engine.current() is before


def test_use_nests_and_accepts_an_engine():
    with engine.use("reference"), engine.use(engine.get("fast")) as inner:
        assert engine.current() is inner


def test_other_threads_are_not_disturbed():
    seen = []
    with engine.use("reference"):
        for target in (
            lambda: seen.append(engine.current().name),
            lambda: copy_context().run(seen.append, "copy"),
        ):
            thread = threading.Thread(target=target)
            thread.start()
            thread.join()
    assert seen == ["fast", "copy"]


def test_fast_runs_the_twin_and_falls_back_to_the_readable_code():
    assert engine.get("fast").implementation(REGISTRY["gelu"]) is REGISTRY["gelu"].fast_twin()
    assert engine.get("fast").implementation(REGISTRY["reshape"]) is REGISTRY["reshape"].readable
    assert engine.get("reference").implementation(REGISTRY["gelu"]) is REGISTRY["gelu"].readable
