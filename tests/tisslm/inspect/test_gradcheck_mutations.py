"""Gradients broken on purpose, in every way a term can be wrong: the harness catches each of them."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import warnings
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from quanta_tissu.tisslm import ops
from quanta_tissu.tisslm.engine.gradient import dense
from quanta_tissu.tisslm.engine.tape import Slot
from quanta_tissu.tisslm.inspect import gradcheck_models, gradcheck_ops
from quanta_tissu.tisslm.inspect.differences import Derivative
from quanta_tissu.tisslm.inspect.gradcheck_models import check_model
from quanta_tissu.tisslm.inspect.gradcheck_ops import check_op
from quanta_tissu.tisslm.model import feed_forward
from quanta_tissu.tisslm.ops import REGISTRY
from quanta_tissu.tisslm.ops.op import Op, Pair

NAMES = sorted(REGISTRY)
WITH_TWIN = [name for name in NAMES if REGISTRY[name].fast_twin() is not None]
FAST_CHECKS = {"fast = reference, float64", "fast = reference, float32"}


@pytest.fixture(scope="module", autouse=True)
def numerical_gradients_once():
    """Differences depend on forward and sample alone, so one computation serves all that is done to backward."""
    original = gradcheck_ops.numerical_gradients
    known: dict[tuple[object, str], object] = {}

    def remembered(op, sample, d_outputs):
        key = op.readable.forward, sample.label
        if key not in known:
            known[key] = original(op, sample, d_outputs)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gradcheck_ops, "numerical_gradients", remembered)
        yield


def failing(op: Op, *, fast: Pair | None = None) -> set[str]:
    """Names of the checks that do not pass."""
    return {check.check for check in check_op(op, fast=fast) if not check.passed}


def catches(wanted: set[str], op: Op, *, fast: Pair | None = None) -> bool:
    """Whether all the wanted checks fail on some sample; stops as soon as they have."""
    missing = set(wanted)
    for check in check_op(op, fast=fast):
        if not check.passed:
            missing.discard(check.check)
        if not missing:
            return True
    return False


# Mutations of what an op returns, applied to one gradient: name -> what is done to the array.
def scaled(d):
    return d * d.dtype.type(1.001)


def negated(d):
    return -d


def zeroed(d):
    return np.zeros_like(d)


def shifted_by_one_part_in_a_thousand(d):
    return d + d.dtype.type(1e-3) * np.abs(d).max()


def largest_element_wrong(d):
    wrong = d.copy()
    wrong.flat[np.abs(d).argmax()] *= d.dtype.type(1.001)
    return wrong


def small_element_wrong(d):
    """One element, a hundredth of the largest or the smallest above that, is missing."""
    wrong, size = d.copy(), np.abs(d)
    size[size < 1e-2 * size.max()] = np.inf
    wrong.flat[size.argmin()] = 0
    return wrong


RETURNED = [scaled, negated, zeroed, shifted_by_one_part_in_a_thousand, largest_element_wrong, small_element_wrong]


def breaking(pair: Pair, position: int, mutation: Callable) -> Pair:
    """The pair with one gradient changed."""

    def backward(saved, *d_outputs):
        gradients = [None if d is None else dense(d) for d in pair.backward(saved, *d_outputs)]
        if gradients[position] is not None and gradients[position].any():
            gradients[position] = mutation(gradients[position])
        return tuple(gradients)

    return Pair(pair.forward, backward)


def number_of_inputs(name: str) -> int:
    return len(next(REGISTRY[name].samples(np.random.default_rng(0))).inputs)


EVERY_GRADIENT = [(name, position) for name in NAMES for position in range(number_of_inputs(name))]


class TestMutationsOfResults:
    """Every gradient of every op, made wrong by a thousandth and more."""

    @pytest.mark.parametrize("mutation", RETURNED, ids=lambda f: f.__name__)
    @pytest.mark.parametrize(("name", "position"), EVERY_GRADIENT)
    def test_a_wrong_gradient_is_caught_by_central_differences(self, name, position, mutation):
        op = REGISTRY[name]
        broken = dataclasses.replace(op, readable=breaking(op.readable, position, mutation))
        assert catches({"central differences"}, broken)

    @pytest.mark.parametrize("mutation", RETURNED, ids=lambda f: f.__name__)
    @pytest.mark.parametrize(("name", "position"), [(n, p) for n, p in EVERY_GRADIENT if n in WITH_TWIN])
    def test_a_wrong_gradient_of_a_fast_twin_is_caught(self, name, position, mutation):
        op = REGISTRY[name]
        assert catches(FAST_CHECKS, op, fast=breaking(op.fast_twin(), position, mutation))

    @pytest.mark.parametrize("name", WITH_TWIN)
    def test_a_wrong_value_of_a_fast_twin_is_caught(self, name):
        op, twin = REGISTRY[name], REGISTRY[name].fast_twin()

        def forward(*inputs, **attributes):
            y, saved = twin.forward(*inputs, **attributes)
            return largest_element_wrong(y), saved

        assert catches(FAST_CHECKS, op, fast=Pair(forward, twin.backward))

    @pytest.mark.torch
    @pytest.mark.parametrize("name", ["linear", "attention", "rope"])
    def test_a_wrong_torch_twin_is_caught(self, name, torch):
        op = REGISTRY[name]

        def twin(*inputs, **attributes):
            return op.torch_twin(*inputs, **attributes) * 1.001

        assert failing(dataclasses.replace(op, torch_twin=twin)) == {"torch = reference"}


class TestMutationsOfContracts:
    """Mistakes that leave the numbers right."""

    op = REGISTRY["multiply"]

    def broken(self, forward=None, backward=None) -> Op:
        pair = Pair(forward or self.op.readable.forward, backward or self.op.readable.backward)
        return dataclasses.replace(self.op, readable=pair)

    def test_double_precision_by_accident(self):
        def backward(saved, dz):
            x, y = saved
            return dz * y.astype(np.float64), dz * x.astype(np.float64)

        op = dataclasses.replace(self.op, samples=lambda rng: [next(REGISTRY["multiply"].samples(rng))])
        op = dataclasses.replace(op, readable=Pair(op.readable.forward, backward))
        assert "contract" in failing(op)

    def test_precision_lost_on_the_way(self):
        def forward(x, y):
            rounded = x.astype(np.float16) if x.dtype == np.float32 else x
            return np.asarray(rounded * y).astype(x.dtype), (x, y)

        assert failing(self.broken(forward=forward)) == {"float32"}

    @pytest.mark.parametrize(
        "value",
        [
            lambda x, y: x * y * (1 + 1e-5),
            lambda x, y: (x * y).astype(np.float64),
            lambda x, y: np.multiply(x, y, out=x) if x.shape == np.broadcast(x, y).shape else x * y,
        ],
        ids=["other numbers", "double precision", "writes into its input"],
    )
    def test_a_value_that_is_not_what_forward_gives(self, value):
        pair = dataclasses.replace(self.op.readable, value=value)
        found = failing(dataclasses.replace(self.op, readable=pair))
        assert found <= {"value, float64", "value, float32"}
        assert found

    @pytest.mark.parametrize(
        "change", [lambda n: n * np.float32(1 + 1e-6), lambda n: n.astype(np.float64)], ids=["bits", "precision"]
    )
    def test_a_result_made_again_that_is_not_what_forward_gave(self, change):
        pair = REGISTRY["add_rms_norm"].readable
        broken = dataclasses.replace(pair, again=lambda saved: change(pair.again(saved)))
        assert failing(dataclasses.replace(REGISTRY["add_rms_norm"], readable=broken)) == {"again"}

    def test_a_missing_gradient(self):
        def backward(saved, dz):
            return self.op.readable.backward(saved, dz)[0], None

        assert {"central differences", "contract"} <= failing(self.broken(backward=backward))

    def test_one_gradient_too_few(self):
        def backward(saved, dz):
            return self.op.readable.backward(saved, dz)[:1]

        assert {"central differences", "contract"} <= failing(self.broken(backward=backward))

    def test_writing_into_an_input(self):
        def forward(x, y):
            z, _ = self.op.readable.forward(x, y)
            saved = (x.copy(), y.copy())
            x *= 0
            return z, saved

        assert "contract" in failing(self.broken(forward=forward))

    def test_writing_into_the_gradient_of_the_output(self):
        def backward(saved, dz):
            result = self.op.readable.backward(saved, dz.copy())
            dz *= 0
            return result

        assert "contract" in failing(self.broken(backward=backward))

    def test_writing_into_the_output_while_going_back(self):
        def forward(x, y):
            z, saved = self.op.readable.forward(x, y)
            return z, (saved, z)

        def backward(saved, dz):
            result = self.op.readable.backward(saved[0], dz)
            saved[1][...] = 0
            return result

        assert "contract" in failing(self.broken(forward, backward))

    def test_a_scalar_instead_of_an_array(self):
        def forward(x, y):
            z, saved = self.op.readable.forward(x, y)
            return z[()], saved

        def only_scalars(rng):
            x, y = (np.asarray(rng.normal()) for _ in range(2))
            return [ops.Sample("scalars", (x, y))]

        op = dataclasses.replace(self.broken(forward=forward), samples=only_scalars)
        assert "contract" in failing(op)

    def test_reading_memory_instead_of_the_array(self):
        def backward(saved, dz):
            x, y = saved
            flat = np.lib.stride_tricks.as_strided(dz, dz.shape, _contiguous_strides(dz))
            return self.op.readable.backward((x, y), flat)

        assert failing(self.broken(backward=backward)) == {"non-contiguous input"}

    def test_an_exception_is_a_failed_check_and_the_walk_goes_on(self):
        def backward(saved, dz):
            raise ZeroDivisionError("oh")

        checks = list(check_op(self.broken(backward=backward), fast=None))
        details = {check.detail for check in checks if not check.passed}
        assert "ZeroDivisionError: oh" in details
        assert len({check.sample for check in checks}) == 3

    def test_a_forward_that_fails_is_a_failed_check_too(self):
        def forward(x, y):
            raise FloatingPointError("oh")

        checks = list(check_op(self.broken(forward=forward), fast=None))
        assert [check.detail for check in checks] == ["FloatingPointError: oh"] * 3
        assert not any(check.passed for check in checks)


def _contiguous_strides(x: np.ndarray) -> tuple[int, ...]:
    return tuple(x.itemsize * int(np.prod(x.shape[i + 1 :])) for i in range(x.ndim))


class Mutate(ast.NodeTransformer):
    """Change the arithmetic of one node of a function: the `target`-th change that is possible."""

    def __init__(self, target: int) -> None:
        self.target, self.count, self.change = target, 0, ""

    def choose(self, node: ast.AST, changes: list[tuple[str, ast.AST | None]]) -> ast.AST | None:
        for name, changed in changes:
            if self.count == self.target:
                self.change = f"line {node.lineno}: {ast.unparse(node)}: {name}"
                node = changed
            self.count += 1
        return node

    def visit_BinOp(self, node):
        self.generic_visit(node)
        left, right = node.left, node.right
        if isinstance(node.op, ast.Add | ast.Sub):
            other = ast.Sub() if isinstance(node.op, ast.Add) else ast.Add()
            changes = [("flip the sign", ast.BinOp(left, other, right)), ("drop the right term", left)]
            changes.append(("drop the left term", ast.BinOp(ast.Constant(0), node.op, right)))
        else:
            changes = [("scale by 1.001", ast.BinOp(node, ast.Mult(), ast.Constant(1.001)))]
            if isinstance(node.op, ast.Mult):
                changes += [("drop the right factor", left), ("drop the left factor", right)]
        return self.choose(node, changes)

    def visit_AugAssign(self, node):
        self.generic_visit(node)
        changes: list[tuple[str, ast.AST | None]] = [("drop it", ast.Pass())]
        if isinstance(node.op, ast.Add | ast.Sub):
            other = ast.Sub() if isinstance(node.op, ast.Add) else ast.Add()
            changes.append(("flip the sign", ast.AugAssign(node.target, other, node.value)))
        scaled_value = ast.BinOp(node.value, ast.Mult(), ast.Constant(1.001))
        changes.append(("scale by 1.001", ast.AugAssign(node.target, node.op, scaled_value)))
        return self.choose(node, changes)

    def visit_UnaryOp(self, node):
        self.generic_visit(node)
        if isinstance(node.op, ast.USub) and not isinstance(node.operand, ast.Constant):
            return self.choose(node, [("drop the sign", node.operand)])
        return node


def mutants_of_source(name: str) -> Iterator[tuple[str, Callable]]:
    """All versions of an op's backward with one arithmetic operation changed."""
    module = importlib.import_module(f"quanta_tissu.tisslm.ops.{name}")
    source = inspect.getsource(inspect.unwrap(module.backward))
    for target in range(1000):
        tree = ast.parse(source)
        [function] = tree.body
        function.decorator_list, function.returns = [], None
        for argument in (*function.args.args, *([function.args.vararg] if function.args.vararg else [])):
            argument.annotation = None
        mutate = Mutate(target)
        mutate.visit(tree)
        if not mutate.change:
            return
        namespace = dict(vars(module))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # a mutant may be nonsense, which is caught
            code = compile(ast.fix_missing_locations(tree), f"<mutant of {name}>", "exec")
        exec(code, namespace)
        yield mutate.change, namespace["backward"]


