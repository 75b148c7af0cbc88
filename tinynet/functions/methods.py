"""The one table that hangs operators and methods on Tensor.

Every function of one Tensor is a method too; losses, functions of layers and ``sort`` are not. (``sort`` and the like would
look as if they worked in place, which nothing here does.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..autograd import backward
from ..backend import device_of, is_array, to_device
from ..op import data_of, op
from ..tensor import Tensor
from . import activation, elementwise, indexing, joining, linalg, reduce, shape

OPERATORS: dict[str, Callable] = {
    "add": elementwise.add,
    "sub": elementwise.sub,
    "mul": elementwise.mul,
    "truediv": elementwise.div,
    "pow": elementwise.pow,
    "matmul": linalg.matmul,
    "and": elementwise.logical_and,
    "or": elementwise.logical_or,
}
COMPARISONS: dict[str, Callable] = {
    "eq": elementwise.equal,
    "ne": elementwise.not_equal,
    "lt": elementwise.less,
    "le": elementwise.less_equal,
    "gt": elementwise.greater,
    "ge": elementwise.greater_equal,
}
METHODS = {
    elementwise: "abs arccos arcsin arctan astype clip cos cosh erf exp expm1 log log1p neg pow reciprocal sign sin sinh "
    "sqrt square tan tanh add sub mul div maximum minimum",
    reduce: "all any argmax argmin cumprod cumsum logsumexp max mean min norm prod std sum var",
    shape: "broadcast_to expand_dims flatten flip moveaxis roll squeeze swapaxes tril triu",
    indexing: "argsort diagonal getitem one_hot take take_along_axis topk",
    joining: "pad repeat split tile",
    linalg: "dot matmul outer",
    activation: "elu gelu glu hardsigmoid hardswish hardtanh leaky_relu log_softmax logsigmoid mish relu selu sigmoid silu "
    "softmax softplus softsign",
}


def _reversed(function: Callable) -> Callable:
    return lambda self, other: function(other, self)


def _comparison(function: Callable) -> Callable:
    def compare(self: Tensor, other: Any) -> Any:
        if isinstance(other, (Tensor, int, float, np.generic, list, tuple)) or is_array(other):
            return function(self, other)
        return NotImplemented  # x == None, x == "name": False, as for any object

    return compare


def _by_numbers(function: Callable) -> Callable:
    """A method whose tuple may also be written as several numbers: ``x.reshape(2, -1)``, ``x.transpose(1, 0)``."""

    def method(self: Tensor, *numbers: Any) -> Tensor:
        return function(self, numbers[0] if len(numbers) == 1 and not isinstance(numbers[0], int) else numbers)

    method.__doc__ = function.__doc__
    return method


@op(lambda g, y, x, device: _move(g, device_of(data_of(x))))
def _move(x, device):
    return to_device(x, device)


def _to(self: Tensor, device: str) -> Tensor:
    """The Tensor on another device ("cpu", "cuda", "cuda:1"); itself where it is there already. Differentiable."""
    moved = to_device(self.data, device)
    return self if moved is self.data else _move(self, device)


def _transposed(self: Tensor, *axes: Any) -> Tensor:
    """The axes in another order: ``x.transpose(1, 0)``, ``x.transpose((1, 0))``; reversed without arguments."""
    one = len(axes) == 1 and not isinstance(axes[0], (int, np.integer))  # a tuple, a list or None
    return shape.transpose(self, axes[0] if one else axes or None)


OTHERS: dict[str, Any] = {
    "__neg__": elementwise.neg,
    "__abs__": elementwise.abs,
    "__invert__": elementwise.logical_not,
    "__getitem__": indexing.getitem,
    "reshape": _by_numbers(shape.reshape),
    "transpose": _transposed,
    "T": property(shape.transpose),
    "to": _to,
    "backward": backward,
}

for _name, _function in OPERATORS.items():
    setattr(Tensor, f"__{_name}__", _function)
    setattr(Tensor, f"__r{_name}__", _reversed(_function))
for _name, _function in COMPARISONS.items():
    setattr(Tensor, f"__{_name}__", _comparison(_function))
for _module, _names in METHODS.items():
    for _name in _names.split():
        setattr(Tensor, _name, getattr(_module, _name))
for _name, _member in OTHERS.items():
    setattr(Tensor, _name, _member)
