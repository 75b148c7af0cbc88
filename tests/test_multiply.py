"""The product that is computed tile by tile: however its matrices lie, on other processors, with and without BLAS."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

numba = pytest.importorskip("numba", reason="the product is compiled: pip install 'tinynet[fast]'")
from tinynet.kernels.multiply import DEPTH, ROWS, WIDE, multiply, room_of  # noqa: E402 (it imports Numba)
from tinynet.kernels.team import _blas  # noqa: E402

pytestmark = [
    pytest.mark.cpu,
    pytest.mark.skipif(os.environ.get("TINYNET_NUMBA") == "0", reason="the product is compiled"),
]
COLUMNS = WIDE // 4  # of float32


@numba.njit(error_model="numpy")
def product(real, blas, sizes, a, a_steps, b, b_steps, c, c_step, more, room):
    multiply(real, blas, sizes, a, a_steps, b, b_steps, c, c_step, more, room)


def multiplied(a, b, c, more, blas=0):
    real, room = c.dtype.type, np.empty(room_of(c.dtype), c.dtype)
    sizes = (c.shape[0], c.shape[1], a.shape[1])
    addresses = [x.ctypes.data for x in (a, b, c, room)]
    product(
        real, blas, sizes, addresses[0], a.strides, addresses[1], b.strides, addresses[2], c.strides[0], more, addresses[3]
    )
    return c


def lying(a, how):
    """The values of a, as rows, as columns, as a part of rows, or as every other number."""
    if how == "columns":
        return np.asfortranarray(a)
    return np.pad(a, 3)[3:-3, 3:-3] if how == "part" else np.repeat(a, 2, axis=1)[:, ::2] if how == "apart" else a.copy()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("left", "right"), [*itertools.product(["rows", "columns", "part", "apart"], repeat=2)])
def test_every_shape_is_numpys(left, right, dtype):
    rng, error = np.random.default_rng(0), 1e-4 if dtype == "float32" else 1e-12
    for m, n in itertools.product(
        [1, ROWS - 1, ROWS, 2 * ROWS + 1], [1, COLUMNS // 2, COLUMNS - 1, COLUMNS, 2 * COLUMNS + 3]
    ):
        for k in (1, 5, DEPTH, DEPTH + 37):
            a, b = rng.uniform(-1, 1, (m, k)).astype(dtype), rng.uniform(-1, 1, (k, n)).astype(dtype)
            wanted, frame = a.astype("float64") @ b.astype("float64"), np.full((m + 2, n + 2), 7, dtype)
            inside = frame[1:-1, 1:-1]
            multiplied(lying(a, left), lying(b, right), inside, False)
            np.testing.assert_allclose(inside, wanted, rtol=0, atol=error)
            multiplied(lying(a, left), lying(b, right), inside, True)
            np.testing.assert_allclose(inside, 2 * wanted, rtol=0, atol=2 * error)
            inside[:] = 7
            assert (frame == 7).all()  # nothing outside is written


@pytest.mark.parametrize(("left", "right"), [*itertools.product(["rows", "columns", "part", "apart"], repeat=2)])
def test_small_ones_are_left_to_blas(left, right):
    gemm = _blas("cblas_sgemm")
    if not gemm:
        pytest.skip("NumPy does not stand on OpenBLAS here")
    rng = np.random.default_rng(0)
    a, b = lying(rng.random((7, 40), "float32"), left), lying(rng.random((40, 50), "float32"), right)
    np.testing.assert_allclose(multiplied(a, b, np.empty((7, 50), "float32"), False, gemm), a @ b, rtol=1e-5)
    np.testing.assert_allclose(multiplied(a, b, np.ones((7, 50), "float32"), True, gemm), a @ b + 1, rtol=1e-5)


def test_what_is_not_a_number_stays_in_its_row_and_column():
    """Rows that a tile takes twice, and columns of zeros beside the last, must not bring theirs into others."""
    a, b = np.ones((ROWS + 1, 9), "float32"), np.ones((9, COLUMNS + 1), "float32")
    a[-1, 3], b[2, -1] = np.inf, np.nan
    c = multiplied(a, b, np.empty((ROWS + 1, COLUMNS + 1), "float32"), False)
    assert np.isnan(c[:, -1]).all()
    assert (c[-1, :-1] == np.inf).all()
    assert (c[:-1, :-1] == 9).all()


def test_long_sums_lose_no_more_than_numpys():
    rng = np.random.default_rng(0)
    a, b = rng.random((8, 40_000), "float32"), rng.random((40_000, 32), "float32")
    wanted = a.astype("float64") @ b.astype("float64")
    ours = multiplied(a, b, np.empty((8, 32), "float32"), False)
    assert np.abs(ours / wanted - 1).max() < 1e-5


@pytest.mark.parametrize(("name", "features", "vector"), [("haswell", "+avx,+avx2,+fma", 32), ("generic", "", 16)])
def test_other_processors(name, features, vector):
    """The other tiles, for which this processor can stand in."""
    host = __import__("llvmlite.binding").binding.get_host_cpu_features()
    if not all(host.get(feature[1:]) for feature in features.split(",") if feature):
        pytest.skip("this processor cannot do that")
    env = {**os.environ, "NUMBA_CPU_NAME": name, "NUMBA_CPU_FEATURES": features}
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import test_multiply as t
from tinynet.kernels import multiply, tile
assert tile.BYTES == {vector}, tile.BYTES
blas = multiply.if_small(1, 1000, 1000, 1000)  # as good in large products there, in as many parts as there are threads
assert multiply.piece(blas, 1000, 1000, 1000, 1000, 2, 8) <= 504
t.test_every_shape_is_numpys("rows", "columns", "float32")
t.test_every_shape_is_numpys("columns", "rows", "float64")
"""
    subprocess.run([sys.executable, "-c", code], env=env, check=True, cwd=Path(__file__).parents[1])
