"""Which device PyTorch runs on, and the way back to arrays."""

from __future__ import annotations

import numpy as np
import pytest

from quanta_tissu.errors import ConfigError
from quanta_tissu.tisslm.engine.pytorch import choose_device, to_array

pytestmark = pytest.mark.torch


def gpus(torch, monkeypatch, count):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)


def test_auto_takes_a_gpu_if_there_is_one(torch, monkeypatch):
    gpus(torch, monkeypatch, 2)
    assert choose_device("auto", local_rank=1) == torch.device("cuda", 1)
    assert choose_device("cpu") == torch.device("cpu")
    gpus(torch, monkeypatch, 0)
    assert choose_device("auto") == torch.device("cpu")


def test_a_gpu_that_is_not_there_is_refused(torch, monkeypatch):
    gpus(torch, monkeypatch, 0)
    with pytest.raises(ConfigError, match="finds no GPU"):
        choose_device("cuda")


def test_every_process_of_a_machine_needs_a_gpu_of_its_own(torch, monkeypatch):
    gpus(torch, monkeypatch, 1)
    with pytest.raises(ConfigError, match="process 2 of this machine") as caught:
        choose_device("auto", local_rank=1)
    assert "--nproc-per-node" in caught.value.hint


def test_arrays_stay_and_tensors_become_arrays(torch):
    array = np.arange(3.0)
    assert to_array(array) is array
    assert np.array_equal(to_array(torch.tensor(array, requires_grad=True)), array)
