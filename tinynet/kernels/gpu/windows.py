"""What slides over images on a GPU: the patches of a convolution, as columns and back, and the windows of pooling.

The one idea: one thread for each number of the result, which gathers what it is made of. So back from patches or windows
nothing is added by several threads at once, and equal runs give equal bits. Up to three axes; fewer count as axes of one
element.

Columns are ``(C * kernel, N, positions)`` here: all images' patches side by side, so that each of a convolution's three
products is one product of large matrices.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...backend import array_module
from .launch import start

AXES = 3
NUMBERS = ("size", "out", "kernel", "stride", "dilation", "padding")
GRID = np.dtype([(name, np.int64, (AXES,)) for name in NUMBERS])

SOURCE = f"""
struct Grid {{ whole {", ".join(f"{name}[{AXES}]" for name in NUMBERS)}; }};

// The offset in an image of the element that position p sees at place k of the kernel; -1 outside.
__device__ int seen(const Grid &grid, unsigned p, unsigned k) {{
    int offset = 0, stride = 1;
    for (int a = {AXES - 1}; a >= 0; a--) {{
        int size = grid.size[a], out = grid.out[a], kernel = grid.kernel[a];
        int at = int(p % out) * int(grid.stride[a]) + int(k % kernel) * int(grid.dilation[a]) - int(grid.padding[a]);
        p /= out; k /= kernel;
        if (at < 0 || at >= size) return -1;
        offset += at * stride;
        stride *= size;
    }}
    return offset;
}}

// The position that sees element s at place k; -1 if none does.
__device__ int seer(const Grid &grid, unsigned s, unsigned k) {{
    int position = 0, stride = 1;
    for (int a = {AXES - 1}; a >= 0; a--) {{
        int size = grid.size[a], out = grid.out[a], kernel = grid.kernel[a], step = grid.stride[a];
        int at = int(s % size) + int(grid.padding[a]) - int(k % kernel) * int(grid.dilation[a]);
        s /= size; k /= kernel;
        if (at < 0 || at % step || at / step >= out) return -1;
        position += at / step * stride;
        stride *= out;
    }}
    return position;
}}

extern "C" __global__ void columns_of(const real *x, real *columns, const Grid grid, whole n, whole channels,
                                      whole size, whole places, whole positions) {{
    EACH(at, channels * places * n * positions) {{
        unsigned i = (unsigned)at, p = i % (unsigned)positions, rest = i / (unsigned)positions;
        unsigned image = rest % (unsigned)n, row = rest / (unsigned)n;
        int offset = seen(grid, p, row % (unsigned)places);
        columns[at] = offset < 0 ? (real)0 : x[(image * channels + row / (unsigned)places) * size + offset];
    }}
}}

extern "C" __global__ void add_back(const real *columns, real *x, const Grid grid, whole n, whole channels,
                                    whole size, whole places, whole positions) {{
    EACH(at, n * channels * size) {{
        unsigned i = (unsigned)at, s = i % (unsigned)size, rest = i / (unsigned)size;
        whole image = rest / (unsigned)channels, channel = rest % (unsigned)channels;
        real sum = 0;
        for (int k = 0; k < places; k++) {{
            int p = seer(grid, s, k);
            if (p >= 0) sum += columns[((channel * places + k) * n + image) * positions + p];
        }}
        x[at] = sum;
    }}
}}

extern "C" __global__ void slide(const real *x, real *y, const Grid grid, whole n, whole size, whole places, whole positions,
                                 whole largest) {{
    EACH(at, n * positions) {{
        const real *image = x + at / positions * size;
        bool none = true;
        real found = 0;
        for (int k = 0; k < places; k++) {{
            int offset = seen(grid, at % positions, k);
            if (offset < 0) continue;
            real value = image[offset];
            found = !largest ? found + value : none ? value : larger(found, value);
            none = false;
        }}
        y[at] = largest && none ? log((real)0) : found;
    }}
}}

// The place of each window's first element that is equal to y, or the first NaN; the number of places if none is.
extern "C" __global__ void winners(const real *x, const real *y, whole *at_place, const Grid grid, whole n, whole size,
                                   whole places, whole positions) {{
    EACH(at, n * positions) {{
        const real *image = x + at / positions * size;
        int k = 0;
        for (; k < places; k++) {{
            int offset = seen(grid, at % positions, k);
            if (offset >= 0 && !(y[at] != y[at] ? image[offset] == image[offset] : image[offset] < y[at])) break;
        }}
        at_place[at] = k;
    }}
}}

