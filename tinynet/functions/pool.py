"""Pooling: the largest element or the mean of every window that slides over the last axes; conventions PyTorch's.

The one idea: max pooling is linear once it is known which element of a window is the largest; one op picks these elements
or puts gradients back there, and is its own rule the other way round. Averages have the op that spreads a number evenly
over its window. What they do to arrays stands in kernels/pool.py.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ..backend import array_module, constant
from ..kernels import pool as kernels
from ..kernels.pool import Axis, Windows
from ..op import op
from ..tensor import Tensor
from .reduce import mean
from .resample import Taps, mix
from .shape import arraylike

# ------------------------------------------------------------------------------------------------------------ maximum


def _max_rule(g, y, x, windows):
    return _at_winners(g, _winners(x, y, windows=windows), windows=windows, back=True)


@op(_max_rule)
def _max_pool(x, windows):
    lowest = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min if x.dtype.kind in "iu" else False
    return kernels.slide(x, windows, array_module(x).maximum, lowest)


@op(None, None)
def _winners(x, y, windows):
    return kernels.winners(x, y, windows)


@op(lambda g, y, x, winners, windows, back: _at_winners(g, winners, windows=windows, back=not back), None)
def _at_winners(x, winners, windows, back):
    """For each window the element that won, or ``back`` from there to all elements: linear, its own rule turned round."""
    return (kernels.to_winners if back else kernels.of_winners)(x, winners, windows)


# ------------------------------------------------------------------------------------------------------------ averages


@functools.lru_cache(maxsize=256)
def _divisor(windows: Windows, include_pad: bool, override: int | None) -> Any:
    """What the sum over each window is divided by: a number, or an array of one for each window."""
    if override is not None:
        return override
    counts = functools.reduce(np.multiply.outer, [a.counts(include_pad) for a in windows])
    return int(counts.flat[0]) if (counts == counts.flat[0]).all() else counts


def _divided(x: Any, divisor: Any) -> Any:
    """A quotient in x's dtype, by an array made on the CPU."""
    return x / (divisor if isinstance(divisor, int) else constant(divisor.astype(x.dtype), x))


def _working(x: Any) -> Any:
    """x as sums are taken of it: float32 in place of half precision, integers and booleans."""
    return x.astype(np.float32) if x.dtype.kind != "f" or x.dtype.itemsize < 4 else x


@op(lambda g, y, x, windows, divisor: _spread(g, windows=windows, divisor=divisor))
def _average(x, windows, divisor):
    y = _divided(kernels.slide(_working(x), windows, array_module(x).add, 0), divisor)
    return y.astype(x.dtype, copy=False) if x.dtype.kind == "f" else y


@op(lambda g, y, x, windows, divisor: _average(g, windows=windows, divisor=divisor))
def _spread(x, windows, divisor):
    return kernels.spread(_divided(_working(x), divisor), windows).astype(x.dtype, copy=False)


# -------------------------------------------------------------------------------------------------------- the functions


def _whole(name: str, argument: str, value: Any, n: int, least: int) -> tuple[int, ...]:
    """``n`` integers of at least ``least``, of one or n of them."""
    given = tuple(value) if isinstance(value, (tuple, list)) else (value,) * n
    if len(given) not in (1, n) or not all(isinstance(v, (int, np.integer)) and v >= least for v in given):
        several = f", or {n} of them" if n > 1 else ""
        raise ValueError(f"{name}: {argument} is {value!r}, expected an integer of at least {least}{several}")
    return tuple(int(v) for v in given) * (n if len(given) == 1 else 1)


def _spatial(name: str, x: Any, n: int) -> Any:
    x = arraylike(x)
    if x.ndim not in (n + 1, n + 2) or 0 in x.shape[-n - 1 :]:
        axes = ", ".join(("L", "H", "W")[0 if n == 1 else 1 :][:n])
        raise ValueError(f"{name}: x has shape {x.shape}, expected (N, C, {axes}) or (C, {axes}) with none empty but N")
    return x


def _windows(name: str, x: Any, n: int, kernel_size, stride, padding, dilation, ceil_mode) -> Windows:
    kernels = _whole(name, "kernel_size", kernel_size, n, 1)
    strides = kernels if stride is None else _whole(name, "stride", stride, n, 1)
    paddings, dilations = _whole(name, "padding", padding, n, 0), _whole(name, "dilation", dilation, n, 1)
    windows = []
    for size, k, s, p, d in zip(x.shape[-n:], kernels, strides, paddings, dilations, strict=True):
        span = (k - 1) * d + 1
        if p > span // 2:
            raise ValueError(f"{name}: padding is {padding!r}, expected at most half of kernel_size {kernel_size!r}")
        spare = size + 2 * p - span
        out = spare // s + 1
        if ceil_mode and spare % s and out * s < size + p:  # one more, that starts inside x or in the padding before it
            out += 1
        if out < 1:
            raise ValueError(
                f"{name}: kernel_size {kernel_size!r} (dilation {dilation!r}) is larger than x of shape {x.shape} "
                f"with padding {padding!r}"
            )
        windows.append(Axis(size, k, s, p, d, out))
    return tuple(windows)


