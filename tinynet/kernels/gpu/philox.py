"""Random numbers where they are needed: the generator Philox4x32-10 of Salmon et al. 2011 (SC '11), for dropout on a GPU.

The one idea: number i of a key is a pure function of the two, so that every thread draws its own, and the way back draws the
same mask again instead of reading one that was kept. Element i takes word i % 4 of the four for the counter i // 4.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backend import array_module
from .launch import start, takes

MULTIPLIERS, WEYL = (0xD2511F53, 0xCD9E8D57), (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10

SOURCE = f"""
__device__ void philox(unsigned long long counter, unsigned long long key, unsigned *c) {{
    unsigned k0 = (unsigned)key, k1 = (unsigned)(key >> 32);
    c[0] = (unsigned)counter; c[1] = (unsigned)(counter >> 32); c[2] = 0; c[3] = 0;
    for (int round = 0; round < {ROUNDS}; round++) {{
        unsigned high0 = __umulhi({MULTIPLIERS[0]:#x}u, c[0]), low0 = {MULTIPLIERS[0]:#x}u * c[0];
        unsigned high1 = __umulhi({MULTIPLIERS[1]:#x}u, c[2]), low1 = {MULTIPLIERS[1]:#x}u * c[2];
        c[0] = high1 ^ c[1] ^ k0; c[1] = low1;
        c[2] = high0 ^ c[3] ^ k1; c[3] = low0;
        k0 += {WEYL[0]:#x}u; k1 += {WEYL[1]:#x}u;
    }}
}}

extern "C" __global__ void dropout(const real *x, const whole *key, real *y, whole n, unsigned limit, double scale) {{
    EACH(block, (n + 3) / 4) {{
        unsigned words[4];
        philox(block, key[0], words);
        for (int j = 0; j < 4; j++)
            if (4 * block + j < n) y[4 * block + j] = (words[j] >> 8) >= limit ? x[4 * block + j] * (real)scale : (real)0;
    }}
}}
"""


def dropout(x: Any, key: Any, p: float) -> Any:
    """x with each element zeroed with probability p and the others divided by 1 - p; ``key``: an int64 array of one."""
    limit, scale = round(p * 2**24), 1 / (1 - p) if p < 1 else 0.0
    x = array_module(x).ascontiguousarray(x)
    if not takes(x):
        return x * ((words(x, key) >> 8 >= limit) * x.dtype.type(scale)).astype(x.dtype)
    y = array_module(x).empty_like(x)
    start(x, SOURCE, "dropout", -(-x.size // 4), x, key, y, x.size, np.uint32(limit), scale)
    return y


def words(like: Any, key: Any) -> Any:
    """The same random words, of 32 bits each, in array code: an int64 array of the shape of ``like``."""
    xp, low = array_module(like), 2**32 - 1
    counter = xp.arange(-(-like.size // 4)).astype(np.uint64)
    k0, k1 = key.astype(np.uint64) & low, key.astype(np.uint64) >> 32
    c = [counter & low, counter >> 32, xp.zeros_like(counter), xp.zeros_like(counter)]
    for _ in range(ROUNDS):
        first, second = c[0] * MULTIPLIERS[0], c[2] * MULTIPLIERS[1]
        c = [(second >> 32) ^ c[1] ^ k0, second & low, (first >> 32) ^ c[3] ^ k1, first & low]
        k0, k1 = k0 + WEYL[0] & low, k1 + WEYL[1] & low
    return xp.stack(c, axis=-1).reshape(-1)[: like.size].reshape(like.shape).astype(np.int64)
