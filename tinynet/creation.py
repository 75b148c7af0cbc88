"""Tensors from nothing: zeros, ones, full, arange, rand, randn. Float32 on the default device unless told otherwise."""

from __future__ import annotations

from typing import Any

import numpy as np

from .backend import stream
from .tensor import Tensor


def _shape(shape: tuple) -> tuple[int, ...]:
    """Accepts ``zeros(2, 3)`` and ``zeros((2, 3))``."""
    return tuple(shape[0]) if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape


def zeros(*shape: Any, dtype: Any = np.float32, device: str | None = None, requires_grad: bool = False) -> Tensor:
    """A Tensor of zeros.

    >>> zeros(2, 3).shape, zeros((2, 3)).shape
    ((2, 3), (2, 3))
    """
    return Tensor(np.zeros(_shape(shape), dtype), None, device, requires_grad)


def ones(*shape: Any, dtype: Any = np.float32, device: str | None = None, requires_grad: bool = False) -> Tensor:
    """A Tensor of ones."""
    return Tensor(np.ones(_shape(shape), dtype), None, device, requires_grad)


def full(shape: Any, fill_value: Any, dtype: Any = None, device: str | None = None, requires_grad: bool = False) -> Tensor:
    """A Tensor with ``fill_value`` everywhere: float32 for a float, int64 for an integer, unless ``dtype`` is given."""
    shape = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
    value = Tensor(fill_value, dtype, "cpu").data
    return Tensor(np.full(shape, value), None, device, requires_grad)


def arange(
    start: Any,
    stop: Any = None,
    step: Any = 1,
    dtype: Any = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """The numbers from ``start`` (0 where only one is given) up to, not including, ``stop``: int64, or float32 for floats.

    >>> arange(3), arange(0.0, 1.0, 0.5)
    (tensor([0, 1, 2]), tensor([0. , 0.5]))
    """
    start, stop = (0, start) if stop is None else (start, stop)
    values = np.arange(start, stop, step)
    default = np.float32 if values.dtype.kind == "f" else np.int64
    return Tensor(values.astype(dtype or default, copy=False), None, device, requires_grad)


def rand(*shape: Any, dtype: Any = np.float32, device: str | None = None, requires_grad: bool = False) -> Tensor:
    """Numbers drawn evenly from [0, 1), from the stream ``"sample"`` that ``manual_seed`` starts."""
    dtype = np.dtype(dtype)
    # Drawn in the dtype itself where there is a generator for it: 1 - 1e-9 rounded to float32 would be 1.
    values = stream("sample").random(_shape(shape), np.float64 if dtype == np.float64 else np.float32)
    if dtype == np.float16:
        values = np.floor(np.multiply(values, 2048)) / 2048  # the 11 bits it has, for the same reason
    return Tensor(np.asarray(values, dtype), None, device, requires_grad)


def randn(*shape: Any, dtype: Any = np.float32, device: str | None = None, requires_grad: bool = False) -> Tensor:
    """Numbers drawn from the normal distribution of mean 0 and variance 1, from the stream ``"sample"``."""
    return Tensor(stream("sample").standard_normal(_shape(shape)).astype(dtype), None, device, requires_grad)
