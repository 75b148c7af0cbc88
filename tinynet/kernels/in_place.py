"""A traced update rule as array code: NumPy calls that write over arrays that are there, a piece of them at a time.

The one idea: array code makes a fresh temporary for every operation, whose pages the operating system has to find and
clear; here there are one or two, kept from step to step. Adam on 1.8 million float32 weights, one thread: the rule as it
stands over whole arrays 15 ms, in pieces of 32,768 7.3 ms; in place 4.2 in pieces of 16,384, 3.8 of 49,152, 3.6 of
262,144, 3.7 over whole arrays; PyTorch's default 6.

A rule that is but sums of products (plain descent, momentum) gets by on fewer passes, with BLAS (``kernels.axpy``), which
has threads of its own. Of any other a large update is shared by Python's threads, whose waking takes 40 to 100 us: on two,
of the 1.8 million RMSprop 2.1 and 1.3 ms, Adam 3.2 and 1.9; of 235 thousand neither gains. (For 25 ms after a product
BLAS's own threads still look for work on the same cores: Python's gain nothing then, and lose nothing.)
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from . import axpy, source
from .threads import parallel
from .trace import Trace

PIECE = 262144  # elements of as many arrays as Adam has; more where a rule has fewer
SHARED_FROM = 4_000_000  # elements that all calls together go through, from which threads share a step


class ArrayCode:
    """A rule's array code, made from its trace."""

    def __init__(self, rule: Trace):
        self._rule = rule
        self._run, self._temporaries = _made(rule, None)
        self._fused: dict[np.dtype, Callable[..., None] | None] = {}

    def fused(self, dtype: np.dtype) -> Callable[..., None] | None:
        """The same with BLAS; None but for sums of products that need no temporaries then, and where there is no BLAS."""
        if dtype not in self._fused:
            sums = {line.op for line in self._rule.body} <= {"add", "subtract", "multiply"}
            function = axpy.axpy_of(dtype) if sums else None
            run, temporaries = (None, []) if function is None else _made(self._rule, function)
            self._fused[dtype] = None if temporaries else run
        return self._fused[dtype]

    def run(self, parameters: list[tuple], numbers: list[tuple]) -> None:
        """Overwrite the weight and the buffers of each parameter, whose flat arrays and numbers these are.

        All arrays are of one dtype, the machine's own.
        """
        dtype = parameters[0][0].dtype
        scalars = {one: [np.array(x, dtype) for x in one] for one in dict.fromkeys(numbers)}
        temporaries = _scratch(self._temporaries, dtype)
        length = PIECE * 6 // (len(parameters[0]) + len(temporaries))  # Adam has 4 arrays and 2 temporaries
        large: list[tuple[list, list]] = []
        for arrays, one in zip(parameters, numbers, strict=True):
            size, values = arrays[0].size, scalars[one]
            if size >= axpy.LEAST and (fused := self.fused(dtype)) is not None:
                fused(*arrays, *values)
            elif size <= length:
                self._run(*arrays, *values, *[a[:size] for a in temporaries])
            else:
                large += [([a[part] for a in arrays], values) for part in pieces(size, length)]
        if large:
            self._share(large, length, dtype)

    def _share(self, parts: list[tuple[list, list]], length: int, dtype: np.dtype) -> None:
        def work(start: int, stop: int) -> None:
            temporaries = _scratch(self._temporaries, dtype)
            for arrays, values in parts[start:stop]:
                self._run(*arrays, *values, *[a[: arrays[0].size] for a in temporaries])

        pays = len(parts) * length * len(self._rule.body) >= SHARED_FROM
        parallel(work, len(parts), 1 if pays else len(parts))


def _made(rule: Trace, function: Callable | None) -> tuple[Callable[..., None], list[str]]:
    """``update(arrays..., numbers..., temporaries...)``, and the names of the temporaries; with ``axpy``, if it is given."""
    text, temporaries = source.array_source(rule, fused=function is not None)
    names: dict[str, Any] = {"axpy": function, **{op: getattr(np, op) for op in source.ARRAY_CODE}}
    exec(text, names)
    return names["update"], temporaries


def pieces(size: int, length: int) -> list[slice]:
    """The parts in which array code goes through ``size`` elements, each small enough to stay in the cache."""
    return [slice(start, min(start + length, size)) for start in range(0, size, length)]


_own = threading.local()  # temporaries are kept from step to step, each thread's its own


def _scratch(names: list[str], dtype: np.dtype) -> list[np.ndarray]:
    held = vars(_own).setdefault(dtype.char, {})
    for name in names:
        if name not in held:
            room = np.empty(2 * PIECE * dtype.itemsize + 64, np.uint8)
            room = room[-room.ctypes.data % 64 :]  # where a cache line begins: 5% of a step
            held[name] = room[: 2 * PIECE].view(bool) if name[0] == "q" else room[: 2 * PIECE * dtype.itemsize].view(dtype)
    return [held[name] for name in names]
