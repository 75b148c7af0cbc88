"""Metrics: numbers for people, not for gradients. Each takes outputs and targets (Tensors or arrays), returns a float."""

from __future__ import annotations

from typing import Any

from .backend import to_device
from .tensor import as_array


def accuracy(logits: Any, targets: Any) -> float:
    """The share of samples whose largest logit stands at the target.

    ``logits`` ``(N, C)`` or ``(N, C, ...)``; ``targets`` integer ids ``(N,)`` or ``(N, ...)``, or probabilities of the
    logits' shape. ValueError where the shapes do not fit, and for a single class, of which every sample would be a hit.

    >>> accuracy([[0.1, 0.9], [0.8, 0.2]], [1, 1])
    0.5
    """
    logits, targets = to_device(as_array(logits), "cpu"), to_device(as_array(targets), "cpu")
    shape = targets.shape
    if shape == logits.shape and logits.ndim > 1:
        targets = targets.argmax(axis=1)
    if logits.ndim < 2 or logits.shape[1] < 2 or targets.shape != (logits.shape[0], *logits.shape[2:]):
        raise ValueError(f"accuracy: logits have shape {logits.shape} and targets {shape}; expected (N, C > 1) and (N,)")
    return float((logits.argmax(axis=1) == targets).mean()) if targets.size else float("nan")
