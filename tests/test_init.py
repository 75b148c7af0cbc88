"""Where weights start: bounds, variances and each layer's default, beside the formulas of the papers and of PyTorch."""

import math

import numpy as np
import pytest

import tinynet as tn
from tinynet import init
from tinynet import layers as L

N = 400  # of 400 x 300 draws the variance is known to about half a per cent
FAN_IN, FAN_OUT = 300, N
SHAPE = (FAN_OUT, FAN_IN)


@pytest.fixture(autouse=True)
def seed():
    tn.manual_seed(0)


def weight(shape=SHAPE, dtype=np.float32):
    return tn.Parameter(np.full(shape, np.nan), dtype=dtype)


EVENLY = [  # (function, keywords, low, high)
    ("uniform", {}, 0, 1),
    ("uniform", {"a": -0.5, "b": 2.5}, -0.5, 2.5),
    ("kaiming_uniform", {}, None, math.sqrt(6 / FAN_IN)),
    ("kaiming_uniform", {"mode": "fan_out"}, None, math.sqrt(6 / FAN_OUT)),
    ("kaiming_uniform", {"a": math.sqrt(5)}, None, math.sqrt(1 / FAN_IN)),
    ("kaiming_uniform", {"nonlinearity": "tanh"}, None, 5 / 3 * math.sqrt(3 / FAN_IN)),
    ("kaiming_uniform", {"nonlinearity": "linear"}, None, math.sqrt(3 / FAN_IN)),
    ("xavier_uniform", {}, None, math.sqrt(6 / (FAN_IN + FAN_OUT))),
    ("xavier_uniform", {"gain": 2.0}, None, 2 * math.sqrt(6 / (FAN_IN + FAN_OUT))),
]
NORMALLY = [  # (function, keywords, mean, standard deviation)
    ("normal", {}, 0, 1),
    ("normal", {"mean": 3.0, "std": 0.5}, 3, 0.5),
    ("kaiming_normal", {}, 0, math.sqrt(2 / FAN_IN)),
    ("kaiming_normal", {"nonlinearity": "relu"}, 0, math.sqrt(2 / FAN_IN)),
    ("kaiming_normal", {"a": 0.2, "mode": "fan_out"}, 0, math.sqrt(2 / 1.04 / FAN_OUT)),
    ("kaiming_normal", {"nonlinearity": "selu"}, 0, 0.75 / math.sqrt(FAN_IN)),
    ("xavier_normal", {}, 0, math.sqrt(2 / (FAN_IN + FAN_OUT))),
    ("xavier_normal", {"gain": 0.1}, 0, 0.1 * math.sqrt(2 / (FAN_IN + FAN_OUT))),
]


def test_every_function_is_tested_here():
    found = {n for n, f in vars(init).items() if callable(f) and f.__module__ == init.__name__ and n[0] != "_"}
    assert found - {"constant", "fans", "gain"} == {*(case[0] for case in EVENLY + NORMALLY), "orthogonal", "trunc_normal"}


@pytest.mark.parametrize(("name", "keywords", "low", "high"), EVENLY)
def test_even_distributions(name, keywords, low, high):
    low = -high if low is None else low
    w = weight()
    assert getattr(init, name)(w, **keywords) is w
    x = w.numpy().astype(np.float64)
    assert w.dtype == np.float32
    assert low <= x.min() < low + 0.01 * (high - low)
    assert high - 0.01 * (high - low) < x.max() <= np.float32(high)
    assert x.mean() == pytest.approx((low + high) / 2, abs=0.01 * (high - low))
    assert x.var() == pytest.approx((high - low) ** 2 / 12, rel=0.02)


@pytest.mark.parametrize(("name", "keywords", "mean", "std"), NORMALLY)
def test_normal_distributions(name, keywords, mean, std):
    w = weight()
    assert getattr(init, name)(w, **keywords) is w
    x = w.numpy().astype(np.float64)
    assert x.mean() == pytest.approx(mean, abs=0.02 * std)
    assert x.std() == pytest.approx(std, rel=0.01)
    assert (np.abs(x - mean) < 1.96 * std).mean() == pytest.approx(0.95, abs=0.005)
    assert np.abs(x - mean).max() > 3.5 * std  # not cut off


def test_constant():
    w = weight()
    assert init.constant(w, 0.1) is w
    assert (w.numpy() == np.float32(0.1)).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("name", [*dict.fromkeys(case[0] for case in EVENLY + NORMALLY), "orthogonal", "trunc_normal"])
def test_in_place_in_the_own_dtype_and_by_the_seed(name, dtype):
    w, again = weight((4, 3), dtype), weight((4, 3), dtype)
    data = w.data
    getattr(init, name)(w)
    assert w.data is data
    assert w.requires_grad
    assert np.isfinite(w.numpy()).all()
    tn.manual_seed(0)
    getattr(init, name)(again)
    np.testing.assert_array_equal(again.numpy(), w.numpy())


def test_the_same_numbers_in_every_dtype():
    """A seed gives one network, rounded to its dtype."""
    single, double = weight((4, 3)), weight((4, 3), np.float64)
    init.normal(single)
    tn.manual_seed(0)
    init.normal(double)
    np.testing.assert_array_equal(single.numpy(), double.numpy().astype(np.float32))
    assert (double.numpy() != single.numpy()).all()  # drawn with all the digits of a float64


