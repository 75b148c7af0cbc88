"""trajectories: the way of each optimizer over a surface of two numbers, step for step; and how many steps it needs.

The one idea: with two weights one can see everything, and what happens in a network happens here already. A rate that is too
large overshoots, one that is too small crawls, momentum damps what alternates, and a rule that divides by the gradient's
size takes no notice of how steep the sides are.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..backend import device
from ..data.dataset import checked_int
from ..tensor import Parameter
from .start import Stepper, checked_factories, checked_rates, exploded, made_optimizer, silent, wants_rate
from .table import Row, Table

FAR = 1e9  # a value so many times the first one (or 1, if that is larger) is the end of a path


class Trajectories:
    """Paths over a surface, by label: ``paths`` of shape (steps + 1, 2), the start first, and the ``values`` there.

    ``steps``: by label, after which step each point was noted. ``lrs``: the rate of each where it was chosen here, else
    None. ``diverged``: for each that did, the step at which its value was not finite or a billion times the first one;
    its path ends there.
    """

    axes = ("x[0]", "x[1]")
    value_name = "value"

    def __init__(
        self,
        surface: Any,
        paths: dict[str, np.ndarray],
        *,
        values: dict[str, np.ndarray],
        lrs: dict[str, float | None],
        steps: dict[str, np.ndarray],
        diverged: dict[str, int],
    ):
        self.surface, self.paths, self.values, self.lrs = surface, paths, values, lrs
        self.steps, self.diverged = steps, diverged
        self.labels = list(paths)
        self.name = getattr(surface, "name", getattr(surface, "__name__", "surface"))
        self.minimum = getattr(surface, "minimum", None)
        self._grounds: dict[Any, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}

    def title(self, label: str) -> str:
        """The label, with its rate where that was chosen here, and with what became of it."""
        lr = "" if self.lrs[label] is None else f", lr {self.lrs[label]:g}"
        return f"{label}{lr}" + (" (diverged)" if label in self.diverged else "")

    def ground(self, window: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What the paths are drawn on: two rows of coordinates, and the values over that grid."""
        from .contours import grid_values

        return grid_values(self.surface, window)

    def table(self) -> Table:
        """A row for each path: ``optimizer``, ``lr``, ``steps``, the ``value`` and ``point`` at its end, and the
        ``distance`` of that from the minimum (None where the surface does not say where it is)."""
        rows: list[Row] = []
        for label, path in self.paths.items():
            away = None if self.minimum is None else math.hypot(*(path[-1] - np.array(self.minimum)))
            row = {"optimizer": label, "lr": self.lrs[label], "steps": int(self.steps[label][-1])}
            row |= {"value": float(self.values[label][-1]), "distance": away, "diverged": label in self.diverged}
            rows.append(row | {"point": tuple(path[-1].tolist())})
        columns: dict[str, Callable[[Row], str]] = {"optimizer": lambda r: r["optimizer"]}
        if any(row["lr"] is not None for row in rows):
            columns["lr"] = lambda r: "–" if r["lr"] is None else f"{r['lr']:g}"
        columns["steps"] = lambda r: f"{r['steps']}" + (" (diverged)" if r["diverged"] else "")
        columns["value"] = lambda r: f"{r['value']:.3g}"
        columns["at"] = lambda r: "({:.4g}, {:.4g})".format(*r["point"])
        if self.minimum is not None:
            columns["from the minimum"] = lambda r: f"{r['distance']:.3g}"
        return Table(rows, columns)

    def __repr__(self) -> str:
        return f"Trajectories over {self.name}\n{self.table()}"

    def plot(self, path: str | os.PathLike, separate: bool = False) -> None:
        """Draw a PNG or SVG: the contours with every path, and the value against the step. Needs matplotlib.

        ``separate``: a picture of the contours for each path, rather than one for all.
        """
        from .contours import trajectories_picture
        from .pictures import save_picture

        save_picture("Trajectories.plot", path, trajectories_picture, self, separate)

    def animate(self, path: str | os.PathLike, separate: bool = False, fps: int = 15, frames: int = 120) -> None:
        """Draw an animated GIF in which the paths grow step by step, with at most so many ``frames`` for the steps.

        It ends with a rest on the last of them, and starts again. Needs matplotlib (and Pillow, which comes with it).
        """
        from .animation import animate

        animate("Trajectories.animate", path, self, separate, fps, frames)


