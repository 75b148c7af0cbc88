"""Metrics: numbers for people, not for gradients. Each takes outputs and targets (Tensors, arrays, lists), returns a float.

The exception is ``confusion_matrix``, a table of counts. Accuracy is computed where the outputs live, all others on the CPU.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .backend import device_of, to_device
from .tensor import as_array, read


def _arrays(*operands: Any) -> list[np.ndarray]:
    return [to_device(as_array(x), "cpu") for x in operands]


def accuracy(logits: Any, targets: Any) -> float:
    """The share of samples whose largest logit stands at the target.

    ``logits`` ``(N, C)`` or ``(N, C, ...)``; ``targets`` integer ids ``(N,)`` or ``(N, ...)``, or probabilities of the
    logits' shape. ValueError where the shapes do not fit, and for a single class, of which every sample would be a hit.

    >>> accuracy([[0.1, 0.9], [0.8, 0.2]], [1, 1])
    0.5
    """
    return read(_accuracy(logits, targets))


def _accuracy(logits: Any, targets: Any) -> Any:
    arrays = as_array(logits), as_array(targets)
    logits, ids = _scored("accuracy", *(arrays if device_of(arrays[0]) == device_of(arrays[1]) else _arrays(*arrays)))
    return (logits.argmax(axis=1) == ids).mean() if ids.size else float("nan")


# What ``fit`` asks for: the same, left where it was computed, so that nothing waits for a GPU. A metric of yours may have
# that attribute, too: a function whose result is a number, or an array or a Tensor of one.
accuracy.unread = _accuracy  # type: ignore[attr-defined]


def _scored(name: str, logits: Any, targets: Any) -> tuple[Any, Any]:
    """Logits ``(N, C, ...)`` and the ids of the targets, ``(N, ...)``."""
    ids = targets.argmax(axis=1) if targets.shape == logits.shape and logits.ndim > 1 else targets
    if logits.ndim < 2 or logits.shape[1] < 2 or ids.shape != (logits.shape[0], *logits.shape[2:]):
        raise ValueError(
            f"{name}: logits have shape {logits.shape} and targets {targets.shape}; expected (N, C > 1) and (N,)"
        )
    return logits, ids


def top_k_accuracy(logits: Any, targets: Any, k: int = 5) -> float:
    """The share of samples whose target is among the ``k`` largest logits; of equal ones the first counts as larger.

    Shapes as for ``accuracy``, which this is for ``k=1``. ValueError where they do not fit, and for a ``k`` that is not
    from 1 to the number of classes. For another k than 5 in ``fit``: ``metrics={"top_3": partial(top_k_accuracy, k=3)}``.

    >>> top_k_accuracy([[0.1, 0.5, 0.4], [0.8, 0.1, 0.1]], [2, 2], k=2)
    0.5
    """
    logits, ids = _scored("top_k_accuracy", *_arrays(logits, targets))
    classes = logits.shape[1]
    if not isinstance(k, (int, np.integer)) or not 1 <= k <= classes:
        raise ValueError(f"top_k_accuracy: k is {k!r}, expected an integer from 1 to {classes}, the number of classes")
    # Sorted backwards and turned round, so that the first of equal logits comes first, and a NaN before all, as in argmax.
    order = classes - 1 - np.flip(np.flip(logits, 1).argsort(axis=1, kind="stable"), 1)
    return float((order[:, :k] == ids[:, None]).any(axis=1).mean()) if ids.size else float("nan")


def confusion_matrix(logits_or_ids: Any, targets: Any, num_classes: int | None = None) -> np.ndarray:
    """How often each class was taken for each: an int64 array ``(C, C)``, rows the targets, columns the predictions.

    Predictions are integer ids of the targets' shape, or logits ``(N, C)`` or ``(N, C, ...)``, whose largest counts; targets
    are integer ids. C is ``num_classes``, else the number of logits, else the largest id + 1.

    Raises ``ValueError`` where the shapes do not fit, ``TypeError`` for ids that are no integers, ``IndexError`` naming one
    outside [0, C).

    >>> confusion_matrix([0, 1, 1], [0, 1, 0])
    array([[1, 1],
           [0, 1]])
    """
    predicted, ids = _arrays(logits_or_ids, targets)
    if predicted.shape != ids.shape:
        predicted, ids = _scored("confusion_matrix", predicted, ids)
        num_classes = predicted.shape[1] if num_classes is None else num_classes
        predicted = predicted.argmax(axis=1)
    classes = 1 + max((int(a.max()) for a in (predicted, ids) if a.size), default=-1) if num_classes is None else num_classes
    for name, a in (("prediction", predicted), ("target", ids)):
        if a.dtype.kind not in "iu":
            raise TypeError(f"confusion_matrix: each {name} must be an integer class id, got {a.dtype}")
        wrong = (a < 0) | (a >= classes)
        if wrong.any():
            at = tuple(int(i) for i in np.unravel_index(wrong.argmax(), a.shape))
            raise IndexError(f"confusion_matrix: {name} {int(a[at])} at position {at} is outside [0, {classes})")
    pairs = ids.astype(np.int64) * classes + predicted.astype(np.int64)
    return np.bincount(pairs.reshape(-1), minlength=classes * classes).reshape(classes, classes)


def _of_one_shape(name: str, outputs: Any, targets: Any) -> list[np.ndarray]:
    outputs, targets = _arrays(outputs, targets)
    if outputs.shape != targets.shape:
        raise ValueError(f"{name}: outputs have shape {outputs.shape} and targets {targets.shape}; expected the same")
    return [outputs.astype(np.float64), targets.astype(np.float64)]


def mean_squared_error(outputs: Any, targets: Any) -> float:
    """The mean of (output - target)**2 over all elements. ValueError for two shapes.

    >>> mean_squared_error([1.0, 2.0], [1.0, 4.0])
    2.0
    """
    outputs, targets = _of_one_shape("mean_squared_error", outputs, targets)
    return float(((outputs - targets) ** 2).mean()) if targets.size else float("nan")


def r2_score(outputs: Any, targets: Any) -> float:
    """The coefficient of determination, 1 - sum (target - output)**2 / sum (target - mean target)**2.

    1 for a perfect fit, 0 for the mean of the targets, below for worse. Of ``(N, ...)`` with several outputs a sample, the
    mean of their scores. Where the targets are all equal it is 1 if they are met and 0 if not; for fewer than two samples
    NaN. ValueError for two shapes, or numbers without an axis of samples.

    The score of a whole set is not the mean of its batches' scores, which ``fit`` and ``evaluate`` take: compute it from
    ``predict``.

    >>> r2_score([1.0, 2.0, 4.0], [1.0, 2.0, 3.0])
    0.5
    """
    outputs, targets = _of_one_shape("r2_score", outputs, targets)
    if targets.ndim == 0:
        raise ValueError("r2_score: outputs and targets are single numbers, expected one for each sample, (N,) or (N, ...)")
    if len(targets) < 2:
        return float("nan")
    missed = ((targets - outputs) ** 2).sum(axis=0)
    spread = ((targets - targets.mean(axis=0)) ** 2).sum(axis=0)
    scores = np.where(spread == 0, missed == 0, 1 - missed / np.where(spread == 0, 1, spread))
    return float(scores.mean())
