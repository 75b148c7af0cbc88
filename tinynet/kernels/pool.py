"""What pooling does to whole arrays: windows that slide over the last axes, as strided slices of x.

The one idea: the first elements of all windows, their second ones, ... are each one strided slice of x, so pooling is a few
whole-array operations, one for each place in a window; and a maximum or a sum over a window is one axis taken after the
other.

Measured on one thread, float32 (64, 64, 24, 24), in milliseconds; "2" is a kernel of 2, "3/2/1" one of 3 with stride 2 and
padding 1. In brackets what was not taken:

    max_pool2d          2                         3/2/1
    forward             1.5 (Numba loop 4.8)      4.2                       (views of all windows, reduced: 50)
    winners             3.2 (Numba loop 6.7)      8.8 (Numba loop 12)
    to_winners          1.3 (array code 3.5)      1.4 (array code 13)
    forward, backward   5.7                       15
    PyTorch             14.9, 19.9                21.1, 24.1
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..backend import array_module
from . import compiled
from .gpu import windows as on_gpu
from .gpu.launch import takes


class Axis(NamedTuple):
    """The windows along one axis: ``size`` elements of x, ``out`` windows."""

    size: int
    kernel: int
    stride: int
    padding: int
    dilation: int
    out: int

    def at(self, place: int) -> tuple[slice, slice]:
        """The elements of x that stand at ``place`` in a window, and the windows that have one there, not in the padding."""
        first = place * self.dilation - self.padding
        start = max(0, -(first // self.stride))
        stop = max(start, min(self.out, (self.size - 1 - first) // self.stride + 1))
        begin = first + start * self.stride
        return slice(begin, begin + (stop - start) * self.stride, self.stride), slice(start, stop)

    @property
    def whole(self) -> bool:
        """Whether every window has all of its elements in x."""
        return all(self.at(place)[1] == slice(0, self.out) for place in range(self.kernel))

    def counts(self, include_pad: bool) -> np.ndarray:
        """How many elements each window has, with the padding or without; what lies beyond that never counts."""
        start = np.arange(self.out) * self.stride - self.padding
        stop = np.minimum(start + self.kernel, self.size + self.padding)
        return stop - start if include_pad else np.minimum(stop, self.size) - np.maximum(start, 0)


Windows = tuple[Axis, ...]


@functools.lru_cache(maxsize=256)
def places(windows: Windows) -> list[tuple[tuple, tuple]]:
    """For each place in a window, row by row, the index of its elements in x and that of their windows."""
    found = []
    for place in itertools.product(*(range(a.kernel) for a in windows)):
        elements, outs = zip(*(a.at(i) for a, i in zip(windows, place, strict=True)), strict=True)
        found.append(((..., *elements), (..., *outs)))
    return found


@functools.lru_cache(maxsize=256)
def _steps(windows: Windows, i: int) -> list[tuple[tuple, tuple]]:
    """The same along axis number ``i`` alone."""
    rest = (slice(None),) * (len(windows) - 1 - i)
    return [((..., elements, *rest), (..., outs, *rest)) for elements, outs in map(windows[i].at, range(windows[i].kernel))]


def _resized(x: Any, windows: Windows, i: int, length: int) -> tuple[int, ...]:
    """The shape of x with another length of axis number ``i``."""
    axis = x.ndim - len(windows) + i
    return (*x.shape[:axis], length, *x.shape[axis + 1 :])


def slide(x: Any, windows: Windows, combine: Callable, start: Any) -> Any:
    """Every window's elements combined by a ufunc, one axis after the other, rows before columns: these are contiguous."""
    if takes(x):
        shape = (*x.shape[: x.ndim - len(windows)], *(a.out for a in windows))
        return on_gpu.slide(x, _grid(windows), shape, combine is array_module(x).maximum)
    for i, axis in enumerate(windows):
        steps = _steps(windows, i)
        if axis.kernel > 1 and axis.whole:
            y = combine(x[steps[0][0]], x[steps[1][0]])
            steps = steps[2:]
        else:
            y = array_module(x).full(_resized(x, windows, i, axis.out), start, x.dtype)
        for elements, outs in steps:
            part = y[outs]
            combine(part, x[elements], out=part)
        x = y
    return x


