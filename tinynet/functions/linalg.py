"""Products of matrices and of axes: ``matmul``, ``linear``, ``einsum`` and what follows from them.

Everything here ends in a matrix product, which is where a network's time goes; the rules keep to plain two-axis products
wherever the weights are a plain matrix, so that a batch of sequences costs one product and not many.
"""

from __future__ import annotations

import math
import string
from typing import Any

import numpy as np

from .. import kernels
from ..backend import array_module
from ..op import op
from ..tensor import WATCH, Tensor, mode
from .activation import relu, relu_grad
from .elementwise import mul
from .indexing import diagonal
from .reduce import sum
from .shape import arraylikes, broadcast_to, expand_dims, in_bounds, reshape, transpose


def _flat(x):
    """The rows along the last axis of x under one another. (-1 would not do: it is ambiguous for rows of no element.)"""
    return x if x.ndim == 2 else x.reshape((math.prod(x.shape[:-1]), x.shape[-1]))


def _product(a, b):
    """a @ b. By a plain matrix b it is one product over all rows of a: for a (64, 49, 64) and b (64, 256) that takes 0.8 ms,
    a product for each of the 64 takes 1.3 ms."""
    if b.ndim == 2 and a.ndim > 2:
        return _times(_flat(a), b).reshape((*a.shape[:-1], b.shape[1]))
    return _times(a, b)


def _times(a, b):
    """a @ b: the kernel's on arrays, and recorded on Tensors."""
    return a @ b if isinstance(a, Tensor) or isinstance(b, Tensor) else kernels.matmul(a, b)


def _grad_a(g, y, a, b):
    return _product(g, b.swapaxes(-1, -2))


def _grad_b(g, y, a, b):
    if b.ndim == 2 and a.ndim > 2:  # one product over the whole batch, not one a row of it and a sum
        return _times(_flat(a).T, _flat(g))
    return _times(a.swapaxes(-1, -2), g)


@op(_grad_a, _grad_b)
def _matmul(a, b):
    return _product(a, b)


def matmul(a, b) -> Tensor:
    """The matrix product over the last two axes, the others broadcast; ``a @ b`` on Tensors.

    A vector counts as a row on the left and as a column on the right, and that axis is gone from the result.
    ValueError for numbers (use ``*``) and where the lengths do not fit.

    >>> matmul([[1.0, 2.0]], [3.0, 4.0])
    tensor([11.])
    """
    if not (isinstance(a, Tensor) and isinstance(b, Tensor)):
        a, b = arraylikes((a, b))
    if a.ndim > 1 and b.ndim > 1:
        return _matmul(a, b)
    if a.ndim == 0 or b.ndim == 0:
        raise ValueError(f"matmul: operands need an axis, got shapes {a.shape} and {b.shape}; use * to scale")
    row, column = a.ndim == 1, b.ndim == 1
    y = _matmul(expand_dims(a, 0) if row else a, expand_dims(b, 1) if column else b)
    shape = y.shape[:-1] if column else y.shape
    return reshape(y, (*shape[:-2], *shape[-1:]) if row and not column else shape[:-1] if row else shape)


def _affine_rule(g, x, weight, wanted):
    """The gradients of x weight^T + bias for x, weight and the bias, on Tensors."""
    g2 = _flat(g)
    gx, gw = _product(g, weight) if wanted[0] else None, _times(g2.T, _flat(x)) if wanted[1] else None
    return gx, gw, g2.sum(axis=0) if wanted[2] else None


def _affine_back(g, y, x, weight, wanted, positive):
    gx, gw, gb = kernels.affine_back(_flat(g), _flat(y), _flat(x), weight, wanted, positive)
    return gx if gx is None or x.ndim == 2 else gx.reshape(x.shape), gw, gb


def _linear_rule(g, y, x, weight, bias, *, wanted):
    return _affine_rule(g, x, weight, wanted) if isinstance(g, Tensor) else _affine_back(g, y, x, weight, wanted, False)


@op(_linear_rule, joint=True)
def linear(x, weight, bias=None):
    """x W^T + b for x ``(..., in)``, weight ``(out, in)`` and bias ``(out,)`` or None: shape ``(..., out)``.

    ValueError where the last axis of x is not the width that the weight takes.
    """
    return _affine(x, weight, bias, False)


def _linear_relu_rule(g, y, x, weight, bias, *, wanted):
    if isinstance(g, Tensor):
        return _affine_rule(relu_grad(g, y), x, weight, wanted)
    return _affine_back(g, y, x, weight, wanted, True)


@op(_linear_relu_rule, joint=True)
def _linear_relu(x, weight, bias):
    return _affine(x, weight, bias, True)


def linear_relu(x, weight, bias=None) -> Tensor:
    """``relu(linear(x, weight, bias))`` in one op: ReLU is done while the sums are in the cache, and back in one go."""
    if mode.now is WATCH:
        return relu(linear(x, weight, bias))
    return _linear_relu(x, weight, bias)


def _affine(x, weight, bias, positive):
    if x.shape[-1:] != weight.shape[1:]:
        raise ValueError(
            f"linear: x of shape {x.shape} should end in {weight.shape[-1]}, the input width of weight {weight.shape}"
        )
    y = kernels.affine(_flat(x), weight, bias, positive)
    return y if x.ndim == 2 else y.reshape((*x.shape[:-1], len(weight)))


def dot(a, b) -> Tensor:
    """NumPy's dot: the inner product of vectors, else the sum over the last axis of a and the last but one of b."""
    a, b = arraylikes((a, b))
    if a.ndim == 0 or b.ndim == 0:
        return mul(a, b)
    return matmul(a, b) if b.ndim == 1 or a.ndim <= 2 >= b.ndim else tensordot(a, b, ([-1], [-2]))