# Backwards that move elements and do no arithmetic, so that there is none to break.
WITHOUT_ARITHMETIC = {"add", "embedding", "reshape", "split"}


class TestMutationsOfSource:
    """Every arithmetic operation in every backward, dropped, flipped or scaled by a thousandth."""

    @pytest.mark.parametrize("name", sorted(set(NAMES) - WITHOUT_ARITHMETIC))
    def test_no_wrong_term_survives(self, name):
        op, survivors, count = REGISTRY[name], [], 0
        for change, backward in mutants_of_source(name):
            count += 1
            broken = dataclasses.replace(op, readable=Pair(op.readable.forward, backward))
            with np.errstate(all="ignore"):
                caught = catches({"central differences"}, broken)
            if not caught:
                survivors.append(change)
        assert survivors == []
        assert count >= 1

    def test_there_is_no_arithmetic_where_none_is_expected(self):
        for name in WITHOUT_ARITHMETIC:
            assert list(mutants_of_source(name)) == []

    def test_there_are_many(self):
        assert sum(1 for name in NAMES for _ in mutants_of_source(name)) > 100


VARIANT = {"norm": "layer_norm", "positions": "rotary", "n_kv_heads": 2, "bias": True, "feed_forward": "swiglu"}
USED = [
    "embedding",
    "layer_norm",
    "linear",
    "split",
    "reshape",
    "rope",
    "attention",
    "swiglu",
    "add",
    "linear_cross_entropy",
]


