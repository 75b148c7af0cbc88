"""Embedding: a table's rows looked up by their numbers.

The one idea: it is an indexing of the table, whose rule adds each row's gradient where the row came from; what is its own
are the checks, and that one row may be left out of training.
"""

from __future__ import annotations

from ..kernels.checks import checked_ids
from ..op import data_of
from ..tensor import Tensor
from .elementwise import where
from .indexing import getitem
from .shape import arraylike

OUTSIDE = "embedding: id {id} at position {at} is outside [0, {0}), the rows that a weight of shape {1} has"


def embedding(ids, weight, padding_idx=None) -> Tensor:
    """The rows of ``weight`` ``(rows, width)`` at integer ``ids`` of any shape: ``(*ids.shape, width)``.

    The gradients of a row that is taken several times add up. The row ``padding_idx`` (counted from the end where negative)
    gets none; the id itself must not be negative. ``ids`` come first, as in PyTorch; other than there, the gradient is
    always that of a dense table.

    Raises ``IndexError`` naming an id outside [0, rows) and its position (on a GPU where the next number is read, or in
    ``tn.cuda.synchronize``: asking at once would wait for it in every step), ``TypeError`` for ids that are no integers,
    ``ValueError`` for a weight that is no table, or a ``padding_idx`` outside it.

    >>> embedding([[0, 2], [2, 2]], [[1.0, 1.5], [2.0, 2.5], [3.0, 3.5]]).shape
    (2, 2, 2)
    """
    weight, ids = arraylike(weight), data_of(arraylike(ids))
    if weight.ndim != 2:
        raise ValueError(f"embedding: weight has shape {weight.shape}, expected (rows, width)")
    rows = weight.shape[0]
    if ids.dtype.kind not in "iu":
        raise TypeError(f"embedding: ids must be integers, got {ids.dtype}")
    ids, _ = checked_ids(ids, 0, rows, (OUTSIDE, rows, weight.shape))
    y = getitem(weight, ids)
    if padding_idx is None:
        return y
    if not -rows <= padding_idx < rows:
        raise ValueError(f"embedding: padding_idx is {padding_idx}, expected a row of a weight of shape {weight.shape}")
    return where((ids == padding_idx % rows)[..., None], data_of(y), y)  # the same number, and no way back from it
