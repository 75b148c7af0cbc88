"""gradcheck: a derivative held against the difference quotient, for the library's ops and for those of its users."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .autograd import grad
from .tensor import Tensor, as_array


class GradcheckError(AssertionError):
    """A gradient rule and the difference quotient disagree."""


def gradcheck(
    f: Callable[..., Any],
    inputs: Any,
    order: int = 1,
    *,
    eps: float = 1e-6,
    rtol: float = 1e-5,
    atol: float = 1e-7,
    seed: int = 0,
) -> bool:
    """Check the derivatives of ``f(*inputs)`` for every element of every float input, in float64.

    The outputs (one Tensor or a sequence) are weighted with random numbers v and summed, and the gradient of that is
    compared with (f(x + eps) - f(x - eps)) / (2 eps). ``order=2`` also checks the gradient's own derivatives, for the
    inputs and for v. Float inputs are made Tensors that require a gradient; of Tensors, only those that require one are
    checked, if any does. Integer and boolean inputs, and anything that is no array, are passed on as they are.

    Returns True. Raises ``GradcheckError`` naming the input, the element and both numbers; ``TypeError`` for float32 inputs,
    whose digits do not suffice for a difference quotient; ``ValueError`` for an ``order`` other than 1 and 2.

    >>> gradcheck(lambda x: x**3, [np.array([1.0, -2.0])], order=2)
    True
    """
    if order not in (1, 2):
        raise ValueError(f"order: expected 1 or 2, got {order!r}")
    inputs = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
    some = any(isinstance(x, Tensor) and x.requires_grad for x in inputs)
    xs: list[Any] = []
    for i, x in enumerate(inputs):
        is_float = getattr(getattr(x, "dtype", None), "kind", "") == "f"
        wanted = is_float and (not some or (isinstance(x, Tensor) and x.requires_grad))
        if wanted and x.dtype != np.float64:
            raise TypeError(f"inputs: number {i} is {x.dtype}; gradcheck needs float64, make it with dtype='float64'")
        xs.append(Tensor(as_array(x).copy(), requires_grad=True) if wanted else x)
    rng = np.random.default_rng(seed)
    vs = [Tensor(rng.uniform(0.5, 1.5, y.shape) * rng.choice([-1, 1], y.shape), device=y.device) for y in _sequence(f(*xs))]
    _compare(lambda *a: _weighted(_sequence(f(*a)), vs), xs, "", eps, rtol, atol)
    if order == 2:
        n = len(vs)

        def slope(*arguments: Any) -> list[Tensor]:
            weights, at = list(arguments[:n]), arguments[n:]
            wanted = [x for x in at if isinstance(x, Tensor) and x.requires_grad]
            gradients = grad(_weighted(_sequence(f(*at)), weights), wanted, create_graph=True, allow_unused=True)
            return [g for g in gradients if g is not None]

        seconds = [Tensor(v, requires_grad=True) for v in vs]
        us = [Tensor(rng.uniform(0.5, 1.5, g.shape), device=g.device) for g in slope(*seconds, *xs)]
        _compare(lambda *a: _weighted(slope(*a), us), [*seconds, *xs], "second derivative, ", eps, rtol, atol, n)
    return True


def _sequence(y: Any) -> Sequence[Tensor]:
    return [t for t in y if isinstance(t, Tensor)] if isinstance(y, (list, tuple)) else [y]


def _weighted(ys: Sequence[Tensor], vs: Sequence[Any]) -> Tensor:
    total: Any = 0.0
    for y, v in zip(ys, vs, strict=True):
        total = total + (y * v).sum()
    return total if isinstance(total, Tensor) else Tensor(total, dtype=np.float64)


def _compare(s: Callable[..., Tensor], xs: list, what: str, eps: float, rtol: float, atol: float, offset: int = 0) -> None:
    """The gradient of the scalar function s beside its difference quotients."""
    wanted = [i for i, x in enumerate(xs) if isinstance(x, Tensor) and x.requires_grad]
    value = s(*xs)
    analytic: tuple = (None,) * len(wanted)
    if value.requires_grad:
        analytic = grad(value, [xs[i] for i in wanted], allow_unused=True)
    for i, g in zip(wanted, analytic, strict=True):
        data, slopes = xs[i].data, np.zeros(xs[i].shape)
        for index in np.ndindex(data.shape):
            kept = data[index].copy()
            data[index] = kept + eps
            above = s(*xs).item()
            data[index] = kept - eps
            below = s(*xs).item()
            data[index] = kept
            slopes[index] = (above - below) / (2 * eps)
        found = np.zeros(data.shape) if g is None else g.numpy()
        wrong = np.abs(found - slopes) > atol + rtol * np.abs(slopes)
        if (wrong | np.isnan(found - slopes)).any():
            error = np.nan_to_num(np.abs(found - slopes), nan=np.inf)
            at = tuple(int(n) for n in np.unravel_index(error.argmax(), data.shape))
            name = f"input {i - offset}" if i >= offset else f"the weights of output {i}"
            raise GradcheckError(
                f"gradcheck: {what}{name} at {at}: the rule gives {found[at]:.10g}, "
                f"the difference quotient {slopes[at]:.10g}"
            )
