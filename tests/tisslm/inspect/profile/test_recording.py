"""Operations are timed as they run, for whom they run, and without changing what they compute."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import pytest

from quanta_tissu.tisslm import engine, ops
from quanta_tissu.tisslm.engine import Tape, flat
from quanta_tissu.tisslm.engine.threads import ThreadTeam
from quanta_tissu.tisslm.inspect.profile.costs import Work
from quanta_tissu.tisslm.inspect.profile.recording import Key, Recorder
from quanta_tissu.tisslm.ops.op import Pair


@dataclass
class SlowOp:
    """An operation that takes a known time."""

    forward_seconds: float = 0.02
    name: str = "slow"
    cheap: bool = False

    def fast_twin(self):
        return None

    @property
    def readable(self):
        def forward(x):
            time.sleep(self.forward_seconds)
            return 2 * x, None

        return Pair(forward, lambda saved, dy: (2 * dy,))


def run_on_tape(op, runs_on, x):
    tape = Tape(runs_on)
    variable = tape.variable(x)
    y = tape.apply(op, (variable,), {})
    tape.backward(y, np.ones_like(y.value))
    return y.value, variable.grad


@pytest.fixture
def recorder():
    return Recorder(threads=1)


def test_forward_and_backward_are_timed_apart(recorder):
    runs_on = recorder.engine(engine.get("reference"))
    run = recorder.time(lambda: run_on_tape(SlowOp(0.2), runs_on, np.ones(3)))
    forward = run.tallies[Key("slow", "forward", "other", None)]
    backward = run.tallies[Key("slow", "backward", "other", None)]
    assert (forward.calls, backward.calls) == (1, 1)
    assert 0.2 <= forward.seconds <= run.seconds
    assert backward.seconds < 0.2


def test_results_are_those_without_the_profiler(recorder):
    x = np.random.default_rng(0).normal(size=(4, 8)).astype(np.float32)
    for name in engine.ENGINES:
        if name == "torch":
            continue
        plain = run_on_tape(ops.gelu, engine.get(name), x)
        timed = run_on_tape(ops.gelu, recorder.engine(engine.get(name)), x)
        assert all(map(np.array_equal, plain, timed))


def test_operations_belong_to_the_module_that_runs_forward(recorder):
    runs_on = recorder.engine(engine.get("reference"))

    def step():
        tape = Tape(runs_on)
        x = tape.variable(np.ones((2, 3)))
        with recorder.module("feed_forward", 1):
            y = ops.gelu(x)
            with recorder.module("norm", 1):
                y = ops.relu(y)
        y = ops.add(y, y)
        tape.backward(y, np.ones((2, 3)))

    keys = set(recorder.time(step).tallies)
    assert {(key.op, key.phase, key.module, key.layer) for key in keys} == {
        ("gelu", "forward", "feed_forward", 1),
        ("gelu", "backward", "feed_forward", 1),
        ("relu", "forward", "norm", 1),
        ("relu", "backward", "norm", 1),
        ("add", "forward", "residual", None),
        ("add", "backward", "residual", None),
    }


def test_an_operation_inside_another_one_counts_once(recorder):
    runs_on = recorder.engine(engine.get("reference"))
    inner = SlowOp(0.3, "inner")

    @dataclass
    class Outer(SlowOp):
        name: str = "outer"

        @property
        def readable(self):
            def forward(x):
                time.sleep(0.01)
                return runs_on.implementation(inner).forward(x)

            return Pair(forward, lambda saved, dy: (dy,))

    run = recorder.time(lambda: runs_on.implementation(Outer()).forward(np.ones(2)))
    seconds = {key.op: tally.seconds for key, tally in run.tallies.items()}
    assert seconds["inner"] >= 0.3
    assert 0.01 <= seconds["outer"] < 0.3
    assert sum(seconds.values()) <= run.seconds


def test_threads_at_the_same_time_share_the_clock():
    recorder = Recorder(threads=2)
    runs_on = recorder.engine(engine.get("reference"))
    with ThreadTeam(2) as team:
        work = [lambda: runs_on.implementation(SlowOp(0.05)).forward(np.ones(2))] * 2
        run = recorder.time(lambda: team.run(work))
    (tally,) = run.tallies.values()
    assert tally.calls == 2
    assert 0.05 <= tally.seconds <= run.seconds


def test_work_is_counted_and_memory_that_is_kept():
    x = np.ones((4, 8), np.float32)
    weight = np.ones((3, 8), np.float32)
    recorder = Recorder(threads=1, parameters=weight)
    runs_on = recorder.engine(engine.get("reference"))

    def step():
        tape = Tape(runs_on)
        a, w = tape.variable(x), tape.variable(weight)
        y = ops.gelu(ops.linear(a, w))
        tape.backward(y, np.ones((4, 3), np.float32))

    counts = {(key.op, key.phase): tally for key, tally in recorder.count(step).items()}
    assert counts["linear", "forward"].flops == 2 * 4 * 8 * 3
    assert counts["linear", "backward"].flops == 4 * 4 * 8 * 3
    assert counts["linear", "forward"].kept == x.nbytes  # and not the weight
    assert counts["linear", "forward"].allocated == 4 * 3 * 4
    assert counts["gelu", "forward"].kept == 4 * 3 * 4


def test_what_forward_has_saved_as_gradients_was_its_own_work():
    """The fast head computes both gradients while it has the logits."""
    pytest.importorskip("numba")
    recorder = Recorder(threads=1, parameters=np.zeros(1))
    runs_on = recorder.engine(engine.get("fast"))

    def step():
        tape = Tape(runs_on)
        x, w = tape.variable(np.ones((4, 8), np.float32)), tape.variable(np.ones((5, 8), np.float32))
        tape.backward(ops.linear_cross_entropy(x, w, targets=np.zeros(4, int)))

    counts = {(key.op, key.phase): tally for key, tally in recorder.count(step).items()}
    product = 2 * 4 * 8 * 5
    assert counts["linear_cross_entropy", "forward"].flops == 3 * product + 7 * 20
    assert counts["linear_cross_entropy", "backward"].flops == 0


def test_inference_is_timed_too(recorder):
    with engine.use(recorder.engine(engine.get("reference"))):
        counts = recorder.count(lambda: ops.linear(np.ones((2, 3)), np.ones((4, 3))))
        run = recorder.time(lambda: ops.cross_entropy(np.ones((2, 3)), targets=np.array([0, 1])))
    assert counts[Key("linear", "forward", "head", None)].flops == 2 * 2 * 3 * 4
    assert run.tallies[Key("cross_entropy", "forward", "head", None)].calls == 1


def test_flat_functions_are_timed(recorder):
    with engine.use(recorder.engine(engine.get("reference"))):
        assert flat.squared_norm(np.ones(10)) == 10
        counts = recorder.count(lambda: flat.squared_norm(np.ones(10)))
        run = recorder.time(lambda: flat.squared_norm(np.ones(10)))
    key = Key("squared_norm", "update", "optimizer", None)
    assert counts[key].flops == 20
    assert run.tallies[key].calls == 1


def test_a_part_timed_as_a_whole_hides_what_is_inside(recorder):
    key = Key("adamw", "update", "optimizer", None)

    def update():
        return flat.squared_norm(np.ones(10))

    timed = recorder.timed(key, update, lambda: Work(5.0, 7.0))
    with engine.use(recorder.engine(engine.get("reference"))):
        run, counts = recorder.time(timed), recorder.count(timed)
    assert list(run.tallies) == [key]
    assert {k: (t.flops, t.nbytes) for k, t in counts.items()} == {key: (5.0, 7.0)}


def test_a_phase_of_the_workload_replaces_forward(recorder):
    recorder.phase = "prefill"
    with engine.use(recorder.engine(engine.get("reference"))):
        run = recorder.time(lambda: ops.gelu(np.ones(3)))
    assert [key.phase for key in run.tallies] == ["prefill"]
