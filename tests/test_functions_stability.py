"""Where functions go wrong quietly: huge inputs, infinities, NaN, ties, kinks, zeros; and the draws of dropout."""

import math

import numpy as np
import pytest
from sampling import words, x

import tinynet as tn
import tinynet.functions as F
from tinynet.backend import manual_seed
from tinynet.tensor import Tensor


def gradient(f, *arrays):
    """The gradients of sum(f(*arrays)), one array for each."""
    inputs = [Tensor(np.asarray(a, dtype=float), requires_grad=True) for a in arrays]
    found = [g.numpy() for g in tn.grad(f(*inputs).sum(), inputs)]
    return found[0] if len(found) == 1 else found


def double(number):
    """A number as a Tensor without axes, in float64."""
    return Tensor(number, "float64")


# -------------------------------------------------------------------------------------- huge inputs, infinities

LOGITS = np.array([[1e4, -1e4, 0.0], [-1e4, -1e4, -1e4], [-np.inf, 1e4, 1e4], [0.0, -np.inf, -np.inf]])
SHARES = np.array([[1.0, 0.0, 0.0], [1 / 3, 1 / 3, 1 / 3], [0.0, 0.5, 0.5], [1.0, 0.0, 0.0]])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_softmax_and_its_logarithm_of_logits_of_any_size(dtype):
    a = Tensor(LOGITS.astype(dtype), requires_grad=True)
    np.testing.assert_allclose(F.softmax(a).numpy(), SHARES, rtol=1e-6)
    log_p = np.array([[0, -2e4, -1e4], [-math.log(3)] * 3, [-np.inf, -math.log(2), -math.log(2)], [0, -np.inf, -np.inf]])
    np.testing.assert_allclose(F.log_softmax(a).numpy(), log_p, rtol=1e-6)
    np.testing.assert_allclose(F.logsumexp(a, axis=1).numpy(), [1e4, -1e4 + math.log(3), 1e4 + math.log(2), 0], rtol=1e-6)
    for y in (F.softmax(a)[:, 0].sum(), F.logsumexp(a, axis=1).sum(), F.log_softmax(a)[[0, 1, 3], [0, 1, 0]].sum()):
        assert np.isfinite(tn.grad(y, a)[0].numpy()).all()


@pytest.mark.parametrize("f", [F.norm, F.std])
def test_where_a_root_is_zero_its_second_derivative_is_taken_as_zero_too(f):
    assert not tn.hessian(f, np.zeros(3)).numpy().any()
    assert not tn.jacobian(f, np.zeros(3)).numpy().any()


def test_means_of_more_elements_of_float16_than_it_can_count():
    a = np.resize([1.0, 3.0], 70_000).astype("float16")
    for f, expected in ((F.mean, [1, 1]), (F.var, [-2, 2]), (F.std, [-1, 1]), (lambda a: F.mse_loss(a, 0 * a), [2, 6])):
        t = Tensor(a, requires_grad=True)
        (g,) = tn.grad(f(t), t)
        assert g.dtype == "float16"
        np.testing.assert_allclose(g.numpy()[:2], np.array(expected) / 70_000, rtol=0.01)


def test_the_norm_of_float16_whose_squares_it_does_not_hold():
    a = Tensor(np.array([300.0, -400.0], "float16"), requires_grad=True)
    y = F.norm(a)
    assert (y.dtype, y.item()) == ("float16", 500)
    np.testing.assert_allclose(tn.grad(y, a)[0].numpy(), [0.6, -0.8], rtol=1e-3)


@pytest.mark.parametrize(("shape", "axis"), [((0,), 0), ((3, 0), 1), ((3, 0), 0), ((0, 3), 0), ((2, 0, 3), 1)])
@pytest.mark.parametrize("dtype", ["float32", "int64"])
def test_softmax_and_logsumexp_of_no_elements(shape, axis, dtype):
    a = Tensor(np.zeros(shape, dtype), requires_grad=dtype == "float32")
    without = shape[:axis] + shape[axis + 1 :]
    for f, expected in ((F.softmax, shape), (F.log_softmax, shape), (F.logsumexp, without)):
        y = f(a, axis=axis)
        assert y.dtype == "float32"
        np.testing.assert_array_equal(y.numpy(), np.full(expected, -np.inf))
        if a.requires_grad:
            assert tn.grad(y.sum(), a)[0].shape == shape


