"""DEFINITIONS: what each function is by definition, in plain float64 NumPy, where NumPy has none of that name.

The one idea: a definition shares nothing with the library. It may be slow (loops over elements), never clever. A family of
functions has a file of its own, ``definitions_<family>.py`` with a DEFINITIONS of its own, taken in at the end of this one.
"""

import math

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


def mse_loss(input, target, reduction="mean"):
    return reduced((input - target) ** 2, reduction)


def reduced(losses, reduction):
    if losses.size == 0 and reduction == "mean":
        return np.nan
    return {"mean": np.mean, "sum": np.sum, "none": np.asarray}[reduction](losses)


def nll_loss(log_p, targets, weight=None, ignore_index=-100, reduction="mean"):
    """One sample at a time: -w[target] log_p[target], the mean over the weights of the targets."""
    log_p, targets = (a[None] if log_p.ndim == 1 else a for a in (log_p, targets))
    losses, weights = np.zeros(targets.shape), np.zeros(targets.shape)
    for at in np.ndindex(targets.shape):
        if targets[at] != ignore_index:
            weights[at] = 1 if weight is None else weight[targets[at]]
            losses[at] = -weights[at] * log_p[(at[0], targets[at], *at[1:])]
    if reduction == "mean":
        return losses.sum() / weights.sum() if weights.sum() else np.nan
    losses = reduced(losses, reduction)
    return losses[0] if losses.shape == (1,) else losses


def cross_entropy(logits, targets, weight=None, ignore_index=-100, label_smoothing=0.0, reduction="mean"):
    """-sum_c w_c q_c log_p_c with q = (1 - e) target + e / C; for ids the mean is over the weights of the targets."""
    logits, targets = (a[None] if logits.ndim == 1 else a for a in (logits, targets))
    classes, ids = logits.shape[1], targets.dtype.kind == "i"
    log_p = np.moveaxis(log_softmax(logits, axis=1), 1, -1)
    targets = targets if ids else np.moveaxis(targets, 1, -1)
    weights = np.ones(classes) if weight is None else np.array(weight)
    losses, total = np.zeros(log_p.shape[:-1]), 0.0
    for at in np.ndindex(losses.shape):
        if ids and targets[at] == ignore_index:
            continue
        q = np.eye(classes)[targets[at]] if ids else targets[at]
        total += weights @ q if ids else 1.0
        q = (1 - label_smoothing) * q + label_smoothing / classes
        losses[at] = -sum(w * share * p for w, share, p in zip(weights, q, log_p[at], strict=True) if share)
    if reduction == "mean":
        return losses.sum() / total if total else np.nan
    losses = reduced(losses, reduction)
    return losses[0] if losses.shape == (1,) else losses


erf = np.vectorize(math.erf, otypes=[float])

DEFINITIONS = {
    "abs": np.abs,
    "astype": lambda x, dtype: x.astype(dtype),
    "clip": lambda x, a_min=None, a_max=None: np.clip(x, a_min, a_max),
    "cross_entropy": cross_entropy,
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
    "mse_loss": mse_loss,
    "mul": np.multiply,
    "neg": np.negative,
    "nll_loss": nll_loss,
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
