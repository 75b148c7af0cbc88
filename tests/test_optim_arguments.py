"""Optimizers given wrong arguments, numbers from NumPy, and an optimizer of one's own."""

import inspect

import numpy as np
import pytest
from sampling import host

import tinynet as tn
from tinynet import layers as L
from tinynet import optim

ALL = ["weight_decay", "maximize", "clip_norm", "check_finite"]  # what every optimizer takes


def parameter(*values):
    return tn.Parameter(list(values))


# ---------------------------------------------------------------------------------------------------- wrong arguments


def result():
    return tn.Parameter([1.0]) * 2


SHARED = tn.Parameter([1.0])
WRONG = [
    (lambda: optim.SGD([parameter(1.0)], lr=-0.1), ValueError, "SGD: lr is -0.1"),
    (lambda: optim.SGD([parameter(1.0)], lr=float("nan")), ValueError, "SGD: lr is nan"),
    (lambda: optim.SGD([parameter(1.0)], lr=float("inf")), ValueError, "SGD: lr is inf"),
    (lambda: optim.SGD([parameter(1.0)], lr="0.1"), ValueError, "SGD: lr is '0.1'"),
    (lambda: optim.SGD([parameter(1.0)], lr=None), ValueError, "SGD: lr is None"),
    (lambda: optim.SGD([parameter(1.0)], weight_decay=-1), ValueError, "SGD: weight_decay is -1"),
    (lambda: optim.Momentum([parameter(1.0)], beta=1.0), ValueError, "Momentum: beta is 1.0"),
    (lambda: optim.Momentum([parameter(1.0)], beta=-0.1), ValueError, "Momentum: beta is -0.1"),
    (lambda: optim.Momentum([parameter(1.0)], dampening=float("nan")), ValueError, "Momentum: dampening is nan"),
    (lambda: optim.Adam([parameter(1.0)], beta2=1.0), ValueError, "Adam: beta2 is 1.0"),
    (lambda: optim.Adam([parameter(1.0)], beta1=float("nan")), ValueError, "Adam: beta1 is nan"),
    (lambda: optim.Adam([parameter(1.0)], eps=-1e-8), ValueError, "Adam: eps is -1e-08"),
    (lambda: optim.RMSprop([parameter(1.0)], momentum=-0.5), ValueError, "RMSprop: momentum is -0.5"),
    (lambda: optim.AdamW([parameter(1.0)], weight_decay=-0.1), ValueError, "AdamW: weight_decay is -0.1"),
    (
        lambda: optim.Adagrad([parameter(1.0)], lr_decay=-1),
        ValueError,
        "Adagrad: lr_decay is -1, expected a number of at least 0",
    ),
    (lambda: optim.Adagrad([parameter(1.0)], initial_accumulator_value=-1), ValueError, "initial_accumulator_value is -1"),
    (lambda: optim.Adadelta([parameter(1.0)], rho=1.5), ValueError, r"Adadelta: rho is 1.5, expected a number in \[0, 1\]"),
    (lambda: optim.Adamax([parameter(1.0)], beta2=1.0), ValueError, "Adamax: beta2 is 1.0"),
    (lambda: optim.NAdam([parameter(1.0)], momentum_decay=-1), ValueError, "NAdam: momentum_decay is -1"),
    (lambda: optim.NAdam([parameter(1.0)], beta1=float("nan")), ValueError, "NAdam: beta1 is nan"),
    (lambda: optim.RAdam([parameter(1.0)], beta2=-0.5), ValueError, "RAdam: beta2 is -0.5"),
    (lambda: optim.Lion([parameter(1.0)], beta1=1.0), ValueError, "Lion: beta1 is 1.0"),
    (lambda: optim.Lion([parameter(1.0)], eps=1.0), TypeError, "Lion: hyper-parameter 'eps' is unknown"),
    (lambda: optim.SGD([{"params": [parameter(1.0)], "lr": -1.0}]), ValueError, "SGD: lr is -1.0"),
    (lambda: optim.SGD([]), ValueError, "SGD: params is empty"),
    (lambda: optim.SGD([{"params": []}]), ValueError, "SGD: params is empty"),
    (lambda: optim.SGD(L.ReLU()), ValueError, "SGD: params is empty"),
    (lambda: optim.SGD([SHARED, SHARED]), ValueError, "the same parameter twice, as '0' and as '1'"),
    (lambda: optim.SGD([{"params": [SHARED]}, {"params": [("w", SHARED)]}]), ValueError, "as '0' and as 'w'"),
    (lambda: optim.SGD([("", SHARED), ("w", SHARED)]), ValueError, "the same parameter twice"),
    (lambda: optim.SGD([np.ones(2)]), TypeError, "params must be Parameters, got ndarray"),
    (lambda: optim.SGD([1.0]), TypeError, "params must be Parameters, got float"),
    (lambda: optim.SGD(SHARED), TypeError, "single Tensor"),
    (lambda: optim.SGD({"w": SHARED}), TypeError, "params must be Parameters, got str"),
    (lambda: optim.SGD([{"params": [SHARED]}, SHARED]), TypeError, "params must be Parameters, got dict"),
    (lambda: optim.SGD([{"lr": 1.0}]), (TypeError, ValueError), "params"),
    (lambda: optim.SGD(None), TypeError, "params"),
    (lambda: optim.SGD([result()]), ValueError, "'0' is the result of an op"),
    (lambda: optim.SGD([SHARED], momentum=0.9), TypeError, "SGD: hyper-parameter 'momentum' is unknown"),
    (lambda: optim.SGD([SHARED], 0.1, lr=0.2), TypeError, "SGD: hyper-parameter 'lr' is twice"),
    (lambda: optim.SGD([SHARED], 0.1, 0.0, False, 3), TypeError, "SGD: takes params and 3 hyper-parameters, got 4"),
    (lambda: optim.SGD([{"params": [SHARED], "betas": 1}]), TypeError, "unknown hyper-parameter 'betas'"),
    (lambda: optim.SGD([SHARED], clip_norm=0.0), ValueError, r"SGD: clip_norm is 0.0, expected a number in \(0, inf\]"),
    (lambda: optim.SGD([SHARED], clip_norm=float("nan")), ValueError, "SGD: clip_norm is nan"),
    (lambda: optim.SGD([SHARED], clip_norm="1"), ValueError, "SGD: clip_norm is '1'"),
]