def test_fans_count_the_kernel():
    assert init.fans(weight((8, 3, 5, 5))) == (75, 200)
    assert init.fans(weight((8, 3))) == (3, 8)
    w = weight((64, 32, 3, 3))
    init.kaiming_uniform(w)
    assert np.abs(w.numpy()).max() == pytest.approx(math.sqrt(6 / 288), rel=0.01)


@pytest.mark.parametrize(("mean", "std", "a", "b"), [(0, 1, -2, 2), (3, 1, -2, 2), (0, 1, 5, 100), (0, 0.5, -0.1, np.inf)])
def test_a_cut_off_normal_distribution(mean, std, a, b):
    w = weight(dtype=np.float64)
    assert init.trunc_normal(w, mean, std, a, b) is w
    x = w.numpy().reshape(-1)
    assert a <= x.min()
    assert x.max() <= b

    def below(v):  # the normal distribution's share below v; from the near end, where the far one has no digits left
        return math.erfc((v - mean) / std / math.sqrt(2) * (1 if a > mean else -1)) / 2

    for v in np.quantile(x, [0.05, 0.3, 0.5, 0.8, 0.99]):
        share = (below(v) - below(a)) / (below(b) - below(a))
        assert (x < v).mean() == pytest.approx(share, abs=0.006)  # five standard deviations of a share of 120,000


def test_limits_of_a_cut_off_normal_distribution_are_values_and_not_multiples():
    w = weight()
    assert np.abs(init.trunc_normal(w, std=0.02).numpy()).max() < 0.12
    assert w.numpy().std() == pytest.approx(0.02, rel=0.01)
    assert np.abs(init.trunc_normal(w, std=0.02, a=-0.02, b=0.02).numpy()).max() <= np.float32(0.02)
    for arguments, says in [((0, 0), "std is 0,"), ((0, math.nan), "std is nan"), ((0, 1, 2, 2), "a is 2 and b is 2")]:
        with pytest.raises(ValueError, match=f"trunc_normal: {says}"):
            init.trunc_normal(w, *arguments)


@pytest.mark.parametrize("shape", [(5, 5), (5, 3), (3, 5), (4, 3, 2, 2), (20, 3, 2, 2), (1, 4), (0, 3), (3, 0)])
def test_orthogonal(shape):
    w = weight(shape, np.float64)
    assert init.orthogonal(w, gain=2.0) is w
    rows = w.numpy().reshape(shape[0], math.prod(shape[1:]))
    rows = rows if rows.shape[0] <= rows.shape[1] else rows.T
    np.testing.assert_allclose(rows @ rows.T, 4 * np.eye(len(rows)), atol=1e-12)


def test_orthogonal_matrices_are_spread_evenly():
    """Over the orthogonal group the trace has mean 0 and variance 1; the QR decomposition alone misses both."""
    w = weight((3, 3), np.float64)
    draws = np.array([init.orthogonal(w).numpy().copy() for _ in range(4000)])
    traces = np.trace(draws, axis1=1, axis2=2)
    assert traces.mean() == pytest.approx(0, abs=0.08)  # five standard deviations of a mean of 4,000
    assert (traces**2).mean() == pytest.approx(1, abs=0.15)
    np.testing.assert_allclose(draws.mean(axis=0), 0, atol=0.05)
    np.testing.assert_allclose((draws**2).mean(axis=0), 1 / 3, atol=0.03)
    assert (np.linalg.det(draws) > 0).mean() == pytest.approx(0.5, abs=0.04)


@pytest.mark.parametrize("name", ["kaiming_uniform", "kaiming_normal", "xavier_uniform", "xavier_normal", "orthogonal"])
def test_a_weight_without_fans(name):
    with pytest.raises(ValueError, match=r"need a weight of at least two axes \(out, in\), got \(3,\)"):
        getattr(init, name)(weight((3,)))


def test_wrong_names():
    with pytest.raises(ValueError, match="unknown nonlinearity 'reul'; expected leaky_relu, "):
        init.kaiming_normal(weight(), nonlinearity="reul")
    with pytest.raises(ValueError, match="mode is 'in', expected 'fan_in' or 'fan_out'"):
        init.kaiming_uniform(weight(), mode="in")


def test_gains():
    expected = {"linear": 1, "sigmoid": 1, "tanh": 5 / 3, "relu": math.sqrt(2), "leaky_relu": math.sqrt(2), "selu": 0.75}
    assert {name: init.gain(name) for name in expected} == pytest.approx(expected)
    assert init.gain("leaky_relu", 0.5) == pytest.approx(math.sqrt(2 / 1.25))


# ------------------------------------------------------------------------------------------------ defaults of layers


@pytest.mark.parametrize("deferred", [False, True])
def test_linear_starts_evenly_within_1_by_sqrt_in(deferred):
    layer = L.Linear(None if deferred else FAN_IN, FAN_OUT)
    layer(tn.zeros(1, FAN_IN))
    bound = 1 / math.sqrt(FAN_IN)
    for x in (layer.weight.numpy(), layer.bias.numpy()):
        assert x.dtype == np.float32
        assert bound * 0.97 < np.abs(x).max() <= bound * (1 + 1e-6)
    assert layer.weight.numpy().var() == pytest.approx(bound**2 / 3, rel=0.02)


def test_deferred_or_not_a_seed_gives_the_same_network():
    tn.manual_seed(1)
    a = L.Linear(5, 3)
    tn.manual_seed(1)
    b = L.Linear(None, 3)
    b(tn.zeros(2, 5))
    np.testing.assert_array_equal(a.weight.numpy(), b.weight.numpy())
    np.testing.assert_array_equal(a.bias.numpy(), b.bias.numpy())
