"""Freed memory stays with the process, and every thread has some for the moment."""

from __future__ import annotations

import platform
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from quanta_tissu.tisslm.engine.memory import keep_freed_memory, scratch

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


RESIDENT_AFTER_A_LARGE_ARRAY_WENT = """
import re, sys
from pathlib import Path
import numpy as np
from quanta_tissu.tisslm.engine.memory import return_freed_memory
if sys.argv[1] == "return":
    return_freed_memory()
del_me = np.ones(30 * 2**17)  # 30 MiB: now glibc takes such arrays from the heap
del del_me
arrays = []
for _ in range(4):
    arrays.append((np.ones(20 * 2**17), np.ones(2**16)))  # 20 MiB between what stays
arrays = [small for _, small in arrays]
print(re.search(r"VmRSS:\\s*(\\d+)", Path("/proc/self/status").read_text())[1])
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_what_is_freed_between_arrays_that_stay_goes_back_to_the_system():
    def resident(mode):
        command = [sys.executable, "-c", RESIDENT_AFTER_A_LARGE_ARRAY_WENT, mode]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    assert resident("keep") - resident("return") > 50 * 1024  # KiB


def test_other_systems_are_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert keep_freed_memory.__wrapped__() is False


def test_other_c_libraries_are_left_alone(monkeypatch):
    import ctypes

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    assert keep_freed_memory.__wrapped__() is False


def test_scratch_is_the_same_memory_every_time_until_more_is_asked_for():
    first = scratch((100, 3), np.float32)
    assert (first.shape, first.dtype) == ((100, 3), np.float32)
    second = scratch((7,), np.float64)
    assert np.shares_memory(first, second)
    assert not np.shares_memory(first, scratch((first.base.nbytes + 1,), np.int8))


def test_every_thread_has_scratch_of_its_own():
    own = scratch((10,), np.float32)
    with ThreadPoolExecutor(1) as other:
        assert not np.shares_memory(own, other.submit(scratch, (10,), np.float32).result())
