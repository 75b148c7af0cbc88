"""CUDA kernels without a GPU: a stand-in for CuPy's RawKernel that compiles their text as C++ and runs it thread by thread.

The one idea: each thread of a block is a coroutine. It runs until it meets a barrier or a shuffle, and hands over to the
next then; so threads see each other's values as on a GPU, in an order that is always the same. It shows that a kernel
computes what it should; not that it is fast, nor that no two threads write to one place at once.
"""

import ctypes
import functools
import hashlib
import re
import shutil
import subprocess
import tempfile
import types
from pathlib import Path

import numpy as np

GXX = shutil.which("g++") or shutil.which("c++")

EMULATION = """
#include <cmath>
#include <cstdint>
#include <cstring>
#include <ucontext.h>
using namespace std;
struct dim3 { unsigned x, y, z; };
static dim3 threadIdx, blockIdx, blockDim, gridDim;
#define __global__
#define __device__ static inline
#define __shared__ static
#define __restrict__
#define __launch_bounds__(n)
static ucontext_t home, threads[1024]; static char stacks[1024][1 << 14]; static bool ended[1024];
static void (*body)(); static char values[1024][16];
static void pause_here() { unsigned me = threadIdx.x; swapcontext(&threads[me], &home); threadIdx.x = me; }
static unsigned waiting, passed;  // threads at the barrier, and how many barriers have been passed
static void __syncthreads() { unsigned mine = passed; waiting++; while (passed == mine) pause_here(); }
template <class T> T __shfl_xor_sync(unsigned, T x, int d) {
    memcpy(values[threadIdx.x], &x, sizeof x); pause_here();
    T y; memcpy(&y, values[threadIdx.x ^ d], sizeof y); pause_here();
    return y;
}
template <class T, class S> T atomicAdd(T *at, S x) { T old = *at; *at = old + x; return old; }
template <class T> T atomicCAS(T *at, T is, T becomes) { T old = *at; if (old == is) *at = becomes; return old; }
static unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)(((unsigned long long)a * b) >> 32); }
static void enter() { body(); ended[threadIdx.x] = true; swapcontext(&threads[threadIdx.x], &home); }
static void run_all(unsigned gx, unsigned gy, unsigned n) {
    gridDim = {gx, gy, 1}; blockDim = {n, 1, 1};
    for (blockIdx.y = 0; blockIdx.y < gy; blockIdx.y++) for (blockIdx.x = 0; blockIdx.x < gx; blockIdx.x++) {
        for (unsigned t = 0; t < n; t++) {
            ended[t] = false;
            getcontext(&threads[t]);
            threads[t].uc_stack.ss_sp = stacks[t]; threads[t].uc_stack.ss_size = sizeof stacks[t]; threads[t].uc_link =
            &home; makecontext(&threads[t], enter, 0);
        }
        waiting = 0;
        for (unsigned running = n; running > 0;) {
            running = 0;
            for (unsigned t = 0; t < n; t++) if (!ended[t]) {
                threadIdx.x = t; swapcontext(&home, &threads[t]); running += !ended[t];
            }
            if (waiting == running) { waiting = 0; passed++; }
        }
    }
}
"""

FOLDER = Path(tempfile.mkdtemp(prefix="tinynet-kernels-"))


@functools.cache
def compiled(source, name):
    """A function (blocks along two axes, threads, addresses of the arguments) for a kernel of a source."""
    found = re.search(rf'extern "C" __global__ void {name}\(([^)]*)\)', source)
    assert found, f"no kernel {name} in {source}"
    kinds = [" ".join(re.sub(r"\b(__restrict__|const)\b", "", p).split()[:-1]) for p in found[1].split(",")]
    stars = ["*" if "*" in p else "" for p in found[1].split(",")]
    kinds = [k.rstrip(" *") + star for k, star in zip(kinds, stars, strict=True)]
    call = ", ".join(f"*({kind} *)given[{k}]" for k, kind in enumerate(kinds))
    text = f"""{EMULATION}{source}
static void **given;
static void one() {{ {name}({call}); }}
extern "C" void run(unsigned gx, unsigned gy, unsigned n, void **arguments) {{
    given = arguments; body = one; run_all(gx, gy, n);
}}"""
    path = FOLDER / f"{hashlib.sha256(text.encode()).hexdigest()[:20]}.so"
    command = [GXX, "-O0", "-ffp-contract=off", "-Wall", "-Werror", "-Wno-unused", "-shared", "-fPIC", "-x", "c++", "-"]
    process = subprocess.run([*command, "-o", path], input=text, text=True, capture_output=True, check=False)
    assert process.returncode == 0, process.stderr
    run = ctypes.CDLL(str(path)).run
    run.argtypes = [ctypes.c_uint] * 3 + [ctypes.c_void_p]
    return run, kinds


class RawKernel:
    """CuPy's, as its documentation has it."""

    started: list[tuple[str, str]] = []  # (text, name) of each that ran, for the real compiler too

    def __init__(self, code, name, options=()):
        self.code, self.name = code, name

    def __call__(self, grid, block, args):
        run, kinds = compiled(self.code, self.name)
        real = re.search(r"typedef (\w+) real;", self.code)[1]
        assert len(args) == len(kinds), (self.name, kinds, len(args))
        held = []
        for a, kind in zip(args, kinds, strict=True):
            if hasattr(a, "_array"):
                assert kind.endswith("*"), (self.name, kind)
                assert a.dtype.itemsize == SIZES.get(kind[:-1], REAL_SIZES[real] if kind == "real*" else a.itemsize), (
                    kind,
                    a.dtype,
                )
                held.append(np.array([a._array.ctypes.data], np.uint64))
            elif a is None:
                held.append(np.zeros(1, np.uint64))
            else:
                assert isinstance(a, (np.generic, np.ndarray)), f"{self.name}: {a!r} of no size that C knows"
                assert a.size == 1
                assert a.dtype.itemsize == SIZES.get(kind, a.dtype.itemsize), (self.name, kind, a.dtype)
                held.append(np.array(a).reshape(1))
        pointers = np.array([h.ctypes.data for h in held], np.uint64)
        blocks = (*grid, 1)[:2]
        if "EACH" in self.code.partition(f" {self.name}(")[2].partition('extern "C"')[0]:
            blocks = (min(blocks[0], 4), blocks[1])  # threads that go on by themselves need no more
        self.started.append((self.code, self.name))
        run(*blocks, block[0], pointers.ctypes.data)


SIZES = {"whole": 8, "int": 4, "double": 8, "float": 4, "unsigned char": 1, "unsigned": 4, "uint64": 8, "bool": 1}
REAL_SIZES = {"float": 4, "double": 8}


def install(cupy):
    """Give the stand-in for CuPy its kernels, and its arrays the address that these need."""
    cupy.RawKernel = RawKernel
    cupy.ndarray.data = property(lambda self: types.SimpleNamespace(ptr=self._array.ctypes.data))