def test_cross_entropy_of_huge_and_infinite_logits():
    losses = F.cross_entropy(Tensor(LOGITS), [0, 1, 2, 0], reduction="none")
    np.testing.assert_allclose(losses.numpy(), [0, math.log(3), math.log(2), 0])
    # One line at 1e4 does not push another's exponentials below the smallest number, as a shift by the global maximum would.
    assert F.cross_entropy([[1e4, 0.0], [0.0, 0.0]], [0, 0], reduction="sum").item() == pytest.approx(math.log(2))
    assert F.cross_entropy([[0.0, -np.inf]], [1]).item() == np.inf
    g = gradient(lambda a: F.cross_entropy(a, [0, 1, 2, 0], reduction="sum"), LOGITS)
    np.testing.assert_allclose(g, SHARES - np.eye(3)[[0, 1, 2, 0]], atol=1e-15)


def test_infinite_logits_off_the_target_count_for_nothing():
    for targets in ([0], [[1.0, 0.0, 0.0]]):  # as an id and as probabilities: 0 log 0 is 0
        loss = F.cross_entropy(Tensor(np.array([[1.0, -np.inf, 1.0]])), Tensor(targets))
        assert loss.item() == pytest.approx(math.log(2))


def test_a_line_of_minus_infinity():
    line = tn.full((1, 3), -np.inf, dtype="float64")
    assert F.logsumexp(line, axis=1).item() == -np.inf
    assert (gradient(lambda a: F.logsumexp(a, axis=1), line.numpy()) == 0).all()
    with np.errstate(invalid="ignore", divide="ignore"):  # 0/0 has no value, and says so, in NumPy and in PyTorch
        assert np.isnan(F.softmax(line).numpy()).all()
        assert np.isnan(F.log_softmax(line).numpy()).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("sigmoid", [0, 0], [1, 0]),
        ("softplus", [0, 0], [1000, 1]),
        ("logsigmoid", [-1000, 1], [0, 0]),
        ("silu", [0, 0], [1000, 1]),
        ("gelu", [0, 0], [1000, 1]),
        ("mish", [0, 0], [1000, 1]),
        ("elu", [-1, 0], [1000, 1]),
        ("tanh", [-1, 0], [1, 0]),
        ("softsign", [-1000 / 1001, 1 / 1001**2], [1000 / 1001, 1 / 1001**2]),
    ],
)
def test_value_and_slope_at_a_thousand_without_a_warning(name, low, high, dtype):
    for at, (value, slope) in [(-1000, low), (1000, high)]:
        a = Tensor(np.array([at], dtype), requires_grad=True)
        y = getattr(F, name)(a)
        assert y.item() == pytest.approx(value, rel=1e-6)
        assert tn.grad(y, a)[0].item() == pytest.approx(slope, rel=1e-6)


def test_small_results_keep_their_digits():
    assert F.sigmoid(double(-700.0)).item() == pytest.approx(math.exp(-700), rel=1e-14)
    assert F.logsigmoid(double(50.0)).item() == pytest.approx(-math.exp(-50), rel=1e-14)
    assert F.softplus(double(-50.0)).item() == pytest.approx(math.exp(-50), rel=1e-14)
    assert F.log1p(double(1e-20)).item() == 1e-20
    assert F.expm1(double(1e-20)).item() == 1e-20
    assert F.elu(double(-1e-20)).item() == -1e-20


def test_erf_is_that_of_the_c_library():
    a = np.concatenate(
        [np.linspace(-7, 7, 4001), [0.0, -0.0, 1e-300, 1e-10, -1e-10, 0.999999, 1.0, 1.000001, 30.0, 1e300, np.inf]]
    )
    expected = np.array([math.erf(v) for v in a])
    np.testing.assert_allclose(F.erf(Tensor(a)).numpy(), expected, rtol=4e-16, atol=0)
    assert F.erf(-np.inf).item() == -1
    np.testing.assert_allclose(F.erf(Tensor(a[:4001], "float32")).numpy(), expected[:4001], rtol=4e-7)
    np.testing.assert_allclose(F.erf(Tensor(a[:4001], "float16")).numpy(), expected[:4001], rtol=4e-3)


