"""Normalisation with learned scale and shift: batch, instance, layer, group and RMS norm.

The one idea: a layer holds the arrays (``weight`` ones, ``bias`` zeros, the running statistics), the function of its name
computes. Names, defaults and state-dict keys are PyTorch's; ``num_batches_tracked`` is kept only where it is needed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import functions as F
from ..functions.shape import arraylike, as_tuple
from ..tensor import Parameter, Tensor
from .layer import Layer


def _ones_and_zeros(shape: int | tuple[int, ...], weight: bool, bias: bool) -> tuple[Parameter | None, Parameter | None]:
    return (
        Parameter(np.ones(shape, np.float32)) if weight else None,
        Parameter(np.zeros(shape, np.float32)) if bias else None,
    )


def _whole(layer: Layer, name: str, value: Any) -> int:
    if not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"{type(layer).__name__}: {name} is {value!r}, expected an integer of at least 1")
    return int(value)


def _options(**options: tuple[Any, Any]) -> str:
    """The options that differ from their defaults, for a repr."""
    return "".join([f", {name}={value}" for name, (value, default) in options.items() if value != default])


class _ChannelNorm(Layer):
    """A scale, a shift, a running mean and a running variance for each channel of (N, C, ...)."""

    num_batches_tracked: Tensor
    axes: tuple[str, ...] = ()  # the inputs that are taken, in words: "(N, {C}, H, W)"
    usual = {"eps": 1e-5, "momentum": 0.1, "affine": True, "track_running_stats": True}

    def __init__(self, num_features: int, eps: float, momentum: float | None, affine: bool, track_running_stats: bool):
        self.num_features = _whole(self, "num_features", num_features)
        self.eps, self.momentum, self.affine, self.track_running_stats = eps, momentum, affine, track_running_stats
        self.weight, self.bias = _ones_and_zeros(self.num_features, affine, affine)
        self.running_mean: Any = None
        self.running_var: Any = None
        if track_running_stats:
            self.register_buffer("running_mean", np.zeros(self.num_features, np.float32))
            self.register_buffer("running_var", np.ones(self.num_features, np.float32))
            if momentum is None:
                self.register_buffer("num_batches_tracked", np.array(0))

    def checked(self, x: Any) -> Tensor:
        x = arraylike(x)
        for axes in self.axes:
            n = axes.count(",") + 1
            if x.ndim == n and x.shape[1 if axes.startswith("(N") else 0] == self.num_features:
                return x
        expected = " or ".join(axes.format(C=self.num_features) for axes in self.axes)
        raise ValueError(f"{self!r}: the input has shape {x.shape}, expected {expected}")

    def normalised(self, x: Any, function: Any, own: bool) -> Tensor:
        """``function`` of x: with x's ``own`` statistics, which are collected in training, or with the running ones."""
        mean, var, momentum, count = self.running_mean, self.running_var, self.momentum, None
        if own and not self.training:
            mean = var = None
        elif momentum is None and own and mean is not None:
            count = self.num_batches_tracked.data + 1
            momentum = 1 / count  # then the running statistics are the plain average of all batches'
        y = function(x, mean, var, self.weight, self.bias, own, momentum, self.eps)
        if count is not None:
            self.num_batches_tracked.data[...] = count
        return y

    def describe(self) -> str:
        return f"{self.num_features}" + _options(**{name: (getattr(self, name), d) for name, d in self.usual.items()})


class _BatchNorm(_ChannelNorm):
    def __init__(self, num_features, eps=1e-5, momentum: float | None = 0.1, affine=True, track_running_stats=True):
        super().__init__(num_features, eps, momentum, affine, track_running_stats)

    def forward(self, x: Any) -> Tensor:
        return self.normalised(self.checked(x), F.batch_norm, self.training or self.running_mean is None)


class BatchNorm1d(_BatchNorm):
    """``BatchNorm2d`` for x ``(N, C)`` or ``(N, C, L)``."""

    axes = ("(N, {C})", "(N, {C}, L)")


class BatchNorm2d(_BatchNorm):
    """(x - mean) / sqrt(var + eps) * weight + bias for x ``(N, C, H, W)``, a mean and a variance for each channel.

    In training they are the batch's own, and ``running_mean`` and ``running_var`` (unbiased) go towards them:
    ``running = (1 - momentum) * running + momentum * batch``, or with ``momentum=None`` the average of all batches so far.
    In evaluation these are what is used; with ``track_running_stats=False`` there are none, and the batch's own are.
    ``affine=False``: no weight and no bias. Ioffe, Szegedy 2015, arXiv:1502.03167.

    Unlike PyTorch, ``num_batches_tracked`` is in the state dict only with ``momentum=None``, where it matters; it is
    accepted by all when loading.

    Raises ``ValueError`` for an input of other axes or channels, and in training for one value per channel.

    >>> BatchNorm2d(3)(np.zeros((2, 3, 4, 4), "float32")).shape
    (2, 3, 4, 4)
    """

    axes = ("(N, {C}, H, W)",)


