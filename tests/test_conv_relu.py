"""Convolution, ReLU and pooling in one pass give what the three ops give, and nobody sees that they were joined."""

import numpy as np
import pytest

import tinynet as tn
import tinynet.functions as F
from tinynet import layers as L
from tinynet.functions.conv import conv2d_relu
from tinynet.kernels import compiled, conv_team, team
from tinynet.tensor import Tensor

pytestmark = pytest.mark.cpu
RNG = np.random.default_rng(0)
NUMBA = pytest.mark.skipif(not compiled.enabled(), reason="needs Numba: pip install 'tinynet[fast]'")

# (batch, channels, outputs, size, kernel, stride, padding, dilation)
CASES = [
    (7, 3, 4, (10, 12), (3, 3), 1, 0, 1),
    (5, 1, 6, (28, 28), (5, 5), 1, 2, 1),
    (4, 2, 3, (9, 21), (2, 3), 1, (0, 1), 1),
    (3, 2, 5, (13, 11), (3, 2), (2, 1), (1, 0), (1, 2)),
    (3, 2, 5, (12, 24), (3, 3), (1, 2), (1, 1), (2, 1)),
    (3, 4, 5, (6, 8), (1, 1), 1, 0, 1),
    (3, 2, 2, (9, 9), (3, 3), 1, 0, 1),
]


@pytest.fixture
def joined(monkeypatch):
    """How often convolution and what follows were one; none is too small for it, and every image is a part of its own."""
    calls = []
    forward = conv_team.forward

    def noted(us, x, w, bias, at, kind=conv_team.PLAIN):
        calls.extend([kind == conv_team.POOL] * (kind != conv_team.PLAIN))
        return forward(us, x, w, bias, at, kind)

    monkeypatch.setattr(conv_team, "forward", noted)
    monkeypatch.setattr(conv_team, "LEAST", 1)
    monkeypatch.setattr(conv_team, "WORTH_A_PART", 1.0)
    return calls


def operands(case, dtype="float64"):
    n, channels, outputs, size, kernel_size, *numbers = case
    shapes = (n, channels, *size), (outputs, channels, *kernel_size), (outputs,)
    return [RNG.standard_normal(shape).astype(dtype) for shape in shapes], numbers


def apart(x, w, bias, stride, padding, dilation, pool):
    y = F.relu(F.conv2d(x, w, bias, stride, padding, dilation))
    return F.max_pool2d(y, 2) if pool else y


def with_gradients(function, arrays, numbers, pool):
    """The output and the gradients of all operands."""
    inputs = [None if a is None else Tensor(a, requires_grad=True) for a in arrays]
    stride, padding, dilation = numbers
    if function is conv2d_relu:
        y = conv2d_relu(*inputs, stride, padding, dilation, pool=pool)
    else:
        y = function(*inputs, stride, padding, dilation, pool)
    y.backward(np.cos(np.arange(y.size)).reshape(y.shape))
    return [y.numpy(), *(x.grad.numpy() for x in inputs if x is not None)]


