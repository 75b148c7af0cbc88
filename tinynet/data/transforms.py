"""Transforms: what is done to a batch of images on its way from the data set to the network.

    transforms.Compose([transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip(), transforms.Normalize(m, s)])

The one idea: a transform maps a whole batch at once, an array ``(N, C, H, W)`` to another, with every image's own random
numbers drawn together; so ``DataLoader(transform=...)`` pays a few array operations for a batch and no Python loop over its
images. Images may live on a GPU; the random numbers are drawn on the CPU all the same, so that a seed means the same there.

A random transform is called as ``transform(x, rng)``. A loader gives it a generator that depends on its seed, the epoch and
the batch only, which makes augmentation the same after resuming and with any ``prefetch``; without one, it draws from
the stream ``"augment"`` that ``tn.manual_seed`` starts. No transform changes the array that it is given.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..backend import array_module, device_of, stream, to_device


def takes_rng(transform: Callable[..., Any]) -> bool:
    """Whether a transform has a parameter ``rng``, and is to be given a random generator."""
    try:
        return "rng" in inspect.signature(transform).parameters
    except ValueError:  # some functions written in C have no signature
        return False


class Transform:
    """The base of the transforms here, which shows their arguments. Any function of a batch will do as a transform."""

    def __call__(self, x: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} does not define __call__(self, x)")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value}' for name, value in vars(self).items())})"


class RandomTransform(Transform):
    """The base of the random ones: ``apply(x, rng)`` does the work, with a generator of NumPy's."""

    def __call__(self, x: Any, rng: np.random.Generator | None = None) -> Any:
        if x.ndim < 3:
            raise ValueError(f"{type(self).__name__}: expected a batch of images (N, C, H, W), got shape {x.shape}")
        return self.apply(x, stream("augment") if rng is None else rng)

    def apply(self, x: Any, rng: np.random.Generator) -> Any:
        """The batch, changed."""
        raise NotImplementedError(f"{type(self).__name__} does not define apply(self, x, rng)")


class Compose(Transform):
    """Several transforms, one after the other; a generator is handed to each that has a parameter ``rng``.

    >>> Compose([ToFloat(), Normalize(0.5, 0.5)])(np.array([[[[0, 255]]]], "uint8"))
    array([[[[-1.,  1.]]]], dtype=float32)
    """

    def __init__(self, transforms: Sequence[Callable[..., Any]]):
        for i, transform in enumerate(transforms):
            if not callable(transform):
                raise TypeError(f"Compose: number {i} is no function of a batch, got {transform!r}")
        self.transforms = list(transforms)

    def __call__(self, x: Any, rng: np.random.Generator | None = None) -> Any:
        for transform in self.transforms:
            x = transform(x, rng=rng) if takes_rng(transform) else transform(x)
        return x


class ToFloat(Transform):
    """Grey levels, integers from 0 to ``top``, as float32 from 0 to 1. (The image sets here come as that already.)"""

    def __init__(self, top: float = 255.0):
        self.top = float(top)

    def __call__(self, x: Any) -> Any:
        return x.astype(np.float32) / np.float32(self.top)


class Normalize(Transform):
    """(x - mean) / std, with one number for all channels or one for each of them (axis 1). The dtype of floats is kept.

    Raises ``ValueError`` for a ``std`` that is not above 0, and for other numbers of channels than the batch has.

    >>> Normalize([0.5], [0.25])(np.ones((2, 1, 1, 1), "float32")).ravel()
    array([2., 2.], dtype=float32)
    """

    def __init__(self, mean: float | Sequence[float], std: float | Sequence[float]):
        self.mean, self.std = mean, std
        if not (np.asarray(std) > 0).all():
            raise ValueError(f"Normalize: std is {std}, expected numbers above 0")

    def __call__(self, x: Any) -> Any:
        dtype = x.dtype if x.dtype.kind == "f" else np.dtype(np.float32)
        y = x - self._per_channel("mean", x, dtype)
        y /= self._per_channel("std", x, dtype)
        return y

    def _per_channel(self, name: str, x: Any, dtype: np.dtype) -> Any:
        numbers = np.asarray(getattr(self, name), dtype)
        if numbers.ndim and (x.ndim < 2 or numbers.shape != (x.shape[1],)):
            raise ValueError(
                f"Normalize: {name} has shape {numbers.shape}, expected a number, or one for each channel (axis 1) "
                f"of a batch of shape {x.shape}"
            )
        return to_device(numbers.reshape(-1, *(1,) * max(x.ndim - 2, 0)), device_of(x))


