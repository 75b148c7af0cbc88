"""Optimizers around the rule: groups, names, live state, and data that change between steps."""

import copy

import numpy as np
import pytest
from sampling import host, put
from steps import CASES, assert_equal, batch, net, parameter, train, weights
from update_rules import ELEMENTWISE

import tinynet as tn
from tinynet import layers as L
from tinynet import optim


def names(optimizer):
    return [g["params"] for g in optimizer.state_dict()["groups"]]


# ------------------------------------------------------------------------------------------------ groups and names


def test_groups_have_their_own_rates():
    a, b = parameter(1.0), parameter(1.0)
    optimizer = optim.SGD([{"params": [a], "lr": 0.5}, {"params": b}], lr=0.25)
    a.grad, b.grad = [1.0], [1.0]
    optimizer.step()
    assert (a.item(), b.item()) == (0.5, 0.75)


def test_options_that_change_the_rule_are_per_group():
    a, b = parameter(0.0), parameter(0.0)
    optimizer = optim.RMSprop([{"params": [a], "centered": True}, {"params": [b]}])
    a.grad, b.grad = [1.0], [1.0]
    optimizer.step()
    assert set(optimizer.state(a)) == {"squared_grad", "grad_average", "velocity"}
    assert set(optimizer.state(b)) == {"squared_grad"}
    assert a.item() < b.item() < 0


def test_lr_is_that_of_the_first_group_and_sets_all():
    optimizer = optim.SGD([{"params": [parameter(1.0)], "lr": 0.5}, {"params": [parameter(1.0)]}], lr=0.25)
    assert optimizer.lr == 0.5
    optimizer.lr = 0.125
    assert [g["lr"] for g in optimizer.param_groups] == [0.125, 0.125]
    optimizer.param_groups[1]["lr"] = 1.0
    assert optimizer.lr == 0.125


def test_add_param_group():
    a, b = parameter(1.0), parameter(1.0)
    optimizer = optim.SGD([a], lr=0.5)
    optimizer.add_param_group({"params": [b], "lr": 0.25})
    a.grad, b.grad = [1.0], [1.0]
    optimizer.step()
    assert (a.item(), b.item()) == (0.5, 0.75)
    optimizer.zero_grad()
    assert a.grad is None
    assert b.grad is None


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        (lambda m: m, [["0.weight", "0.bias", "2.weight", "2.bias"]]),
        (lambda m: m.parameters(), [["0.weight", "0.bias", "2.weight", "2.bias"]]),
        (lambda m: m.named_parameters(), [["0.weight", "0.bias", "2.weight", "2.bias"]]),
        (lambda m: iter(m.named_parameters()), [["0.weight", "0.bias", "2.weight", "2.bias"]]),
        (lambda m: list(m.parameters()), [["0", "1", "2", "3"]]),
        (lambda m: (p for p in m.parameters()), [["0", "1", "2", "3"]]),
        (lambda m: [("w", m[0].weight)], [["w"]]),
        (lambda m: enumerate(m.parameters()), [["0", "1", "2", "3"]]),
        (lambda m: [{"params": m[0]}, {"params": m[2]}], [["weight", "bias"], ["1.weight", "1.bias"]]),
        (lambda m: [{"params": m[0].parameters()}, {"params": [m[2].weight]}], [["weight", "bias"], ["2"]]),
        (lambda m: [{"params": m[0].weight}, {"params": iter([m[2].weight])}], [["0"], ["1"]]),
    ],
)
def test_names(params, expected):
    assert names(optim.SGD(params(net()))) == expected


@pytest.mark.parametrize(
    "params",
    [
        [("w", 1), ("w", 2), ("w", 3)],
        [("0.w", 1), ("w", 2), ("w", 3)],
        [("", 1), ("", 2)],
    ],
)
def test_names_never_clash(params):
    """Two parameters of one name would share their state."""
    optimizer = optim.Momentum([(name, parameter(*range(n))) for name, n in params])
    (found,) = names(optimizer)
    assert len(set(found)) == len(params)
    for p in optimizer.param_groups[0]["params"]:
        assert optimizer.state(p)["velocity"].shape == p.shape


def test_a_list_of_parameters_that_was_added_to():
    """``parameters()`` is a list with names; one that has grown since has none, and is numbered."""
    params = L.Linear(2, 2).parameters()
    params += L.Linear(2, 2).parameters()
    assert names(optim.SGD(params)) == [["0", "1", "2", "3"]]


# ------------------------------------------------------------------------------------------------------- live state