def _max(name: str, x, n, kernel_size, stride, padding, dilation, ceil_mode) -> Tensor:
    x = _spatial(name, x, n)
    return _max_pool(x, windows=_windows(name, x, n, kernel_size, stride, padding, dilation, ceil_mode))


def max_pool1d(x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False) -> Tensor:
    """``max_pool2d`` along the last axis of x ``(N, C, L)`` or ``(C, L)``."""
    return _max("max_pool1d", x, 1, kernel_size, stride, padding, dilation, ceil_mode)


def max_pool2d(x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False) -> Tensor:
    """The largest element of every window of x ``(N, C, H, W)`` or ``(C, H, W)``, NaN where there is one.

    ``kernel_size``, ``stride`` (None: the kernel_size), ``padding`` and ``dilation`` are integers or pairs. There are
    (H + 2 padding - dilation (kernel_size - 1) - 1) // stride + 1 windows, with ``ceil_mode`` rounded up, if the last one
    then starts inside x or in the padding before it. Padding never wins. The gradient of equal largest elements goes to the
    first of them.

    ValueError for other shapes and numbers, a kernel too large for a single window, and padding of more than half a kernel.

    >>> max_pool2d([[[1.0, 2.0], [4.0, 3.0]]], 2).tolist()
    [[[4.0]]]
    """
    return _max("max_pool2d", x, 2, kernel_size, stride, padding, dilation, ceil_mode)


def _avg(name, x, n, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override=None) -> Tensor:
    x = _spatial(name, x, n)
    windows = _windows(name, x, n, kernel_size, stride, padding, 1, ceil_mode)
    if divisor_override is not None and (not isinstance(divisor_override, (int, np.integer)) or divisor_override == 0):
        raise ValueError(f"{name}: divisor_override is {divisor_override!r}, expected an integer other than 0")
    override = None if divisor_override is None else int(divisor_override)
    return _average(x, windows=windows, divisor=_divisor(windows, bool(count_include_pad), override))


def avg_pool1d(x, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True) -> Tensor:
    """``avg_pool2d`` along the last axis of x ``(N, C, L)`` or ``(C, L)``."""
    return _avg("avg_pool1d", x, 1, kernel_size, stride, padding, ceil_mode, count_include_pad)


def avg_pool2d(
    x, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None
) -> Tensor:
    """The mean of every window of x ``(N, C, H, W)`` or ``(C, H, W)``; windows and errors as in ``max_pool2d``.

    The padding's zeros count, unless ``count_include_pad`` is False; what a window in ``ceil_mode`` has beyond the padding
    never does. ``divisor_override`` divides every sum instead.

    >>> avg_pool2d([[[1.0, 2.0], [4.0, 3.0]]], 2).tolist()
    [[[2.5]]]
    """
    return _avg("avg_pool2d", x, 2, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def adaptive_avg_pool2d(x, output_size) -> Tensor:
    """x ``(N, C, H, W)`` or ``(C, H, W)`` averaged to ``output_size``: an integer, or a pair whose None keeps an axis.

    Window i of ``out`` along an axis of ``size`` goes from floor(i size / out) up to ceil((i + 1) size / out).

    >>> adaptive_avg_pool2d([[[1.0, 2.0, 3.0]]], (1, 2)).tolist()
    [[[1.5, 2.5]]]
    """
    x = _spatial("adaptive_avg_pool2d", x, 2)
    sizes = output_size if isinstance(output_size, (tuple, list)) else (output_size,) * 2
    if len(sizes) != 2:
        raise ValueError(f"adaptive_avg_pool2d: output_size is {output_size!r}, expected an integer or a pair")
    sizes = [n if m is None else m for n, m in zip(x.shape[-2:], sizes, strict=True)]
    outs = _whole("adaptive_avg_pool2d", "output_size", sizes, 2, 1)
    if outs == (1, 1):
        return mean(x, axis=(-2, -1), keepdims=True)
    if all(n % out == 0 for n, out in zip(x.shape[-2:], outs, strict=True)):
        return avg_pool2d(x, [n // out for n, out in zip(x.shape[-2:], outs, strict=True)])
    for axis, out in zip((-2, -1), outs, strict=True):
        x = mix(x, Taps.cells(x.shape[axis], out), axis)
    return x
