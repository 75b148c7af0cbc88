"""Linear, and the layers that only reshape or drop: Flatten, Unflatten, Dropout."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..backend import to_device
from ..functions import dropout, flatten, linear, reshape
from ..functions.linalg import linear_relu
from ..functions.shape import arraylike, in_bounds
from ..tensor import Parameter, Tensor
from . import init
from .activation import ReLU
from .layer import Layer, is_plain


class Linear(Layer):
    """y = x W^T + b for x ``(..., in_features)``: y ``(..., out_features)``.

    ``weight`` is ``(out, in)``, ``bias`` ``(out,)`` or None; both start evenly in +-1 / sqrt(in), as in PyTorch. With
    ``in_features=None`` the width is taken from the first input (until then the weight has width 0, and an
    optimizer may already hold it).

    Raises ``ValueError`` for an input of another width, and for sizes below 1.

    >>> Linear(3, 2)(np.zeros((5, 3), "float32")).shape
    (5, 2)
    """

    def __init__(self, in_features: int | None, out_features: int, bias: bool = True):
        for name, size in (("in_features", in_features), ("out_features", out_features)):
            if (size is not None or name == "out_features") and (not isinstance(size, (int, np.integer)) or size < 1):
                raise ValueError(f"Linear: {name} is {size!r}, expected an integer of at least 1")
        self.weight = Parameter(np.zeros((out_features, in_features or 0), np.float32))
        self.bias = Parameter(np.zeros(out_features, np.float32)) if bias else None
        if in_features is not None:
            self._start()

    def _start(self) -> None:
        init.kaiming_uniform(self.weight, a=math.sqrt(5))  # a = sqrt 5 comes to a bound of 1 / sqrt(in)
        if self.bias is not None:
            bound = 1 / math.sqrt(self.weight.shape[1])
            init.uniform(self.bias, -bound, bound)

    @property
    def in_features(self) -> int | None:
        """The width of the input; None while it is not known."""
        return self.weight.shape[1] or None

    @property
    def out_features(self) -> int:
        """The width of the output."""
        return self.weight.shape[0]

    def forward(self, x: Any) -> Tensor:
        return linear(self._checked(x), self.weight, self.bias)

    def followed(self, x: Any, layers: Sequence[Layer]) -> tuple[Any, int]:
        if not (layers and is_plain(layers[0], ReLU) and is_plain(self, Linear)):
            return self(x), 0
        return linear_relu(self._checked(x), self.weight, self.bias), 1

    def _checked(self, x: Any) -> Any:
        x = arraylike(x)
        if x.shape[-1:] == self.weight.data.shape[1:] != (0,):
            return x
        if self.in_features is None and x.ndim and x.shape[-1]:
            empty = np.zeros((self.out_features, x.shape[-1]), self.weight.dtype)
            self.weight.data = to_device(empty, self.weight.device)
            self._start()
        if x.shape[-1:] != (self.in_features,):
            expected = self.in_features or "at least 1"
            raise ValueError(f"{self!r}: the input has shape {x.shape}, expected {expected} on its last axis")
        return x

    def describe(self) -> str:
        return f"{self.in_features}, {self.out_features}" + ("" if self.bias is not None else ", bias=False")


class Flatten(Layer):
    """The axes from ``start_axis`` to ``end_axis`` joined into one; by default all but the batch axis."""

    def __init__(self, start_axis: int = 1, end_axis: int = -1):
        self.start_axis, self.end_axis = start_axis, end_axis

    def forward(self, x: Any) -> Tensor:
        return flatten(x, self.start_axis, self.end_axis)


class Unflatten(Layer):
    """One axis split into several: ``Unflatten(1, (8, 4, 4))`` makes ``(N, 128)`` into ``(N, 8, 4, 4)``."""

    def __init__(self, axis: int, shape: tuple[int, ...]):
        self.axis, self.shape = axis, tuple(shape)

    def forward(self, x: Any) -> Tensor:
        x = arraylike(x)
        axis = in_bounds(self.axis, x.ndim, "Unflatten")
        return reshape(x, (*x.shape[:axis], *self.shape, *x.shape[axis + 1 :]))

    def describe(self) -> str:
        return f"{self.axis}, {self.shape}"


class Dropout(Layer):
    """In training each element is zeroed with probability p and the others scaled by 1 / (1 - p); else the input itself.

    Srivastava et al. 2014, JMLR 15. ValueError for p outside [0, 1].
    """

    def __init__(self, p: float = 0.5):
        if not 0 <= p <= 1:
            raise ValueError(f"Dropout: p is {p!r}, expected a probability between 0 and 1")
        self.p = p

    def forward(self, x: Any) -> Tensor:
        return dropout(x, self.p, self.training)

    def describe(self) -> str:
        return f"{self.p}"
