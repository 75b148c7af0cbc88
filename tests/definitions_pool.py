"""DEFINITIONS of pooling and resampling: one window, one element at a time."""

import itertools
import math

import numpy as np


def several(value, n):
    """One number for each of n axes."""
    value = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    return value * n if len(value) == 1 else value


def windows(size, kernel, stride, padding, dilation, ceil_mode):
    """Where each window starts along an axis, in elements of x; negative in the padding."""
    count = (size + 2 * padding - dilation * (kernel - 1) - 1) / stride + 1
    count = math.ceil(count) if ceil_mode else math.floor(count)
    starts = [i * stride - padding for i in range(count)]
    return [s for s in starts if s < size] if ceil_mode else starts


def pooled(n, x, kernel_size, stride, padding, dilation, ceil_mode, combine):
    """``combine(values, full)`` for every window: its elements inside x, and the number of its places in x and padding."""
    kernel, padding, dilation = several(kernel_size, n), several(padding, n), several(dilation, n)
    stride = kernel if stride is None else several(stride, n)
    sizes = x.shape[-n:]
    starts = [windows(*axis, ceil_mode) for axis in zip(sizes, kernel, stride, padding, dilation, strict=True)]
    y = np.zeros((*x.shape[:-n], *map(len, starts)), x.dtype)
    for at in np.ndindex(y.shape):
        values, full = [], 0
        for place in itertools.product(*map(range, kernel)):
            spot = [starts[a][at[a - n]] + place[a] * dilation[a] for a in range(n)]
            full += all(s < sizes[a] + padding[a] for a, s in enumerate(spot))
            if all(0 <= s < sizes[a] for a, s in enumerate(spot)):
                values.append(x[(*at[:-n], *spot)])
        y[at] = combine(values, full)
    return y


def largest(values, full):
    best = values[0]
    for value in values[1:]:
        if value > best or value != value:
            best = value
        if best != best:
            break
    return best


def max_pool(n):
    def pool(x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False):
        return pooled(n, x, kernel_size, stride, padding, dilation, ceil_mode, largest)

    return pool


def avg_pool(n):
    def pool(x, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None):
        def combine(values, full):
            return sum(values) / (divisor_override or (full if count_include_pad else len(values)))

        return pooled(n, x, kernel_size, stride, padding, 1, ceil_mode, combine)

    return pool


def adaptive_avg_pool2d(x, output_size):
    rows, columns = (n if m is None else m for n, m in zip(x.shape[-2:], several(output_size, 2), strict=True))
    y = np.zeros((*x.shape[:-2], rows, columns))
    for i, j in np.ndindex(rows, columns):
        a, b = math.floor(i * x.shape[-2] / rows), math.ceil((i + 1) * x.shape[-2] / rows)
        c, d = math.floor(j * x.shape[-1] / columns), math.ceil((j + 1) * x.shape[-1] / columns)
        y[..., i, j] = x[..., a:b, c:d].mean(axis=(-2, -1))
    return y


def sources(size, out, ratio, mode, align_corners):
    """For each element of the output the elements it is made of, and their shares."""
    for i in range(out):
        if mode == "nearest":
            yield [(min(math.floor(i * ratio + 1e-12), size - 1), 1.0)]
        elif mode == "nearest-exact":
            yield [(min(math.floor((i + 0.5) * ratio + 1e-12), size - 1), 1.0)]
        else:
            at = (i * (size - 1) / (out - 1) if out > 1 else 0.0) if align_corners else max((i + 0.5) * ratio - 0.5, 0.0)
            before = min(math.floor(at), size - 1)
            yield [(before, 1 - (at - before)), (min(before + 1, size - 1), at - before)]


def interpolate(x, size=None, scale_factor=None, mode="nearest", align_corners=None, recompute_scale_factor=None):
    n = x.ndim - 2
    for axis in range(2, x.ndim):
        length = x.shape[axis]
        if size is not None:
            out = several(size, n)[axis - 2]
            ratio = length / out
        else:
            factor = several(scale_factor, n)[axis - 2]
            out = math.floor(length * factor)
            ratio = length / out if recompute_scale_factor else 1 / factor
        made_of = sources(length, out, ratio, mode, align_corners)
        x = np.concatenate([sum(np.take(x, [i], axis) * share for i, share in source) for source in made_of], axis)
    return x


def pixel_shuffle(x, r):
    *lead, channels, height, width = x.shape
    y = np.zeros((*lead, channels // r**2, height * r, width * r))
    for c, i, j in np.ndindex(y.shape[-3:]):
        y[..., c, i, j] = x[..., c * r**2 + (i % r) * r + j % r, i // r, j // r]
    return y


DEFINITIONS = {
    "adaptive_avg_pool2d": adaptive_avg_pool2d,
    "avg_pool1d": avg_pool(1),
    "avg_pool2d": avg_pool(2),
    "interpolate": interpolate,
    "max_pool1d": max_pool(1),
    "max_pool2d": max_pool(2),
    "pixel_shuffle": pixel_shuffle,
}
