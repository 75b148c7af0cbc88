"""Matrix products on one thread: the loops around ``tile``.

Imports Numba: import it only where that is wanted. The one idea: c = a b adds up rows of b, taken as vectors, times single
numbers of a. So a may lie in memory in any way, and b as long as its rows are whole: the gradients of a linear layer, g^T x
and g weight, are computed from what is there, where a BLAS library first copies both into an order of its own. What cannot
be read so (columns of b that are whole, or fewer than a tile has) is copied, ``DEPTH`` rows at a time.

Measured on one core of an AMD EPYC (Zen 4, which can do 116 GFLOP/s), float32, in GFLOP/s, OpenBLAS 0.3.31 and here:

    x (n, in), weight (out, in), g (n, out)    weight x^T    g^T x      g weight
    64, 784, 256                                93   109    101  101    98  109
    128, 784, 1000                             101   110    103  106    97  109
    128, 1000, 1000                             93   112     99  100    93  108
"""

# mypy: ignore-errors
import numpy as np
from numba import carray
from numba.extending import register_jitable

from .pointers import call, gemm, pointer
from .tile import BYTES, ROWS, narrow_tile, size_of, tile, turn

# Multiplications up to which a BLAS library does the product where there is one. OpenBLAS has tiles for any rows and columns
# then: (16, 150) by (150, 100) takes 4.4 us, here 6. With vectors of 32 bytes it is as fast in large ones, too.
LEFT_TO_BLAS = 1_000_000 if BYTES == 64 else 1 << 62
NARROW = 32  # rows or columns, of which tiles waste a part: (128, 1000) by (1000, 10) 50 us, in pieces by BLAS 24
WIDE = 2 * BYTES  # of a tile's row
DEPTH = 512  # rows of b at a time: a tile's columns of them, 64 KiB, stay in a second-level cache, and the sums stay short
# The table of a product c = a b: addresses; sizes; bytes from row to row and from column to column, if c is added to;
# whether rows are its parts, or columns; the memory of each thread's own; how many rows or columns there are, and in a part.
BLAS, A, B, C, M, N, K, A_DOWN, A_ACROSS, B_DOWN, B_ACROSS, C_DOWN, MORE = range(13)
BY_ROWS, OWN, OWN_STEP, WHOLE, PART, WORDS = range(13, 19)


def room_of(REAL):
    """How many numbers ``multiply`` needs as memory of a thread's own: a block of b's columns, a tile, and a table."""
    return ((DEPTH + ROWS) * WIDE + WORDS * 8) // np.dtype(REAL).itemsize


@register_jitable
def columns_of(REAL, count):
    """Columns of the tile that is taken for so many: half of them where that will do."""
    columns = WIDE // size_of(REAL)
    return columns if count > columns // 2 else columns // 2


