"""cuBLAS by itself, for products in a captured step.

The one idea: one call of ``cublas<t>gemmStridedBatched`` for everything. cuBLAS counts along columns, and row by row a @ b
is, in its eyes, the transposed b times the transposed a; so the operands change places and nothing is copied. A matrix that
lies transposed in memory is handed over as that.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Any, NamedTuple

import numpy as np

WORKSPACE = 32 * 2**20  # bytes: what NVIDIA recommends for its largest GPUs; a captured product may not ask for memory
TF32 = 3  # CUBLAS_TF32_TENSOR_OP_MATH
GEMM = {"float32": ("cublasSgemmStridedBatched", ctypes.c_float), "float64": ("cublasDgemmStridedBatched", ctypes.c_double)}


def library(cupy: Any) -> Any:
    """The cuBLAS that CuPy has loaded, which it does when asked for a handle."""
    cupy.cuda.get_cublas_handle()
    version = cupy.cuda.runtime.runtimeGetVersion() // 1000
    return ctypes.CDLL(f"cublas64_{version}.dll" if sys.platform == "win32" else f"libcublas.so.{version}")


class _Matrix(NamedTuple):
    """A batch of matrices as cuBLAS wants them: is each one transposed, how far apart are its lines, and the matrices."""

    array: Any
    transposed: int
    line: int
    apart: int


class Products:
    """Multiplies matrices on the current device and stream, in memory of its own. To be made before the capture begins."""

    def __init__(self, cupy: Any, precision: str):
        self.cupy, self.library, self.handle = cupy, library(cupy), ctypes.c_void_p()
        self.workspace = cupy.empty(WORKSPACE, np.uint8)
        self.kept: list[Any] = []  # copies of operands, whose memory the graph goes on to use
        stream = ctypes.c_void_p(cupy.cuda.get_current_stream().ptr)
        self._call("cublasCreate_v2", ctypes.byref(self.handle))
        self._call("cublasSetStream_v2", self.handle, stream)
        where = ctypes.c_void_p(self.workspace.data.ptr)  # after the stream, which takes the workspace away
        self._call("cublasSetWorkspace_v2", self.handle, where, ctypes.c_size_t(WORKSPACE))
        self._call("cublasSetMathMode", self.handle, TF32 if precision == "high" else 0)

    def __call__(self, a: Any, b: Any, out: Any = None) -> Any:
        """``a @ b`` for arrays of two axes or more. TypeError for other dtypes than float32 and float64."""
        if a.dtype != b.dtype or a.dtype.name not in GEMM:
            raise TypeError(f"a captured product is of float32 or float64 matrices, got {a.dtype} and {b.dtype}")
        (m, k), n = a.shape[-2:], b.shape[-1]
        batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        shape = (*batch, m, n)
        y = out if out is not None and out.flags.c_contiguous and out.dtype == a.dtype else self.cupy.empty(shape, a.dtype)
        if k == 0:
            y[...] = 0
        elif y.size:
            self._multiply(self._laid(a, batch), self._laid(b, batch), y, (m, n, k))
        if out is None or y is out:
            return y
        out[...] = y
        return out

    def _multiply(self, a: _Matrix, b: _Matrix, y: Any, sizes: tuple[int, int, int]) -> None:
        name, real = GEMM[y.dtype.name]
        m, n, k = sizes
        one, zero, wide = ctypes.byref(real(1)), ctypes.byref(real(0)), ctypes.c_longlong
        first, second = ((ctypes.c_void_p(x.array.data.ptr), ctypes.c_int(x.line), wide(x.apart)) for x in (b, a))
        result = ctypes.c_void_p(y.data.ptr), ctypes.c_int(n), wide(m * n)
        flags = ctypes.c_int(b.transposed), ctypes.c_int(a.transposed)
        shape = ctypes.c_int(n), ctypes.c_int(m), ctypes.c_int(k)
        self._call(name, self.handle, *flags, *shape, one, *first, *second, zero, *result, ctypes.c_int(y.size // (m * n)))

    def _laid(self, x: Any, batch: tuple[int, ...]) -> _Matrix:
        """x, copied only where cuBLAS could not find its matrices as they lie."""
        rows, columns = x.shape[-2:]
        if x.ndim > 2 and x.shape[:-2] != batch:
            x = self.cupy.broadcast_to(x, (*batch, rows, columns))
        if x.ndim > 3:
            x = x.reshape((-1, rows, columns))
        if self._lines(x) is None:
            x = self.cupy.ascontiguousarray(x)
            self.kept.append(x)
        transposed, line = self._lines(x) or (0, columns)
        return _Matrix(x, transposed, line, x.strides[0] // x.itemsize if x.ndim > 2 else 0)

    def _lines(self, x: Any) -> tuple[int, int] | None:
        """(transposed?, distance of lines) of matrices that lie row by row or column by column; None for others."""
        rows, columns = x.shape[-2:]
        down, across = (s // x.itemsize for s in x.strides[-2:])
        if (across == 1 or columns == 1) and (down >= columns or rows == 1):
            return 0, max(down, columns) if rows > 1 else columns
        if (down == 1 or rows == 1) and (across >= rows or columns == 1):
            return 1, max(across, rows) if columns > 1 else rows
        return None

    def _call(self, name: str, *arguments: Any) -> None:
        status = getattr(self.library, name)(*arguments)
        if status:
            raise RuntimeError(f"{name} of cuBLAS failed with status {status}")
