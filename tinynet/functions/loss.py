"""Losses: how far an output is from a target of its own shape, element by element; names and conventions PyTorch's.

``reduction`` is ``"mean"`` (over all elements), ``"sum"`` or ``"none"``. The one idea: what all losses share stands here,
the reduction and the check of shapes. A target of another shape than the output is an error, never broadcast: (4,) against
(4, 1) would silently compare every pair. Those of classes stand in loss_classes.py, of pairs and triples in loss_pairs.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend import array_module
from ..op import data_of, op
from ..tensor import Tensor
from .activation import logsigmoid, sigmoid
from .elementwise import abs, all_floats, clip, exp, log, maximum, mul, square, where
from .shape import arraylikes, first_place, shape_of


def reduced(loss: Tensor, reduction: str, name: str) -> Tensor:
    """The mean or sum of the losses, or these themselves; ValueError naming the function for another ``reduction``."""
    if reduction == "mean":
        return loss.mean() if loss.size else loss.sum() + np.nan  # of nothing: NaN, as in PyTorch, and no warning
    if reduction == "sum":
        return loss.sum()
    if reduction == "none":
        return loss
    raise ValueError(f"{name}: reduction is {reduction!r}, expected 'mean', 'sum' or 'none'")


def of_one_shape(name: str, **operands: Any) -> list:
    """The operands as Tensors, the first of floats; ValueError naming the function and the shapes where these differ."""
    tensors = arraylikes(operands.values())
    if tensors[0].dtype.kind != "f":
        tensors = all_floats(tensors)
    if any(t.shape != tensors[0].shape for t in tensors):
        first, *others = (f"{operand} {t.shape}" for operand, t in zip(operands, tensors, strict=True))
        raise ValueError(f"{name}: {first.replace(' ', ' has shape ', 1)} and {' and '.join(others)}; expected the same")
    return tensors


def representable(eps: float, dtype: Any) -> float:
    """What keeps a divisor above 0: ``eps``, or the smallest number that a dtype with fewer digits has."""
    return max(eps, float(np.finfo(dtype if dtype.kind == "f" else np.float32).tiny))


def mse_loss(input, target, reduction="mean") -> Tensor:
    """The squared error (input - target)**2. Both of one shape.

    >>> mse_loss([1.0, 2.0], [1.0, 4.0])
    tensor(2.)
    """
    input, target = of_one_shape("mse_loss", input=input, target=target)
    return reduced(square(input - target), reduction, "mse_loss")


def l1_loss(input, target, reduction="mean") -> Tensor:
    """The absolute error |input - target|; slope 0 where they are equal. Both of one shape.

    >>> l1_loss([1.0, 2.0], [1.0, 4.0])
    tensor(1.)
    """
    input, target = of_one_shape("l1_loss", input=input, target=target)
    return reduced(abs(input - target), reduction, "l1_loss")


@op(lambda g, y, d, delta: g * clip(d, -delta, delta))
def _huber(d, delta):
    xp = array_module(d)
    d = xp.abs(d)
    near = xp.minimum(d, delta)  # d * d would overflow where it is not used
    return near * (d - 0.5 * near)


def huber_loss(input, target, delta=1.0, reduction="mean") -> Tensor:
    """d**2 / 2 for d = |input - target| up to ``delta``, delta (d - delta / 2) above: an outlier pulls with slope delta.

    Both of one shape. Huber 1964, Annals of Mathematical Statistics 35. ValueError for a ``delta`` that is not above 0.

    >>> huber_loss([0.0, 0.0], [1.0, 4.0], reduction="none")
    tensor([0.5, 3.5])
    """
    if not delta > 0:
        raise ValueError(f"huber_loss: delta is {delta}, expected a number above 0")
    input, target = of_one_shape("huber_loss", input=input, target=target)
    return reduced(_huber(input - target, delta=delta), reduction, "huber_loss")


def smooth_l1_loss(input, target, beta=1.0, reduction="mean") -> Tensor:
    """d**2 / (2 beta) for d = |input - target| up to ``beta``, d - beta / 2 above: ``huber_loss`` divided by beta.

    With ``beta=0`` it is ``l1_loss``. Both of one shape. Girshick 2015, arXiv:1504.08083. ValueError for a ``beta`` below 0.

    >>> smooth_l1_loss([0.0, 0.0], [1.0, 4.0], beta=2.0, reduction="none")
    tensor([0.25, 3.  ])
    """
    if not beta >= 0:
        raise ValueError(f"smooth_l1_loss: beta is {beta}, expected a number of at least 0")
    input, target = of_one_shape("smooth_l1_loss", input=input, target=target)
    d = input - target
    return reduced(_huber(d, delta=beta) / beta if beta else abs(d), reduction, "smooth_l1_loss")


# ------------------------------------------------------------------------------------------------------ probabilities


def _logs(p) -> tuple[Any, Any]:
    """log(p) and log(1 - p), neither below -100."""
    xp, zero, one = array_module(p), p == 0, p == 1
    log_p, log_q = xp.log(xp.where(zero, 1, p)), xp.log1p(xp.where(one, 0, p * -1.0))
    return xp.maximum(xp.where(zero, -100, log_p), -100), xp.maximum(xp.where(one, -100, log_q), -100)


def _variance(p):
    """p (1 - p), kept above 0."""
    return maximum(p * (1 - p), representable(1e-12, p.dtype))


@op(lambda g, y, p: g / _variance(p))
def _log_odds(p):
    log_p, log_q = _logs(p)
    return log_p - log_q


@op(lambda g, y, p, t: g * (p - t) / _variance(p), lambda g, y, p, t: -g * _log_odds(p))
def _binary_cross_entropy(p, t):
    log_p, log_q = _logs(p)
    return -(t * log_p + (1 - t) * log_q)


def _in_unit_interval(argument: str, p, hint: str = "") -> None:
    p = data_of(p)
    wrong = (p < 0) | (p > 1)
    if wrong.any():
        at = first_place(wrong)
        raise ValueError(
            f"binary_cross_entropy: {argument} is {float(p[at]):g} at {at}, expected probabilities in [0, 1]{hint}"
        )


def _fits(name: str, argument: str, weight, shape: tuple[int, ...]):
    """``weight`` if it broadcasts to ``shape``; a ValueError else."""
    try:
        fits = np.broadcast_shapes(shape_of(weight), shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            f"{name}: {argument} has shape {shape_of(weight)}, expected one that broadcasts to the input's {shape}"
        )
    return weight


def binary_cross_entropy(input, target, weight=None, reduction="mean") -> Tensor:
    """-(t log p + (1 - t) log(1 - p)) for probabilities p = ``input`` and targets t, both in [0, 1] and of one shape.

    Neither logarithm counts as less than -100, so that a p of 0 or 1 has a finite loss and gradient, as in PyTorch; the
    gradient for t is finite there too, where PyTorch's is infinite.
    ``weight`` scales the elements (any shape that broadcasts); the mean stays one over their number. Where p is a sigmoid's
    value, take ``binary_cross_entropy_with_logits`` of the sigmoid's input, which loses no digits.

    Raises ``ValueError`` for a p or t outside [0, 1] and for shapes that do not fit.

    >>> binary_cross_entropy([0.5, 0.25], [1.0, 0.0], reduction="none")
    tensor([0.6931, 0.2877])
    """
    input, target = of_one_shape("binary_cross_entropy", input=input, target=target)
    _in_unit_interval("input", input, "; for logits there is binary_cross_entropy_with_logits")
    _in_unit_interval("target", target)
    loss = _binary_cross_entropy(input, target)
    if weight is not None:
        loss = mul(loss, _fits("binary_cross_entropy", "weight", weight, loss.shape))
    return reduced(loss, reduction, "binary_cross_entropy")


@op(
    lambda g, y, x, t, w: g * ((1 - t) * sigmoid(x) - t * w * sigmoid(-x)),
    lambda g, y, x, t, w: g * (logsigmoid(-x) - w * logsigmoid(x)),
    lambda g, y, x, t, w: -g * t * logsigmoid(x),
)
def _binary_cross_entropy_with_logits(x, t, w):
    """The two logarithms are -max(-x, 0) - rest and -max(x, 0) - rest; neither overflows or cancels out."""
    xp = array_module(x)
    rest = xp.log1p(xp.exp(xp.abs(x) * -1.0))
    return t * w * (xp.maximum(x * -1.0, 0) + rest) + (1 - t) * (xp.maximum(x, 0) + rest)


def binary_cross_entropy_with_logits(input, target, weight=None, pos_weight=None, reduction="mean") -> Tensor:
    """-(w t log sigmoid(x) + (1 - t) log(1 - sigmoid(x))) for logits x = ``input`` and targets t in [0, 1], of one shape.

    Exact for logits of any size. w is ``pos_weight``, how much a positive counts (often negatives / positives), of any shape
    that broadcasts to the input's: ``(C,)`` for ``(N, C)``. ``weight`` scales the elements likewise; the mean stays one over
    their number.

    Raises ``ValueError`` for shapes that do not fit.

    >>> binary_cross_entropy_with_logits([0.0, -1e4], [1.0, 1.0], reduction="none")
    tensor([6.9315e-01, 1.0000e+04])
    """
    name = "binary_cross_entropy_with_logits"
    input, target = of_one_shape(name, input=input, target=target)
    w = 1.0 if pos_weight is None else _fits(name, "pos_weight", pos_weight, input.shape)
    loss = _binary_cross_entropy_with_logits(input, target, w)
    if weight is not None:
        loss = mul(loss, _fits(name, "weight", weight, loss.shape))
    return reduced(loss, reduction, name)


def _log(t):
    """log(t) for the rule of t log t; 0 at 0, where the slope is infinite."""
    return log(where(t == 0, 1, t))


@op(lambda g, y, x, t: -g * t, lambda g, y, x, t: where(t == 0, 0, g * (_log(t) + 1 - x)))
def _kl_div(x, t):
    xp = array_module(x)
    return xp.where(t == 0, 0, t) * (xp.log(xp.where(t == 0, 1, t)) - xp.where(t == 0, 0, x))


def kl_div(input, target, log_target=False, reduction="mean") -> Tensor:
    """t (log t - x), the terms of the Kullback-Leibler divergence of log-probabilities x = ``input`` from probabilities t.

    Both of one shape. A t of 0 adds nothing, whatever x is (in PyTorch NaN for an x of -inf), and its own slope, which is
    infinite, is taken as 0. With ``log_target`` the target is log t. ``reduction`` may also be ``"batchmean"``, the sum
    divided by the length of the first axis: that is the divergence per sample, which ``"mean"``, over all elements, is not.

    >>> kl_div(np.log([[0.5, 0.5]]), [[1.0, 0.0]], reduction="batchmean").item()
    0.6931471805599453
    """
    input, target = of_one_shape("kl_div", input=input, target=target)
    if log_target:
        none = target == -np.inf
        loss = exp(target) * (where(none, 0, target) - where(none, 0, input))
    else:
        loss = _kl_div(input, target)
    if reduction == "batchmean":
        return loss.sum() / loss.shape[0] if loss.ndim and loss.shape[0] else reduced(loss, "mean", "kl_div")
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"kl_div: reduction is {reduction!r}, expected 'batchmean', 'mean', 'sum' or 'none'")
    return reduced(loss, reduction, "kl_div")
