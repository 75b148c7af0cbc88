"""Layers: functions with parameters of their own; ``from tinynet import layers as L``. Names and layouts are PyTorch's."""

from . import init
from .activation import (
    ELU,
    GELU,
    GLU,
    SELU,
    CrossEntropyLoss,
    Hardsigmoid,
    Hardswish,
    Hardtanh,
    LeakyReLU,
    LogSigmoid,
    LogSoftmax,
    Mish,
    MSELoss,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Softsign,
    Tanh,
)
from .container import Identity, Lambda, LayerDict, LayerList, Sequential
from .layer import Layer
from .linear import Dropout, Flatten, Linear, Unflatten