# ------------------------------------------------------------------------------------------------------------- NaN


@pytest.mark.parametrize(
    "name",
    words(
        "relu leaky_relu elu selu gelu silu sigmoid softplus softsign hardtanh hardsigmoid hardswish mish logsigmoid "
        "tanh abs erf exp sqrt log sign softmax log_softmax max min sum mean prod logsumexp norm var std cumsum cumprod "
        "sort neg square"
    ),
)
def test_nan_comes_out_as_nan(name):
    y = getattr(F, name)(Tensor([np.nan, np.nan])).numpy()
    assert np.isnan(y).all()
    assert np.isnan(getattr(F, name)(Tensor([0.5, np.nan, 2.0])).numpy()).any()


def test_nan_comes_out_of_limits_and_choices_as_nan():
    a = Tensor([np.nan, 2.0])
    for y in [F.clip(a, 0, 1), F.clip(a, [0.0, 0.0], None), F.clip(a, None, Tensor([1.0, 1.0])), F.maximum(a, 0.0)]:
        assert np.isnan(y.numpy()).tolist() == [True, False]
    assert np.isnan(F.minimum(0.0, a).numpy()).tolist() == [True, False]
    assert np.isnan(F.maximum([1.0], [np.nan]).numpy()).all()
    assert F.argmax([1.0, np.nan, 3.0]).item() == 1
    values, indices = F.topk([1.0, np.nan, 3.0], 2)
    assert np.isnan(values.numpy()).tolist() == [True, False]
    assert indices.tolist() == [1, 2]


def test_nan_in_a_branch_not_taken_stays_there():
    a = Tensor([np.nan, 4.0], requires_grad=True)
    y = F.where([False, True], a, 1.0)
    assert y.tolist() == [1.0, 4.0]
    assert tn.grad(y.sum(), a)[0].tolist() == [0.0, 1.0]


# ---------------------------------------------------------------------------- ties, kinks, zeros: which slope is taken


def test_equal_elements_share_the_gradient_of_their_maximum():
    assert gradient(lambda a: a.max(), [1.0, 3.0, 3.0, 2.0]).tolist() == [0, 0.5, 0.5, 0]
    assert gradient(lambda a: a.min(axis=1), [[1.0, 1.0], [2.0, 0.0]]).tolist() == [[0.5, 0.5], [0, 1]]
    first, second = gradient(F.maximum, [1.0, 2.0, 3.0], [1.0, 3.0, 2.0])
    assert (first.tolist(), second.tolist()) == ([0.5, 0, 1], [0.5, 1, 0])
    first, second = gradient(F.minimum, [1.0, 2.0, 3.0], [1.0, 3.0, 2.0])
    assert (first.tolist(), second.tolist()) == ([0.5, 1, 0], [0.5, 0, 1])
    assert gradient(lambda a: F.maximum(a, a), [1.0, 2.0]).tolist() == [1, 1]


@pytest.mark.parametrize(
    ("f", "at", "slope"),  # the conventions of PyTorch, which are these
    [
        (F.relu, 0.0, 0),
        (F.abs, 0.0, 0),
        (F.leaky_relu, 0.0, 0.01),
        (F.elu, 0.0, 1),
        (F.hardtanh, 1.0, 0),
        (F.hardtanh, -1.0, 0),
        (F.hardsigmoid, 3.0, 0),
        (F.hardswish, -3.0, 0),
        (F.hardswish, 3.0, 1),
        (lambda a: F.clip(a, -1, 1), 1.0, 1),
        (lambda a: F.clip(a, -1, 1), -1.0, 1),
        (lambda a: F.clip(a, None, 1), 1.0, 1),
        (lambda a: F.clip(a, -1, None), -1.0, 1),
        (lambda a: a**0, 0.0, 0),
        (lambda a: a**1, 0.0, 1),
        (lambda a: a**2, 0.0, 0),
        (lambda a: 0.0**a, 2.0, 0),
        (lambda a: a**2.0 * F.norm(a), 0.0, 0),
        (F.norm, 0.0, 0),
        (lambda a: F.norm(a, 3), 0.0, 0),
        (F.std, 5.0, 0),
        (F.prod, 0.0, 1),
    ],
)
def test_slope_at_a_kink(f, at, slope):
    assert gradient(f, at) == slope


