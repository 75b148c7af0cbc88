"""Activations: the functions between a network's matrix products; names, parameters and defaults are PyTorch's.

Those that every network uses are ops with a rule of their own; the rest is written down from its definition.
"""

from __future__ import annotations

import math

from .. import kernels
from ..backend import array_module
from ..op import forward_of, op
from ..tensor import Tensor
from .elementwise import abs, erf, exp, mul, square, tanh, where
from .joining import split
from .reduce import finite_top
from .shape import arraylike, in_bounds

# ------------------------------------------------------------------------------------------------ the ReLU family


def relu_grad(g, y):
    """What ReLU of which the output is y does to a gradient; y is never below 0, and a NaN passes it on, as in PyTorch."""
    return g * (y != 0) if isinstance(g, Tensor) else kernels.relu_grad(g, y)


@op(lambda g, y, x: relu_grad(g, y))
def relu(x):
    """max(x, 0); slope 0 at 0, NaN for NaN. An infinite gradient times slope 0 is NaN; PyTorch makes it 0."""
    return kernels.relu(x)


def leaky_relu(x, negative_slope=0.01) -> Tensor:
    """x for x > 0, ``negative_slope`` x below."""
    x = arraylike(x)
    return where(x > 0, x, mul(x, negative_slope))


@op(lambda g, y, x, alpha: where(x > 0, g, g * (y + alpha)))
def elu(x, alpha=1.0):
    """x for x > 0, alpha (exp(x) - 1) below. Clevert, Unterthiner, Hochreiter 2016, arXiv:1511.07289."""
    xp = array_module(x)
    return xp.where(x > 0, x, alpha * xp.expm1(xp.minimum(x, 0)))


def selu(x) -> Tensor:
    """1.0507 elu(x, alpha=1.6733): keeps mean 0 and variance 1 from layer to layer.

    Klambauer, Unterthiner, Mayr, Hochreiter 2017, arXiv:1706.02515.
    """
    return 1.0507009873554804934193349852946 * elu(x, 1.6732632423543772848170429916717)


def hardtanh(x, min_val=-1.0, max_val=1.0) -> Tensor:
    """x limited to [min_val, max_val]; slope 0 on the limits, as in PyTorch (``clip`` has slope 1 there)."""
    x = arraylike(x)
    return where(x <= min_val, min_val, where(x >= max_val, max_val, x))


# ---------------------------------------------------------------------------------------------- the sigmoid family


@op(lambda g, y, x: g * y * (1 - y))
def sigmoid(x):
    """1 / (1 + exp(-x)), exact to the last digits on both sides and without overflow."""
    xp = array_module(x)
    e = xp.exp(xp.abs(x) * -1.0)  # in (0, 1]: the exponential that cannot overflow; a float, for bytes have no -x
    return xp.where(x >= 0, 1, e) / (1 + e)


@op(lambda g, y, x: g * sigmoid(-x))
def logsigmoid(x):
    """log(sigmoid(x)) = min(x, 0) - log(1 + exp(-|x|))."""
    xp = array_module(x)
    return xp.minimum(x, 0) - xp.log1p(xp.exp(xp.abs(x) * -1.0))


@op(lambda g, y, x, beta, threshold: g * where(x * beta > threshold, 1, sigmoid(x * beta)))
def softplus(x, beta=1.0, threshold=20.0):
    """log(1 + exp(beta x)) / beta, and x itself where beta x > threshold (the difference is below 3e-9 there)."""
    xp = array_module(x)
    t = x * beta  # not logaddexp(t, 0), which warns of a NaN
    return xp.where(t > threshold, x, (xp.maximum(t, 0) + xp.log1p(xp.exp(-xp.abs(t)))) / beta)


@op(lambda g, y, x: g / square(1 + abs(x)))  # as a quotient's derivative it would cancel out for a large |x|
def softsign(x):
    """x / (1 + |x|)."""
    return x / (1.0 + array_module(x).abs(x))


def hardsigmoid(x) -> Tensor:
    """(x + 3) / 6 limited to [0, 1]: straight lines in place of the sigmoid."""
    return hardtanh(arraylike(x) + 3.0, 0.0, 6.0) / 6


def _silu_rule(g, y, x):
    s = sigmoid(x)
    return g * (s + y * (1 - s))


@op(_silu_rule)
def silu(x):
    """x sigmoid(x), also known as swish."""
    return x * forward_of(sigmoid)(x)


def hardswish(x) -> Tensor:
    """x hardsigmoid(x)."""
    return mul(x, hardsigmoid(x))


def mish(x) -> Tensor:
    """x tanh(softplus(x)). Misra 2019, arXiv:1908.08681."""
    return mul(x, tanh(softplus(x)))


_ROOT_HALF = math.sqrt(0.5)


def _gelu_rule(g, y, x):
    return g * (0.5 * (1 + erf(x * _ROOT_HALF)) + x * exp(x * x * -0.5) / math.sqrt(2 * math.pi))


@op(_gelu_rule)
def _gelu(x):
    return 0.5 * x * (1 + forward_of(erf)(x * _ROOT_HALF))


def gelu(x, approximate="none") -> Tensor:
    """x times the standard normal distribution's share below x, x (1 + erf(x / sqrt 2)) / 2.

    ``approximate="tanh"``: x (1 + tanh(sqrt(2/pi) (x + 0.044715 x**3))) / 2. Hendrycks, Gimpel 2016, arXiv:1606.08415.
    """
    if approximate == "none":
        return _gelu(x)
    if approximate != "tanh":
        raise ValueError(f"gelu: approximate is {approximate!r}, expected 'none' or 'tanh'")
    x = arraylike(x)
    return 0.5 * x * (1 + tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))


def glu(x, axis=-1) -> Tensor:
    """The gated linear unit: the first half of ``axis`` times the sigmoid of the second. Dauphin et al. 2017,
    arXiv:1612.08083."""
    x = arraylike(x)
    if x.shape[in_bounds(axis, x.ndim, "glu")] % 2:
        raise ValueError(f"glu: axis {axis} of shape {x.shape} has odd length {x.shape[axis]}; it is cut into two halves")
    a, b = split(x, 2, axis)
    return a * sigmoid(b)


# ---------------------------------------------------------------------------------------------- the softmax family


@op(lambda g, y, x, axis: y * (g - (g * y).sum(axis=axis, keepdims=True)))
def softmax(x, axis=-1):
    """exp(x) / sum(exp(x)) along ``axis``, without overflow: each line's largest element is subtracted first."""
    e = array_module(x).exp(x - finite_top(x, axis))
    return e / e.sum(axis=axis, keepdims=True)


@op(lambda g, y, x, axis: g - exp(y) * g.sum(axis=axis, keepdims=True))
def log_softmax(x, axis=-1):
    """log(softmax(x)) along ``axis``, exact where softmax would round to 0."""
    xp = array_module(x)
    x = x - finite_top(x, axis)
    return x - xp.log(xp.exp(x).sum(axis=axis, keepdims=True)) if x.size else x * 1.0  # of nothing: no logarithm of 0
