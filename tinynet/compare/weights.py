"""weight_paths: the way of a real network's weights under several optimizers, on the plane that shows most of it.

The one idea: thousands of weights move together along few directions. The first two principal components of all the weights
that the optimizers went through span the plane on which their paths are longest, and the loss on that plane can be drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import functions as F
from ..backend import to_device
from ..data.dataset import checked_int
from ..layers import Layer
from ..training import batches, evaluate
from .contours import Window
from .start import (
    Start,
    Stepper,
    checked_factories,
    checked_rates,
    exploded,
    made_optimizer,
    progress_bar,
    silent,
    untouched_random_state,
    wants_rate,
)
from .trajectories import Trajectories

WHO = "weight_paths"
GRID = 24  # points along each side of the grid on which the loss is computed


class Plane:
    """origin + a directions[0] + b directions[1] in the space of all weights, with orthogonal directions of length 1.

    ``share``: the part of the weights' variance that each direction shows.
    """

    def __init__(self, points: np.ndarray, ends: np.ndarray, start: np.ndarray):
        """Through the mean of ``points``, (n, weights), along their first two principal components; turned so that on
        the average the ``ends`` lie to the right of the ``start``, and above it."""
        self.origin = points.mean(axis=0)
        _, sizes, rows = np.linalg.svd(points - self.origin, full_matrices=False)
        self.directions = rows[:2]
        spread = sizes.astype(np.float64) ** 2
        self.share = spread[:2] / max(float(spread.sum()), 1e-300)  # of weights that stand still none
        signs = np.where(((ends - start) @ self.directions.T).mean(axis=0) < 0, -1, 1)
        self.directions = self.directions * signs[:, None].astype(points.dtype)

    def point(self, weights: np.ndarray) -> np.ndarray:
        """The coordinates (..., 2) of the points of the plane that are nearest to ``weights`` (..., n)."""
        return (weights - self.origin) @ self.directions.T

    def weights(self, point: Any) -> np.ndarray:
        """The weights (..., n) at coordinates (..., 2)."""
        return self.origin + np.asarray(point, self.origin.dtype) @ self.directions


class WeightPaths(Trajectories):
    """Paths of a network's weights: ``paths`` by label, of shape (snapshots, 2), on the ``plane``; ``weights``, the same in
    full, (snapshots, weights); ``steps`` after which they were taken; ``values``, the loss there on a fixed part of the
    training data. ``plane.share``: how much of all movement the two coordinates show.

    ``surface(point)`` is the loss at a point of the plane. A path is only seen from above: where it is away from the plane,
    its loss is not that of the contours beneath it.
    """

    def __init__(self, loss_at: Callable[[np.ndarray], float], weights: dict[str, np.ndarray], **recorded: Any):
        self.weights = weights
        first = next(iter(weights.values()))
        kept = [w for label, w in weights.items() if label not in recorded["diverged"]]
        self.plane = Plane(np.concatenate(kept), np.array([w[-1] for w in kept]), first[0])
        super().__init__(
            lambda point: loss_at(self.plane.weights(point)),
            {label: self.plane.point(w).astype(np.float64) for label, w in weights.items()},
            **recorded,
        )
        self.name = f"the loss on the plane of {first.shape[1]:,} weights that shows most of their paths"
        first_share, second_share = (100 * self.plane.share).tolist()
        self.axes = f"1st principal component ({first_share:.0f}%)", f"2nd ({second_share:.0f}%)"
        self.value_name = "training loss on a fixed sample"

    def ground(self, window: Window) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The loss over the window, computed once."""
        if window not in self._grounds:
            xs, ys = (np.linspace(*side, GRID) for side in window)
            with silent():
                self._grounds[window] = xs, ys, np.array([[self.surface((x, y)) for x in xs] for y in ys])
        return self._grounds[window]


