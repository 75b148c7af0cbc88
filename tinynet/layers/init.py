"""Where weights start: each function overwrites a Tensor's data in place and returns it. ``tn.init``.

"fan in" and "fan out" of a weight ``(out, in, ...)`` are in and out times the size of the rest (a convolution's kernel). All
numbers come from the random stream ``"init"``, which ``tn.manual_seed`` starts, and are drawn in float64 before they
are rounded.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backend import device_of, stream, to_device
from ..tensor import Tensor


def _fill(tensor: Tensor, values: Any) -> Tensor:
    tensor.data[...] = to_device(values.astype(tensor.dtype), device_of(tensor.data))
    return tensor


def uniform(tensor: Tensor, a: float = 0.0, b: float = 1.0) -> Tensor:
    """Evenly from [a, b)."""
    return _fill(tensor, stream("init").uniform(a, b, tensor.shape))


def normal(tensor: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """From the normal distribution of ``mean`` and standard deviation ``std``."""
    return _fill(tensor, stream("init").normal(mean, std, tensor.shape))


def constant(tensor: Tensor, value: float) -> Tensor:
    """The same value everywhere."""
    tensor.data[...] = value
    return tensor


def fans(tensor: Tensor) -> tuple[int, int]:
    """(fan in, fan out). ValueError for a Tensor of fewer than two axes."""
    if tensor.ndim < 2:
        raise ValueError(f"init: fan in and fan out need a weight of at least two axes (out, in), got {tensor.shape}")
    rest = math.prod(tensor.shape[2:])
    return tensor.shape[1] * rest, tensor.shape[0] * rest


def gain(nonlinearity: str, a: float = 0.0) -> float:
    """By how much an activation shrinks the standard deviation, to be made up for by the weights."""
    gains = {"linear": 1.0, "sigmoid": 1.0, "tanh": 5 / 3, "relu": math.sqrt(2), "selu": 0.75}
    if nonlinearity == "leaky_relu":
        return math.sqrt(2 / (1 + a * a))
    if nonlinearity not in gains:
        raise ValueError(f"init: unknown nonlinearity {nonlinearity!r}; expected leaky_relu, {', '.join(gains)}")
    return gains[nonlinearity]


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"init: mode is {mode!r}, expected 'fan_in' or 'fan_out'")
    return gain(nonlinearity, a) / math.sqrt(max(1, fans(tensor)[mode == "fan_out"]))


def kaiming_uniform(tensor: Tensor, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu") -> Tensor:
    """Evenly, with standard deviation gain / sqrt(fan). He, Zhang, Ren, Sun 2015, arXiv:1502.01852."""
    bound = math.sqrt(3) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform(tensor, -bound, bound)


def kaiming_normal(tensor: Tensor, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu") -> Tensor:
    """Normally, with standard deviation gain / sqrt(fan). He, Zhang, Ren, Sun 2015, arXiv:1502.01852."""
    return normal(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity))


def xavier_uniform(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """Evenly, with standard deviation gain sqrt(2 / (fan in + fan out)). Glorot, Bengio 2010, AISTATS 13."""
    bound = gain * math.sqrt(6 / sum(fans(tensor)))
    return uniform(tensor, -bound, bound)


def xavier_normal(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """Normally, with standard deviation gain sqrt(2 / (fan in + fan out)). Glorot, Bengio 2010, AISTATS 13."""
    return normal(tensor, 0.0, gain * math.sqrt(2 / sum(fans(tensor))))


def orthogonal(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """``gain`` times a matrix with orthonormal rows (or columns, where there are more rows), evenly from all of these.

    A weight of more than two axes is taken as ``(out, the rest)``. It is the Q of a normal matrix's QR decomposition, with
    the signs for which R's diagonal is positive: only then is it spread evenly (Mezzadri 2007, arXiv:math-ph/0609050).
    Saxe, McClelland, Ganguli 2014, arXiv:1312.6120.
    """
    fans(tensor)
    rows, rest = tensor.shape[0], math.prod(tensor.shape[1:])
    q, r = np.linalg.qr(stream("init").standard_normal((max(rows, rest), min(rows, rest))))
    q = q * np.where(np.diagonal(r) < 0, -gain, gain)
    return _fill(tensor, (q if rows >= rest else q.T).reshape(tensor.shape))


def trunc_normal(tensor: Tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0) -> Tensor:
    """From the normal distribution of ``mean`` and ``std``, as far as it lies in [a, b].

    ``a`` and ``b`` are values, not multiples of ``std``, as in PyTorch: a small ``std`` is hardly cut off at all by the
    defaults. ValueError where ``std`` is not above 0 or ``a`` not below ``b``.
    """
    if not 0 < std < math.inf:
        raise ValueError(f"trunc_normal: std is {std}, expected a number above 0")
    if not a < b:
        raise ValueError(f"trunc_normal: a is {a} and b is {b}, expected a below b")
    rng, low, high = stream("init"), (a - mean) / std, (b - mean) / std
    top = min(max(low, 0.0), high)  # where the density is highest
    reach = math.sqrt(top * top + 80)  # beyond, it is below exp(-40) of that, and nobody will miss it
    low, high = max(low, -reach), min(high, reach)
    values, missing = np.empty(tensor.size), np.arange(tensor.size)
    while missing.size:  # even draws, each kept with the probability density / highest density; 60% are for [-2, 2]
        z = values[missing] = rng.uniform(low, high, missing.size)
        missing = missing[rng.random(missing.size) >= np.exp((top - z) * (top + z) / 2)]
    return _fill(tensor, (values * std + mean).clip(a, b).reshape(tensor.shape))
