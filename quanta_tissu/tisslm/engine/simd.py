"""Vectors for the inside of kernels: sixteen numbers at a time, said explicitly where LLVM would not see it.

LLVM turns many loops into vector instructions by itself. It does not keep a tile of a matrix product in registers,
it does not transpose in registers, and it runs the end of every loop one element at a time, which is most of a
short row. Kernels that live on these three say what they mean:

    total = broadcast(zero)
    for j in range(0, row.shape[1], LANES):
        total = total + load(row, i, j)
    y = sum_of(total)

A vector has sixteen lanes on every machine and for both float types; LLVM makes it one, two or four registers.
Two-dimensional arrays are read and written where their rows have no gaps; like pointers, indices are not checked.
`a * b + c` is one rounding, as everywhere in kernels.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, models, overload, register_model

from quanta_tissu.tisslm.engine import vector_math

LANES = 16

TILE_ROWS = 4
"""Rows of the tile of `add_tile_product`: its 4×16 sums take 8 of AVX2's 16 registers, a row of b takes 2, and 8
is also the number of multiply-adds that the processor has under way."""

TALL_TILE_ROWS = 6
"""Rows of the tile of `add_tall_tile_product`, the most for which 16 registers suffice, with fewer loads."""

_INT32, _INT64 = ir.IntType(32), ir.IntType(64)
_BYTES = ir.IntType(8).as_pointer()
_FUSED = ("contract",)


class Vector(types.Type):
    """Numba's type of a vector.

    Args:
        dtype: Numba's type of the numbers, float32 or float64.
    """

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype
        super().__init__(name=f"Vector({dtype})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, vector: Vector) -> None:
        super().__init__(manager, vector, ir.VectorType(manager.lookup(vector.dtype).get_value_type(), LANES))


@intrinsic
def load(typing: Any, a: Any, i: Any, j: Any) -> Any:
    """a[i, j : j + LANES]."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = context.get_value_type(signature.return_type)
        return _load(builder, _Matrix(context, builder, a, args[0]).at(args[1], args[2]), vector)

    return Vector(a.dtype)(a, types.intp, types.intp), code


@intrinsic
def store(typing: Any, a: Any, i: Any, j: Any, x: Any) -> Any:
    """a[i, j : j + LANES] = x."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _store(builder, args[3], _Matrix(context, builder, a, args[0]).at(args[1], args[2]))
        return context.get_dummy_value()

    return types.void(a, types.intp, types.intp, x), code


@intrinsic
def broadcast(typing: Any, x: Any) -> Any:
    """The number x in all lanes."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _spread(builder, args[0])

    return Vector(x)(x), code


