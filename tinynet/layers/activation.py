"""A layer for every activation, and for the losses that one may want as objects.

The one idea: such a layer is a function with its keywords remembered, so it is made from the function.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from .. import functions as F
from .layer import Layer


class FunctionLayer(Layer):
    """A function of the input and fixed keywords: the base of the activation and loss layers."""

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

    def forward(self, *inputs: Any) -> Any:
        return type(self).function(*inputs, **self.keywords)

    def describe(self) -> str:
        return ", ".join(f"{name}={value}" for name, value in self.keywords.items())


def _layer(name: str, function: Callable, inputs: int = 1) -> type[FunctionLayer]:
    told = (function.__doc__ or "").partition(">>>")[0].strip()  # its example calls the function, not the layer
    what = f"``functions.{function.__name__}`` as a layer, with its keywords: {told}"
    body = {"function": staticmethod(function), "inputs": inputs, "__doc__": what, "__module__": __name__}
    return type(name, (FunctionLayer,), body)


ReLU = _layer("ReLU", F.relu)
LeakyReLU = _layer("LeakyReLU", F.leaky_relu)
ELU = _layer("ELU", F.elu)
SELU = _layer("SELU", F.selu)
GELU = _layer("GELU", F.gelu)
SiLU = _layer("SiLU", F.silu)
Sigmoid = _layer("Sigmoid", F.sigmoid)
Tanh = _layer("Tanh", F.tanh)
Softplus = _layer("Softplus", F.softplus)
Softsign = _layer("Softsign", F.softsign)
Hardtanh = _layer("Hardtanh", F.hardtanh)
Hardsigmoid = _layer("Hardsigmoid", F.hardsigmoid)
Hardswish = _layer("Hardswish", F.hardswish)
Mish = _layer("Mish", F.mish)
GLU = _layer("GLU", F.glu)
Softmax = _layer("Softmax", F.softmax)
LogSoftmax = _layer("LogSoftmax", F.log_softmax)
LogSigmoid = _layer("LogSigmoid", F.logsigmoid)

CrossEntropyLoss = _layer("CrossEntropyLoss", F.cross_entropy, inputs=2)
MSELoss = _layer("MSELoss", F.mse_loss, inputs=2)
