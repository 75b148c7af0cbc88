"""Array code that leaves y = a x + b y to BLAS: the same formula, all elements rounded alike by any number of threads."""

import sys
import threading
from fractions import Fraction

import numpy as np
import pytest
from threadpoolctl import ThreadpoolController
from update_rules import MOVING, RULES, arrays_for, buffers_of, every_operation, in_step

from tinynet.kernels import compiled, in_place, update
from tinynet.kernels.axpy import LEAST, sums_of
from tinynet.kernels.source import array_source
from tinynet.kernels.trace import trace

axpy_module = sys.modules["tinynet.kernels.axpy"]
pytestmark = [
    pytest.mark.cpu,
    pytest.mark.skipif(sums_of(np.dtype("float32")) is None, reason="NumPy stands on another library than OpenBLAS"),
]
SUMS = [in_step(3, "SGD"), in_step(3, "Momentum"), in_step(3, "Momentum", dampening=0.0)]
PARTLY = [in_step(3, "RMSprop"), in_step(3, "Adam"), in_step(3, "AdamW")]


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


def test_descent_is_one_pass_and_momentum_two():
    assert calls(*SUMS[0]) == ("def update(w, grad, n0):\n    axpy(-n0, grad, w)\n", [])
    text, temporaries = calls(*SUMS[1])
    assert text.splitlines()[1:] == ["    axpby(n1, grad, n0, velocity)", "    axpy(-n2, velocity, w)"]
    assert not temporaries


def test_what_is_divided_is_scaled_when_it_is_added():
    text, temporaries = calls(*PARTLY[0])
    assert text.splitlines()[1:] == [
        "    multiply(grad, grad, out=f0)",
        "    axpby(n1, f0, n0, squared_grad)",
        "    sqrt(squared_grad, out=f0)",
        "    add(f0, n3, out=f0)",
        "    divide(grad, f0, out=f0)",
        "    axpy(-n2, f0, w)",
    ]
    assert temporaries == ["f0"]


def test_a_quotient_that_is_needed_again_is_not_scaled_later():
    def rule(w, grad, a, b, *, lr):
        change = lr * grad / b
        return w - change, a + change, b

    text, _ = calls(rule, {"lr": 0.1})
    assert text.splitlines()[1:] == [
        "    multiply(n0, grad, out=f0)",
        "    divide(f0, b, out=f0)",
        "    subtract(w, f0, out=w)",
        "    add(a, f0, out=a)",
    ]


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
@pytest.mark.parametrize(("rule", "hyper"), [*SUMS, *PARTLY])
def test_equal_bits_whatever_the_number_of_threads(rule, hyper, dtype, monkeypatch):
    monkeypatch.setattr(in_place, "PIECE", 30_000)
    monkeypatch.setattr(in_place, "SHARED_FROM", 0)
    monkeypatch.setattr(in_place, "_own", threading.local())  # temporaries of that size
    arrays = arrays_for(rule, 100_003, dtype)
    found = []
    for threads in (1, 2, 3):
        monkeypatch.setenv("TINYNET_THREADS", str(threads))
        with ThreadpoolController().limit(limits=threads, user_api="blas"):
            found.append(updated(rule, arrays, hyper))
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


def elsewhere(w, grad, a, b, *, lr):
    """Sums that are no new value of an array that is added to, with one product and with two."""
    return lr * a - 2 * b, a + lr * b, (lr * w + 3 * a) / (4 + lr * grad / (5 + b))


ALL = [*RULES, *((rule, {"lr": 0.1}) for rule in [*MOVING, elsewhere]), (every_operation, {"lr": 0.1, "power": 2.0})]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("rule", "hyper"), ALL)
def test_large_arrays_follow_the_formula(rule, hyper, dtype):
    arrays = arrays_for(rule, 2 * LEAST + 1, dtype)
    wanted, eps = rule(*arrays, **hyper), np.finfo(dtype).eps
    for a, b in zip(updated(rule, arrays, hyper), wanted if isinstance(wanted, tuple) else (wanted,), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e5 * eps, atol=100 * eps)  # the root of a difference, and a division by it


@pytest.mark.parametrize("uneven", ["cblas_saxpy", "cblas_saxpby"])
def test_small_arrays_and_a_library_that_rounds_here_and_there_are_left_to_numpy(uneven, monkeypatch, forget):
    rule, hyper = SUMS[0]
    arrays = arrays_for(rule, LEAST - 1, "float32")
    np.testing.assert_array_equal(updated(rule, arrays, hyper)[0], rule(*arrays, **hyper))
    blas_function = axpy_module.blas_function

    class Uneven:
        """Of what comes in one call it leaves the last five as they are."""

        def __init__(self, name):
            self.plain, self.all = blas_function(name), name != uneven

        def __call__(self, n, *rest):
            self.plain(n if self.all or n <= 5 else n - 5, *rest)

    monkeypatch.setattr(axpy_module, "blas_function", Uneven)
    monkeypatch.setattr(axpy_module, "sums_of", sums_of.__wrapped__)
    assert axpy_module.sums_of(np.dtype("float32")) is None
    arrays = arrays_for(rule, 2 * LEAST, "float32")
    np.testing.assert_array_equal(updated(rule, arrays, hyper)[0], rule(*arrays, **hyper))


def test_a_rate_of_zero_hides_no_nan():
    rule, _ = SUMS[0]
    w, grad = arrays_for(rule, 2 * LEAST, "float32")
    grad[7] = np.nan
    (found,) = updated(rule, [w, grad], {"lr": 0.0})
    assert np.isnan(found[7])
    np.testing.assert_array_equal(np.delete(found, 7), np.delete(w, 7))


@pytest.mark.parametrize("hyper", [{"beta": 0.0, "dampening": 0.1}, {"beta": 0.5, "dampening": 1.0}])
def test_a_factor_of_zero_hides_no_nan(hyper):
    rule, given = SUMS[1]
    w, grad, velocity = arrays_for(rule, 2 * LEAST, "float32")
    grad[7], velocity[8] = np.inf, np.inf  # times zero it is NaN
    hyper = {**given, **hyper}
    with np.errstate(invalid="ignore"):
        wanted, found = rule(w, grad, velocity, **hyper), updated(rule, [w, grad, velocity], hyper)
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
        assert np.isnan(a).sum() == 1


def test_weights_may_be_their_own_gradient():
    rule, hyper = SUMS[0]
    w = arrays_for(rule, 2 * LEAST, "float32")[0]
    given = w.copy()
    update(rule, given, given, {}, hyper)
    np.testing.assert_allclose(given, w - np.float32(0.1) * w, rtol=1e-6)


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_both_terms_may_be_of_one_array_and_a_factor_zero(beta):
    def rule(w, grad, a, *, beta):
        return (1 - beta) * w - beta * w, beta * a + (1 - beta) * a

    arrays = arrays_for(rule, LEAST, "float32")
    for found, expected in zip(updated(rule, arrays, {"beta": beta}), rule(*arrays, beta=beta), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6)
