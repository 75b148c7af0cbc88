"""Normalisation: x with mean 0 and variance 1 over some of its axes, then scaled and shifted; as in PyTorch.

The one idea: all five are one op on four axes. Cut x into (n, groups, channels of a group, length): batch norm takes its
statistics over n and length (a group is one channel), group norm over channels and length, instance norm over length,
layer and RMS norm over length, with a weight for each place along it. The statistics are handed to the op as numbers, in
float64; its rules know how they depend on x.

The variance that x is divided by is the biased one, sum((x - mean)**2) / n; ``running_var`` collects the unbiased one.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from ..backend import DeviceError, array_module, device_of, is_array
from ..kernels import norm as kernels
from ..kernels.gpu import norm as on_gpu
from ..kernels.gpu.launch import takes
from ..op import data_of, op
from ..tensor import Tensor
from .elementwise import floats
from .shape import arraylike, as_tuple, shape_of

WORK = {np.dtype(np.float16): np.dtype(np.float32)}  # half precision is for storage: sums of its squares would overflow
SHORT = 16  # elements: batch norm moves the batch axis into slices that are shorter, so that they become long ones


class Plan(NamedTuple):
    """How x is cut, and what is taken over what."""

    shape: tuple[int, int, int, int]  # (n, groups, channels of a group, length)
    pooled: tuple[int, ...] = ()  # the axes, besides length, over which the statistics are taken
    swapped: bool = False  # x is (N, C, ...), and its first two axes are exchanged before it is cut
    along: bool = False  # there is a weight for each place along length, not for each channel
    centred: bool = True  # RMS norm subtracts no mean
    fixed: bool = False  # the statistics do not depend on x

    @property
    def elements(self) -> int:
        """How many elements a mean and a variance are taken over; 1 where there are none, so as to be divided by."""
        return self.shape[3] * math.prod([self.shape[a] for a in self.pooled]) or 1


def _cut(x, plan):
    if plan.swapped:
        x = x.reshape((*x.shape[:2], math.prod(x.shape[2:]))).swapaxes(0, 1)
    return x.reshape(plan.shape)


def _uncut(y, plan, shape):
    if plan.swapped:
        y = y.reshape((shape[1], shape[0], math.prod(shape[2:]))).swapaxes(0, 1)
    return y.reshape(shape)


# ------------------------------------------------------------------------------------- between arrays and the kernels


def _slices(x, plan, dtype):
    """x as the kernels take it: (slices, length), contiguous, in float32 where ``dtype`` is half precision."""
    x = _cut(x, plan).reshape((math.prod(plan.shape[:3]), plan.shape[3]))
    return array_module(x).ascontiguousarray(x, dtype=WORK.get(dtype, dtype))


def _each(a, plan, x):
    """Numbers that broadcast to (n, groups, channels), once for each slice of x, in its dtype."""
    if a.shape != plan.shape[:3]:
        a = array_module(x).broadcast_to(a, plan.shape[:3])
    return a.reshape(-1).astype(x.dtype)


def _pool(a, plan):
    """The mean of numbers (n, groups, channels), one for each slice, over the slices that share statistics."""
    return a.sum(axis=plan.pooled, keepdims=True) * (plan.shape[3] / plan.elements) if plan.pooled else a


def _moments(x, plan):
    """The mean (0 where not centred) and the variance around it, two arrays (n or 1, groups, 1) in float64."""
    if not x.size:
        return array_module(x).zeros((2, 1 if 0 in plan.pooled else plan.shape[0], plan.shape[1], 1))
    x = _slices(x, plan, x.dtype)
    if takes(x):
        return on_gpu.statistics(x, plan)
    means, spreads = (a.reshape(plan.shape[:3]) for a in kernels.moments(x))
    mean = _pool(means, plan) if plan.centred else array_module(x).zeros_like(means)
    return mean, _pool(spreads + (means - mean) ** 2, plan)


def _middle(mean, x):
    """The mean in two parts: what x's dtype can hold of it, and the rest.

    Of a mean of 1e4 float32 drops up to 5e-4: as that goes into the shift, x - mean comes out exact all the same.
    """
    middle = mean.astype(x.dtype)
    return middle, mean - middle


# ------------------------------------------------------------------------------------------------------------ the op


def _gradients(g, y, x, weight, bias, *, mean, r, plan):
    """With h = g weight and u = (x - mean) r: for x it is r (h - mean(h) - u mean(h u)), without the means where they are
    fixed; for the weight the sum of g u over all that shares it, for the bias that of g."""
    if not isinstance(g, Tensor):
        return _gradients_at_once(g, x, weight, bias, mean, r, plan)
    shared, axes = (0, 1, 2) if plan.along else (0, 3), (*plan.pooled, 3)
    u = _cut(_normalize(x, None, None, mean=mean, r=r, plan=plan), plan)
    g = h = _cut(g, plan)
    if weight is not None:
        h = h * weight.reshape((1, 1, 1, -1) if plan.along else (1, *plan.shape[1:3], 1))
    gx = h
    if not plan.fixed:
        gx = gx - u * (h * u).sum(axis=axes, keepdims=True) / plan.elements
        gx = gx - h.sum(axis=axes, keepdims=True) / plan.elements if plan.centred else gx
    gx = _uncut(gx * _rstd(x, mean=mean, r=r, plan=plan), plan, x.shape)
    gw = None if weight is None else (g * u).sum(axis=shared).reshape(weight.shape)
    return gx, gw, None if bias is None else g.sum(axis=shared).reshape(bias.shape)


def _gradients_at_once(g, x, weight, bias, mean, r, plan):
    """The same on arrays, by the kernels, and for x as p g weight + q (x - middle) + shift.

    Batch norm of float32 (64, 64, 24, 24), one thread: 20 ms written as above, 3.9 so.
    """
    dtype = np.result_type(x.dtype, g.dtype)
    x2, g2 = _slices(x, plan, dtype), _slices(g, plan, dtype)
    if x2.size and takes(x2, g2):
        gx, gw, gb = on_gpu.gradients(g2, x2, weight, mean, r, plan)
        gx = _uncut(gx, plan, x.shape)
        return gx, None if weight is None else gw.reshape(weight.shape), None if bias is None else gb.reshape(bias.shape)
    middle, rest = _middle(mean, x2)
    each = _each(middle, plan, x2)
    w, along = _split(weight, plan, x2)
    total, product = (a.reshape(plan.shape[:3]) for a in kernels.sums(g2, x2, each, along))
    product = r * (product - rest * total)  # sums over each slice of h and h u; of g and g u where the weight is a channel's
    if plan.along:
        gw, gb = kernels.across(g2, x2, each, _each(r, plan, x2), _each(-rest * r, plan, x2))
    else:
        gw, gb = product.sum(axis=0), total.sum(axis=0)
    p = r
    if w is not None:
        p, total, product = r * w, w * total, w * product
    n = plan.shape[3] or 1
    q = -r * r * _pool(product, plan) / n * (not plan.fixed)
    shift = -q * rest - r * _pool(total, plan) / n * (plan.centred and not plan.fixed)
    p, q, shift = (_each(a, plan, x2) for a in (p, q, shift))
    gx = _uncut(kernels.blended(g2, x2, each, p, q, shift, along), plan, x.shape)
    return gx, None if weight is None else gw.reshape(weight.shape), None if bias is None else gb.reshape(bias.shape)


def _split(weight, plan, x):
    """A weight as (a number for each channel, a number for each place along a slice of x), None for what there is not."""
    if weight is None:
        return None, None
    return (None, weight.reshape(-1).astype(x.dtype)) if plan.along else (weight.reshape((1, *plan.shape[1:3])), None)


@op(_gradients, joint=True)
def _normalize(x, weight, bias, *, mean, r, plan):
    """(x - mean) r weight + bias, with r = 1 / sqrt(variance + eps)."""
    dtype = np.result_type(*[a.dtype for a in (x, weight, bias) if a is not None])
    x2 = _slices(x, plan, dtype)
    if takes(x2):
        return _uncut(on_gpu.normalised(x2, weight, bias, mean, r, plan).astype(dtype, copy=False), plan, x.shape)
    middle, rest = _middle(mean, x2)
    w, along = _split(weight, plan, x2)
    b, bias_along = _split(bias, plan, x2)
    scale = r if w is None else r * w
    shift = -rest * scale if b is None else b - rest * scale
    middle, scale, shift = (_each(a, plan, x2) for a in (middle, scale, shift))
    y = kernels.scaled(x2, middle, scale, shift, along, bias_along)
    return _uncut(y.astype(dtype, copy=False), plan, x.shape)


def _rstd_rule(g, y, x, mean, r, plan):
    """dr/dx = -r**2 u / count."""
    u = _cut(_normalize(x, None, None, mean=mean, r=r, plan=plan), plan)
    return _uncut(g * y * y * u * (0.0 if plan.fixed else -1 / plan.elements), plan, x.shape)


@op(_rstd_rule)
def _rstd(x, mean, r, plan):
    """r as it broadcasts against the cut x, and differentiable in x."""
    return r[..., None].astype(x.dtype)


def _standardised(x, weight, bias, moments, eps, plan) -> Tensor:
    mean, variance = moments
    return _normalize(x, weight, bias, mean=mean, r=1 / (variance + eps) ** 0.5, plan=plan)


# -------------------------------------------------------------------------------------------------- the five functions


def _check(name: str, x: Any, shape: tuple[int, ...], **arrays: Any) -> None:
    """Every array that is given has ``shape`` and lives where x does."""
    for argument, a in arrays.items():
        a = data_of(a)
        if a is None:
            continue
        if shape_of(a) != shape:
            raise ValueError(f"{name}: {argument} has shape {shape_of(a)}, expected {shape} for x of shape {x.shape}")
        if is_array(a) and device_of(a) != device_of(data_of(x)):
            raise DeviceError(f"{name}: x is on {device_of(data_of(x))!r} and {argument} on {device_of(a)!r}")


def _collect(running: Any, value: Any, momentum: Any) -> None:
    """running = (1 - momentum) running + momentum value, in place, in the running array's own dtype."""
    a = data_of(running)
    a[...] = a * (1 - momentum) + value * momentum