def outer(a, b) -> Tensor:
    """All products a[i] * b[j] of two flattened arrays, shape ``(a.size, b.size)``."""
    a, b = arraylikes((a, b))
    return mul(reshape(a, (-1, 1)), reshape(b, (1, -1)))


def tensordot(a, b, axes: Any = 2) -> Tensor:
    """The sum of products over pairs of axes, as in NumPy.

    ``axes``: a number n (the last n of a with the first n of b), or two lists, the axes of a and those of b.

    >>> tensordot(np.ones((2, 3, 4)), np.ones((4, 3, 5)), ([1, 2], [1, 0])).shape
    (2, 5)
    """
    a, b = arraylikes((a, b))
    if isinstance(axes, (int, np.integer)):
        axes = (range(a.ndim - axes, a.ndim), range(axes)) if 0 <= axes <= a.ndim else (axes, axes)
    pairs = ((x, n if isinstance(n, (list, tuple, range)) else [n]) for x, n in zip((a, b), axes, strict=True))
    left, right = ([in_bounds(i, x.ndim, "tensordot") for i in n] for x, n in pairs)
    if [a.shape[i] for i in left] != [b.shape[i] for i in right]:
        raise ValueError(f"tensordot: axes {left} of shape {a.shape} and {right} of shape {b.shape} differ in length")
    rows = [i for i in range(a.ndim) if i not in left]
    columns = [i for i in range(b.ndim) if i not in right]
    inner = math.prod(a.shape[i] for i in left)
    a2 = reshape(transpose(a, (*rows, *left)), (math.prod(a.shape[i] for i in rows), inner))
    b2 = reshape(transpose(b, (*right, *columns)), (inner, math.prod(b.shape[i] for i in columns)))
    return reshape(_matmul(a2, b2), tuple(a.shape[i] for i in rows) + tuple(b.shape[i] for i in columns))


# ---------------------------------------------------------------------------------------------------------- einsum


def _einsum_rule(g, y, *arrays, index, terms, output):
    others = [i for i in range(len(arrays)) if i != index]
    r = _einsum(*(arrays[i] for i in others), g, terms=(*(terms[i] for i in others), output), output=terms[index])
    x = arrays[index]
    # An axis of length 1 in all the others was broadcast against this operand's; the gradient is the same along it.
    return r if r.shape == x.shape else broadcast_to(r, np.broadcast_shapes(r.shape, x.shape))


@op(_einsum_rule, variadic=True)
def _einsum(*arrays, terms, output):
    return array_module(arrays[0]).einsum(f"{','.join(terms)}->{output}", *arrays, optimize=len(arrays) > 1)


def einsum(subscripts: str, *operands) -> Tensor:
    """Einstein's summation: products over named axes, summed over the names that the output lacks; as in NumPy.

    Ellipses, repeated names in an operand (its diagonal) and an implicit output are allowed.

    >>> einsum("ij,jk->ik", [[1.0, 2.0]], [[3.0], [4.0]])
    tensor([[11.]])
    """
    if not isinstance(subscripts, str):
        raise TypeError(f"einsum: subscripts is of type {type(subscripts).__name__}, expected a string such as 'ij,jk->ik'")
    arrays = arraylikes(operands)
    terms, output = _parse(subscripts, [x.ndim for x in arrays])
    for i, term in enumerate(terms):
        # Afterwards each name stands once in its operand, and in another operand or the output: the rule needs that.
        while len(set(term)) < len(term):
            name = next(c for c in term if term.count(c) > 1)
            first, second = term.index(name), term.index(name, term.index(name) + 1)
            if arrays[i].shape[first] != arrays[i].shape[second]:
                raise ValueError(f"einsum: name {name!r} stands for two lengths in operand {i} of {arrays[i].shape}")
            arrays[i] = diagonal(arrays[i], 0, first, second)
            term = term[:first] + term[first + 1 : second] + term[second + 1 :] + name
        elsewhere = set(output).union(*(terms[:i] + terms[i + 1 :]))
        alone = tuple(j for j, c in enumerate(term) if c not in elsewhere)
        if alone:
            arrays[i] = sum(arrays[i], axis=alone)
        terms[i] = "".join(c for c in term if c in elsewhere)
    return _einsum(*arrays, terms=tuple(terms), output=output)


def _parse(subscripts: str, ndims: list[int]) -> tuple[list[str], str]:
    """The names of each operand's axes and of the output's, with ellipses and the implicit output written out."""
    left, arrow, output = subscripts.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(ndims):
        raise ValueError(f"einsum: {subscripts!r} names {len(terms)} operands, got {len(ndims)}")
    free = [c for c in string.ascii_letters if c not in subscripts]
    extra = [ndim - len(t.replace("...", "")) for t, ndim in zip(terms, ndims, strict=True)]
    for i, (t, n) in enumerate(zip(terms, extra, strict=True)):
        if n < 0 or (n > 0 and "..." not in t):
            raise ValueError(f"einsum: {t!r} in {subscripts!r} does not fit operand {i} of {ndims[i]} axes")
        terms[i] = t.replace("...", "".join(free[max(extra) - n : max(extra)]))
    names = "".join(terms)
    dots = "".join(free[: max(n for n in (*extra, 0))]) if "..." in left else ""
    if not arrow:
        output = dots + "".join(sorted(c for c in set(names) - set(dots) if names.count(c) == 1))
    output = output.replace("...", dots)
    if len(set(output)) < len(output) or not set(output) <= set(names):
        raise ValueError(f"einsum: the output of {subscripts!r} must name axes of the operands, each once")
    return terms, output
