"""Cross-entropy's loops beside its array code, and both beside the formula in float64."""

import numpy as np
import pytest

from tinynet.kernels import compiled, cross_entropy, cross_entropy_grad, softmax

pytestmark = pytest.mark.cpu  # Numba's loops

NUMBA = pytest.mark.skipif(not compiled.enabled(), reason="the compiled loops need Numba: pip install 'tinynet[fast]'")


def case(rows=40, classes=10, dtype="float32", size=3.0):
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((rows, classes)) * size).astype(dtype)
    return x, rng.integers(0, classes, rows), rng.standard_normal(rows).astype(dtype)


def both(monkeypatch, x, ids, g):
    """(loss, gradient) by loops, and by array code."""
    results = []
    for use in ("1", "0"):
        monkeypatch.setenv("TINYNET_NUMBA", use)
        assert (compiled.loops_of(softmax._cross_entropy, x, least=256) is not None) == (use == "1")
        with np.errstate(all="ignore"):
            results.append((cross_entropy(x, ids), cross_entropy_grad(g, x, ids)))
    return results


@NUMBA
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [1.0, 1e4])
def test_loops_and_array_code_agree_with_the_formula(monkeypatch, dtype, size):
    x, ids, g = case(dtype=dtype, size=size)
    wide, rows = x.astype("float64"), np.arange(len(x))
    top = wide.max(axis=1, keepdims=True)
    p = np.exp(wide - top) / np.exp(wide - top).sum(axis=1, keepdims=True)
    y = np.log(np.exp(wide - top).sum(axis=1)) + top[:, 0] - wide[rows, ids]
    gx = p * g[:, None]
    gx[rows, ids] -= g
    eps = np.finfo(dtype).eps
    for loss, slope in both(monkeypatch, x, ids, g):
        assert loss.dtype == slope.dtype == dtype
        np.testing.assert_allclose(loss, y, rtol=4 * eps, atol=4 * eps)
        np.testing.assert_allclose(slope, gx, rtol=20 * eps, atol=4 * eps)


@NUMBA
def test_rows_with_infinities_and_nan(monkeypatch):
    x, ids, g = case()
    x[0, 3], ids[0] = -np.inf, 3  # the class itself is impossible: infinite loss
    x[1, :5], ids[1] = -np.inf, 7
    x[2, 4] = np.nan
    x[3, 4], ids[3] = np.inf, 2
    (loss, slope), (expected, gradient) = both(monkeypatch, x, ids, g)
    assert loss[0] == np.inf
    assert np.isfinite(loss[1])
    assert np.isnan(loss[2])
    np.testing.assert_allclose(loss, expected, rtol=1e-6)
    np.testing.assert_allclose(slope, gradient, rtol=1e-5, atol=1e-7)


@NUMBA
def test_gradients_that_are_broadcast_and_ids_of_any_kind(monkeypatch):
    x, ids, _ = case()
    g = np.broadcast_to(np.float32(0.25), len(x))  # what the mean over a batch hands back
    for kind in ("int64", "int32", "uint8"):
        (_, slope), (_, expected) = both(monkeypatch, x, ids.astype(kind)[::1], g)
        np.testing.assert_allclose(slope, expected, rtol=1e-5, atol=1e-7)
    strided = np.repeat(ids, 2)[::2]
    np.testing.assert_array_equal(cross_entropy(x, strided), cross_entropy(x, ids))
