"""jacobian, hessian, hvp, jvp: against formulas, difference quotients and PyTorch, and what they leave untouched."""

import numpy as np
import pytest
from sampling import put
from sampling import x as sample

import tinynet as tn
import tinynet.functions as F
from tinynet import layers as L
from tinynet.tensor import Parameter, Tensor


def close(a, b, rtol=1e-10, atol=1e-12):
    a, b = (t.numpy() if isinstance(t, Tensor) else np.asarray(t) for t in (a, b))
    assert a.shape == b.shape
    np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)


# Functions of one array, of several, and of numbers; written with operators and methods that tinynet and PyTorch share.
def swirl(x):
    return (x * 2).sin() * x.sum() + x**3


def product(a, b):
    return (a.sin() @ b).tanh()


def mixture(a, b):
    return (a.reshape(-1)[:2].exp() * b).sum() + (b**3).sum() * a.sum()


ONE = [(swirl, sample(4)), (swirl, sample(2, 3)), (swirl, sample()), (lambda x: x[0, 1:] * x.sum(), sample(2, 3))]
TWO = [(product, (sample(2, 3), sample(3, seed=1))), (mixture, (sample(2, 3), sample(2, seed=1)))]
SCALAR = [(lambda x: (x**3).sum() + x.sin().sum() ** 2, sample(2, 3)), (lambda x: x.exp() * x, sample()), TWO[1]]


def quotient(f, xs, i, eps=1e-6):
    """df/dx_i by difference quotients, of shape y.shape + x_i.shape."""
    columns = []
    for index in np.ndindex(xs[i].shape):
        ends = []
        for step in (eps, -eps):
            moved = [x.copy() for x in xs]
            moved[i][index] += step
            ends.append(f(*map(Tensor, moved)).numpy())
        columns.append((ends[0] - ends[1]) / (2 * eps))
    return np.stack(columns, axis=-1).reshape(columns[0].shape + xs[i].shape)


def as_tuple(x):
    return x if isinstance(x, tuple) else (x,)


# ------------------------------------------------------------------------------------------------------- values


