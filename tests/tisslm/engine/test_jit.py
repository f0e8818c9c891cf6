"""How kernels are compiled: cached on disk, announced one by one, and working without a cache folder."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from quanta_tissu.tisslm.engine.jit import compilations, kernel, summing_kernel


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
    def hear(kernel, seconds):
        print(kernel, "begins" if seconds is None else "done" if seconds > 0 else "?")
    with engine.use("fast"), jit.compilations(hear):
        print(flat.squared_norm(np.ones(3)))
        print(flat.squared_norm(np.ones(3, np.float32)))
"""


def test_every_compilation_is_announced_and_none_with_a_warm_cache(tmp_path):
    cold = run(USE_A_KERNEL, NUMBA_CACHE_DIR=str(tmp_path))
    warm = run(USE_A_KERNEL, NUMBA_CACHE_DIR=str(tmp_path))
    begins, done = "flat_kernels.squared_norm begins", "flat_kernels.squared_norm done"
    assert cold.splitlines() == [begins, done, "3.0", begins, done, "3.0"]
    assert warm.split() == ["3.0", "3.0"]


@pytest.fixture
def no_cache(monkeypatch):
    """No folder is writable, so everything is compiled."""
    from quanta_tissu.tisslm.engine.kernel_cache import KernelCache

    monkeypatch.setattr(KernelCache._impl_class, "_locator_classes", [])


def test_kernels_inside_kernels_have_seconds_of_their_own(no_cache):
    heard = []

    @kernel
    def inner(x):
        return x + 1

    @kernel
    def outer(x):
        return 2 * inner(x)

    with compilations(lambda name, seconds: heard.append((name, seconds))):
        assert outer(np.float32(2)) == 6
    names = [(name, seconds is None) for name, seconds in heard]
    assert names == [
        ("test_jit.outer", True),
        ("test_jit.inner", True),
        ("test_jit.inner", False),
        ("test_jit.outer", False),
    ]
    assert all(seconds > 0 for _, seconds in heard if seconds is not None)


def test_a_listener_hears_nothing_after_its_block_nor_of_functions_that_are_no_kernels():
    import numba

    heard = []
    with compilations(lambda name, seconds: heard.append(name)):
        numba.njit(lambda x: x + 1)(1.0)
    kernel(lambda x: x + 2)(1.0)
    assert heard == []


def test_a_compilation_that_fails_ends_for_the_listener_too():
    heard = []

    @kernel
    def wrong(x):
        return x.no_such_attribute

    with (
        compilations(lambda name, seconds: heard.append(seconds is None)),
        pytest.raises(Exception, match="no_such"),
    ):
        wrong(1.0)
    assert heard == [True, False]


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
