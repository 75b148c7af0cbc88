"""Cross-entropy's loops beside its array code, and both beside the formula in float64."""

import numpy as np
import pytest

import tinynet as tn
from tinynet import functions as F
from tinynet.kernels import compiled, cross_entropy, cross_entropy_grad, mean_cross_entropy, mean_cross_entropy_grad, softmax

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
        monkeypatch.setattr(compiled, "WANTED", use != "0")
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
    for kind in (">i8", ">i2", ">u4"):  # which no compiled loop takes as they are
        for arguments in ({"reduction": "none"}, {"weight": np.ones(10, "float32"), "ignore_index": 3}):
            scores = tn.Tensor(x, requires_grad=True)
            loss = F.cross_entropy(scores, ids.astype(kind), **arguments)
            np.testing.assert_array_equal(loss.numpy(), F.cross_entropy(x, ids, **arguments).numpy())
            loss.sum().backward()
    strided = np.repeat(ids, 2)[::2]
    np.testing.assert_array_equal(cross_entropy(x, strided), cross_entropy(x, ids))


MESSAGE = ("label {id} at {at}",)


def mean_and_slope(x, ids, ignored=-100):
    with np.errstate(all="ignore"):
        loss, found = mean_cross_entropy(x, ids, ignored, MESSAGE)
        return loss, mean_cross_entropy_grad(x.dtype.type(2), x, found)


@NUMBA
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("ignored", [-100, -1, 3, "all"])
@pytest.mark.parametrize("kind", ["int64", "uint8", ">i4"])
def test_the_mean_and_its_slope_by_a_loop_and_by_array_code(monkeypatch, dtype, ignored, kind):
    x, ids, _ = case(dtype=dtype)
    if ignored == "all":
        ids, ignored = np.full_like(ids, 4), 4
    elif ignored < 0 and kind != "uint8":
        ids[::3] = ignored
    found = []
    for use in ("1", "0"):
        monkeypatch.setattr(compiled, "WANTED", use != "0")
        found.append(mean_and_slope(x, ids.astype(kind), ignored))
    (loss, slope), (expected, gradient) = found
    counted = ids != ignored
    each = cross_entropy(x[counted], ids[counted]).astype("float64")
    eps = np.finfo(dtype).eps
    assert loss.dtype == slope.dtype == dtype
    assert slope.shape == x.shape
    np.testing.assert_allclose(loss, each.mean() if counted.any() else np.nan, rtol=4 * eps)
    np.testing.assert_allclose(loss, expected, rtol=8 * eps)
    np.testing.assert_allclose(slope, gradient, rtol=20 * eps, atol=4 * eps)
    assert not slope[~counted].any()


@NUMBA
def test_the_mean_over_rows_with_infinities_and_nan(monkeypatch):
    x, ids, _ = case()
    x[0, 3], ids[0] = -np.inf, 3
    x[2, 4] = np.nan
    x[3, 4], ids[3] = np.inf, 2
    _, slope = mean_and_slope(x, ids)
    monkeypatch.setattr(compiled, "WANTED", False)
    np.testing.assert_allclose(slope, mean_and_slope(x, ids)[1], rtol=1e-5, atol=1e-8)
    for rows, expected in ((slice(0, 1), np.inf), (slice(2, 3), np.nan)):
        few = x[rows].repeat(40, axis=0), ids[rows].repeat(40)
        for use in ("1", "0"):
            monkeypatch.setattr(compiled, "WANTED", use != "0")
            np.testing.assert_equal(float(mean_and_slope(*few)[0]), expected)


@pytest.mark.parametrize("numba", ["0", pytest.param("1", marks=NUMBA)])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_ignored_row_has_no_gradient_whatever_stands_in_it(monkeypatch, numba, value):
    monkeypatch.setattr(compiled, "WANTED", numba != "0")
    x, ids, _ = case()
    ids[1] = -100
    expected = mean_and_slope(x, ids)[1]
    x[1, 4] = value
    np.testing.assert_array_equal(mean_and_slope(x, ids)[1], expected)


@pytest.mark.parametrize("shape", [(40,), (8, 5)])
@pytest.mark.parametrize("wrong", [-1, 10, 2**62])
@pytest.mark.parametrize("numba", ["0", pytest.param("1", marks=NUMBA)])
def test_a_label_out_of_range_is_told_of_with_its_place(monkeypatch, numba, wrong, shape):
    monkeypatch.setattr(compiled, "WANTED", numba != "0")
    x, ids, _ = case()
    ids = ids.reshape(shape)
    ids[np.unravel_index([11, 13], shape)] = wrong
    scores = x if len(shape) == 1 else np.moveaxis(x.reshape((*shape, 10)), -1, 1)
    at = np.unravel_index(11, shape)
    told = f"^cross_entropy: label {wrong} at position \\({at[0]}, ?{at[1] if len(at) > 1 else ''}\\) is outside \\[0, 10\\)"
    with pytest.raises(IndexError, match=told):
        F.cross_entropy(scores, ids)
    assert np.isfinite(F.cross_entropy(scores, ids, ignore_index=wrong).item())


def test_a_graph_that_is_kept_gives_the_same_gradient_again():
    x, ids, _ = case()
    x = tn.Parameter(x)
    loss = F.cross_entropy(x, ids)
    loss.backward(retain_graph=True)
    first = x.grad.numpy().copy()
    x.grad.data *= 0  # a leaf's gradient is its own
    x.grad = None
    loss.backward()
    np.testing.assert_array_equal(x.grad.numpy(), first)
