"""Convolutions and their transposes from their definitions: loops over every element."""

import itertools

import numpy as np


def each(value, axes):
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    return values * axes if len(values) == 1 else values


def borders(padding, kernel, dilation, axes):
    """Zeros before and after each axis."""
    if padding == "valid":
        return [(0, 0)] * axes
    if padding == "same":
        total = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        return [(t // 2, t - t // 2) for t in total]
    return [(p, p) for p in each(padding, axes)]


def positions(shape):
    return itertools.product(*map(range, shape))


def conv(axes):
    def convolve(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
        if x.ndim == axes + 1:
            return convolve(x[None], weight, bias, stride, padding, dilation, groups)[0]
        kernel, stride, dilation = weight.shape[2:], each(stride, axes), each(dilation, axes)
        x = np.pad(x, [(0, 0), (0, 0), *borders(padding, kernel, dilation, axes)])
        reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
        out = [(n - r) // s + 1 for n, r, s in zip(x.shape[2:], reach, stride, strict=True)]
        y = np.zeros((len(x), len(weight), *out))
        for n, o, *t in positions(y.shape):
            y[(n, o, *t)] = 0 if bias is None else bias[o]
            group = o // (len(weight) // groups)
            for c, *k in positions(weight.shape[1:]):
                at = (i * s + j * d for i, s, j, d in zip(t, stride, k, dilation, strict=True))
                y[(n, o, *t)] += x[(n, group * weight.shape[1] + c, *at)] * weight[(o, c, *k)]
        return y

    return convolve


def conv_transpose(axes):
    def transpose(x, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
        if x.ndim == axes + 1:
            return transpose(x[None], weight, bias, stride, padding, output_padding, groups, dilation)[0]
        numbers = stride, padding, output_padding, dilation
        stride, padding, output_padding, dilation = (each(v, axes) for v in numbers)
        size = [
            (n - 1) * s - 2 * p + d * (k - 1) + e + 1
            for n, k, s, p, e, d in zip(
                x.shape[2:], weight.shape[2:], stride, padding, output_padding, dilation, strict=True
            )
        ]
        y = np.zeros((len(x), weight.shape[1] * groups, *size))
        for n, c, *t in positions(x.shape):
            group = c // (x.shape[1] // groups)
            for o, *k in positions(weight.shape[1:]):
                at = [i * s + j * d - p for i, s, j, d, p in zip(t, stride, k, dilation, padding, strict=True)]
                if all(0 <= a < m for a, m in zip(at, size, strict=True)):
                    y[(n, group * weight.shape[1] + o, *at)] += x[(n, c, *t)] * weight[(c, o, *k)]
        return y if bias is None else y + bias.reshape(-1, *[1] * axes)

    return transpose


def patches(size, kernel_size, dilation, padding, stride):
    """For each patch the list of its places in an image of ``size``, None for those outside."""
    kernel, dilation, padding, stride = (each(v, 2) for v in (kernel_size, dilation, padding, stride))
    out = [
        (n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, d, p, s in zip(size, kernel, dilation, padding, stride, strict=True)
    ]
    for t in positions(out):
        places = []
        for k in positions(kernel):
            at = tuple(i * s + j * d - p for i, s, j, d, p in zip(t, stride, k, dilation, padding, strict=True))
            places.append(at if all(0 <= a < n for a, n in zip(at, size, strict=True)) else None)
        yield places


def unfold(x, kernel_size, dilation=1, padding=0, stride=1):
    columns = []
    for places in patches(x.shape[-2:], kernel_size, dilation, padding, stride):
        seen = [np.zeros(x.shape[:-2]) if at is None else x[(..., *at)] for at in places]
        columns.append(np.stack(seen, axis=-1).reshape(*x.shape[:-3], x.shape[-3] * len(places)))
    return np.stack(columns, axis=-1)


def fold(x, output_size, kernel_size, dilation=1, padding=0, stride=1):
    size, elements = each(output_size, 2), int(np.prod(each(kernel_size, 2)))
    y = np.zeros((*x.shape[:-2], x.shape[-2] // elements, *size))
    x = x.reshape(*x.shape[:-2], x.shape[-2] // elements, elements, x.shape[-1])
    for patch, places in enumerate(patches(size, kernel_size, dilation, padding, stride)):
        for element, at in enumerate(places):
            if at is not None:
                y[(..., *at)] += x[..., element, patch]
    return y


DEFINITIONS = {
    "conv1d": conv(1),
    "conv2d": conv(2),
    "conv3d": conv(3),
    "conv_transpose1d": conv_transpose(1),
    "conv_transpose2d": conv_transpose(2),
    "fold": fold,
    "unfold": unfold,
}
