"""Convolution on a GPU: columns of patches by one kernel, one large product, and for the image's gradient one kernel back.

As many images at a time as columns of 256 MiB hold. The functions are those of ``kernels/conv.py``.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from ...backend import array_module
from ..products import matmul
from .windows import add_back, columns_of, grid_of

PIECE = 2**28  # bytes


@functools.lru_cache(maxsize=256)
def _grid(at: Any) -> np.ndarray:
    return grid_of(size=at.size, out=at.out, kernel=at.kernel, stride=at.stride, dilation=at.dilation, padding=at.padding)


def _pieces(n: int, channels: int, at: Any, itemsize: int) -> Iterator[slice]:
    room = max(1, PIECE // max(1, channels * math.prod(at.kernel) * math.prod(at.out) * itemsize))
    return (slice(first, min(first + room, n)) for first in range(0, n, room))


def _matrix(part: Any, groups: int) -> Any:
    """Outputs ``(n, O, *out)`` as ``(groups, O / groups, n * positions)``."""
    xp = array_module(part)
    part = part.reshape((*part.shape[:2], math.prod(part.shape[2:]))).swapaxes(0, 1)
    return xp.ascontiguousarray(part).reshape((groups, part.shape[0] // groups, part.shape[1] * part.shape[2]))


def unfold(x: Any, at: Any) -> Any:
    """``(N, C * kernel, positions)``."""
    return array_module(x).ascontiguousarray(columns_of(x, _grid(at)).swapaxes(0, 1))


def fold(columns: Any, at: Any) -> Any:
    """The way back of ``unfold``."""
    n, channels = len(columns), columns.shape[1] // math.prod(at.kernel)
    columns = array_module(columns).ascontiguousarray(columns.swapaxes(0, 1))
    return add_back(columns, _grid(at), (n, channels, *at.size))


def conv(x: Any, w: Any, bias: Any, at: Any) -> Any:
    y = array_module(x).empty((len(x), len(w), *at.out), x.dtype)
    weights = w.reshape((at.groups, len(w) // at.groups, math.prod(w.shape[1:])))
    for images in _pieces(len(x), x.shape[1], at, x.itemsize):
        columns = columns_of(x[images], _grid(at))
        product = matmul(weights, columns.reshape((at.groups, weights.shape[2], math.prod(columns.shape[1:]))))
        product = product.reshape((len(w), images.stop - images.start, *at.out)).swapaxes(0, 1)
        if bias is None:
            y[images] = product
        else:
            array_module(x).add(product, bias.reshape((-1, *(1 for _ in at.out))), out=y[images])
    return y


def conv_weight(x: Any, g: Any, at: Any) -> Any:
    outputs, channels = g.shape[1] // at.groups, x.shape[1] // at.groups
    total = array_module(x).zeros((at.groups, outputs, channels * math.prod(at.kernel)), x.dtype)
    for images in _pieces(len(x), x.shape[1], at, x.itemsize):
        columns = columns_of(x[images], _grid(at))
        columns = columns.reshape((at.groups, total.shape[2], math.prod(columns.shape[1:])))
        total += matmul(_matrix(g[images], at.groups), columns.swapaxes(1, 2))
    return total.reshape((g.shape[1], channels, *at.kernel))


def conv_input(g: Any, w: Any, bias: Any, at: Any) -> Any:
    channels = w.shape[1] * at.groups
    x = array_module(g).empty((len(g), channels, *at.size), g.dtype)
    weights = w.reshape((at.groups, len(w) // at.groups, math.prod(w.shape[1:]))).swapaxes(1, 2)
    for images in _pieces(len(g), channels, at, g.itemsize):
        n = images.stop - images.start
        columns = matmul(weights, _matrix(g[images], at.groups))
        columns = columns.reshape((channels * math.prod(at.kernel), n, math.prod(at.out)))
        x[images] = add_back(columns, _grid(at), (n, channels, *at.size))
    if bias is not None:
        x += bias.reshape((-1, *(1 for _ in at.size)))
    return x