def _collects(name: str, running_mean: Any, running_var: Any) -> bool:
    """Whether there are running statistics to be written to; a TypeError where they cannot be."""
    if running_mean is None and running_var is None:
        return False
    for argument, a in (("running_mean", running_mean), ("running_var", running_var)):
        if not is_array(data_of(a)) or data_of(a).dtype.kind != "f":
            raise TypeError(f"{name}: {argument} is {type(a).__name__}, expected an array or Tensor of floats, or both None")
    return True


def _channels(name: str, x: Any) -> tuple[int, int, int]:
    """(N, C, elements of a channel) of x (N, C, ...)."""
    if x.ndim < 2:
        raise ValueError(f"{name}: x has shape {x.shape}, expected (N, C, ...)")
    return x.shape[0], x.shape[1], math.prod(x.shape[2:])


def batch_norm(x, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5) -> Tensor:
    """(x - mean) / sqrt(var + eps) * weight + bias for x ``(N, C, ...)``, a mean and a variance for each channel.

    In ``training`` they are the batch's own, over all axes but the second, and the running statistics (arrays or Tensors of
    shape ``(C,)``, or both None) are written to: ``running = (1 - momentum) * running + momentum * batch``, the unbiased
    variance. Otherwise the running statistics are what is used. Ioffe, Szegedy 2015, arXiv:1502.03167 (whose momentum is
    ours taken from 1).

    ValueError for other shapes, for one value per channel in training, and without statistics outside of it.

    >>> batch_norm([[1.0], [3.0]], None, None, training=True, eps=0.0).tolist()
    [[-1.0], [1.0]]
    """
    x = floats(x)
    n, channels, length = _channels("batch_norm", x)
    _check("batch_norm", x, (channels,), running_mean=running_mean, running_var=running_var, weight=weight, bias=bias)
    if not training and (running_mean is None or running_var is None):
        raise ValueError("batch_norm: running_mean or running_var is None; outside of training both are needed")
    if training and n * length == 1:
        raise ValueError(f"batch_norm: x of shape {x.shape} has one value per channel; training needs more for a variance")
    swapped = length < SHORT and x.size > 0
    shape = (1, channels, 1, n * length) if swapped else (n, channels, 1, length)
    plan = Plan(shape, pooled=(0, 2), swapped=swapped, fixed=not training)
    if not training:
        running = [data_of(arraylike(a)) for a in (running_mean, running_var)]
        moments = [a.astype(np.float64).reshape((1, channels, 1)) for a in running]
        return _standardised(x, weight, bias, moments, eps, plan)
    collects = _collects("batch_norm", running_mean, running_var)
    mean, variance = _moments(data_of(x), plan)
    y = _standardised(x, weight, bias, (mean, variance), eps, plan)
    if collects and x.size:
        _collect(running_mean, mean.reshape(-1), momentum)
        _collect(running_var, variance.reshape(-1) * (plan.elements / (plan.elements - 1)), momentum)
    return y


