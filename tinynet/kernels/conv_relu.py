"""Convolution, ReLU and max pooling by two in one pass over the images, and back in one.

The one idea: what convolution gives for an image stays in the cache until bias, ReLU and pooling are done with it. Into
memory go only the largest elements and, in a byte each, where they stood; that is enough to lay out the gradient of the
convolution's output on the way back, image by image, for the products that need it. Arrays of the convolution's size
(nine megabytes for 64 images of 64 channels 24x24) are neither written nor read, each of which takes a millisecond or more.

For pooling, the rows of an image are computed in another order, first 0, 2, 4, ..., then 1, 3, 5, ...: the elements of all
windows then stand in two long lines, over which a loop runs ten times as fast as over a row at a time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import numpy as np

from .compiled import loops_of
from .conv import COPY_RUN, SUMS, matrices_of, padded_images, piece_of, run
from .memory import buffer, empty
from .patches import Geometry, add_back, columns_of

LEAST = 2**15  # elements of the convolution's output: of fewer, each op by itself takes no longer than compiling this
BYTES = np.zeros(0, np.uint8)


def fits(x: Any, w: Any, bias: Any, at: Geometry, pool: bool) -> bool:
    """Whether it can be done here: images of two axes on a CPU, with Numba, each of them small enough to be done at once."""
    arrays = (x, w) if bias is None else (x, w, bias)
    if len(at.out) != 2 or at.groups != 1 or len(x) * len(w) * math.prod(at.out) < LEAST:
        return False
    if any(type(a) is not np.ndarray or a.dtype != x.dtype for a in arrays):
        return False
    even = not (pool and (at.out[0] % 2 or at.out[1] % 2 or at.pointwise))
    return even and loops_of(_relu, x, least=0) is not None and piece_of(x, len(w), at, COPY_RUN).rows == at.out[0]


def forward(x: Any, w: Any, bias: Any, at: Geometry, pool: bool, kept: dict | None) -> Any:
    """max(conv(x, w, bias), 0), with ``pool`` the largest of each 2x2 of it; what ``back`` needs goes to ``kept``."""
    every = 2 if pool else 1
    y = empty((len(x), len(w), *(n // every for n in at.out)), x)
    where = empty(y.shape, BYTES) if pool else y
    bias = np.zeros(len(w), x.dtype) if bias is None else np.ascontiguousarray(bias)
    piece = piece_of(x, len(w), at, COPY_RUN)
    matrix, loop = matrices_of(w, at, piece), cast(Callable, loops_of(_pool if pool else _relu, y, least=0))

    def work(start: int, stop: int) -> None:
        for images, image in padded_images(x, start, stop, at, piece):
            z = buffer("outputs", (len(image), len(w), math.prod(at.out)), x)
            np.matmul(matrix, columns_of(image, at, 0, at.out[0], every)[:, 0], out=z)
            shape = (*z.shape[:2], -1)
            loop(z.reshape((*z.shape[:2], every, -1)), bias, y[images].reshape(shape), where[images].reshape(shape))

    run(work, len(x), piece.grain, np)
    if kept is not None:
        kept["where"] = where
    return y


def back(g: Any, x: Any, w: Any, at: Geometry, pool: bool, kept: dict, needs_x: bool) -> tuple[Any, Any, Any]:
    """The gradients for x (None unless it is needed), w and the bias, from the output's gradient g."""
    every, where, outputs, column = 2 if pool else 1, kept["where"], len(w), w[0].size
    piece, g = piece_of(x, outputs, at, COPY_RUN), np.ascontiguousarray(g)
    grain = max(piece.grain, -(-len(x) * column * outputs // SUMS))
    sums = np.zeros((max(1, -(-len(x) // grain)), column + 1, outputs), x.dtype)  # those of the bias in the last line
    matrix, gx = matrices_of(w, at, piece)[0].T, empty(x.shape, x) if needs_x else None
    loop = cast(Callable, loops_of(_pool_back if pool else _relu_back, g, least=0))

    def work(start: int, stop: int) -> None:
        total = sums[start // grain]
        for images, image in padded_images(x, start, stop, at, piece):
            z = buffer("outputs", (len(image), outputs, math.prod(at.out)), x)
            shape = (*z.shape[:2], -1)
            loop(g[images].reshape(shape), where[images].reshape(shape), z.reshape((*z.shape[:2], every, -1)), total[-1])
            columns = columns_of(image, at, 0, at.out[0], every)[:, 0]
            product = buffer("products", (len(image), column, outputs), x)
            np.matmul(columns, z.swapaxes(1, 2), out=product)
            total[:-1] += product[0] if len(product) == 1 else product.sum(axis=0)
            if gx is not None:
                columns = buffer("columns", columns.shape, x)
                _to_images(np.matmul(matrix, z, out=columns), gx[images], at, every)

    run(work, len(x), grain, np)
    total = sums[0] if len(sums) == 1 else sums.sum(axis=0)
    return gx, np.ascontiguousarray(total[:-1].T).reshape(w.shape), total[-1]


def _to_images(columns: Any, images: Any, at: Geometry, every: int) -> None:
    """Columns added back, to images without values yet."""
    direct = at.padded == at.size
    padded = images[..., None] if direct else buffer("gradient", (*images.shape[:2], *at.padded, 1), images)
    padded[...] = 0
    add_back(columns, padded, at, 0, at.out[0], every=every)
    if not direct:
        images[...] = padded[at.inner][..., 0]


# ---------------------------------------------------------------------------------- of some images, in compiled loops
# z is what convolution gave, in lines: (images, outputs, line, positions). Of equal elements the first is the largest, and
# a NaN is above everything. 255 is where the largest element stood that is not above 0: nowhere.


def _relu(z, bias, y, where):
    for n in range(y.shape[0]):
        for o in range(y.shape[1]):
            source, target, b, zero = z[n, o, 0], y[n, o], bias[o], bias.dtype.type(0)
            for i in range(target.size):
                v = source[i] + b
                target[i] = zero if v <= 0 else v


def _relu_back(g, y, z, total):
    for n in range(g.shape[0]):
        for o in range(g.shape[1]):
            source, mask, target, zero = g[n, o], y[n, o], z[n, o, 0], g.dtype.type(0)
            s = zero
            for i in range(target.size):
                v = source[i]
                v = zero if mask[i] == 0 else v
                target[i] = v
                s += v
            total[o] += s


def _pool(z, bias, y, where):
    one, two = np.uint64(1), np.uint64(2)
    for n in range(y.shape[0]):
        for o in range(y.shape[1]):
            first, second, target, place, b, zero = z[n, o, 0], z[n, o, 1], y[n, o], where[n, o], bias[o], bias.dtype.type(0)
            for i in range(np.uint64(target.size)):
                v, k = first[two * i] + b, np.int32(0)
                a = first[two * i + one] + b
                k, v = (np.int32(1), a) if (not a <= v) & (v == v) else (k, v)
                a = second[two * i] + b
                k, v = (np.int32(2), a) if (not a <= v) & (v == v) else (k, v)
                a = second[two * i + one] + b
                k, v = (np.int32(3), a) if (not a <= v) & (v == v) else (k, v)
                target[i] = zero if v <= 0 else v
                place[i] = np.int32(255) if v <= 0 else k


def _pool_back(g, where, z, total):
    one, two = np.uint64(1), np.uint64(2)
    for n in range(g.shape[0]):
        for o in range(g.shape[1]):
            source, place, zero = g[n, o], where[n, o], g.dtype.type(0)
            s = zero
            for line in range(2):
                target, left, right = z[n, o, line], np.int32(2 * line), np.int32(2 * line + 1)
                for i in range(np.uint64(source.size)):
                    v, k = source[i], np.int32(place[i])
                    target[two * i] = v if k == left else zero
                    target[two * i + one] = v if k == right else zero
            for i in range(np.uint64(source.size)):
                v = source[i]
                s += zero if place[i] == 255 else v
            total[o] += s
