"""Softmax with cross-entropy, row by row: the loss of each sample for its class, and the gradient of that.

The one idea: both start from exp(x - top) with each row's largest logit as its top, which neither overflows nor loses digits
at any size of the logits; the exponentials are computed again on the way back, which is cheaper than to keep them.
Measured, float32, 64 rows of 10 classes, forward and gradient: array code 16 and 19 us, compiled 5 and 5 us.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend import array_module
from .compiled import loops_of
from .gpu import softmax as on_gpu
from .gpu.launch import takes

LOOPS_FROM = 256  # elements: below, array code takes less than importing Numba (half a second) could ever save


def cross_entropy(x: Any, ids: Any) -> Any:
    """-log(softmax(x))[i, ids[i]] for x ``(N, C)`` and ids ``(N,)``, each in [0, C): ``(N,)``."""
    if takes(x):
        return on_gpu.cross_entropy(x, ids)
    loop = loops_of(_cross_entropy, x, least=LOOPS_FROM)
    if loop is not None:
        y = np.empty(len(x), x.dtype)
        loop(x, ids, y)
        return y
    xp = array_module(x)
    x = _shifted(x, xp)
    return xp.log(xp.exp(x).sum(axis=1)) - x[xp.arange(len(ids)), ids]


def cross_entropy_grad(g: Any, x: Any, ids: Any) -> Any:
    """The gradient of ``cross_entropy`` for x: g (softmax(x) - the rows of ones at ids)."""
    if takes(x, g):
        return on_gpu.cross_entropy_grad(g, x, ids)
    loop = loops_of(_cross_entropy_grad, x, least=LOOPS_FROM)
    if loop is not None:
        gx = np.empty_like(x)
        loop(g, x, ids, gx)
        return gx
    xp = array_module(x)
    e = xp.exp(_shifted(x, xp))
    e /= e.sum(axis=1, keepdims=True)
    e[xp.arange(len(ids)), ids] -= 1
    e *= g[:, None]
    return e


def mean_cross_entropy(x: Any, ids: Any, kept: Any) -> Any:
    """The mean of ``cross_entropy`` over the rows whose id is not -1; ``kept`` says how many these are: a number, or an
    array without axes on a GPU.

    NaN where there are none.
    """
    if takes(x):
        return on_gpu.mean_cross_entropy(x, ids, kept)
    some = isinstance(kept, int) and kept > 0  # an array is not asked: that would wait for a GPU
    loop = loops_of(_cross_entropy, x, least=LOOPS_FROM) if some else None
    if loop is not None:
        return x.dtype.type(loop(x, ids, np.empty(len(x), x.dtype)) / kept)
    xp = array_module(x)
    loss = xp.where(ids < 0, 0, cross_entropy(x, xp.where(ids < 0, 0, ids)))
    share = xp.where(kept == 0, np.nan, kept / max(loss.size, 1))
    return (loss.mean() if loss.size else loss.sum()) / share.astype(loss.dtype)  # a sum of float16 might overflow


def mean_cross_entropy_grad(g: Any, x: Any, ids: Any, kept: Any) -> Any:
    """The gradient of ``mean_cross_entropy`` for x; 0 where there are no rows."""
    if takes(x, g):
        return on_gpu.mean_cross_entropy_grad(g, x, ids, kept)
    loop = loops_of(_cross_entropy_grad, x, least=LOOPS_FROM)
    if loop is not None:
        gx = np.empty_like(x)
        loop(np.full(len(x), g / at_least_one(kept), x.dtype), x, ids, gx)
        return gx
    xp = array_module(x)
    each = xp.where(ids < 0, 0, g / at_least_one(kept)).astype(x.dtype)
    return cross_entropy_grad(each, x, xp.where(ids < 0, 0, ids))


def at_least_one(kept: Any) -> Any:
    """A number of rows, or 1 where there are none."""
    return max(kept, 1) if isinstance(kept, int) else kept.clip(1)


def _shifted(x: Any, xp: Any) -> Any:
    """x less each row's largest element, where that is finite (or the whole row would be NaN)."""
    top = x.max(axis=1, keepdims=True)
    return x - xp.where(xp.isfinite(top), top, 0)


def _cross_entropy(x, ids, y):
    """The losses, 0 for an id of -1, and their sum."""
    sum = 0.0
    for i in range(x.shape[0]):
        y[i] = 0
        if ids[i] >= 0:
            top = x[i, 0]
            for j in range(x.shape[1]):
                top = max(top, x[i, j])
            if not np.isfinite(top):
                top = x.dtype.type(0)
            total = x.dtype.type(0)
            for j in range(x.shape[1]):
                total += np.exp(x[i, j] - top)
            y[i] = np.log(total) - (x[i, ids[i]] - top)
            sum += y[i]
    return sum


def _cross_entropy_grad(g, x, ids, gx):
    for i in range(x.shape[0]):
        top = x[i, 0]
        for j in range(x.shape[1]):
            top = max(top, x[i, j])
        if not np.isfinite(top):
            top = x.dtype.type(0)
        total = x.dtype.type(0)
        for j in range(x.shape[1]):
            gx[i, j] = np.exp(x[i, j] - top)
            total += gx[i, j]
        if ids[i] >= 0:
            for j in range(x.shape[1]):
                gx[i, j] *= g[i] / total
            gx[i, ids[i]] -= g[i]
        else:
            gx[i] = 0
