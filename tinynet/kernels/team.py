"""A team of threads for compiled loops and matrix products: one plan for the processors of a CPU.

The one idea: who waits for work waits in compiled code, looking at a word in memory, for two milliseconds; only then
does it go to sleep. So a loop of 20 us can be shared: to hand it over takes 0.5 us, where waking a Python thread takes
40 to 100. A job is cut into parts, and each thread takes the next one whenever it is free: a processor that is
busy elsewhere slows nobody down but itself. While a job lasts, NumPy's BLAS library keeps to one thread: its own threads
wait in the same way, for 25 ms after each product, and two teams that wait stand in each other's way (a convolution
network's step: 97 ms with both, 88 on one thread, 65 with one team of Python threads).

Measured, float32, two cores, a product of (64, 784) and (784, 256) in us: NumPy on one thread 266, on two 170; here 125.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import threading
from typing import Any, NamedTuple

import numpy as np

from .compiled import COMPILED_DTYPES, compile_file, enabled
from .threads import blas_function, threads

# How often a thread looks for work before it takes naps, and how often between these (20 us, and what the system adds)
# before it sleeps: about 2 ms and 0.2 s. With 0.1 ms, a step of 1,000 us took 1,180: most waits of a step are longer.
# Only to fall asleep and to wake up does it need the interpreter, which the caller has.
LOOKS, NAPS = 200_000, 2000


class Shared(NamedTuple):
    """The compiled loops for one dtype, the team, how many it is with its caller, and the address of BLAS's product."""

    loops: Any
    team: int
    size: int
    gemm: int


class Team:
    """The caller and the threads that help it; the words in memory through which they find the next part."""

    def __init__(self, size: int, loops: Any):
        self.size, self._loops = size, loops
        length = loops.TICKETS + size * loops.LINE  # bytes, as the places of the words in shared.py
        self._memory = np.zeros((length + loops.LINE) // 8, np.int64)
        first = -self._memory.ctypes.data % loops.LINE // 8
        self._words = self._memory.data[first : first + length // 8]
        self.address = self._memory.ctypes.data + 8 * first
        self._asleep = loops.ASLEEP // 8
        self._words[loops.MEMBERS // 8] = size
        self._words[loops.BLAS_THREADS // 8] = _blas("openblas_get_num_threads")
        self._words[loops.BLAS_SET // 8] = _blas("openblas_set_num_threads")
        if os.name == "posix":
            system = ctypes.CDLL(None)
            self._words[loops.YIELD // 8] = _address(system.sched_yield)
            self._words[loops.NAP // 8] = _address(system.usleep)
        self._shared: dict[np.dtype, Shared | None] = {}
        self._counting = threading.Lock()
        self._beds = [threading.Lock() for _ in range(size - 1)]
        for k, bed in enumerate(self._beds, 1):
            bed.acquire()
            threading.Thread(target=self._live, args=(k, bed), name=f"tinynet-team-{k}", daemon=True).start()

    def shared(self, dtype: np.dtype) -> Shared | None:
        """What it takes to share loops over arrays of ``dtype``, and everyone awake; None for other dtypes."""
        if dtype not in self._shared:
            loops = compile_file("shared", dtype) if dtype in COMPILED_DTYPES else None
            gemm = _blas(f"cblas_{'s' if dtype.itemsize == 4 else 'd'}gemm")
            self._shared[dtype] = None if loops is None else Shared(loops, self.address, self.size, gemm)
        if self._words[self._asleep]:
            self.wake()
        return self._shared[dtype]

    def do(self, job: int, table: int, length: int) -> None:
        """Do a job of so many parts, given the addresses of its function and its table, with everyone awake."""
        if self._words[self._asleep]:
            self.wake()
        self._loops.share(self.address, job, table, length, 1)

    def wake(self) -> None:
        """Call those who sleep: they come when they come."""
        for bed in self._beds:
            if bed.locked():
                with contextlib.suppress(RuntimeError):  # another caller was faster
                    bed.release()

    def _live(self, number: int, bed: Any) -> None:
        while True:
            self._loops.wait(self.address, number, LOOKS, NAPS)
            self._count(1)
            bed.acquire()
            self._count(-1)

    def _count(self, change: int) -> None:
        with self._counting:  # a sleeper that was not counted would never be called
            self._words[self._asleep] += change


def _address(function: Any) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0


def _blas(name: str) -> int:
    """The address of a function of NumPy's OpenBLAS; 0 where NumPy stands on another library."""
    function = blas_function(name)
    return 0 if function is None else _address(function)


@functools.cache
def team() -> Team | None:
    """The team of this process, of ``threads()`` threads, made when first asked for; None where there is no Numba."""
    loops = compile_file("shared", np.dtype(np.float32))
    return None if loops is None else Team(threads(), loops)


def shared(*arrays: Any) -> Shared | None:
    """What it takes to share a loop over ``arrays``; None where array code has to do: without Numba, on a GPU, for arrays
    that are not of one dtype, float32 or float64, or not writable, which is all that a compiled loop takes."""
    dtype = arrays[0].dtype
    for a in arrays:
        if type(a) is not np.ndarray or a.dtype != dtype or not a.flags.behaved:  # one from a pickle has its own float32
            return None
    everyone = team() if enabled() else None
    return None if everyone is None else everyone.shared(dtype)


_past: list[Team | None] = []


def _after_fork() -> None:
    if team.cache_info().currsize:  # what was recorded before a fork still has that team's address
        _past.append(team())
    team.cache_clear()  # in a child there is but the thread that forked


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