class RandomHorizontalFlip(RandomTransform):
    """Each image mirrored, left for right, with probability ``p``. ValueError for a p outside [0, 1]."""

    def __init__(self, p: float = 0.5):
        if not 0 <= p <= 1:
            raise ValueError(f"{type(self).__name__}: p is {p!r}, expected a probability between 0 and 1")
        self.p = p

    def apply(self, x: Any, rng: np.random.Generator) -> Any:
        chosen = to_device(np.flatnonzero(rng.random(len(x)) < self.p), device_of(x))
        y = x.copy()
        y[chosen] = x[chosen, ..., ::-1]
        return y


class RandomCrop(RandomTransform):
    """From each image, with ``padding`` zeros around it, a piece of ``size`` at a place of its own.

    ``size`` and ``padding`` are numbers, or pairs for height and width. ValueError for a size below 1 or larger than the
    padded image, and for a negative padding.

    >>> RandomCrop(28, padding=2)(np.zeros((5, 1, 28, 28), "float32")).shape
    (5, 1, 28, 28)
    """

    def __init__(self, size: int | tuple[int, int], padding: int | tuple[int, int] = 0):
        self.size, self.padding = _pair("size", size, 1), _pair("padding", padding, 0)

    def apply(self, x: Any, rng: np.random.Generator) -> Any:
        xp, (height, width) = array_module(x), self.size
        room = [n + 2 * p - s for n, p, s in zip(x.shape[-2:], self.padding, self.size, strict=True)]
        if min(room) < 0:
            raise ValueError(
                f"RandomCrop: size is {self.size}, more than images of {x.shape[-2:]} with padding {self.padding} have"
            )
        padded = _surrounded(x, *((p, p) for p in self.padding))
        *outer, down, right = padded.strides
        shape = (*padded.shape[:-2], room[0] + 1, room[1] + 1, height, width)
        pieces = xp.lib.stride_tricks.as_strided(
            padded, shape, (*outer, down, right, down, right)
        )  # a view of all there are
        tops, lefts = (to_device(rng.integers(0, r + 1, len(x)), device_of(x)) for r in room)
        chosen = (xp.arange(len(x)), *(slice(None),) * (x.ndim - 3), tops, lefts)
        return pieces[chosen]


