"""Convolution in any number of dimensions, and its two gradients, as matrix products over pieces that stay in the cache.

The one idea: an output position sees a patch of the image, and with the patches of one piece of the batch as the columns of
a matrix (im2col), convolution is ``weight @ columns``, the weight's gradient ``columns @ gradient.T``, and the image's
gradient ``weight.T @ gradient``, whose columns are added back to where the patches came from (col2im). The columns take
the kernel's size times the image's memory; so they are made for one image at a time, or for a few small ones, or some rows
of a large one, in a buffer of about 1 MiB that every thread has and uses again.

Copying and adding take NumPy 0.1 to 0.3 ns an element and some 5 and 18 ns for each run of neighbours. Where runs are short,
images are first laid *together*, each element of one beside the same element of the others, which makes all runs so many
times longer. Measured on one thread (of an Intel Xeon, AVX-512, where OpenBLAS reaches 135 GFLOP/s), in ms of CPU time:

    batch, channels, kernel, image         products   forward apart, together   image's gradient apart, together
    64, 32 -> 64, 3x3, 26x26                   10.4       15.3     16.6 - 19         22.6       16.9
    64, 6 -> 16, 5x5, 14x14                    0.25       0.92     0.63              1.8        1.0
    32, 64 -> 64, 3x3, 16x16                    4.7        7.9     6.7               11         7.7
    32, 256 -> 256, 3x3, 8x8                   18.9       24.8     20.2              34         21.5

Loops compiled by Numba took 2.6 ms for the columns of the first line, where a copy from a strided view of all patches takes
3.0 and a copy for each kernel offset 4.0; so nothing here is compiled.
"""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from operator import mul
from typing import Any, NamedTuple

import numpy as np

from ..backend import array_module
from .threads import parallel

PIECE = 5 * 2**18  # bytes of columns at a time on a CPU: most of a core's second-level cache
PIECE_ON_A_GPU = 2**28
TOGETHER = (16, 8, 4, 2)  # how many images may be laid together: powers of 2, for runs that start where vectors do
PARTS = 16  # into which a batch is divided for the threads, at most
WORTH_A_PART = 2e5  # ns: what a part should take at least; waking a thread takes 50,000
SUMS = 2**22  # elements: the sums of the weight's gradient that the parts keep, all together
COPY_RUN, ADD_RUN = 5.5, 18.0  # ns for a run of neighbours, however long


@dataclass(frozen=True)
class Geometry:
    """How patches lie on an image: a tuple with a number for each spatial axis, but for ``groups``.

    Output position t sees the elements ``t * stride + k * dilation - padding`` for k below ``kernel``, those outside the
    image as zeros.
    """

    size: tuple[int, ...]  # of the image
    out: tuple[int, ...]  # how many positions
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: tuple[int, ...]  # zeros before the image; those behind follow from the rest
    groups: int = 1

    @cached_property
    def padded(self) -> tuple[int, ...]:
        """The image with the zeros around it that some patch sees."""
        numbers = zip(self.size, self.padding, self.out, self.stride, self.dilation, self.kernel, strict=True)
        return tuple(max(n + p, (t - 1) * s + d * (k - 1) + 1) for n, p, t, s, d, k in numbers)

    @cached_property
    def inner(self) -> tuple:
        """Where the image lies in the padded one, in an array that has one axis more at its end."""
        return (..., *(slice(p, p + n) for p, n in zip(self.padding, self.size, strict=True)), slice(None))

    @cached_property
    def pointwise(self) -> bool:
        """Whether the columns are the image itself."""
        return math.prod(self.kernel) == 1 and self.padded == self.out == self.size


# ------------------------------------------------------------------------------------------------- the three products


def conv(x: Any, w: Any, bias: Any, at: Geometry) -> Any:
    """x ``(N, C, *size)``, w ``(O, C / groups, *kernel)``, bias ``(O,)`` or None: ``(N, O, *out)``."""
    (x, w, bias), dtype = _of_one_dtype(x, w, bias)
    xp = array_module(x)
    piece = _piece(x, len(w), at, COPY_RUN)
    y = xp.empty((len(x), len(w), *at.out), x.dtype)
    matrices = _matrices(w, at)
    bias = None if bias is None else bias.reshape((at.groups, -1, 1))

    def work(start: int, stop: int) -> None:
        for images, rows, columns in _columns(x, start, stop, at, piece):
            part = _arranged(y[images, :, rows], piece)
            apart = xp is np and not piece.together  # the product is the output as it stands
            product = _lines(part, at) if apart else _buffer("lines", (*part.shape[:2], columns.shape[3]), x)
            product = product.reshape((len(part), at.groups, -1, columns.shape[3]))
            xp.matmul(matrices, columns, out=product)
            if bias is not None:
                product += bias  # while it is in the cache
            if not apart:
                part[...] = product.reshape(part.shape)

    _run(work, len(x), piece.grain, xp)
    return y.astype(dtype, copy=False)


