"""Convolution layers over one, two and three axes, and their transposes; names, layouts and initialisation are PyTorch's.

The one idea: there is one layer, and how many axes it has is a number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import functions as F
from ..backend import to_device
from ..functions.conv import LETTERS, conv2d_relu, paddings, per_axis
from ..functions.shape import arraylike
from ..tensor import Parameter, Tensor
from . import init
from .activation import ReLU
from .layer import Layer, is_plain
from .pool import MaxPool2d

BY_TWO = [{"kernel_size": k, **rest} for k in (2, (2, 2)) for rest in ({}, {"stride": 2}, {"stride": (2, 2)})]
MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}  # PyTorch's name: NumPy's


class _Conv(Layer):
    """What all share: the weight, which may wait for the first batch to know its channels, and the checks."""

    axes: int
    function: Callable[..., Any]
    transposed = False
    weight: Parameter
    bias: Parameter | None

    def __init__(
        self,
        in_channels: int | None,
        out_channels: int,
        kernel_size: int | tuple[int, ...],
        stride: int | tuple[int, ...] = 1,
        padding: int | tuple[int, ...] | str = 0,
        dilation: int | tuple[int, ...] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
    ):
        name = type(self).__name__
        self.groups = per_axis(name, "groups", groups, 1, 1)[0]
        for what, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
            if channels is None and what == "in_channels":
                continue
            if not isinstance(channels, (int, np.integer)) or isinstance(channels, bool) or channels < 1:
                raise ValueError(f"{name}: {what} is {channels!r}, expected an integer of at least 1")
            if channels % self.groups:
                raise ValueError(f"{name}: {what} is {channels}, which groups={self.groups} does not divide")
        self.kernel_size = per_axis(name, "kernel_size", kernel_size, self.axes, 1)
        self.stride = per_axis(name, "stride", stride, self.axes, 1)
        self.dilation = per_axis(name, "dilation", dilation, self.axes, 1)
        borders = paddings(name, padding, self.kernel_size, self.stride, self.dilation)
        self.padding = padding if isinstance(padding, str) else tuple(before for before, _ in borders)
        if padding_mode not in MODES:
            raise ValueError(f"{name}: padding_mode is {padding_mode!r}, expected one of {', '.join(MODES)}")
        self.padding_mode = padding_mode
        first, second = (in_channels or 0, out_channels) if self.transposed else (out_channels, in_channels or 0)
        self.weight = Parameter(np.zeros((first, second // self.groups, *self.kernel_size), np.float32))
        self.bias = Parameter(np.zeros(out_channels, np.float32)) if bias else None
        if in_channels is not None:
            self._start()

    def _start(self) -> None:
        init.kaiming_uniform(self.weight, a=math.sqrt(5))  # a = sqrt 5 comes to a bound of 1 / sqrt(fan in)
        if self.bias is not None:
            bound = 1 / math.sqrt(init.fans(self.weight)[0])
            init.uniform(self.bias, -bound, bound)

    @property
    def in_channels(self) -> int | None:
        """The channels of the input; None while they are not known."""
        return (self.weight.shape[0] if self.transposed else self.weight.shape[1] * self.groups) or None

    @property
    def out_channels(self) -> int:
        """The channels of the output."""
        return self.weight.shape[1] * self.groups if self.transposed else self.weight.shape[0]

    def _checked(self, x: Any) -> Any:
        """The input; its channels are the layer's from now on, where the layer did not know them."""
        x = arraylike(x)
        channels = x.shape[-self.axes - 1] if x.ndim in (self.axes + 1, self.axes + 2) else 0
        if self.in_channels is None and channels and channels % self.groups == 0:
            shape = (channels, *self.weight.shape[1:])
            if not self.transposed:
                shape = (len(self.weight), channels // self.groups, *self.kernel_size)
            self.weight.data = to_device(np.zeros(shape, self.weight.dtype), self.weight.device)
            self._start()
        if channels != self.in_channels:
            c = self.in_channels or ("C" if self.groups == 1 else f"C, a multiple of {self.groups}")
            expected = f"(N, {c}, {LETTERS[self.axes]}), or ({c}, {LETTERS[self.axes]}) without a batch"
            raise ValueError(f"{self!r}: the input has shape {x.shape}, expected {expected}")
        return x

    def forward(self, x: Any) -> Tensor:
        return self._through(type(self).function, x)

    def _through(self, function: Callable, x: Any, **keywords: Any) -> Tensor:
        x = self._checked(x)
        padding: Any = self.padding
        if self.padding_mode != "zeros":
            borders = paddings(type(self).__name__, padding, self.kernel_size, self.stride, self.dilation)
            x = F.pad(x, [(0, 0)] * (x.ndim - self.axes) + borders, mode=MODES[self.padding_mode])
            padding = 0
        return function(x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups, **keywords)

    def describe(self) -> str:
        def short(value: Any) -> Any:
            return value[0] if isinstance(value, tuple) and len(set(value)) == 1 else value

        parts = [f"{self.in_channels}, {self.out_channels}, kernel_size={short(self.kernel_size)}"]
        usual = {"stride": 1, "padding": 0, "output_padding": 0, "dilation": 1, "groups": 1, "padding_mode": "zeros"}
        given = {k: short(getattr(self, k, v)) for k, v in usual.items()}
        parts += [f"{k}={v!r}" for k, v in given.items() if v != usual[k]]
        return ", ".join(parts if self.bias is not None else [*parts, "bias=False"])


class Conv1d(_Conv):
    """``Conv2d`` over one axis: ``(N, C, L)`` to ``(N, out_channels, L')``."""

    axes, function = 1, staticmethod(F.conv1d)


class Conv2d(_Conv):
    """``functions.conv2d`` with a weight and a bias of its own: ``(N, C, H, W)`` to ``(N, out_channels, H', W')``.

    ``weight`` is ``(out, in / groups, kh, kw)``, ``bias`` ``(out,)`` or None; both start evenly in +-1 / sqrt(fan in), where
    fan in is in / groups * kh * kw, as in PyTorch. ``kernel_size``, ``stride``, ``padding`` and ``dilation`` are a number,
    or one for each axis; ``padding`` also ``"same"`` or ``"valid"``. ``padding_mode`` is ``"zeros"``, ``"reflect"``,
    ``"replicate"`` or ``"circular"``. With ``in_channels=None`` the channels are those of the first input (until then
    the weight has none, and an optimizer may already hold it). Inputs without a batch axis are taken too.

    Raises ``ValueError`` for an input of other channels or axes, a kernel larger than the padded image, and numbers that
    do not fit: sizes below 1, negative padding, groups that do not divide the channels.

    >>> Conv2d(3, 8, 3, padding=1)(np.zeros((5, 3, 28, 28), "float32")).shape
    (5, 8, 28, 28)
    """

    axes, function = 2, staticmethod(F.conv2d)

    def followed(self, x: Any, layers: Sequence[Layer]) -> tuple[Any, int]:
        if not (is_plain(self, Conv2d) and layers and is_plain(layers[0], ReLU)):
            return self(x), 0
        pool = len(layers) > 1 and is_plain(layers[1], MaxPool2d) and vars(layers[1])["keywords"] in BY_TWO
        return self._through(conv2d_relu, x, pool=pool), 2 if pool else 1


class Conv3d(_Conv):
    """``Conv2d`` over three axes: ``(N, C, D, H, W)`` to ``(N, out_channels, D', H', W')``."""

    axes, function = 3, staticmethod(F.conv3d)


class _ConvTranspose(_Conv):
    transposed = True

    def __init__(
        self,
        in_channels: int | None,
        out_channels: int,
        kernel_size: int | tuple[int, ...],
        stride: int | tuple[int, ...] = 1,
        padding: int | tuple[int, ...] = 0,
        output_padding: int | tuple[int, ...] = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: int | tuple[int, ...] = 1,
    ):
        name = type(self).__name__
        padding = per_axis(name, "padding", padding, self.axes, 0)
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias)
        self.output_padding = per_axis(name, "output_padding", output_padding, self.axes, 0)
        if any(e >= max(s, d) for e, s, d in zip(self.output_padding, self.stride, self.dilation, strict=True)):
            most = f"stride {self.stride} or dilation {self.dilation}"
            raise ValueError(f"{name}: output_padding is {self.output_padding}, expected less than {most} on each axis")

    def forward(self, x: Any) -> Tensor:
        numbers = self.stride, self.padding, self.output_padding, self.groups, self.dilation
        return type(self).function(self._checked(x), self.weight, self.bias, *numbers)


class ConvTranspose1d(_ConvTranspose):
    """``ConvTranspose2d`` over one axis: ``(N, C, L)`` to ``(N, out_channels, L')``."""

    axes, function = 1, staticmethod(F.conv_transpose1d)


class ConvTranspose2d(_ConvTranspose):
    """``functions.conv_transpose2d`` with a weight and a bias of its own: ``(N, C, H, W)`` to ``(N, out_channels, H', W')``.

    ``weight`` is ``(in, out / groups, kh, kw)``, ``bias`` ``(out,)`` or None; both start evenly in +-1 / sqrt(out / groups *
    kh * kw), as in PyTorch, and the order of the arguments is PyTorch's: groups, bias, dilation. Otherwise as ``Conv2d``,
    but that padding (what is cut off the output's border) is numbers only.

    >>> ConvTranspose2d(8, 3, 4, stride=2, padding=1)(np.zeros((5, 8, 14, 14), "float32")).shape
    (5, 3, 28, 28)
    """

    axes, function = 2, staticmethod(F.conv_transpose2d)
