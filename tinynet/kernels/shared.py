"""The compiled half of ``team``: handing parts of a job to threads that wait, and the matrix products that are shared so.

Never imported: ``compiled.compile_file`` compiles its text, for arrays of ``REAL``. A job is a function
``(start, stop, thread, table)`` of words, called by its address; ``table`` is the address of what it works on.
"""

# mypy: ignore-errors
import numpy as np
from numba import carray

from tinynet.kernels import multiply as of  # of.M and others: places in the table of a product
from tinynet.kernels.multiply import ROWS, WIDE, even, if_small, multiply, multiply_by, piece, room_of
from tinynet.kernels.pointers import add, ask, call, load, pause, pointer, store, swap, tell

REAL = np.float32
SIZE = np.dtype(REAL).itemsize
ROOM, UNIT = room_of(REAL), WIDE // SIZE
LINE = 64  # bytes: each word that a team shares stands in a cache line of its own
JOB, TABLE, LENGTH, GRAIN, MEMBERS, LEFT, BUSY, BLAS_THREADS, BLAS_SET, YIELD, NAP, ASLEEP = range(0, 12 * LINE, LINE)
TICKETS = 12 * LINE  # from here on one for each member: the number of the job, and in the last 24 bits its next part
APART = 16384  # elements of a gradient from which it is masked and summed up in parts, about 5 us each
TURNED = 128  # rows of a layer's output at a time: with 128 columns 64 KiB, which stay in a second-level cache
PIECES = 4  # of columns for each member of the team, so that 784 are shared evenly: (256, 64) by (64, 784) 151 us, in 1 158
Y, BIAS, POSITIVE, PRODUCT = range(of.WORDS, of.WORDS + 4)  # in the table of ``affine``, after those of its product
CLOSED = 0xFFFFFF  # the part of a job that nobody may take

SIGNATURES = {
    "assist": "boolean(int64, int64)",
    "share": "void(int64, int64, int64, int64, int64)",
    "wait": "void(int64, int64, int64, int64)",
    "described": "int64[::1](int64, real[:, :], real[:, :], real[:, ::1], real[:, ::1], boolean, int64)",
    "product": "void(int64, int64, int64, int64, real[:, :], real[:, :], real[:, ::1], real[:, ::1])",
    "turn_round": None,
    "affine": f"void({'int64, ' * 3}UniTuple(int64, 3), real[:, :], real[:, :], real[::1], {'real[:, ::1], ' * 3}boolean)",
    "affine_back": (
        f"void({'int64, ' * 3}UniTuple(int64, 3), {'real[:, ::1], ' * 2}real[:, :], {'real[:, ::1], ' * 3}"
        "real[::1], real[:, ::1], real[:, ::1], boolean)"
    ),
}
JOBS = ("product_part", "affine_part", "narrow_part", "bias_part", "gradients_part")


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


def described(blas, a, b, c, room, by_rows, parts):
    """The table of ``product_part`` for c = a b, of which the rows or the columns are done in parts.

    ``room``: a row of memory for each member of the team.
    """
    table = np.empty(of.WORDS, np.int64)
    m, n, k = c.shape[0], c.shape[1], a.shape[1]
    table[of.BLAS] = if_small(blas, m, n, k)
    table[of.A], table[of.B], table[of.C] = a.ctypes.data, b.ctypes.data, c.ctypes.data
    table[of.M], table[of.N], table[of.K] = m, n, k
    table[of.A_DOWN], table[of.A_ACROSS] = a.strides[0], a.strides[1]
    table[of.B_DOWN], table[of.B_ACROSS] = b.strides[0], b.strides[1]
    table[of.C_DOWN], table[of.MORE], table[of.BY_ROWS] = c.strides[0], False, by_rows
    table[of.OWN], table[of.OWN_STEP] = room.ctypes.data, room.strides[0]
    table[of.WHOLE] = m if by_rows or m == 0 else n
    table[of.PART] = piece(table[of.BLAS], m, n, k, table[of.WHOLE], parts, ROWS if by_rows else UNIT)
    return table


def product(team, parts, blas, job, a, b, c, room):
    """c = a b, the rows of c in parts, or its columns where these are more or b has to be copied."""
    table = described(blas, a, b, c, room, c.shape[0] >= c.shape[1] and b.strides[1] == SIZE, parts)
    share(team, job, table.ctypes.data, table[of.WHOLE], table[of.PART])
    table[0] = 0  # so that it is there until here: compiled, an array is freed after its last use, whoever has its address


def product_part(start, stop, thread, table):
    t = carray(pointer(table), of.WORDS, np.int64)
    m, n, a, b, c = t[of.M], t[of.N], t[of.A], t[of.B], t[of.C]
    if t[of.BY_ROWS]:
        m, a, c = stop - start, a + start * t[of.A_DOWN], c + start * t[of.C_DOWN]
    else:
        n, b, c = stop - start, b + start * t[of.B_ACROSS], c + start * SIZE
    sizes, room = (m, n, t[of.K]), t[of.OWN] + thread * t[of.OWN_STEP]
    a_steps, b_steps = (t[of.A_DOWN], t[of.A_ACROSS]), (t[of.B_DOWN], t[of.B_ACROSS])
    multiply(REAL, t[of.BLAS], sizes, a, a_steps, b, b_steps, c, t[of.C_DOWN], t[of.MORE] != 0, room)


