"""The team of workers that runs model replicas."""

from __future__ import annotations

import os
import threading
import time

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from quanta_tissu.errors import ConfigError
from quanta_tissu.tisslm import engine
from quanta_tissu.tisslm.engine import threads
from quanta_tissu.tisslm.engine.threads import ThreadTeam, available_cores, replica_count


def blas_threads() -> int:
    return next(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas")


def test_default_is_one_replica_per_core():
    assert replica_count(None) == available_cores() >= 1
    assert replica_count(3) == 3


def test_less_than_one_replica_is_refused():
    with pytest.raises(ConfigError, match=r"train\.replicas = 0"):
        replica_count(0)


@pytest.mark.parametrize(
    ("content", "cores"), [("150000 100000\n", 2), ("50000 100000\n", 1), ("max 100000\n", 64)]
)
def test_cores_respect_a_containers_quota(tmp_path, monkeypatch, content, cores):
    quota = tmp_path / "cpu.max"
    quota.write_text(content)
    monkeypatch.setattr(threads, "_CGROUP_QUOTA", quota)
    monkeypatch.setattr(threads, "_TOPOLOGY", str(tmp_path / "absent{}"))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    assert available_cores() == cores


def test_hardware_threads_of_one_core_count_once(tmp_path, monkeypatch):
    for cpu, siblings in enumerate(["0,2", "1,3", "0,2", "1,3"]):
        (tmp_path / f"cpu{cpu}").write_text(siblings)
    monkeypatch.setattr(threads, "_CGROUP_QUOTA", tmp_path / "absent")
    monkeypatch.setattr(threads, "_TOPOLOGY", str(tmp_path / "cpu{}"))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    assert available_cores() == 2


def test_results_come_in_the_order_of_the_tasks():
    def first():
        time.sleep(0.05)
        return "first"

    with ThreadTeam(2) as team:
        assert team.run([first, lambda: "second"]) == ["first", "second"]


def test_tasks_run_at_the_same_time_each_on_its_own_worker():
    meeting = threading.Barrier(3, timeout=10)

    def meet():
        meeting.wait()  # breaks unless all three are here
        return threading.get_ident()

    with ThreadTeam(3) as team:
        first, second = team.run([meet] * 3), team.run([meet] * 3)
    assert len(set(first)) == 3
    assert first == second
    assert first[0] == threading.get_ident()


def test_fewer_tasks_than_workers_are_fine_and_more_are_not():
    with ThreadTeam(2) as team:
        assert team.run([lambda: 1]) == [1]
        with pytest.raises(ValueError, match="3 tasks for a team of 2"):
            team.run([lambda: 1] * 3)


def test_tasks_see_the_callers_engine():
    with ThreadTeam(2) as team, engine.use("reference"):
        assert [e.name for e in team.run([engine.current] * 2)] == ["reference", "reference"]


def test_an_error_waits_for_the_other_tasks_and_then_reaches_the_caller():
    finished = []

    def fails():
        raise FloatingPointError("loss is nan")

    def slow():
        time.sleep(0.05)
        finished.append(True)

    with ThreadTeam(2) as team:
        with pytest.raises(FloatingPointError, match="loss is nan"):
            team.run([fails, slow])
        assert finished == [True]
        assert team.run([lambda: 1, lambda: 2]) == [1, 2], "the team works on after an error"


def test_further_errors_are_noted_on_the_first():
    def fail_with(error):
        raise error

    with ThreadTeam(2) as team, pytest.raises(KeyError) as caught:
        team.run([lambda: fail_with(KeyError("a")), lambda: fail_with(OSError("b"))])
    assert "OSError('b')" in caught.value.__notes__[0]


def test_blas_has_one_thread_while_the_team_runs_and_its_own_again_afterwards():
    with threadpool_limits(limits=2, user_api="blas"), ThreadTeam(2) as team:
        before = blas_threads()
        assert team.run([blas_threads] * 2) == [1, 1]
        assert blas_threads() == before == 2


def test_a_team_of_one_runs_in_the_calling_thread():
    with ThreadTeam(1) as team:
        assert team.run([threading.get_ident]) == [threading.get_ident()]


def test_a_closed_team_says_so():
    team = ThreadTeam(2)
    team.close()
    with pytest.raises(ValueError, match="closed"):
        team.run([lambda: 1])


def test_workers_keep_no_arrays_alive_between_runs():
    import gc
    import weakref

    class Large:
        pass

    def make():
        large = Large()
        return weakref.ref(large), np.zeros(1)

    with ThreadTeam(2) as team:
        refs = [ref for ref, _ in team.run([make, make])]
        gc.collect()
        assert [ref() for ref in refs] == [None, None]
