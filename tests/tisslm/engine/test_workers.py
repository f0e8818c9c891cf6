"""The caller and its helpers: one task at a time, and everyone comes back."""

from __future__ import annotations

import threading
import time

import pytest

from quanta_tissu.tisslm.engine.workers import Workers, among_others


@pytest.fixture
def workers():
    workers = Workers("worker")
    yield workers
    workers.close()


def test_the_caller_is_worker_0_and_the_others_are_always_the_same_threads(workers):
    seen = [{}, {}]
    for who in seen:
        workers.run(lambda w: who.update({w: threading.current_thread().name}), 3)  # noqa: B023
    assert seen == [{0: threading.current_thread().name, 1: "worker-1", 2: "worker-2"}] * 2


def test_one_worker_is_the_caller_alone(workers):
    before = threading.active_count()
    done = []
    workers.run(done.append, 1)
    assert done == [0]
    assert threading.active_count() == before


def test_each_knows_whether_there_are_others(workers):
    for count in (1, 3):
        known = {}
        workers.run(lambda w: known.update({w: among_others()}), count)  # noqa: B023
        assert known == dict.fromkeys(range(count), count > 1)
        assert not among_others()


def test_the_first_workers_error_is_raised_and_notes_the_others(workers):
    def task(worker):
        time.sleep(0.02 * (2 - worker))
        raise OSError(worker)

    with pytest.raises(OSError, match="0") as caught:
        workers.run(task, 3)
    assert caught.value.__notes__ == [f"another worker failed too: OSError({w})" for w in (1, 2)]
    done = []
    workers.run(done.append, 3)
    assert sorted(done) == [0, 1, 2], "they work on after an error"


@pytest.mark.parametrize("who", [0, 1])
def test_whoever_fails_lets_the_others_through(workers, who):
    abandoned = threading.Event()

    def task(worker):
        if worker == who:
            raise KeyError
        assert abandoned.wait(10)

    with pytest.raises(KeyError):
        workers.run(task, 2, abandoned.set)


def test_ctrl_c_in_the_callers_task_waits_for_the_helpers(workers):
    finished = []

    def task(worker):
        if worker == 0:
            raise KeyboardInterrupt
        time.sleep(0.05)
        finished.append(worker)

    with pytest.raises(KeyboardInterrupt):
        workers.run(task, 3)
    assert sorted(finished) == [1, 2]


def test_ctrl_c_while_the_caller_waits_goes_on_waiting(workers):
    finished = []

    class Interrupted:
        def __init__(self, queue):
            self.put, self.queue, self.times = queue.put, queue, 0

        def get(self):
            self.times += 1
            if self.times == 1:
                raise KeyboardInterrupt
            return self.queue.get()

    def task(worker):
        if worker:
            time.sleep(0.05)
            finished.append(worker)

    workers._returned = Interrupted(workers._returned)
    with pytest.raises(KeyboardInterrupt):
        workers.run(task, 2)
    assert finished == [1]


def test_closed_they_end_their_threads(workers):
    workers.run(lambda _: None, 3)
    helpers = [t for t in threading.enumerate() if t.name.startswith("worker-")]
    assert len(helpers) == 2
    workers.close()
    for helper in helpers:
        helper.join(10)
    assert not any(helper.is_alive() for helper in helpers)
