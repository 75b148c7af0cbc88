"""Losses of classification, for class ids or probabilities; names and conventions PyTorch's.

The one idea: scores ``(N, C, ...)`` are rows of C classes, and every sample's loss is taken from its row; weights, ignored
targets, label smoothing and the mean over the weights are the same for all such losses, and stand once in ``_from_ids``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import kernels
from ..backend import array_module
from ..kernels.checks import Message, checked_ids
from ..op import data_of, op
from ..tensor import Tensor
from .activation import log_softmax, softmax
from .elementwise import where
from .indexing import rows_of_ones
from .loss import reduced
from .shape import arraylike, arraylikes, expand_dims, moveaxis, reshape

OUTSIDE = "{0}: label {id} at position {at} is outside [0, {1}), the classes that scores of shape {2} have"


def _at(x, ids) -> tuple[Any, Any]:
    """The index of x[i, ids[i]] for scores (N, C) and ids (N,)."""
    return array_module(x).arange(len(ids)), ids


def _cross_entropy_rule(g, y, x, ids):
    if isinstance(g, Tensor):
        return g[:, None] * (softmax(x) - rows_of_ones(ids, x.shape[1], x.dtype))
    return kernels.cross_entropy_grad(g, x, ids)


@op(_cross_entropy_rule, None)
def _cross_entropy(x, ids):
    """-log(softmax(x))[i, ids[i]]."""
    return kernels.cross_entropy(x, ids)


def _mean_cross_entropy_rule(g, y, x, *, ids, ignored, message, found):
    if not isinstance(g, Tensor):
        return kernels.mean_cross_entropy_grad(g, x, found["for gradient"])
    ids, kept = checked_ids(ids, 0, x.shape[1], message, ignored)
    ids = ids.reshape(-1)
    ones = rows_of_ones(ids, x.shape[1], x.dtype)  # of an id of -1 none
    return (softmax(x) * (ids >= 0)[:, None] - ones) * (g / kernels.at_least_one(kept))


@op(_mean_cross_entropy_rule)
def _mean_cross_entropy(x, *, ids, ignored, message, found):
    """The mean of the same over the ids that are not ``ignored``; ``found``: a dict for what the rule will need."""
    y, found["for gradient"] = kernels.mean_cross_entropy(x, ids, ignored, message)
    return y


@op(lambda g, y, x, ids: -g[:, None] * rows_of_ones(ids, x.shape[1], x.dtype), None)
def _nll(x, ids):
    return x[_at(x, ids)] * -1.0  # bytes have no -x


def _ids(name: str, scores, targets) -> tuple[Any, Message]:
    """Targets as ids, one for each row of scores, and what to say of one that is out of range; not yet looked at."""
    shape = scores.shape
    expected = shape[:1] + shape[2:]
    if targets.dtype.kind not in "iu":
        raise TypeError(f"{name}: targets must be integer class ids (N,), or probabilities (N, C), got {targets.dtype}")
    if targets.shape != expected:
        raise ValueError(f"{name}: targets have shape {targets.shape}, expected {expected} for scores {shape}")
    return data_of(targets), (OUTSIDE, name, shape[1], shape)


def _rows(scores) -> Any:
    """Scores (N, C, ...) as (N * ..., C)."""
    return scores if scores.ndim == 2 else reshape(moveaxis(scores, 1, -1), (-1, scores.shape[1]))


def _class_weights(name: str, weight, scores, dtype) -> Any:
    if isinstance(weight, Tensor) and weight.requires_grad:
        raise TypeError(f"{name}: weight is a Tensor that requires a gradient, and gets none here")
    weight = Tensor(weight, dtype) if isinstance(weight, (list, tuple)) else arraylike(weight)
    if weight.shape != (scores.shape[1],):
        raise ValueError(f"{name}: weight has shape {weight.shape}, expected ({scores.shape[1]},), one for each class")
    return data_of(weight).astype(dtype)


def _from_ids(name: str, each, scores, targets, weight, ignore_index, reduction, smoothing=0.0) -> Tensor:
    """The loss ``each(rows, ids)`` of every sample, weighted by class, those ignored left out, and reduced."""
    ids, message = _ids(name, scores, targets)
    rows = _rows(scores)
    if each is _cross_entropy and reduction == "mean" and weight is None and not smoothing:
        return _mean_cross_entropy(rows, ids=ids, ignored=ignore_index, message=message, found={})
    ids, kept = checked_ids(ids, 0, scores.shape[1], message, ignore_index)
    ids = ids.reshape(-1)
    all_kept = isinstance(kept, int) and kept == ids.size
    if smoothing:
        each, rows = _nll, log_softmax(rows)
    ignored = None
    if not all_kept:
        ignored = ids < 0
        ids = array_module(ids).where(ignored, 0, ids)
    loss = each(rows, ids)
    if weight is None and ignored is None and not smoothing:
        return reduced(loss if scores.ndim == 2 else reshape(loss, targets.shape), reduction, name)
    xp = array_module(ids)
    dtype = loss.dtype
    weight = xp.ones(scores.shape[1], dtype) if weight is None else _class_weights(name, weight, scores, dtype)
    share = weight[ids]
    loss = loss * share
    if smoothing:
        uniform = -(rows * weight).sum(axis=1)
        loss = loss * (1 - smoothing) + uniform * (smoothing / scores.shape[1])
    if ignored is not None:
        share = xp.where(ignored, 0, share)
        loss = where(ignored, 0, loss)  # not times 0: an ignored row may hold infinities
    if reduction == "mean" and ids.size:
        share = share.mean(keepdims=True)  # of means, which have range enough in float16, and not of sums
        nothing = share == 0  # all ignored: NaN, and its gradient 0, as in PyTorch
        share, nan = (xp.where(nothing, *pair).astype(dtype).reshape(()) for pair in [(np.inf, share), (np.nan, 0)])
        return loss.mean() / share + nan
    return reduced(reshape(loss, targets.shape), reduction, name)


def _batch(name: str, scores, targets) -> tuple[Any, Any]:
    """Scores, which need a class axis, and targets as Tensors."""
    if not (isinstance(scores, Tensor) and isinstance(targets, Tensor)):
        scores, targets = arraylikes((scores, targets))
    if scores.ndim == 0:
        raise ValueError(f"{name}: scores need a class axis, (N, C) or (N, C, ...); got a single number")
    return scores, targets


def nll_loss(log_probabilities, targets, weight=None, ignore_index=-100, reduction="mean") -> Tensor:
    """The negative log-likelihood -log_probabilities[i, targets[i]] of ``(N, C)`` or ``(N, C, ...)`` for class ids.

    ``weight`` and ``ignore_index`` as in ``cross_entropy``; log_softmax followed by nll_loss is cross_entropy.
    """
    scores, targets = _batch("nll_loss", log_probabilities, targets)
    if scores.ndim == 1:
        one = nll_loss(expand_dims(scores, 0), expand_dims(targets, 0), weight, ignore_index, reduction)
        return reshape(one, ())
    return _from_ids("nll_loss", _nll, scores, targets, weight, ignore_index, reduction)


def cross_entropy(logits, targets, weight=None, ignore_index=-100, label_smoothing=0.0, reduction="mean") -> Tensor:
    """The cross-entropy -sum_c q_c log softmax(logits)_c between targets q and logits, stable for logits of any size.

    ``logits``: ``(N, C)`` or ``(N, C, ...)``, or ``(C,)`` without a batch. ``targets``: class ids (integers, the shape
    of the logits without C), or probabilities (floats, the shape of the logits). ``weight`` ``(C,)`` scales each class;
    the mean is then over the weights of the targets, as in PyTorch (where these sum to 0 it is NaN and its gradient 0;
    PyTorch's gradient is NaN). Ids equal to ``ignore_index`` count for nothing.
    ``label_smoothing`` e mixes the target with e times the uniform distribution (Szegedy et al. 2016,
    arXiv:1512.00567).

    Raises ``IndexError`` naming a label outside [0, C), -1 included (on a GPU where the next number is read, or in
    ``tn.cuda.synchronize``: asking at once would wait for it in every step); ``ValueError`` for shapes that do not fit;
    ``TypeError`` for ids that are not integers.

    >>> cross_entropy([[2.0, 0.0], [0.0, 2.0]], [0, 0])
    tensor(1.1269)
    """
    logits, targets = _batch("cross_entropy", logits, targets)
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"cross_entropy: label_smoothing is {label_smoothing}, expected between 0 and 1")
    if logits.ndim == 1:
        arguments = weight, ignore_index, label_smoothing, reduction
        return reshape(cross_entropy(expand_dims(logits, 0), expand_dims(targets, 0), *arguments), ())
    if targets.dtype.kind == "f" and targets.shape == logits.shape:
        log_p = log_softmax(logits, axis=1)
        log_p = where((targets == 0) & (log_p == -np.inf), 0, log_p)  # 0 log 0 is 0
        targets = targets * (1 - label_smoothing) + label_smoothing / logits.shape[1]
        if weight is not None:
            shape = (1, -1) + (1,) * (logits.ndim - 2)
            targets = targets * _class_weights("cross_entropy", weight, logits, log_p.dtype).reshape(shape)
        return reduced(-(log_p * targets).sum(axis=1), reduction, "cross_entropy")
    return _from_ids("cross_entropy", _cross_entropy, logits, targets, weight, ignore_index, reduction, label_smoothing)
