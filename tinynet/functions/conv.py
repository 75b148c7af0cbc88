"""Convolution, its transpose, and images taken apart into patches; names, parameters and layouts are PyTorch's.

The one idea: the sum over all x[n, c, t * stride + k * dilation - padding] w[o, c, k] g[n, o, t] is linear in each of its
three operands. Its derivative for g is the convolution of x with w, that for x the transposed convolution of g with w, and
that for w the correlation of x with g. So each of these three ops has the other two as its rules, and derivatives of any
order, in any number of dimensions, are made of them alone.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..autograd import grad
from ..kernels import conv as compute
from ..kernels import conv_team, patches
from ..kernels.patches import Geometry
from ..op import op
from ..tensor import WATCH, Tensor, mode
from .activation import relu
from .pool import max_pool2d
from .shape import arraylike, arraylikes, expand_dims, reshape

# --------------------------------------------------------------------------------------------------------- the ops


def _over_channels(g: Any) -> Any:
    return g.sum(axis=(0, *range(2, g.ndim)))


@op(
    lambda g, y, x, w, bias, at: _conv_input(g, w, None, at=at),
    lambda g, y, x, w, bias, at: _conv_weight(x, g, at=at),
    lambda g, y, x, w, bias, at: _over_channels(g),
)
def _conv(x, w, bias, at):
    return compute.conv(x, w, bias, at)


@op(
    lambda g, y, x, w, bias, at: _conv(g, w, None, at=at),
    lambda g, y, x, w, bias, at: _conv_weight(g, x, at=at),
    lambda g, y, x, w, bias, at: _over_channels(g),
)
def _conv_input(x, w, bias, at):
    return compute.conv_input(x, w, bias, at)


@op(
    lambda g, y, x, z, at: _conv_input(z, g, None, at=at),
    lambda g, y, x, z, at: _conv(x, g, None, at=at),
)
def _conv_weight(x, z, at):
    return compute.conv_weight(x, z, at)


def _relu_and_pool(y, pool):
    return max_pool2d(relu(y), 2) if pool else relu(y)


def _conv_relu_rule(g, y, x, w, bias, *, wanted, at, pool, us, kept):
    if not isinstance(g, Tensor):
        kind = conv_team.POOL if pool else conv_team.RELU
        return conv_team.back(us, g, x, w, at, kind, (y, kept["where"]), wanted[0])
    # To be differentiated again: the gradient of the three ops that this one stands for.
    asked = [a for a, yes in zip((x, w, bias), wanted, strict=True) if yes]
    found = iter(grad(_relu_and_pool(_conv(x, w, bias, at=at), pool), asked, g, create_graph=True))
    return tuple(next(found) if yes else None for yes in wanted)


@op(_conv_relu_rule, joint=True)
def _conv_relu(x, w, bias, *, at, pool, us, kept):
    """``us``: who computes it; ``kept``: a dict for what the rule will need."""
    y, kept["where"] = conv_team.forward(us, x, w, bias, at, conv_team.POOL if pool else conv_team.RELU)
    return y


@op(lambda g, y, x, at: _fold(g, at=at))
def _unfold(x, at):
    return patches.unfold(x, at)


@op(lambda g, y, x, at: _unfold(g, at=at))
def _fold(x, at):
    return patches.fold(x, at)


# -------------------------------------------------------------------------------------------------- what is asked for

LETTERS = ("", "L", "H, W", "D, H, W")  # of so many spatial axes


def per_axis(name: str, what: str, value: Any, axes: int, least: int) -> tuple[int, ...]:
    """A number for each spatial axis, from one for all or as many as there are; ValueError for numbers below ``least``."""
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    whole = all(isinstance(v, (int, np.integer)) and not isinstance(v, bool) and v >= least for v in values)
    if not whole or len(values) not in (1, axes):
        several = f" or {axes} of them" if axes > 1 else ""
        raise ValueError(f"{name}: {what} is {value!r}, expected an integer of at least {least}{several}")
    return tuple(int(v) for v in values) * (axes // len(values))


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _cached(function: Callable) -> Callable:
    """Remember what was made of the numbers of a layer, which come again and again."""
    remembering = functools.lru_cache(maxsize=512, typed=True)(function)

    @functools.wraps(function)
    def remembered(*arguments: Any) -> Any:
        try:
            return remembering(*map(_frozen, arguments))
        except TypeError:  # an array, which has no hash
            return function(*arguments)

    return remembered


def paddings(name: str, padding: Any, kernel: tuple, stride: tuple, dilation: tuple) -> list[tuple[int, int]]:
    """(before, after) for each axis: from numbers, ``"valid"`` (none), or ``"same"`` (as many positions as elements)."""
    if isinstance(padding, str):
        if padding == "valid":
            return [(0, 0)] * len(kernel)
        if padding != "same":
            raise ValueError(f"{name}: padding is {padding!r}, expected numbers, 'same' or 'valid'")
        if set(stride) != {1}:
            raise ValueError(f"{name}: padding 'same' needs stride 1, got stride {stride}")
        totals = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        return [(total // 2, total - total // 2) for total in totals]
    return [(p, p) for p in per_axis(name, "padding", padding, len(kernel), 0)]


@_cached
def _geometry(name, size, kernel, stride, padding, dilation, groups) -> Geometry:
    axes = len(size)
    kernel = per_axis(name, "kernel_size", kernel, axes, 1)
    stride, dilation = per_axis(name, "stride", stride, axes, 1), per_axis(name, "dilation", dilation, axes, 1)
    borders = paddings(name, padding, kernel, stride, dilation)
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    room = [n + sum(border) for n, border in zip(size, borders, strict=True)]
    if any(r > n for r, n in zip(reach, room, strict=True)):
        dilated = f" (dilated: {tuple(reach)})" if tuple(reach) != kernel else ""
        raise ValueError(
            f"{name}: the kernel of size {kernel}{dilated} is larger than the image of size {size}, padded: {tuple(room)}"
        )
    out = tuple((n - r) // s + 1 for n, r, s in zip(room, reach, stride, strict=True))
    return Geometry(size, out, kernel, stride, dilation, tuple(before for before, _ in borders), groups)


@_cached
def _transposed(name, out, kernel, stride, padding, output_padding, dilation, groups) -> Geometry:
    """The geometry of the convolution whose transpose is asked for: ``out`` is the size of its input, x."""
    axes = len(out)
    kernel = per_axis(name, "kernel_size", kernel, axes, 1)
    stride, dilation = per_axis(name, "stride", stride, axes, 1), per_axis(name, "dilation", dilation, axes, 1)
    padding, extra = (
        per_axis(name, what, value, axes, 0) for what, value in (("padding", padding), ("output_padding", output_padding))
    )
    if any(e >= max(s, d) for e, s, d in zip(extra, stride, dilation, strict=True)):
        raise ValueError(
            f"{name}: output_padding is {extra}, expected less than stride {stride} or dilation {dilation} on each axis"
        )
    numbers = zip(out, kernel, stride, padding, extra, dilation, strict=True)
    size = tuple((t - 1) * s - 2 * p + d * (k - 1) + e + 1 for t, k, s, p, e, d in numbers)
    if min(size) < 1:
        raise ValueError(f"{name}: an image of size {out} would come out with size {size}; padding {padding} is too large")
    return Geometry(size, out, kernel, stride, dilation, padding, groups)


def _operands(name: str, axes: int, x: Any, weight: Any, bias: Any, groups: Any, transposed: bool) -> tuple:
    """The operands, x with a batch axis, whether it had none, and the number of groups; errors where shapes do not fit."""
    x, weight, *rest = arraylikes((x, weight) if bias is None else (x, weight, bias))
    bias = rest[0] if rest else None
    groups = per_axis(name, "groups", groups, 1, 1)[0]
    if x.ndim not in (axes + 1, axes + 2):
        raise ValueError(
            f"{name}: x has shape {x.shape}, expected (N, C, {LETTERS[axes]}), or (C, {LETTERS[axes]}) without a batch"
        )
    if weight.ndim != axes + 2:
        layout = "in, out / groups" if transposed else "out, in / groups"
        raise ValueError(f"{name}: weight has shape {weight.shape}, expected {axes + 2} axes, ({layout}, kernel size)")
    channels = x.shape[-axes - 1]
    expected = weight.shape[0] if transposed else weight.shape[1] * groups
    if channels != expected:
        taken = f"{expected} for weight {weight.shape}" + ("" if groups == 1 else f" in {groups} groups")
        raise ValueError(f"{name}: x of shape {x.shape} has {channels} channels, expected {taken}")
    if weight.shape[0] % groups:
        raise ValueError(f"{name}: groups is {groups}, which does not divide the first axis of weight {weight.shape}")
    outputs = weight.shape[1] * groups if transposed else weight.shape[0]
    if bias is not None and bias.shape != (outputs,):
        raise ValueError(f"{name}: bias has shape {bias.shape}, expected ({outputs},), one for each output channel")
    alone = x.ndim == axes + 1
    return expand_dims(x, 0) if alone else x, weight, bias, groups, alone


def _convolve(name, axes, x, weight, bias, stride, padding, dilation, groups) -> Tensor:
    x, weight, bias, groups, alone = _operands(name, axes, x, weight, bias, groups, False)
    at = _geometry(name, tuple(x.shape[2:]), tuple(weight.shape[2:]), stride, padding, dilation, groups)
    y = _conv(x, weight, bias, at=at)
    return reshape(y, y.shape[1:]) if alone else y


def _transpose(name, axes, x, weight, bias, stride, padding, output_padding, groups, dilation) -> Tensor:
    x, weight, bias, groups, alone = _operands(name, axes, x, weight, bias, groups, True)
    numbers = stride, padding, output_padding, dilation, groups
    y = _conv_input(x, weight, bias, at=_transposed(name, tuple(x.shape[2:]), tuple(weight.shape[2:]), *numbers))
    return reshape(y, y.shape[1:]) if alone else y


# --------------------------------------------------------------------------------------------------- public functions


def conv1d(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1) -> Tensor:
    """``conv2d`` over one axis: x ``(N, C, L)`` or ``(C, L)``, weight ``(O, C / groups, k)``."""
    return _convolve("conv1d", 1, x, weight, bias, stride, padding, dilation, groups)


def conv2d(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1) -> Tensor:
    """y[n, o, t] = bias[o] + the sum over c, k of x[n, c, t * stride + k * dilation - padding] weight[o, c, k].

    (It is what networks call a convolution: a correlation, the kernel is not turned round.) x ``(N, C, H, W)`` or
    ``(C, H, W)``, weight ``(O, C / groups, kh, kw)``, bias ``(O,)`` or None; y ``(N, O, H', W')`` with
    H' = floor((H + 2 padding - dilation (kh - 1) - 1) / stride) + 1.

    ``stride``, ``padding``, ``dilation``: a number or one for each axis. ``padding`` is zeros; also ``"valid"`` (none) or
    ``"same"`` (H' = H, for stride 1; an odd zero goes behind). ``groups``: channels and outputs in so many parts, each
    output sees those channels that are in its part. float16 is computed in float32 and rounded at the end.

    Raises ``ValueError`` where channels, groups, a kernel larger than the padded image or the shapes do not fit.

    >>> conv2d(np.ones((1, 1, 3, 3), "float32"), np.ones((1, 1, 2, 2), "float32"), padding="same")
    tensor([[[[4., 4., 2.],
              [4., 4., 2.],
              [2., 2., 1.]]]])
    """
    return _convolve("conv2d", 2, x, weight, bias, stride, padding, dilation, groups)


def conv2d_relu(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1, pool=False) -> Tensor:
    """``relu(conv2d(...))``, with ``pool`` the ``max_pool2d`` by 2 of that: in one pass over the images where it can be."""
    x, weight, bias, groups, alone = _operands("conv2d", 2, x, weight, bias, groups, False)
    at = _geometry("conv2d", tuple(x.shape[2:]), tuple(weight.shape[2:]), stride, padding, dilation, groups)
    arrays = (x.data, weight.data) if bias is None else (x.data, weight.data, bias.data)
    us = None if alone or mode.now is WATCH else conv_team.team_for(at, *arrays)
    if us is None:
        y = _conv(x, weight, bias, at=at)
        return _relu_and_pool(reshape(y, y.shape[1:]) if alone else y, pool)
    by_two = pool and all(n % 2 == 0 for n in at.out)
    y = _conv_relu(x, weight, bias, at=at, pool=by_two, us=us, kept={})
    return max_pool2d(y, 2) if pool and not by_two else y


def conv3d(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1) -> Tensor:
    """``conv2d`` over three axes: x ``(N, C, D, H, W)`` or ``(C, D, H, W)``, weight ``(O, C / groups, kd, kh, kw)``."""
    return _convolve("conv3d", 3, x, weight, bias, stride, padding, dilation, groups)


def conv_transpose1d(x, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1) -> Tensor:
    """``conv_transpose2d`` over one axis: x ``(N, C, L)`` or ``(C, L)``, weight ``(C, O / groups, k)``."""
    return _transpose("conv_transpose1d", 1, x, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose2d(x, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1) -> Tensor:
    """The transpose of ``conv2d`` as a linear map of the image: what carries its gradient from y back to x.

    Each x[n, c, t], times weight[c, o, k], is added to y[n, o, t * stride + k * dilation - padding]; then bias[o]. x
    ``(N, C, H, W)`` or ``(C, H, W)``, weight ``(C, O / groups, kh, kw)``, bias ``(O,)``; y ``(N, O, H', W')`` with
    H' = (H - 1) stride - 2 padding + dilation (kh - 1) + output_padding + 1. ``output_padding`` chooses one of
    the sizes that ``conv2d`` with this stride takes to H. The arguments' order is PyTorch's: groups before dilation.

    Raises ``ValueError`` as ``conv2d`` does, and for an ``output_padding`` of at least stride and dilation.

    >>> conv_transpose2d([[[1.0, 2.0]]], np.ones((1, 1, 1, 2), "float32"), stride=2)
    tensor([[[1., 1., 2., 2.]]])
    """
    return _transpose("conv_transpose2d", 2, x, weight, bias, stride, padding, output_padding, groups, dilation)


def unfold(x, kernel_size, dilation=1, padding=0, stride=1) -> Tensor:
    """The patches that a convolution sees, as columns: ``(N, C, H, W)`` to ``(N, C * kh * kw, patches)``; without N too.

    >>> unfold([[[1.0, 2.0, 3.0]]], (1, 2))
    tensor([[1., 2.],
            [2., 3.]])
    """
    x = arraylike(x)
    if x.ndim not in (3, 4):
        raise ValueError(f"unfold: x has shape {x.shape}, expected (N, C, H, W), or (C, H, W) without a batch")
    at = _geometry("unfold", tuple(x.shape[-2:]), kernel_size, stride, padding, dilation, 1)
    y = _unfold(x if x.ndim == 4 else expand_dims(x, 0), at=at)
    return y if x.ndim == 4 else reshape(y, y.shape[1:])


def fold(x, output_size, kernel_size, dilation=1, padding=0, stride=1) -> Tensor:
    """Columns ``(N, C * kh * kw, patches)`` added to where ``unfold`` would find them in ``(N, C, *output_size)``.

    It is the transpose of ``unfold``, not its inverse: where patches overlap, their elements add up.

    >>> fold([[1.0, 2.0], [2.0, 3.0]], (1, 3), (1, 2))
    tensor([[[1., 4., 3.]]])
    """
    x = arraylike(x)
    if x.ndim not in (2, 3):
        raise ValueError(f"fold: x has shape {x.shape}, expected (N, C * kh * kw, patches), or two axes without a batch")
    at = _geometry("fold", per_axis("fold", "output_size", output_size, 2, 1), kernel_size, stride, padding, dilation, 1)
    elements, columns = math.prod(at.kernel), math.prod(at.out)
    if x.shape[-2] % elements or x.shape[-1] != columns:
        raise ValueError(
            f"fold: x has shape {x.shape}, expected {columns} columns of a multiple of {elements} elements "
            f"for kernels of size {at.kernel} at {at.out} positions of an image of size {at.size}"
        )
    y = _fold(x if x.ndim == 3 else expand_dims(x, 0), at=at)
    return y if x.ndim == 3 else reshape(y, y.shape[1:])