@functools.lru_cache(maxsize=256)
def _grid(windows: Windows) -> np.ndarray:
    names = ("size", "out", "kernel", "stride", "dilation", "padding")
    return on_gpu.grid_of(**{name: tuple([getattr(a, name) for a in windows]) for name in names})


def _whole_shape(x: Any, windows: Windows) -> tuple[int, ...]:
    """The shape of x with windows put back to what they slide over."""
    return (*x.shape[: x.ndim - len(windows)], *(a.size for a in windows))


def spread(x: Any, windows: Windows) -> Any:
    """The transpose of ``slide`` for a sum: each window's number added to all of its elements."""
    if takes(x):
        return on_gpu.spread(x, None, _grid(windows), _whole_shape(x, windows))
    for i in reversed(range(len(windows))):
        y = array_module(x).zeros(_resized(x, windows, i, windows[i].size), x.dtype)
        for elements, outs in _steps(windows, i):
            y[elements] += x[outs]
        x = y
    return x


def winners(x: Any, y: Any, windows: Windows) -> Any:
    """The place of each window's first element that is equal to y, its largest (or the first NaN); their number if none is.

    Counting in bytes the places up to which all have lost takes 1.8 ms, writing a place wherever x is equal to y 13.9 ms.
    """
    if takes(x, y):
        return on_gpu.winners(x, y, _grid(windows))
    xp = array_module(x)
    below = _below if y.dtype.kind == "f" and (xp is not np or np.isnan(y).any()) else xp.less
    lost = xp.ones(y.shape, bool)
    count = xp.zeros(y.shape, np.uint8 if math.prod([a.kernel for a in windows]) < 256 else np.int32)
    for elements, outs in places(windows):
        part = lost[outs]
        part &= below(x[elements], y[outs])
        count += lost
    return count


def _below(x: Any, y: Any) -> Any:
    """x < y, where y may be NaN: then all but a NaN are below, infinity too."""
    return ~(x >= y) & (x == x)


def of_winners(x: Any, at: Any, windows: Windows) -> Any:
    """For each window the number at the place ``at``."""
    if takes(x) and at.dtype == np.int64:
        return on_gpu.of_winners(x, at, _grid(windows))
    y = array_module(x).zeros(at.shape, x.dtype)
    for i, (elements, outs) in enumerate(places(windows)):
        y[outs] += x[elements] * (at[outs] == i)
    return y


def to_winners(x: Any, at: Any, windows: Windows) -> Any:
    """The transpose of ``of_winners``: each window's number added to the element at the place ``at``."""
    if takes(x) and at.dtype == np.int64:
        return on_gpu.spread(x, at, _grid(windows), _whole_shape(x, windows))
    y = array_module(x).zeros(x.shape[: x.ndim - len(windows)] + tuple([a.size for a in windows]), x.dtype)
    x = array_module(x).ascontiguousarray(x)
    loop = compiled.loops_of(_to_winners, x)
    if loop is not None:
        n, starts, offsets = math.prod(x.shape[: x.ndim - len(windows)]), *_flat(windows)
        loop(x.reshape((n, -1)), at.reshape((n, -1)), starts, offsets, y.reshape((n, -1)))
        return y
    for i, (elements, outs) in enumerate(places(windows)):
        y[elements] += x[outs] * (at[outs] == i)
    return y


def _to_winners(x, at, starts, offsets, y):
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            if at[i, j] < offsets.size:
                y[i, starts[j] + offsets[at[i, j]]] += x[i, j]


@functools.lru_cache(maxsize=64)
def _flat(windows: Windows) -> tuple[np.ndarray, np.ndarray]:
    """Where each window starts in the flattened axes, and how far from there each of its places is."""
    strides = [math.prod([a.size for a in windows[i + 1 :]]) for i in range(len(windows))]
    starts = [(np.arange(a.out) * a.stride - a.padding) * n for a, n in zip(windows, strides, strict=True)]
    offsets = [np.arange(a.kernel) * a.dilation * n for a, n in zip(windows, strides, strict=True)]
    first, second = (functools.reduce(np.add.outer, part).reshape(-1) for part in (starts, offsets))
    return first, second
