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
from numpy import ndarray

from .compiled import enabled
from .team import Shared, team

LEAST = 1 << 18  # multiplications: for fewer OpenBLAS too takes but one thread
NARROW = 32  # columns: for fewer, turning a product round costs what it saves


def matmul(a: Any, b: Any) -> Any:
    """a @ b for matrices."""
    shared = _shared(a, b, b.shape[-1])
    if shared is not None:
        c = np.empty((a.shape[0], b.shape[1]), a.dtype)
        if shared.loops.product(*shared.words, shared.loops.product_part, a, b, c):
            return c
    return a @ b


def affine(x: Any, weight: Any, bias: Any) -> Any:
    """x @ weight.T + bias for matrices x and weight ``(out, in)``; ``bias`` is ``(out,)`` or None."""
    out = len(weight)
    shared = _shared(x, weight, out) if out >= NARROW else None
    if shared is not None and (bias is None or (bias.dtype is x.dtype and bias.flags.carray)):
        y, scratch = np.empty((len(x), out), x.dtype), np.empty((out, len(x)), x.dtype)
        added = np.zeros(out, x.dtype) if bias is None else bias
        if shared.loops.affine(*shared.words, shared.loops.affine_part, x, weight, added, y, scratch):
            return y
    y = matmul(x, weight.T)
    if bias is None:
        return y
    if bias.dtype != y.dtype:
        return y + bias
    y += bias  # y is ours: no second array of the output's size
    return y


def _shared(a: Any, b: Any, columns: int) -> Shared | None:
    """What it takes to share the product of ``a`` with as many columns of ``b``; None where NumPy is to do it."""
    if type(a) is not ndarray or type(b) is not ndarray or a.ndim != 2 or b.ndim != 2 or a.size * columns < LEAST:
        return None
    if a.dtype is not b.dtype or not (a.flags.aligned and b.flags.aligned and a.flags.writeable and b.flags.writeable):
        return None
    everyone = team() if enabled() else None
    return None if everyone is None else everyone.products(a.dtype)