class _InstanceNorm(_ChannelNorm):
    usual = {**_ChannelNorm.usual, "affine": False, "track_running_stats": False}

    def __init__(self, num_features, eps=1e-5, momentum=0.1, affine=False, track_running_stats=False):
        super().__init__(num_features, eps, momentum, affine, track_running_stats)

    def forward(self, x: Any) -> Tensor:
        x = self.checked(x)
        alone = x.ndim == self.axes[-1].count(",") + 1
        y = self.normalised(x[None] if alone else x, F.instance_norm, self.training or self.running_mean is None)
        return y[0] if alone else y


class InstanceNorm1d(_InstanceNorm):
    """``InstanceNorm2d`` for x ``(N, C, L)`` or ``(C, L)``."""

    axes = ("(N, {C}, L)", "({C}, L)")


class InstanceNorm2d(_InstanceNorm):
    """``BatchNorm2d`` with statistics for each channel of each sample of x ``(N, C, H, W)`` or ``(C, H, W)``.

    By default without weight and bias and, in evaluation too, with the input's own statistics, as in PyTorch. Ulyanov,
    Vedaldi, Lempitsky 2016, arXiv:1607.08022.
    """

    axes = ("(N, {C}, H, W)", "({C}, H, W)")


class GroupNorm(Layer):
    """The ``num_channels`` channels of x ``(N, C, ...)`` in ``num_groups`` groups, each normalised by itself in each sample.

    A weight and a bias for each channel, unless ``affine=False``. Wu, He 2018, arXiv:1803.08494. Raises ``ValueError`` for
    groups that do not divide the channels and for an input of other channels.
    """

    def __init__(self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True):
        self.num_channels = _whole(self, "num_channels", num_channels)
        self.num_groups, self.eps, self.affine = _whole(self, "num_groups", num_groups), eps, affine
        if self.num_channels % self.num_groups:
            raise ValueError(f"GroupNorm: num_groups is {num_groups}, expected a divisor of num_channels, {num_channels}")
        self.weight, self.bias = _ones_and_zeros(self.num_channels, affine, affine)

    def forward(self, x: Any) -> Tensor:
        x = arraylike(x)
        if x.ndim < 2 or x.shape[1] != self.num_channels:
            raise ValueError(f"{self!r}: the input has shape {x.shape}, expected (N, {self.num_channels}, ...)")
        return F.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)

    def describe(self) -> str:
        return f"{self.num_groups}, {self.num_channels}" + _options(eps=(self.eps, 1e-5), affine=(self.affine, True))


class _LastAxes(Layer):
    """The last axes of the input, of ``normalized_shape``, normalised together."""

    bias: Parameter | None

    def __init__(self, normalized_shape, eps: float | None, elementwise_affine: bool, bias: bool):
        self.normalized_shape = tuple(_whole(self, "normalized_shape", n) for n in as_tuple(normalized_shape))
        if not self.normalized_shape:
            raise ValueError(f"{type(self).__name__}: normalized_shape is (), expected at least one axis")
        self.eps, self.elementwise_affine = eps, elementwise_affine
        self.weight, self.bias = _ones_and_zeros(self.normalized_shape, elementwise_affine, bias and elementwise_affine)

    def fitting(self, x: Any) -> Tensor:
        x, shape = arraylike(x), self.normalized_shape
        if x.shape[-len(shape) :] != shape:
            raise ValueError(f"{self!r}: the input has shape {x.shape}, expected its last axes to be {shape}")
        return x

    def described(self, usual_eps: float | None) -> str:
        shape = self.normalized_shape if len(self.normalized_shape) > 1 else self.normalized_shape[0]
        return f"{shape}" + _options(eps=(self.eps, usual_eps), elementwise_affine=(self.elementwise_affine, True))


class LayerNorm(_LastAxes):
    """(x - mean) / sqrt(var + eps) * weight + bias, over the last axes of x, of ``normalized_shape`` (a number or a tuple).

    ``weight`` and ``bias`` have the ``normalized_shape``; ``elementwise_affine=False`` leaves both out, ``bias=False`` one.
    Ba, Kiros, Hinton 2016, arXiv:1607.06450. Raises ``ValueError`` for an input of other last axes.

    >>> LayerNorm(4)(np.zeros((2, 3, 4), "float32")).shape
    (2, 3, 4)
    """

    def __init__(self, normalized_shape, eps: float = 1e-5, elementwise_affine: bool = True, bias: bool = True):
        super().__init__(normalized_shape, eps, elementwise_affine, bias)

    def forward(self, x: Any) -> Tensor:
        return F.layer_norm(self.fitting(x), self.normalized_shape, self.weight, self.bias, self.eps)

    def describe(self) -> str:
        no_bias = self.bias is None and self.elementwise_affine
        return self.described(1e-5) + (", bias=False" if no_bias else "")


class RMSNorm(_LastAxes):
    """x / sqrt(mean(x**2) + eps) * weight, over the last axes of x, of ``normalized_shape`` (a number or a tuple).

    ``eps=None`` is the spacing of x's dtype at 1, as in PyTorch. Zhang, Sennrich 2019, arXiv:1910.07467. Raises
    ``ValueError`` for an input of other last axes.
    """

    def __init__(self, normalized_shape, eps: float | None = None, elementwise_affine: bool = True):
        super().__init__(normalized_shape, eps, elementwise_affine, bias=False)

    def forward(self, x: Any) -> Tensor:
        return F.rms_norm(self.fitting(x), self.normalized_shape, self.weight, self.eps)

    def describe(self) -> str:
        return self.described(None)
