"""Muon: momentum whose matrix is made orthogonal before it is taken off the weights."""

from __future__ import annotations

import math
from typing import Any

from ..kernels import maximum, sqrt
from .optimizer import Optimizer

ADJUSTMENTS = (None, "original", "match_rms_adamw")


class Muon(Optimizer):
    """For weight matrices: momentum, with all singular values of the step made about equal.

    velocity <- momentum velocity + (1 - momentum) grad,
    v = momentum velocity + (1 - momentum) grad, or velocity without ``nesterov``,
    w <- w - lr (a orthogonalize(v) + weight_decay w),

    where orthogonalize(v) is U V^T for v = U S V^T, about (see the function), and a depends on the shape (A, B) of w:
    sqrt(max(1, A / B)) with ``adjust_lr_fn`` None or "original", 0.2 sqrt(max(A, B)) with "match_rms_adamw", which makes the
    elements about as large as those of AdamW's step, so that its rate and decay do. The weight decay is decoupled.

    Jordan 2024, "Muon: an optimizer for hidden layers in neural networks", kellerjordan.github.io/posts/muon; the second
    adjustment by Liu et al. 2025, arXiv:2502.16982. A gradient's matrix is mostly of low rank, a few directions
    outweigh all others; made orthogonal, the step moves as far in each. It is meant for the hidden layers: embeddings,
    the last layer, and what is no matrix (biases, the kernels of convolutions) belong to another optimizer such as AdamW.

    Raises ``ValueError`` for a parameter that has not two axes.

    Differences from PyTorch, whose defaults these are: the orthogonalization is in float32 (float64 for float64), not in
    bfloat16, whose three digits are seen in the step. Jordan's velocity is the heavy ball's, 1 / (1 - momentum) times as
    large: that makes no difference, as the step does not depend on its size.

    >>> import numpy as np
    >>> from tinynet import Parameter
    >>> w = Parameter([[0.0, 0.0], [0.0, 0.0]]); optimizer = Muon([w], lr=1.0)
    >>> w.grad = [[30.0, 0.0], [0.0, 1.0]]  # thirty times as much in one direction as in the other
    >>> optimizer.step(); np.round(0 - w.data, 1)
    array([[0.7, 0. ],
           [0. , 1.1]], dtype=float32)
    """

    axes = 2
    elementwise = False
    buffers = ("velocity",)
    defaults = {
        "lr": 0.001,
        "weight_decay": 0.1,
        "momentum": 0.95,
        "nesterov": True,
        "ns_coefficients": (3.4445, -4.775, 2.0315),
        "eps": 1e-7,
        "ns_steps": 5,
        "adjust_lr_fn": None,
    }
    ranges = {"ns_steps": "[0, 99]", "momentum": "[0, 1)"}

    def check_hyper(self, entries: dict[str, Any]) -> dict[str, Any]:
        """The hyper-parameters; ValueError for one that is not valid."""
        if entries.get("adjust_lr_fn") not in ADJUSTMENTS:
            raise ValueError(f"Muon: adjust_lr_fn is {entries['adjust_lr_fn']!r}, expected one of {ADJUSTMENTS}")
        coefficients = entries.get("ns_coefficients", (0, 0, 0))
        if not isinstance(coefficients, (tuple, list)) or len(coefficients) != 3:
            raise ValueError(f"Muon: ns_coefficients is {coefficients!r}, expected three numbers")
        if "ns_coefficients" in entries:
            entries["ns_coefficients"] = tuple(coefficients)  # a saved file has them as a list
        return super().check_hyper(entries)

    @staticmethod
    def rule(w, grad, velocity, *, lr, momentum, nesterov, weight_decay, ns_coefficients, eps, ns_steps, adjust_lr_fn):
        velocity = momentum * velocity + (1 - momentum) * grad
        v = momentum * velocity + (1 - momentum) * grad if nesterov else velocity
        rows, columns = w.shape
        original = adjust_lr_fn != "match_rms_adamw"
        a = math.sqrt(max(1, rows / max(columns, 1))) if original else 0.2 * math.sqrt(max(rows, columns))
        return w - lr * (a * orthogonalize(v, ns_coefficients, ns_steps, eps) + weight_decay * w), velocity


def orthogonalize(matrix: Any, coefficients: Any = (3.4445, -4.775, 2.0315), steps: int = 5, eps: float = 1e-7) -> Any:
    """About U V^T for a matrix U S V^T: its singular values are brought near 1 by a polynomial, applied ``steps`` times.

    x <- matrix / ||matrix||,  x <- a x + b (x x^T) x + c (x x^T)^2 x: this takes each singular value s to
    a s + b s^3 + c s^5 and leaves U and V alone, in matrix products only (Newton-Schulz; Higham 2008, "Functions of
    Matrices", chapter 8). With Jordan's coefficients, which rise as steeply as possible at 0, five steps bring all that are
    above 0.002 of the norm to between 0.68 and 1.21, and no further: they were chosen for speed, not to end at 1.

    ``matrix``: an array with two axes. In float32 at least; returns that dtype. A matrix of zeros stays one.
    """
    x = matrix if matrix.dtype.itemsize >= 4 else matrix.astype("float32")
    a, b, c = coefficients
    wide = x if x.shape[0] <= x.shape[1] else x.T  # x x^T is then the smaller one
    wide = wide / maximum(sqrt((wide * wide).sum()), eps)
    for _ in range(steps):
        gram = wide @ wide.T
        wide = a * wide + (b * gram + c * (gram @ gram)) @ wide
    return wide if x.shape[0] <= x.shape[1] else wide.T
