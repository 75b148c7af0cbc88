"""The patches of images that a convolution sees, as the columns of a matrix (im2col), and the way back (col2im).

The one idea: a patch is taken along all axes but the first, and then along the first. The first step makes *lines*: for each
offset of the kernel across, the image's rows at the output's positions. The second copies runs of whole rows from them,
or nothing at all: where the rows of several images that are laid together come first in memory, the columns of a row of
the output are the lines of the ``kernel[0]`` rows that it sees, one after the other, a matrix that lies there already. And
back: adding goes along the first axis, and then across.

Images here are padded, ``(N, C, *padded, n)``: N stand apart, n are laid together, each element of one beside the same
element of the others.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from ..backend import array_module
from .gpu import conv as on_gpu
from .gpu.launch import takes
from .gpu.windows import AXES
from .memory import buffer


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
        """Where the image lies in the padded one."""
        return (..., *(slice(p, p + n) for p, n in zip(self.padding, self.size, strict=True)), slice(None))

    @cached_property
    def pointwise(self) -> bool:
        """Whether the columns are the image itself."""
        return math.prod(self.kernel) == 1 and self.padded == self.out == self.size


# ------------------------------------------------------------------------------------------------------------- places


@lru_cache(maxsize=4096)
def _across(at: Geometry, top: int, rows: int) -> list[tuple[int, tuple]]:
    """For each offset in the kernel, its first axis left out: its number, and which places of an image it meets."""
    first = top * at.stride[0]
    step = at.stride[0] if at.kernel[0] == 1 else 1
    down = slice(first, first + (rows - 1) * step + 1, step)
    offsets = itertools.product(*(range(0, k * d, d) for k, d in zip(at.kernel[1:], at.dilation[1:], strict=True)))
    found = []
    for i, offset in enumerate(offsets):
        numbers = zip(offset, at.out[1:], at.stride[1:], strict=True)
        found.append((i, (slice(None), slice(None), down, *(slice(o, o + (t - 1) * s + 1, s) for o, t, s in numbers))))
    return found


@lru_cache(maxsize=4096)
def down(at: Geometry, rows: int) -> list[tuple[int, tuple]]:
    """For each offset along the kernel's first axis: its number, and which lines it meets."""
    step = 1 if at.kernel[0] == 1 else at.stride[0]
    offsets = range(0, at.kernel[0] * at.dilation[0], at.dilation[0])
    return [(i, (slice(None),) * 3 + (slice(o, o + (rows - 1) * step + 1, step),)) for i, o in enumerate(offsets)]


# ------------------------------------------------------------------------------------------------- there, and back


def lines_of(image: Any, at: Geometry, top: int, rows: int, rows_first: bool = False) -> Any:
    """What the output's ``rows`` from ``top`` on see: ``(N, C, kernel across, rows of the image, positions across, n)``.

    ``rows_first`` says how it lies in memory. It is good until the next call.
    """
    lines = _lines(image, at, rows, rows_first)
    for i, place in _across(at, top, lines.shape[3]):
        lines[:, :, i] = image[place]
    return lines


def columns_of(image: Any, at: Geometry, top: int, rows: int) -> Any:
    """The columns of images apart: ``(N, groups, column, positions)``. They are good until the next call."""
    if at.pointwise:
        columns = image[:, :, top : top + rows]
    else:
        lines = columns = lines_of(image, at, top, rows)
        if at.kernel[0] > 1:
            shape = (*image.shape[:2], at.kernel[0], lines.shape[2], rows, *lines.shape[4:])
            columns = buffer("columns", shape, image)
            for i, place in down(at, rows):
                columns[:, :, i] = lines[place]
    n, channels = image.shape[:2]
    shape = (n, at.groups, channels // at.groups * math.prod(at.kernel), rows * math.prod(at.out[1:]) * image.shape[-1])
    return columns.reshape(shape)


def shared_columns_of(image: Any, at: Geometry, top: int, rows: int) -> Any:
    """The columns of images together, row by row: ``(rows, 1, column, positions)``; a row's share memory with the next's."""
    lines = lines_of(image, at, top, rows, rows_first=True)
    column, positions = math.prod(at.kernel) * lines.shape[1], math.prod(lines.shape[4:])
    step = lines.strides[3] * (at.stride[0] if at.kernel[0] > 1 else 1)
    strides = (step, step, positions * lines.itemsize, lines.itemsize)
    return np.lib.stride_tricks.as_strided(lines, (rows, 1, column, positions), strides)


def add_back(columns: Any, image: Any, at: Geometry, top: int, rows: int, rows_first: bool = False) -> None:
    """Add columns to the images where their patches lie; ``rows_first``: columns of images together, row by row."""
    kernel = at.kernel[0], math.prod(at.kernel[1:])
    if rows_first:
        columns = columns.reshape((rows, *kernel, image.shape[1], *at.out[1:], image.shape[-1]))
        columns = columns.transpose((3, 1, 2, 0, *range(4, columns.ndim)))[None]
    else:
        columns = columns.reshape((*image.shape[:2], *kernel, rows, *at.out[1:], image.shape[-1]))
    if at.kernel[0] == 1:
        lines = columns[:, :, 0]
    else:
        lines = _lines(image, at, rows, rows_first)
        lines[...] = 0
        for i, place in down(at, rows):
            lines[place] += columns[:, :, i]
    for i, place in _across(at, top, lines.shape[3]):
        image[place] += lines[:, :, i]


def _lines(image: Any, at: Geometry, rows: int, rows_first: bool) -> Any:
    seen = rows if at.kernel[0] == 1 else (rows - 1) * at.stride[0] + (at.kernel[0] - 1) * at.dilation[0] + 1
    across, rest = math.prod(at.kernel[1:]), (*at.out[1:], image.shape[-1])
    if not rows_first:
        return buffer("lines", (*image.shape[:2], across, seen, *rest), image)
    lines = buffer("lines", (seen, across, image.shape[1], *rest), image)
    return lines.transpose((2, 1, 0, *range(3, lines.ndim)))[None]


# -------------------------------------------------------------------------------------------------- whole batches


def unfold(x: Any, at: Geometry) -> Any:
    """All patches as columns, ``(N, C * kernel, out)``."""
    if takes(x) and len(at.out) <= AXES:
        return on_gpu.unfold(x, at)
    xp = array_module(x)
    image = xp.zeros((*x.shape[:2], *at.padded, 1), x.dtype)
    image[at.inner] = x[..., None]
    return columns_of(image, at, 0, at.out[0])[:, 0].copy()


def fold(columns: Any, at: Geometry) -> Any:
    """Columns added back to where the patches lie: ``(N, C, *size)``."""
    if takes(columns) and len(at.out) <= AXES:
        return on_gpu.fold(columns, at)
    xp = array_module(columns)
    image = xp.zeros((len(columns), columns.shape[1] // math.prod(at.kernel), *at.padded, 1), columns.dtype)
    add_back(columns, image, at, 0, at.out[0])
    return xp.ascontiguousarray(image[at.inner][..., 0])
