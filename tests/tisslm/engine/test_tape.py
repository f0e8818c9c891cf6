"""The tape: gradients add up, land where they should, and what is spent is freed."""

from __future__ import annotations

import weakref

import numpy as np
import pytest

from quanta_tissu.tisslm import engine, ops
from quanta_tissu.tisslm.engine import Tape
from quanta_tissu.tisslm.engine import tape as tape_module
from quanta_tissu.tisslm.engine.engines import Engine
from quanta_tissu.tisslm.ops.op import Pair


@pytest.fixture(autouse=True, params=["reference", "fast"])
def each_engine(request):
    with engine.use(request.param):
        yield


def number(value: float) -> np.ndarray:
    return np.array(value)


def test_micrograds_published_example():
    """Its README's expression: g = 24.7041, dg/da = 138.8338, dg/db = 645.5773."""
    tape = Tape()
    a, b = tape.variable(number(-4.0)), tape.variable(number(2.0))

    def times(x, factor):
        return ops.multiply(x, number(factor))

    c = ops.add(ops.add(times(a, 3.0), times(b, 4.0)), number(3.0))
    d = times(ops.add(ops.multiply(a, b), ops.power(b, exponent=3)), 12.0)
    d = ops.add(d, times(ops.relu(ops.add(a, b)), 4.0))
    d = ops.add(d, ops.relu(ops.add(b, times(a, -1.0))))
    f = ops.power(ops.add(c, times(d, -1.0)), exponent=2)
    g = ops.add(times(f, 0.5), times(ops.power(f, exponent=-1), 10.0))
    tape.backward(g)

    assert [round(float(x), 4) for x in (g.value, a.grad, b.grad)] == [24.7041, 138.8338, 645.5773]


def test_a_variable_used_twice_receives_both_gradients():
    tape = Tape()
    x = tape.variable(np.array([1.0, 2.0, 3.0]))
    tape.backward(ops.multiply(x, x))
    np.testing.assert_array_equal(x.grad, [2.0, 4.0, 6.0])


def test_one_op_may_receive_a_variable_twice_and_reuse_its_gradient():
    """An addition hands the same array to both inputs; adding it up in place would corrupt it."""
    tape = Tape()
    x = tape.variable(np.array([1.0, 2.0]))
    doubled = ops.add(x, x)
    tape.backward(ops.add(doubled, ops.add(x, doubled)))
    np.testing.assert_array_equal(x.grad, [5.0, 5.0])


def test_a_receiver_gets_the_gradient_of_every_use_and_nothing_adds_up_on_the_variable():
    tape, received = Tape(), []
    x = tape.variable(np.array([2.0, -1.0]), receive=lambda d, fresh: received.append((d.copy(), fresh)))
    tape.backward(ops.add(ops.multiply(x, np.array([1.0, 5.0])), x))
    assert x.grad is None
    assert [d.tolist() for d, _ in received] == [[1, 1], [1, 5]]


def test_an_array_that_someone_else_has_is_not_fresh():
    """An addition hands its own gradient on, and a reshape a view of it; a product makes a new array."""
    tape, fresh = Tape(), {}
    names = ("added", "reshaped", "multiplied")
    added, reshaped, multiplied = (
        tape.variable(np.ones((2, 1)), receive=lambda d, new, name=name: fresh.update({name: new}))
        for name in names
    )
    product = ops.multiply(multiplied, np.ones((2, 1)))
    flat = ops.reshape(reshaped, shape=(2,))
    tape.backward(ops.add(ops.add(added, product), ops.reshape(flat, shape=(2, 1))))
    assert fresh == {"added": False, "reshaped": False, "multiplied": True}


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 1, 0), (1, 2, 0)])
def test_adding_up_in_place_changes_no_array_that_someone_else_has(order):
    """The gradient of the sum is handed to x, and must be whole when it is handed to y."""
    tape = Tape()
    x, y = tape.variable(np.array([1.0, 2.0])), tape.variable(np.array([3.0, 4.0]))
    uses = [
        lambda: ops.add(x, y),
        lambda: ops.multiply(x, np.array([10.0, 100.0])),
        lambda: ops.multiply(x, np.array([0.5, 0.25])),
    ]
    terms = [uses[i]() for i in order]
    tape.backward(ops.add(ops.add(terms[0], terms[1]), terms[2]))
    np.testing.assert_array_equal(x.grad, [11.5, 101.25])
    np.testing.assert_array_equal(y.grad, [1.0, 1.0])


