"""The compiled half of ``activation``: ReLU and what it does to a gradient, element by element, shared by the team.

Never imported: ``compiled.compile_file`` compiles its text, for arrays of ``REAL``. A file of its own, as most networks join
ReLU to what comes before it: a first step that needs none of this need not read it from disk (10 ms).
"""

# mypy: ignore-errors
import numpy as np
from numba import carray

from tinynet.kernels.pointers import pointer

REAL = np.float32
SIZE = np.dtype(REAL).itemsize
share = None  # that of ``shared``, which ``compile_file`` is given
SIGNATURES = {
    "positive": "void(int64, int64, int64, real[::1], real[::1])",
    "masked": "void(int64, int64, int64, real[::1], real[::1], real[::1])",
}
JOBS = ("positive_part", "masked_part")


def positive(team, grain, job, x, y):
    """y = max(x, 0), NaN for NaN."""
    table = np.empty(2, np.int64)
    table[0], table[1] = x.ctypes.data, y.ctypes.data
    share(team, job, table.ctypes.data, x.size, grain)
    table[0] = 0  # so that it is there until here: compiled, an array is freed after its last use


def positive_part(start, stop, thread, table):
    t = carray(pointer(table), 2, np.int64)
    x = carray(pointer(t[0] + start * SIZE), stop - start, REAL)
    y = carray(pointer(t[1] + start * SIZE), stop - start, REAL)
    for i in range(stop - start):
        y[i] = REAL(0) if x[i] <= 0 else x[i]


def masked(team, grain, job, g, y, gx):
    """gx = g (y != 0)."""
    table = np.empty(3, np.int64)
    table[0], table[1], table[2] = g.ctypes.data, y.ctypes.data, gx.ctypes.data
    share(team, job, table.ctypes.data, g.size, grain)
    table[0] = 0


def masked_part(start, stop, thread, table):
    t = carray(pointer(table), 3, np.int64)
    n = stop - start
    g = carray(pointer(t[0] + start * SIZE), n, REAL)
    y = carray(pointer(t[1] + start * SIZE), n, REAL)
    gx = carray(pointer(t[2] + start * SIZE), n, REAL)
    for i in range(n):
        gx[i] = g[i] * (REAL(1) if y[i] != 0 else REAL(0))