extern "C" __global__ void of_winners(const real *x, const whole *at_place, real *y, const Grid grid, whole n, whole size,
                                      whole places, whole positions) {{
    EACH(at, n * positions) {{
        int offset = at_place[at] < places ? seen(grid, at % positions, at_place[at]) : -1;
        y[at] = offset < 0 ? (real)0 : x[at / positions * size + offset];
    }}
}}

// at_place: only windows whose winner stands there count; none: all do.
extern "C" __global__ void spread(const real *y, const whole *at_place, real *x, const Grid grid, whole n, whole size,
                                  whole places, whole positions) {{
    EACH(at, n * size) {{
        whole first = at / size * positions;
        real sum = 0;
        for (int k = 0; k < places; k++) {{
            int p = seer(grid, at % size, k);
            if (p >= 0 && (!at_place || at_place[first + p] == k)) sum += y[first + p];
        }}
        x[at] = sum;
    }}
}}
"""


def grid_of(**numbers: tuple[int, ...]) -> np.ndarray:
    """The struct ``Grid`` of tuples with a number for each axis."""
    grid = np.zeros((), GRID)
    for name, values in numbers.items():
        grid[name] = (*[0 if name == "padding" else 1] * (AXES - len(values)), *values)
    return grid


def _sizes(grid: np.ndarray) -> tuple[int, int, int]:
    """Elements of an image, places of a kernel, positions."""
    return math.prod(grid["size"].tolist()), math.prod(grid["kernel"].tolist()), math.prod(grid["out"].tolist())


def columns_of(x: Any, grid: np.ndarray) -> Any:
    """The patches of images ``(N, C, *size)``: ``(C * kernel, N, positions)``."""
    n, channels = x.shape[:2]
    size, places, positions = _sizes(grid)
    columns = array_module(x).empty((channels * places, n, positions), x.dtype)
    if columns.size:
        start(x, SOURCE, "columns_of", columns.size, x, columns, grid, n, channels, size, places, positions)
    return columns


def add_back(columns: Any, grid: np.ndarray, shape: tuple[int, ...]) -> Any:
    """Such columns added to where they come from, in images of ``shape`` ``(N, C, *size)``."""
    x = array_module(columns).empty(shape, columns.dtype)
    if x.size:
        start(columns, SOURCE, "add_back", x.size, columns, x, grid, *shape[:2], *_sizes(grid))
    return x


def _over(name: str, grid: np.ndarray, result: Any, n: int, *arguments: Any) -> Any:
    if result.size:
        like = arguments[0]
        start(like, SOURCE, name, result.size, *arguments, grid, n, *_sizes(grid))
    return result


def slide(x: Any, grid: np.ndarray, shape: tuple[int, ...], largest: bool) -> Any:
    """The largest element or the sum of every window; ``shape``: of the result."""
    y, (size, places, positions) = array_module(x).empty(shape, x.dtype), _sizes(grid)
    if y.size:
        start(x, SOURCE, "slide", y.size, x, y, grid, y.size // positions, size, places, positions, int(largest))
    return y


def winners(x: Any, y: Any, grid: np.ndarray) -> Any:
    """The place of each window's first element that is equal to y, its largest (or the first NaN), as int64."""
    at = array_module(x).empty(y.shape, np.int64)
    return _over("winners", grid, at, y.size // _sizes(grid)[2], x, y, at)


def of_winners(x: Any, at: Any, grid: np.ndarray) -> Any:
    """For each window the number at the place ``at``."""
    y = array_module(x).empty(at.shape, x.dtype)
    return _over("of_winners", grid, y, y.size // _sizes(grid)[2], x, at, y)


def spread(y: Any, at: Any, grid: np.ndarray, shape: tuple[int, ...]) -> Any:
    """Each window's number added to all of its elements, or to that at the place ``at``; ``shape``: of the result."""
    x = array_module(y).empty(shape, y.dtype)
    return _over("spread", grid, x, x.size // _sizes(grid)[0], y, at, x)
