"""An update rule as one CUDA kernel, through CuPy.

The one idea: the body of a traced rule is written in C as it is in Python; CuPy wraps it in a kernel over the elements
of the weight, its gradient and its buffers, whatever their strides, and keeps what it compiles.
"""

from __future__ import annotations

import functools
from typing import Any

from ...backend import array_module
from ..source import c_source
from ..trace import Trace

DTYPES = ("float16", "float32", "float64")


def takes(arrays: tuple) -> bool:
    """Whether a kernel can go through the arrays: of one dtype that it knows, and on one GPU."""
    first = arrays[0]
    return first.dtype.name in DTYPES and all(a.dtype == first.dtype and a.device == first.device for a in arrays)


def run(rule: Trace, arrays: tuple, numbers: tuple) -> None:
    """Overwrite the weight and the buffers, the first and those from the third on, in one kernel."""
    w, grad, *buffers = arrays
    make, dtype = array_module(w).ElementwiseKernel, w.dtype.name
    # Half precision is read and written as such, and computed in float.
    body = c_source(rule, "double" if dtype == "float64" else "float")
    kernel = _kernel(make, tuple(rule.arrays), len(rule.numbers), body, dtype)
    with w.device:
        kernel(grad, *numbers, w, *buffers)


@functools.cache
def _kernel(make: Any, names: tuple[str, ...], count: int, body: str, dtype: str) -> Any:
    number = "float64" if dtype == "float64" else "float32"
    taken = ", ".join([f"{dtype} {names[1]}_", *(f"{number} n{k}" for k in range(count))])
    written = ", ".join(f"{dtype} {name}_" for name in (names[0], *names[2:]))  # passed by reference: read as well
    return make(taken, written, body, "tinynet_update")
