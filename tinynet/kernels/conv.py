"""Convolution in any number of dimensions, and its two gradients, as matrix products over pieces that stay in the cache.

The one idea: with the patches of one piece of the batch as the columns of a matrix (``patches``), convolution is
``weight @ columns``, the weight's gradient ``columns @ gradient.T``, and the image's gradient ``weight.T @ gradient``, whose
columns are added back to where the patches came from. The columns take the kernel's size times the image's memory; so they
are made for one image at a time, or for a few small ones, or some rows of a large one, in buffers of about 1 MiB that
every thread has and uses again.

Copying and adding take NumPy 0.1 ns an element, and some 8 and 18 ns for each run of neighbours. Where runs are short,
images are first laid together, which makes all runs so many times longer. CPU time in ms on one thread of a busy machine
(Intel Xeon, AVX-512, OpenBLAS at 120 to 140 GFLOP/s), forward / gradient for the weight / for the image:

    batch, channels, kernel, image      products              apart                 together
    64, 32 -> 64, 3x3, 26x26            10.4 / 12.0 / 10.4    16.0 / 16.9 / 18.7    18.0 / 16.7 / 20.6
    64, 6 -> 16, 5x5, 14x14             0.25 / 0.44 / 0.24    0.72 / 0.92 / 1.34    0.60 / 0.73 / 0.82
    32, 64 -> 128, 3x3, 16x16, by 2     2.5 / 2.4 / 2.2       4.7 / 5.8 / 7.2       3.8 / 4.4 / 4.7

That is the array code: for any number of axes, for groups, where there is no Numba, and the reference. Images of two axes
go to ``conv_team`` where it can be; quiet, the same three lines take there

    on one thread     12.2 / 13.1 / 14.3    0.45 / 0.64 / 0.66    3.3 / 3.6 / 4.6
    on two             6.2 /  6.4 /  7.1    0.25 / 0.36 / 0.35    2.0 / 2.0 / 2.3
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from ..backend import array_module
from . import conv_team
from .gpu import conv as on_gpu
from .gpu.launch import takes
from .gpu.windows import AXES
from .memory import buffer, empty
from .patches import Geometry, add_back, columns_of, down, lines_of, shared_columns_of
from .threads import parallel

PIECE = 5 * 2**18  # bytes of columns at a time on a CPU: most of a core's second-level cache
PIECE_ON_A_GPU = 2**28
TOGETHER = (16, 8, 4, 2)  # how many images may be laid together: powers of 2, for runs that start where vectors do
COPY_RUN, ADD_RUN = 8.0, 18.0  # ns for a run of neighbours, however long
PARTS = 16  # into which a batch is divided for the threads, at most
WORTH_A_PART = 5e5  # ns: what a part should take at least; with parts of 300,000 two threads were slower than one
SUMS = 2**22  # elements: the sums of the weight's gradient that the parts keep, all together

# ------------------------------------------------------------------------------------------------- the three products


def conv(x: Any, w: Any, bias: Any, at: Geometry) -> Any:
    """x ``(N, C, *size)``, w ``(O, C / groups, *kernel)``, bias ``(O,)`` or None: ``(N, O, *out)``."""
    (x, w, bias), dtype = _of_one_dtype(x, w, bias)
    if takes(x, w) and len(at.out) <= AXES:
        return on_gpu.conv(x, w, bias, at).astype(dtype, copy=False)
    us = conv_team.team_for(at, *((x, w) if bias is None else (x, w, bias)))
    if us is not None:
        return conv_team.forward(us, x, w, bias, at)[0].astype(dtype, copy=False)
    xp, piece = array_module(x), _piece(x, len(w), at, COPY_RUN)
    y = empty((len(x), len(w), *at.out), x)
    matrices = _matrices(w, at, piece)
    bias = None if bias is None else bias.reshape((at.groups, -1, 1))

    def work(start: int, stop: int) -> None:
        for images, image in _padded(x, start, stop, at, piece):
            for top, rows in piece.steps(at):
                columns = (shared_columns_of if piece.together else columns_of)(image, at, top, rows)
                part = _rows_first(y[images, :, top : top + rows], piece)
                direct = xp is np and not piece.together  # the product is the output as it stands
                product = _grouped(part if direct else buffer("outputs", part.shape, x), at)
                xp.matmul(matrices, columns, out=product)
                if bias is not None:
                    product += bias  # while it is in the cache
                if not direct:
                    part[...] = product.reshape(part.shape)

    _run(work, len(x), piece.grain, xp)
    return y.astype(dtype, copy=False)


def conv_weight(x: Any, g: Any, at: Geometry) -> Any:
    """The gradient for the w of ``conv``, from x and the output's gradient g."""
    (x, g), dtype = _of_one_dtype(x, g)
    if takes(x) and len(at.out) <= AXES:
        return on_gpu.conv_weight(x, g, at).astype(dtype, copy=False)
    us = conv_team.team_for(at, x, g)
    if us is not None:
        return conv_team.back(us, g, x, None, at)[1].astype(dtype, copy=False)
    xp, piece = array_module(x), _piece(x, g.shape[1], at, COPY_RUN)
    channels, outputs, across = x.shape[1] // at.groups, g.shape[1] // at.groups, math.prod(at.kernel[1:])
    # (columns, outputs) of each group: 12.0 ms for the products of the first line above, 14.8 as (outputs, columns).
    shape = (at.groups, channels * math.prod(at.kernel), outputs)
    grain = max(piece.grain, -(-len(x) * math.prod(shape) // SUMS))
    sums = xp.zeros((max(1, -(-len(x) // grain)), *shape), x.dtype)

    def work(start: int, stop: int) -> None:
        total = sums[start // grain]
        by_row = total.reshape((channels, at.kernel[0], across, outputs)) if piece.together else None
        for images, image in _padded(x, start, stop, at, piece):
            for top, rows in piece.steps(at):
                part = g[images, :, top : top + rows]
                if by_row is None:
                    columns = columns_of(image, at, top, rows)
                    product = buffer("products", (len(columns), *shape), x)
                    xp.matmul(columns, _grouped(part, at).swapaxes(-1, -2), out=product)
                    total += product[0] if len(product) == 1 else product.sum(axis=0)
                    continue
                part, lines = _copied(_laid(part, piece), piece), lines_of(image, at, top, rows)
                part = part.reshape((part.shape[1], math.prod(part.shape[2:]))).T
                for i, place in down(at, rows):  # a product for each: no columns need be made for it
                    product = lines[place].reshape((-1, len(part))) @ part
                    by_row[:, i] += product.reshape((channels, across, outputs))

    _run(work, len(x), grain, xp)
    total = sums[0] if len(sums) == 1 else sums.sum(axis=0)
    total = xp.ascontiguousarray(total.swapaxes(-1, -2))
    return total.reshape((g.shape[1], channels, *at.kernel)).astype(dtype, copy=False)


def conv_input(g: Any, w: Any, bias: Any, at: Geometry) -> Any:
    """The gradient for the x of ``conv``, from w and the output's gradient g: ``(N, C, *size)``; bias ``(C,)`` or None.

    With a bias, which a gradient has not, it is the transposed convolution.
    """
    (g, w, bias), dtype = _of_one_dtype(g, w, bias)
    if takes(w) and len(at.out) <= AXES:
        return on_gpu.conv_input(g, w, bias, at).astype(dtype, copy=False)
    us = conv_team.team_for(at, g, w)
    if us is not None:
        x = conv_team.back(us, g, None, w, at)[0]
        if bias is not None:
            x += bias.reshape((-1, 1, 1))
        return x.astype(dtype, copy=False)
    xp = array_module(g)
    x = empty((len(g), w.shape[1] * at.groups, *at.size), g)
    piece = _piece(x, len(w), at, ADD_RUN)
    matrices = _matrices(w, at, piece).swapaxes(-1, -2)
    bias = None if bias is None else bias.reshape((-1, *(1 for _ in at.size)))

    def work(start: int, stop: int) -> None:
        for first in range(start, stop, piece.images):
            images = slice(first, min(first + piece.images, stop))
            part = _laid(x[images], piece)
            direct = at.padded == at.size and not piece.together
            image = part if direct else buffer("image", (*part.shape[:2], *at.padded, part.shape[-1]), x)
            image[...] = 0
            for top, rows in piece.steps(at):
                lines = _grouped(_copied(_rows_first(g[images, :, top : top + rows], piece), piece), at)
                columns = buffer("columns", (len(lines), *matrices.shape[:2], lines.shape[3]), x)
                xp.matmul(matrices, lines, out=columns)
                add_back(columns, image, at, top, rows, piece.together)
            if not direct:
                part[...] = image[at.inner]
            if bias is not None:
                x[images] += bias

    _run(work, len(g), piece.grain, xp)
    return x.astype(dtype, copy=False)


# ------------------------------------------------------------------------------------------------ pieces and layouts


class _Piece(NamedTuple):
    """What is done at a time: ``images``, of their output ``rows`` along the first axis; ``grain`` is for a thread."""

    images: int
    rows: int
    together: bool
    grain: int

    def steps(self, at: Geometry) -> Iterator[tuple[int, int]]:
        """(first row, how many) of each."""
        for top in range(0, at.out[0], self.rows):
            yield top, min(self.rows, at.out[0] - top)


def _piece(x: Any, outputs: int, at: Geometry, run: float) -> _Piece:
    """How to go about a batch of images x, where a run of neighbours costs ``run`` ns."""
    n, channels, positions, on_cpu = len(x), x.shape[1], math.prod(at.out), isinstance(x, np.ndarray)
    elements = max(1, channels * math.prod(at.kernel) * positions)  # of an image's columns
    row, image = (count * x.itemsize for count in (-(-elements // at.out[0]), channels * math.prod(at.padded)))
    room, count = PIECE if on_cpu else PIECE_ON_A_GPU, 1
    in_order = len(at.out) > 1 and at.groups == at.dilation[0] == 1  # as shared columns need it
    runs = elements / at.kernel[0] * at.padded[0] / at.out[0] / max(1, at.out[-1])
    moved = channels * math.prod(at.size) + outputs * positions  # 1.1 ns for laying together and apart again
    if on_cpu and in_order and runs * run + 0.1 * elements > 1.1 * moved:
        count = next((c for c in TOGETHER if c <= n and c * row <= room and c * image <= 1.5 * room), 1)
    together = count > 1
    rows = min(at.out[0], max(1, room // (row * count)))
    if not together:
        count = max(1, room // (row * at.out[0]))
    once = elements * (0.3 + 0.015 * outputs / at.groups)  # ns for an image
    parts = max(1, min(PARTS, int(n * once / WORTH_A_PART)))
    grain = max(1, -(-n // (parts - parts % 2 or 1)))  # an even number of parts, for two threads
    return _Piece(count, rows, together, -(-grain // count) * count if together else grain)


def _padded(x: Any, start: int, stop: int, at: Geometry, piece: _Piece) -> Iterator[tuple[slice, Any]]:
    """_Piece by piece: which images, and these, padded, as ``patches`` takes them. They are good until the next."""
    copied = piece.together or at.padded != at.size
    if copied:
        whole = _laid(x[start : min(start + piece.images, stop)], piece)
        padded = buffer("image", (*whole.shape[:2], *at.padded, whole.shape[-1]), x)
        padded[...] = 0
    for first in range(start, stop, piece.images):
        images = slice(first, min(first + piece.images, stop))
        image = _laid(x[images], piece)
        if copied:
            filled = padded[: len(image), ..., : image.shape[-1]]
            filled[at.inner] = image
            image = filled
        yield images, image


def _laid(images: Any, piece: _Piece) -> Any:
    """A view of images ``(n, C, ...)`` as ``(1, C, ..., n)`` where they are laid together, ``(n, C, ..., 1)`` elsewhere."""
    return images.transpose((*range(1, images.ndim), 0))[None] if piece.together else images[..., None]


def _rows_first(part: Any, piece: _Piece) -> Any:
    """A view of some rows of outputs ``(n, O, rows, ...)``: of images laid together ``(rows, O, ..., n)``."""
    return part.transpose((2, 1, *range(3, part.ndim), 0)) if piece.together else part


def _copied(part: Any, piece: _Piece) -> Any:
    """Outputs of images laid together, as they lie in memory then."""
    if not piece.together:
        return part
    copy = buffer("outputs", part.shape, part)
    copy[...] = part
    return copy


def _grouped(part: Any, at: Geometry) -> Any:
    """Outputs ``(..., O, ...)`` as matrices ``(..., groups, O / groups, positions)``."""
    return part.reshape((len(part), at.groups, part.shape[1] // at.groups, math.prod(part.shape[2:])))


def _matrices(w: Any, at: Geometry, piece: _Piece) -> Any:
    """Weights ``(O, C / groups, *kernel)`` as ``(groups, O / groups, column)``, in the columns' order."""
    column = w.shape[1] * math.prod(at.kernel)
    w = w.transpose((0, *range(2, w.ndim), 1)) if piece.together else w
    return w.reshape((at.groups, len(w) // at.groups, column))


# ------------------------------------------------------------------------------------------------------------ running


def _of_one_dtype(*arrays: Any) -> tuple[list, Any]:
    """The arrays in the dtype to compute in, and that of the result: float16 is computed in float32."""
    dtype = np.result_type(*(a.dtype for a in arrays if a is not None))
    inner = np.dtype(np.float32) if dtype == np.float16 else dtype
    return [a if a is None else a.astype(inner, copy=False) for a in arrays], dtype


def _run(work: Callable[[int, int], None], n: int, grain: int, xp: Any) -> None:
    if xp is not np:
        for start in range(0, n, grain):
            work(start, min(start + grain, n))
        return
    # NumPy adds lines shorter than a quarter of its buffer by way of that buffer: 0.5 ns an element, where the buffer has
    # its usual 8192 elements, and 0.2 ns without.
    before = np.setbufsize(1024)
    try:
        parallel(work, n, grain)
    finally:
        np.setbufsize(before)
