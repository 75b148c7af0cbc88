"""Adding at indices that may repeat: the gradient of whatever picks elements, above all the rows of an embedding.

The one idea: NumPy's ``add.at`` is fast for one axis only; so rows are added through the flat positions of their elements.
Measured, one thread, 4,096 rows of 128 float32 into 10,000: ``add.at`` with the row numbers 4.3 ms, with flat positions 1.4;
a ``bincount`` of these 3.7, sorting and ``add.reduceat`` 5.8.
"""

from __future__ import annotations

from typing import Any

from ..backend import array_module, is_array


def add_at(total: Any, index: Any, g: Any) -> None:
    """``total[index] += g`` in place, where an element that is picked twice gets both."""
    xp = array_module(total)
    rows = is_array(index) and index.dtype.kind in "iu" and total.ndim > 1
    if not rows or not total.flags.c_contiguous or g.shape != (*index.shape, *total.shape[1:]):
        xp.add.at(total, index, g)
        return
    row = total[0].size if len(total) else 0
    positions = index.reshape(-1, 1).astype(xp.intp) * row + xp.arange(row)
    xp.add.at(total.reshape(-1), positions.reshape(-1), g.reshape(-1))
