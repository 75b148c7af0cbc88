"""A Linear and the ReLU after it in a Sequential are one op, which gives what the two give."""

import numpy as np
import pytest

import tinynet as tn
import tinynet.functions as F
from tinynet import layers as L
from tinynet.functions.linalg import linear_relu
from tinynet.tensor import Tensor

SHAPES = [((5, 3), 4), ((3,), 4), ((2, 5, 3), 4), ((0, 3), 4), ((70, 80), 90), ((64, 300), 40)]


def gradients(function, arrays, second=False):
    inputs = [None if a is None else Tensor(a, requires_grad=True) for a in arrays]
    y = function(*inputs)
    wanted = [a for a in inputs if a is not None]
    if not second:
        found = tn.grad((y * y).sum() + y.sum(), wanted)
    else:
        first = tn.grad((y**2).sum(), wanted, create_graph=True)
        found = tn.grad(F.stack([(a**2).sum() for a in first]).sum(), wanted)
    return [a.numpy() for a in (y, *found)]


@pytest.mark.parametrize("second", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("shape", "out"), SHAPES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_it_gives_what_the_two_give(shape, out, bias, second, dtype):
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(s).astype(dtype) for s in (shape, (out, shape[-1]), (out,))]
    arrays[2] = arrays[2] if bias else None
    joined = gradients(linear_relu, arrays, second)
    apart = gradients(lambda *a: F.relu(F.linear(*a)), arrays, second)
    for a, b in zip(joined, apart, strict=True):
        assert a.dtype == dtype
        np.testing.assert_allclose(
            a, b, rtol=1e-4 if dtype == "float32" else 1e-10, atol=1e-3 if dtype == "float32" else 1e-9
        )


def test_nan_passes_and_the_gradient_of_an_input_is_left_out_where_nobody_wants_it():
    layer = tn.Sequential(L.Linear(3, 4), L.ReLU())
    x = tn.tensor([[1.0, np.nan, 2.0]])
    assert np.isnan(layer(x).numpy()).all()
    layer(tn.ones(2, 3)).sum().backward()
    assert layer[0].weight.grad is not None


def test_who_looks_sees_two_ops():
    net = tn.Sequential(L.Linear(3, 4), L.ReLU(), L.Linear(4, 2))
    assert "linear_relu" in repr(net[:2](tn.ones(2, 3)))
    assert "relu" in str(tn.Model.summary(_as_model(net), (3,))).lower()


def _as_model(net):
    class Net(tn.Model):
        def __init__(self):
            self.net = net

        def forward(self, x):
            return self.net(x)

    return Net()


@pytest.mark.parametrize("changed", [0, 1])
def test_a_layer_with_a_forward_of_its_own_is_not_joined(changed):
    class MyLinear(L.Linear):
        pass

    class MyReLU(L.ReLU):
        def forward(self, x):
            return super().forward(x) + 1

    net = tn.Sequential(MyLinear(3, 4) if changed == 0 else L.Linear(3, 4), MyReLU() if changed else L.ReLU())
    assert "linear_relu" not in repr(net(tn.ones(2, 3)))


def test_a_lazy_layer_learns_its_width_and_a_wrong_one_is_told():
    net = tn.Sequential(L.Linear(None, 4), L.ReLU())
    assert net(tn.ones(2, 3)).shape == (2, 4)
    with pytest.raises(ValueError, match="the input has shape"):
        net(tn.ones(2, 5))