def test_the_gradient_of_a_table_adds_to_others():
    tape = Tape()
    table = tape.variable(np.zeros((3, 2)))
    rows = ops.embedding(table, ids=np.array([2, 0, 2]))
    tape.backward(ops.add(ops.linear(rows, np.ones((1, 2))), ops.linear(np.ones((1, 2)), table)))
    assert table.grad.shape == (3, 2)


def test_values_that_no_backward_pass_reads_are_freed_at_once():
    tape = Tape()
    x = tape.variable(np.ones(3))
    middle = ops.add(x, x)
    watched = weakref.ref(middle.value)
    end = ops.add(middle, middle)
    del middle
    assert watched() is None
    tape.backward(end)
    np.testing.assert_array_equal(x.grad, [4.0, 4.0, 4.0])


def test_backward_may_start_with_any_gradient():
    tape = Tape()
    x = tape.variable(np.array([1.0, 2.0]))
    tape.backward(ops.multiply(x, np.array([10.0, 100.0])), np.array([0.5, 2.0]))
    np.testing.assert_array_equal(x.grad, [5.0, 200.0])


def test_inputs_that_are_not_variables_are_constants():
    tape = Tape()
    x, constant = tape.variable(np.array([[1.0, 2.0]])), np.array([[3.0, 4.0]])
    y = ops.linear(x, constant, None)
    tape.backward(y)
    assert y.tape is tape
    np.testing.assert_array_equal(x.grad, constant)


def test_ops_on_arrays_alone_record_nothing():
    result = ops.add(np.array([1.0]), np.array([2.0]))
    assert isinstance(result, np.ndarray)


def test_outputs_that_nobody_used_count_as_zero():
    tape = Tape()
    x = tape.variable(np.arange(6.0).reshape(2, 3))
    first, _, _ = ops.split(x, sizes=(1, 1, 1))
    tape.backward(first)
    np.testing.assert_array_equal(x.grad, [[1, 0, 0], [1, 0, 0]])


def test_branches_that_do_not_reach_the_loss_cost_and_change_nothing():
    tape = Tape()
    x = tape.variable(np.array([0.5]))
    ops.power(x, exponent=-1)  # recorded, never used
    tape.backward(ops.multiply(x, np.array([3.0])))
    np.testing.assert_array_equal(x.grad, [3.0])


def test_a_variable_without_effect_has_no_gradient():
    tape = Tape()
    x, y = tape.variable(np.array([1.0])), tape.variable(np.array([1.0]))
    tape.backward(ops.tanh(x))
    assert y.grad is None


class Saved:
    """Something a forward saves, that can be watched as it disappears."""


def test_what_was_saved_is_freed_while_the_walk_goes_on():
    """When an op's backward runs, what later ops saved is gone already."""
    watched: list[weakref.ref] = []
    alive_at_backward: list[int] = []

    def forward(x):
        saved = Saved()
        watched.append(weakref.ref(saved))
        return x.copy(), saved

    def backward(saved, dy):
        alive_at_backward.append(sum(ref() is not None for ref in watched))
        return (dy,)

    class Watched:
        name = "watched"
        cheap = False
        readable = Pair(forward, backward)

        def fast_twin(self):
            return None

    tape = Tape()
    x = tape.variable(np.array([1.0]))
    y = x
    for _ in range(4):
        y = tape.apply(Watched(), (y,), {})
    tape.backward(y)
    assert alive_at_backward == [4, 3, 2, 1]
    assert all(ref() is None for ref in watched)


def test_intermediate_gradients_are_freed():
    tape = Tape()
    x = tape.variable(np.array([1.0, 2.0]))
    middle = ops.tanh(x)
    end = ops.multiply(middle, middle)
    tape.backward(end)
    assert middle.grad is None
    assert end.grad is None
    assert x.grad is not None


def test_a_tape_is_spent_after_one_walk():
    tape = Tape()
    x = tape.variable(np.array([3.0]))
    y = ops.multiply(x, x)
    tape.backward(y)
    first = x.grad.copy()
    tape.backward(y)
    np.testing.assert_array_equal(x.grad, first)


def test_a_variable_knows_its_shape_and_type():
    variable = Tape().variable(np.zeros((2, 3), np.float32))
    assert variable.shape == (2, 3)
    assert variable.dtype == np.float32


def test_a_tape_keeps_the_engine_it_was_made_with():
    used: list[str] = []

    class Spy(Engine):
        def implementation(self, op):
            used.append(op.name)
            return super().implementation(op)

    tape = Tape(Spy("reference"))
    with engine.use("reference"):
        ops.tanh(tape.variable(np.array([1.0])))
    assert used == ["tanh"]