def trajectories(
    surface: Callable[[Any], Any],
    optimizers: dict[str, Callable[..., Any]],
    start: Any = None,
    steps: int = 50,
    lrs: Any = None,
) -> Trajectories:
    """Let each optimizer make ``steps`` steps over a surface, all from the same ``start``, in float64.

    Args:
        surface: ``surfaces.oblong_bowl``, ``rosenbrock``, ``beale``, or any differentiable ``f(x)`` of a Tensor of two
            numbers that returns one.
        optimizers: by label, a function ``lambda params: ...`` that returns an optimizer; or ``lambda params, lr: ...``,
            as for ``compare_optimizers``.
        start: two numbers; None: that of the surface.
        lrs: the rate for those that take one, as a number, or several to choose from; for all, or as a dict by label. Of
            several, and of 0.0001, 0.0003, 0.001, ..., 1 where none is given, it is the one with the lowest value on
            the average over the second half of the steps.

    Raises ``ValueError`` or ``TypeError`` naming what is wrong.

    >>> from tinynet import optim
    >>> from tinynet.compare import surfaces
    >>> rules = {"too far": lambda p: optim.SGD(p, lr=0.081), "too slow": lambda p: optim.SGD(p, lr=0.001)}
    >>> trajectories(surfaces.oblong_bowl, rules, start=(-8, 1.8), steps=60)
    Trajectories over oblong bowl, condition 25
    optimizer  steps  value                at  from the minimum
    too far       60    784  (-0.05035, 7.92)              7.92
    too slow      60   30.3   (-7.534, 0.394)              7.54
    """
    who = "trajectories"
    factories = checked_factories(who, optimizers)
    steps = checked_int(f"{who}: steps", steps, 1)
    point = checked_start(who, surface, start)
    rates: dict[str, Sequence[float | None]] = dict.fromkeys(factories, (None,))
    rates |= checked_rates(who, [label for label, f in factories.items() if lrs is not None or wants_rate(f)], lrs)
    paths, values, chosen = {}, {}, {}
    for label, factory in factories.items():
        walks = [(lr, *walk(who, surface, label, factory, lr, point, steps)) for lr in rates[label]]
        chosen[label], paths[label], values[label] = min(walks, key=lambda found: _end(found[2], steps))
    return Trajectories(
        surface,
        paths,
        values=values,
        lrs=chosen,
        steps={label: np.arange(len(v)) for label, v in values.items()},
        diverged={label: len(v) - 1 for label, v in values.items() if exploded(v[-1], v[0], FAR)},
    )


def walk(
    who: str, surface: Callable[[Any], Any], label: str, factory: Callable[..., Any], lr: float | None, start: np.ndarray,
    steps: int, enough: Callable[[list[float]], bool] = lambda values: False,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """The path of one optimizer, and the values on it; until it diverges, or has come far ``enough``."""
    path, values = [start], []
    with silent(), device("cpu"):
        x = Parameter(start)
        optimizer = made_optimizer(who, label, factory, [("x", x)], *(() if lr is None else (lr,)))
        step = Stepper(lambda: surface(x), optimizer, lambda value, _: value)
        for _ in range(steps):
            values.append(float(step((), None)))
            path.append(np.array(x.data))
            if exploded(values[-1], values[0], FAR) or enough(values):
                return np.array(path[:-1]), np.array(values)
        values.append(float(surface(x).data))
    return np.array(path), np.array(values)


def _end(values: np.ndarray, steps: int) -> float:
    """By what paths of one optimizer are compared: the mean value of their second half; infinite if it diverged."""
    mean = float(values[-(steps // 2 + 1) :].mean())
    return mean if len(values) == steps + 1 and math.isfinite(mean) else math.inf


def checked_start(who: str, surface: Any, start: Any) -> np.ndarray:
    """The start as two float64 numbers, where the surface has a finite value that is one number."""
    if not callable(surface):
        raise TypeError(f"{who}: surface is {surface!r}, expected a function f(x) of two numbers")
    if start is None:
        start = getattr(surface, "start", None)
        if start is None:
            raise ValueError(f"{who}: this surface has no start of its own; pass start=(x, y)")
    point = np.array(start, dtype=np.float64)
    if point.shape != (2,) or not np.isfinite(point).all():
        raise ValueError(f"{who}: start is {start!r}, expected two finite numbers")
    with device("cpu"):
        value = surface(Parameter(point))
    if getattr(value, "shape", None) != () or not getattr(value, "requires_grad", False):
        raise ValueError(f"{who}: the surface gave {value!r}, expected one number that depends on x, as a Tensor")
    if not math.isfinite(value.item()):
        raise ValueError(f"{who}: the surface is {value.item()} at the start {tuple(point.tolist())}")
    return point


def fewest_steps(
    surface: Callable[[Any], Any],
    optimizers: dict[str, Callable[..., Any]],
    start: Any = None,
    level: float = 1e-6,
    lrs: Any = None,
    most: int = 1000,
    stay: int = 20,
) -> Table:
    """How many steps each optimizer needs, at its best rate, until the value is at most ``level`` for ``stay`` steps.

    That it stays there is asked for because among many rates there is one that crosses the minimum by luck.
    ``optimizers`` as in ``compare_optimizers``; ``lrs`` as there, but None stands for ten rates a decade from 0.001 to 10.
    ``.rows`` of the table: ``optimizer``, ``lr`` and ``steps``, None where ``most`` were not enough at any rate.
    """
    who = "fewest_steps"
    factories = checked_factories(who, optimizers)
    point = checked_start(who, surface, start)
    rates = checked_rates(who, factories, (10 ** np.linspace(-3, 1, 41)).tolist() if lrs is None else lrs)

    def there(values: Sequence[float]) -> bool:
        return _below(values, level, stay) is not None

    rows: list[Row] = []
    for label, factory in factories.items():
        best: tuple[int | None, float | None] = (None, None)
        limit = checked_int(f"{who}: most", most, 1)
        for lr in rates[label]:
            _, values = walk(who, surface, label, factory, lr, point, limit + stay, there)
            steps = _below(values.tolist(), level, stay)
            if steps is not None:
                best, limit = (steps, lr), steps - 1
        rows.append({"optimizer": label, "lr": best[1], "steps": best[0]})
    return Table(
        rows,
        {
            "optimizer": lambda r: r["optimizer"],
            "best lr": lambda r: "–" if r["lr"] is None else f"{r['lr']:.3g}",
            f"steps to {level:g}": lambda r: f"more than {most}" if r["steps"] is None else f"{r['steps']}",
        },
    )


def _below(values: Sequence[float], level: float, stay: int) -> int | None:
    """The step at which the last ``stay`` + 1 values begin, if all of these are at most ``level``."""
    last = values[-stay - 1 :]
    return len(values) - stay - 1 if len(last) == stay + 1 and max(last) <= level else None
