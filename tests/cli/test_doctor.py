"""`tissu doctor` finds what is there, and says what to do where something is wrong."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from quanta_tissu.cli import doctor, environment
from quanta_tissu.cli.doctor import CHECKS, Check, examine
from quanta_tissu.tisslang.sandbox import probe
from quanta_tissu.tisslang.sandbox.probe import Offer
from quanta_tissu.tisslm.engine import kernel_cache
from quanta_tissu.tisslm.engine.kernel_cache import CacheState
from quanta_tissu.tisslm.train import memory


def test_a_working_machine(tissu):
    outcome = tissu("doctor", "--json")
    assert outcome.code == 0
    result = json.loads(outcome.out)
    assert result["status"] in {"ok", "warning"}
    assert len(result["checks"]) == len(CHECKS)
    by_name = {check["name"]: check for check in result["checks"]}
    assert by_name["Gradients"]["values"]["relative_error"] < 1e-6
    assert by_name["Engines"]["values"]["relative_error"] < 1e-5
    assert by_name["Speed"]["values"]["gflops"] > 1
    assert by_name["Cores"]["values"]["cores"] >= 1


def test_the_table_names_every_check(tissu):
    outcome = tissu("doctor")
    assert outcome.code == 0
    for name in ("Python", "NumPy", "Numba", "Gradients", "Engines", "GFLOP/s"):
        assert name in outcome.out


class TestFindings:
    def test_a_wrong_gradient_is_found(self, monkeypatch):
        gradient = doctor._gradient

        def off_by_a_little(decoder, engine):
            flat = gradient(decoder, engine)
            flat[np.abs(flat).argmax()] *= 1.001
            return flat

        monkeypatch.setattr(doctor, "_gradient", off_by_a_little)
        check = doctor.check_gradients()
        assert check.status == "broken"
        assert "reinstall" in check.remedy

    def test_engines_that_disagree_are_found(self, monkeypatch):
        gradient = doctor._gradient
        factors = {"reference": 1.0, "fast": 1.001}
        monkeypatch.setattr(doctor, "_gradient", lambda model, engine: gradient(model, engine) * factors[engine])
        assert doctor.check_engines().status == "broken"

    def test_the_sandbox_is_named_with_what_it_is_made_of(self):
        check = doctor.check_sandbox()
        assert (check.status, check.remedy, check.values["level"]) == ("ok", None, "bwrap")
        for name in ("openat2", "landlock", "seccomp", "bubblewrap"):
            assert name in check.detail
            assert check.values["offers"][name]["works"]

    def test_less_of_a_sandbox_is_a_warning_that_says_what_to_do(self, monkeypatch):
        offers = probe.offered()
        less = tuple(
            Offer("bubblewrap", False, "not there") if one.name == "bubblewrap" else one for one in offers
        )
        monkeypatch.setattr(probe, "_offered", lambda: less)
        check = doctor.check_sandbox()
        assert (check.status, check.values["level"]) == ("warning", "landlock")
        assert "no bubblewrap: not there" in check.detail
        assert "apt-get install bubblewrap" in check.remedy
        monkeypatch.setattr(probe, "_offered", lambda: tuple(Offer(one.name, False, "no") for one in offers))
        check = doctor.check_sandbox()
        assert (check.status, check.values["level"]) == ("warning", None)
        assert "--sandbox none" in check.remedy

    def test_a_broken_check_ends_with_exit_code_1_and_a_remedy(self, tissu, monkeypatch):
        def check_nothing() -> Check:
            raise ImportError("libopenblas.so.0: cannot open shared object file")

        monkeypatch.setattr(doctor, "CHECKS", (check_nothing, doctor.check_python))
        outcome = tissu("doctor")
        assert outcome.code == 1
        assert "BROKEN" in outcome.out
        assert "libopenblas.so.0" in outcome.out
        assert "help: results would be wrong" in " ".join(outcome.out.split())
        assert json.loads(tissu("doctor", "--json").out)["status"] == "broken"

    def test_without_numba_there_is_advice_but_nothing_is_broken(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "numba", None)
        for check in (doctor.check_numba(), doctor.check_engines()):
            assert check.status == "warning"
            assert "pip install numba" in check.remedy

    def test_a_slow_blas_is_a_warning(self, monkeypatch):
        monkeypatch.setattr(environment, "blas", lambda: "lapack_lite 0")
        assert doctor.check_numpy().status == "warning"

    @pytest.mark.parametrize(("available", "status"), [(1 << 20, "warning"), (1 << 34, "ok"), (None, "ok")])
    def test_memory(self, monkeypatch, available, status):
        monkeypatch.setattr(memory, "available_memory", lambda: available)
        monkeypatch.setattr(environment, "total_memory", lambda: 1 << 34)
        assert doctor.check_memory().status == status

    def test_a_system_that_does_not_tell_its_memory(self, monkeypatch):
        monkeypatch.setattr(environment, "total_memory", lambda: None)
        assert "does not tell" in doctor.check_memory().detail

    def test_a_folder_that_cannot_be_written_is_broken(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(doctor, "_writable", lambda folder: False)
        check = doctor.check_disk()
        assert check.status == "broken"
        assert "--out" in check.remedy

    def test_without_a_folder_for_kernels_there_is_advice(self, monkeypatch):
        monkeypatch.setattr(kernel_cache, "cache_state", lambda: CacheState((), 0, 0))
        check = doctor.check_kernel_cache()
        assert check.status == "warning"
        assert "NUMBA_CACHE_DIR" in check.remedy

    def test_little_room_on_the_disk_is_a_warning(self, monkeypatch):
        usage = doctor.shutil.disk_usage(".")._replace(free=1 << 20)
        monkeypatch.setattr(doctor.shutil, "disk_usage", lambda folder: usage)
        assert doctor.check_disk().status == "warning"

    def test_the_cache_is_described(self, tmp_path, monkeypatch):
        state = CacheState((tmp_path / "a", tmp_path / "b"), 3, 5000)
        monkeypatch.setattr(kernel_cache, "cache_state", lambda: state)
        check = doctor.check_kernel_cache()
        assert check.detail == f"3 kernels ready, 5.0 kB, in {tmp_path}"
        assert check.values["kernels"] == 3

    def test_an_empty_cache_says_how_to_fill_it(self, tmp_path, monkeypatch):
        monkeypatch.setattr(kernel_cache, "cache_state", lambda: CacheState((tmp_path,), 0, 0))
        assert "--warm" in doctor.check_kernel_cache().detail

    def test_a_place_where_nothing_can_be_written_is_recognised(self, tmp_path):
        (tmp_path / "file").write_text("in the way")
        assert doctor._writable(tmp_path / "new" / "folder")
        assert not doctor._writable(tmp_path / "file")


def test_a_check_that_raises_is_a_finding():
    def check_kernel_cache() -> Check:
        raise RuntimeError("no luck")

    check = examine(check_kernel_cache)
    assert (check.name, check.status, check.detail) == ("Kernel cache", "broken", "RuntimeError: no luck")


class TestEnvironment:
    def test_memory_is_plausible(self):
        total = environment.total_memory()
        assert total is None or total > 1 << 28

    def test_a_system_without_sysconf(self, monkeypatch):
        monkeypatch.delattr(environment.os, "sysconf", raising=False)
        assert environment.total_memory() is None

    def test_a_package_that_is_not_installed(self):
        assert environment.package_version("no-such-package-anywhere") is None