def expression(tape, run):
    """A gradient that flows through a function twice, past it, and into a variable from its surroundings."""
    x, weight = tape.variable(np.array([0.3, -0.7])), tape.variable(np.array([1.1, 0.4]))

    def function(x):
        return ops.add(ops.tanh(ops.multiply(x, weight)), ops.multiply(weight, weight))

    y = run(function, run(function, ops.multiply(x, weight)))
    tape.backward(ops.add(ops.multiply(y, weight), x))
    return y.value, x.grad, weight.grad


def test_a_checkpointed_function_has_the_same_value_and_gradients():
    recorded, checkpointed = Tape(), Tape()
    expected = expression(recorded, lambda function, x: function(x))
    found = expression(checkpointed, checkpointed.checkpoint)
    nested = Tape()
    found_nested = expression(nested, lambda f, x: nested.checkpoint(lambda x: nested.checkpoint(f, x), x))
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(found_nested, expected)


def test_gradients_of_a_checkpointed_function_are_received():
    total = np.zeros(2)

    def receive(d, fresh):
        total[...] += d

    for value in (0.5, 2.0):
        tape = Tape()
        weight = tape.variable(np.array([1.0, 3.0]), receive=receive)
        x = tape.variable(np.full(2, value))
        tape.backward(tape.checkpoint(lambda x, weight=weight: ops.multiply(x, weight), x))
    np.testing.assert_array_equal(total, [2.5, 2.5])


def test_a_checkpointed_function_that_changes_nothing_passes_the_gradient_on():
    tape = Tape()
    x = tape.variable(np.array([1.0, 2.0]))
    tape.backward(ops.multiply(tape.checkpoint(lambda x: x, x), np.array([3.0, 4.0])))
    np.testing.assert_array_equal(x.grad, [3.0, 4.0])


def test_a_checkpointed_function_that_does_not_reach_the_loss_does_not_run_again():
    tape, calls = Tape(), []
    x = tape.variable(np.array([1.0]))
    tape.checkpoint(lambda x: (calls.append(1), ops.tanh(x))[1], x)
    tape.backward(ops.multiply(x, np.array([2.0])))
    assert calls == [1]
    np.testing.assert_array_equal(x.grad, [2.0])


def test_an_error_in_a_checkpointed_function_leaves_the_tape_recording():
    tape = Tape()
    x = tape.variable(np.array([[1.0, 2.0]]))
    with pytest.raises(ValueError, match="cannot split"):
        tape.checkpoint(lambda x: ops.split(x, sizes=(1, 2))[0], x)
    tape.backward(ops.multiply(x, x))
    np.testing.assert_array_equal(x.grad, [[2.0, 4.0]])


def test_a_checkpoint_keeps_nothing_and_its_second_run_is_freed_too():
    """Of what functions saved, only that of the one being walked through is there, and in the end nothing."""
    saved: list[weakref.ref] = []
    alive_at_backward: list[int] = []

    def forward(x):
        saved.append(weakref.ref(mark := Saved()))
        return x.copy(), mark

    def backward(mark, dy):
        alive_at_backward.append(sum(ref() is not None for ref in saved))
        return (dy,)

    class Watched:
        name = "watched"
        cheap = False
        readable = Pair(forward, backward)

        def fast_twin(self):
            return None

    tape = Tape()
    y = tape.variable(np.array([1.0]))
    for _ in range(3):
        y = tape.checkpoint(lambda x: tape.apply(Watched(), (tape.apply(Watched(), (x,), {}),), {}), y)
    assert all(ref() is None for ref in saved)
    tape.backward(y)
    assert alive_at_backward == [2, 1] * 3
    assert all(ref() is None for ref in saved)


