"""Matrix products, shared by the team of threads: a part of the rows or columns for each, done by ``multiply``.

Small ones, those of other dtypes, of more axes or on a GPU are NumPy's and CuPy's; so are all where NumPy does not stand on
OpenBLAS. Measured on an AMD EPYC (Zen 4), float32, two cores, us; x (n, in), weight (out, in), g (n, out):

    n, in, out          x weight^T + bias        g^T x                    g weight
    64, 784, 256        NumPy 253, here 131      163 136                  143 126
    128, 1000, 1000     NumPy 1520, here 1196    1259 1205                1305 1188
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend import array_module, is_array, recorded
from .activation import relu_grad
from .memory import buffer, empty
from .team import Shared, shared

LEAST = 1 << 18  # multiplications: for fewer OpenBLAS too takes but one thread
LEAST_AFFINE = 1 << 13  # with a bias, where NumPy takes several calls: a step with a layer of (32, 32, 10) 98 us, not 105
WORTH_SHARING = 1 << 20  # 32 rows, 784, 32 columns take 12 us on one thread and on two
NARROW = 32  # columns: for fewer, turning a product round costs what it saves,
LITTLE = 1024  # but where there are no more elements than these


def matmul(a: Any, b: Any) -> Any:
    """``a @ b`` for arrays of two axes or more."""
    if not isinstance(a, np.ndarray) and recorded.now is not None and is_array(a):
        return recorded.now.products(a, b, None)  # CuPy (14.2 still) refuses to call cuBLAS while a stream is captured
    work = a.size * b.shape[-1]
    fits = work >= LEAST and a.shape[-1] == b.shape[-2]  # what does not fit is NumPy's to refuse
    us = _shared(a, b) if fits else None
    if us is not None:
        c = np.empty((a.shape[0], b.shape[1]), a.dtype)  # may become a leaf's gradient, which the walk wants whole
        us.loops.product(us.team, _parts(us, work), us.gemm, us.loops.product_part, a, b, c, _room(us, a))
        return c
    return a @ b


def affine(x: Any, weight: Any, bias: Any, positive: bool = False) -> Any:
    """x @ weight.T + bias for matrices x and weight ``(out, in)``, bias ``(out,)`` or None; ``positive``: ReLU of that."""
    rows, columns = len(x), len(weight)
    work = weight.size * rows
    fits = work >= LEAST_AFFINE and x.shape[1:] == weight.shape[1:]
    us = _shared(x, weight) if fits else None
    if us is not None and (bias is None or (bias.dtype == x.dtype and bias.shape == (columns,) and bias.flags.carray)):
        turns = columns >= NARROW or rows * columns <= LITTLE
        y, turned = empty((rows, columns), x), buffer("turned", (columns, rows) if turns else (0, 1), x)
        added, loops = np.zeros(columns, x.dtype) if bias is None else bias, us.loops
        jobs = loops.affine_part, loops.narrow_part, loops.product_part
        loops.affine(us.team, _parts(us, work), us.gemm, jobs, x, weight, added, y, turned, _room(us, x), positive)
        return y
    y = matmul(x, weight.T)
    if bias is not None:
        if bias.dtype == y.dtype:
            y += bias  # y is ours: no second array of the output's size
        else:
            y = y + bias
    return array_module(y).maximum(y, 0, out=y) if positive else y


def affine_back(g: Any, y: Any, x: Any, weight: Any, wanted: tuple, positive: bool = False) -> tuple[Any, Any, Any]:
    """The gradients of ``affine`` for x, weight and the bias, from that of its output y; ``wanted``: each of them, or None.

    All are matrices, the bias's gradient of shape ``(out,)``.
    """
    work = x.size * len(weight)
    us = _shared(g, x) if work >= LEAST_AFFINE and g.dtype == weight.dtype else None
    if us is None or not (g.flags.c_contiguous and weight.flags.carray and (y.flags.c_contiguous or not positive)):
        g = relu_grad(g, y) if positive else g
        gx, gw = matmul(g, weight) if wanted[0] else None, matmul(g.T, x) if wanted[1] else None
        return gx, gw, g.sum(axis=0) if wanted[2] else None
    z, y = (buffer("z", g.shape, g), y) if positive else (g, g)
    gx, gw = np.empty(x.shape if wanted[0] else (0, 1), g.dtype), np.empty(weight.shape if wanted[1] else (0, 1), g.dtype)
    gb, loops = np.empty(g.shape[1], g.dtype), us.loops
    parts, jobs = _parts(us, work), (loops.bias_part, loops.product_part, loops.gradients_part)
    loops.affine_back(us.team, parts, us.gemm, jobs, g, y, x, weight, z, gw, gb, gx, _room(us, g), positive)
    return gx if wanted[0] else None, gw if wanted[1] else None, gb if wanted[2] else None


def _shared(a: Any, b: Any) -> Shared | None:
    us = shared(a, b) if a.ndim == 2 == b.ndim else None
    return us if us is not None and us.gemm else None  # Accelerate and MKL are faster than what is written here


def _room(us: Shared, like: Any) -> Any:
    return buffer("room", (us.size, us.loops.ROOM), like)


def _parts(us: Shared, work: int) -> int:
    return us.size if work >= WORTH_SHARING else 1  # by one part, too, BLAS's own threads are spared