@pytest.mark.parametrize(("make", "error", "message"), WRONG, ids=[str(i) for i in range(len(WRONG))])
def test_wrong_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_wrong_values_later():
    p = parameter(1.0)
    optimizer = optim.Adam([p])
    with pytest.raises(ValueError, match="lr is nan"):
        optimizer.lr = float("nan")
    assert optimizer.lr == 0.001
    optimizer.param_groups[0]["beta1"] = 1.0
    p.grad = [1.0]
    with pytest.raises(ValueError, match=r"Adam: beta1 is 1.0"):
        optimizer.step()
    assert p.item() == 1.0
    with pytest.raises(ValueError, match="expected the Tensor's own shape"):
        p.grad = [1.0, 2.0]


def test_an_added_group_that_is_wrong_changes_nothing():
    a, b = parameter(1.0), parameter(1.0)
    optimizer = optim.SGD([a])
    for group in ({"params": [b, a]}, {"params": [b], "lr": -1.0}, {"params": [b, np.ones(1)]}):
        with pytest.raises((TypeError, ValueError)):
            optimizer.add_param_group(group)
    assert len(optimizer.param_groups) == 1
    optimizer.add_param_group({"params": [b]})  # nothing of it was remembered


def test_rates_from_numpy():
    """A rate out of np.logspace or an array is the number it is: the same bits, and a plain float in the state."""
    found = []
    for lr in (0.1, np.float64(0.1), np.asarray([0.1])[0]):
        p = parameter(1.0, 2.0, 3.0)
        optimizer = optim.Adam([p], lr=lr)
        optimizer.lr = lr
        for g in (0.3, 0.7):
            p.grad = np.full(3, g)
            optimizer.step()
        found.append(p.numpy())
        assert type(optimizer.state_dict()["groups"][0]["lr"]) is float
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])
    assert optim.SGD([parameter(1.0)], lr=np.float32(0.5)).lr == 0.5


# ------------------------------------------------------------------------------------------- an optimizer of one's own


class SignMomentum(optim.Optimizer):
    """Under ten lines, as API.md promises."""

    buffers = ("velocity",)
    defaults = {"lr": 1e-3, "beta": 0.9}

    @staticmethod
    def rule(w, grad, velocity, *, lr, beta):
        velocity = beta * velocity + (1 - beta) * grad
        return w - lr * optim.sign(velocity), velocity


class Warm(optim.Optimizer):
    """A rule that names ``step``, the count from 1, and every function that rules may use."""

    defaults = {"lr": 1.0}

    @staticmethod
    def rule(w, grad, *, lr, step):
        size = optim.sqrt(optim.exp(optim.minimum(optim.abs(grad), 0.0)))  # 1
        grad = optim.where(grad > 0, optim.maximum(grad, 0.0), grad)
        return w - lr * step * grad * size


@pytest.mark.parametrize("size", [3, 5000])  # array code, and a compiled loop where Numba is installed
def test_own_optimizer(size):
    p = tn.Parameter(np.zeros(size))
    optimizer = SignMomentum([p], lr=0.5)
    for sign in (1, 1, -3, -3):
        p.grad = np.full(size, sign)
        optimizer.step()
    # velocity 0.1, 0.19, -0.129, -0.4161
    np.testing.assert_allclose(p.numpy(), 0.0, atol=1e-6)
    np.testing.assert_allclose(host(optimizer.state(p)["velocity"]), -0.4161, rtol=1e-6)
    assert optimizer.state_dict()["groups"][0]["params"] == ["0"]
    with pytest.raises(ValueError, match=r"SignMomentum: beta is 1.0"):
        SignMomentum([p], beta=1.0)
    assert list(inspect.signature(SignMomentum).parameters) == ["params", "lr", "beta", *ALL]


