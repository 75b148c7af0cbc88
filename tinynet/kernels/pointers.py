"""What a compiled loop needs beyond arrays: addresses, words that several threads read and write, calls by address.

Imports Numba: import it only where that is wanted. The one idea: a table of addresses costs as much to hand over as one
array. Handing Numba four arrays for each parameter costs about a microsecond a parameter, and a list of arrays far more.
"""

from __future__ import annotations

import platform
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

WORD, INT = ir.IntType(64), ir.IntType(32)
X86 = platform.machine().lower() in ("x86_64", "amd64")
FLUSH = 0x8040 if X86 else 0  # denormals are zero, as results and as operands: bits of the register for arithmetic


@intrinsic
def pointer(typing_context: Any, address: Any) -> Any:
    """An address, which is an integer, as a pointer."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(address), generate


def _word(builder: Any, address: Any) -> Any:
    return builder.inttoptr(address, WORD.as_pointer())


@intrinsic
def load(typing_context: Any, address: Any) -> Any:
    """The word at an address; what its writer wrote before it is seen too (an acquiring load)."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load_atomic(_word(builder, arguments[0]), "acquire", 8)

    return types.int64(types.int64), generate


@intrinsic
def store(typing_context: Any, address: Any, value: Any) -> Any:
    """Write a word, after all that was written before it (a releasing store)."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.store_atomic(arguments[1], _word(builder, arguments[0]), "release", 8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@intrinsic
def add(typing_context: Any, address: Any, value: Any) -> Any:
    """Add to a word, at once for all threads; its old value."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.atomic_rmw("add", _word(builder, arguments[0]), arguments[1], "acq_rel")

    return types.int64(types.int64, types.int64), generate


@intrinsic
def swap(typing_context: Any, address: Any, old: Any, new: Any) -> Any:
    """Write ``new`` if the word is ``old``, at once for all threads; whether it was."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        found = builder.cmpxchg(_word(builder, arguments[0]), arguments[1], arguments[2], "acq_rel", "acquire")
        return builder.extract_value(found, 1)

    return types.boolean(types.int64, types.int64, types.int64), generate


@intrinsic
def pause(typing_context: Any) -> Any:
    """Tell the processor that this thread is waiting for another (where there is an instruction for it)."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if X86:
            nothing = ir.FunctionType(ir.VoidType(), [])
            builder.call(cgutils.get_or_insert_function(builder.module, nothing, "llvm.x86.sse2.pause"), [])
        return context.get_dummy_value()

    return types.void(), generate


@intrinsic
def call(typing_context: Any, function: Any, start: Any, stop: Any, thread: Any, table: Any) -> Any:
    """``function(start, stop, thread, table)`` for the address of a function of four words."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [WORD] * 4)
        builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), arguments[1:])
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5), generate


@intrinsic
def ask(typing_context: Any, function: Any) -> Any:
    """``function()``, an int, for the address of a function of no argument."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(INT, [])
        return builder.sext(builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), []), WORD)

    return types.int64(types.int64), generate


@intrinsic
def tell(typing_context: Any, function: Any, number: Any) -> Any:
    """``function(number)`` for the address of a function of one int."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [INT])
        builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), [builder.trunc(arguments[1], INT)])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@intrinsic
def gemm(
    typing_context: Any, function: Any, like: Any, turned: Any, sizes: Any, a: Any, b: Any, c: Any, steps: Any, more: Any
) -> Any:
    """c = a b, or c += a b where ``more`` is True, row by row in memory.

    ``function``: the address of a BLAS library's ``cblas_?gemm``.

    ``like``: a number of the arrays' dtype. ``turned``: whether a and b are stored the other way round. ``sizes``: rows of
    c, columns of c, and the length that both share. ``a, b, c``: addresses. ``steps``: elements from row to row of each.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        function, _, turned, sizes, *places, steps, more = arguments
        real = ir.FloatType() if signature.args[1] is types.float32 else ir.DoubleType()
        both = [builder.trunc(x, ir.IntType(1)) for x in cgutils.unpack_tuple(builder, turned)]
        turns = [builder.select(x, INT(112), INT(111)) for x in both]  # CblasTrans, CblasNoTrans
        lda, ldb, ldc = cgutils.unpack_tuple(builder, steps)
        given = [INT(101), *turns, *cgutils.unpack_tuple(builder, sizes)]  # CblasRowMajor
        given += [real(1), places[0], lda, places[1], ldb, builder.select(more, real(1), real(0)), places[2], ldc]
        kind = ir.FunctionType(ir.VoidType(), [x.type for x in given])
        builder.call(builder.inttoptr(function, kind.as_pointer()), given)
        return context.get_dummy_value()

    return types.void(types.int64, like, turned, sizes, *[types.int64] * 3, steps, types.boolean), generate


@intrinsic
def flush_denormals(typing_context: Any) -> Any:
    """From here on numbers below 1.2e-38 (float32) count as zero in this thread; returns what ``restore`` wants.

    A processor calculates with them up to a hundred times as slowly, and a momentum fades into them where gradients have
    ended (a dead unit, a pixel that is always black) and stays: 0.9 times the least of them rounds to itself. Adam on
    235 thousand weights, one in ten such: 2.5 ms with denormals, 0.12 ms without. Elsewhere than on x86 nothing changes.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if not FLUSH:
            return context.get_constant(types.uint32, 0)
        slot = cgutils.alloca_once(builder, INT)
        _register(builder, "stmxcsr", slot)
        before = builder.load(slot)
        builder.store(builder.or_(before, ir.Constant(INT, FLUSH)), slot)
        _register(builder, "ldmxcsr", slot)
        return before

    return types.uint32(), generate


@intrinsic
def restore(typing_context: Any, before: Any) -> Any:
    """The thread calculates as it did before ``flush_denormals``."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if FLUSH:
            slot = cgutils.alloca_once(builder, INT)
            builder.store(arguments[0], slot)
            _register(builder, "ldmxcsr", slot)
        return context.get_dummy_value()

    return types.void(before), generate


def _register(builder: Any, what: str, slot: Any) -> None:
    """Store the register at an address, or load it from there."""
    address = ir.IntType(8).as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [address])
    builder.call(
        cgutils.get_or_insert_function(builder.module, kind, f"llvm.x86.sse.{what}"), [builder.bitcast(slot, address)]
    )
