"""The pictures of paths: contours of a function over the plane, the paths on top, the values over the steps beside them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..autograd import no_grad
from ..backend import device
from ..tensor import Tensor
from .pictures import label_axes, look, marker, plain_log
from .start import silent

GRID = 120  # points along each side of the grid behind the contours
SLOW_GRID = 40  # the same where the function takes one point at a time

Window = tuple[tuple[float, float], tuple[float, float]]


def grid_values(surface: Callable[[Any], Any], window: Window) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Coordinates along both sides of the window, and the values there, of shape (len(ys), len(xs)).

    All points at once, and many, where the function can do that: where it gives as many values as it was given points, and
    at some of them the same as for one point alone. Fewer points one by one where it cannot.
    """

    def single(point: np.ndarray) -> float:
        return float(surface(Tensor(point)).data)

    def grid(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        xs, ys = (np.linspace(*side, count) for side in window)
        return xs, ys, np.stack(np.meshgrid(xs, ys)).reshape(2, -1)

    with no_grad(), silent(), device("cpu"):
        xs, ys, points = grid(GRID)
        some = slice(None, None, points.shape[1] // 5)
        try:
            values = np.asarray(surface(Tensor(points)).data, dtype=np.float64)
            alone = [single(point) for point in points.T[some]]
            whole = values.shape == points.shape[1:] and np.allclose(values[some], alone, equal_nan=True)
        except (ValueError, IndexError, TypeError):  # it is a function of two numbers and needs to be no more
            whole = False
        if not whole:
            xs, ys, points = grid(SLOW_GRID)
            values = np.array([single(point) for point in points.T])
    return xs, ys, values.reshape(len(ys), len(xs))


def fitting_window(paths: Sequence[np.ndarray], points: Sequence[Any], base: Window | None) -> Window:
    """The part of the plane to be drawn, so that it holds the ``points`` and the paths with some room around them.

    ``base``, where there is one, is drawn in any case, and is extended for the paths by half its size at most.
    """
    marks = np.array(points).reshape(-1, 2)
    cloud = np.concatenate([marks, *(path[np.isfinite(path).all(axis=1)] for path in paths)])
    if base is None:
        low, high = cloud.min(axis=0), cloud.max(axis=0)
        room = 0.12 * np.maximum(high - low, 1e-3 * max(float(np.abs(cloud).max()), 1e-9))
        low, high = low - room, high + room
    else:
        first, last = np.array(base).T
        size = last - first
        cloud = np.concatenate([marks, np.clip(cloud, first - size / 2, last + size / 2)])
        room = 0.06 * size
        low = np.where(cloud.min(axis=0) < first, cloud.min(axis=0) - room, first)
        high = np.where(cloud.max(axis=0) > last, cloud.max(axis=0) + room, last)
    return (float(low[0]), float(high[0])), (float(low[1]), float(high[1]))


def contours(axes: Any, xs: np.ndarray, ys: np.ndarray, values: np.ndarray, minimum: Any = None) -> None:
    """Grey contours, closer together towards the bottom, on a ground that darkens towards it; a star at the minimum."""
    finite = values[np.isfinite(values)]
    low, high = float(finite.min()), float(finite.max())
    levels = low + max(high - low, 1e-12) * np.geomspace(1e-4, 1, 15)
    shown = np.where(np.isfinite(values), values, high)
    greys = [(grey, grey, grey) for grey in np.linspace(0.74, 1.0, len(levels))]
    axes.contourf(xs, ys, shown, [low - 1, *levels], colors=greys)
    axes.contour(xs, ys, shown, levels, colors="0.6", linewidths=0.6)
    if minimum is not None:
        axes.plot(*minimum, "*", color="black", markersize=11, markeredgecolor="white", zorder=5)


def until_it_leaves(path: np.ndarray, window: Window) -> np.ndarray:
    """The path up to the first point after which it is outside the window for good, this one included."""
    low, high = np.array(window).T
    inside = np.flatnonzero(((path >= low) & (path <= high)).all(axis=1))
    return path[: inside[-1] + 2] if len(inside) else path[:1]


def draw_path(axes: Any, path: np.ndarray, number: int, label: str | None = None, **options: Any) -> Any:
    """A path with a mark at every step, as far as there are few enough to see; returns the line."""
    steps = {"marker": marker(number), "markersize": 3.5} if len(path) <= 80 else {}
    return axes.plot(*path.T, **look(number), **steps, linewidth=1.4, label=label, zorder=3, **options)[0]


class Board:
    """The axes of a picture of trajectories: ``maps``, one or one for each path, and ``curve``, the values over steps."""

    def __init__(self, figure: Any, found: Any, separate: bool):
        self.found, self.separate = found, separate and len(found.labels) > 1
        self.window = self._window()
        count = len(found.labels) if self.separate else 1
        columns = math.ceil(math.sqrt(count)) if count > 2 else 1
        rows = math.ceil(count / columns)
        width, height = (3.1 * columns, 2.1 * rows + 0.4) if self.separate else (6.0, 4.2)
        figure.set_size_inches(width + 5.4, max(height, 4.2))
        left, right = figure.subfigures(1, 2, width_ratios=(width, 5.4))
        left.suptitle(found.name, fontsize="medium")
        cells = left.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
        for cell in cells[count:]:
            cell.axis("off")
        self.maps = [cells[i if self.separate else 0] for i in range(len(found.labels))]
        self.curve = right.subplots()
        self._grounds()
        self._curve_axes(right)

    def _window(self) -> Window:
        found = self.found
        points = [found.paths[found.labels[0]][0], *([found.minimum] if found.minimum is not None else [])]
        down = [path for path, v in zip(found.paths.values(), found.values.values(), strict=True) if v[-1] <= v[0]]
        return fitting_window(down or list(found.paths.values()), points, getattr(found.surface, "window", None))

    def _grounds(self) -> None:
        xs, ys, values = self.found.ground(self.window)
        for axes, label in dict(zip(self.maps, self.found.labels, strict=True)).items():
            contours(axes, xs, ys, values, self.found.minimum)
            axes.plot(*self.found.paths[label][0], "o", color="black", markersize=7, markerfacecolor="white", zorder=4)
            axes.set(xlim=self.window[0], ylim=self.window[1])
            if self.separate:
                axes.set_title(self.found.title(label), fontsize="small")
            else:
                axes.set(xlabel=self.found.axes[0], ylabel=self.found.axes[1])

    def _curve_axes(self, figure: Any) -> None:
        values = np.concatenate([v[np.isfinite(v)] for v in self.found.values.values()])
        first = max(abs(v[0]) for v in self.found.values.values())
        for i, label in enumerate(self.found.labels):
            self.curve.plot([], [], **look(i), label=self.found.title(label))
        steps = max(int(count[-1]) for count in self.found.steps.values())
        self.curve.set_xlim(-0.02 * steps, 1.02 * steps)
        below, above = float(values.min()), min(float(values.max()), 30 * first)
        if below > 0:
            plain_log(self.curve.yaxis, (max(below / 1.5, 1e-16), above * 1.5))
        else:
            margin = 0.05 * (above - below) or 0.5  # where nothing moves
            self.curve.set_ylim(below - margin, above + margin)
        label_axes(self.curve, "step", self.found.value_name)
        figure.legend(loc="outside lower center", frameon=False, ncols=2, fontsize="small")


def trajectories_picture(figure: Any, found: Any, separate: bool = False) -> None:
    """The contours with every path (or once for each path), and the value against the step."""
    board = Board(figure, found, separate)
    for i, label in enumerate(found.labels):
        draw_path(board.maps[i], until_it_leaves(found.paths[label], board.window), i)
        steps, values = found.steps[label], found.values[label]
        board.curve.plot(steps, values, **look(i), linewidth=1.4)
        if label in found.diverged:
            board.curve.plot(steps[-1], np.clip(values[-1], *board.curve.get_ylim()), "x", color=look(i)["color"])
