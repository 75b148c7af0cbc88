"""gradcheck: it passes what is right, and catches a rule that is wrong in one place or in its second derivative."""

import numpy as np
import pytest
from sampling import put, x

import tinynet as tn
import tinynet.functions as F
from tinynet.tensor import Parameter, Tensor
from tinynet.testing import GradcheckError, gradcheck


def op_with_rule(rule):
    return tn.op(rule)(lambda x: x**3)


RIGHT = op_with_rule(lambda g, y, x: g * 3 * x**2)
# The right gradient, out of reach of a second differentiation: constants in place of what depends on x, or on g.
FROZEN_IN_X = op_with_rule(lambda g, y, x: g * (3 * (x.detach() if isinstance(x, Tensor) else x) ** 2))
FROZEN_IN_G = op_with_rule(lambda g, y, x: (g.detach() if isinstance(g, Tensor) else g) * 3 * x**2)


def nudged(x):
    """The right gradient but for the element [1, 2]."""
    wrong = np.zeros(x.shape)
    wrong[1, 2] = 0.01
    return 3 * x**2 + put(wrong)


@pytest.mark.parametrize("order", [1, 2])
def test_a_right_rule_passes(order):
    assert gradcheck(RIGHT, [x(2, 3)], order=order) is True
    assert gradcheck(RIGHT, x(2, 3), order=order)
    assert gradcheck(lambda a, b: (a * b, F.exp(a).sum()), [x(3), x(2, 3)], order=order)
    assert gradcheck(lambda a: a.split(2), [x(4)], order=order)
    assert gradcheck(F.add, [x(), x(0)], order=order)


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        (lambda g, y, x: g * 2 * x**2, "input 0 at"),
        (lambda g, y, x: -g * 3 * x**2, "input 0 at"),
        (lambda g, y, x: 3 * x**2, "input 0 at"),  # without g: right only where that is 1
        (lambda g, y, x: g * 3 * x**2 * (1 + 1e-4), "input 0 at"),
        (lambda g, y, x: g * nudged(x), r"input 0 at \(1, 2\): the rule gives .*, the difference quotient"),
        (lambda g, y, x: g * 0, "the rule gives 0"),
        (lambda g, y, x: g * np.nan, "the rule gives nan"),
    ],
)
def test_a_wrong_rule_is_caught(rule, says):
    with pytest.raises(GradcheckError, match=f"gradcheck: .*{says}"):
        gradcheck(op_with_rule(rule), [x(2, 3)])


@pytest.mark.parametrize(
    ("f", "says"), [(FROZEN_IN_X, "second derivative, input 0 at"), (FROZEN_IN_G, "the weights of output 0")]
)
def test_a_rule_that_is_not_differentiated_rightly_is_caught_by_the_second_order(f, says):
    assert gradcheck(f, [x(2, 3)])
    with pytest.raises(GradcheckError, match=says):
        gradcheck(f, [x(2, 3)], order=2)


def test_the_wrong_one_of_two_inputs_or_outputs_is_caught():
    half = tn.op(lambda g, y, a, b: g * b, lambda g, y, a, b: g * b)(lambda a, b: a * b)
    with pytest.raises(GradcheckError, match="input 1 at"):
        gradcheck(half, [x(3), x(3, seed=1)])
    wrong = op_with_rule(lambda g, y, x: g)
    with pytest.raises(GradcheckError):
        gradcheck(lambda a: (a * 2, wrong(a)), [x(3)])


def test_a_dependence_that_the_rule_conceals_is_caught():
    concealed = tn.op(None)(lambda x: x**3)
    with pytest.raises(GradcheckError, match="the rule gives 0"):
        gradcheck(concealed, [x(3)])


def test_a_kink_is_caught_and_what_is_flat_passes():
    with pytest.raises(GradcheckError):
        gradcheck(F.relu, [np.zeros(2)])
    assert gradcheck(F.sign, [x(3)], order=2)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_low_precision_is_refused(dtype):
    for inputs in ([x(3), x(3).astype(dtype)], [x(3), Tensor(x(3).astype(dtype))]):
        with pytest.raises(TypeError, match=f"inputs: number 1 is {dtype}; gradcheck needs float64"):
            gradcheck(F.mul, inputs)


@pytest.mark.parametrize("order", [0, 3, "2"])
def test_an_unknown_order_is_refused(order):
    with pytest.raises(ValueError, match="order: expected 1 or 2"):
        gradcheck(F.exp, [x(3)], order=order)


def test_of_tensors_only_those_that_require_a_gradient_are_checked():
    wrong_in_b = tn.op(lambda g, y, a, b: g * b, lambda g, y, a, b: g)(lambda a, b: a * b)
    a, b = Parameter(x(3)), Tensor(x(3, seed=1))
    assert gradcheck(wrong_in_b, [a, b])
    with pytest.raises(GradcheckError):
        gradcheck(wrong_in_b, [a, Parameter(b.data)])


def test_inputs_are_left_as_they_were():
    a, p, ids = Tensor(x(3)), Parameter(x(3)), np.array([0, 2])
    assert gradcheck(lambda a, p, ids, n, name: (a[ids] ** n).sum() * p, [a, p, Tensor(ids), 2, "name"])
    np.testing.assert_array_equal(a.numpy(), x(3))
    np.testing.assert_array_equal(p.numpy(), x(3))
    assert p.grad is None
