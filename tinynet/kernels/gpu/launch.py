"""Compiling and starting CUDA kernels through CuPy, which keeps what it compiles on disk.

The one idea: threads are counted along one axis, in blocks of 128; a kernel goes through its elements in strides of all
threads (``EACH``), or gives a warp of 32 threads to a row, whose sums these take together (``warp_sum``).
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ...backend import array_module

REALS = {"float32": "float", "float64": "double"}
BLOCK = 128  # threads: four warps
MOST = 2**16  # blocks in a launch: enough to fill any GPU several times over

HEADER = """
typedef long long whole;
#define EACH(i, n) for (whole i = blockIdx.x * (whole)blockDim.x + threadIdx.x; i < (n); i += (whole)gridDim.x * blockDim.x)
#define EACH_ROW(i, n) for (whole i = (blockIdx.x * (whole)blockDim.x + threadIdx.x) / 32; i < (n); \\
                            i += (whole)gridDim.x * blockDim.x / 32)
#define LANE (threadIdx.x % 32)
template <class T> __device__ T warp_sum(T x) {
    for (int d = 16; d > 0; d /= 2) x += __shfl_xor_sync(0xffffffffu, x, d);
    return x;
}
template <class T> __device__ T larger(T a, T b) { return a >= b || a != a ? a : b; }  // NaN comes out as NaN
template <class T> __device__ T warp_max(T x) {
    for (int d = 16; d > 0; d /= 2) x = larger(x, __shfl_xor_sync(0xffffffffu, x, d));
    return x;
}
"""


def takes(*arrays: Any) -> bool:
    """Whether a kernel can go through the arrays: on one GPU, of one dtype that it knows, each one run of memory."""
    first = arrays[0]
    if isinstance(first, np.ndarray) or first.dtype.name not in REALS or not hasattr(array_module(first), "RawKernel"):
        return False
    return all(a.dtype == first.dtype and a.flags.c_contiguous and a.device == first.device for a in arrays)


def start(like: Any, source: str, name: str, threads: int, *arguments: Any, rows: int = 1, block: int = BLOCK) -> None:
    """Run the kernel ``name`` of a source on the GPU of the array ``like``, whose dtype is ``real``.

    Arguments are arrays or None (pointers in the source), integers (``whole``), floats (``double``), and NumPy arrays of one
    element, which are handed over by value. So many threads there are for each of ``rows`` along a second axis of blocks.
    """
    kernel = _kernel(array_module(like).RawKernel, source, name, REALS.get(like.dtype.name, "float"))
    blocks = max(1, min(MOST, -(-threads // block)))
    given = tuple([_sized(a) for a in arguments])
    with like.device:
        kernel((blocks, rows), (block,), given)


def _sized(a: Any) -> Any:
    """An argument with the size that it has in the source; None is a pointer to nothing."""
    return np.int64(a or 0) if a is None or type(a) is int else np.float64(a) if type(a) is float else a


@functools.cache
def _kernel(make: Any, source: str, name: str, real: str) -> Any:
    return make(f"typedef {real} real;{HEADER}{source}", name)
