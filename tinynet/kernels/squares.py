"""Sums of squares, of which the norm of all gradients is made.

The one idea: a sum in float64, in whatever order goes fastest, one pass over memory. Measured on 1.8 million float32
numbers, one thread: compiled 0.28 ms, which is what reading them takes, in NumPy by pieces 1.5, converted as a whole 5.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backend import array_module, device_of
from . import compiled
from .gpu import update as gpu
from .gpu.launch import takes

PIECE = 8192


def square_sums(arrays: list[Any]) -> list[float]:
    """The sum of the squares of every array's elements. Reads the result of a GPU once, for all of them."""
    on_gpu = [(a.astype("float64") ** 2).sum() for a in arrays if not isinstance(a, np.ndarray)]
    read = iter(array_module(*on_gpu).stack(on_gpu).tolist() if on_gpu else ())
    return [_square_sum(a) if isinstance(a, np.ndarray) else next(read) for a in arrays]


def joint_norm(arrays: list[Any]) -> Any:
    """The joint 2-norm of arrays: a number, or where all are on one GPU an array there without axes, which is not read."""
    if not arrays or isinstance(arrays[0], np.ndarray) or len({device_of(a) for a in arrays}) > 1:
        return math.sqrt(sum(square_sums(arrays)))
    arrays = [array_module(a).ascontiguousarray(a) for a in arrays]
    if takes(*arrays):
        return gpu.square_sum(arrays) ** 0.5
    return sum([(a.astype("float64") ** 2).sum() for a in arrays]) ** 0.5


def _square_sum(array: np.ndarray) -> float:
    loop = compiled.loops_of(_squares, array)
    flat = array.ravel()
    if loop is not None:
        return loop(flat)
    parts = (flat[start : start + PIECE].astype(np.float64) for start in range(0, flat.size, PIECE))
    return sum(float(x @ x) for x in parts)


def _squares(array):
    total = 0.0
    for i in range(array.size):
        x = np.float64(array[i])
        total += x * x
    return total
