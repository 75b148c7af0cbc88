"""Adding at indices that may repeat: the gradient of whatever picks elements, above all the rows of an embedding.

The one idea: NumPy's ``add.at`` is fast for one axis only; so rows are added through the flat positions of their elements,
or by a compiled loop, which needs no positions.

Measured, one thread, 4,096 rows of 128 float32 into 10,000: ``add.at`` with the row numbers 4.3 ms, with flat positions 1.4;
a ``bincount`` of these 3.7, sorting and ``add.reduceat`` 5.8, the compiled loop 0.19.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend import array_module, is_array, is_deterministic
from .compiled import loops_of
from .gpu import scatter as on_gpu
from .gpu.launch import takes


def add_at(total: Any, index: Any, g: Any) -> None:
    """``total[index] += g`` in place, where an element that is picked twice gets both."""
    xp = array_module(total)
    if type(index) is tuple and len(index) == 1:
        index = index[0]
    if xp is not np:
        _add_on_gpu(xp, total, index, g)
        return
    rows = is_array(index) and index.dtype.kind in "iu" and total.ndim > 1
    if not rows or not total.flags.c_contiguous or g.shape != (*index.shape, *total.shape[1:]) or g.size == 0:
        xp.add.at(total, index, g)
        return
    index, total = index.reshape(-1).astype(np.intp), total.reshape(len(total), -1)
    g = xp.ascontiguousarray(g.reshape(len(index), -1))
    loop = loops_of(_add_rows, g, total)
    if loop is not None and -len(total) <= index.min() and index.max() < len(total):  # which the loop does not ask
        loop(total, index, g)
        return
    positions = index[:, None] * total.shape[1] + xp.arange(total.shape[1])
    xp.add.at(total.reshape(-1), positions.reshape(-1), g.reshape(-1))


def _add_on_gpu(xp: Any, total: Any, index: Any, g: Any) -> None:
    rows = is_array(index) and index.dtype.kind in "iu" and total.ndim > 0 and g.shape == (*index.shape, *total.shape[1:])
    if not takes(total) or g.size == 0 or not (rows or is_deterministic()):
        xp.add.at(total, index, g)  # in array code of one element after the other, too
        return
    if rows:
        places, whole = index.reshape(-1).astype(np.int64) % len(total), total.reshape(len(total), -1)
    else:
        places, whole = xp.arange(total.size).reshape(total.shape)[index], total.reshape(-1, 1)
        g = xp.broadcast_to(g, places.shape)
    g = xp.ascontiguousarray(g, dtype=total.dtype).reshape(-1, whole.shape[1])
    on_gpu.add_rows(whole, places.reshape(-1), g, is_deterministic())


def _add_rows(total, index, g):
    for i in range(index.size):
        row = index[i] if index[i] >= 0 else index[i] + total.shape[0]
        for j in range(total.shape[1]):
            total[row, j] += g[i, j]
