"""Attention: every query's mixture of the values, by how well the query and each key agree."""

from __future__ import annotations

import math

import numpy as np

from ..backend import array_module, is_array
from ..op import module_of, op
from ..tensor import Tensor
from .activation import softmax
from .linalg import matmul
from .random import dropout
from .reduce import finite_top
from .shape import arraylikes, swapaxes


@op(lambda g, y, x, allowed: y * (g - (g * y).sum(axis=-1, keepdims=True)), None)
def _masked_softmax(x, allowed):
    """softmax over the last axis of what is allowed; 0 elsewhere, and for a line of which nothing is left."""
    xp = array_module(x)
    x = xp.where(allowed, x, -np.inf) if is_array(allowed) else x
    e = xp.exp(x - finite_top(x, -1))
    total = e.sum(axis=-1, keepdims=True)
    return e / xp.where(total == 0, 1, total)


def _check(q, k, v, mask) -> None:
    shapes = f"q {q.shape}, k {k.shape}, v {v.shape}"
    if min(q.ndim, k.ndim, v.ndim) < 2:
        raise ValueError(f"scaled_dot_product_attention: {shapes}: expected at least two axes, (..., length, features)")
    if q.shape[-1] != k.shape[-1]:
        raise ValueError(f"scaled_dot_product_attention: {shapes}: q and k should have the same features, on the last axis")
    if k.shape[-2] != v.shape[-2]:
        raise ValueError(
            f"scaled_dot_product_attention: {shapes}: k and v should have the same length, on the last axis but one"
        )
    try:
        lead = np.broadcast_shapes(q.shape[:-2], k.shape[:-2], v.shape[:-2])
    except ValueError:
        raise ValueError(
            f"scaled_dot_product_attention: {shapes}: the axes before the last two do not fit together"
        ) from None
    if mask is None:
        return
    if mask.dtype.kind not in "bf":
        raise TypeError(
            f"scaled_dot_product_attention: attn_mask has dtype {mask.dtype}, expected booleans (True: takes part) or floats"
        )
    scores = (*lead, q.shape[-2], k.shape[-2])
    fits = mask.ndim <= len(scores) and all(n in (1, m) for n, m in zip(mask.shape[::-1], scores[::-1], strict=False))
    if not fits:
        raise ValueError(f"scaled_dot_product_attention: attn_mask of shape {mask.shape} does not broadcast to {scores}")


def scaled_dot_product_attention(q, k, v, attn_mask=None, is_causal=False, *, dropout_p=0.0, scale=None) -> Tensor:
    """softmax(q k^T scale + mask) v: for every query the mean of the values, weighted by the softmax over all keys.

    q ``(..., L, E)``, k ``(..., S, E)``, v ``(..., S, F)``: result ``(..., L, F)``; the axes in front broadcast.
    ``scale`` is 1 / sqrt(E) unless given.

    ``attn_mask`` broadcasts to ``(..., L, S)``. **A boolean mask is True where a key takes part, as in PyTorch's function
    of this name; the layer MultiHeadAttention, again as in PyTorch, has it the other way round.** A mask of floats is added
    to the scores and is differentiable. A query that no key takes part for gets zeros. ``is_causal``: query i sees the keys
    0 to i only. ``dropout_p``: the probability with which a weight is zeroed (here always; a layer does it in training).

    Vaswani et al. 2017, arXiv:1706.03762, section 3.2.1. Unlike in PyTorch ``dropout_p`` and ``scale`` are keywords only.

    Raises ``ValueError`` for shapes that do not fit, for ``is_causal`` together with a mask, and for a ``dropout_p`` outside
    [0, 1]; ``TypeError`` for a mask of integers.

    >>> scaled_dot_product_attention([[0.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]], [[2.0], [4.0]])
    tensor([[3.]])
    """
    if not isinstance(is_causal, (bool, np.bool_)):
        raise TypeError(f"scaled_dot_product_attention: is_causal is {is_causal!r}, expected True or False")
    if is_causal and attn_mask is not None:
        raise ValueError("scaled_dot_product_attention: is_causal is a mask of its own; expected no attn_mask beside it")
    if not 0 <= dropout_p <= 1:
        raise ValueError(f"scaled_dot_product_attention: dropout_p is {dropout_p}, expected a probability between 0 and 1")
    q, k, v, *masks = arraylikes((q, k, v) if attn_mask is None else (q, k, v, attn_mask))
    mask = masks[0] if masks else None
    _check(q, k, v, mask)
    scale = 1 / math.sqrt(max(1, q.shape[-1])) if scale is None else float(scale)
    scores = matmul(q * scale, swapaxes(k, -1, -2))  # q is the smaller one to scale
    if is_causal:
        mask = module_of(scores).tri(*scores.shape[-2:], dtype=bool)
    elif mask is not None and mask.dtype.kind == "f":
        scores, mask = scores + mask, True
    if k.shape[-2]:
        scores = softmax(scores) if mask is None else _masked_softmax(scores, mask)
    return matmul(dropout(scores, dropout_p), v)
