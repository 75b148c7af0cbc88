"""tn.grad: which gradients come back, what is computed for them, and derivatives of derivatives."""

import numpy as np
import pytest

import tinynet as tn
import tinynet.functions as F
from tinynet.tensor import Parameter, Tensor, afterwards


def parameter(*values):
    return Parameter(np.array(values, dtype=float))


@tn.op(lambda g, y, x: 1 / 0)
def broken(x):
    """Its rule cannot be asked."""
    return x * 1


def test_grad_of_several_outputs_for_several_inputs():
    a, b = parameter(2.0), parameter(3.0)
    da, db = tn.grad([a * b, a * a], [a, b])
    assert (da.item(), db.item()) == (3 + 4, 2)
    da, db = tn.grad((a * b, a * a), (a, b), (np.array([10.0]), Tensor([1.0])))
    assert (da.item(), db.item()) == (30 + 4, 20)
    assert (a.grad, b.grad) == (None, None)


def test_grad_of_one_output_twice_and_of_an_output_on_the_way_to_another():
    x = parameter(2.0)
    y = x * x
    assert tn.grad([y, y], x, retain_graph=True)[0].item() == 8
    assert tn.grad([y, y * y], x)[0].item() == 4 + 4 * 8


def test_grad_for_results_of_ops():
    x = parameter(2.0)
    y = x * x
    z = y * y * x
    dy, dx, dz = tn.grad(z, [y, x, z])
    assert (dy.item(), dx.item(), dz.item()) == (2 * 4 * 2, 5 * 2**4, 1)


def test_grad_for_an_unused_input():
    a, b = parameter(2.0), parameter(3.0)
    with pytest.raises(RuntimeError, match=r"inputs: no output depends on number 1; pass allow_unused=True"):
        tn.grad(a * 2, [a, b])
    da, db = tn.grad(a * 2, [a, b], allow_unused=True)
    assert da.item() == 2
    assert db is None


@pytest.mark.parametrize("unfit", [Tensor([1.0]), np.ones(1), None])
def test_grad_for_what_requires_no_gradient(unfit):
    a = parameter(2.0)
    with pytest.raises(RuntimeError, match="inputs: number 1 does not require a gradient"):
        tn.grad(a * 2, [a, unfit])


def test_grad_outputs_one_for_each_output():
    a = parameter(2.0)
    with pytest.raises(ValueError, match="grad_outputs: expected 2, one for each output, got 1"):
        tn.grad([a * 2, a * 3], a, [np.ones(1)])


def test_grad_computes_only_what_leads_to_its_inputs():
    a, b = parameter(2.0), parameter(3.0)
    y = broken(b) * a + broken(b * 2)
    assert tn.grad(y, a)[0].item() == 3  # no rule of broken is asked
    inner = a * 2
    assert tn.grad(broken(a) * 0 + inner * 5, inner)[0].item() == 5


def test_grad_uses_the_graph_up_unless_told_otherwise():
    x = parameter(2.0)
    y = x * x
    tn.grad(y, x, retain_graph=True)
    tn.grad(y, x)
    with pytest.raises(RuntimeError, match="freed"):
        tn.grad(y, x)


# ------------------------------------------------------------------------------------------------- higher derivatives


def test_derivatives_of_a_power_to_the_fifth_order():
    x = parameter(1.5)
    y, expected = x**4, [4 * 1.5**3, 12 * 1.5**2, 24 * 1.5, 24.0, 0.0]
    for value in expected:
        (y,) = tn.grad(y, x, create_graph=True)
        assert y.item() == pytest.approx(value, rel=1e-14)


@pytest.mark.parametrize(
    ("f", "third"),
    [
        (lambda x: x.exp(), np.exp(0.7)),
        (lambda x: x.sin(), -np.cos(0.7)),
        (lambda x: x.log(), 2 / 0.7**3),
        (lambda x: 1 / x, -6 / 0.7**4),
        (lambda x: x.sqrt(), 0.375 * 0.7**-2.5),
        (lambda x: x.sin().exp() * 0 + x * x * x, 6.0),
        (lambda x: F.stack([x, x, x]).prod(), 6.0),
        (lambda x: x.reshape(1, 1) @ x.reshape(1, 1) @ x.reshape(1, 1), 6.0),
    ],
)
def test_third_derivatives(f, third):
    x = y = parameter(0.7)
    y = f(x)
    for _ in range(3):
        (y,) = tn.grad(y, x, create_graph=True)
    assert y.item() == pytest.approx(third, rel=1e-12)