class RandomAffine(RandomTransform):
    """Each image turned, scaled and moved a little about its centre, by bilinear interpolation, with zeros from outside.

    ``degrees``: the range of the angle, counter-clockwise, a number d for (-d, d) or a pair. ``translate``: how far it moves
    at most, as a share of its height and of its width. ``scale``: the range of the factor. All are drawn evenly.
    (torchvision's turns clockwise, has the width before the height, and takes the nearest pixel unless told otherwise.)

    Raises ``ValueError`` for ranges that are none, ``TypeError`` for images that are not floats (see ``ToFloat``).

    >>> RandomAffine(10, translate=(0.1, 0.1), scale=(0.9, 1.1))(np.ones((5, 1, 28, 28), "float32")).shape
    (5, 1, 28, 28)
    """

    def __init__(
        self,
        degrees: float | tuple[float, float],
        translate: tuple[float, float] = (0.0, 0.0),
        scale: tuple[float, float] = (1.0, 1.0),
    ):
        name = type(self).__name__
        self.degrees = (-degrees, degrees) if isinstance(degrees, (int, float)) else degrees
        self.translate, self.scale = translate, scale
        if len(self.degrees) != 2 or not self.degrees[0] <= self.degrees[1]:
            raise ValueError(f"{name}: degrees is {degrees}, expected a number of at least 0, or a smaller and a larger one")
        if len(translate) != 2 or not all(0 <= t <= 1 for t in translate):
            raise ValueError(f"{name}: translate is {translate}, expected two shares between 0 and 1")
        if len(scale) != 2 or not 0 < scale[0] <= scale[1]:
            raise ValueError(f"{name}: scale is {scale}, expected two numbers above 0, the smaller one first")

    def apply(self, x: Any, rng: np.random.Generator) -> Any:
        if x.dtype.kind != "f":
            raise TypeError(f"{type(self).__name__}: expected images of floats, got {x.dtype}; put ToFloat() before it")
        n, (height, width) = len(x), x.shape[-2:]
        angle, factor = np.deg2rad(rng.uniform(*self.degrees, n)), rng.uniform(*self.scale, n)
        moved = [rng.uniform(-t, t, n) * size for t, size in zip(self.translate, (height, width), strict=True)]
        # A pixel (i, j) of the result comes from the point that turning back, shrinking back and moving back lead to.
        cos, sin = np.cos(angle) / factor, np.sin(angle) / factor
        numbers = np.stack([cos, sin, *moved]).astype(np.float32)[:, :, None, None]
        cos, sin, down, right = to_device(numbers, device_of(x))
        xp = array_module(x)
        i = xp.arange(height, dtype=np.float32)[:, None] - (height - 1) / 2 - down
        j = xp.arange(width, dtype=np.float32) - (width - 1) / 2 - right
        return _sampled(x, cos * i + sin * j + (height - 1) / 2, cos * j - sin * i + (width - 1) / 2)


class RandomRotation(RandomAffine):
    """Each image turned about its centre by an angle drawn evenly from ``degrees``; otherwise as ``RandomAffine``."""

    def __init__(self, degrees: float | tuple[float, float]):
        super().__init__(degrees)

    def __repr__(self) -> str:
        return f"RandomRotation(degrees={self.degrees})"


def _sampled(x: Any, i: Any, j: Any) -> Any:
    """Images ``(N, ..., H, W)`` at points between their pixels, rows ``i`` and columns ``j`` ``(N, h, w)``, bilinearly.

    Outside there are zeros. The four pixels around every point are taken by their flat positions, the same for all channels.
    """
    xp, (height, width) = array_module(x), x.shape[-2:]
    i, j = i.clip(-1, height), j.clip(-1, width)
    top, left = xp.floor(i), xp.floor(j)
    padded = _surrounded(x, (1, 2), (1, 2))  # so that no point within these limits needs to ask whether it has a pixel
    across, channels = width + 3, math.prod(x.shape[1:-2])
    at = (top.astype(np.intp) * across + left.astype(np.intp) + (across + 1))[:, None]  # the upper left one of the four
    at = at + xp.arange(len(x) * channels).reshape(len(x), channels, 1, 1) * ((height + 3) * across)
    down, right = ((p - whole).astype(x.dtype)[:, None] for p, whole in ((i, top), (j, left)))
    flat = padded.reshape(-1)

    def between(first: int) -> Any:
        a, b = (flat[start:].take(at) for start in (first, first + 1))
        b -= a
        b *= right
        b += a
        return b

    y, below = between(0), between(across)
    below -= y
    below *= down
    y += below
    return y.reshape(*x.shape[:-2], *i.shape[1:])


def _surrounded(x: Any, rows: tuple[int, int], columns: tuple[int, int]) -> Any:
    """Images with so many zeros before and after their rows and columns, in memory one after the other."""
    (above, below), (left, right) = rows, columns
    *outer, height, width = x.shape
    y = array_module(x).zeros((*outer, above + height + below, left + width + right), x.dtype)
    y[..., above : above + height, left : left + width] = x
    return y


def _pair(name: str, value: Any, least: int) -> tuple[int, int]:
    pair = (value, value) if isinstance(value, (int, np.integer)) else tuple(value)
    if len(pair) != 2 or not all(isinstance(n, (int, np.integer)) and n >= least for n in pair):
        raise ValueError(f"RandomCrop: {name} is {value!r}, expected an integer of at least {least} or two")
    return int(pair[0]), int(pair[1])
