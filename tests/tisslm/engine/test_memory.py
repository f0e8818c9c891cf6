"""Freed memory stays with the process."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from quanta_tissu.tisslm.engine.memory import keep_freed_memory

PAGE_FAULTS_OF_TEN_LARGE_ARRAYS = """
import resource, sys
import numpy as np
from quanta_tissu.tisslm.engine.memory import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
np.ones(500_000)  # 4 MB; the first one has to be got in any case
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    np.ones(500_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(mode):
    command = [sys.executable, "-c", PAGE_FAULTS_OF_TEN_LARGE_ARRAYS, mode]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_arrays_are_made_of_memory_that_was_freed_before():
    assert keep_freed_memory()
    assert page_faults("keep") < 10


def test_other_systems_are_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert keep_freed_memory.__wrapped__() is False


def test_other_c_libraries_are_left_alone(monkeypatch):
    import ctypes

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    assert keep_freed_memory.__wrapped__() is False
