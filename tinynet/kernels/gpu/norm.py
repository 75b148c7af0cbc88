"""Normalisation on a GPU: statistics, the normalised x, and its gradients, each one kernel (two where a weight is shared).

The one idea: x is slices, runs of ``length`` elements, and a *group* is the slices with one mean and one variance. A block
of threads takes a group, each of its warps slice after slice; what is summed over a slice is summed in x's dtype by 32
threads, a part each, and in double precision over these and over slices. Nothing is added by two blocks, so equal runs give
equal bits.

``plan`` says how x is cut: see ``functions/normalisation.py``. Means and r = 1 / sqrt(variance + eps) are float64, ``(n or
1, groups, 1)``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backend import array_module
from .launch import start

WARPS = 16  # in a block, at most
PARTS = 64  # blocks that share the sums over all slices for each place in a slice

SOURCE = """
struct Plan { whole n, groups, channels, length, over_n, centred, fixed; };

// Slice number k of a group.
__device__ whole slice_of(const Plan &plan, whole group, whole k) {
    whole g = group % plan.groups, i = plan.over_n ? k / plan.channels : group / plan.groups;
    return (i * plan.groups + g) * plan.channels + k % plan.channels;
}

__device__ whole group_of(const Plan &plan, whole slice) {
    whole rest = slice / plan.channels;
    return plan.over_n ? rest % plan.groups : rest;
}

// Of all threads of a block; blockDim.x is a multiple of 32.
__device__ double block_sum(double x) {
    __shared__ double parts[32];
    x = warp_sum(x);
    __syncthreads();
    if (LANE == 0) parts[threadIdx.x / 32] = x;
    __syncthreads();
    double total = 0;
    for (unsigned k = 0; k < blockDim.x / 32; k++) total += parts[k];
    return total;
}

extern "C" __global__ void statistics(const real *x, double *mean, double *variance, const Plan plan, whole all) {
    whole slices = (plan.over_n ? plan.n : 1) * plan.channels, warps = blockDim.x / 32;
    for (whole group = blockIdx.x; group < all; group += gridDim.x) {
        double total = 0, middle = 0;
        for (whole k = threadIdx.x / 32; plan.centred && k < slices; k += warps) {
            const real *row = x + slice_of(plan, group, k) * plan.length;
            real part = 0;
            for (whole j = LANE; j < plan.length; j += 32) part += row[j];
            total += part;
        }
        if (plan.centred) middle = block_sum(total) / (slices * plan.length);
        real near = (real)middle, rest = (real)(middle - near);
        // The sums of x lose digits beside a large mean (at 1e4, 1e-4 of it); those of x less about the mean do not.
        double left = 0;
        total = 0;
        for (whole k = threadIdx.x / 32; k < slices; k += warps) {
            const real *row = x + slice_of(plan, group, k) * plan.length;
            real part = 0, squares = 0;
            for (whole j = LANE; j < plan.length; j += 32) {
                real d = row[j] - near - rest;
                part += d;
                squares += d * d;
            }
            left += part;
            total += squares;
        }
        left = block_sum(left) / (slices * plan.length);
        total = block_sum(total) / (slices * plan.length);
        if (threadIdx.x == 0) {
            mean[group] = plan.centred ? middle + left : 0;
            variance[group] = plan.centred ? total - left * left : total;
        }
    }
}

// (x - mean) r weight + bias; where along, there are weights for the places in a slice, else for its channel.
extern "C" __global__ void normalised(const real *x, const double *mean, const double *r, const real *weight,
                                      const real *bias, real *y, const Plan plan, whole along, whole size) {
    EACH(i, size) {
        whole slice = i / plan.length, group = group_of(plan, slice);
        whole w = along ? i % plan.length : slice % (plan.groups * plan.channels);
        real near = (real)mean[group], rest = (real)(mean[group] - near);
        real u = (x[i] - near - rest) * (real)r[group];
        if (weight) u *= weight[w];
        y[i] = bias ? u + bias[w] : u;
    }
}

// With u = (x - mean) r and h = g weight: of each slice the sums of g and g u, of each group the means of h and h u.
extern "C" __global__ void sums(const real *g, const real *x, const double *mean, const double *r, const real *weight,
                                double *of_g, double *of_gu, double *of_h, double *of_hu, const Plan plan, whole along,
                                whole all) {
    whole slices = (plan.over_n ? plan.n : 1) * plan.channels, warps = blockDim.x / 32;
    for (whole group = blockIdx.x; group < all; group += gridDim.x) {
        real near = (real)mean[group], rest = (real)(mean[group] - near), scale = (real)r[group];
        double h_total = 0, hu_total = 0;
        for (whole k = threadIdx.x / 32; k < slices; k += warps) {
            whole slice = slice_of(plan, group, k);
            const real *gs = g + slice * plan.length, *xs = x + slice * plan.length;
            real a = 0, b = 0;
            for (whole j = LANE; j < plan.length; j += 32) {
                real h = along && weight ? gs[j] * weight[j] : gs[j];
                a += h;
                b += h * ((xs[j] - near - rest) * scale);
            }
            double h = warp_sum((double)a), hu = warp_sum((double)b);
            double w = weight && !along ? weight[slice % (plan.groups * plan.channels)] : 1;
            if (LANE == 0) {
                h_total += w * h;
                hu_total += w * hu;
                if (!along) { of_g[slice] = h; of_gu[slice] = hu; }
            }
        }
        h_total = block_sum(h_total);
        hu_total = block_sum(hu_total);
        if (threadIdx.x == 0) {
            of_h[group] = h_total / (slices * plan.length);
            of_hu[group] = hu_total / (slices * plan.length);
        }
    }
}

