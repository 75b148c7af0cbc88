"""PyTorch's counterparts of normalisation, pooling and resampling."""

import numpy as np
import torch
import torch.nn.functional as T
from parity import NoCounterpart


def tensor(a, like):
    return torch.tensor(a, dtype=like.dtype) if isinstance(a, list) else a


def with_running(f):
    def norm(x, running_mean=None, running_var=None, *arguments, **keywords):
        return f(x, tensor(running_mean, x), tensor(running_var, x), *arguments, **keywords)

    return norm


def last_axes(f):
    return lambda x, shape, *arguments, **keywords: f(
        x, [shape] if isinstance(shape, int) else shape, *arguments, **keywords
    )


def instance_norm(x, *arguments, **keywords):
    if not x.numel():
        raise NoCounterpart("PyTorch's fails for a batch of size 0")
    return T.instance_norm(x, *arguments, **keywords)


def group_norm(x, num_groups, weight=None, bias=None, eps=1e-5):
    if weight is None and bias is not None:
        raise NoCounterpart("PyTorch's second gradient fails with a bias and no weight")
    return T.group_norm(x, num_groups, weight, bias, eps)


def max_pool(f):
    def pool(x, *arguments, **keywords):
        if not x.dtype.is_floating_point:
            raise NoCounterpart("PyTorch pools integers, too, but not of all dtypes")
        return f(x, *arguments, **keywords)

    return pool


def adaptive_avg_pool2d(x, output_size):
    return T.adaptive_avg_pool2d(x, tuple(output_size) if isinstance(output_size, list) else output_size)


def interpolate(x, size=None, scale_factor=None, mode="nearest", align_corners=None, recompute_scale_factor=None):
    factor = np.atleast_1d(1 if scale_factor is None else scale_factor)
    if mode.startswith("nearest") and not recompute_scale_factor and (factor * 2 % 1).any():
        raise NoCounterpart("PyTorch rounds the ratio to float32")
    scale_factor = tuple(scale_factor) if isinstance(scale_factor, list) else scale_factor
    return T.interpolate(x, size, scale_factor, mode, align_corners, recompute_scale_factor)


def pixel_shuffle(x, upscale_factor):
    if not x.numel():
        raise NoCounterpart("PyTorch's gradient of nothing has the wrong shape")
    return T.pixel_shuffle(x, upscale_factor)


TORCH = {
    "batch_norm": with_running(T.batch_norm),
    "instance_norm": with_running(instance_norm),
    "group_norm": group_norm,
    "layer_norm": last_axes(T.layer_norm),
    "rms_norm": last_axes(T.rms_norm),
    "max_pool1d": max_pool(T.max_pool1d),
    "max_pool2d": max_pool(T.max_pool2d),
    "avg_pool1d": T.avg_pool1d,
    "avg_pool2d": T.avg_pool2d,
    "adaptive_avg_pool2d": adaptive_avg_pool2d,
    "interpolate": interpolate,
    "pixel_shuffle": pixel_shuffle,
}
