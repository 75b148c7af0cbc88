"""Images of another size: interpolate, pixel_shuffle, and the one op behind them.

The one idea: whatever resamples an axis makes each element of its output of a few elements of its input, ``Taps`` of an
index and a weight each; the rule of that is the same op with the taps turned round.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..backend import array_module, constant
from ..op import op
from ..tensor import Tensor
from .shape import arraylike, reshape, transpose


class Taps(NamedTuple):
    """``indices`` (k, out) into an axis of ``size`` elements, -1 for none; ``weights`` of that shape, or None for ones."""

    size: int
    indices: np.ndarray
    weights: np.ndarray | None

    @classmethod
    def cells(cls, size: int, out: int) -> Taps:
        """The mean of the elements from floor(i size / out) up to ceil((i + 1) size / out), for each i below ``out``."""
        i = np.arange(out)
        start, stop = i * size // out, -(-(i + 1) * size // out)
        indices = start + np.arange((stop - start).max())[:, None]
        return cls(size, np.where(indices < stop, indices, -1), np.broadcast_to(1 / (stop - start), indices.shape))

    def turned(self) -> Taps:
        """For each element of the input the elements of the output that it went into, with the same weights."""
        out = self.indices.shape[1]
        flat = self.indices.reshape(-1)
        order = np.argsort(flat, kind="stable")[(flat < 0).sum() :]  # sorted by input, those for none left out
        counts = np.bincount(flat[order], minlength=self.size)
        rank = np.arange(order.size) - np.repeat(np.cumsum(counts) - counts, counts)
        indices = np.full((max(counts.max(), 1), self.size), -1)
        indices[rank, flat[order]] = order % out
        if self.weights is None:
            return Taps(out, indices, None)
        weights = np.zeros(indices.shape)
        weights[rank, flat[order]] = self.weights.reshape(-1)[order]
        return Taps(out, indices, weights)


@op(lambda g, y, x, taps, axis: _mix(g, taps=taps.turned(), axis=axis))
def _mix(x, taps, axis):
    xp, dtype = array_module(x), x.dtype
    after = (1,) * (-1 - axis)
    if taps.weights is not None and (dtype.kind != "f" or dtype.itemsize < 4):
        x = x.astype(np.float32)
    y: Any = None
    for k, indices in enumerate(taps.indices):
        part = x.take(constant(indices, x), axis=axis)
        if taps.weights is not None:
            part *= constant(taps.weights[k].astype(x.dtype), x).reshape((-1, *after))
        if indices.min() < 0:
            part = xp.where(constant(indices >= 0, x).reshape((-1, *after)), part, xp.zeros((), x.dtype))
        if y is None:
            y = part
        else:
            y += part
    return y.astype(dtype, copy=False) if dtype.kind == "f" else y


def mix(x: Any, taps: Taps, axis: int) -> Tensor:
    """Each element along ``axis`` (counted from the end) of the result a sum of weight times element of x, over its taps."""
    return _mix(x, taps=taps, axis=axis)


# -------------------------------------------------------------------------------------------------------- the functions

MODES = {"nearest": (3, 4, 5), "nearest-exact": (3, 4, 5), "linear": (3,), "bilinear": (4,), "trilinear": (5,)}


def interpolate(x, size=None, scale_factor=None, mode="nearest", align_corners=None, recompute_scale_factor=None) -> Tensor:
    """x ``(N, C, L)``, ``(N, C, H, W)`` or ``(N, C, D, H, W)`` with its last axes resampled to another length.

    ``size`` (an integer, or one for each axis) or ``scale_factor`` (a number, or one for each axis; the length becomes
    floor(length * scale_factor)). With ratio = length / size, or 1 / scale_factor where that is given and not to be
    recomputed from the lengths, element i comes from the place

    - ``"nearest"``: floor(i ratio); ``"nearest-exact"``: floor((i + 1/2) ratio);
    - ``"linear"``, ``"bilinear"``, ``"trilinear"`` (for 1, 2 and 3 axes): (i + 1/2) ratio - 1/2, the centres of elements,
      or with ``align_corners`` i (length - 1) / (size - 1), so that the ends stay; between the two elements beside it.

    Unlike PyTorch, which rounds the ratio to float32, places are exact, so that ``"nearest"`` may differ by one
    where i ratio is a whole number; and a ``scale_factor`` holds where the length stays as it is, or doubles, by rounding
    down (1.3 for a length of 3), too: PyTorch on a CPU then takes 1 or 2, in some modes.

    ValueError for other shapes, modes and sizes, and for both or none of ``size`` and ``scale_factor``.

    >>> interpolate([[[1.0, 2.0]]], scale_factor=2).tolist()
    [[[1.0, 1.0, 2.0, 2.0]]]
    """
    x = arraylike(x)
    if mode not in MODES:
        raise ValueError(f"interpolate: mode is {mode!r}, expected one of {', '.join(MODES)}")
    if x.ndim not in MODES[mode] or 0 in x.shape[1:]:
        axes = " or ".join(str(n) for n in MODES[mode])
        raise ValueError(
            f"interpolate: x has shape {x.shape}, expected {axes} axes for mode {mode!r}, none empty but the first"
        )
    if align_corners and mode.startswith("nearest"):
        raise ValueError(f"interpolate: align_corners is {align_corners!r}, which mode {mode!r} has not")
    if (size is None) is (scale_factor is None):
        raise ValueError(f"interpolate: size is {size!r} and scale_factor {scale_factor!r}, expected exactly one of them")
    if recompute_scale_factor and scale_factor is None:
        raise ValueError("interpolate: recompute_scale_factor is True, which needs a scale_factor")
    given = size if scale_factor is None else scale_factor
    name, kinds = ("size", (int, np.integer)) if scale_factor is None else ("scale_factor", (int, float, np.number))
    each = tuple(given) if isinstance(given, (tuple, list)) else (given,) * (x.ndim - 2)
    if len(each) != x.ndim - 2 or not all(isinstance(v, kinds) and 0 < v < np.inf for v in each):
        raise ValueError(f"interpolate: {name} is {given!r}, expected a number above 0, or {x.ndim - 2} of them")
    for i, value in enumerate(each):
        axis = i + 2 - x.ndim
        n = x.shape[axis]
        out = int(value) if scale_factor is None else int(n * float(value))
        if out < 1:
            raise ValueError(f"interpolate: scale_factor {given!r} leaves nothing of axis {i + 2} of x of shape {x.shape}")
        scale = None if scale_factor is None or recompute_scale_factor else float(value)
        x = mix(x, _taps(n, out, scale, mode, bool(align_corners)), axis)
    return x


def _taps(n: int, out: int, scale: float | None, mode: str, align_corners: bool) -> Taps:
    i = np.arange(out)
    if mode.startswith("nearest"):
        half = 1 if mode == "nearest-exact" else 0
        at = (2 * i + half) * n // (2 * out) if scale is None else np.floor((i + half / 2) / scale).astype(np.int64)
        return Taps(n, np.minimum(at, n - 1)[None], None)
    if align_corners:
        at = i * (n - 1) / max(out - 1, 1)
    else:
        at = np.maximum((i + 0.5) * n / out - 0.5 if scale is None else (i + 0.5) / scale - 0.5, 0)
    before = np.minimum(at.astype(np.int64), n - 1)
    share = np.minimum(at - before, 1)
    return Taps(n, np.stack([before, np.minimum(before + 1, n - 1)]), np.stack([1 - share, share]))


def pixel_shuffle(x, upscale_factor) -> Tensor:
    """Channels to pixels: x ``(..., C r r, H, W)`` to ``(..., C, H r, W r)`` for an ``upscale_factor`` r.

    y[c, h r + i, w r + j] = x[c r r + i r + j, h, w]. Shi et al. 2016, arXiv:1609.05158. ValueError for other shapes.

    >>> pixel_shuffle([[[1.0]], [[2.0]], [[3.0]], [[4.0]]], 2).tolist()
    [[[1.0, 2.0], [3.0, 4.0]]]
    """
    x, r = arraylike(x), upscale_factor
    if not isinstance(r, (int, np.integer)) or r < 1:
        raise ValueError(f"pixel_shuffle: upscale_factor is {r!r}, expected an integer of at least 1")
    if x.ndim < 3 or x.shape[-3] % (r * r):
        raise ValueError(f"pixel_shuffle: x has shape {x.shape}, expected (..., C, H, W) with C a multiple of {r * r}")
    *lead, channels, height, width = x.shape
    n = len(lead)
    x = reshape(x, (*lead, channels // (r * r), r, r, height, width))
    x = transpose(x, (*range(n), n, n + 3, n + 1, n + 4, n + 2))
    return reshape(x, (*lead, channels // (r * r), height * r, width * r))
