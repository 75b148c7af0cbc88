"""A layer for every activation.

The one idea: such a layer is a function with its keywords remembered, so it is made from the function.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from .. import functions as F
from ..backend import is_array
from ..tensor import Tensor
from .layer import Layer


class FunctionLayer(Layer):
    """A function of the input and fixed keywords: the base of the activation and loss layers.

    A keyword that is an array or a Tensor is a buffer, under its own name (``weight``, ``pos_weight``), as in PyTorch.
    """

    function: Callable[..., Any]
    inputs: int = 1  # how many arguments of the function are inputs; the others are keywords of the layer

    def __init__(self, *arguments: Any, **keywords: Any):
        signature = inspect.signature(type(self).function)
        names = list(signature.parameters)[self.inputs :]
        if len(arguments) > len(names):
            raise TypeError(
                f"{type(self).__name__}: takes {len(names)} arguments ({', '.join(names)}), got {len(arguments)}"
            )
        self.keywords = dict(zip(names, arguments, strict=False))
        for name, value in keywords.items():
            if name not in names or name in self.keywords:
                raise TypeError(
                    f"{type(self).__name__}: unexpected argument {name!r}; it takes {', '.join(names) or 'none'}"
                )
            self.keywords[name] = value
        for name in names:
            if name not in self.keywords and signature.parameters[name].default is inspect.Parameter.empty:
                raise TypeError(f"{type(self).__name__}: missing argument {name!r}")
        self.arrays = [name for name, value in self.keywords.items() if is_array(value) or type(value) is Tensor]
        for name in self.arrays:  # the weights of a loss: they move with the layer, and are saved
            self.register_buffer(name, self.keywords.pop(name))

    def forward(self, *inputs: Any) -> Any:
        if self.arrays:
            return type(self).function(*inputs, **self.keywords, **{name: getattr(self, name) for name in self.arrays})
        return type(self).function(*inputs, **self.keywords)

    def describe(self) -> str:
        arrays = {name: getattr(self, name) for name in self.arrays}
        return ", ".join(f"{name}={value}" for name, value in {**self.keywords, **arrays}.items())


def function_layer(name: str, function: Callable, inputs: int = 1, module: str = __name__) -> type[FunctionLayer]:
    """The class of a layer that calls ``function`` with that many inputs, and has its other parameters as keywords."""
    told = (function.__doc__ or "").partition(">>>")[0].strip()  # its example calls the function, not the layer
    what = f"``functions.{function.__name__}`` as a layer, with its keywords: {told}"
    body = {"function": staticmethod(function), "inputs": inputs, "__doc__": what, "__module__": module}
    return type(name, (FunctionLayer,), body)


ReLU = function_layer("ReLU", F.relu)
LeakyReLU = function_layer("LeakyReLU", F.leaky_relu)
ELU = function_layer("ELU", F.elu)
SELU = function_layer("SELU", F.selu)
GELU = function_layer("GELU", F.gelu)
SiLU = function_layer("SiLU", F.silu)
Sigmoid = function_layer("Sigmoid", F.sigmoid)
Tanh = function_layer("Tanh", F.tanh)
Softplus = function_layer("Softplus", F.softplus)
Softsign = function_layer("Softsign", F.softsign)
Hardtanh = function_layer("Hardtanh", F.hardtanh)
Hardsigmoid = function_layer("Hardsigmoid", F.hardsigmoid)
Hardswish = function_layer("Hardswish", F.hardswish)
Mish = function_layer("Mish", F.mish)
GLU = function_layer("GLU", F.glu)
Softmax = function_layer("Softmax", F.softmax)
LogSoftmax = function_layer("LogSoftmax", F.log_softmax)
LogSigmoid = function_layer("LogSigmoid", F.logsigmoid)
