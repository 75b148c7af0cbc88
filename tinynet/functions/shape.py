"""Functions that move elements without computing: shapes, joining and splitting, indexing, sorting; named as in NumPy.

The one idea: the rule of a function that picks elements puts the gradient back where they came from, adding where one was
picked twice; so ``getitem`` and ``take`` have a scatter as their rule and the scatter has them as its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..backend import array_module, is_array
from ..op import module_of, op
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
    arrays = [arraylike(x) for x in xs]
    floats = [a.dtype for x, a in zip(xs, arrays, strict=True) if a.dtype.kind == "f" and not isinstance(x, NUMBERS)]
    if not floats or len(floats) == len(xs):
        return arrays
    dtype = np.result_type(*floats)
    weak = (isinstance(x, NUMBERS) and a.dtype.kind == "f" for x, a in zip(xs, arrays, strict=True))
    return [Tensor(x, dtype) if w else a for x, a, w in zip(xs, arrays, weak, strict=True)]


def in_bounds(axis: int, ndim: int, name: str) -> int:
    """The axis counted from the front; an AxisError of the function ``name`` where an array of ``ndim`` axes has it not."""
    if not -ndim <= axis < ndim:
        raise np.exceptions.AxisError(f"{name}: axis {axis} is out of bounds for an array of {ndim} axes")
    return axis % ndim


def _tuple(x: Any) -> tuple:
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
    to, by = ([in_bounds(a, x.ndim, "moveaxis") for a in _tuple(p)] for p in (destination, source))
    if len(set(to)) != len(by) or len(set(by)) != len(to):
        raise ValueError(f"moveaxis: source {source} and destination {destination} must be as many axes, none twice")
    moved = dict(zip(to, by, strict=True))
    rest = iter([a for a in range(x.ndim) if a not in moved.values()])
    return transpose(x, tuple(moved[i] if i in moved else next(rest) for i in range(x.ndim)))


def expand_dims(x, axis) -> Tensor:
    """New axes of length 1 at the positions ``axis`` (an integer or a tuple) of the result."""
    x = arraylike(x)
    ndim = x.ndim + len(_tuple(axis))
    new = {in_bounds(a, ndim, "expand_dims") for a in _tuple(axis)}
    if x.ndim + len(new) != ndim:
        raise ValueError(f"expand_dims: axis {axis} names one position twice")
    rest = iter(x.shape)
    return reshape(x, tuple(1 if i in new else next(rest) for i in range(ndim)))


def squeeze(x, axis=None) -> Tensor:
    """Without the axes ``axis`` (an integer, a tuple, or None for all) of length 1; ValueError where one is longer."""
    x = arraylike(x)
    if axis is None:
        axis = tuple(i for i, n in enumerate(x.shape) if n == 1)
    gone = {in_bounds(a, x.ndim, "squeeze") for a in _tuple(axis)}
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


# ------------------------------------------------------------------------------------------- joining and splitting


def _piece(g, y, *arrays, index, axis):
    axis %= y.ndim
    start = sum(a.shape[axis] for a in arrays[:index])
    return g[(slice(None),) * axis + (slice(start, start + arrays[index].shape[axis]),)]


@op(_piece, variadic=True)
def _concatenate(*arrays, axis):
    return array_module(arrays[0]).concatenate(arrays, axis=axis)


def concatenate(arrays, axis=0) -> Tensor:
    """A sequence of arrays joined along an existing axis (each flattened first where ``axis`` is None)."""
    arrays = arraylikes(arrays)
    if not arrays:
        raise ValueError("concatenate: arrays is empty; expected at least one")
    if axis is None:
        return _concatenate(*(reshape(a, (-1,)) for a in arrays), axis=0)
    return _concatenate(*arrays, axis=axis)


def stack(arrays, axis=0) -> Tensor:
    """A sequence of arrays of one shape joined along a new axis.

    >>> stack([[1.0, 2.0], [3.0, 4.0]], axis=1).tolist()
    [[1.0, 3.0], [2.0, 4.0]]
    """
    arrays = arraylikes(arrays)
    shapes = list(dict.fromkeys(a.shape for a in arrays))
    if len(shapes) != 1:
        raise ValueError(f"stack: expected one or more arrays of one shape, got shapes {shapes}")
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
    if np.ndim(repeats) > 1 or np.size(repeats) not in (1, n) or np.min(repeats, initial=0) < 0:
        raise ValueError(f"repeat: repeats is {repeats}, expected a number of at least 0, or {n}, one for each element")
    return take(x, module_of(x).asarray(np.repeat(np.arange(n), repeats)), axis=axis)


def tile(x, reps) -> Tensor:
    """x laid side by side ``reps`` times along each axis, as in NumPy.

    >>> tile([1.0, 2.0], (2, 2)).tolist()
    [[1.0, 2.0, 1.0, 2.0], [1.0, 2.0, 1.0, 2.0]]
    """
    x = arraylike(x)
    reps = _tuple(reps)
    ndim = max(x.ndim, len(reps))
    shape = (1,) * (ndim - x.ndim) + tuple(x.shape)
    reps = (1,) * (ndim - len(reps)) + reps
    pairs = list(zip(reps, shape, strict=True))
    once = reshape(x, tuple(m for _, n in pairs for m in (1, n)))
    return reshape(broadcast_to(once, tuple(m for pair in pairs for m in pair)), tuple(r * n for r, n in pairs))


# ------------------------------------------------------------------------------------------------------- indexing


def _is_basic(index: Any) -> bool:
    parts = index if isinstance(index, tuple) else (index,)
    return all(p is None or p is ... or isinstance(p, (int, slice, np.integer)) for p in parts)


@op(lambda g, y, x, index, shape: _getitem(g, index=index))
def _put(x, index, shape):
    """Zeros of ``shape`` with x added at ``index``; an element picked twice gets both."""
    xp = array_module(x)
    out = xp.zeros(shape, x.dtype)
    if _is_basic(index) or (is_array(index) and index.dtype == bool):
        out[index] = x  # nothing can be picked twice
    else:
        xp.add.at(out, index, x)
    return out


@op(lambda g, y, x, index: _put(g, index=index, shape=x.shape))
def _getitem(x, index):
    return x[index]


def getitem(x, index) -> Tensor:
    """``x[index]`` by integers, slices, None, ..., integer and boolean arrays or Tensors, as in NumPy."""

    def plain(part):
        part = part.data if isinstance(part, Tensor) else part
        return np.asarray(part, dtype=None if part else int) if isinstance(part, list) else part  # [] picks nothing

    return _getitem(x, index=tuple([plain(p) for p in index]) if isinstance(index, tuple) else plain(index))


def _along(axis: int, indices: Any) -> tuple:
    return (slice(None),) * axis + (indices,)


def take(x, indices, axis=None) -> Tensor:
    """The elements (slices, with ``axis``) at integer ``indices``, of the flattened array without ``axis``.

    Indices may repeat; their gradients add up. IndexError out of range.
    """
    x = arraylike(x)
    if axis is None:
        x, axis = reshape(x, (-1,)), 0
    if not isinstance(indices, (int, np.integer)):
        indices = arraylike(indices)
        indices = indices.data if isinstance(indices, Tensor) else indices
    return _getitem(x, index=_along(in_bounds(axis, x.ndim, "take"), indices))


def take_along_axis(x, indices, axis) -> Tensor:
    """For each position of ``indices`` (as many axes as x) the element of x with that index along ``axis``."""
    x, indices = arraylike(x), arraylike(indices)
    indices = indices.data if isinstance(indices, Tensor) else indices
    if axis is None:
        x, axis = reshape(x, (-1,)), 0
    if indices.ndim != x.ndim:
        raise ValueError(f"take_along_axis: indices have {indices.ndim} axes, expected {x.ndim} like x")
    axis, xp = in_bounds(axis, x.ndim, "take_along_axis"), array_module(indices)
    grid = [xp.arange(n).reshape(tuple(-1 if j == i else 1 for j in range(x.ndim))) for i, n in enumerate(x.shape)]
    grid[axis] = indices
    return _getitem(x, index=tuple(grid))


def diagonal(x, offset=0, axis1=0, axis2=1) -> Tensor:
    """The elements x[i, i + offset] over two axes, on a last axis of their own."""
    x = moveaxis(x, (axis1, axis2), (-2, -1))
    rows, columns = x.shape[-2:]
    length = max(0, min(rows + min(offset, 0), columns - max(offset, 0)))
    i = module_of(x).arange(length)
    return _getitem(x, index=(..., i + max(-offset, 0), i + max(offset, 0)))


@op(None)
def one_hot(ids, num_classes, dtype=np.float32):
    """For each integer id a row of zeros with a 1 at that place: shape ``(*ids.shape, num_classes)``.

    IndexError for an id outside [0, num_classes).
    """
    xp = array_module(ids)
    if ids.dtype.kind not in "iu":
        raise TypeError(f"one_hot: ids must be integers, got {ids.dtype}")
    wrong = (ids < 0) | (ids >= num_classes)
    if wrong.any():
        raise IndexError(f"one_hot: id {int(ids[wrong][0])} is outside [0, {num_classes})")
    return (ids[..., None] == xp.arange(num_classes)).astype(dtype)


# ------------------------------------------------------------------------------------------------ sorting, padding


@op(None)
def argsort(x, axis=-1):
    """The indices that would sort x along ``axis`` (flattened with None), equal elements in their order."""
    return x.argsort(axis=axis, kind="stable")


def sort(x, axis=-1) -> Tensor:
    """x sorted in rising order along ``axis`` (flattened first with None); a NaN comes last."""
    x = arraylike(x)
    if axis is None:
        x, axis = reshape(x, (-1,)), 0
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
    if not 0 <= k <= x.shape[axis]:
        raise ValueError(f"topk: k is {k}, expected between 0 and {x.shape[axis]}, the length of axis {axis}")
    indices = _top_indices(x, k=k, axis=axis, largest=largest)
    return take_along_axis(x, indices, axis), indices


def _inner(g, y, x, pad_width, constant_values):
    return g[tuple(slice(before, before + n) for (before, _), n in zip(pad_width, x.shape, strict=True))]


@op(_inner)
def _pad_constant(x, pad_width, constant_values):
    return array_module(x).pad(x, pad_width, constant_values=constant_values)


_PAD_MODES = ("constant", "edge", "reflect", "symmetric", "wrap", "maximum", "minimum", "mean")


def pad(x, pad_width, mode="constant", constant_values=0) -> Tensor:
    """x with borders of ``pad_width`` elements: one number, (before, after), or a pair for each axis, as in NumPy.

    ``mode``: ``"constant"``, or a border made of x itself: ``"edge"``, ``"reflect"``, ``"symmetric"``, ``"wrap"``,
    ``"maximum"``, ``"minimum"``, ``"mean"``.

    >>> pad([1.0, 2.0, 3.0], (2, 1), mode="reflect")
    tensor([3., 2., 1., 2., 3., 2.])
    """
    x = arraylike(x)
    given, shapes = np.asarray(pad_width), ((), (1,), (2,), (1, 2), (x.ndim, 1), (x.ndim, 2))
    if given.dtype.kind not in "iu" or given.shape not in shapes or (given < 0).any():
        raise ValueError(f"pad: pad_width is {pad_width}, expected integers of at least 0: one, a pair, or {x.ndim} pairs")
    if mode not in _PAD_MODES:
        raise ValueError(f"pad: unknown mode {mode!r}; expected one of {', '.join(_PAD_MODES)}")
    widths = tuple((int(a), int(b)) for a, b in np.broadcast_to(given, (x.ndim, 2)))
    if mode == "constant":
        return _pad_constant(x, pad_width=widths, constant_values=constant_values)
    for axis, (before, after) in enumerate(widths):
        if (before, after) == (0, 0):
            continue
        if mode in ("edge", "reflect", "symmetric", "wrap"):  # each of these is a choice of indices
            chosen = np.pad(np.arange(x.shape[axis]), (before, after), mode=mode)
            x = take(x, module_of(x).asarray(chosen), axis=axis)
        else:
            line = getattr(x, mode[:3] if mode != "mean" else mode)(axis=axis, keepdims=True)
            x = concatenate([repeat(line, before, axis), x, repeat(line, after, axis)], axis)
    return x