def _arithmetic(instruction: str) -> Any:
    @intrinsic
    def combine(typing: Any, x: Any, y: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return getattr(builder, instruction)(*args, flags=_FUSED)

        return x(x, y), code

    return combine


def _define_operator(symbol: Any, instruction: str) -> None:
    """Let an operator take two vectors, or a vector and a number."""
    combine = _arithmetic(instruction)

    def vectors(x: Any, y: Any) -> Any:
        return combine(x, y)

    def vector_and_number(x: Any, y: Any) -> Any:
        return combine(x, broadcast(y))

    def number_and_vector(x: Any, y: Any) -> Any:
        return combine(broadcast(x), y)

    @overload(symbol)
    def implementation(x: Any, y: Any) -> Callable[..., Any] | None:
        if isinstance(x, Vector):
            return vectors if isinstance(y, Vector) else vector_and_number
        return number_and_vector if isinstance(y, Vector) else None


for _symbol, _instruction in ((operator.add, "fadd"), (operator.sub, "fsub"), (operator.mul, "fmul")):
    _define_operator(_symbol, _instruction)


@intrinsic
def maximum(typing: Any, x: Any, y: Any) -> Any:
    """The larger of x and y in each lane; x where either is not a number."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _larger(builder, *args)

    return x(x, y), code


@intrinsic
def between(typing: Any, x: Any, start: Any, end: Any, other: Any) -> Any:
    """Lanes start to end - 1 of x and the number `other` in the rest; start and end may lie outside."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        x, start, end, other = args
        lanes = ir.Constant(ir.VectorType(_INT32, LANES), list(range(LANES)))
        start, end = (_spread(builder, builder.trunc(n, _INT32)) for n in (start, end))
        inside = builder.and_(builder.icmp_signed(">=", lanes, start), builder.icmp_signed("<", lanes, end))
        return builder.select(inside, x, _spread(builder, other))

    return x(x, types.intp, types.intp, other), code


@intrinsic
def sum_of(typing: Any, x: Any) -> Any:
    """The sum of all lanes."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _fold(builder, args[0], builder.fadd)

    return x.dtype(x), code


@intrinsic
def largest_of(typing: Any, x: Any) -> Any:
    """The largest lane, unless one is not a number: then any."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _fold(builder, args[0], lambda x, y: _larger(builder, x, y))

    return x.dtype(x), code


def exp_of(x: Any) -> Any:
    """e^x in each lane, as `vector_math.exp`."""
    raise NotImplementedError("call it inside a kernel")


_LOWEST, _LOG2_E, _MAGIC = vector_math._LOWEST, vector_math._LOG2_E, vector_math._MAGIC
_LN_2_HIGH, _LN_2_LOW, _ONE = vector_math._LN_2_HIGH, vector_math._LN_2_LOW, np.float32(1)
_EXP_5, _EXP_4, _EXP_3, _EXP_2, _EXP_1 = vector_math._EXP


def _exp32(x: Any) -> Any:
    """As `vector_math._exp32`, which explains it."""
    x = maximum(x, broadcast(_LOWEST))
    shifted = x * _LOG2_E + _MAGIC
    n = shifted - _MAGIC
    r = (x - n * _LN_2_HIGH) - n * _LN_2_LOW
    p = (((_EXP_5 * r + _EXP_4) * r + _EXP_3) * r + _EXP_2) * r + _EXP_1
    return _power_of_two(shifted) * (_ONE + (r + r * r * p))


@intrinsic
def _power_of_two(typing: Any, shifted: Any) -> Any:
    """2^n where the lowest bits of `shifted` are n + 127."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        bits = ir.VectorType(_INT32, LANES)
        exponents = builder.shl(builder.bitcast(args[0], bits), ir.Constant(bits, [23] * LANES))
        return builder.bitcast(exponents, args[0].type)

    return shifted(shifted), code


@intrinsic
def _from_c_library(typing: Any, x: Any) -> Any:
    """e^x of float64, lane by lane."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(args[0].type, [args[0].type])
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.exp.v{LANES}f64"), args)

    return x(x), code


def _exp64(x: Any) -> Any:
    return _from_c_library(x)


@overload(exp_of)
def _exp(x: Any) -> Callable[..., Any]:
    return _exp32 if x.dtype == types.float32 else _exp64


def _tile_product(rows: int) -> Any:
    @intrinsic
    def add_product(
        typing: Any, a: Any, i: Any, k: Any, b: Any, m: Any, j: Any, terms: Any, c: Any, r: Any, s: Any, add: Any
    ) -> Any:
        """c[r : r + rows, s : s + LANES] (+)= Σ_t a[i : i + rows, k + t] b[m + t, j : j + LANES], t < terms.

        The heart of a matrix product: the tile stays in registers, a row of b is loaded and the numbers of a
        column of a are broadcast. Terms are added in order, so a number of the result does not depend on its place
        in the tile, nor on the tile's rows. `a` may have any strides (a transpose, say); the rows of b and c have
        no gaps. If `add` is false, what c held is ignored.
        """

        def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            left = _Matrix(context, builder, a, args[0])
            right = _Matrix(context, builder, b, args[3])
            result = _Matrix(context, builder, c, args[7])
            scalar = context.get_value_type(c.dtype)
            vector = ir.VectorType(scalar, LANES)
            column, row, corner = left.at(*args[1:3]), right.at(*args[4:6]), result.at(*args[8:10])
            tile = [cgutils.alloca_once(builder, vector) for _ in range(rows)]  # LLVM makes them registers
            for index, total in enumerate(tile):
                _prefetch(builder, result.down(corner, index))  # it is here when the sums are
                builder.store(ir.Constant(vector, [0.0] * LANES), total)
            with cgutils.for_range(builder, args[6]) as loop:
                numbers = _load(builder, right.down(row, loop.index), vector)
                first = left.along(column, loop.index)
                for index, total in enumerate(tile):
                    factor = _spread(builder, _load(builder, left.down(first, index), scalar))
                    product = builder.fmul(factor, numbers, flags=_FUSED)
                    builder.store(builder.fadd(builder.load(total), product, flags=_FUSED), total)
            with builder.if_then(builder.trunc(args[10], ir.IntType(1))):
                for index, total in enumerate(tile):
                    before = _load(builder, result.down(corner, index), vector)
                    builder.store(builder.fadd(before, builder.load(total)), total)
            for index, total in enumerate(tile):
                _store(builder, builder.load(total), result.down(corner, index))
            return context.get_dummy_value()

        n = types.intp
        return types.void(a, n, n, b, n, n, n, c, n, n, types.boolean), code

    return add_product


add_tile_product, add_tall_tile_product = _tile_product(TILE_ROWS), _tile_product(TALL_TILE_ROWS)


@intrinsic
def prefetch(typing: Any, a: Any, i: Any, j: Any) -> Any:
    """Ask for the cache line of a[i, j], which may lie outside the array."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _prefetch(builder, _Matrix(context, builder, a, args[0]).at(args[1], args[2]))
        return context.get_dummy_value()

    return types.void(a, types.intp, types.intp), code


@intrinsic
def transpose_tile(typing: Any, a: Any, i: Any, j: Any, b: Any, r: Any, s: Any) -> Any:
    """b[r : r + LANES, s : s + LANES] = a[i : i + LANES, j : j + LANES]ᵀ; the rows of both have no gaps.

    In quarters of 8×8, each by three rounds of interleaving row m with row m + 4 (a perfect shuffle of the 64
    numbers moves the bits of their index by one, so three rounds exchange row and column).
    """
    half = LANES // 2

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        source, target = _Matrix(context, builder, a, args[0]), _Matrix(context, builder, b, args[3])
        vector = ir.VectorType(context.get_value_type(a.dtype), half)
        first, second = _indices([0, 8, 1, 9, 2, 10, 3, 11]), _indices([4, 12, 5, 13, 6, 14, 7, 15])
        for top in (0, half):
            for left in (0, half):
                start = source.along(source.down(source.at(*args[1:3]), top), left)
                rows = [_load(builder, source.down(start, m), vector) for m in range(half)]
                for _ in range(3):
                    pairs = [(rows[m], rows[m + half // 2]) for m in range(half // 2)]
                    rows = [builder.shuffle_vector(*pair, mask) for pair in pairs for mask in (first, second)]
                start = target.along(target.down(target.at(*args[4:6]), left), top)
                for m, numbers in enumerate(rows):
                    _store(builder, numbers, target.down(start, m))
        return context.get_dummy_value()

    n = types.intp
    return types.void(a, n, n, b, n, n), code


class _Matrix:
    """Addresses inside a two-dimensional array, as LLVM computes them."""

    def __init__(self, context: Any, builder: Any, kind: Any, value: Any) -> None:
        array = context.make_array(kind)(context, builder, value)
        self._builder = builder
        self._start = builder.bitcast(array.data, _BYTES)
        self._strides = cgutils.unpack_tuple(builder, array.strides, 2)
        if kind.layout == "C":  # a constant is one thing less to keep in a register
            self._strides[1] = ir.Constant(_INT64, context.get_abi_sizeof(context.get_data_type(kind.dtype)))

    def at(self, i: Any, j: Any) -> Any:
        return self.along(self.down(self._start, i), j)

    def down(self, address: Any, rows: Any) -> Any:
        return self._move(address, rows, self._strides[0])

    def along(self, address: Any, columns: Any) -> Any:
        return self._move(address, columns, self._strides[1])

    def _move(self, address: Any, steps: Any, stride: Any) -> Any:
        steps = ir.Constant(_INT64, steps) if isinstance(steps, int) else steps
        return self._builder.gep(address, [self._builder.mul(steps, stride)])


def _load(builder: Any, address: Any, kind: Any) -> Any:
    return builder.load(builder.bitcast(address, kind.as_pointer()), align=4)


def _store(builder: Any, value: Any, address: Any) -> None:
    builder.store(value, builder.bitcast(address, value.type.as_pointer()), align=4)


def _prefetch(builder: Any, address: Any) -> None:
    kind = ir.FunctionType(ir.VoidType(), [_BYTES, _INT32, _INT32, _INT32])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    reading, nearest, data = 0, 3, 1
    builder.call(function, [address, *(ir.Constant(_INT32, n) for n in (reading, nearest, data))])


def _spread(builder: Any, x: Any) -> Any:
    none = ir.Constant(ir.VectorType(x.type, LANES), ir.Undefined)
    return builder.shuffle_vector(
        builder.insert_element(none, x, ir.Constant(_INT32, 0)), none, _indices([0] * LANES)
    )


def _larger(builder: Any, x: Any, y: Any) -> Any:
    return builder.select(builder.fcmp_ordered("<", x, y), y, x)


def _fold(builder: Any, x: Any, combine: Callable[[Any, Any], Any]) -> Any:
    """Combine the halves until one lane is left."""
    lanes = LANES
    while lanes > 1:
        lanes //= 2
        none = ir.Constant(x.type, ir.Undefined)
        x = combine(*(builder.shuffle_vector(x, none, _indices(range(s, s + lanes))) for s in (0, lanes)))
    return builder.extract_element(x, ir.Constant(_INT32, 0))


def _indices(lanes: Sequence[int]) -> Any:
    return ir.Constant(ir.VectorType(_INT32, len(lanes)), list(lanes))
