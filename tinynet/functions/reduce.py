"""Reductions over axes, and running sums and products; ``axis`` and ``keepdims`` as in NumPy.

``axis`` is None (all axes), an integer or a tuple. The one idea: a reduction's rule puts the reduced axes back as axes of
length 1 (``_restore``), and from there broadcasting does the rest.
"""

from __future__ import annotations

import math

import numpy as np

from ..backend import array_module
from ..op import module_of, op
from ..tensor import Tensor
from .elementwise import abs, exp, floats, pow, where
from .shape import broadcast_to, expand_dims, flip, moveaxis, reshape, roll

VIEW_FROM = 16384  # elements: NumPy's broadcast_to takes 2 us, which fewer are written in


def _axes(x, axis) -> tuple[int, ...]:
    if axis is None or x.ndim == 0:  # NumPy lets axis 0 of a number pass
        return tuple(range(x.ndim))
    return tuple(a % x.ndim for a in (axis if isinstance(axis, tuple) else (axis,)))


def _restore(r, x, axis):
    """A result of reducing x, or its gradient, with the reduced axes as axes of length 1."""
    if axis is None:
        return r.reshape((1,) * x.ndim)
    axes = _axes(x, axis)
    return r.reshape(tuple(1 if i in axes else n for i, n in enumerate(x.shape)))


def _spread(r, x, axis):
    """The same, repeated along the reduced axes to x's shape."""
    r = _restore(r, x, axis)
    if type(r) is not np.ndarray or x.size >= VIEW_FROM:
        return broadcast_to(r, x.shape)
    gx = np.empty(x.shape, r.dtype)
    gx[...] = r
    return gx


def _count(x, axis) -> int:
    return math.prod(x.shape[a] for a in _axes(x, axis))


def _divided(g, n: int):
    """g / n; of float16 too, which has no n above 65504."""
    return g * (1 / n) if n > 65504 and g.dtype.itemsize == 2 else g / n


def _in_float32(f, x):
    """f(x); of float16 by way of float32, as it adds up squares, which in float16 end at 65504."""
    return f(x.astype(np.float32)).astype(x.dtype) if x.dtype.char == "e" else f(x)


# ----------------------------------------------------------------------------------------------------- sums, moments


@op(lambda g, y, x, axis, keepdims: _spread(g, x, axis))
def sum(x, axis=None, keepdims=False):
    """The sum over ``axis``."""
    return x.sum(axis=axis, keepdims=keepdims)


@op(lambda g, y, x, axis, keepdims: _spread(_divided(g, _count(x, axis)), x, axis))
def mean(x, axis=None, keepdims=False):
    """The mean over ``axis``; of integers too, as float32."""
    return x.mean(axis=axis, keepdims=keepdims)


def _deviation(x, axis):
    return x - x.mean(axis=axis, keepdims=True)


def _var_rule(g, y, x, axis, keepdims, ddof):
    return _divided(_restore(g, x, axis) * 2 * _deviation(x, axis), _count(x, axis) - ddof)


@op(_var_rule)
def var(x, axis=None, keepdims=False, ddof=0):
    """The variance over ``axis``, sum((x - mean)**2) / (n - ddof). ``ddof`` is 0 as in NumPy; PyTorch's default is 1."""
    return _in_float32(lambda x: x.var(axis=axis, keepdims=keepdims, ddof=ddof), x)


def _over_root(g, y):
    """g / y for a root y; where that is 0, what it is multiplied by is 0, and slope 0 is wanted, as in PyTorch."""
    if isinstance(g, Tensor):
        return where(y == 0, 0, g) / where(y == 0, 1, y)  # that slope's own slope is 0, too
    return g / where(y == 0, 1, y)


def _std_rule(g, y, x, axis, keepdims, ddof):
    return _divided(_restore(_over_root(g, y), x, axis) * _deviation(x, axis), _count(x, axis) - ddof)