def test_gradient_of_array_limits_goes_to_the_limit_where_it_bites():
    a, low, high = gradient(F.clip, [-1.0, 0.5, 3.0], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0])
    assert [a.tolist(), low.tolist(), high.tolist()] == [[0, 1, 0], [1, 0, 0], [0, 0, 1]]


def test_a_zero_among_many_elements():
    """The gradient takes no square of their number: 100,000 x 100,000 booleans would be 10 GB."""
    a = np.ones(100_000)
    a[[7, 70_000]] = 0.0, 2.0
    expected = np.zeros_like(a)
    expected[7] = 2.0
    np.testing.assert_array_equal(gradient(F.prod, a), expected)
    running = gradient(F.cumprod, a)
    assert running[:9].tolist() == [7, 6, 5, 4, 3, 2, 1, 69_993 + 2 * 30_000, 0]
    assert not running[8:].any()


def test_product_with_zeros_has_the_product_of_the_others_as_gradient():
    assert gradient(F.prod, [2.0, 0.0, 3.0]).tolist() == [0, 6, 0]
    assert gradient(F.prod, [2.0, 0.0, 0.0]).tolist() == [0, 0, 0]
    assert gradient(F.cumprod, [2.0, 0.0, 3.0]).tolist() == [1, 8, 0]  # d(2) + d(2 * b) + d(2 * b * 3) at b = 0


def test_power_of_zero():
    base, exponent = gradient(F.pow, [0.0, 0.0, 0.0, 2.0], [0.0, 1.0, 2.0, 0.0])
    assert base.tolist() == [0, 1, 0, 0]
    assert exponent.tolist() == [0, 0, 0, math.log(2)]
    assert gradient(lambda b: 0.0**b, [0.0, 2.0]).tolist() == [0, 0]
    with np.errstate(divide="ignore"):
        base, exponent = gradient(F.pow, 0.0, -1.0)
        assert (base, exponent, gradient(lambda b: 0.0**b, -1.0)) == (-np.inf,) * 3


def test_power_of_a_negative_base():
    assert gradient(lambda a: a**3, -2.0) == 12
    with np.errstate(invalid="ignore"):
        base, exponent = gradient(F.pow, -2.0, 2.0)
        assert base == -4
        assert np.isnan(exponent)
        assert np.isnan(gradient(lambda b: (-2.0) ** b, 2.0))


def test_axis_of_an_array_without_axes():
    for name in ("sum", "max", "min", "prod", "logsumexp", "softmax"):
        assert gradient(lambda a, name=name: getattr(a, name)(axis=0), 3.0).shape == ()


# --------------------------------------------------------------------------------------------------------- dropout


def test_dropout_zeroes_its_share_and_keeps_the_expectation():
    manual_seed(1)
    a = Tensor(np.ones((200, 100), "float32"), requires_grad=True)
    y = F.dropout(a, 0.3)
    assert sorted(set(np.round(y.numpy().ravel(), 5).tolist())) == [0.0, pytest.approx(1 / 0.7, rel=1e-4)]
    assert (y == 0).mean().item() == pytest.approx(0.3, abs=0.01)  # 20,000 draws: a standard deviation of 0.003
    np.testing.assert_array_equal(tn.grad(y.sum(), a)[0].numpy(), y.numpy())


def test_dropout_follows_the_seed_and_rests_in_evaluation():
    manual_seed(3)
    first, second = F.dropout(Tensor(x(50))), F.dropout(Tensor(x(50)))
    assert (first.numpy() != second.numpy()).any()
    manual_seed(3)
    np.testing.assert_array_equal(F.dropout(Tensor(x(50))).numpy(), first.numpy())
    for y in (F.dropout(Tensor(x(5)), 0.5, training=False), F.dropout(Tensor(x(5)), 0.0)):
        np.testing.assert_array_equal(y.numpy(), x(5))
    assert F.dropout(Tensor(x(5)), 1.0).tolist() == [0.0] * 5


def test_an_empty_border_is_zero():
    np.testing.assert_array_equal(F.pad(tn.ones(1, 2), 1, mode="empty").numpy(), np.pad(np.ones((1, 2)), 1))
