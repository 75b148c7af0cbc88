"""The compiled half of ``team``: handing parts of a job to threads that wait, and the matrix products that are shared so.

Never imported: ``compiled.compile_file`` compiles its text, for arrays of ``REAL``. A job is a function
``(start, stop, thread, table)`` of words, called by its address; ``table`` is the address of what it works on.
"""

# mypy: ignore-errors
import numpy as np
from numba import carray

from tinynet.kernels.pointers import add, ask, call, gemm, load, pause, pointer, store, swap, tell

REAL = np.float32
SIZE = np.dtype(REAL).itemsize
LINE = 64  # bytes: each word that a team shares stands in a cache line of its own
JOB, TABLE, LENGTH, GRAIN, MEMBERS, LEFT, BUSY, BLAS_THREADS, BLAS_SET, YIELD, NAP, ASLEEP = range(0, 12 * LINE, LINE)
TICKETS = 12 * LINE  # from here on one for each member: the number of the job, and in the last 24 bits its next part
CLOSED = 0xFFFFFF  # the part of a job that nobody may take

SIGNATURES = {
    "assist": "boolean(int64, int64)",
    "share": "void(int64, int64, int64, int64, int64)",
    "wait": "void(int64, int64, int64, int64)",
    "step": "int64(real[:, :])",
    "product": "boolean(int64, int64, int64, int64, real[:, :], real[:, :], real[:, ::1])",
    "affine": "boolean(int64, int64, int64, int64, real[:, :], real[:, :], real[::1], real[:, ::1], real[:, ::1], boolean)",
    "positive": "void(int64, int64, int64, real[::1], real[::1])",
    "masked": "void(int64, int64, int64, real[::1], real[::1], real[::1])",
}
JOBS = ("product_part", "affine_part", "positive_part", "masked_part")


# -------------------------------------------------------------------------------------------------------- the team


def assist(team, thread):
    """Do parts of the job, first those that are this member's and then the others', until none is left to begin.

    The parts go round: part k is for member k % members, so that a part of the next job, which likely works on the same
    arrays, finds them in the cache of its processor. Returns whether there was anything to do.
    """
    found, members = False, load(team + MEMBERS)
    for k in range(members):
        owner = (thread + k) % members
        place = team + TICKETS + owner * LINE
        while True:
            ticket = load(place)
            job, table, length, grain = load(team + JOB), load(team + TABLE), load(team + LENGTH), load(team + GRAIN)
            start = ((ticket & CLOSED) * members + owner) * grain
            if ticket & CLOSED == CLOSED or start >= length:
                break
            if swap(place, ticket, ticket + 1):  # so those were the words of this job
                call(job, start, min(start + grain, length), thread, table)
                add(team + LEFT, -1)
                found = True
    return found


