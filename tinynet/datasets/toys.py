"""Toy sets: points in the plane, made and not downloaded, for a network that one can draw.

Each is an ``ArrayDataset`` of ``inputs``, float32 ``(samples, features)``, and ``targets``, int64 ``(samples,)``, and
the same for the same ``seed``. The classes have as many samples each, as far as that goes, and stand one after the
other: let the loader shuffle.
"""

from __future__ import annotations

import numpy as np

from ..data import ArrayDataset
from ..data.dataset import checked_int


class Toy(ArrayDataset):
    """The base: points, and the class of each."""

    def __init__(self, points: np.ndarray, targets: np.ndarray):
        super().__init__(points.astype(np.float32), targets.astype(np.int64))

    @property
    def inputs(self) -> np.ndarray:
        """The points, float32 ``(samples, features)``."""
        return self.arrays[0]

    @property
    def targets(self) -> np.ndarray:
        """The class of each point, int64 ``(samples,)``."""
        return self.arrays[1]

    def __repr__(self) -> str:
        classes = len(np.unique(self.targets))
        return f"{type(self).__name__}: {len(self)} points of {self.inputs.shape[1]} coordinates, {classes} classes"


def _classes(samples: int, classes: int) -> np.ndarray:
    """0, 0, ..., 1, 1, ...: ``samples`` class ids, of each class as many as of the others or one more."""
    return np.arange(checked_int("samples", samples, 0)) * classes // max(samples, 1)


def _checked_noise(name: str, value: float) -> float:
    if not 0 <= value < np.inf:
        raise ValueError(f"{name}: expected a number of at least 0, got {value!r}")
    return float(value)


class Spiral(Toy):
    """Arms that wind once around the origin, one a class: radius t and angle 2 pi (t + class / classes) for t in [0, 1].

    ``noise``: the standard deviation, in radians, that is added to the angle. Raises ``ValueError`` for fewer than one
    class, a negative number of samples or negative noise.

    >>> Spiral(300, classes=3)
    Spiral: 300 points of 2 coordinates, 3 classes
    """

    def __init__(self, samples: int = 300, classes: int = 3, noise: float = 0.2, seed: int = 0):
        ids = _classes(samples, checked_int("classes", classes, 1))
        rng = np.random.default_rng(seed)
        t = rng.random(samples)
        angle = 2 * np.pi * (t + ids / classes) + _checked_noise("noise", noise) * rng.standard_normal(samples)
        super().__init__(t[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1), ids)


class TwoMoons(Toy):
    """Two half circles of radius 1 that reach into one another: one up around (0, 0), one down around (1, 0.5).

    ``noise``: the standard deviation of what is added to each coordinate. Raises ``ValueError`` for a negative number of
    samples or negative noise.

    >>> TwoMoons(200).inputs.shape
    (200, 2)
    """

    def __init__(self, samples: int = 200, noise: float = 0.1, seed: int = 0):
        ids = _classes(samples, 2)
        rng = np.random.default_rng(seed)
        angle = np.pi * rng.random(samples)
        points = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        points = np.where(ids[:, None] == 0, points, np.array([1.0, 0.5]) - points)
        super().__init__(points + _checked_noise("noise", noise) * rng.standard_normal((samples, 2)), ids)


class Blobs(Toy):
    """Round clouds, one a class, around centres drawn evenly from [-5, 5) in each coordinate.

    ``spread``: the standard deviation of a cloud in each coordinate. Raises ``ValueError`` for fewer than one class or
    coordinate, a negative number of samples or a negative spread.

    >>> Blobs(90, classes=3, features=4)
    Blobs: 90 points of 4 coordinates, 3 classes
    """

    def __init__(self, samples: int = 300, classes: int = 3, features: int = 2, spread: float = 1.0, seed: int = 0):
        ids = _classes(samples, checked_int("classes", classes, 1))
        rng = np.random.default_rng(seed)
        centres = rng.uniform(-5, 5, (classes, checked_int("features", features, 1)))
        super().__init__(centres[ids] + _checked_noise("spread", spread) * rng.standard_normal((samples, features)), ids)