@register_jitable
def gather(REAL, b, b_steps, rows, count, width, room):
    """``count`` columns of b, and zeros up to ``width``, row by row at ``room``."""
    (down, across), size = b_steps, size_of(REAL)
    lanes, target = BYTES // size, carray(pointer(room), (rows, width), REAL)
    whole = rows // lanes * lanes if down == size else 0
    for j in range(0, count // lanes * lanes, lanes):
        for i in range(0, whole, lanes):
            turn(REAL, b + i * down + j * across, across, room + (i * width + j) * size, width * size)
    for i in range(rows):
        if across == size:
            source = carray(pointer(b + i * down), count, REAL)
            for j in range(count):
                target[i, j] = source[j]
        else:
            for j in range(count // lanes * lanes if i < whole else 0, count):
                target[i, j] = carray(pointer(b + i * down + j * across), 1, REAL)[0]
        for j in range(count, width):
            target[i, j] = REAL(0)


@register_jitable
def put(REAL, spare, rows, count, width, c, c_step, more):
    """The rows and columns of a tile that there are, from ``spare`` to c, or added to it."""
    source = carray(pointer(spare), (rows, width), REAL)
    for i in range(rows):
        target = carray(pointer(c + i * c_step), count, REAL)
        for j in range(count):
            target[j] = source[i, j] + (target[j] if more else REAL(0))


@register_jitable
def fill(REAL, depth, a, a_steps, b, b_step, count, c, c_step, more, spare):
    """One tile of ``multiply``: the rows that a has, at most ``ROWS``, and ``count`` columns."""
    size = size_of(REAL)
    width = columns_of(REAL, count)
    whole = count == width and a_steps[2] >= ROWS
    to, steps, adds = (c, (b_step, c_step), more) if whole else (spare, (b_step, width * size), False)
    if width * size == WIDE:
        tile(REAL, depth, a, a_steps, b, to, steps, adds)
    else:
        narrow_tile(REAL, depth, a, a_steps, b, to, steps, adds)
    if not whole:
        put(REAL, spare, min(ROWS, a_steps[2]), count, width, c, c_step, more)


@register_jitable
def order(size, steps, rows, columns):
    """Elements from row to row of a matrix, less than 0 from column to column, where these are whole; 0 if neither are."""
    down, across = steps
    if across == size and down >= columns * size and down % size == 0:
        return down // size
    if down == size and across >= rows * size and across % size == 0:
        return -(across // size)
    return 0


@register_jitable
def if_small(blas, m, n, k):
    """The address of a ``cblas_?gemm`` on one thread where it is to do a product of such sizes, in pieces, else 0."""
    return blas if m * n * k <= LEFT_TO_BLAS or min(m, n, k) < NARROW else 0


@register_jitable
def piece(blas, m, n, k, length, parts, unit):
    """How long the pieces are, in units, in which a product is done, whose m or n this length is.

    One for each of so many parts; for BLAS beside tiles, whose bits may depend on it, whatever the number of parts.
    """
    if blas != 0 and BYTES == 64:
        return max(LEFT_TO_BLAS // max(m * n * k // max(length, 1), 1) // unit, 1) * unit
    return even(length, parts, unit)


@register_jitable
def even(length, parts, unit):
    """The length of each of so many parts, in units."""
    return ((length + parts - 1) // parts + unit - 1) // unit * unit


@register_jitable
def by_blas(REAL, function, sizes, a, a_steps, b, b_steps, c, c_step, more):
    """The product by a ``cblas_?gemm`` at this address; False, and nothing done, where it cannot read a or b."""
    (m, n, k), size = sizes, size_of(REAL)
    a_order, b_order = order(size, a_steps, m, k), order(size, b_steps, k, n)
    if function == 0 or a_order == 0 or b_order == 0:
        return False
    steps = abs(a_order), abs(b_order), c_step // size
    gemm(function, REAL(1), (a_order < 0, b_order < 0), sizes, a, b, c, steps, more)
    return True


@register_jitable
def multiply(REAL, blas, sizes, a, a_steps, b, b_steps, c, c_step, more, room):
    """c = a b, or c += a b where ``more`` is True.

    ``blas``: what ``if_small`` says of the whole product, of which this may be a part. ``sizes``: rows of c, columns of
    c, and the length that both share. ``a, b, c``: addresses. ``a_steps, b_steps``: bytes from row to row and from
    column to column, ``c_step`` from row to row. ``room``: the address of the memory.
    """
    (m, n, k), size = sizes, size_of(REAL)
    if by_blas(REAL, blas, sizes, a, a_steps, b, b_steps, c, c_step, more):
        return
    columns, spare = WIDE // size, room + DEPTH * WIDE
    for p in range(0, k, DEPTH):
        depth = min(DEPTH, k - p)
        for j in range(0, n, columns):
            count = min(columns, n - j)
            width, panel, step = columns_of(REAL, count), b + p * b_steps[0] + j * b_steps[1], b_steps[0]
            if count < width or b_steps[1] != size:
                gather(REAL, panel, b_steps, depth, count, width, room)
                panel, step = room, width * size
            for i in range(0, m, ROWS):
                from_a, to = a + i * a_steps[0] + p * a_steps[1], c + i * c_step + j * size
                rows = a_steps[0], a_steps[1], m - i
                fill(REAL, depth, from_a, rows, panel, step, count, to, c_step, more or p > 0, spare)


@register_jitable
def multiply_by(REAL, job, blas, sizes, a, a_steps, b, b_steps, c, c_step, more, room):
    """``multiply`` by ``product_part`` of shared.py, at this address: compiled once, and not into each of its users."""
    place = room + (DEPTH + ROWS) * WIDE
    t = carray(pointer(place), WORDS, np.int64)
    t[BLAS], t[A], t[B], t[C] = blas, a, b, c
    t[M], t[N], t[K] = sizes
    t[A_DOWN], t[A_ACROSS] = a_steps
    t[B_DOWN], t[B_ACROSS] = b_steps
    t[C_DOWN], t[MORE], t[BY_ROWS], t[OWN], t[OWN_STEP] = c_step, more, True, room, 0
    call(job, 0, sizes[0], 0, place)