class TestCheapResults:
    """Large results of cheap ops are made again for the backward pass of who read them."""

    WIDE = 1 << 17  # float64: a result of exactly the size from which on it counts as large

    @staticmethod
    def hidden_layer(tape, width):
        """Whether a hidden layer's values outlive the forward pass, and the gradients of its input and weight."""
        x = tape.variable(np.linspace(-2, 2, width)[None])
        weight = tape.variable(np.linspace(1, 3, width)[None])
        hidden = ops.gelu(x)
        value = weakref.ref(hidden.value)
        y = ops.linear(hidden, weight)
        del hidden
        alive = value() is not None
        tape.backward(y)
        return alive, x.grad, weight.grad

    def test_they_are_not_kept(self):
        assert not self.hidden_layer(Tape(), self.WIDE)[0]

    def test_small_ones_are_kept(self):
        assert self.hidden_layer(Tape(), self.WIDE - 1)[0]

    def test_gradients_are_the_same_bits(self, monkeypatch):
        _, *found = self.hidden_layer(Tape(), self.WIDE)
        monkeypatch.setattr(tape_module, "LARGE", np.inf)
        kept, *expected = self.hidden_layer(Tape(), self.WIDE)
        assert kept
        np.testing.assert_array_equal(found, expected)

    def test_a_result_that_several_ops_read_is_made_for_each(self):
        tape = Tape()
        x = tape.variable(np.linspace(-2, 2, self.WIDE)[None])
        weight = np.linspace(1, 3, self.WIDE)[None]
        hidden = ops.relu(x)
        tape.backward(ops.add(ops.linear(hidden, weight), ops.linear(ops.multiply(hidden, hidden), weight)))
        positive = np.maximum(x.value, 0)
        np.testing.assert_allclose(x.grad, (x.value > 0) * weight * (1 + 2 * positive))

    @staticmethod
    def normed_sum(tape, width):
        """Whether the norm of a sum outlives the forward pass, and the gradients of all that it was made of."""
        inputs = [tape.variable(np.linspace(low, 2, width)[None]) for low in (-2, 1)]
        norm = tape.variable(np.linspace(1, 2, width))
        weight = tape.variable(np.linspace(1, 3, width)[None])
        total, normed = ops.add_rms_norm(*inputs, norm, eps=1e-5)
        value = weakref.ref(normed.value)
        y = ops.add(ops.linear(normed, weight), ops.linear(total, weight))
        del total, normed
        alive = value() is not None
        tape.backward(y)
        return alive, *(x.grad for x in (*inputs, norm, weight))

    def test_the_last_of_several_results_is_made_from_what_its_op_saved(self, monkeypatch):
        alive, *found = self.normed_sum(Tape(), self.WIDE)
        monkeypatch.setattr(tape_module, "LARGE", np.inf)
        kept, *expected = self.normed_sum(Tape(), self.WIDE)
        assert (alive, kept) == (False, True)
        for gradient, one in zip(found, expected, strict=True):
            np.testing.assert_array_equal(gradient, one)

    def test_what_a_checkpoint_runs_again_makes_them_too(self):
        _, *expected = self.hidden_layer(Tape(), self.WIDE)
        tape = Tape()
        x = tape.variable(np.linspace(-2, 2, self.WIDE)[None])
        weight = tape.variable(np.linspace(1, 3, self.WIDE)[None])
        tape.backward(tape.checkpoint(lambda x: ops.linear(ops.gelu(x), weight), x))
        np.testing.assert_array_equal([x.grad, weight.grad], expected)


class TestALossThatDifferentiatesItself:
    """A tape that knows the gradient of the loss lets the last op make both passes at once, where it can."""

    @staticmethod
    def gradients(tape):
        rng = np.random.default_rng(0)
        x, weight = tape.variable(rng.normal(size=(6, 4))), tape.variable(rng.normal(size=(5, 4)))
        loss = ops.linear_cross_entropy(ops.tanh(x), weight, targets=np.arange(6) % 5)
        tape.backward(loss)
        return float(loss.value), x.grad, weight.grad

    @pytest.mark.parametrize("d_loss", [1.0, 1024.0])
    def test_the_gradients_are_the_same(self, d_loss):
        loss, dx, dweight = self.gradients(Tape())
        found = self.gradients(Tape(d_loss=d_loss))
        assert found[0] == loss
        np.testing.assert_allclose(found[1], d_loss * dx, rtol=1e-12)
        np.testing.assert_allclose(found[2], d_loss * dweight, rtol=1e-12)

    def test_constants_among_the_inputs_receive_nothing(self):
        tape = Tape(d_loss=1.0)
        x = tape.variable(np.ones((2, 3)))
        tape.backward(ops.linear_cross_entropy(x, np.ones((4, 3)), targets=np.array([0, 3])))
        np.testing.assert_allclose(x.grad, 0, atol=1e-15)

    def test_other_ops_start_with_it_in_their_backward_pass(self):
        tape = Tape(d_loss=5.0)
        x = tape.variable(np.array([2.0]))
        tape.backward(ops.multiply(x, np.array([3.0])))
        np.testing.assert_array_equal(x.grad, [15.0])
