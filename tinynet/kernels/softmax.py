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
    """The mean of ``cross_entropy`` over the rows whose id is not -1; ``kept``, an array without axes, says how many these
    are.

    NaN where there are none. For a GPU: on a CPU it is known at once which rows are left out.
    """
    if takes(x):
        return on_gpu.mean_cross_entropy(x, ids, kept)
    xp = array_module(x)
    loss = xp.where(ids < 0, 0, cross_entropy(x, xp.where(ids < 0, 0, ids)))
    share = xp.where(kept == 0, np.nan, kept / max(loss.size, 1))
    return (loss.mean() if loss.size else loss.sum()) / share.astype(loss.dtype)  # a sum of float16 might overflow


def mean_cross_entropy_grad(g: Any, x: Any, ids: Any, kept: Any) -> Any:
    """The gradient of ``mean_cross_entropy`` for x; 0 where there are no rows."""
    if takes(x, g):
        return on_gpu.mean_cross_entropy_grad(g, x, ids, kept)
    xp = array_module(x)
    each = xp.where(ids < 0, 0, g / kept.clip(1)).astype(x.dtype)
    return cross_entropy_grad(each, x, xp.where(ids < 0, 0, ids))


def _shifted(x: Any, xp: Any) -> Any:
    """x less each row's largest element, where that is finite (or the whole row would be NaN)."""
    top = x.max(axis=1, keepdims=True)
    return x - xp.where(xp.isfinite(top), top, 0)


def _cross_entropy(x, ids, y):
    for i in range(x.shape[0]):
        top = x[i, 0]
        for j in range(x.shape[1]):
            top = max(top, x[i, j])
        if not np.isfinite(top):
            top = x.dtype.type(0)
        total = x.dtype.type(0)
        for j in range(x.shape[1]):
            total += np.exp(x[i, j] - top)
        y[i] = np.log(total) - (x[i, ids[i]] - top)


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
        for j in range(x.shape[1]):
            gx[i, j] *= g[i] / total
        gx[i, ids[i]] -= g[i]
