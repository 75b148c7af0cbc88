"""One tile of a product of matrices: some rows of the result by one vector or two, whose sums stay in registers.

Imports Numba: import it only where that is wanted. What is written here is what the compiler makes of it: one load for each
vector of b and each number of a, and one multiply-add for each sum.
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import config
from numba.core import cgutils, types
from numba.extending import intrinsic

from .pointers import INT, WORD


def _registers() -> tuple[int, int]:
    """Bytes of a vector, and rows of a tile: with its sums, half of 32 registers are used, or nearly all of 16."""
    has = {name for name, there in llvm.get_host_cpu_features().items() if there}
    name, features = vars(config)["CPU_NAME"], vars(config)["CPU_FEATURES"]
    if name or features:  # Numba is asked to compile for another processor
        has = {feature[1:] for feature in (features or "").split(",") if feature[:1] == "+"}
    if "avx512f" in has:
        return 64, 8  # 6, 12 and 14 rows: the same to 5%, but slower where the rows of b lie pages apart
    return (32, 6) if {"avx2", "fma"} <= has else (16, 6)


BYTES, ROWS = _registers()


@intrinsic
def size_of(context: Any, real: Any) -> Any:
    """The bytes of a number, np.float32 or np.float64."""
    return types.int64(real), lambda context, builder, signature, arguments: WORD(_vector(real)[1])


def _vector(real: Any) -> tuple[Any, int]:
    """The type of a vector of such numbers, and the bytes of one of them."""
    real, size = (ir.FloatType(), 4) if real.instance_type is types.float32 else (ir.DoubleType(), 8)
    return ir.VectorType(real, BYTES // size), size


def _lanes(places: list[int]) -> Any:
    return ir.VectorType(INT, len(places))(places)


def _tile(vectors: int) -> Any:
    """The intrinsic ``tile(real, depth, a, a_steps, b, c, steps, more)``: c = a b, or c += a b where ``more``.

    c is ``ROWS`` rows by so many vectors, from ``depth`` columns of a. ``a, b, c``: addresses. ``a_steps``: bytes from row
    to row of a and from column to column, and how many rows there are; in the place of those that a tile has beyond them,
    the last is taken again. ``steps``: bytes from row to row of b and of c. ``real``: np.float32 or np.float64.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _, depth, a, a_steps, b, c, steps, more = arguments
        vector, size = _vector(signature.args[0])
        byte, tile = ir.IntType(8), [(r, v) for r in range(ROWS) for v in range(vectors)]

        def instruction(name: str, result: Any, *kinds: Any) -> Any:
            return cgutils.get_or_insert_function(builder.module, ir.FunctionType(result, kinds), f"llvm.{name}")

        def at(address: Any, offset: Any, kind: Any) -> Any:
            return builder.inttoptr(builder.add(address, offset), kind.as_pointer())

        def read(address: Any, offset: Any, kind: Any) -> Any:
            return builder.load(at(address, offset, kind), align=size)

        fma = instruction(f"fmuladd.v{vector.count}f{8 * size}", vector, *[vector] * 3)
        fetch = instruction("prefetch.p0", ir.VoidType(), byte.as_pointer(), INT, INT, INT)
        down, across, rows = cgutils.unpack_tuple(builder, a_steps)
        b_step, c_step = cgutils.unpack_tuple(builder, steps)
        first, places, sums = [], {}, {}
        for r in range(ROWS):
            row = builder.select(builder.icmp_signed("<", WORD(r), rows), WORD(r), builder.sub(rows, WORD(1)))
            first.append(builder.add(a, builder.mul(row, down)))
        for r, v in tile:
            places[r, v] = builder.add(builder.mul(c_step, WORD(r)), WORD(v * BYTES))
            sums[r, v] = cgutils.alloca_once(builder, vector)  # becomes a register
            builder.store(vector(None), sums[r, v])
            builder.call(fetch, [at(c, places[r, v], byte), INT(1), INT(3), INT(1)])  # here by the time it is written
        with cgutils.for_range(builder, depth) as loop:
            row, column = builder.mul(loop.index, b_step), builder.mul(loop.index, across)
            of_b = [read(b, builder.add(row, WORD(v * BYTES)), vector) for v in range(vectors)]
            for r in range(ROWS):
                number = builder.insert_element(vector(ir.Undefined), read(first[r], column, vector.element), WORD(0))
                many = builder.shuffle_vector(number, vector(ir.Undefined), _lanes([0] * vector.count))
                for v in range(vectors):
                    builder.store(builder.call(fma, [many, of_b[v], builder.load(sums[r, v])]), sums[r, v])
        for one in tile:
            before = builder.select(more, read(c, places[one], vector), vector(None))
            builder.store(builder.fadd(before, builder.load(sums[one])), at(c, places[one], vector), align=size)
        return context.get_dummy_value()

    @intrinsic
    def tile(context: Any, real: Any, depth: Any, a: Any, a_steps: Any, b: Any, c: Any, steps: Any, more: Any) -> Any:
        return types.void(real, *[types.int64] * 2, a_steps, *[types.int64] * 2, steps, types.boolean), generate

    return tile


tile, narrow_tile = _tile(2), _tile(1)


@intrinsic
def turn(typing_context: Any, real: Any, a: Any, a_step: Any, b: Any, b_step: Any) -> Any:
    """b = a^T for squares of as many rows as a vector has numbers; addresses, and bytes from row to row.

    The halves of the square change places, then the halves of these, and so on: 0.4 ns a number, one by one 1.1.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _, a, a_step, b, b_step = arguments
        vector, size = _vector(signature.args[0])
        n = vector.count

        def at(address: Any, step: Any, row: int) -> Any:
            return builder.inttoptr(builder.add(address, builder.mul(step, WORD(row))), vector.as_pointer())

        rows = [builder.load(at(a, a_step, row), align=size) for row in range(n)]
        far = n // 2
        while far:
            upper = _lanes([k if not k & far else n + (k ^ far) for k in range(n)])
            lower = _lanes([k ^ far if not k & far else n + k for k in range(n)])
            for i in range(n):
                if not i & far:
                    x, y = rows[i], rows[i | far]
                    rows[i], rows[i | far] = builder.shuffle_vector(x, y, upper), builder.shuffle_vector(x, y, lower)
            far //= 2
        for row in range(n):
            builder.store(rows[row], at(b, b_step, row), align=size)
        return context.get_dummy_value()

    return types.void(real, *[types.int64] * 4), generate
