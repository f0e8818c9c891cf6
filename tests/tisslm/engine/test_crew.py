"""The crew: threads that do one thing together, and always come back."""

from __future__ import annotations

import gc
import os
import threading
import time
import weakref

import numpy as np
import pytest

from quanta_tissu.tisslm.engine import crew as crews
from quanta_tissu.tisslm.engine.barrier import claim, meet
from quanta_tissu.tisslm.engine.crew import Crew, crew
from quanta_tissu.tisslm.engine.jit import kernel


@kernel
def pass_around(worker: int, workers: int, barrier: np.ndarray, rounds: int, cells: np.ndarray) -> None:
    """Every round each worker adds what its neighbour had; wrong unless all are in the same round."""
    target = 0
    for _ in range(rounds):
        seen = cells[(worker + 1) % workers]
        target += workers
        meet(barrier, target)
        cells[worker] += seen
        target += workers
        meet(barrier, target)


@kernel
def wait_for_all(workers: int, barrier: np.ndarray) -> None:
    meet(barrier, workers)


@kernel
def share_out(taken: np.ndarray, phase: int, owners: np.ndarray, worker: int) -> None:
    """Note in the list of owners who has taken each item."""
    item = claim(taken, phase)
    while item < len(owners):
        owners[item] += worker
        item = claim(taken, phase)


def by_hand(workers: int, rounds: int) -> list[int]:
    cells = np.arange(1, workers + 1, dtype=np.uint64)
    for _ in range(rounds):
        cells += np.roll(cells, -1)
    return cells.tolist()


@pytest.mark.parametrize("workers", [1, 2, 3, 5])
def test_workers_meet_at_every_barrier_also_when_there_are_more_than_cores(workers):
    team, rounds = Crew(), 300
    for _ in range(3):
        cells = np.arange(1, workers + 1, dtype=np.uint64)
        team.run(lambda w, barrier: pass_around(w, workers, barrier, rounds, cells), workers)  # noqa: B023
        assert cells.tolist() == by_hand(workers, rounds)


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_every_item_of_a_phase_is_taken_by_one_worker(workers):
    taken, owners = np.zeros(3, np.int64), np.zeros((3, 1000), np.int64)
    for phase in (0, 2):
        Crew().run(lambda w, _: share_out(taken, phase, owners[phase], 10**w), workers)  # noqa: B023
        assert set(owners[phase]) <= {10**w for w in range(workers)}
    assert taken.tolist() == [1000 + workers, 0, 1000 + workers]


def test_the_caller_is_worker_0_and_the_others_are_always_the_same_threads():
    team = Crew()
    seen = [{}, {}]
    for who in seen:
        team.run(lambda w, _: who.update({w: threading.get_ident()}), 3)  # noqa: B023
    assert seen[0] == seen[1]
    assert seen[0][0] == threading.get_ident()
    assert len(set(seen[0].values())) == 3


@pytest.mark.parametrize("failing", [0, 1])
def test_who_waits_for_a_worker_that_fails_is_let_through(failing):
    def task(worker, barrier):
        if worker == failing:
            raise FloatingPointError("never arrived")
        wait_for_all(2, barrier)

    team = Crew()
    wait_for_all(1, np.zeros(32, np.int64))  # compiled outside
    with pytest.raises(FloatingPointError, match="never arrived"):
        team.run(task, 2)
    done = []
    team.run(lambda w, barrier: (wait_for_all(2, barrier), done.append(w)), 2)
    assert sorted(done) == [0, 1], "the crew works on after an error"


def test_callers_from_several_threads_take_turns():
    working, most = [], []

    def task(worker, _):
        working.append(worker)
        most.append(len(working))
        time.sleep(0.001)
        working.pop()

    team = Crew()
    callers = [threading.Thread(target=lambda: [team.run(task, 2) for _ in range(10)]) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(most) == 80
    assert max(most) <= 2


def test_one_crew_serves_the_process_and_sleeping_helpers_keep_nothing_alive():
    class Model:
        pass

    model = Model()
    gone = weakref.ref(model)

    def task(worker, _, model=model):
        return model

    crew().run(task, 2)
    before = threading.active_count()
    for _ in range(5):
        crew().run(task, 2)
    assert threading.active_count() == before
    del model, task
    gc.collect()
    assert gone() is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_gets_a_crew_of_its_own():
    crew().run(lambda w, _: None, 2)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        done = []
        crews.crew().run(lambda w, _: done.append(w), 2)
        os.write(write, bytes(sorted(done)))
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert os.read(read, 10) == b"\x00\x01"
