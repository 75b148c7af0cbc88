"""``y += a x`` in one pass over memory, by the BLAS library that NumPy brings: for array code, which needs two.

The one idea: plain descent is nothing else. NumPy multiplies into one array and subtracts that, on one thread; BLAS reads
and writes once, on its own threads, which after the products of a training wait for work anyway. Measured, two cores,
float32, in us: SGD on 1.8 million weights 450 and 115, in a training of 784-1000-1000-10 2,700 and 760.

The sum is rounded once, and not the product before it, on processors that can (fused multiply-add), so that its last digit
may differ from that of ``y + a * x``; PyTorch's does in the same way.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from ctypes import byref, c_char, c_double, c_float, c_int64, c_void_p
from typing import Any

import numpy as np

from .threads import blas_function

LEAST = 32768  # elements: two calls of NumPy (each 0.4 us and 0.08 ns an element) take 6 us then, this one 4


@functools.cache
def axpy_of(dtype: np.dtype) -> Callable[[Any, Any, Any], None] | None:
    """``axpy(a, x, y)``: y += a x for a number and runs of memory of ``dtype``; None where there is none to be had."""
    real = {"f": c_float, "d": c_double}.get(dtype.char)
    function = None if real is None or not dtype.isnative else blas_function(f"cblas_{'s' if real is c_float else 'd'}axpy")
    if function is None:
        return None
    function.restype, function.argtypes = None, [c_int64, real, c_void_p, c_int64, c_void_p, c_int64]
    place = c_char.from_buffer  # 0.2 us, where array.ctypes takes 1

    def axpy(a: Any, x: Any, y: Any) -> None:
        if a:
            function(x.size, float(a), byref(place(x)), 1, byref(place(y)), 1)
        else:
            y += a * x  # BLAS would not look at x, which may be NaN

    return axpy if _alike_everywhere(axpy, dtype) else None


def _alike_everywhere(axpy: Callable, dtype: np.dtype) -> bool:
    """Whether all elements are rounded alike wherever they stand, or results would depend on the number of threads."""
    x = np.sqrt(np.arange(2, 200, dtype=dtype))
    whole, single = 1 / x, 1 / x
    axpy(0.1, x, whole)
    for k in range(x.size):
        axpy(0.1, x[k : k + 1], single[k : k + 1])
    return bool((whole == single).all())
