"""Surfaces over the plane on which optimizers can be watched: the oblong bowl, Rosenbrock's valley, Beale's corners.

The one idea: a surface is an ordinary differentiable function of two numbers, ``f(x)`` with ``x[0]`` and ``x[1]``. Any
function like that will do; a ``Surface`` also knows where its minimum is and which part of the plane is worth looking at.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Point = tuple[float, float]


@dataclass(frozen=True)
class Surface:
    """A function ``f(x)`` of two numbers with a ``name``, its ``minimum``, a ``start`` and a ``window`` to be drawn.

    ``x``: a Tensor or array of shape (2,), or (2, ...) for many points at once, as ``f`` is made of arithmetic. ``window``:
    (lowest, highest) of each coordinate. All but ``f`` and ``name`` may be None.

    >>> import tinynet as tn
    >>> x = tn.tensor([2.0, 1.0], requires_grad=True)
    >>> oblong_bowl(x).backward(); x.grad
    tensor([ 2., 25.])
    """

    name: str
    f: Callable[[Any], Any]
    minimum: Point | None = None
    start: Point | None = None
    window: tuple[Point, Point] | None = None

    def __call__(self, x: Any) -> Any:
        return self.f(x)


def bowl(condition: float) -> Surface:
    """(x^2 + condition y^2) / 2: a bowl whose curvature across is ``condition`` times that along, with its minimum at 0.

    The condition number decides what plain descent can do: its rate must stay below 2 / condition, and at the best one
    it gains a factor (condition - 1) / (condition + 1) a step (Nesterov 2004, Introductory Lectures on Convex
    Optimization, theorem 2.1.15). ``ValueError`` for a condition below 1.
    """
    if not 1 <= condition < float("inf"):
        raise ValueError(f"bowl: condition is {condition!r}, expected a number of at least 1")
    return Surface(
        f"oblong bowl, condition {condition:g}",
        lambda x: (x[0] ** 2 + condition * x[1] ** 2) / 2,
        minimum=(0.0, 0.0),
        start=(-8.0, 1.8),
        window=((-9.5, 3.0), (-2.6, 2.6)),
    )


oblong_bowl = bowl(25.0)

# A curved valley with steep sides and an almost flat floor (Rosenbrock 1960, The Computer Journal 3).
rosenbrock = Surface(
    "Rosenbrock's valley",
    lambda x: (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2,
    minimum=(1.0, 1.0),
    start=(-1.2, 1.0),
    window=((-1.8, 1.8), (-0.8, 2.2)),
)

# Flat in the middle, steep in the corners (Beale 1958, Princeton University, Technical Report 25).
beale = Surface(
    "Beale's function",
    lambda x: (
        (1.5 - x[0] + x[0] * x[1]) ** 2 + (2.25 - x[0] + x[0] * x[1] ** 2) ** 2 + (2.625 - x[0] + x[0] * x[1] ** 3) ** 2
    ),
    minimum=(3.0, 0.5),
    start=(1.0, 1.5),
    window=((-0.5, 4.5), (-1.5, 2.0)),
)