@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
def test_state_is_live_named_and_writable(name, options):
    p = parameter(1.0, 2.0)
    optimizer = getattr(optim, name)([p], **options)
    state = optimizer.state(p)
    for buffer, array in state.items():
        assert buffer.isidentifier()
        assert array.shape == p.shape
        assert array.dtype == p.dtype
        assert not array.any()
    p.grad = [1.0, 0.0]
    optimizer.step()
    assert optimizer.state(p).keys() == state.keys()
    for buffer, array in state.items():
        assert array is optimizer.state(p)[buffer]
        assert array[0] != 0


def test_writing_into_the_state_counts():
    p = parameter(0.0)
    optimizer = optim.Momentum([p], lr=1.0, beta=0.5)
    optimizer.state(p)["velocity"][...] = 4.0
    p.grad = [0.0]
    optimizer.step()
    assert p.item() == -2.0


def test_state_of_a_stranger():
    with pytest.raises(KeyError, match="not among those it optimizes"):
        optim.Momentum([parameter(1.0)]).state(parameter(1.0))


def test_each_parameter_counts_its_own_steps():
    """Adam's t is 1 in a parameter's first step, however many steps the others have made."""
    a, b = parameter(0.0, dtype=np.float64), parameter(0.0, dtype=np.float64)
    optimizer = optim.Adam([a, b], lr=0.5)
    for _ in range(5):
        a.grad = [1.0]
        optimizer.step()
    b.grad = [1.0]
    optimizer.step()
    assert b.item() == pytest.approx(-0.5)
    a.grad = None
    b.grad = [1.0]
    before = a.item()
    optimizer.step()
    assert a.item() == before
    assert optimizer.state_dict()["steps"] == {"0": 6, "1": 2}


def test_frozen_parameters_stand_still():
    model = net()
    optimizer = optim.Adam(model, weight_decay=0.1)
    train(model, optimizer, range(2))
    frozen = weights(model[0])
    model[0].freeze()
    train(model, optimizer, range(2, 4))
    assert_equal(weights(model[0]), frozen)
    assert optimizer.state_dict()["steps"] == {"0.weight": 2, "0.bias": 2, "2.weight": 4, "2.bias": 4}
    model[0].weight.grad = np.ones((4, 3))  # whoever assigns a gradient to what is frozen still changes nothing
    optimizer.step()
    assert_equal(weights(model[0]), frozen)
    model[0].unfreeze()
    train(model, optimizer, range(1))
    assert (model[0].weight.numpy() != frozen["weight"]).all()


def test_a_shared_parameter_decays_once():
    """Two layers share one weight: weight decay joins the update once and never the gradient that both made."""
    layer = L.Linear(2, 2, bias=False)
    twin = L.Linear(2, 2, bias=False)
    twin.weight = layer.weight
    model = tn.Sequential(layer, twin)
    w = layer.weight.numpy().copy()
    optimizer = optim.SGD(model, lr=0.5, weight_decay=0.25)
    assert names(optimizer) == [["0.weight"]]
    g = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)
    layer.weight.grad = g
    optimizer.step()
    np.testing.assert_allclose(layer.weight.numpy(), w - 0.5 * (g + 0.25 * w), rtol=1e-6)
    np.testing.assert_array_equal(layer.weight.grad.numpy(), g)


@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
def test_the_gradient_is_left_as_it_is(name, options):
    p, g = parameter(1.0, 2.0), put(np.array([1.0, -2.0], np.float32))
    p.grad = g
    getattr(optim, name)([p], weight_decay=0.5, maximize=True, **options).step()
    np.testing.assert_array_equal(p.grad.numpy(), [1.0, -2.0])
    assert p.grad.data is g


# ---------------------------------------------------------------------------------- the data changes between steps


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_writing_into_or_rebinding_the_data(name):
    a, b = parameter(1.0, 2.0), parameter(1.0, 2.0)
    first, second = getattr(optim, name)([a], lr=0.1), getattr(optim, name)([b], lr=0.1)
    for i in range(5):
        a.data[...] = a.data * 0.9
        b.data = b.data * 0.9
        a.grad = b.grad = np.array([i - 2.0, 1.0])
        first.step()
        second.step()
    np.testing.assert_array_equal(a.numpy(), b.numpy())
    assert a.numpy()[0] != np.float32(0.9**5)


