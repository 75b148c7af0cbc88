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