def conv_weight(x: Any, g: Any, at: Geometry) -> Any:
    """The gradient for the w of ``conv``, from x and the output's gradient g."""
    (x, g), dtype = _of_one_dtype(x, g)
    xp, channels, outputs = array_module(x), x.shape[1] // at.groups, g.shape[1] // at.groups
    piece = _piece(x, g.shape[1], at, COPY_RUN)
    # (columns, outputs) of each group: 12.0 ms for the products of the first line above, 14.8 as (outputs, columns).
    shape = (at.groups, channels * math.prod(at.kernel), outputs)
    grain = max(piece.grain, -(-len(x) * math.prod(shape) // SUMS))
    sums = xp.zeros((max(1, -(-len(x) // grain)), *shape), x.dtype)

    def work(start: int, stop: int) -> None:
        total = sums[start // grain]
        for images, rows, columns in _columns(x, start, stop, at, piece):
            product = columns @ _gathered(g[images, :, rows], at, piece).swapaxes(-1, -2)
            total += product[0] if len(product) == 1 else product.sum(axis=0)

    _run(work, len(x), grain, xp)
    total = sums[0] if len(sums) == 1 else sums.sum(axis=0)
    total = xp.ascontiguousarray(total.swapaxes(-1, -2))
    return total.reshape((g.shape[1], channels, *at.kernel)).astype(dtype, copy=False)


def conv_input(g: Any, w: Any, bias: Any, at: Geometry) -> Any:
    """The gradient for the x of ``conv``, from w and the output's gradient g: ``(N, C, *size)``; bias ``(C,)`` or None.

    With a bias, which a gradient has not, it is the transposed convolution.
    """
    (g, w, bias), dtype = _of_one_dtype(g, w, bias)
    xp = array_module(g)
    x = xp.empty((len(g), w.shape[1] * at.groups, *at.size), g.dtype)
    piece = _piece(x, len(w), at, ADD_RUN)
    matrices = _matrices(w, at).swapaxes(-1, -2)
    bias = None if bias is None else bias.reshape((-1, *(1 for _ in at.size)))

    def work(start: int, stop: int) -> None:
        for first in range(start, stop, piece.images):
            images = slice(first, min(first + piece.images, stop))
            part = _arranged(x[images], piece)
            direct = at.padded == at.size and not piece.together
            image = part if direct else _buffer("image", (*part.shape[:2], *at.padded, part.shape[-1]), x)
            image[...] = 0
            for top in range(0, at.out[0], piece.rows):
                some = g[images, :, top : top + piece.rows]
                lines = _gathered(some, at, piece)
                columns = _buffer("columns", (len(part), *matrices.shape[:2], lines.shape[3]), x)
                xp.matmul(matrices, lines, out=columns)
                _add_back(image, columns, at, top, some.shape[2:])
            if not direct:
                part[...] = image[at.inner]
            if bias is not None:
                x[images] += bias

    _run(work, len(g), piece.grain, xp)
    return x.astype(dtype, copy=False)


def unfold(x: Any, at: Geometry) -> Any:
    """All patches as columns, ``(N, C * kernel, out)``."""
    xp = array_module(x)
    image = xp.zeros((*x.shape[:2], *at.padded, 1), x.dtype)
    image[at.inner] = x[..., None]
    return xp.ascontiguousarray(_patches(image, at)).reshape((len(x), x.shape[1] * math.prod(at.kernel), math.prod(at.out)))


def fold(columns: Any, at: Geometry) -> Any:
    """Columns added back to where the patches lie: ``(N, C, *size)``."""
    xp = array_module(columns)
    image = xp.zeros((len(columns), columns.shape[1] // math.prod(at.kernel), *at.padded, 1), columns.dtype)
    _add_back(image, columns, at, 0, at.out)
    return xp.ascontiguousarray(image[at.inner][..., 0])


# ----------------------------------------------------------------------------------------------- patches and columns


class _Piece(NamedTuple):
    """What is done at a time: ``images``, of their output ``rows`` along the first axis; ``grain`` is for a thread."""

    images: int
    rows: int
    together: bool
    grain: int


def _piece(x: Any, outputs: int, at: Geometry, run: float) -> _Piece:
    """How to go about a batch of images x, where a run of neighbours in the columns costs ``run`` ns."""
    n, channels, positions, on_cpu = len(x), x.shape[1], math.prod(at.out), isinstance(x, np.ndarray)
    elements = max(1, channels * math.prod(at.kernel) * positions)  # of an image's columns
    row, image = (count * x.itemsize for count in (-(-elements // at.out[0]), channels * math.prod(at.padded)))
    room, count = PIECE if on_cpu else PIECE_ON_A_GPU, 1
    moved = channels * math.prod(at.size) + outputs * positions
    if on_cpu and run * elements / max(1, at.out[-1]) > 1.2 * moved:  # ns for laying images together and apart again
        count = next((c for c in TOGETHER if c <= n and c * row <= room and c * image <= 1.5 * room), 1)
    together = count > 1
    rows = min(at.out[0], max(1, room // (row * count)))
    if not together:
        count = max(1, room // (row * at.out[0]))
    once = elements * (0.3 + 0.015 * outputs / at.groups)  # ns for an image
    parts = max(1, min(PARTS, int(n * once / WORTH_A_PART)))
    grain = max(1, -(-n // (parts - parts % 2 or 1)))  # an even number of parts, for two threads
    return _Piece(count, rows, together, -(-grain // count) * count if together else grain)


def _arranged(part: Any, piece: _Piece) -> Any:
    """A view of images ``(n, C, ...)`` as ``(1, C, ..., n)`` where they are laid together, ``(n, C, ..., 1)`` elsewhere."""
    return part.transpose((*range(1, part.ndim), 0))[None] if piece.together else part[..., None]


def _gathered(part: Any, at: Geometry, piece: _Piece) -> Any:
    """Outputs ``(n, O, ...)``, arranged, as lines ``(..., groups, O / groups, positions)``."""
    part = _arranged(part, piece)
    if piece.together:
        lines = _buffer("lines", part.shape, part)
        lines[...] = part
        part = lines
    return _lines(part, at)


def _lines(part: Any, at: Geometry) -> Any:
    return part.reshape((len(part), at.groups, part.shape[1] // at.groups, math.prod(part.shape[2:])))


def _matrices(w: Any, at: Geometry) -> Any:
    """Weights ``(O, C / groups, *kernel)`` as ``(groups, O / groups, column)``."""
    return w.reshape((at.groups, len(w) // at.groups, w.shape[1] * math.prod(at.kernel)))


def _patches(image: Any, at: Geometry) -> Any:
    """A view of the patches of padded images ``(N, C, *padded, n)``: ``(N, C, *kernel, *out, n)``."""
    first, channel, *along, last = image.strides
    strides = (first, channel, *map(mul, at.dilation, along), *map(mul, at.stride, along), last)
    shape = (*image.shape[:2], *at.kernel, *at.out, image.shape[-1])
    return array_module(image).lib.stride_tricks.as_strided(image, shape, strides)


def _columns(x: Any, start: int, stop: int, at: Geometry, piece: _Piece) -> Iterator[tuple[slice, slice, Any]]:
    """Piece by piece: which images, which rows of their output, and the columns ``(..., groups, column, position)``.

    The columns are good until the next piece is asked for.
    """
    copied = piece.together or at.padded != at.size
    if copied:
        whole = _arranged(x[start : min(start + piece.images, stop)], piece)
        image = _buffer("image", (*whole.shape[:2], *at.padded, whole.shape[-1]), x)
        image[...] = 0
    else:
        image = _arranged(x[start:stop], piece)
    patches = image if at.pointwise else _patches(image, at)
    before = (slice(None),) * (patches.ndim - 1 - len(at.out))
    for first in range(start, stop, piece.images):
        images = slice(first, min(first + piece.images, stop))
        n = images.stop - first
        if not copied:
            seen = patches[first - start : images.stop - start]
        else:
            seen, filled = (patches[..., :n], image[..., :n]) if piece.together else (patches[:n], image[:n])
            filled[at.inner] = _arranged(x[images], piece)
        for top in range(0, at.out[0], piece.rows):
            rows = slice(top, top + piece.rows)
            place = (*before, rows)
            columns = seen[place]
            if not at.pointwise:
                buffer = _buffer("columns", columns.shape, x)
                buffer[...] = columns
                columns = buffer
            yield images, rows, columns.reshape((len(seen), at.groups, -1, math.prod(columns.shape[len(before) :])))


def _add_back(image: Any, columns: Any, at: Geometry, top: int, out: tuple[int, ...]) -> None:
    """Add the columns of the positions ``out``, from row ``top`` on, to the padded images where their patches lie."""
    columns = columns.reshape((*image.shape[:2], math.prod(at.kernel), *out, image.shape[-1]))
    offsets = itertools.product(*(range(0, k * d, d) for k, d in zip(at.kernel, at.dilation, strict=True)))
    for i, offset in enumerate(offsets):
        first = (offset[0] + top * at.stride[0], *offset[1:])
        steps = zip(first, out, at.stride, strict=True)
        places = (..., *(slice(o, o + (t - 1) * s + 1, s) for o, t, s in steps), slice(None))
        image[places] += columns[:, :, i]


# ---------------------------------------------------------------------------------------------- running, and memory


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


class _Kept(threading.local):
    def __init__(self) -> None:
        self.buffers: dict[tuple[str, str], Any] = {}


_kept = _Kept()


def _buffer(name: str, shape: tuple[int, ...], like: Any) -> Any:
    """An array without values, of this thread, good until the next one of that name: its pages are there already."""
    if not isinstance(like, np.ndarray):
        return array_module(like).empty(shape, like.dtype)
    size = math.prod(shape)
    flat = _kept.buffers.get((name, like.dtype.char))
    if flat is None or flat.size < size:
        flat = np.empty(size, like.dtype)
        if flat.nbytes <= 4 * PIECE:
            _kept.buffers[name, like.dtype.char] = flat
    return flat[:size].reshape(shape)
