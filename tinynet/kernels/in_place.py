"""A traced update rule as array code: NumPy calls that write over arrays that are there, a piece of them at a time.

The one idea: array code makes a fresh temporary for every operation, whose pages the operating system has to find and
clear; here there are one or two, kept from step to step. Adam on 1.8 million float32 weights, one thread: the rule as it
stands over whole arrays 15 ms, in pieces of 32,768 7.3 ms; in place 4.2 in pieces of 16,384, 3.8 of 49,152, 3.6 of
262,144, 3.7 over whole arrays; PyTorch's default 6.

Sums of products are BLAS's where an array is large (``kernels.axpy``). A large update is shared by Python's threads, whose
waking takes 40 to 100 us: on two, of the 1.8 million RMSprop 1.95 and 1.15 ms, Adam 3.1 and 1.9; of 235 thousand neither
gains. (For 25 ms after a product BLAS's own threads still look for work on the same cores: Python's gain nothing then, and
lose nothing.)
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from . import axpy, source
from .threads import parallel, threads
from .trace import Trace

PIECE = 262144  # elements of as many arrays as Adam has; more where a rule has fewer
SHARED_FROM = 4_000_000  # elements that all calls together go through, from which threads share a step


class Code(NamedTuple):
    """``run(arrays..., numbers..., temporaries...)``, and the names of the temporaries."""

    run: Callable[..., None]
    temporaries: list[str]
    whole: bool  # is done over whole arrays: it is but one sum, by BLAS's own threads


class ArrayCode:
    """A rule's array code, made from its trace."""

    def __init__(self, rule: Trace):
        self._rule, self._plain = rule, _made(rule, None)
        self._fused: dict[np.dtype, Code] = {}

    def fused(self, dtype: np.dtype) -> Code:
        """The same with BLAS, where there is one: for large arrays."""
        if dtype not in self._fused:
            sums = axpy.sums_of(dtype)
            self._fused[dtype] = self._plain if sums is None else _made(self._rule, sums)
        return self._fused[dtype]

    def run(self, parameters: list[tuple], numbers: list[tuple]) -> None:
        """Overwrite the weight and the buffers of each parameter, whose flat arrays and numbers these are.

        All arrays are of one dtype, the machine's own.
        """
        dtype = parameters[0][0].dtype
        scalars = {one: [np.array(x, dtype) for x in one] for one in dict.fromkeys(numbers)}
        large: list[tuple[Code, list]] = []
        for arrays, one in zip(parameters, numbers, strict=True):
            size = arrays[0].size
            code = self._plain if size < axpy.LEAST else self.fused(dtype)
            if size < axpy.LEAST or code.whole:
                _do(code, [*arrays, *scalars[one]])
            else:
                length = PIECE * 6 // (len(arrays) + len(code.temporaries))  # Adam has 4 arrays and 2 temporaries
                if size > length:  # as many for each thread: RMSprop on 1.8 million weights, on two, 1.31 and 1.15 ms
                    length = -(-size // (-(-size // length // threads()) * threads()))
                large += [(code, [*(a[part] for a in arrays), *scalars[one]]) for part in pieces(size, length)]
        if large:
            self._share(large)

    def _share(self, parts: list[tuple[Code, list]]) -> None:
        def work(start: int, stop: int) -> None:
            for code, arguments in parts[start:stop]:
                _do(code, arguments)

        if sum(arguments[0].size for _, arguments in parts) * len(self._rule.body) >= SHARED_FROM:
            parallel(work, len(parts), 1)
        else:
            work(0, len(parts))


def _do(code: Code, arguments: list) -> None:
    code.run(*arguments, *[a[: arguments[0].size] for a in _scratch(code.temporaries, arguments[0].dtype)])


def _made(rule: Trace, sums: axpy.Sums | None) -> Code:
    """With BLAS's sums, if they are given."""
    text, temporaries = source.array_source(rule, fused=sums is not None)
    names: dict[str, Any] = {op: getattr(np, op) for op in source.ARRAY_CODE}
    names |= {} if sums is None else sums._asdict()
    exec(text, names)
    alone = text.count("\n") == 2 and " axpy(" in text
    if sums is not None and alone:
        names["axpy"] = sums.shared
    return Code(names["update"], temporaries, whole=alone)


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