// For each place in a slice, g u and g over every so many slices.
extern "C" __global__ void across(const real *g, const real *x, const double *mean, const double *r, double *of_gu,
                                  double *of_g, const Plan plan, whole slices) {
    EACH(j, plan.length) {
        double gu = 0, sum = 0;
        for (whole s = blockIdx.y; s < slices; s += gridDim.y) {
            whole i = s * plan.length + j, group = group_of(plan, s);
            real near = (real)mean[group], rest = (real)(mean[group] - near);
            gu += g[i] * ((x[i] - near - rest) * (real)r[group]);
            sum += g[i];
        }
        of_gu[blockIdx.y * plan.length + j] = gu;
        of_g[blockIdx.y * plan.length + j] = sum;
    }
}

// r (h - mean(h) - u mean(h u)), without the means where they do not depend on x.
extern "C" __global__ void gradients(const real *g, const real *x, const double *mean, const double *r, const real *weight,
                                     const double *of_h, const double *of_hu, real *gx, const Plan plan, whole along,
                                     whole size) {
    EACH(i, size) {
        whole slice = i / plan.length, group = group_of(plan, slice);
        real near = (real)mean[group], rest = (real)(mean[group] - near), scale = (real)r[group], h = g[i];
        if (weight) h *= weight[along ? i % plan.length : slice % (plan.groups * plan.channels)];
        if (!plan.fixed) {
            h -= (x[i] - near - rest) * scale * (real)of_hu[group];
            if (plan.centred) h -= (real)of_h[group];
        }
        gx[i] = h * scale;
    }
}
"""

PLAN = np.dtype([(name, np.int64) for name in ("n", "groups", "channels", "length", "over_n", "centred", "fixed")])


def _struct(plan: Any, over_n: bool) -> np.ndarray:
    return np.array((*plan.shape, over_n, plan.centred, plan.fixed), PLAN)


def _blocks(plan: Any, over_n: bool) -> tuple[int, int]:
    """How many groups there are, and threads for each."""
    n, groups, channels, _ = plan.shape
    slices = (n if over_n else 1) * channels
    return groups if over_n else n * groups, 32 * min(WARPS, slices)


def statistics(x: Any, plan: Any) -> tuple[Any, Any]:
    """The mean of each group (0 where not centred) and its variance; x is ``(slices, length)``."""
    over_n = 0 in plan.pooled
    mean, variance = array_module(x).empty((2, 1 if over_n else plan.shape[0], plan.shape[1], 1))
    groups, block = _blocks(plan, over_n)
    start(x, SOURCE, "statistics", groups * block, x, mean, variance, _struct(plan, over_n), groups, block=block)
    return mean, variance


def _numbers(a: Any, plan: Any, over_n: bool) -> Any:
    """Means or rs as the kernels take them."""
    xp = array_module(a)
    shape = (1 if over_n else plan.shape[0], plan.shape[1], 1)
    return xp.ascontiguousarray(xp.broadcast_to(a, shape), dtype=np.float64)


def _weights(w: Any, x: Any) -> Any:
    return None if w is None else array_module(x).ascontiguousarray(w, dtype=x.dtype)


def normalised(x: Any, weight: Any, bias: Any, mean: Any, r: Any, plan: Any) -> Any:
    """(x - mean) r weight + bias."""
    over_n, y = mean.shape[0] == 1, array_module(x).empty_like(x)
    mean, r, weight, bias = _numbers(mean, plan, over_n), _numbers(r, plan, over_n), _weights(weight, x), _weights(bias, x)
    if x.size:
        struct = _struct(plan, over_n)
        start(x, SOURCE, "normalised", x.size, x, mean, r, weight, bias, y, struct, int(plan.along), x.size)
    return y


def gradients(g: Any, x: Any, weight: Any, mean: Any, r: Any, plan: Any) -> tuple[Any, Any, Any]:
    """The gradients for x, the weight and the bias, the last two flat and in float64."""
    xp, over_n, (n, groups, channels, length) = array_module(x), mean.shape[0] == 1, plan.shape
    mean, r, weight = _numbers(mean, plan, over_n), _numbers(r, plan, over_n), _weights(weight, x)
    struct, along, (count, block) = _struct(plan, over_n), int(plan.along), _blocks(plan, over_n)
    of_slices, of_groups = xp.empty((2, n, groups * channels)), xp.empty((2, count))
    given = g, x, mean, r, weight, *of_slices, *of_groups, struct, along, count
    start(x, SOURCE, "sums", count * block, *given, block=block)
    if along:
        parts = max(1, min(PARTS, len(x)))
        shared = xp.empty((2, parts, length))
        start(x, SOURCE, "across", length, g, x, mean, r, *shared, struct, len(x), rows=parts)
    else:
        shared = of_slices[::-1]
    gx = xp.empty_like(x)
    start(x, SOURCE, "gradients", x.size, g, x, mean, r, weight, *of_groups, gx, struct, along, x.size)
    return gx, *shared.sum(axis=1)
