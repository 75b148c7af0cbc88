"""``parallel``: a loop over a batch, shared by a few threads of our own, while the BLAS library keeps to one.

The one idea: the threads take the next part of the range whenever they are free, and the caller is one of them; so a core
that is busy elsewhere slows nobody down but itself. A BLAS library's own threads share out each matrix product evenly and
wait for one another at its end: beside another busy program a step that takes 0.2 ms took 48 ms. NumPy lets go of
the interpreter in its products and copies, so that plain Python threads are enough.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import os
import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any


def threads() -> int:
    """How many threads to use: ``TINYNET_THREADS``, else ``OMP_NUM_THREADS``, else the cores this process may run on."""
    for variable in ("TINYNET_THREADS", "OMP_NUM_THREADS"):
        value = os.environ.get(variable)
        if value:
            number = value.partition(",")[0].strip()  # OpenMP allows a list: threads in threads
            if not number.isdecimal() or int(number) < 1:
                raise ValueError(f"environment variable {variable}: {value!r}, expected a number of threads, at least 1")
            return int(number)
    return _cores()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def parallel(work: Callable[[int, int], None], n: int, grain: int) -> None:
    """Call ``work(start, stop)`` for every part of ``grain`` (the last may be shorter) of range(n), on several threads.

    The parts are the same whatever the number of threads, so that sums kept for each part, and added in order
    afterwards, do not depend on it. Each is done once, at any time, on any thread, in the caller's context (NumPy's
    error state). The first exception of a part is raised here, after all threads have stopped; parts that had
    not begun are left out then. Inside a part, a further ``parallel`` is a plain loop.
    """
    count = -(-n // grain)
    helpers = min(threads(), count) - 1
    if helpers < 1 or _here.inside:
        for start in range(0, n, grain):
            work(start, min(start + grain, n))
        return
    job, blas = _Job(work, n, grain, count), _blas
    blas.hold()
    _here.inside = True
    try:
        _pool.ask(job, helpers)
        job.help()
        job.finished.acquire()
    finally:
        _here.inside = False
        blas.release()
    error, job.error = job.error, None
    try:
        if error is not None:
            raise error
    finally:
        del error  # its traceback leads to this frame: no reference cycle


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """``with one_blas_thread():`` the BLAS library keeps to one thread in the block, for many small products one after the
    other: of those each would wait for a thread that another busy program may hold up."""
    blas = _blas
    blas.hold()
    try:
        yield
    finally:
        blas.release()


class _Here(threading.local):
    inside = False  # a part is being done in this thread


class _Job:
    """A range being done: where the next part starts, how many are not done yet, and what went wrong."""

    __slots__ = ("error", "finished", "grain", "left", "lock", "n", "next", "work")

    def __init__(self, work: Callable[[int, int], None], n: int, grain: int, count: int):
        self.work, self.n, self.grain = work, n, grain
        self.next, self.left, self.lock = 0, count, threading.Lock()
        self.finished = threading.Lock()
        self.finished.acquire()
        self.error: BaseException | None = None

    def help(self) -> None:
        """Do parts until none is left to begin. (A thread that comes too late is waited for by nobody.)"""
        while True:
            with self.lock:
                start = self.next
                self.next += self.grain
            if start >= self.n:
                return
            try:
                if self.error is None:
                    self.work(start, min(start + self.grain, self.n))
            except BaseException as error:
                self.error = self.error or error
            with self.lock:
                self.left -= 1
                if self.left == 0:
                    self.finished.release()


class _Pool:
    """Threads that wait for jobs. They are started when first needed and die with the process."""

    def __init__(self) -> None:
        self.jobs: SimpleQueue[tuple[_Job, contextvars.Context]] = SimpleQueue()
        self.size, self.lock = 0, threading.Lock()

    def ask(self, job: _Job, helpers: int) -> None:
        with self.lock:
            while self.size < helpers:
                try:
                    threading.Thread(target=self.run, name=f"tinynet-{self.size + 1}", daemon=True).start()
                except RuntimeError:
                    break  # no more threads are to be had, or the interpreter is going down: the caller does it all
                self.size += 1
        for _ in range(min(helpers, self.size)):
            self.jobs.put((job, contextvars.copy_context()))

    def run(self) -> None:
        _here.inside = True
        while True:
            job, context = self.jobs.get()
            context.run(job.help)
            del job, context  # the arrays of a job that is done are not kept until the next


class _Blas:
    """The BLAS libraries of this process, held to one thread while anyone needs it.

    A library is found once (1 ms) and then told by one call into it (1 µs); threadpoolctl's own ``limit`` takes 15 µs.
    """

    def __init__(self) -> None:
        self.users, self.lock = 0, threading.Lock()
        self.before: list[tuple[Any, int]] = []

    def hold(self) -> None:
        with self.lock:
            self.users += 1
            if self.users == 1:
                self.before = [(library, library.get_num_threads()) for library in blas_libraries()]
                self.set([(library, 1) for library, _ in self.before])

    def release(self) -> None:
        with self.lock:
            self.users -= 1
            if self.users == 0:
                self.set(self.before)

    def set(self, numbers: list[tuple[Any, int]]) -> None:
        for (library, number), (_, before) in zip(numbers, self.before, strict=True):
            if before != 1:
                library.set_num_threads(number)


@functools.cache
def blas_libraries() -> list:
    """The BLAS libraries that are loaded, as threadpoolctl knows them."""
    from threadpoolctl import ThreadpoolController

    return [library for library in ThreadpoolController().lib_controllers if library.user_api == "blas"]


def blas_function(name: str) -> Any:
    """A function of NumPy's OpenBLAS with 64-bit sizes, for ctypes; None where NumPy stands on another library."""
    for library in blas_libraries():
        for decorated in (f"scipy_{name}64_", f"{name}64_"):
            function = getattr(library.dynlib, decorated, None)
            if function is not None:
                return function
    return None


_here, _pool, _blas = _Here(), _Pool(), _Blas()


def _after_fork() -> None:
    """In a child there is but the thread that forked: no pool, and nobody that holds the BLAS library."""
    global _pool, _blas
    if _blas.users:
        _blas.set(_blas.before)
    _pool, _blas = _Pool(), _Blas()
    _here.inside = False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