@pytest.mark.parametrize(("f", "x"), ONE + TWO)
def test_jacobian_against_difference_quotients(f, x):
    for found, i in zip(as_tuple(tn.jacobian(f, x)), range(9), strict=False):
        close(found, quotient(f, as_tuple(x), i), rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize(("f", "x"), SCALAR)
def test_hessian_against_difference_quotients(f, x):
    xs = as_tuple(x)
    found = tn.hessian(f, x) if isinstance(x, tuple) else ((tn.hessian(f, x),),)
    for i, row in enumerate(found):
        for j, block in enumerate(row):

            def slope(*at, i=i):
                leaves = [Tensor(a, requires_grad=True) for a in at]
                return tn.grad(f(*leaves), leaves)[i]

            close(block, quotient(slope, xs, j), rtol=1e-7, atol=1e-7)
            close(block, np.moveaxis(found[j][i].numpy(), range(xs[j].ndim), range(-xs[j].ndim, 0)))


@pytest.mark.parametrize(("f", "x"), ONE + TWO)
def test_jvp_is_the_jacobian_times_v(f, x):
    xs = as_tuple(x)
    vs = tuple(sample(*a.shape, seed=7) for a in xs)
    expected = sum(np.tensordot(j.numpy(), v, v.ndim) for j, v in zip(as_tuple(tn.jacobian(f, x)), vs, strict=True))
    close(tn.jvp(f, x, vs if isinstance(x, tuple) else vs[0]), expected)


@pytest.mark.parametrize(("f", "x"), SCALAR)
def test_hvp_is_the_hessian_times_v(f, x):
    xs = as_tuple(x)
    vs = tuple(sample(*a.shape, seed=7) for a in xs)
    h = tn.hessian(f, x) if isinstance(x, tuple) else ((tn.hessian(f, x),),)
    found = as_tuple(tn.hvp(f, x, vs if isinstance(x, tuple) else vs[0]))
    for row, product in zip(h, found, strict=True):
        close(product, sum(np.tensordot(b.numpy(), v, v.ndim) for b, v in zip(row, vs, strict=True)))


def test_formulas():
    a = sample(4, 4)
    x = sample(4, seed=1)
    close(tn.jacobian(lambda x: Tensor(a) @ x, x), a)
    close(tn.hessian(lambda x: x @ Tensor(a) @ x, x), a + a.T)
    close(tn.hvp(lambda x: x @ Tensor(a) @ x, x, x), (a + a.T) @ x)
    close(tn.jacobian(F.exp, x), np.diag(np.exp(x)))
    close(tn.jvp(F.softmax, x, np.ones(4)), np.zeros(4))
    n = sample(3)
    r = np.linalg.norm(n)
    close(tn.hessian(F.norm, n), (np.eye(3) - np.outer(n, n) / r**2) / r)
    third = tn.jacobian(lambda x: tn.hessian(lambda x: (x**4).sum(), x, create_graph=True), n)
    expected = np.zeros((3, 3, 3))
    expected[range(3), range(3), range(3)] = 24 * n
    close(third, expected)


@pytest.mark.parametrize(("f", "x"), ONE + TWO)
def test_jacobian_and_jvp_beside_pytorch(f, x):
    torch = pytest.importorskip("torch")
    ours, theirs = as_tuple(x), tuple(map(torch.tensor, as_tuple(x)))
    for found, expected in zip(as_tuple(tn.jacobian(f, x)), torch.autograd.functional.jacobian(f, theirs), strict=True):
        close(found, expected)
    vs = tuple(sample(*a.shape, seed=7) for a in ours)
    _, expected = torch.autograd.functional.jvp(f, theirs, tuple(map(torch.tensor, vs)))
    close(tn.jvp(f, x, vs if isinstance(x, tuple) else vs[0]), expected)


@pytest.mark.parametrize(("f", "x"), SCALAR)
def test_hessian_and_hvp_beside_pytorch(f, x):
    torch = pytest.importorskip("torch")
    theirs = tuple(map(torch.tensor, as_tuple(x)))
    found = tn.hessian(f, x) if isinstance(x, tuple) else ((tn.hessian(f, x),),)
    for row, expected in zip(found, torch.autograd.functional.hessian(f, theirs), strict=True):
        for block, other in zip(row, expected, strict=True):
            close(block, other)
    vs = tuple(sample(*a.shape, seed=7) for a in as_tuple(x))
    _, expected = torch.autograd.functional.hvp(f, theirs, tuple(map(torch.tensor, vs)))
    for product, other in zip(as_tuple(tn.hvp(f, x, vs if isinstance(x, tuple) else vs[0])), expected, strict=True):
        close(product, other)


# --------------------------------------------------------------------------------- curvature of a network's loss


def network():
    tn.manual_seed(0)
    model = tn.Sequential(L.Linear(3, 4), L.Tanh(), L.Linear(4, 2)).astype("float64")
    inputs, targets = Tensor(sample(6, 3)), Tensor([0, 1, 1, 0, 1, 0])
    return model, lambda *_: F.cross_entropy(model(inputs), targets)


def test_the_curvature_of_a_networks_loss():
    """The parameters are used as they are, so that a loss which ignores its arguments depends on them."""
    model, loss = network()
    params = model.parameters()
    blocks = tn.hessian(loss, params)
    rows = [[b.numpy().reshape(p.size, -1) for b in row] for p, row in zip(params, blocks, strict=True)]
    whole = np.block(rows)
    close(whole, whole.T)
    vs = [sample(*p.shape, seed=5) for p in params]
    product = np.concatenate([h.numpy().ravel() for h in tn.hvp(loss, params, vs)])
    close(product, whole @ np.concatenate([v.ravel() for v in vs]))
    eps, slopes = 1e-6, []
    for step in (eps, -eps):
        for p, v in zip(params, vs, strict=True):
            p.data += put(step * v)
        slopes.append(np.concatenate([g.numpy().ravel() for g in tn.grad(loss(), params)]))
        for p, v in zip(params, vs, strict=True):
            p.data -= put(step * v)
    close(product, (slopes[0] - slopes[1]) / (2 * eps), rtol=1e-6, atol=1e-9)
    assert all(p.grad is None for p in params)


def test_a_frozen_parameter_is_refused():
    model, loss = network()
    model[0].freeze()
    vs = [np.ones(p.shape) for p in model.parameters()]
    with pytest.raises(ValueError, match=r"hvp: number 0 of x is a Parameter that is frozen; unfreeze it, or pass its .det"):
        tn.hvp(loss, model.parameters(), vs)
    with pytest.raises(ValueError, match="hessian: x is a Parameter that is frozen"):
        tn.hessian(loss, model[0].bias)


# ------------------------------------------------------------------------------------------- what stays as it was


def everything(x, v, **keywords):
    """One call of each of the four."""
    return [
        tn.jacobian(swirl, x, **keywords),
        tn.hessian(lambda x: swirl(x).sum(), x, **keywords),
        tn.hvp(lambda x: swirl(x).sum(), x, v, **keywords),
        tn.jvp(swirl, x, v, **keywords),
    ]


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_dtype_and_no_gradient_touched(dtype):
    x = sample(3).astype(dtype)
    for kind in (x, Tensor(x), Parameter(x)):
        for result in everything(kind, sample(3, seed=1)):
            assert type(result) is Tensor
            assert result.dtype == dtype
            assert not result.requires_grad
        assert getattr(kind, "grad", None) is None
        assert getattr(kind, "requires_grad", False) is isinstance(kind, Parameter)
    np.testing.assert_array_equal(x, sample(3).astype(dtype))


def test_lists_of_numbers():
    close(tn.jacobian(lambda x: x**2, [1.0, 2.0]), np.diag([2.0, 4.0]).astype("float32"))
    close(tn.hvp(lambda x: (x**3).sum(), [1.0, 2.0], [1, 1]), np.array([6.0, 12.0], "float32"))
    assert tn.hessian(lambda x: x**3, 2.0).item() == 12
    found = tn.jacobian(lambda a, b: a * b, [np.float32([3.0]), Tensor(2.0)])
    assert [t.tolist() for t in found] == [[[2.0]], [3.0]]


def test_under_no_grad():
    x, v = sample(3), sample(3, seed=1)
    expected = everything(x, v)
    with tn.no_grad():
        for found, other in zip(everything(x, v), expected, strict=True):
            np.testing.assert_array_equal(found.numpy(), other.numpy())
        assert not (Parameter(x) * 2).requires_grad


@pytest.mark.parametrize("leaf", [True, False])
def test_create_graph(leaf):
    w = Parameter(sample(3))
    x, v = (w if leaf else w * w), Tensor(sample(3, seed=1), requires_grad=True)
    for result, plain in zip(everything(x, v, create_graph=True), everything(x, v), strict=True):
        np.testing.assert_array_equal(result.numpy(), plain.numpy())
        (g,) = tn.grad(result.sum(), w, retain_graph=True)
        assert g.dtype == np.float64

    def through(make):
        def f(w, v):
            return make(w if leaf else w * w, v)

        assert tn.gradcheck(f, [sample(3), sample(3, seed=1)])

    for k in range(4):
        through(lambda x, v, k=k: everything(x, v, create_graph=True)[k])


def test_the_callers_graph_is_not_freed():
    w = Parameter(sample(3))
    y = w * w
    tn.jacobian(lambda x: x * y, w)
    tn.hessian(lambda x: (x * y).sum(), y)
    y.sum().backward()
    close(w.grad, 2 * w.numpy())


def test_an_argument_computed_from_another():
    """The derivatives are those of f for each argument, as if they were independent."""
    a = Parameter(sample(3))
    for create_graph in (False, True):
        da, db = tn.jacobian(lambda a, b: a * b, (a * 1, a * 2), create_graph=create_graph)
        close(da, np.diag(2 * a.numpy()))
        close(db, np.diag(a.numpy()))
    with pytest.raises(ValueError, match=r"jacobian: number 1 of x is number 0, too; pass its \.detach\(\)"):
        tn.jacobian(lambda a, b: a * b, (a, a))


def test_no_dependence_is_a_derivative_of_zero():
    x, other = sample(3).astype("float32"), Parameter([2.0])
    for f in (lambda x: tn.ones(2), lambda x: other * tn.ones(2), lambda x: (x > 0).sum(keepdims=True) + tn.zeros(2)):
        close(tn.jacobian(f, x), np.zeros((2, 3)))
        close(tn.jvp(f, x, x), np.zeros(2))
        close(tn.hessian(lambda x, f=f: f(x).sum(), x), np.zeros((3, 3)))
        close(tn.hvp(lambda x, f=f: f(x).sum(), x, x), np.zeros(3))
    linear = tn.hessian(lambda a, b: (a * 2).sum() + (b**2).sum(), (x, x))
    assert [[block.numpy().any() for block in row] for row in linear] == [[False, False], [False, True]]
    assert other.grad is None


def test_empty_arrays():
    assert tn.jacobian(F.exp, np.zeros((0, 2))).shape == (0, 2, 0, 2)
    assert tn.jacobian(F.sum, np.zeros((0, 2))).shape == (0, 2)
    assert tn.hessian(F.sum, np.zeros(0)).shape == (0, 0)
    assert tn.hvp(F.sum, np.zeros(0), []).shape == (0,)
    assert tn.jvp(F.exp, np.zeros(0), []).shape == (0,)


def test_one_element_in_an_array_counts_as_a_number():
    close(tn.hessian(lambda x: (x**2).sum(keepdims=True), sample(2)), 2 * np.eye(2))


# ------------------------------------------------------------------------------------------------------- errors

V = sample(3)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: tn.hessian(F.exp, V), ValueError, r"hessian: f returned shape \(3,\), expected one number; .sum"),
        (lambda: tn.hvp(F.exp, V, V), ValueError, r"hvp: f returned shape \(3,\), expected one number"),
        (lambda: tn.hvp(F.sum, V, V[:2]), ValueError, r"hvp: v has shape \(2,\), expected that of x, \(3,\)"),
        (lambda: tn.jvp(F.exp, V, 1.0), ValueError, r"jvp: v has shape \(\), expected that of x, \(3,\)"),
        (lambda: tn.jvp(F.mul, (V, V), (V, V[:1])), ValueError, r"jvp: number 1 of v has shape \(1,\), expected .* \(3,\)"),
        (lambda: tn.jvp(F.mul, (V, V), (V,)), ValueError, "jvp: v has 1 parts, expected 2, one for each part of x"),
        (lambda: tn.jvp(F.mul, (V, V), V), ValueError, "jvp: v has 1 parts, expected 2"),
        (lambda: tn.jacobian(lambda x: 3.0, V), TypeError, "jacobian: f returned float, expected one Tensor"),
        (lambda: tn.jacobian(lambda x: (x, x), V), TypeError, "jacobian: f returned tuple, expected one Tensor"),
        (lambda: tn.jacobian(F.exp, np.arange(3)), TypeError, "jacobian: x is int64, expected floats"),
        (lambda: tn.hessian(F.sum, [1, 2]), TypeError, "hessian: x is int64, expected floats"),
        (lambda: tn.jvp(F.take, (V, np.array([0])), (V, V)), TypeError, "jvp: number 1 of x is int64, expected floats"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