@NUMBA
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("pool", [False, True], ids=["relu", "pool"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_gives_what_the_ops_give(case, pool, dtype, joined):
    arrays, numbers = operands(case, dtype)
    for bias in (arrays[2], None):
        these = [*arrays[:2], bias]
        found, expected = (with_gradients(f, these, numbers, pool) for f in (conv2d_relu, apart))
        np.testing.assert_array_equal(found[0], expected[0])
        for a, b in zip(found, expected, strict=True):
            assert a.dtype == dtype
            np.testing.assert_allclose(a, b, rtol=0, atol=200 * np.finfo(dtype).eps)
    even = not any(n % 2 for n in F.conv2d(*arrays, *numbers).shape[2:])  # elsewhere it is pooled apart
    assert joined == [pool and even] * 2


@NUMBA
def test_equal_elements_and_nan_are_taken_as_the_ops_take_them(joined):
    x = RNG.integers(-1, 2, (6, 1, 8, 8)).astype("float64")
    x[2, 0, 3, 4] = x[4, 0, 0, 0] = x[4, 0, 0, 1] = np.nan
    w, bias = np.ones((2, 1, 1, 2)), np.zeros(2)
    arrays = [np.pad(x, ((0, 0), (0, 0), (0, 0), (0, 1))), w, bias]
    for pool in (False, True):
        found, expected = (with_gradients(f, arrays, (1, 0, 1), pool) for f in (conv2d_relu, apart))
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)
    assert joined == [False, True]


@NUMBA
def test_the_number_of_threads_changes_no_bit(joined, monkeypatch):
    arrays, numbers = operands((37, 3, 4, (10, 12), (3, 3), 1, 1, 1), "float32")
    results = []
    loops = team.team()._loops
    for number in (1, 2, 3):
        crew = team.Team(number, loops)
        monkeypatch.setattr(team, "team", lambda crew=crew: crew)
        results += [with_gradients(conv2d_relu, arrays, numbers, True) for _ in range(3)]
    for other in results[1:]:
        for a, b in zip(other, results[0], strict=True):
            np.testing.assert_array_equal(a, b)


@NUMBA
def test_a_gradient_that_nobody_wants_is_not_computed(joined, monkeypatch):
    asked, back = [], conv_team.back
    monkeypatch.setattr(conv_team, "back", lambda *args: asked.append(back(*args)) or asked[-1])
    arrays, _ = operands(CASES[0], "float32")
    w = tn.Parameter(arrays[1])
    conv2d_relu(arrays[0], w, pool=True).sum().backward()
    assert w.grad.shape == w.shape
    assert [gx for gx, _, _ in asked] == [None]
    with tn.no_grad():
        assert not conv2d_relu(arrays[0], w).requires_grad
    assert joined == [True, False]


class Doubled(L.ReLU):
    def forward(self, x):
        return 2 * super().forward(x)


def network(relu, pool):
    tn.manual_seed(0)
    return tn.Sequential(L.Conv2d(1, 4, 3), relu, pool, L.Flatten(), L.Linear(None, 2))


@NUMBA
@pytest.mark.parametrize(
    ("relu", "pool", "expected"),
    [
        (L.ReLU(), L.MaxPool2d(2), [True]),
        (L.ReLU(), L.MaxPool2d((2, 2), 2), [True]),
        (L.ReLU(), L.MaxPool2d(2, 1), [False]),
        (L.ReLU(), L.MaxPool2d(3), [False]),
        (L.ReLU(), L.MaxPool2d(2, padding=1), [False]),
        (L.ReLU(), L.ReLU(), [False]),
        (L.Tanh(), L.MaxPool2d(2), []),
        (Doubled(), L.MaxPool2d(2), []),
    ],
    ids=lambda x: str(x),
)
def test_a_sequential_joins_what_it_may(relu, pool, expected, joined):
    model, x = network(relu, pool), tn.rand(3, 1, 10, 10)
    y = model(x)
    assert joined == expected
    one_by_one = x
    for layer in model:
        one_by_one = layer(one_by_one)
    np.testing.assert_array_equal(y.numpy(), one_by_one.numpy())
    assert joined == expected
    assert [type(value).__name__ for value in model] == [
        "Conv2d",
        type(relu).__name__,
        type(pool).__name__,
        "Flatten",
        "Linear",
    ]


@NUMBA
def test_a_layer_with_a_forward_of_its_own_is_asked(joined):
    model, x, seen = network(L.ReLU(), L.MaxPool2d(2)), tn.rand(3, 1, 10, 10), []
    relu = model[1]
    relu.forward = lambda x: (seen.append(x.shape), F.relu(x))[1]
    model(x)
    assert seen == [(3, 4, 8, 8)]
    assert joined == []
    del relu.forward
    model.summary((1, 10, 10))
    assert joined == []  # a summary shows the layers one by one
    model(x)
    assert joined == [True]


def test_without_numba_or_a_batch_axis_it_is_the_ops(monkeypatch):
    arrays, _ = operands(CASES[0], "float32")
    expected = apart(*arrays, 1, 0, 1, True).numpy()
    for i in range(2):
        y = conv2d_relu(arrays[0][i], *arrays[1:], pool=True)
        np.testing.assert_allclose(y.numpy(), expected[i], rtol=1e-4, atol=1e-5)
    monkeypatch.setattr(compiled, "WANTED", False)
    monkeypatch.setattr(conv_team, "LEAST", 1)
    np.testing.assert_allclose(conv2d_relu(*arrays, pool=True).numpy(), expected, rtol=1e-4, atol=1e-5)
    half = [a.astype("float16") for a in arrays]
    assert conv2d_relu(*half).dtype == np.float16