@op(_std_rule)
def std(x, axis=None, keepdims=False, ddof=0):
    """The standard deviation over ``axis``, the root of ``var``; where it is 0, its gradient is taken as 0."""
    return _in_float32(lambda x: x.std(axis=axis, keepdims=keepdims, ddof=ddof), x)


@op(lambda g, y, x, axis, keepdims: _restore(_over_root(g, y), x, axis) * x)
def _norm(x, axis, keepdims):
    x = x if x.dtype.kind == "f" else x.astype(np.float32)  # the squares of bytes would wrap
    return _in_float32(lambda x: array_module(x).sqrt((x * x).sum(axis=axis, keepdims=keepdims)), x)


def norm(x, ord=2, axis=None, keepdims=False) -> Tensor:
    """The vector norm sum(|x|**ord)**(1/ord) over ``axis``; ``ord`` may be inf or -inf for the largest or smallest |x|.

    Always of vectors: with ``axis=None`` of all elements as one, where NumPy would take a matrix norm for other orders.
    The gradient at 0 is taken as 0, as in PyTorch.

    >>> norm([3.0, 4.0])
    tensor(5.)
    """
    if ord in (None, 2):
        return _norm(x, axis=axis, keepdims=keepdims)
    x = floats(x)
    if ord in (np.inf, -np.inf):
        return (max if ord > 0 else min)(abs(x), axis=axis, keepdims=keepdims)
    if ord == 0:
        raise ValueError("norm: ord=0 counts the non-zero elements and has no gradient; use (x != 0).sum()")
    if not isinstance(ord, (int, float, np.number)):
        raise ValueError(f"norm: ord is {ord!r}, expected a number, inf or -inf")
    if ord == 1:
        return sum(abs(x), axis=axis, keepdims=keepdims)
    total = sum(pow(abs(x), ord), axis=axis, keepdims=keepdims)
    return where(total == 0, 0, pow(where(total == 0, 1, total), 1 / ord))


def _logsumexp_rule(g, y, x, axis, keepdims):
    y = _restore(where(y == -np.inf, 0, y), x, axis)
    return _restore(g, x, axis) * exp(x - y)


def finite_top(x, axis):
    """The largest element over ``axis`` (kept), 0 where that is infinite or there is none: what is taken from x before exp
    can overflow."""
    xp = array_module(x)
    top = (x.max if x.size else x.sum)(axis=axis, keepdims=True)
    return xp.where(xp.isfinite(top), top, 0.0)  # a float: less an integer, bytes would wrap


@op(_logsumexp_rule)
def logsumexp(x, axis=None, keepdims=False):
    """log(sum(exp(x))) over ``axis`` without overflow: the largest element is taken out first, line by line.

    -inf where all elements are or there are none, inf where one is.
    """
    xp = array_module(x)
    top = finite_top(x, axis)
    total = xp.exp(x - top).sum(axis=axis, keepdims=True)
    y = xp.where(total == 0, -np.inf, xp.log(xp.where(total == 0, 1, total)) + top)
    return y if keepdims else y.squeeze(axis)


# ---------------------------------------------------------------------------------------------------------- extremes


def _extreme_rule(g, y, x, axis, keepdims):
    chosen = (x == _restore(y, x, axis)) | (x != x)  # a NaN is the extreme of its line
    chosen = chosen.astype(g.dtype)
    return _restore(g, x, axis) * chosen / chosen.sum(axis=axis, keepdims=True)


@op(_extreme_rule)
def max(x, axis=None, keepdims=False):
    """The largest element over ``axis``, NaN where there is one. Equal largest elements share the gradient evenly.

    Unlike ``torch.max(x, dim)`` it returns no indices (use ``argmax``), like ``torch.amax``.
    """
    return x.max(axis=axis, keepdims=keepdims)


@op(_extreme_rule)
def min(x, axis=None, keepdims=False):
    """The smallest element over ``axis``, NaN where there is one. Equal smallest elements share the gradient evenly."""
    return x.min(axis=axis, keepdims=keepdims)


