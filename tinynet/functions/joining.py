"""Joining, splitting, repeating and padding. Named and parametrised as in NumPy."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import numpy as np

from ..backend import array_module, constant
from ..op import data_of, module_of, op
from ..tensor import Tensor
from . import reduce  # not its max and min by name, which Python has, too
from .indexing import getitem, sort, take
from .shape import arraylike, arraylikes, as_tuple, broadcast_to, expand_dims, in_bounds, reshape


def _piece(g, y, *arrays, index, axis, starts):
    return g[(slice(None),) * (axis % y.ndim) + (slice(starts[index], starts[index + 1]),)]


@op(_piece, variadic=True)
def _concatenate(*arrays, axis, starts):
    return array_module(arrays[0]).concatenate(arrays, axis=axis)


def _joined(arrays: list, axis: int) -> Tensor:
    # Each array's place is counted once here, not by every array's rule: 1,000 steps are stacked in linear time.
    lengths = (a.shape[axis] if axis < a.ndim else 0 for a in arrays)
    return _concatenate(*arrays, axis=axis, starts=tuple(accumulate(lengths, initial=0)))


def concatenate(arrays, axis=0) -> Tensor:
    """A sequence of arrays joined along an existing axis (each flattened first where ``axis`` is None)."""
    arrays = arraylikes(arrays)
    if not arrays:
        raise ValueError("concatenate: arrays is empty; expected at least one")
    if axis is None:
        return _joined([reshape(a, (-1,)) for a in arrays], 0)
    return _joined(arrays, in_bounds(axis, arrays[0].ndim, "concatenate"))


def stack(arrays, axis=0) -> Tensor:
    """A sequence of arrays of one shape joined along a new axis.

    >>> stack([[1.0, 2.0], [3.0, 4.0]], axis=1).tolist()
    [[1.0, 3.0], [2.0, 4.0]]
    """
    arrays = arraylikes(arrays)
    shapes = list(dict.fromkeys(a.shape for a in arrays))
    if len(shapes) != 1:
        raise ValueError(f"stack: expected one or more arrays of one shape, got shapes {shapes}")
    axis = in_bounds(axis, len(shapes[0]) + 1, "stack")
    return concatenate([expand_dims(a, axis) for a in arrays], axis)


def split(x, indices_or_sections, axis=0) -> list[Tensor]:
    """x cut along ``axis``: into equal parts for an integer, before each index for a sequence, as in NumPy."""
    x = arraylike(x)
    axis = in_bounds(axis, x.ndim, "split")
    n = x.shape[axis]
    if isinstance(indices_or_sections, (int, np.integer)):
        parts = int(indices_or_sections)
        if parts < 1 or n % parts:
            raise ValueError(f"split: axis {axis} of length {n} cannot be cut into {parts} equal parts")
        cuts = [n // parts * i for i in range(1, parts)]
    else:
        cuts = [int(i) for i in indices_or_sections]
    ends = zip([0, *cuts], [*cuts, n], strict=True)
    return [getitem(x, (slice(None),) * axis + (slice(a, b),)) for a, b in ends]


def repeat(x, repeats, axis=None) -> Tensor:
    """Each element ``repeats`` times in a row along ``axis`` (flattened first without one); ``repeats`` may be a list."""
    x = arraylike(x)
    if axis is None:
        x, axis = reshape(x, (-1,)), 0
    n = x.shape[in_bounds(axis, x.ndim, "repeat")]
    repeats = repeats.tolist() if isinstance(repeats, Tensor) else repeats
    if np.ndim(repeats) > 1 or np.size(repeats) not in (1, n) or np.min(repeats, initial=0) < 0:
        raise ValueError(f"repeat: repeats is {repeats}, expected a number of at least 0, or {n}, one for each element")
    return take(x, constant(np.repeat(np.arange(n), repeats), data_of(x)), axis=axis)


def tile(x, reps) -> Tensor:
    """x laid side by side ``reps`` times along each axis, as in NumPy.

    >>> tile([1.0, 2.0], (2, 2)).tolist()
    [[1.0, 2.0, 1.0, 2.0], [1.0, 2.0, 1.0, 2.0]]
    """
    x = arraylike(x)
    reps = as_tuple(reps)
    ndim = max(x.ndim, len(reps))
    shape = (1,) * (ndim - x.ndim) + tuple(x.shape)
    reps = (1,) * (ndim - len(reps)) + reps
    pairs = list(zip(reps, shape, strict=True))
    once = reshape(x, tuple(m for _, n in pairs for m in (1, n)))
    return reshape(broadcast_to(once, tuple(m for pair in pairs for m in pair)), tuple(r * n for r, n in pairs))


# -------------------------------------------------------------------------------------------------------- padding


def _inner(g, y, x, pad_width, constant_values):
    return g[tuple(slice(before, before + n) for (before, _), n in zip(pad_width, x.shape, strict=True))]


@op(_inner)
def _pad_constant(x, pad_width, constant_values):
    return array_module(x).pad(x, pad_width, constant_values=constant_values)


_BY_INDEX = ("edge", "reflect", "symmetric", "wrap")
_BY_VALUE = ("maximum", "minimum", "mean", "median", "linear_ramp")


def pad(x, pad_width, mode="constant", constant_values=0) -> Tensor:
    """x with borders of ``pad_width`` elements: one number, (before, after), or a pair for each axis, as in NumPy.

    ``mode``: ``"constant"``; a border made of x itself, ``"edge"``, ``"reflect"``, ``"symmetric"``, ``"wrap"``,
    ``"maximum"``, ``"minimum"``, ``"mean"``, ``"median"``; ``"linear_ramp"`` (of floats), from the edge down to 0; or
    ``"empty"``, for which NumPy promises no values and these are 0.

    >>> pad([1.0, 2.0, 3.0], (2, 1), mode="reflect")
    tensor([3., 2., 1., 2., 3., 2.])
    """
    x = arraylike(x)
    given, shapes = np.asarray(pad_width), ((), (1,), (2,), (1, 2), (x.ndim, 1), (x.ndim, 2))
    if given.dtype.kind not in "iu" or given.shape not in shapes or (given < 0).any():
        raise ValueError(f"pad: pad_width is {pad_width}, expected integers of at least 0: one, a pair, or {x.ndim} pairs")
    widths = tuple((int(a), int(b)) for a, b in np.broadcast_to(given, (x.ndim, 2)))
    if mode in ("constant", "empty"):
        return _pad_constant(x, pad_width=widths, constant_values=constant_values if mode == "constant" else 0)
    if mode not in _BY_INDEX + _BY_VALUE:
        known = ", ".join(("constant", "empty", *_BY_INDEX, *_BY_VALUE))
        raise ValueError(f"pad: unknown mode {mode!r}; expected one of {known}")
    for axis, (before, after) in enumerate(widths):
        if (before, after) == (0, 0):
            continue
        if x.shape[axis] == 0:
            raise ValueError(f"pad: axis {axis} of x of shape {x.shape} is empty: nothing for mode {mode!r} to repeat")
        if mode in _BY_INDEX:
            chosen = np.pad(np.arange(x.shape[axis]), (before, after), mode=mode)
            x = take(x, constant(chosen, data_of(x)), axis=axis)
        else:
            x = concatenate([_border(x, axis, before, mode, 0), x, _border(x, axis, after, mode, -1)], axis)
    return x


def _border(x, axis: int, width: int, mode: str, end: int) -> Any:
    """``width`` lines to lie before the first line along ``axis`` (``end`` 0) or behind the last (-1)."""
    if mode == "linear_ramp":
        ramp = module_of(x).arange(width, dtype=x.dtype) / (width or 1)
        ramp = (ramp if end == 0 else ramp[::-1]).astype(x.dtype).reshape((-1,) + (1,) * (x.ndim - 1 - axis))
        return take(x, [end], axis=axis) * ramp
    if mode == "median":
        n = x.shape[axis]
        line = take(sort(x, axis), [(n - 1) // 2, n // 2], axis=axis).mean(axis=axis, keepdims=True)
    else:
        line = {"maximum": reduce.max, "minimum": reduce.min, "mean": reduce.mean}[mode](x, axis=axis, keepdims=True)
    return repeat(line, width, axis)