def weight_paths(
    make_model: Callable[[], Layer],
    optimizers: dict[str, Callable[..., Any]],
    train: Any,
    *,
    loss: Callable[..., Any] = F.cross_entropy,
    epochs: int = 1,
    batch_size: int = 64,
    seed: int = 0,
    lrs: Any = None,
    snapshots: int = 40,
    sample: int = 1000,
    progress: bool = True,
) -> WeightPaths:
    """Train a network with each optimizer, from one start over the same mini-batches, and follow its weights.

    ``lrs``: one rate for all, or a dict by label, such as ``Comparison.best()`` gives; None where the functions in
    ``optimizers`` take none. ``snapshots``: how often the weights are noted, the more often the nearer to the start;
    they are all held in memory. ``sample``: from how many training samples the loss of the contours is computed, in
    evaluation mode. The rest is as in ``compare_optimizers``.

    The plane is that of Li et al. 2018, Visualizing the loss landscape of neural nets, arXiv:1712.09913, section 7: the
    principal components of the weights noted, of all optimizers together (those that diverge apart).

    Raises ``ValueError`` or ``TypeError`` naming what is wrong; ``ValueError`` where every optimizer diverges.
    """
    factories = checked_factories(WHO, optimizers)
    rates = _one_each(factories, lrs)
    epochs, count = checked_int(f"{WHO}: epochs", epochs, 1), checked_int(f"{WHO}: snapshots", snapshots, 2)
    weights, values, steps, diverged = {}, {}, {}, {}
    with untouched_random_state(), silent():
        start = Start(WHO, make_model, train, batch_size, seed)
        if sum(p.size for p in start.model().parameters()) < 2:
            raise ValueError(f"{WHO}: a model of 1 weight has no plane")
        ruler = Ruler(start.model(), _sample(start, checked_int(f"{WHO}: sample", sample, 1)), loss)
        last = epochs * len(start.train)
        wanted = np.unique((np.linspace(0, 1, count) ** 2 * last).round().astype(int)).tolist()
        with progress_bar("weight paths", len(factories) * last, progress) as bar:
            for label, factory in factories.items():
                found = _follow(start, label, factory, rates[label], loss, epochs, wanted, bar)
                weights[label], steps[label] = np.array(list(found.values())), np.array(list(found))
                values[label] = np.array([ruler(w) for w in weights[label]])
                if steps[label][-1] < last or exploded(values[label][-1], values[label][0]):
                    diverged[label] = int(steps[label][-1])
    if len(diverged) == len(factories):
        raise ValueError(f"{WHO}: every optimizer diverged: {', '.join(f'{k} at step {v}' for k, v in diverged.items())}")
    return WeightPaths(ruler, weights, values=values, lrs=rates, steps=steps, diverged=diverged)


class Ruler:
    """The loss of a model with given weights, in one row, on a fixed sample."""

    def __init__(self, model: Layer, sample: list[tuple], loss: Callable[..., Any]):
        self.model, self.sample, self.loss = model, sample, loss

    def __call__(self, weights: np.ndarray) -> float:
        put(self.model, weights)
        return evaluate(self.model, self.sample, self.loss, {})["loss"]


def taken(model: Layer) -> np.ndarray:
    """All weights of a model in one row, on the CPU."""
    return np.concatenate([to_device(p.data, "cpu").ravel() for p in model.parameters()])


def put(model: Layer, weights: np.ndarray) -> None:
    """Make the weights of a model those of a row that ``taken`` gave."""
    at = 0
    for p in model.parameters():
        p.data = to_device(weights[at : at + p.size].reshape(p.shape).astype(p.dtype), p.device)
        at += p.size


def _follow(
    start: Start, label: str, factory: Any, lr: float | None, loss: Any, epochs: int, wanted: list[int], bar: Any
) -> dict[int, np.ndarray]:
    """Train once; the weights after each of the wanted steps, by step. It ends where the loss has exploded."""
    model = start.model()
    optimizer = made_optimizer(WHO, label, factory, model.parameters(), *(() if lr is None else (lr,)))
    step, found, count, first = Stepper(model, optimizer, loss), {0: taken(model)}, 0, None
    loader = start.loader()
    for _ in range(epochs):
        for inputs, targets in batches(loader):
            value = float(step(inputs, targets))
            count += 1
            bar.update()
            first = value if first is None else first
            row = taken(model) if count in wanted else None
            if exploded(value, first) or (row is not None and not np.isfinite(row).all()):
                return found
            if row is not None:
                found[count] = row
    return found


def _sample(start: Start, size: int) -> list[tuple]:
    """The first batches, of ``size`` samples together or a few more."""
    found, count = [], 0
    for batch in start.loader():
        found.append(batch)
        count += len(batch[-1])
        if count >= size:
            break
    return found


def _one_each(factories: dict[str, Any], lrs: Any) -> dict[str, float | None]:
    """The rate of each optimizer, None for one that has its own."""
    if lrs is None:
        wanting = [label for label, factory in factories.items() if wants_rate(factory)]
        if wanting:
            raise ValueError(f"{WHO}: optimizers[{wanting[0]!r}] takes a learning rate; pass lrs")
        return dict.fromkeys(factories)
    rates = checked_rates(WHO, factories, lrs)
    several = [label for label, some in rates.items() if len(some) > 1]
    if several:
        raise ValueError(f"{WHO}: lrs has {len(rates[several[0]])} rates for {several[0]!r}, expected one")
    return {label: some[0] for label, some in rates.items()}
