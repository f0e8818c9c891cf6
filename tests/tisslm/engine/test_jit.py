"""How kernels are compiled: cached on disk, announced once, and working without a cache folder."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from quanta_tissu.tisslm.engine.jit import kernel, on_first_compile, summing_kernel


def run(code, **environment):
    """Run code in a fresh process and return what it printed."""
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout


USE_A_KERNEL = """
    import numpy as np
    from quanta_tissu.tisslm import engine
    from quanta_tissu.tisslm.engine import flat, jit
    jit.on_first_compile(lambda: print("compiling"))
    with engine.use("fast"):
        print(flat.squared_norm(np.ones(3)))
        print(flat.squared_norm(np.ones(3, np.float32)))
"""


def test_first_compilation_is_announced_once_and_never_with_a_warm_cache(tmp_path):
    cold = run(USE_A_KERNEL, NUMBA_CACHE_DIR=str(tmp_path))
    warm = run(USE_A_KERNEL, NUMBA_CACHE_DIR=str(tmp_path))
    assert cold.split() == ["compiling", "3.0", "3.0"]
    assert warm.split() == ["3.0", "3.0"]


def test_a_listener_can_be_removed():
    heard = []
    on_first_compile(lambda: heard.append(1))
    on_first_compile(None)
    kernel(lambda x: x + 1)(1.0)
    assert heard == []


def test_cache_goes_stale_when_a_shared_source_changes(tmp_path):
    change = "import os; from quanta_tissu.tisslm.engine import jit; jit._shared_stamp = lambda: 'changed'\n"
    run(USE_A_KERNEL, NUMBA_CACHE_DIR=str(tmp_path))
    assert "compiling" in run(change + textwrap.dedent(USE_A_KERNEL), NUMBA_CACHE_DIR=str(tmp_path))


def test_kernels_work_where_no_cache_folder_is_writable(monkeypatch):
    from numba.core import caching

    monkeypatch.setattr(caching.FunctionCache._impl_class, "_locator_classes", [])

    @kernel
    def double(x):
        return 2 * x

    assert double(np.float32(4)) == 8


def test_kernels_run_the_code_inside_a_wrapper():
    import functools

    def plain(x):
        return x + 1

    @functools.wraps(plain)
    def checked(x):
        raise AssertionError("the check must not be compiled")

    assert kernel(checked)(1.0) == 2.0


@pytest.mark.parametrize("decorate", [kernel, summing_kernel])
def test_kernels_release_the_lock_use_one_thread_and_keep_nan(decorate):
    compiled = decorate(lambda x: x)
    assert compiled.targetoptions["nogil"]
    assert not compiled.targetoptions.get("parallel")
    assert not {"nnan", "ninf", "fast"} & set(compiled.targetoptions["fastmath"])


def test_engine_package_does_not_import_numba():
    assert run("import sys, quanta_tissu.tisslm.engine.jit; print('numba' in sys.modules)").strip() == "False"
