"""Shapes and axes: the same elements in another arrangement. Named and parametrised as in NumPy.

Here too is what all functions do with their operands first: ``arraylike``, ``arraylikes``, ``in_bounds``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from operator import index
from typing import Any

import numpy as np

from ..backend import array_module, is_array
from ..op import op
from ..tensor import RAW, Tensor, make, mode

NUMBERS = (int, float, np.generic, list, tuple)  # operands that have no dtype of their own, and take that of the others


def arraylike(x: Any) -> Any:
    """x as a Tensor; inside the rules of an ordinary backward, where ops map arrays to arrays, an array as it is.

    A NumPy scalar counts as the number it is, as in ``op``: float32.
    """
    if isinstance(x, Tensor):
        return x
    if mode.now is RAW and (is_array(x) or isinstance(x, np.generic)):
        return np.asarray(x) if isinstance(x, np.generic) else x
    return make(x) if is_array(x) else Tensor(x.item() if isinstance(x, np.generic) else x)


def arraylikes(xs: Iterable[Any]) -> list:
    """Several operands, each ``arraylike``; floats and lists of floats take the dtype of the float arrays beside them."""
    xs = list(xs)
    for x in xs:
        if not isinstance(x, Tensor):
            break
    else:
        return xs  # by far the most frequent case: 0.5 us instead of 4
    arrays = [arraylike(x) for x in xs]
    floats = [a.dtype for x, a in zip(xs, arrays, strict=True) if a.dtype.kind == "f" and not isinstance(x, NUMBERS)]
    if not floats or len(floats) == len(xs):
        return arrays
    dtype = np.result_type(*floats)
    weak = (isinstance(x, NUMBERS) and a.dtype.kind == "f" for x, a in zip(xs, arrays, strict=True))
    return [Tensor(x, dtype) if w else a for x, a, w in zip(xs, arrays, weak, strict=True)]


def shape_of(x: Any) -> tuple[int, ...]:
    """The shape of an array or a Tensor, wherever it lives, of a number or of a list of numbers."""
    return x.shape if isinstance(x, Tensor) or is_array(x) else np.shape(x)


def in_bounds(axis: int, ndim: int, name: str) -> int:
    """The axis counted from the front; an AxisError of the function ``name`` where an array of ``ndim`` axes has it not."""
    try:
        axis = index(axis)
    except (TypeError, ValueError):
        raise TypeError(f"{name}: axis is of type {type(axis).__name__}, expected an integer") from None
    if not -ndim <= axis < ndim:
        raise np.exceptions.AxisError(f"{name}: axis {axis} is out of bounds for an array of {ndim} axes")
    return axis % ndim


def first_place(mask: Any) -> tuple[int, ...]:
    """The index of the first true element, for an error to name it."""
    return tuple(int(i) for i in np.unravel_index(int(mask.argmax()), mask.shape))


def as_tuple(x: Any) -> tuple:
    return tuple(x) if isinstance(x, (tuple, list)) else (x,)


# ------------------------------------------------------------------------------------------------ shapes and axes


@op(lambda g, y, x, shape: g.reshape(x.shape))
def reshape(x, shape):
    """The same elements, in row-major order, in another shape; one length may be -1. ``x.reshape(2, -1)`` works too."""
    return x.reshape(shape)


def _back(axes: Sequence[int] | None) -> tuple[int, ...] | None:
    return None if axes is None else tuple(int(i) for i in np.argsort([a % len(axes) for a in axes]))


@op(lambda g, y, x, axes: g.transpose(_back(axes)))
def transpose(x, axes=None):
    """The axes in the order ``axes``, reversed without it. ``x.T`` is short for the latter."""
    return x.transpose(axes)


@op(lambda g, y, x, axis1, axis2: g.swapaxes(axis1, axis2))
def swapaxes(x, axis1, axis2):
    """Two axes exchanged."""
    return x.swapaxes(axis1, axis2)


def moveaxis(x, source, destination) -> Tensor:
    """Axes moved from the positions ``source`` to ``destination`` (integers or tuples), the others left in order.

    >>> moveaxis(np.zeros((2, 3, 4)), 0, -1).shape
    (3, 4, 2)
    """
    x = arraylike(x)
    to, by = ([in_bounds(a, x.ndim, "moveaxis") for a in as_tuple(p)] for p in (destination, source))
    if len(set(to)) != len(by) or len(set(by)) != len(to):
        raise ValueError(f"moveaxis: source {source} and destination {destination} must be as many axes, none twice")
    moved = dict(zip(to, by, strict=True))
    rest = iter([a for a in range(x.ndim) if a not in moved.values()])
    return transpose(x, tuple(moved[i] if i in moved else next(rest) for i in range(x.ndim)))


def expand_dims(x, axis) -> Tensor:
    """New axes of length 1 at the positions ``axis`` (an integer or a tuple) of the result."""
    x = arraylike(x)
    ndim = x.ndim + len(as_tuple(axis))
    new = {in_bounds(a, ndim, "expand_dims") for a in as_tuple(axis)}
    if x.ndim + len(new) != ndim:
        raise ValueError(f"expand_dims: axis {axis} names one position twice")
    rest = iter(x.shape)
    return reshape(x, tuple(1 if i in new else next(rest) for i in range(ndim)))


def squeeze(x, axis=None) -> Tensor:
    """Without the axes ``axis`` (an integer, a tuple, or None for all) of length 1; ValueError where one is longer."""
    x = arraylike(x)
    if axis is None:
        axis = tuple(i for i, n in enumerate(x.shape) if n == 1)
    gone = {in_bounds(a, x.ndim, "squeeze") for a in as_tuple(axis)}
    for a in gone:
        if x.shape[a] != 1:
            raise ValueError(f"squeeze: axis {a} of shape {x.shape} has length {x.shape[a]}, expected 1")
    return reshape(x, tuple(n for i, n in enumerate(x.shape) if i not in gone))


def flatten(x, start_axis=0, end_axis=-1) -> Tensor:
    """The axes from ``start_axis`` to ``end_axis`` joined into one.

    >>> flatten(np.zeros((2, 3, 4)), start_axis=1).shape
    (2, 12)
    """
    x = arraylike(x)
    if x.ndim == 0:
        return reshape(x, (1,))
    first, last = in_bounds(start_axis, x.ndim, "flatten"), in_bounds(end_axis, x.ndim, "flatten")
    if first > last:
        raise ValueError(f"flatten: start_axis {start_axis} comes after end_axis {end_axis} for shape {x.shape}")
    return reshape(x, (*x.shape[:first], math.prod(x.shape[first : last + 1]), *x.shape[last + 1 :]))


@op(lambda g, y, x, shape: g)  # summed back by the engine, like every broadcast
def broadcast_to(x, shape):
    """x repeated along new axes and axes of length 1 until it has ``shape``; a read-only view, nothing is copied."""
    return array_module(x).broadcast_to(x, shape)


@op(lambda g, y, x, axis: flip(g, axis=axis))
def flip(x, axis=None):
    """The order of the elements reversed along ``axis`` (an integer, a tuple, or None for all)."""
    return array_module(x).flip(x, axis)


def _opposite(shift):
    return tuple(-s for s in shift) if isinstance(shift, (tuple, list)) else -shift


@op(lambda g, y, x, shift, axis: roll(g, _opposite(shift), axis))
def roll(x, shift, axis=None):
    """Elements moved on by ``shift`` along ``axis``, those pushed off the end coming in again at the start."""
    return array_module(x).roll(x, shift, axis)


@op(lambda g, y, x, k: tril(g, k))
def tril(x, k=0):
    """Zero above the k-th diagonal of the last two axes."""
    return array_module(x).tril(x, k)


@op(lambda g, y, x, k: triu(g, k))
def triu(x, k=0):
    """Zero below the k-th diagonal of the last two axes."""
    return array_module(x).triu(x, k)
