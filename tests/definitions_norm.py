"""DEFINITIONS of normalisation: one group of elements at a time."""

import numpy as np


def standardised(values, eps):
    if not values.size:
        return values
    mean = sum(values.reshape(-1)) / values.size
    variance = sum((values.reshape(-1) - mean) ** 2) / values.size
    return (values - mean) / np.sqrt(variance + eps)


def affine(y, weight, bias, axis=1):
    """Times the weight, plus the bias, of each channel."""
    shape = [-1 if i == axis else 1 for i in range(y.ndim)]
    y = y if weight is None else y * np.reshape(weight, shape)
    return y if bias is None else y + np.reshape(bias, shape)


def batch_norm(x, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5):
    y = np.zeros(x.shape)
    for c in range(x.shape[1]):
        if training:
            y[:, c] = standardised(x[:, c], eps)
        else:
            y[:, c] = (x[:, c] - running_mean[c]) / np.sqrt(running_var[c] + eps)
    return affine(y, weight, bias)


def group_norm(x, num_groups, weight=None, bias=None, eps=1e-5):
    y, size = np.zeros(x.shape), x.shape[1] // num_groups
    for n in range(x.shape[0]):
        for first in range(0, x.shape[1], size):
            y[n, first : first + size] = standardised(x[n, first : first + size], eps)
    return affine(y, weight, bias)


def instance_norm(
    x, running_mean=None, running_var=None, weight=None, bias=None, use_input_stats=True, momentum=0.1, eps=1e-5
):
    if not use_input_stats:
        return batch_norm(x, running_mean, running_var, weight, bias, False, momentum, eps)
    return group_norm(x, x.shape[1], weight, bias, eps)


def layer_norm(x, normalized_shape, weight=None, bias=None, eps=1e-5):
    last = np.size(normalized_shape)
    y = np.zeros(x.shape)
    for at in np.ndindex(x.shape[: x.ndim - last]):
        y[at] = standardised(x[at], eps)
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def rms_norm(x, normalized_shape, weight=None, eps=None):
    last = np.size(normalized_shape)
    y = np.zeros(x.shape)
    for at in np.ndindex(x.shape[: x.ndim - last]):
        if x[at].size:
            square = sum(x[at].reshape(-1) ** 2) / x[at].size
            y[at] = x[at] / np.sqrt(square + (np.finfo(x.dtype).eps if eps is None else eps))
    return y if weight is None else y * weight


DEFINITIONS = {
    "batch_norm": batch_norm,
    "group_norm": group_norm,
    "instance_norm": instance_norm,
    "layer_norm": layer_norm,
    "rms_norm": rms_norm,
}
