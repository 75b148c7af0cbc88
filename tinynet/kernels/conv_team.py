"""Convolution over two axes on a CPU, and what usually follows it, by the team of ``team``: one job for all images.

The one idea: what convolution computes for an image stays in a thread's cache until bias, ReLU and pooling by two are done
with it. Into memory go only the largest elements and, in a byte each, where they stood; that is enough to lay out the
gradient of the convolution's output on the way back, image by image, for the two products that need it. Arrays of the
convolution's size (nine megabytes for 64 images of 64 channels 24x24) are then neither written nor read, each of which
takes a millisecond or more. The loops stand in ``shared_conv``; ``conv`` is the array code that they are tested against.

For pooling, the rows of an image are computed in another order, first 0, 2, 4, ..., then 1, 3, 5, ...: the elements of all
windows then stand in two long lines, over which a loop runs seven times as fast as over a row at a time.

Measured, float32, quiet, in ms on one thread and on two; the three ops apart are ``conv`` and array code for the others:

    64 images, what                               forward         backward         the three ops apart, one thread
    1 -> 6, 5x5, 28x28, padding 2, ReLU, pool     0.36   0.19      0.43   0.23      0.87   2.5
    6 -> 16, 5x5, 14x14, ReLU, pool               0.46   0.26      1.41   0.77      0.75   2.0
    1 -> 32, 3x3, 28x28, ReLU                     0.57   0.30      0.80   0.46      1.3    2.1
    32 -> 64, 3x3, 26x26, ReLU, pool             12.0    6.1      27.8   13.7      17.9   48
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from .compiled import compile_file
from .memory import empty
from .patches import Geometry
from .team import Shared, shared

PLAIN, RELU, POOL = range(3)  # what follows: nothing, a ReLU, a ReLU and a max pooling by two
LEAST = 2**15  # elements of all columns: for fewer, array code takes no longer than compiling this
PIECE = 5 * 2**18  # bytes of columns at a time: most of a core's second-level cache
PARTS, WORTH_A_PART = 16, 3e4  # into how many parts a batch is cut at most, and ns that a part should take at least
SUMS = 2**22  # elements: the sums of the weight's gradient that the parts keep, all together
BYTES = np.zeros(0, np.uint8)


def team_for(at: Geometry, *arrays: Any) -> Shared | None:
    """The team, where it can do it: x and others ``(N, C, H, W)`` of one float dtype on a CPU, with Numba."""
    if len(at.out) != 2 or at.groups != 1 or arrays[1].size == 0:  # no outputs: there is nothing to divide among threads
        return None
    if len(arrays[0]) * math.prod(at.out) * math.prod(at.kernel) * arrays[0].shape[1] < LEAST:
        return None
    return shared(*arrays)


def forward(us: Shared, x: Any, w: Any, bias: Any, at: Geometry, kind: int = PLAIN) -> tuple[Any, Any]:
    """y = conv(x, w, bias) and what follows; and for pooling, where the largest elements stood."""
    every = 2 if kind == POOL else 1
    y = empty((len(x), len(w), *(n // every for n in at.out)), x)
    where = empty(y.shape, BYTES) if kind == POOL else None
    if bias is None and kind != PLAIN:
        bias = np.zeros(len(w), x.dtype)
    x, w, bias = (None if a is None else np.ascontiguousarray(a) for a in (x, w, bias))
    _run("forward_part", us, at, kind, x.shape[1], len(w), (x, w, bias, y, where, None, None, None))
    return y, where


def back(
    us: Shared, g: Any, x: Any, w: Any, at: Geometry, kind: int = PLAIN, seen: tuple = (None, None), needs_x: bool = True
) -> tuple[Any, Any, Any]:
    """The gradients for x, w and the bias, from the output's gradient g; of a plain convolution not that for the bias.

    None for x where it is not needed or w is None, None for w and the bias where x is None. ``seen``: what ``forward`` gave.
    """
    g, x, w = (None if a is None else np.ascontiguousarray(a) for a in (g, x, w))
    n, outputs, channels = len(g), g.shape[1], x.shape[1] if w is None else w.shape[1]
    gx, sums, column = None, None, channels * math.prod(at.kernel)
    if needs_x and w is not None:
        gx = empty((n, channels, *at.size), g)
    if x is not None:
        grain = _grain(at, n, column, outputs)
        sums = empty((-(-n // grain), column + 1, outputs), g)  # of each part; those for the bias in the last line
    _run("back_part", us, at, kind, channels, outputs, (x, w, None, *seen, g, gx, sums))
    if sums is None:
        return gx, None, None
    total = sums[0] if len(sums) == 1 else sums.sum(axis=0)
    return gx, np.ascontiguousarray(total[:-1].T).reshape((outputs, channels, *at.kernel)), total[-1]


def _run(job: str, us: Shared, at: Geometry, kind: int, channels: int, outputs: int, arrays: tuple) -> None:
    x, w, bias, y, _, g, *_ = arrays
    given, out = g if x is None else x, at.out if kind != POOL else tuple(n // 2 for n in at.out)
    expected = (channels, *at.size), (outputs, channels, *at.kernel), (outputs,), (outputs, *out), (outputs, *out)
    for a, shape in zip((x, w, bias, y, g), expected, strict=True):
        if a is not None and a.shape != ((len(given), *shape) if len(shape) == 3 else shape):  # loops would not notice
            raise ValueError(f"convolution: an array of shape {a.shape} should end in {shape}")
    dtype, column = given.dtype, channels * math.prod(at.kernel)
    loops: Any = compile_file("shared_conv", dtype)
    memory, numbers = _numbers(at, kind, channels, outputs, dtype.itemsize, PIECE, us.loops.ROOM)
    scratch, grain = empty((us.size, memory // dtype.itemsize), given), _grain(at, len(given), column, outputs)
    addresses = [0 if a is None else a.ctypes.data for a in arrays]
    table = np.array([us.loops.product_part, us.gemm, *addresses, scratch.ctypes.data, grain, *numbers], np.int64)
    shared(given)  # wakes those of the team who have gone to sleep
    us.loops.share(us.team, getattr(loops, job), table.ctypes.data, len(given), grain)


def _grain(at: Geometry, n: int, column: int, outputs: int) -> int:
    """How many images a part has, whatever the number of threads: sums are kept for each part."""
    once = column * math.prod(at.out) * (0.3 + 0.015 * outputs)  # ns for an image
    parts = min(PARTS, int(n * once / WORTH_A_PART), SUMS // (column * outputs))
    return max(1, -(-n // max(1, parts)))


@functools.lru_cache(maxsize=256)
def _numbers(
    at: Geometry, kind: int, channels: int, outputs: int, itemsize: int, piece: int, room: int
) -> tuple[int, list[int]]:
    """The bytes of memory that a thread needs, and what the table of ``shared_conv`` has after its addresses."""
    every, across, column = 2 if kind == POOL else 1, at.out[1], channels * math.prod(at.kernel)
    rows = min(at.out[0], max(every, piece // (column * across * itemsize) // every * every))
    seen = (rows - 1) * at.stride[0] + (at.kernel[0] - 1) * at.dilation[0] + 1
    framed = at.padded != at.size
    image = channels * math.prod(at.padded) * framed
    sizes = image, column * rows * across, outputs * rows * across * (kind != PLAIN), image, (seen + 1) * across, room
    places = [0]
    for size in sizes:
        places.append(places[-1] + -(-size * itemsize // 64) * 64)
    numbers = [places[-1], *places[1:6], rows, seen, kind, int(framed)]
    numbers += [channels, *at.size, *at.padded, *at.padding, outputs, *at.kernel, *at.out]
    return places[-1], [*numbers, at.stride[0], at.stride[1], *at.dilation]