def instance_norm(
    x, running_mean=None, running_var=None, weight=None, bias=None, use_input_stats=True, momentum=0.1, eps=1e-5
) -> Tensor:
    """``batch_norm`` with statistics for each channel of each sample of x ``(N, C, ...)``.

    Running statistics, where given, collect their means over the batch; with ``use_input_stats=False`` they are what is
    used. Ulyanov, Vedaldi, Lempitsky 2016, arXiv:1607.08022.

    ValueError for other shapes and for one value per channel.
    """
    if not use_input_stats:
        return batch_norm(x, running_mean, running_var, weight, bias, momentum=momentum, eps=eps)
    x = floats(x)
    n, channels, length = _channels("instance_norm", x)
    collects = _collects("instance_norm", running_mean, running_var)
    _check("instance_norm", x, (channels,), running_mean=running_mean, running_var=running_var, weight=weight, bias=bias)
    if length == 1:
        raise ValueError(f"instance_norm: x of shape {x.shape} has one value per channel; a variance needs more")
    plan = Plan((n, channels, 1, length))
    mean, variance = _moments(data_of(x), plan)
    y = _standardised(x, weight, bias, (mean, variance), eps, plan)
    if collects and x.size:
        _collect(running_mean, mean.mean(axis=0).reshape(-1), momentum)
        _collect(running_var, variance.mean(axis=0).reshape(-1) * (length / (length - 1)), momentum)
    return y


