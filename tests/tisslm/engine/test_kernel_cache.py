"""The cache of compiled kernels: what is in it, and that nothing wrong with it stops a kernel."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from quanta_tissu.tisslm.engine.jit import kernel
from quanta_tissu.tisslm.engine.kernel_cache import KernelCache, cache_state, compiled_into
from quanta_tissu.tisslm.ops.kernels import attention_kernels

USE_A_KERNEL = """
    import numpy as np
    from quanta_tissu.tisslm.engine import flat_kernels, jit
    from quanta_tissu.tisslm.engine.kernel_cache import cache_state
    heard = []
    with jit.compilations(lambda name, seconds: heard.append(name)):
        assert flat_kernels.squared_norm(np.ones(3, np.float32)) == 3
    state = cache_state()
    print(bool(heard), state.kernels, state.nbytes)
"""
CHANGE_WHAT_IS_COMPILED_INTO_IT = """
    from quanta_tissu.tisslm.engine import kernel_cache
    from quanta_tissu.tisslm.engine import vector_math
    kernel_cache.compiled_into = lambda source: (kernel_cache.Path(vector_math.__file__),)
"""


@pytest.fixture
def run(tmp_path):
    """Use a kernel in a fresh process; tell whether it was compiled, and kernels and bytes in the cache."""

    def start(code="", folder=tmp_path) -> tuple[bool, int, int]:
        program = textwrap.dedent(code) + textwrap.dedent(USE_A_KERNEL)
        environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder)}
        result = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
        )
        compiled, kernels, nbytes = result.stdout.split()
        return compiled == "True", int(kernels), int(nbytes)

    return start


def test_the_cache_is_counted(run):
    compiled, kernels, nbytes = run()
    assert (compiled, kernels) == (True, 1)
    assert nbytes > 1000
    assert run() == (False, 1, nbytes)


def test_it_goes_stale_when_what_is_compiled_into_it_changes(run):
    run()
    compiled, kernels, _ = run(CHANGE_WHAT_IS_COMPILED_INTO_IT)
    assert (compiled, kernels) == (True, 1)


def test_what_is_compiled_into_a_kernel_is_what_its_file_imports():
    names = [path.name for path in compiled_into(Path(attention_kernels.__file__))]
    assert names == ["panels.py", "simd.py", "vector_math.py"]  # the last by way of the others
    assert compiled_into(Path("<cell 7>")) == ()


@pytest.mark.parametrize("kind", ["nbi", "nbc"])
def test_damaged_files_are_replaced(run, tmp_path, kind):
    run()
    (file,) = tmp_path.rglob(f"*.{kind}")
    file.write_bytes(file.read_bytes()[:20])
    assert run()[:2] == (True, 1)
    assert run()[:2] == (False, 1)


def test_a_kernel_under_the_number_of_another_one_is_not_taken(run, tmp_path):
    """Two processes that compile at the same time number their files alike."""
    run()
    (mine,) = tmp_path.rglob("*.nbc")
    run("import numpy, quanta_tissu.tisslm.engine.flat_kernels as kernels; kernels.squared_norm(numpy.ones(3))")
    (other,) = set(tmp_path.rglob("*.nbc")) - {mine}
    mine.write_bytes(other.read_bytes())
    assert run()[0]


def test_a_folder_that_cannot_be_made_is_passed_over(run, tmp_path):
    (tmp_path / "file").write_text("in the way")
    compiled, kernels, _ = run(folder=tmp_path / "file" / "cache")
    assert compiled in (True, False)  # what the next folder holds is not ours to say
    assert kernels > 0


class TestInThisProcess:
    """The same by the functions themselves."""

    @pytest.fixture
    def total(self, tmp_path, monkeypatch):
        """Make the kernel `squared_norm` anew, with a cache of its own, and use it."""
        from numba.core import config

        from quanta_tissu.tisslm.engine import flat_kernels

        monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path))

        def use() -> float:
            return kernel(flat_kernels.squared_norm.py_func)(np.ones(3))

        return use

    def test_it_is_counted(self, total, tmp_path):
        assert cache_state().kernels == 0
        assert total() == total() == 3
        state = cache_state()
        assert state.kernels == 1
        assert tmp_path in state.common_folder.parents or state.common_folder == tmp_path
        assert state.nbytes == sum(file.stat().st_size for file in tmp_path.rglob("*.nb?"))

    @pytest.mark.parametrize("kind", ["nbi", "nbc"])
    def test_damage_costs_a_compilation(self, total, tmp_path, kind):
        total()
        (file,) = tmp_path.rglob(f"*.{kind}")
        file.write_bytes(b"no such thing")
        assert cache_state().kernels == (0 if kind == "nbi" else 1)
        assert total() == 3
        assert cache_state().kernels == 1
        assert file.stat().st_size > 100


def test_kernels_work_where_no_folder_is_writable(monkeypatch):
    monkeypatch.setattr(KernelCache._impl_class, "_locator_classes", [])

    @kernel
    def double(x):
        return 2 * x

    assert double(np.float32(4)) == 8
    state = cache_state()
    assert (state.folders, state.kernels, state.nbytes) == ((), 0, 0)


def test_kernels_work_when_the_disk_fills_up(monkeypatch, tmp_path):
    def full(self, sig, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(KernelCache.__mro__[1], "save_overload", full)

    @kernel
    def triple(x):
        return 3 * x

    assert triple(np.float32(4)) == 12
