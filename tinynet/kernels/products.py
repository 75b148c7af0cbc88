"""The matrix product of arrays, for those who multiply in a step that may be captured.

The one idea: NumPy and CuPy multiply; but CuPy (14.2 still) refuses to call cuBLAS while a stream is being captured, though
cuBLAS itself can be captured. So a step that is being captured brings a handle of its own along, ``gpu.blas.Products``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend import array_module, is_array, recorded


def matmul(a: Any, b: Any, out: Any = None) -> Any:
    """``a @ b`` for arrays of two axes or more, into ``out`` where it is given."""
    if not isinstance(a, np.ndarray) and recorded.now is not None and is_array(a):  # and no Tensor, in a rule
        return recorded.now.products(a, b, out)
    return a @ b if out is None else array_module(a).matmul(a, b, out=out)
