"""Where the arrays of many parameters lie, and the numbers that a step takes: what a compiled update or measurement reads.

The one idea: one call for all parameters of a group, handed over as the address of a few words, and shared by the team.
Arrays that a user binds anew, freezes or moves between two steps change a row of the table and no more.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from .compiled import compile_loop
from .team import team

# Elements of all arrays together from which the team shares an update, and in how many parts for each member. Measured on
# two cores, float32, in µs, steps alone: SGD on 235 thousand weights (470 thousand elements) 59 on one thread and 40 shared,
# Adam 167 and 103; within a training of 784-1000-1000-10: SGD 626 and 330, Adam 1,290 and 620. One part for each: the
# products of that training share weights and gradients in the same halves, and a step takes 5.6 ms, with 8 parts 5.8.
SHARED_FROM, PARTS = 200_000, 1
AT_ONCE = 8  # addresses asked for in one call


class Table:
    """``rows``: for each parameter its size, which row of ``numbers`` is its, and the addresses of the weight, the gradient
    and each buffer, that of the gradient not there yet; ``numbers``: what an ``Update`` computes once a step."""

    def __init__(self, rows: list[list[int]], numbers: list[tuple], dtype: np.dtype):
        self.rows, self.numbers = np.array(rows, np.int64), np.array(numbers, dtype)
        elements = int(self.rows[:, 0].sum()) * (self.rows.shape[1] - 2)
        us = team()
        self.parts = 1 if us is None or elements < SHARED_FROM else PARTS * us.size
        at = [self.rows.ctypes.data, self.numbers.ctypes.data]
        self._words = np.array([*at, *self.rows.shape, self.parts], np.int64)
        self._address = self._words.ctypes.data
        self._begin, self._more = _begin(dtype), -len(rows) % AT_ONCE

    def run(self, job: int, grads: list[np.ndarray]) -> None:
        """Do a job of ``source.loop_source``, with these flat gradients."""
        self.point(grads, job if self.parts == 1 else 0)
        if self.parts > 1:
            us = team()
            assert us is not None
            us.do(job, self._address, self.parts)

    def point(self, grads: list[np.ndarray], job: int = 0) -> None:
        """Note where the first elements of flat gradients lie, and then do a job, if one is given, on this thread.

        0.1 us for each gradient, where ``array.ctypes.data`` takes 1; and 0.6 less than with a call of its own for the job.
        """
        row = 0
        while len(grads) > AT_ONCE:
            self._begin(self.rows, row, self._address, 0, *grads[:AT_ONCE])
            row, grads = row + AT_ONCE, grads[AT_ONCE:]
        self._begin(self.rows, row, self._address, job, *grads, *grads[:1] * self._more)


@functools.cache
def _begin(dtype: np.dtype) -> Callable[..., None]:
    """``begin(rows, row, words, job, arrays...)``: note the arrays' addresses from that row on, then do the job, if any."""
    names = [f"a{k}" for k in range(AT_ONCE)]
    found = ", ".join(f"{name}.ctypes.data" for name in names)
    text = f"""from tinynet.kernels.pointers import call


def begin(rows, row, words, job, {", ".join(names)}):
    found = ({found})
    for k in range(min({AT_ONCE}, rows.shape[0] - row)):
        rows[row + k, 3] = found[k]
    if job != 0:
        call(job, 0, 1, 0, words)
"""
    signature = f"void(int64[:, ::1], int64, int64, int64, {', '.join(['real[::1]'] * AT_ONCE)})"
    made = compile_loop(text, "begin", signature, dtype)
    assert made is not None
    return made
