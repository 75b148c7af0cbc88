"""The compiled half of ``conv_team``: convolution of some images, and its gradients, as jobs for the team of ``team``.

Never imported: ``compiled.compile_file`` compiles its text, for arrays of ``REAL``. The one idea: the patches of an image,
or of some rows of it, the matrix product with them, and what is done to its result stay in a thread's cache.

Runs of neighbours are short here. Eight elements in one statement become one move of a vector, for which the compiler need
not know that source and target do not overlap, and unsigned indices are not looked at for their sign: for 64 images of 6
channels, 14x14, and 5x5 kernels, all columns take 0.15 ms, in loops of one element 0.50, and NumPy 1.8.
"""

# mypy: ignore-errors
import numpy as np
from numba import carray

from tinynet.kernels.multiply import if_small, multiply_by
from tinynet.kernels.pointers import pointer

REAL = np.float32
SIZE = np.dtype(REAL).itemsize
WORDS = 38
# What a table has: addresses; then where a thread's parts of the scratch memory are; then numbers.
PRODUCT, BLAS, X, W, BIAS, Y, WHERE, G, GX, SUMS, SCRATCH, GRAIN = range(12)
THREADS, COLUMNS, OUTPUT, GRADIENT, LINES, SPARE, ROWS, SEEN, KIND, FRAMED = range(12, 22)
CHANNELS, HEIGHT, WIDTH, TALL, WIDE, ABOVE, LEFT, OUTPUTS, KH, KW, OH, OW, STEP, STRIDE, DILATION, DILATED = range(22, 38)
PLAIN, RELU, POOL = range(3)

SIGNATURES = dict.fromkeys(("columns", "add_back", "image_of", "bias_of", "pool", "relu_back", "pool_back"))
JOBS = ("forward_part", "back_part")
ANY_ORDER = ("relu_back", "pool_back")  # sums in whatever order is fastest


# --------------------------------------------------------------------------------------------------------- patches