class TestMutationsOfModels:
    @pytest.mark.parametrize("name", USED)
    def test_a_wrong_op_makes_whole_models_wrong(self, name, monkeypatch):
        op = REGISTRY[name]
        broken = dataclasses.replace(op, readable=breaking(op.readable, 0, scaled))
        monkeypatch.setattr(ops, name, broken)
        if name in feed_forward.ACTIVATIONS:
            monkeypatch.setitem(feed_forward.ACTIVATIONS, name, broken)
        found = {check.check for check in check_model(VARIANT, thorough=False) if not check.passed}
        assert "central differences" in found

    def test_a_tape_that_forgets_to_add_up_is_caught(self, monkeypatch):
        def overwrite(slot, d, *, fresh=False):
            slot.gradient = dense(d)

        monkeypatch.setattr(Slot, "accumulate", overwrite)
        failed = [check.check for check in check_model(VARIANT, thorough=False) if not check.passed]
        assert "central differences" in failed

    def test_every_parameter_tensor_is_looked_at(self):
        """Its gradient off by a thousandth, alone, fails both kinds of differences."""
        subject = gradcheck_models.Subject(VARIANT, 1)
        gradient, _ = subject.gradient("reference")
        scale = max(np.abs(d).max() for d in gradient.values())
        for name, d in gradient.items():
            assert np.abs(d).max() > 1e-3 * scale
            broken = {**gradient, name: d * 1.001}
            assert subject.error_by_tensor(broken, [name]) > 1e-4
            assert subject.error_by_tensor(gradient, [name]) < 1e-7
            assert subject.error_along_one_direction(broken) > 1e-6

    def test_a_single_wrong_element_is_caught(self):
        subject = gradcheck_models.Subject(VARIANT, 1)
        gradient, _ = subject.gradient("reference")
        for name, d in gradient.items():
            wrong = d.copy()
            wrong.flat[np.abs(d).argmax()] *= 1.001
            broken = {**gradient, name: wrong}
            assert subject.error_by_tensor(broken, [name]) > 1e-4
            assert gradcheck_models.gradient_distance(broken, gradient) > 1e-4

    def test_a_point_without_derivative_is_left_for_another(self, monkeypatch):
        """Estimates that do not settle lead to other tokens, and to a failed check if that never helps."""
        calls = []

        def unsettled(f):
            calls.append(f(0.0))
            return Derivative(1.0, 1.0)

        monkeypatch.setattr(gradcheck_models, "derivative", unsettled)
        check = next(iter(check_model(VARIANT, thorough=False)))
        assert not check.passed
        assert "NotSmoothError" in check.detail
        assert len(calls) == 10
