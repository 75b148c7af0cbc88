"""Picking elements: indexing, taking, sorting. Named and parametrised as in NumPy.

The one idea: the rule of a function that picks elements puts the gradient back where they came from, adding where one was
picked twice; so indexing has a scatter as its rule, and the scatter has indexing as its own. All else here is a choice of
indices.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd import Placed
from ..backend import array_module, is_array
from ..kernels import add_at
from ..kernels.checks import checked_ids
from ..op import data_of, module_of, op
from ..tensor import Tensor
from .shape import arraylike, in_bounds, moveaxis, reshape

OUTSIDE = "{0}: index {id} is out of bounds for axis {1} with size {2}"


def _is_basic(index: Any) -> bool:
    parts = index if isinstance(index, tuple) else (index,)
    return all(p is None or p is ... or isinstance(p, (int, slice, np.integer)) for p in parts)


@op(lambda g, y, x, index, shape: _getitem(g, index=index))
def _put(x, index, shape):
    """Zeros of ``shape`` with x added at ``index``; an element picked twice gets both."""
    out = array_module(x).zeros(shape, x.dtype)
    if _repeats(index):
        add_at(out, index, x)
    else:
        out[index] = x
    return out


def _repeats(index: Any) -> bool:
    """Whether an index may pick an element twice."""
    return not (_is_basic(index) or (is_array(index) and index.dtype == bool))


def _getitem_rule(g, y, x, index):
    return _put(g, index=index, shape=x.shape) if isinstance(g, Tensor) else Placed(g, index, _repeats(index))


@op(_getitem_rule)
def _getitem(x, index):
    return x[index]


def getitem(x, index) -> Tensor:
    """``x[index]`` by integers, slices, None, ..., integer and boolean arrays or Tensors, as in NumPy."""

    def plain(part):
        part = data_of(part)
        return (
            module_of(x).asarray(part, dtype=None if part else int) if isinstance(part, list) else part
        )  # [] picks nothing

    return _getitem(x, index=tuple([plain(p) for p in index]) if isinstance(index, tuple) else plain(index))


def _along(axis: int, indices: Any) -> tuple:
    return (slice(None),) * axis + (indices,)


def take(x, indices, axis=None) -> Tensor:
    """The elements (slices, with ``axis``) at integer ``indices``, of the flattened array without ``axis``.

    Indices may repeat; their gradients add up. IndexError out of range; on a GPU where the next number is read (with
    ``x[indices]`` it is CuPy that picks, and counts on from the other end).
    """
    x = arraylike(x)
    if axis is None:
        x, axis = reshape(x, (-1,)), 0
    if not isinstance(indices, (int, np.integer)):
        indices = data_of(arraylike(indices))
    axis = in_bounds(axis, x.ndim, "take")
    return _getitem(x, index=_along(axis, _within("take", indices, axis, x.shape[axis])))


def _within(name: str, indices: Any, axis: int, n: int) -> Any:
    """Indices checked where they are an array on a GPU: NumPy raises by itself, CuPy would count on from the other end."""
    if isinstance(indices, (int, np.integer, np.ndarray)) or indices.dtype.kind not in "iu":
        return indices
    return checked_ids(indices, -n, n, (OUTSIDE, name, axis, n))[0]


def take_along_axis(x, indices, axis) -> Tensor:
    """For each position of ``indices`` (as many axes as x) the element of x with that index along ``axis``.

    IndexError out of range, as for ``take``.
    """
    x, indices = arraylike(x), data_of(arraylike(indices))
    if axis is None:
        x, axis = reshape(x, (-1,)), 0
    if indices.ndim != x.ndim:
        raise ValueError(f"take_along_axis: indices have {indices.ndim} axes, expected {x.ndim} like x")
    axis, xp = in_bounds(axis, x.ndim, "take_along_axis"), array_module(indices)
    grid = [xp.arange(n).reshape(tuple(-1 if j == i else 1 for j in range(x.ndim))) for i, n in enumerate(x.shape)]
    grid[axis] = _within("take_along_axis", indices, axis, x.shape[axis])
    return _getitem(x, index=tuple(grid))


def diagonal(x, offset=0, axis1=0, axis2=1) -> Tensor:
    """The elements x[i, i + offset] over two axes, on a last axis of their own."""
    x = arraylike(x)
    axis1, axis2 = (in_bounds(axis, x.ndim, "diagonal") for axis in (axis1, axis2))
    if axis1 == axis2:
        raise ValueError(f"diagonal: axis1 and axis2 are both {axis1}, expected two axes")
    x = moveaxis(x, (axis1, axis2), (-2, -1))
    rows, columns = x.shape[-2:]
    length = max(0, min(rows + min(offset, 0), columns - max(offset, 0)))
    i = module_of(x).arange(length)
    return _getitem(x, index=(..., i + max(-offset, 0), i + max(offset, 0)))


@op(None)
def rows_of_ones(ids, num_classes, dtype):
    """``one_hot`` of ids that have been checked: for the rules of the losses, whose forwards do that."""
    return (ids[..., None] == array_module(ids).arange(num_classes)).astype(dtype)


def one_hot(ids, num_classes, dtype=np.float32) -> Tensor:
    """For each integer id a row of zeros with a 1 at that place: shape ``(*ids.shape, num_classes)``.

    IndexError for an id outside [0, num_classes); on a GPU where the next number is read.
    """
    ids = arraylike(ids)
    plain = data_of(ids)
    if plain.dtype.kind not in "iu":
        raise TypeError(f"one_hot: ids must be integers, got {plain.dtype}")
    plain, _ = checked_ids(plain, 0, num_classes, ("one_hot: id {id} is outside [0, {0})", num_classes))
    return rows_of_ones(plain, num_classes, dtype)


# -------------------------------------------------------------------------------------------------------- sorting


@op(None)
def argsort(x, axis=-1):
    """The indices that would sort x along ``axis`` (flattened with None), equal elements in their order."""
    return x.argsort(axis=axis, kind="stable")


def sort(x, axis=-1) -> Tensor:
    """x sorted in rising order along ``axis`` (flattened first with None); a NaN comes last."""
    x = arraylike(x)
    if axis is None:
        x, axis = reshape(x, (-1,)), 0
    axis = in_bounds(axis, x.ndim, "sort")
    return take_along_axis(x, argsort(x, axis), axis)


@op(None)
def _top_indices(x, k, axis, largest):
    n = x.shape[axis]
    if largest:  # sorted backwards, so that of equal elements the first comes first
        xp = array_module(x)
        order = n - 1 - xp.flip(xp.flip(x, axis).argsort(axis=axis, kind="stable"), axis)
    else:
        order = x.argsort(axis=axis, kind="stable")
    return order[_along(axis, slice(0, k))]


def topk(x, k, axis=-1, largest=True) -> tuple[Tensor, Tensor]:
    """The k largest (or smallest) elements along ``axis``, in order, and their indices: ``(values, indices)``.

    >>> values, indices = topk([1.0, 5.0, 3.0], 2)
    >>> values.tolist(), indices.tolist()
    ([5.0, 3.0], [1, 2])
    """
    x = arraylike(x)
    axis = in_bounds(axis, x.ndim, "topk")
    if not isinstance(k, (int, np.integer)) or not 0 <= k <= x.shape[axis]:
        raise ValueError(f"topk: k is {k}, expected an integer between 0 and {x.shape[axis]}, the length of axis {axis}")
    indices = _top_indices(x, k=k, axis=axis, largest=largest)
    return take_along_axis(x, indices, axis), indices