def share(team, job, table, length, grain):
    """Do the whole job, together with those who wait for work; alone where another job is under way."""
    blas = 1
    if load(team + BLAS_SET) != 0:
        blas = ask(load(team + BLAS_THREADS))
        if blas > 1:
            tell(load(team + BLAS_SET), 1)
    if length <= grain or not swap(team + BUSY, 0, 1):
        for start in range(0, length, grain):
            call(job, start, min(start + grain, length), 0, table)
        if blas > 1:
            tell(load(team + BLAS_SET), blas)
        return
    members, number = load(team + MEMBERS), (load(team + TICKETS) >> 24) + 1
    for k in range(members):  # first, or who is late could take a part of words half written
        store(team + TICKETS + k * LINE, number << 24 | CLOSED)
    store(team + LEFT, (length + grain - 1) // grain)
    store(team + JOB, job)
    store(team + TABLE, table)
    store(team + LENGTH, length)
    store(team + GRAIN, grain)
    for k in range(members - 1, -1, -1):  # the caller's own last, or another would take that before its own
        store(team + TICKETS + k * LINE, number << 24)
    assist(team, 0)
    looks = 0
    while load(team + LEFT) > 0:
        pause()
        looks += 1
        if looks % 1000 == 0 and load(team + YIELD) != 0:
            ask(load(team + YIELD))  # whoever has the last part may be waiting for this very processor
    if blas > 1:
        tell(load(team + BLAS_SET), blas)
    store(team + BUSY, 0)


def wait(team, thread, looks, naps):
    """Take part in jobs until none has come for so many looks, one after the other, and then so many, with naps between."""
    seen = 0
    while seen < looks + naps:
        if assist(team, thread):
            seen = 0
        elif seen < looks:
            if seen % 50 == 0 and load(team + YIELD) != 0:
                ask(load(team + YIELD))
        elif load(team + NAP) != 0:
            tell(load(team + NAP), 20)
        else:
            return
        seen += 1


# -------------------------------------------------------------------------------------------------- matrix products


def step(a):
    """Elements from row to row of a matrix, or from column to column, less than 0, where it is stored the other way round.

    0 where it is stored in neither way.
    """
    across, down = a.strides[1], a.strides[0]
    if across == SIZE and down >= a.shape[1] * SIZE and down % SIZE == 0:
        return down // SIZE
    if down == SIZE and across >= a.shape[0] * SIZE and across % SIZE == 0:
        return -(across // SIZE)
    return 0


def product(team, parts, function, job, a, b, c):
    """c = a b, the longer side of c in parts; False, and nothing done, where BLAS cannot read a or b as they are stored."""
    table = np.empty(9, np.int64)
    table[0], table[1], table[2], table[3] = function, a.ctypes.data, b.ctypes.data, c.ctypes.data
    table[4], table[5], table[6] = c.shape[0], c.shape[1], a.shape[1]
    table[7], table[8] = step(a), step(b)
    if table[7] == 0 or table[8] == 0:
        return False
    length = max(c.shape[0], c.shape[1])
    share(team, job, table.ctypes.data, length, (length + parts - 1) // parts)
    return True


def product_part(start, stop, thread, table):
    t = carray(pointer(table), 9, np.int64)
    m, n, a, b, c = t[4], t[5], t[1], t[2], t[3]
    a_step, b_step, c_step = abs(t[7]), abs(t[8]), n
    if m >= n:  # parts are rows
        m, a, c = stop - start, a + start * (a_step if t[7] > 0 else 1) * SIZE, c + start * c_step * SIZE
    else:
        n, b, c = stop - start, b + start * (1 if t[8] > 0 else b_step) * SIZE, c + start * SIZE
    gemm(t[0], REAL(1), (t[7] < 0, t[8] < 0), (m, n, t[6]), a, b, c, (a_step, b_step, c_step), False)


def affine(team, parts, function, job, x, weight, bias, y, scratch, positive):
    """y = x weight^T + bias, or ReLU of that, the columns of y in parts.

    False, and nothing done, where BLAS cannot read x or weight.
    """
    table = np.empty(11, np.int64)
    table[0], table[1], table[2], table[3] = function, weight.ctypes.data, x.ctypes.data, y.ctypes.data
    table[4], table[5], table[6] = bias.ctypes.data, scratch.ctypes.data, step(x)
    table[7], table[8], table[9], table[10] = weight.shape[1], x.shape[0], y.shape[1], positive
    if table[6] == 0 or step(weight) != weight.shape[1]:
        return False
    share(team, job, table.ctypes.data, y.shape[1], (y.shape[1] + parts - 1) // parts)
    return True


def affine_part(start, stop, thread, table):
    """weight x^T, which BLAS does in four fifths of the time of x weight^T; turned round while it is in the cache."""
    t = carray(pointer(table), 11, np.int64)
    n, k, columns, x_step = t[8], t[7], t[9], t[6]
    count, first = stop - start, t[5] + start * n * SIZE
    gemm(t[0], REAL(1), (False, x_step > 0), (count, n, k), t[1] + start * k * SIZE, t[2], first, (k, abs(x_step), n), False)
    turned = carray(pointer(first), (count, n), REAL)
    y = carray(pointer(t[3] + start * SIZE), (n, columns), REAL)
    bias = carray(pointer(t[4] + start * SIZE), count, REAL)
    least = REAL(0) if t[10] else REAL(-np.inf)
    whole = count // 16 * 16
    for j in range(0, whole, 16):  # a cache line of y at a time
        for i in range(n):
            for k in range(16):
                z = turned[j + k, i] + bias[j + k]
                y[i, j + k] = least if z < least else z
    for i in range(n):
        for j in range(whole, count):
            z = turned[j, i] + bias[j]
            y[i, j] = least if z < least else z


# ------------------------------------------------------------------------------------------------ element by element


def positive(team, grain, job, x, y):
    """y = max(x, 0), NaN for NaN."""
    table = np.empty(2, np.int64)
    table[0], table[1] = x.ctypes.data, y.ctypes.data
    share(team, job, table.ctypes.data, x.size, grain)


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


def masked_part(start, stop, thread, table):
    t = carray(pointer(table), 3, np.int64)
    n = stop - start
    g = carray(pointer(t[0] + start * SIZE), n, REAL)
    y = carray(pointer(t[1] + start * SIZE), n, REAL)
    gx = carray(pointer(t[2] + start * SIZE), n, REAL)
    for i in range(n):
        gx[i] = g[i] * (REAL(1) if y[i] != 0 else REAL(0))