def affine(team, parts, blas, jobs, x, weight, bias, y, turned, room, positive):
    """y = x weight^T + bias, or ReLU of that, the columns of y in parts; its rows where ``turned`` is not as large as y."""
    table, by_columns = np.empty(of.WORDS + 4, np.int64), turned.size == y.size
    if by_columns:
        words = described(blas, weight, x.T, turned, room, True, parts)
    else:
        words = described(blas, x, weight.T, y, room, True, parts)
    for k in range(of.WORDS):  # a slice brings an error's text along, which takes 1.5 s to compile and 3 ms to read
        table[k] = words[k]
    table[Y], table[BIAS], table[POSITIVE], table[PRODUCT] = y.ctypes.data, bias.ctypes.data, positive, jobs[2]
    share(team, jobs[0] if by_columns else jobs[1], table.ctypes.data, table[of.WHOLE], table[of.PART])
    table[0] = 0  # as in ``product``


def narrow_part(start, stop, thread, table):
    """Rows of x by weight^T, which is copied: few columns."""
    t = carray(pointer(table), of.WORDS + 4, np.int64)
    call(t[PRODUCT], start, stop, thread, table)
    y, bias = carray(pointer(t[of.C]), (stop, t[of.N]), REAL), carray(pointer(t[BIAS]), t[of.N], REAL)
    least = REAL(0) if t[POSITIVE] else REAL(-np.inf)
    for i in range(start, stop):
        for j in range(bias.size):
            z = y[i, j] + bias[j]
            y[i, j] = least if z < least else z


def affine_part(start, stop, thread, table):
    """Rows of weight by x^T, for which x is copied, ``TURNED`` rows of it at a time; turned round while in the cache."""
    t = carray(pointer(table), of.WORDS + 4, np.int64)
    columns, rows, room = t[of.M], t[of.N], t[of.OWN] + thread * t[of.OWN_STEP]
    weight, turned = t[of.A] + start * t[of.A_DOWN], t[of.C] + start * t[of.C_DOWN]
    w_steps, x_steps = (t[of.A_DOWN], t[of.A_ACROSS]), (t[of.B_DOWN], t[of.B_ACROSS])
    bias, least = carray(pointer(t[BIAS] + start * SIZE), stop - start, REAL), REAL(0) if t[POSITIVE] else REAL(-np.inf)
    for row in range(0, rows, TURNED):
        sizes, x = (bias.size, min(TURNED, rows - row), t[of.K]), t[of.B] + row * t[of.B_ACROSS]
        c_step = sizes[1] * SIZE
        multiply_by(REAL, t[PRODUCT], t[of.BLAS], sizes, weight, w_steps, x, x_steps, turned, c_step, False, room)
        turn_round(turned, t[Y] + (row * columns + start) * SIZE, sizes[1], columns, bias, least)


def turn_round(turned, place, n, columns, bias, least):
    """n rows of y from as many columns, with the bias added and nothing below ``least``."""
    source, y = carray(pointer(turned), (bias.size, n), REAL), carray(pointer(place), (n, columns), REAL)
    whole = bias.size // 16 * 16
    for j in range(0, whole, 16):  # a cache line of y at a time
        for i in range(n):
            for k in range(16):
                z = source[j + k, i] + bias[j + k]
                y[i, j + k] = least if z < least else z
    for i in range(n):
        for j in range(whole, bias.size):
            z = source[j, i] + bias[j]
            y[i, j] = least if z < least else z


def affine_back(team, parts, blas, jobs, g, y, x, weight, z, gw, gb, gx, room, masked):
    """The gradients of ``affine`` from that of its output: gw = z^T x, gx = z weight, gb the sum of z's rows.

    z is g, where not ``masked`` the same array, else g where y is not 0. An array of no row: that gradient is not wanted.
    """
    table = np.empty(7, np.int64)
    table[0], table[1], table[2], table[3] = g.ctypes.data, y.ctypes.data, z.ctypes.data, gb.ctypes.data
    table[4], table[5], table[6] = g.shape[0], g.shape[1], masked
    bias_job, product_job, job = jobs
    columns = g.shape[1]
    grain = columns if g.size < APART else even(columns, parts, LINE)
    share(team, bias_job, table.ctypes.data, columns, grain)
    by_rows, pieces = len(gw) >= gw.shape[1] and x.strides[1] == SIZE, parts if parts == 1 else PIECES * parts
    for_w = described(blas, z.T, x, gw, room, by_rows, parts if by_rows else pieces)
    for_x = described(blas, z, weight, gx, room, False, pieces)
    table[0], table[1], table[2] = product_job, for_w.ctypes.data, for_x.ctypes.data
    count = max(
        (for_w[of.WHOLE] + for_w[of.PART] - 1) // for_w[of.PART], (for_x[of.WHOLE] + for_x[of.PART] - 1) // for_x[of.PART]
    )
    share(team, job, table.ctypes.data, count, 1)
    table[0], for_w[0], for_x[0] = 0, 0, 0  # as in ``product``


def bias_part(start, stop, thread, table):
    t = carray(pointer(table), 7, np.int64)
    n, columns, masked = t[4], t[5], t[6]
    total = carray(pointer(t[3] + start * SIZE), stop - start, REAL)
    total[:] = 0
    for i in range(n):
        at = (i * columns + start) * SIZE
        g, y = carray(pointer(t[0] + at), total.size, REAL), carray(pointer(t[1] + at), total.size, REAL)
        if masked:
            z = carray(pointer(t[2] + at), total.size, REAL)
            for j in range(total.size):
                v = g[j] * (REAL(1) if y[j] != 0 else REAL(0))
                z[j] = v
                total[j] += v
        else:
            for j in range(total.size):
                total[j] += g[j]


def gradients_part(start, stop, thread, table):
    """Part number ``start`` of both products."""
    t = carray(pointer(table), 3, np.int64)
    for k in range(1, 3):
        words = carray(pointer(t[k]), of.WORDS, np.int64)
        length, grain = words[of.WHOLE], words[of.PART]
        if start * grain < length:
            call(t[0], start * grain, min((start + 1) * grain, length), thread, t[k])