def test_double_backward_through_a_small_network_is_its_hessian():
    """y = v . tanh(W x): d2y / dw_ij dw_kl = -2 v_i t_i (1 - t_i^2) x_j x_l for i = k, else 0, with t = tanh(W x)."""
    rng = np.random.default_rng(0)
    w, v, x = Parameter(rng.normal(size=(2, 3))), rng.normal(size=2), rng.normal(size=3)
    (g,) = tn.grad((Tensor(v) * (w @ Tensor(x)).tanh()).sum(), w, create_graph=True)
    t = np.tanh(w.numpy() @ x)
    for i in range(2):
        for j in range(3):
            expected = np.zeros((2, 3))
            expected[i] = -2 * v[i] * t[i] * (1 - t[i] ** 2) * x[j] * x
            np.testing.assert_allclose(tn.grad(g[i, j], w, retain_graph=True)[0].numpy(), expected, rtol=1e-12)


def test_backward_through_a_gradient_adds_to_grad():
    """The penalty of a gradient's size, as in WGAN-GP: d/dx (2 x)^2 = 8 x."""
    x = parameter(3.0)
    (g,) = tn.grad(x * x, x, create_graph=True)
    (g * g).backward()
    assert x.grad.item() == 24


def test_backward_with_create_graph_adds_a_differentiable_gradient():
    x = parameter(3.0)
    (x**3).backward(create_graph=True)
    (x**2).backward(create_graph=True)
    gradient, x.grad = x.grad, None  # a leaf whose grad leads back to it would be a cycle
    assert gradient.item() == 27 + 6
    assert tn.grad(gradient, x)[0].item() == 6 * 3 + 2


def test_the_given_gradient_is_differentiable_too():
    x, v = parameter(1.0, 2.0), parameter(3.0, 4.0)
    (g,) = tn.grad(x**2, x, v, create_graph=True)
    assert tn.grad(g, v, np.ones(2))[0].tolist() == [2, 4]


def test_float32_stays_float32_in_second_gradients_of_a_float64_seed():
    x = Parameter([1.0, 2.0])
    (g,) = tn.grad(x**3, x, np.ones(2), create_graph=True)
    assert tn.grad(g, x, Tensor(np.ones(2)))[0].dtype == np.float32
    assert tn.grad(x * 2, x, Tensor(np.ones(2)), create_graph=True)[0].dtype == np.float32


# -------------------------------------------------------------------------------------- when a backward is over


@tn.op(lambda g, y, x, then: then(g))
def marked(x, then):
    """The input; its rule is whatever it is given."""
    return x


def test_afterwards_is_when_all_leaves_have_their_gradients():
    a, b, seen = parameter(2.0), parameter(3.0), []

    def look():
        seen.append((a.grad.item(), b.grad.item()))

    def then(g):
        afterwards(look)  # by both marks: it is called once
        return g

    def loss():
        return marked(marked(a * b, then=then) * a, then=then)

    loss().backward()
    loss().backward()  # it adds
    assert seen == [(12, 4), (24, 8)]
    assert tn.grad(loss(), a)[0].item() == 12  # nothing is put anywhere, so nobody looks
    loss().backward(create_graph=True)
    assert seen[2:] == [(36, 12)]
    a.grad = b.grad = None


def test_afterwards_of_one_backward_is_not_that_of_another():
    a, seen = parameter(2.0), []

    def inside(g):  # a rule that goes another way back, as one that computes again what it did not keep
        with tn.enable_grad():
            b = parameter(5.0)
            marked(b * 1, then=lambda g: (afterwards(lambda: seen.append("inner")), g)[1]).backward()
            tn.grad(b * 2, b)
        afterwards(lambda: seen.append("late"))
        return g * b.grad.data

    marked(marked(a * 1, then=inside), then=lambda g: (afterwards(lambda: seen.append("outer")), g)[1]).backward()
    assert seen == ["inner", "outer", "late"]
    assert a.grad.item() == 1
    with pytest.raises(ZeroDivisionError):
        marked(broken(a), then=lambda g: (afterwards(lambda: seen.append("failed")), g)[1]).backward()
    (a * 1).backward()
    assert seen == ["inner", "outer", "late"]