def group_norm(x, num_groups, weight=None, bias=None, eps=1e-5) -> Tensor:
    """The channels of x ``(N, C, ...)`` in ``num_groups`` groups, each normalised by itself in each sample.

    ``weight`` and ``bias`` are ``(C,)``, or None. Wu, He 2018, arXiv:1803.08494.

    ValueError where the groups do not divide the channels, and for a batch of one value per group.
    """
    x = floats(x)
    n, channels, length = _channels("group_norm", x)
    if not isinstance(num_groups, (int, np.integer)) or num_groups < 1 or channels % num_groups:
        raise ValueError(f"group_norm: num_groups is {num_groups}, expected a divisor of the {channels} channels")
    _check("group_norm", x, (channels,), weight=weight, bias=bias)
    each = channels // num_groups
    if n * each * length == 1:
        raise ValueError(f"group_norm: x of shape {x.shape} in {num_groups} groups has one value per group")
    plan = Plan((n, int(num_groups), int(each), length), pooled=(2,))
    return _standardised(x, weight, bias, _moments(data_of(x), plan), eps, plan)


def _last_axes(name: str, x: Any, normalized_shape: Any, weight: Any, bias: Any, eps: float, centred: bool) -> Tensor:
    shape = tuple(int(n) for n in as_tuple(normalized_shape))
    if not shape or x.shape[-len(shape) :] != shape:
        raise ValueError(f"{name}: x has shape {x.shape}, expected its last axes to be normalized_shape, {shape}")
    _check(name, x, shape, weight=weight, bias=bias)
    rows = math.prod(x.shape[: x.ndim - len(shape)])
    plan = Plan((rows, 1, 1, math.prod(shape)), along=True, centred=centred)
    return _standardised(x, weight, bias, _moments(data_of(x), plan), eps, plan)


def layer_norm(x, normalized_shape, weight=None, bias=None, eps=1e-5) -> Tensor:
    """(x - mean) / sqrt(var + eps) * weight + bias, both over the last axes of x, which have the ``normalized_shape``.

    ``normalized_shape`` is an integer or a tuple; ``weight`` and ``bias`` have that shape, or are None. Ba, Kiros, Hinton
    2016, arXiv:1607.06450. ValueError for other shapes.

    >>> layer_norm([[1.0, 3.0], [2.0, 6.0]], 2, eps=0.0).tolist()
    [[-1.0, 1.0], [-1.0, 1.0]]
    """
    return _last_axes("layer_norm", floats(x), normalized_shape, weight, bias, eps, centred=True)


def rms_norm(x, normalized_shape, weight=None, eps=None) -> Tensor:
    """x / sqrt(mean(x**2) + eps) * weight, the mean over the last axes of x, which have the ``normalized_shape``.

    ``eps`` None is the spacing of x's dtype at 1, as in PyTorch. Zhang, Sennrich 2019, arXiv:1910.07467. ValueError for
    other shapes.
    """
    x = floats(x)
    eps = np.finfo(x.dtype).eps if eps is None else eps
    return _last_axes("rms_norm", x, normalized_shape, weight, None, eps, centred=False)
