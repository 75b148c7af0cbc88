"""Softmax with cross-entropy: a warp goes through each row, for its largest element, the sum of its exponentials, and back.

Ids of -1 are rows that do not count.
"""

from __future__ import annotations

from typing import Any

from ...backend import array_module
from .launch import BLOCK, start

SOURCE = """
// A row's largest element (0 where that is not finite, or the whole row would be NaN), and the sum of exp(x - top).
__device__ void shifted_sum(const real *x, whole width, real &top, real &total) {
    real most = x[0];
    for (whole j = LANE; j < width; j += 32) most = larger(most, x[j]);
    most = warp_max(most);
    top = most - most == 0 ? most : (real)0;
    real sum = 0;
    for (whole j = LANE; j < width; j += 32) sum += exp(x[j] - top);
    total = warp_sum(sum);
}

extern "C" __global__ void losses(const real *x, const whole *ids, real *y, whole rows, whole width) {
    EACH_ROW(i, rows) {
        real top, total;
        shifted_sum(x + i * width, width, top, total);
        if (LANE == 0) y[i] = ids[i] < 0 ? (real)0 : log(total) - (x[i * width + ids[i]] - top);
    }
}

extern "C" __global__ void mean(const real *losses, const whole *kept, real *y, whole rows) {  // one block
    __shared__ double parts[4];
    double sum = 0;
    for (whole i = threadIdx.x; i < rows; i += blockDim.x) sum += losses[i];
    sum = warp_sum(sum);
    if (LANE == 0) parts[threadIdx.x / 32] = sum;
    __syncthreads();
    if (threadIdx.x == 0) y[0] = (real)((parts[0] + parts[1] + parts[2] + parts[3]) / kept[0]);  // 0 / 0 is NaN
}

// g: of every row, or one number for all; kept: by how many it is divided, or none.
extern "C" __global__ void gradients(const real *g, const real *x, const whole *ids, const whole *kept, real *gx,
                                     whole rows, whole width) {
    EACH_ROW(i, rows) {
        const real *row = x + i * width;
        real top, total, each = kept ? (kept[0] ? g[0] / (real)kept[0] : (real)0) : g[i];
        shifted_sum(row, width, top, total);
        for (whole j = LANE; j < width; j += 32)
            gx[i * width + j] = ids[i] < 0 ? (real)0 : each * (exp(row[j] - top) / total - (j == ids[i]));
    }
}
"""


def cross_entropy(x: Any, ids: Any) -> Any:
    rows, width = x.shape
    y = array_module(x).empty(rows, x.dtype)
    if x.size:
        start(x, SOURCE, "losses", 32 * rows, x, ids, y, rows, width)
    return y


def mean_cross_entropy(x: Any, ids: Any, kept: Any) -> Any:
    y = array_module(x).empty((), x.dtype)
    start(x, SOURCE, "mean", BLOCK, cross_entropy(x, ids), kept, y, len(x))
    return y


def cross_entropy_grad(g: Any, x: Any, ids: Any, kept: Any = None) -> Any:
    gx = array_module(x).empty_like(x)
    if x.size:
        start(x, SOURCE, "gradients", 32 * len(x), g, x, ids, kept, gx, *x.shape)
    return gx


def mean_cross_entropy_grad(g: Any, x: Any, ids: Any, kept: Any) -> Any:
    return cross_entropy_grad(g, x, ids, kept)