@op(None)
def argmax(x, axis=None, keepdims=False):
    """The index of the largest element (the first of equal ones) along ``axis``, of the flattened array without one."""
    return x.argmax(axis=axis, keepdims=keepdims)


@op(None)
def argmin(x, axis=None, keepdims=False):
    """The index of the smallest element (the first of equal ones) along ``axis``, of the flattened array without one."""
    return x.argmin(axis=axis, keepdims=keepdims)


@op(None)
def any(x, axis=None, keepdims=False):
    """Whether any element over ``axis`` is true (not zero)."""
    return x.any(axis=axis, keepdims=keepdims)


@op(None)
def all(x, axis=None, keepdims=False):
    """Whether all elements over ``axis`` are true (not zero)."""
    return x.all(axis=axis, keepdims=keepdims)


# ------------------------------------------------------------------------------------------ products, running totals


def _before(x):
    """For each element of the last axis the product of those before it."""
    return cumprod(where(module_of(x).arange(x.shape[-1]) == 0, 1, roll(x, 1, axis=-1)), axis=-1)


def _has_zero(x) -> bool:
    return bool((x == 0).any())


def _prod_rule(g, y, x, axis, keepdims):
    g, y = _restore(g, x, axis), _restore(y, x, axis)
    if not _has_zero(x):
        return g * y / x
    axes = _axes(x, axis)
    kept = tuple(i for i in range(x.ndim) if i not in axes)
    flat = x.transpose(kept + axes)
    shape = flat.shape
    flat = flat.reshape((*shape[: len(kept)], -1))
    others = (_before(flat) * flip(_before(flip(flat, axis=-1)), axis=-1)).reshape(shape)
    return g * others.transpose(tuple(int(i) for i in np.argsort(kept + axes)))


@op(_prod_rule)
def prod(x, axis=None, keepdims=False):
    """The product over ``axis``; its gradient is exact where elements are zero, too."""
    return x.prod(axis=axis, keepdims=keepdims)


def _running_back(g, axis):
    return flip(flip(g, axis=axis).cumsum(axis=axis), axis=axis)


@op(lambda g, y, x, axis: _running_back(g, axis))
def _cumsum(x, axis):
    return x.cumsum(axis=axis)


def cumsum(x, axis=None) -> Tensor:
    """The running sum along ``axis``, of the flattened array without one."""
    return _cumsum(reshape(x, (-1,)), axis=0) if axis is None else _cumsum(x, axis=axis)


def _cumprod_rule(g, y, x, axis):
    if not _has_zero(x):
        return _running_back(g * y, axis) / x
    if not isinstance(g, Tensor):  # products that have a first zero in them count for that one alone
        count = (x == 0).cumsum(axis=axis)
        first = (x == 0) & (count == 1)
        without = _running_back(g * where(first, 1, x).cumprod(axis=axis), axis)
        return where(first, without, where(count == 0, _running_back(g * y, axis) / where(x == 0, 1, x), 0))
    # To be differentiated again: entry (k, j) is the product of x[0..j] without x[k], n**2 of them for n elements.
    n = x.shape[axis]
    others = cumprod(where(module_of(x).eye(n, dtype=bool), 1, expand_dims(moveaxis(x, axis, -1), -2)), axis=-1)
    later = module_of(x).tri(n, dtype=bool).T  # x[k] stands in the products from j = k on
    total = where(later, others * expand_dims(moveaxis(g, axis, -1), -2), 0).sum(axis=-1)
    return moveaxis(total, -1, axis)


@op(_cumprod_rule)
def _cumprod(x, axis):
    return x.cumprod(axis=axis)


def cumprod(x, axis=None) -> Tensor:
    """The running product along ``axis``, of the flattened array without one; exact where elements are zero, too."""
    return _cumprod(reshape(x, (-1,)), axis=0) if axis is None else _cumprod(x, axis=axis)
