"""What a compiled loop needs to reach arrays by their addresses. Imports Numba: import it only where that is wanted.

The one idea: one call for all parameters of a group. Handing Numba four arrays for each of them costs about a
microsecond a parameter, and a list of arrays of its own kind far more; a table of addresses costs as much as one array.
"""

from __future__ import annotations

from typing import Any

from numba.core import cgutils, types
from numba.extending import intrinsic


@intrinsic
def pointer(typing_context: Any, address: Any) -> Any:
    """An address, which is an integer, as a pointer."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(address), generate


@intrinsic
def fetch_add(typing_context: Any, counters: Any, index: Any) -> Any:
    """``counters[index]`` as it was before 1 was added to it; of several threads each gets a number of its own."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _place(context, builder, signature, arguments)
        return builder.atomic_rmw("add", place, context.get_constant(types.int64, 1), "seq_cst")

    return types.int64(counters, types.int64), generate


@intrinsic
def peek(typing_context: Any, counters: Any, index: Any) -> Any:
    """``counters[index]`` as another thread has left it, with all that this thread wrote before."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load_atomic(_place(context, builder, signature, arguments), "acquire", 8)

    return types.int64(counters, types.int64), generate


def _place(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    array = context.make_array(signature.args[0])(context, builder, arguments[0])
    return builder.gep(array.data, [arguments[1]])
