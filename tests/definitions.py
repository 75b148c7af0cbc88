"""DEFINITIONS: what each function is by definition, in plain float64 NumPy, where NumPy has none of that name.

The one idea: a definition shares nothing with the library. It may be slow (loops over elements), never clever. A family of
functions has a file of its own, ``definitions_<family>.py`` with a DEFINITIONS of its own, taken in at the end of this one.
"""

import math

import definitions_attention
import definitions_conv
import definitions_loss
import definitions_norm
import definitions_pool
import definitions_recurrent
import numpy as np


def sigmoid(x):
    return np.where(x >= 0, 1 / (1 + np.exp(-np.abs(x))), np.exp(-np.abs(x)) / (1 + np.exp(-np.abs(x))))


def softplus(x, beta=1.0, threshold=20.0):
    return np.where(x * beta > threshold, x, np.log1p(np.exp(np.minimum(x * beta, 100))) / beta)


def hardtanh(x, min_val=-1.0, max_val=1.0):
    return np.minimum(np.maximum(x, min_val), max_val)


def gelu(x, approximate="none"):
    if approximate == "tanh":
        return x / 2 * (1 + np.tanh((2 / np.pi) ** 0.5 * (x + 0.044715 * x**3)))
    return x / 2 * (1 + erf(x / 2**0.5))


def elu(x, alpha=1.0):
    return np.where(x > 0, x, alpha * (np.exp(np.minimum(x, 0)) - 1))


def log_softmax(x, axis=-1):
    shifted = x - np.max(x, axis=axis, keepdims=True) if x.size else x
    return shifted - np.log(np.sum(np.exp(shifted), axis=axis, keepdims=True))


def glu(x, axis=-1):
    first, second = np.split(x, 2, axis)
    return first * sigmoid(second)


def logsumexp(x, axis=None, keepdims=False):
    """Pair by pair, by NumPy's own stable sum of two logarithms."""
    with np.errstate(invalid="ignore"):
        return np.logaddexp.reduce(x, axis=axis, keepdims=keepdims)


def norm(x, ord=2, axis=None, keepdims=False):
    x = np.abs(x)
    if ord in (np.inf, -np.inf):
        return (np.max if ord > 0 else np.min)(x, axis=axis, keepdims=keepdims)
    ord = 2 if ord is None else ord
    return np.sum(x**ord, axis=axis, keepdims=keepdims) ** (1 / ord)


def flatten(x, start_axis=0, end_axis=-1):
    first, last = start_axis % max(x.ndim, 1), end_axis % max(x.ndim, 1)
    return x.reshape(*x.shape[:first], math.prod(x.shape[first : last + 1]), *x.shape[last + 1 :])


def topk(x, k, axis=-1, largest=True):
    """The first k of a stable sort, falling or rising; a NaN is larger than any number."""
    key = np.where(np.isnan(x), np.inf, x) * (-1 if largest else 1)
    indices = np.take(np.argsort(key, axis=axis, kind="stable"), np.arange(k), axis=axis)
    return np.take_along_axis(x, indices, axis), indices


def where(condition, a, b):
    return np.where(np.asarray(condition).astype(bool), a, b)


def linear(x, weight, bias=0.0):
    return np.einsum("...i,oi->...o", x, weight) + bias


erf = np.vectorize(math.erf, otypes=[float])

DEFINITIONS = {
    "abs": np.abs,
    "astype": lambda x, dtype: x.astype(dtype),
    "clip": lambda x, a_min=None, a_max=None: np.clip(x, a_min, a_max),
    "div": np.divide,
    "elu": elu,
    "erf": erf,
    "flatten": flatten,
    "gelu": gelu,
    "getitem": lambda x, index: x[index],
    "glu": glu,
    "hardsigmoid": lambda x: hardtanh(x / 6 + 0.5, 0, 1),
    "hardswish": lambda x: x * hardtanh(x / 6 + 0.5, 0, 1),
    "hardtanh": hardtanh,
    "leaky_relu": lambda x, negative_slope=0.01: np.where(x > 0, x, negative_slope * x),
    "linear": linear,
    "log_softmax": log_softmax,
    "logsigmoid": lambda x: -np.logaddexp(0, -x),
    "logsumexp": logsumexp,
    "mish": lambda x: x * np.tanh(softplus(x)),
    "mul": np.multiply,
    "neg": np.negative,
    "norm": norm,
    "one_hot": lambda ids, n: np.eye(n)[ids],
    "pow": lambda a, b: np.power(a, float(b) if isinstance(b, int) else b),
    "relu": lambda x: np.maximum(x, 0),
    "selu": lambda x: 1.0507009873554805 * elu(x, 1.6732632423543772),
    "sigmoid": sigmoid,
    "silu": lambda x: x * sigmoid(x),
    "softmax": lambda x, axis=-1: np.exp(log_softmax(x, axis)),
    "softplus": softplus,
    "softsign": lambda x: x / (1 + np.abs(x)),
    "sub": np.subtract,
    "topk": topk,
    "transpose": np.transpose,
    "where": where,
}

DEFINITIONS |= definitions_attention.DEFINITIONS
DEFINITIONS |= definitions_conv.DEFINITIONS
DEFINITIONS |= definitions_loss.DEFINITIONS
DEFINITIONS |= definitions_norm.DEFINITIONS
DEFINITIONS |= definitions_pool.DEFINITIONS
DEFINITIONS |= definitions_recurrent.DEFINITIONS