def test_rebinding_a_number():
    """NumPy's arithmetic on an array without axes gives a scalar, which cannot be written into."""
    p = tn.Parameter(1.0)
    optimizer = optim.Momentum([p], lr=1.0, beta=0.0)
    p.grad = 1.0
    optimizer.step()
    p.data = p.data - 1
    p.grad = 1.0
    optimizer.step()
    assert p.item() == -2.0


@pytest.mark.parametrize("size", [3, 5000])  # array code, and a compiled loop where Numba is installed
def test_data_that_a_compiled_loop_cannot_take(size):
    p = tn.Parameter(np.ones(size))
    optimizer = optim.SGD([p], lr=0.5)
    others = [p.data.astype(">f4")] if isinstance(p.data, np.ndarray) else []  # another byte order, which CuPy has not
    for data in (p.data, *others, p.data.astype(np.float16)):
        p.data, p.grad = data, np.ones(size)
        optimizer.step()
        np.testing.assert_array_equal(p.numpy(), 0.5)
        p.data[...] = 1


@pytest.mark.cpu  # CuPy has no read-only arrays
@pytest.mark.parametrize("size", [3, 5000])
def test_read_only_data(size):
    p = tn.Parameter(np.ones(size))
    p.grad = np.ones(size)
    p.data.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        optim.SGD([p], lr=0.5).step()


def test_data_that_are_no_floats():
    """A step would round every weight, and no small one would ever move it."""
    p, q = parameter(1.0, 2.0), parameter(1.0, 2.0)
    optimizer = optim.Momentum([("p", p), ("q", q)], lr=0.5)
    p.grad = q.grad = np.ones(2)
    optimizer.step()
    velocity = host(optimizer.state(q)["velocity"]).copy()
    before = p.numpy().copy()
    q.data = put(np.array([1, 2]))
    with pytest.raises(ValueError, match="Momentum: parameter 'q' is int64 now, expected floats"):
        optimizer.step()
    np.testing.assert_array_equal(p.numpy(), before)
    q.data = put(np.array([1.0, 2.0], np.float32))
    np.testing.assert_array_equal(host(optimizer.state(q)["velocity"]), velocity)


def test_the_user_sees_the_array_that_they_bound():
    p = parameter(1.0, 2.0)
    mine = put(np.array([5.0, 6.0], np.float32))
    p.data = mine
    p.grad = [1.0, 1.0]
    optim.SGD([p], lr=1.0).step()
    np.testing.assert_array_equal(host(mine), [4.0, 5.0])


@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
def test_buffers_follow_the_dtype(name, options):
    model = net()
    optimizer = getattr(optim, name)(model, **options)
    train(model, optimizer, range(2))
    before = {b: a.copy() for b, a in optimizer.state(model[0].weight).items()}
    model.astype("float64")
    train(model, optimizer, range(2))
    for p in model.parameters():
        assert p.dtype == np.float64
        for buffer in optimizer.state(p).values():
            assert buffer.dtype == np.float64
    assert before.keys() == optimizer.state(model[0].weight).keys()


def test_astype_keeps_what_the_buffers_hold():
    p = parameter(1.0)
    optimizer = optim.Momentum([p], lr=1.0)
    optimizer.state(p)["velocity"][...] = 0.5
    p.data = p.data.astype(np.float64)
    assert optimizer.state(p)["velocity"] == 0.5
    assert optimizer.state(p)["velocity"].dtype == np.float64


def test_another_shape_is_an_error_that_names_the_parameter():
    p = parameter(1.0, 2.0)
    optimizer = optim.Momentum([("head.bias", p)])
    p.grad = [1.0, 1.0]
    optimizer.step()
    p.grad, p.data = None, put(np.zeros(3, np.float32))
    p.grad = np.ones(3)
    with pytest.raises(ValueError, match=r"'head.bias' has shape \(3,\) now, its 'velocity' \(2,\)"):
        optimizer.step()


def test_made_before_the_first_batch():
    tn.manual_seed(0)
    model = tn.Sequential(L.Linear(None, 4), L.Tanh(), L.Linear(None, 2))
    optimizer = optim.Adam(model, lr=0.1)
    model(batch(0)[0])
    before = weights(model)
    train(model, optimizer, range(3))
    assert all((p.numpy() != before[name]).any() for name, p in model.named_parameters())


def test_deepcopy_of_model_and_optimizer_together():
    model = net()
    optimizer = optim.Adam(model)
    train(model, optimizer, range(2))
    model2, optimizer2 = copy.deepcopy((model, optimizer))
    train(model, optimizer, range(2, 4))
    train(model2, optimizer2, range(2, 4))
    assert_equal(weights(model), weights(model2))
