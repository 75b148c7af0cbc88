"""Derivatives of functions: ``jacobian``, ``hessian``, and their products with a vector, ``jvp`` and ``hvp``.

The one idea: all four are ``grad`` asked once or twice. A Jacobian is a backward for each element of the output. A Hessian
is the Jacobian of the gradient. A Hessian times a vector is the gradient of (gradient . v), and the Hessian is never formed.
A backward is linear in the u that it carries back, so that its own derivative for u, times v, is the forward derivative.

``x`` is one Tensor, array or list of numbers, or a sequence of Tensors and arrays, which are the arguments of ``f``. *A leaf
that requires a gradient is used as it is*; all else goes in as a new Tensor (with ``create_graph``, one that remembers what
it was computed from). So ``f`` may ignore its arguments where they are Parameters of a network, and
``hvp(lambda *_: loss(), model.parameters(), v)`` is the curvature of a loss along v. No ``.grad`` is touched, no graph of
the caller is freed, and a surrounding ``no_grad`` does not matter.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .autograd import enable_grad, grad
from .backend import DeviceError, array_module, device_of, is_array
from .functions import stack
from .tensor import Parameter, Tensor, as_array, make


@enable_grad()
def jacobian(f: Callable[..., Tensor], x: Any, create_graph: bool = False) -> Any:
    """Every derivative dy_i / dx_j of ``y = f(x)``: a Tensor of shape ``y.shape + x.shape``, of x's dtype.

    For a sequence x, a tuple with one such Tensor for each. Where y does not depend on x the derivative is 0. It takes one
    backward for each element of y. ``create_graph``: the result can be differentiated again. As
    ``torch.autograd.functional.jacobian``, for an ``f`` that returns one Tensor.

    Raises ``TypeError`` for an ``f`` that returns no Tensor, and for an x that holds no floats; ``ValueError`` for a frozen
    Parameter in x, and for one leaf twice.

    >>> jacobian(lambda x: x[:2] * x[2], [1.0, 2.0, 5.0])
    tensor([[5., 0., 1.],
            [0., 5., 2.]])
    """
    xs, several = _inputs("jacobian", x, create_graph)
    rows = _rows(_value("jacobian", f, xs), xs, create_graph)
    return rows if several else rows[0]


@enable_grad()
def hessian(f: Callable[..., Tensor], x: Any, create_graph: bool = False) -> Any:
    """Every second derivative of the number ``f(x)``: a Tensor of shape ``x.shape + x.shape``.

    For a sequence x, a tuple of tuples: ``hessian(f, (a, b))[0][1]`` holds d2f / da_i db_j, of shape ``a.shape + b.shape``.
    It takes one backward for each element of x. As ``torch.autograd.functional.hessian``.

    Raises what ``jacobian`` does, and ``ValueError`` where ``f`` returns not one number.

    >>> hessian(lambda x: (x**3).sum() + x[0] * x[1], [1.0, 2.0])
    tensor([[ 6.,  1.],
            [ 1., 12.]])
    """
    xs, several = _inputs("hessian", x, create_graph)
    slopes = _gradients([_number("hessian", f, xs)], xs, [None], create_graph=True)
    blocks = tuple(_rows(slope, xs, create_graph) for slope in slopes)
    return blocks if several else blocks[0][0]


@enable_grad()
def hvp(f: Callable[..., Tensor], x: Any, v: Any, create_graph: bool = False) -> Any:
    """The Hessian of the number ``f(x)`` times ``v``, of x's shape, in two backwards and without the Hessian.

    ``v`` is of x's shape; for a sequence x, a sequence, and a tuple comes back. Unlike
    ``torch.autograd.functional.hvp`` it returns the product alone, not f(x) beside it. Pearlmutter 1994, Neural
    Computation 6:1.

    Raises what ``hessian`` does, ``ValueError`` for a ``v`` of another shape, ``DeviceError`` for one on another device.

    The curvature of a network's loss along a direction in the space of its weights:

    >>> import tinynet as tn
    >>> model, x = tn.Sequential(tn.layers.Linear(3, 2)), tn.ones(4, 3)
    >>> v = [tn.ones(*w.shape) for w in model.parameters()]
    >>> hvp(lambda *_: (model(x) ** 2).mean(), model.parameters(), v)[1]
    tensor([4., 4.])
    """
    xs, several = _inputs("hvp", x, create_graph)
    vs = _directions("hvp", v, xs, several)
    slopes = _gradients([_number("hvp", f, xs)], xs, [None], create_graph=True)
    products = _gradients(slopes, xs, vs, create_graph)
    return products if several else products[0]


@enable_grad()
def jvp(f: Callable[..., Tensor], x: Any, v: Any, create_graph: bool = False) -> Tensor:
    """The derivative of ``y = f(x)`` along ``v``: the Jacobian times v, of y's shape, in two backwards.

    ``v`` is of x's shape (a sequence for a sequence x, whose contributions are summed). Unlike
    ``torch.autograd.functional.jvp`` it returns the product alone, not f(x) beside it. Townsend 2017, "A new trick for
    calculating Jacobian vector products".

    Raises what ``jacobian`` does, ``ValueError`` for a ``v`` of another shape, ``DeviceError`` for one on another device.

    >>> jvp(lambda x: x**2, [1.0, 2.0, 3.0], [1.0, 0.0, 10.0])
    tensor([ 2.,  0., 60.])
    """
    xs, several = _inputs("jvp", x, create_graph)
    vs = _directions("jvp", v, xs, several)
    y = _value("jvp", f, xs)
    u = make(array_module(y.data).ones(y.shape, y.dtype))  # any u does: the backward below is linear in it
    u.requires_grad = y.dtype.kind == "f"
    carried = _gradients([y], xs, [u], create_graph=True)
    return _gradients(carried, [u], vs, create_graph)[0]


# ------------------------------------------------------------------------------------------------ what they share


def _inputs(name: str, x: Any, create_graph: bool) -> tuple[list[Tensor], bool]:
    """x as a list of Tensors that require a gradient, and whether it was a sequence of several."""
    several = isinstance(x, (list, tuple)) and any(isinstance(part, Tensor) or is_array(part) for part in x)
    xs: list[Tensor] = []
    for i, part in enumerate(x if several else [x]):
        what = f"{name}: " + (f"number {i} of x" if several else "x")
        if any(part is other for other in xs):
            raise ValueError(f"{what} is number {[part is other for other in xs].index(True)}, too; pass its .detach()")
        if isinstance(part, Parameter) and not part.requires_grad:  # an f that ignores its arguments would see no copy
            raise ValueError(f"{what} is a Parameter that is frozen; unfreeze it, or pass its .detach()")
        if not (isinstance(part, Tensor) and part.requires_grad):
            part = make(as_array(part))
            if part.dtype.kind != "f":
                raise TypeError(f"{what} is {part.dtype}, expected floats")
            part.requires_grad = True
        elif not part.is_leaf:
            # A node of its own: the derivative is that for this argument, whatever else of x it was computed from.
            part = part * 1 if create_graph else make(part.data)
            part.requires_grad = True
        xs.append(part)
    return xs, several


def _directions(name: str, v: Any, xs: list[Tensor], several: bool) -> list[Tensor]:
    """v as a list of Tensors of the shapes and dtypes of ``xs``."""
    given = list(v) if several and isinstance(v, (list, tuple)) else [v]
    if len(given) != len(xs):
        raise ValueError(f"{name}: v has {len(given)} parts, expected {len(xs)}, one for each part of x")
    vs = []
    for i, (part, x) in enumerate(zip(given, xs, strict=True)):
        what = f"{name}: " + (f"number {i} of v" if several else "v")
        data = part.data if isinstance(part, Tensor) else part
        if is_array(data) and device_of(data) != x.device and not isinstance(part, np.ndarray):  # NumPy's go where x went
            raise DeviceError(f"{what} is on {device_of(data)!r} and x on {x.device!r}; move one with .to")
        if not isinstance(part, Tensor):
            part = make(as_array(part, x.dtype, x.device))
        if part.shape != x.shape:
            raise ValueError(f"{what} has shape {part.shape}, expected that of x, {x.shape}")
        vs.append(part.astype(x.dtype))
    return vs


def _value(name: str, f: Callable[..., Tensor], xs: list[Tensor]) -> Tensor:
    y = f(*xs)
    if not isinstance(y, Tensor):
        raise TypeError(f"{name}: f returned {type(y).__name__}, expected one Tensor")
    return y


def _number(name: str, f: Callable[..., Tensor], xs: list[Tensor]) -> Tensor:
    y = _value(name, f, xs)
    if y.size != 1:
        raise ValueError(f"{name}: f returned shape {y.shape}, expected one number; .sum() or .mean() makes it one")
    return y


def _gradients(ys: Any, xs: list[Tensor], gs: Any, create_graph: bool) -> tuple[Tensor, ...]:
    """``grad`` with zeros where there is no dependence; the graph stays, for parts of it may be the caller's."""
    pairs = [(y, g) for y, g in zip(ys, gs, strict=True) if y.requires_grad]
    found: tuple = (None,) * len(xs)
    if pairs:
        found = grad([y for y, _ in pairs], xs, [g for _, g in pairs], create_graph, allow_unused=True, retain_graph=True)
    return tuple(make(array_module(x.data).zeros_like(x.data)) if g is None else g for x, g in zip(xs, found, strict=True))


def _rows(y: Tensor, xs: list[Tensor], create_graph: bool) -> tuple[Tensor, ...]:
    """The Jacobians of y for each of ``xs``: an element of y, a backward, a row."""
    xp = array_module(y.data)
    rows = []
    for i in range(y.size if y.requires_grad else 0):
        one = xp.zeros(y.size, y.dtype)
        one[i] = 1
        rows.append(_gradients([y], xs, [make(one.reshape(y.shape))], create_graph))
    if not rows:
        return tuple(make(xp.zeros(y.shape + x.shape, x.dtype)) for x in xs)
    columns = zip(*rows, strict=True)
    return tuple(stack(list(c)).reshape(y.shape + x.shape) for c, x in zip(columns, xs, strict=True))