def columns(image, result, top, step, stride, dilation, dilated, every):
    """The patches that the output's rows from ``top`` on see: ``(channels, kh, kw, rows, across)``.

    ``step`` and ``dilation`` are those down the image, ``stride`` and ``dilated`` across it. With ``every``, first each so
    many-th row of the output, then those after them, and so on.
    """
    channels, kh, kw, rows, across = result.shape
    height, width = image.shape[1:]
    x, y, u = image.reshape(-1), result.reshape(-1), np.uint64
    q, run, down, right, whole = u(0), u(across), u(width * step * every), u(stride), stride == 1 and across >= 8
    for channel in range(channels):
        for i in range(kh):
            for j in range(kw):
                for first in range(top, top + every):
                    p = u((channel * height + first * step + i * dilation) * width + j * dilated)
                    for _ in range(rows // every):
                        k = u(0)
                        while k < run and whole:
                            last = min(k, run - u(8))  # the last eight overlap those before
                            a, b = p + last, q + last
                            c, d = a + u(4), b + u(4)
                            y[b], y[b + u(1)], y[b + u(2)], y[b + u(3)], y[d], y[d + u(1)], y[d + u(2)], y[d + u(3)] = (
                                *(x[a], x[a + u(1)], x[a + u(2)], x[a + u(3)]),
                                *(x[c], x[c + u(1)], x[c + u(2)], x[c + u(3)]),
                            )
                            k += u(8)
                        while k < run:
                            y[q + k] = x[p + k * right]
                            k += u(1)
                        p += down
                        q += run


def add_back(result, image, lines, top, step, stride, dilation, dilated, seen):
    """Columns added to where ``columns`` took them from; ``seen`` is how many rows of the image that are.

    They are added down the image first, into lines ``(every, rows, across)`` in the columns' order, and then across.
    """
    channels, kh, kw, rows, across = result.shape
    height, width = image.shape[1:]
    every, some, _ = lines.shape
    x, y, line, u = image.reshape(-1), result.reshape(-1), lines.reshape(-1), np.uint64
    run, right, eights = u(across), u(stride), u(across // 8 * 8 if stride == 1 else 0)
    length = rows // every * across
    for channel in range(channels):
        for j in range(kw):
            line[:] = 0
            for i in range(kh):
                for first in range(every):
                    start = (((channel * kh + i) * kw + j) * every + first) * length
                    for r in range(0, length, length if step == 1 else across):
                        row = (first + r // across * every) * step + i * dilation
                        at = (row % every * some + row // every) * across
                        source = y[start + r : start + r + (length if step == 1 else across)]
                        target = line[at : at + source.size]
                        for k in range(source.size):
                            target[k] += source[k]
            for first in range(every):
                q = u(first * some * across)
                p = u((channel * height + top * step + first) * width + j * dilated)
                for _ in range(first, seen, every):
                    k = u(0)
                    while k < eights:
                        a, b = x[p + k : p + k + u(8)], line[q + k : q + k + u(8)]
                        a[0], a[1], a[2], a[3] = a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3]
                        a[4], a[5], a[6], a[7] = a[4] + b[4], a[5] + b[5], a[6] + b[6], a[7] + b[7]
                        k += u(8)
                    while k < run:
                        x[p + k * right] += line[q + k]
                        k += u(1)
                    p += u(every * width)
                    q += run


def image_of(t, n, padded):
    """Image number n with the zeros around it, which ``padded`` has already; itself where there are none."""
    channels, height, width = t[CHANNELS], t[HEIGHT], t[WIDTH]
    image = carray(pointer(t[X] + n * channels * height * width * SIZE), (channels, height, width), REAL)
    if not t[FRAMED]:
        return image
    for c in range(channels):
        for i in range(height):
            source, target = image[c, i], padded[c, t[ABOVE] + i, t[LEFT] :]
            for j in range(width):
                target[j] = source[j]
    return padded


# ----------------------------------------------------------------------------------- what is done to a product's result
# Of equal elements the first is the largest, and a NaN is above everything. 255 is where the largest element stood that is
# not above 0: nowhere.


def bias_of(y, bias, start, stop, relu):
    """The bias added to these positions of all outputs, in place, and the ReLU of that."""
    for o in range(len(y)):
        line, b, zero = y[o, start:stop], bias[o], REAL(0)
        if relu:
            for i in range(line.size):
                v = line[i] + b
                line[i] = zero if v <= 0 else v
        else:
            for i in range(line.size):
                line[i] += b


def pool(z, bias, y, where, start):
    """y from position ``start`` on is the largest, if it is above 0, of two neighbours in each of two lines of z + bias."""
    one, two, n = np.uint64(1), np.uint64(2), z.shape[2] // 2
    for o in range(len(y)):
        first, second, b, zero = z[o, 0], z[o, 1], bias[o], REAL(0)
        target, place = y[o, start : start + n], where[o, start : start + n]
        for i in range(np.uint64(target.size)):
            v, k = first[two * i] + b, np.int32(0)
            a = first[two * i + one] + b
            k, v = (np.int32(1), a) if (not a <= v) & (v == v) else (k, v)
            a = second[two * i] + b
            k, v = (np.int32(2), a) if (not a <= v) & (v == v) else (k, v)
            a = second[two * i + one] + b
            k, v = (np.int32(3), a) if (not a <= v) & (v == v) else (k, v)
            target[i] = zero if v <= 0 else v
            place[i] = np.int32(255) if v <= 0 else k


def relu_back(g, y, start, z, total):
    """z = g where y is not 0, of the positions from ``start`` on; its sums are added to ``total``."""
    for o in range(len(g)):
        target, s, zero = z[o], REAL(0), REAL(0)
        source, mask = g[o, start : start + target.size], y[o, start : start + target.size]
        for i in range(target.size):
            v = source[i]
            v = zero if mask[i] == 0 else v
            target[i] = v
            s += v
        total[o] += s


def pool_back(g, where, start, z, total):
    """z = g from position ``start`` on where the largest elements stood, 0 elsewhere; its sums are added to ``total``."""
    one, two, n = np.uint64(1), np.uint64(2), z.shape[2] // 2
    for o in range(len(g)):
        source, place, s, zero = g[o, start : start + n], where[o, start : start + n], REAL(0), REAL(0)
        for line in range(2):
            target, left, right = z[o, line], np.int32(2 * line), np.int32(2 * line + 1)
            for i in range(np.uint64(source.size)):
                v, k = source[i], np.int32(place[i])
                target[two * i] = v if k == left else zero
                target[two * i + one] = v if k == right else zero
        for i in range(np.uint64(source.size)):
            v = source[i]
            s += zero if place[i] == 255 else v
        total[o] += s


# ------------------------------------------------------------------------------------------------------------ the jobs


def forward_part(start, stop, thread, table):
    t = carray(pointer(table), WORDS, np.int64)
    outputs, oh, ow, kind = t[OUTPUTS], t[OH], t[OW], t[KIND]
    column, positions, every = t[CHANNELS] * t[KH] * t[KW], oh * ow, 2 if kind == POOL else 1
    scratch, kept = t[SCRATCH] + thread * t[THREADS], positions // 4 if kind == POOL else positions
    padded = carray(pointer(scratch), (t[CHANNELS], t[TALL], t[WIDE]), REAL)
    bias = carray(pointer(t[BIAS]), outputs, REAL)
    if t[FRAMED]:
        padded[:] = 0
    for n in range(start, stop):
        image, y_at = image_of(t, n, padded), t[Y] + n * outputs * kept * SIZE
        for top in range(0, oh, t[ROWS]):
            rows = min(t[ROWS], oh - top)
            count = rows * ow
            patches = carray(pointer(scratch + t[COLUMNS]), (t[CHANNELS], t[KH], t[KW], rows, ow), REAL)
            columns(image, patches, top, t[STEP], t[STRIDE], t[DILATION], t[DILATED], every)
            z, step = (scratch + t[OUTPUT], count) if kind == POOL else (y_at + top * ow * SIZE, positions)
            sizes, w_steps, c_steps = (outputs, count, column), (column * SIZE, SIZE), (count * SIZE, SIZE)
            c, spare, blas = scratch + t[COLUMNS], scratch + t[SPARE], if_small(t[BLAS], outputs, count, column)
            multiply_by(REAL, t[PRODUCT], blas, sizes, t[W], w_steps, c, c_steps, z, step * SIZE, False, spare)
            y = carray(pointer(y_at), (outputs, kept), REAL)
            if kind == POOL:
                where = carray(pointer(t[WHERE] + n * outputs * kept), (outputs, kept), np.uint8)
                pool(carray(pointer(z), (outputs, 2, count // 2), REAL), bias, y, where, top * ow // 4)
            elif kind == RELU or t[BIAS] != 0:
                bias_of(y, bias, top * ow, top * ow + count, kind == RELU)


def back_part(start, stop, thread, table):
    """Writes this part's sums for w and the bias, and the gradient for x, each where there is a place for it."""
    t = carray(pointer(table), WORDS, np.int64)
    outputs, oh, ow, kind = t[OUTPUTS], t[OH], t[OW], t[KIND]
    column, positions, every = t[CHANNELS] * t[KH] * t[KW], oh * ow, 2 if kind == POOL else 1
    scratch, kept = t[SCRATCH] + thread * t[THREADS], positions // 4 if kind == POOL else positions
    padded = carray(pointer(scratch), (t[CHANNELS], t[TALL], t[WIDE]), REAL)
    lines = carray(pointer(scratch + t[LINES]), (every, (t[SEEN] + every - 1) // every, ow), REAL)
    sums = t[SUMS] + start // t[GRAIN] * (column + 1) * outputs * SIZE
    total = carray(pointer(sums + column * outputs * SIZE), outputs, REAL)
    if t[SUMS] != 0:
        carray(pointer(sums), (column + 1) * outputs, REAL)[:] = 0
    if t[FRAMED]:
        padded[:] = 0
    for n in range(start, stop):
        g_at, gx_at = t[G] + n * outputs * kept * SIZE, t[GX] + n * t[CHANNELS] * t[HEIGHT] * t[WIDTH] * SIZE
        gx = carray(pointer(scratch + t[GRADIENT] if t[FRAMED] else gx_at), (t[CHANNELS], t[TALL], t[WIDE]), REAL)
        if t[GX] != 0:
            gx[:] = 0
        for top in range(0, oh, t[ROWS]):
            rows = min(t[ROWS], oh - top)
            count, z, z_step = rows * ow, scratch + t[OUTPUT], rows * ow
            g = carray(pointer(g_at), (outputs, kept), REAL)
            if kind == PLAIN:
                z, z_step = g_at + top * ow * SIZE, positions
            elif kind == RELU:
                y = carray(pointer(t[Y] + n * outputs * kept * SIZE), (outputs, kept), REAL)
                relu_back(g, y, top * ow, carray(pointer(z), (outputs, count), REAL), total)
            else:
                where = carray(pointer(t[WHERE] + n * outputs * kept), (outputs, kept), np.uint8)
                pool_back(g, where, top * ow // 4, carray(pointer(z), (outputs, 2, count // 2), REAL), total)
            c, spare, blas = scratch + t[COLUMNS], scratch + t[SPARE], if_small(t[BLAS], outputs, count, column)
            patches = carray(pointer(c), (t[CHANNELS], t[KH], t[KW], rows, ow), REAL)
            if t[SUMS] != 0:
                columns(image_of(t, n, padded), patches, top, t[STEP], t[STRIDE], t[DILATION], t[DILATED], every)
                sizes, c_steps, z_steps = (column, outputs, count), (count * SIZE, SIZE), (SIZE, z_step * SIZE)
                multiply_by(REAL, t[PRODUCT], blas, sizes, c, c_steps, z, z_steps, sums, outputs * SIZE, True, spare)
            if t[GX] != 0:
                sizes, w_steps, z_steps = (column, count, outputs), (SIZE, column * SIZE), (z_step * SIZE, SIZE)
                multiply_by(REAL, t[PRODUCT], blas, sizes, t[W], w_steps, z, z_steps, c, count * SIZE, False, spare)
                seen = t[SEEN] - (t[ROWS] - rows) * t[STEP]
                add_back(patches, gx, lines, top, t[STEP], t[STRIDE], t[DILATION], t[DILATED], seen)
        if t[GX] != 0 and t[FRAMED]:
            image = carray(pointer(gx_at), (t[CHANNELS], t[HEIGHT], t[WIDTH]), REAL)
            for channel in range(t[CHANNELS]):
                for i in range(t[HEIGHT]):
                    source, target = gx[channel, t[ABOVE] + i, t[LEFT] :], image[channel, i]
                    for j in range(target.size):
                        target[j] = source[j]
