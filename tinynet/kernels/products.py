"""Matrix products, shared by the team of threads: a part for each, in which the BLAS library has one thread.

The one idea: a product of many rows or columns is several products, and BLAS does each of them on its own. Small ones,
those of other dtypes, of more axes or on a GPU are NumPy's and CuPy's; so are all where NumPy does not stand on OpenBLAS.
Measured, float32, two cores, us; x (n, in), weight (out, in), g (n, out):

    n, in, out          x weight^T + bias    g^T x    g weight
    64, 784, 256        NumPy 182, here 135  124 107  118 113
    128, 1000, 1000     NumPy 1240, here 1032  1044 867  1020 940
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend import array_module, is_array, recorded
from .memory import buffer, empty
from .team import Shared, shared

LEAST = 1 << 18  # multiplications: for fewer OpenBLAS too takes but one thread
WORTH_SHARING = 1 << 20  # 32 rows, 784, 32 columns take 12 us on one thread and on two
NARROW = 32  # columns: for fewer, turning a product round costs what it saves


def matmul(a: Any, b: Any) -> Any:
    """``a @ b`` for arrays of two axes or more."""
    if not isinstance(a, np.ndarray) and recorded.now is not None and is_array(a):
        return recorded.now.products(a, b, None)  # CuPy (14.2 still) refuses to call cuBLAS while a stream is captured
    work = a.size * b.shape[-1]
    us = _shared(a, b, work) if a.shape[-1] == b.shape[-2] else None  # what does not fit is NumPy's to refuse
    if us is not None:
        c = np.empty((a.shape[0], b.shape[1]), a.dtype)  # may become a leaf's gradient, which the walk wants whole
        if us.loops.product(us.team, _parts(us, work), us.gemm, us.loops.product_part, a, b, c):
            return c
    return a @ b


def affine(x: Any, weight: Any, bias: Any, positive: bool = False) -> Any:
    """x @ weight.T + bias for matrices x and weight ``(out, in)``, bias ``(out,)`` or None; ``positive``: ReLU of that."""
    rows, columns = len(x), len(weight)
    work = weight.size * rows
    us = _shared(x, weight, work) if columns >= NARROW and x.shape[1:] == weight.shape[1:] else None
    if us is not None and (bias is None or (bias.dtype is x.dtype and bias.shape == (columns,) and bias.flags.carray)):
        y, turned = empty((rows, columns), x), buffer("turned", (columns, rows), x)
        added = np.zeros(columns, x.dtype) if bias is None else bias
        loop, part = us.loops.affine, us.loops.affine_part
        if loop(us.team, _parts(us, work), us.gemm, part, x, weight, added, y, turned, positive):
            return y
    y = matmul(x, weight.T)
    if bias is not None:
        if bias.dtype == y.dtype:
            y += bias  # y is ours: no second array of the output's size
        else:
            y = y + bias
    return array_module(y).maximum(y, 0, out=y) if positive else y


def _shared(a: Any, b: Any, work: int) -> Shared | None:
    us = shared(a, b) if work >= LEAST and a.ndim == 2 == b.ndim else None
    return us if us is not None and us.gemm else None


def _parts(us: Shared, work: int) -> int:
    return us.size if work >= WORTH_SHARING else 1  # by one part, too, BLAS's own threads are spared
