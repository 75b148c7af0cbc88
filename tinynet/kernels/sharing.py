"""A compiled update on one thread or shared among several, whichever takes less time where it runs.

The one idea: no size says when sharing pays. A thread that has to be woken comes 15 to 50 µs late, on a core that the BLAS
library's own thread may hold; one that still waits where it was comes at once. So both ways are tried, a few steps
each, and again from time to time. Measured on two cores, Momentum on 235 thousand float32 weights: in a loop of
nothing but steps 128 µs alone and 70 shared; in a training, beside OpenBLAS's two threads, 241 alone and 320 shared.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from statistics import median

import numpy as np

from .threads import threads, together

SHARED_FROM = 400_000  # elements of all arrays together; fewer take less time than another thread needs to begin
PARTS = 16
TRIAL, AGAIN = 7, 256  # steps each way, of which two are to get into step, and after how many anew
# Rung when a shared update begins, so that a thread that has helped with the last may wait for it without the interpreter,
# for some 100 µs. Only the ninth is used: it has a cache line to itself.
BELL = np.zeros(16, np.int64)


def alone(loop: Callable, table: np.ndarray, values: np.ndarray) -> None:
    """Run a loop of ``source.loop_source`` on this thread."""
    loop(table, values, np.zeros(4, np.int64), BELL, 1, 0)


class Sharing:
    """How the updates of a group of parameters are run: ``faster`` is whether sharing them was, when last tried."""

    def __init__(self) -> None:
        self.steps, self.faster = 0, False
        self.times: tuple[list[float], list[float]] = [], []  # of this trial's steps: alone, shared

    def run(self, loop: Callable, table: np.ndarray, values: np.ndarray, elements: int) -> None:
        """Run a loop of ``source.loop_source`` over so many elements of all arrays together, in one way or the other."""
        step, self.steps = self.steps, (self.steps + 1) % AGAIN
        trial = step < 2 * TRIAL
        if elements < SHARED_FROM or not (trial or self.faster):
            alone(loop, table, values)
            return
        start = time.perf_counter()
        shared = step >= TRIAL
        if shared:
            taken = np.zeros(4, np.int64)
            together(functools.partial(loop, table, values, taken, BELL, PARTS), lambda: taken[3] == PARTS)
        else:
            alone(loop, table, values)
        if trial:
            self.times[shared].append(time.perf_counter() - start)
        if step == 2 * TRIAL - 1:
            by_one, by_all = self.times
            whole = len(by_one) == len(by_all) == TRIAL
            self.faster = whole and threads() > 1 and median(by_all[2:]) < median(by_one[2:])
            self.times = [], []
