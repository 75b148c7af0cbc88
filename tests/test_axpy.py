"""Array code that leaves y += a x to BLAS: the same formula, every element rounded alike, whatever the number of threads."""

import sys
from fractions import Fraction

import numpy as np
import pytest
from threadpoolctl import ThreadpoolController
from update_rules import MOVING, arrays_for, buffers_of, in_step

from tinynet.kernels import compiled, update
from tinynet.kernels.axpy import LEAST, axpy_of
from tinynet.kernels.source import array_source
from tinynet.kernels.trace import trace

axpy_module = sys.modules["tinynet.kernels.axpy"]
pytestmark = [
    pytest.mark.cpu,
    pytest.mark.skipif(axpy_of(np.dtype("float32")) is None, reason="NumPy stands on another library than OpenBLAS"),
]
SUMS = [in_step(3, "SGD"), in_step(3, "Momentum"), in_step(3, "Momentum", dampening=0.0)]


@pytest.fixture(autouse=True)
def array_code(monkeypatch):
    monkeypatch.setattr(compiled, "WANTED", False)


@pytest.fixture
def forget():
    """No update is remembered from other tests, nor for them."""
    cache = sys.modules["tinynet.kernels.update"]._update_for
    cache.cache_clear()
    yield
    cache.cache_clear()


def updated(rule, arrays, hyper):
    w, grad, *buffers = (a.copy() for a in arrays)
    update(rule, w, grad, dict(zip(buffers_of(rule), buffers, strict=True)), hyper)
    return [w, *buffers]


def calls(rule, hyper):
    return array_source(trace(rule, ["w", "grad", *buffers_of(rule)], hyper), fused=True)


def test_descent_is_one_pass_and_momentum_three():
    assert calls(*SUMS[0]) == ("def update(w, grad, n0):\n    axpy(-n0, grad, w)\n", [])
    text, temporaries = calls(*SUMS[1])
    assert text.count("axpy") == 2
    assert text.count("\n") == 4
    assert not temporaries


def test_a_product_that_is_needed_again_is_not_left_to_blas():
    def rule(w, grad, velocity, *, lr):
        change = lr * grad
        return w - change, velocity + change

    text, temporaries = calls(rule, {"lr": 0.1})
    assert "subtract(w, f0, out=w)" in text
    assert temporaries == ["f0"]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_sum_is_rounded_once_or_twice_and_everywhere_alike(dtype):
    rule, hyper = SUMS[0]
    w, grad = arrays_for(rule, 3 * LEAST + 5, dtype)
    lr = Fraction(float(np.array(hyper["lr"], dtype)))
    (found,) = updated(rule, [w, grad], hyper)
    exact = [Fraction(float(a)) - lr * Fraction(float(g)) for a, g in zip(w, grad, strict=True)]
    once = np.array([np.array(x.numerator / x.denominator, dtype) for x in exact])
    twice = rule(w, grad, **hyper)
    assert min(np.sum(found != once), np.sum(found != twice)) <= 1  # Fraction to float64 to float32 is rounded twice, too


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("rule", "hyper"), SUMS)
def test_equal_bits_whatever_the_number_of_threads(rule, hyper, dtype):
    arrays = arrays_for(rule, 100_003, dtype)
    found = []
    for threads in (1, 2, 3):
        with ThreadpoolController().limit(limits=threads, user_api="blas"):
            found.append(updated(rule, arrays, hyper))
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


def elsewhere(w, grad, a, b, *, lr):
    """The sum is no new value of the array that is added to."""
    return w, a, a + lr * grad


@pytest.mark.parametrize(("rule", "hyper"), [*SUMS, *((rule, {"lr": 0.1}) for rule in [*MOVING, elsewhere])])
def test_large_arrays_follow_the_formula(rule, hyper):
    arrays = arrays_for(rule, 2 * LEAST + 1, "float32")
    wanted = rule(*arrays, **hyper)
    for a, b in zip(updated(rule, arrays, hyper), wanted if isinstance(wanted, tuple) else (wanted,), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


def test_small_arrays_and_a_library_that_rounds_here_and_there_are_left_to_numpy(monkeypatch, forget):
    rule, hyper = SUMS[0]
    arrays = arrays_for(rule, LEAST - 1, "float32")
    np.testing.assert_array_equal(updated(rule, arrays, hyper)[0], rule(*arrays, **hyper))
    plain = axpy_module.blas_function("cblas_saxpy")

    class Uneven:
        """Of what comes in one call it leaves the last five as they are."""

        def __call__(self, n, *rest):
            plain(n - 5 if n > 5 else n, *rest)

    monkeypatch.setattr(axpy_module, "blas_function", lambda name: Uneven())
    monkeypatch.setattr(axpy_module, "axpy_of", axpy_of.__wrapped__)
    assert axpy_module.axpy_of(np.dtype("float32")) is None
    arrays = arrays_for(rule, 2 * LEAST, "float32")
    np.testing.assert_array_equal(updated(rule, arrays, hyper)[0], rule(*arrays, **hyper))


def test_a_rate_of_zero_hides_no_nan():
    rule, _ = SUMS[0]
    w, grad = arrays_for(rule, 2 * LEAST, "float32")
    grad[7] = np.nan
    (found,) = updated(rule, [w, grad], {"lr": 0.0})
    assert np.isnan(found[7])
    np.testing.assert_array_equal(np.delete(found, 7), np.delete(w, 7))


def test_weights_may_be_their_own_gradient():
    rule, hyper = SUMS[0]
    w = arrays_for(rule, 2 * LEAST, "float32")[0]
    given = w.copy()
    update(rule, given, given, {}, hyper)
    np.testing.assert_allclose(given, w - np.float32(0.1) * w, rtol=1e-6)
