"""Losses of pairs and triples: which of two scores is larger, which vector is nearer; names and conventions PyTorch's.

The one idea: a hinge, max(0, x): a pair counts until it is right by a margin, and then no more. At 0 itself its slope is 1,
as in PyTorch. Targets say which way a pair should be, 1 or -1; anything else is an error (PyTorch takes it for both or for
neither), and they have no gradient.
"""

from __future__ import annotations

import numpy as np

from ..op import data_of
from ..tensor import Tensor
from .elementwise import all_floats, clip, maximum, minimum, sqrt, where
from .loss import of_one_shape, reduced, representable
from .reduce import norm
from .shape import arraylike, arraylikes, broadcast_to, first_place, in_bounds


def _hinge(x) -> Tensor:
    return clip(x, 0, None)


def _is_positive(name: str, target, shape: tuple[int, ...]):
    """Where a target of ``shape`` is 1 rather than -1; ValueError for another shape or value."""
    target = data_of(arraylike(target))
    if target.shape != shape:
        raise ValueError(f"{name}: target has shape {target.shape}, expected {shape}, one for each loss")
    positive = target == 1
    wrong = ~(positive | (target == -1))
    if wrong.any():
        at = first_place(wrong)
        raise ValueError(f"{name}: target is {target[at].item()} at {at}, expected 1 or -1 everywhere")
    return positive


def hinge_embedding_loss(input, target, margin=1.0, reduction="mean") -> Tensor:
    """The distance x = ``input`` itself for pairs that are alike (target 1), max(0, margin - x) for others (target -1).

    Both of one shape.

    >>> hinge_embedding_loss([0.25, 0.25, 2.0], [1, -1, -1], reduction="none")
    tensor([0.25, 0.75, 0.  ])
    """
    input = arraylike(input)
    alike = _is_positive("hinge_embedding_loss", target, input.shape)
    return reduced(where(alike, input, _hinge(margin - input)), reduction, "hinge_embedding_loss")


def margin_ranking_loss(input1, input2, target, margin=0.0, reduction="mean") -> Tensor:
    """max(0, margin - target (input1 - input2)): ``input1`` should be larger where target is 1, ``input2`` where it is -1.

    All of one shape.

    >>> margin_ranking_loss([3.0, 3.0], [1.0, 1.0], [1, -1], reduction="none")
    tensor([0., 2.])
    """
    input1, input2 = of_one_shape("margin_ranking_loss", input1=input1, input2=input2)
    first = _is_positive("margin_ranking_loss", target, input1.shape)
    difference = input1 - input2
    return reduced(_hinge(where(first, -difference, difference) + margin), reduction, "margin_ranking_loss")


def cosine_similarity(x1, x2, axis=1, eps=1e-8) -> Tensor:
    """The cosine of the angle between the vectors along ``axis``, x1 . x2 / (max(|x1|, eps) max(|x2|, eps)).

    x1 and x2 broadcast, and ``axis`` is one of their common shape; the result is without it. For a vector of zeros it is 0.
    Where ``eps`` has taken a length's place, the length has no gradient; PyTorch differentiates it there too.

    >>> cosine_similarity([[1.0, 0.0]], [[3.0, 4.0], [0.0, 2.0]])
    tensor([0.6, 0. ])
    """
    x1, x2 = all_floats(arraylikes((x1, x2)))
    if x1.shape != x2.shape:
        try:
            shape = np.broadcast_shapes(x1.shape, x2.shape)
        except ValueError:
            raise ValueError(f"cosine_similarity: x1 of shape {x1.shape} and x2 of {x2.shape} do not broadcast") from None
        x1, x2 = broadcast_to(x1, shape), broadcast_to(x2, shape)
    axis = in_bounds(axis, x1.ndim, "cosine_similarity")
    return (_unit(x1, axis, eps) * _unit(x2, axis, eps)).sum(axis=axis)


def _unit(x, axis: int, eps: float):
    length = norm(x, axis=axis, keepdims=True)
    return x / maximum(length, representable(eps, length.dtype))


def _vectors(name: str, **operands) -> list:
    """Operands of one shape with an axis to lay vectors along, the last."""
    tensors = of_one_shape(name, **operands)
    if tensors[0].ndim == 0:
        raise ValueError(f"{name}: {' and '.join(operands)} are single numbers, expected vectors, (N, D) or (D,)")
    return tensors


def cosine_embedding_loss(input1, input2, target, margin=0.0, reduction="mean") -> Tensor:
    """1 - cos for vectors that are alike (target 1), max(0, cos - margin) for others (target -1).

    cos = x1 . x2 / sqrt((x1 . x1 + e) (x2 . x2 + e)) over the last axis, e = 1e-12. Inputs ``(N, D)`` and targets ``(N,)``,
    or ``(D,)`` and a number.

    >>> cosine_embedding_loss([[1.0, 0.0], [1.0, 0.0]], [[0.0, 2.0], [0.6, 0.8]], [1, -1], reduction="none")
    tensor([1. , 0.6])
    """
    input1, input2 = all_floats(_vectors("cosine_embedding_loss", input1=input1, input2=input2))
    alike = _is_positive("cosine_embedding_loss", target, input1.shape[:-1])
    product, *squares = ((a * b).sum(axis=-1) for a, b in [(input1, input2), (input1, input1), (input2, input2)])
    roots = [sqrt(s + representable(1e-12, s.dtype)) for s in squares]  # each its own: a product of squares could overflow
    cosine = product / (roots[0] * roots[1])
    return reduced(where(alike, 1 - cosine, _hinge(cosine - margin)), reduction, "cosine_embedding_loss")


def triplet_margin_loss(anchor, positive, negative, margin=1.0, p=2.0, eps=1e-6, swap=False, reduction="mean") -> Tensor:
    """max(0, |anchor - positive| - |anchor - negative| + margin) for vectors ``(N, D)`` or ``(D,)``, all of one shape.

    The distance is the ``p``-norm of the difference + eps over the last axis. With ``swap`` the negative's distance from the
    positive counts where it is smaller than that from the anchor. Balntas, Riba, Ponsa, Mikolajczyk 2016, BMVC.

    Raises ``ValueError`` for a ``margin`` that is not above 0.

    >>> triplet_margin_loss([[0.0, 0.0]], [[0.0, 1.0]], [[1.5, 0.0]])
    tensor(0.5)
    """
    if not margin > 0:
        raise ValueError(f"triplet_margin_loss: margin is {margin}, expected a number above 0")
    anchor, positive, negative = _vectors("triplet_margin_loss", anchor=anchor, positive=positive, negative=negative)
    near = norm(anchor - positive + eps, ord=p, axis=-1)
    far = norm(anchor - negative + eps, ord=p, axis=-1)
    if swap:
        far = minimum(far, norm(positive - negative + eps, ord=p, axis=-1))
    return reduced(_hinge(near - far + margin), reduction, "triplet_margin_loss")