@pytest.mark.parametrize("size", [3, 5000])
def test_own_optimizer_with_a_step_count(size):
    p, late = tn.Parameter(np.zeros(size)), tn.Parameter(np.zeros(size))
    optimizer = Warm([p, late])
    for grad in (None, [1.0], [1.0]):
        p.grad = np.ones(size)
        late.grad = None if grad is None else np.full(size, -1.0)
        optimizer.step()
    np.testing.assert_array_equal(p.numpy(), np.full(size, -(1 + 2 + 3)))
    np.testing.assert_array_equal(late.numpy(), np.full(size, 1 + 2))


def test_own_optimizer_has_decay_maximize_groups_and_state():
    a, b = parameter(1.0), parameter(1.0)
    optimizer = SignMomentum([{"params": [a], "beta": 0.0}, {"params": [b]}], lr=0.5, maximize=True, weight_decay=3.0)
    a.grad, b.grad = [1.0], [4.0]
    optimizer.step()  # -1 + 3 * 1 > 0 > -4 + 3 * 1
    assert (a.item(), b.item()) == (0.5, 1.5)
    fresh = SignMomentum([{"params": [parameter(1.0)]}, {"params": [parameter(1.0)]}])
    fresh.load_state_dict(optimizer.state_dict())
    assert [g["beta"] for g in fresh.param_groups] == [0.0, 0.9]
    assert repr(fresh).startswith("SignMomentum(\n  group 0: 1 parameters, lr=0.5, beta=0.0")


def test_a_rule_that_returns_too_little():
    class Broken(optim.Optimizer):
        buffers = ("velocity",)
        defaults = {"lr": 0.1}

        @staticmethod
        def rule(w, grad, velocity, *, lr):
            return w - lr * grad

    p = parameter(1.0)
    p.grad = [1.0]
    with pytest.raises(ValueError, match="expected 2 results"):
        Broken([p]).step()


def test_a_rule_that_names_what_has_no_default():
    class Broken(optim.Optimizer):
        defaults = {"lr": 0.1}

        @staticmethod
        def rule(w, grad, *, lr, rho):
            return w - lr * rho * grad

    p = parameter(1.0)
    p.grad = [1.0]
    with pytest.raises((TypeError, ValueError), match=r"Broken.*'rho'"):
        Broken([p]).step()


class Decoupled(optim.Optimizer):
    """A rule that shrinks the weight itself, with a buffer that starts at 1 and a rate that follows from the step."""

    buffers = ("size",)
    defaults = {"lr": 0.5, "rho": 0.5, "weight_decay": 0.25}
    ranges = {"rho": "(0, 1]"}

    def initial(self, buffer, group):
        return 1.0

    def hyper(self, group, step):
        return {**group, "rate": group["lr"] / step}

    @staticmethod
    def rule(w, grad, size, *, rate, rho, weight_decay):
        size = rho * size + (1 - rho) * optim.abs(grad)
        return w - rate * weight_decay * w - rate * grad / size, size


@pytest.mark.parametrize("size", [3, 5000])
def test_a_rule_that_names_weight_decay_does_it_itself(size):
    p = tn.Parameter(np.full(size, 4.0))
    optimizer = Decoupled([p])
    np.testing.assert_array_equal(host(optimizer.state(p)["size"]), 1.0)
    for w, s in ((4 - 0.5 * 0.25 * 4 - 0.5 * 3 / 2, 2.0), (2.75 - 0.25 * 0.25 * 2.75 - 0.25 * 3 / 2.5, 2.5)):
        p.grad = np.full(size, 3.0)
        optimizer.step()
        np.testing.assert_allclose(p.numpy(), w, rtol=1e-6)
        np.testing.assert_array_equal(host(optimizer.state(p)["size"]), s)
    fresh = Decoupled([tn.Parameter(np.full(size, 4.0))], maximize=True, weight_decay=0.0)
    fresh.load_state_dict(optimizer.state_dict())
    assert fresh.state_dict()["groups"] == optimizer.state_dict()["groups"]
    assert list(inspect.signature(Decoupled).parameters) == ["params", "lr", "rho", *ALL]


def test_hyper_parameters_are_computed_once_a_step():
    asked = []

    class Counting(optim.SGD):
        def hyper(self, group, step):
            asked.append(step)
            return group

    a, b, late = (parameter(1.0) for _ in range(3))
    optimizer = Counting([a, b, late])
    a.grad = b.grad = [1.0]
    optimizer.step()
    late.grad = [1.0]
    optimizer.step()
    assert asked[0] == 1
    assert sorted(asked[1:]) == [1, 2]  # the two counts that there are in the second step


@pytest.mark.parametrize("rho", [0.0, 1.5, float("nan"), None, "0.5"])
def test_ranges_of_ones_own(rho):
    with pytest.raises(ValueError, match=r"Decoupled: rho is .*, expected a number in \(0, 1\]"):
        Decoupled([parameter(1.0)], rho=rho)
    Decoupled([parameter(1.0)], rho=1)


def test_a_range_that_is_none():
    class Broken(optim.SGD):
        ranges = {"lr": "positive"}

    with pytest.raises(ValueError, match="ranges: 'positive' is no range such as"):
        Broken([parameter(1.0)])
