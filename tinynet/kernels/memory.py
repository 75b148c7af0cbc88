"""Memory that is used again: large results from step to step, and buffers inside one.

The one idea: a training step asks for arrays of the same sizes as the step before. The system gives memory of some size back
when it is freed, and zeroes each page anew when it is next touched; so large arrays are views of blocks that stay, and a
block is free again as soon as nobody but this file refers to it: all views of it, and views of these, do.
"""

from __future__ import annotations

import math
import sys
import threading
from typing import Any

import numpy as np

from ..backend import array_module

LEAST = 2**16  # bytes: of smaller arrays the C library keeps the memory by itself
MOST = 2**28  # bytes that a thread keeps of blocks; with more in use at a time, arrays are made as they always are
KEPT = 2**23  # bytes of the largest buffer that is kept
VIEWS = 256  # shapes of buffers that are kept: to make a view takes 0.5 us, to find it 0.15


class _Kept(threading.local):
    def __init__(self) -> None:
        self.blocks: dict[int, list[np.ndarray]] = {}
        self.total = 0
        self.buffers: dict[tuple[str, str], Any] = {}
        self.views: dict[tuple[str, str, tuple[int, ...]], Any] = {}  # of these, in the shapes that were asked for


_kept = _Kept()


def empty(shape: tuple[int, ...], like: Any) -> Any:
    """An array without values, of the dtype and on the device of ``like``, for a result that leaves the kernels.

    >>> empty((2, 3), np.zeros(1, "float32")).shape
    (2, 3)
    """
    if not isinstance(like, np.ndarray):
        return array_module(like).empty(shape, like.dtype)
    size = math.prod(shape) * like.itemsize
    if size < LEAST:
        return np.empty(shape, like.dtype)
    blocks = _kept.blocks.setdefault(size, [])
    block = _unused(blocks)
    if block is None:
        block = np.empty(size, np.uint8)
        if _kept.total + size > MOST:
            _kept.blocks.clear()  # those in use live on for as long as their arrays do
            _kept.total = 0
            blocks = _kept.blocks.setdefault(size, [])
        if size <= MOST:
            blocks.append(block)
            _kept.total += size
    return np.ndarray(shape, like.dtype, block)


def _unused(blocks: list[np.ndarray]) -> np.ndarray | None:
    for block in blocks:
        if sys.getrefcount(block) == _ALONE:
            return block
    return None


def _references() -> int:
    """What ``_unused`` sees for a block without views."""
    for block in [np.empty(1, np.uint8)]:
        return sys.getrefcount(block)
    raise AssertionError


_ALONE = _references()


def buffer(name: str, shape: tuple[int, ...], like: Any) -> Any:
    """An array without values, of this thread, good until the next one of that name."""
    if not isinstance(like, np.ndarray):
        return array_module(like).empty(shape, like.dtype)
    kept, kind = _kept, like.dtype.char
    view = kept.views.get((name, kind, shape))
    if view is not None:
        return view
    size = math.prod(shape)
    flat = kept.buffers.get((name, kind))
    if flat is None or flat.size < size:
        flat = np.empty(size, like.dtype)
        if flat.nbytes > KEPT:
            return flat.reshape(shape)
        kept.buffers[name, kind] = flat
        kept.views.clear()  # those of the one before hold its memory
    view = flat[:size].reshape(shape)
    if len(kept.views) < VIEWS:
        kept.views[name, kind, shape] = view
    return view
