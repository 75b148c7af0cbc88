"""One walk back: what `backward` adds to which leaf, what shares memory with what, and what an error leaves behind."""

import numpy as np
import pytest
from sampling import host, put, share_memory

import tinynet as tn
import tinynet.functions as F
from tinynet.tensor import Parameter, Tensor


def parameter(*values):
    return Parameter(np.array(values, dtype=float))


# ------------------------------------------------------------------------------------------------ one step backward


@pytest.mark.parametrize(
    ("f", "slope"),
    [
        (lambda x: x - x, 0.0),
        (lambda x: x / x, 0.0),
        (lambda x: x * x, 6.0),
        (lambda x: x + x, 2.0),
        (lambda x: F.maximum(x, x), 1.0),
        (lambda x: x**x, 27 * (np.log(3) + 1)),
        (lambda x: F.stack([x, x, x]).sum(), 3.0),
    ],
)
def test_an_operand_used_twice(f, slope):
    x = parameter(3.0)
    f(x).backward()
    np.testing.assert_allclose(x.grad.numpy(), [slope], rtol=1e-14)


def test_diamonds_are_walked_once_however_many_paths_they_have():
    x = y = parameter(1.0)
    for _ in range(64):  # 2**64 paths
        y = y + y
    y.backward()
    assert x.grad.item() == 2.0**64


def test_a_diamond_of_uneven_sides():
    x = parameter(2.0)
    a = x * x
    y = a + (a * x) * a  # x^2 + x^5
    y.backward()
    assert x.grad.item() == 2 * 2 + 5 * 2**4


@pytest.mark.parametrize(
    "shapes",
    [((3, 1), (1, 4)), ((2, 3), (3,)), ((), (2, 2)), ((1,), (4,)), ((2, 1, 3), (5, 1)), ((1, 1), ()), ((0, 1), (3,))],
)
def test_broadcasting_is_undone(shapes):
    a, b = (Parameter(np.ones(shape)) for shape in shapes)
    y = a * b
    y.sum().backward()
    for x in (a, b):
        assert x.grad.shape == x.shape
        assert (x.grad.numpy() == y.size / max(x.size, 1)).all()


def test_gradients_add_up_until_they_are_cleared():
    x = parameter(1.0, 2.0)
    (x * 2).sum().backward()
    (x * 3).sum().backward()
    assert x.grad.tolist() == [5, 5]
    x.grad = None
    (x * 3).sum().backward()
    assert x.grad.tolist() == [3, 3]


def test_a_gradient_given_or_that_of_one_element():
    x = parameter(1.0, 2.0)
    (x * 2).backward([1.0, 10.0])
    assert x.grad.tolist() == [2, 20]
    for shape in ((), (1,), (1, 1)):
        y = Parameter(np.ones(shape))
        (y * 2).backward()
        assert y.grad.shape == shape
    z = parameter(1.0)
    z.backward()  # a leaf is its own gradient's end
    assert z.grad.item() == 1


def test_only_leaves_receive_a_gradient():
    x = parameter(1.0)
    constant = Tensor([2.0])
    y = x * constant
    y.sum().backward()
    assert y.grad is None
    assert constant.grad is None
    assert not y.is_leaf


def test_grad_holds_no_graph():
    x = parameter(1.0)
    (x * x).backward()
    assert not x.grad.requires_grad
    assert x.grad.is_leaf


# --------------------------------------------------------------------------------------- no two gradients share memory

SHARING = {
    "sum": lambda a, b: a + b,
    "same": lambda a, b: a + b + a,
    "difference": lambda a, b: a - b,
    "reshape": lambda a, b: a.reshape(2, 2).reshape(4) + b,
    "transpose": lambda a, b: (a.reshape(2, 2).T + b.reshape(2, 2)).reshape(4),
    "views": lambda a, b: F.concatenate([a[:2], b[2:]]),
    "joined": lambda a, b: F.concatenate([a, b])[:4] + F.stack([a, b])[1],
    "broadcast": lambda a, b: a.broadcast_to((1, 4)).squeeze(0) + b.expand_dims(0).flatten(),
    "where": lambda a, b: F.where(True, a, b),
    "product": lambda a, b: a * b,
    "flip": lambda a, b: a.flip() + b.flip().flip(),
    "pad": lambda a, b: a.pad(1)[1:5] + b,
    "clip": lambda a, b: a.clip(-9.0, 9.0) + b.astype("float64"),
}


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("f", SHARING.values(), ids=SHARING)
def test_gradients_share_memory_with_nothing(f, create_graph):
    a, b, given = parameter(1, 2, 3, 4), parameter(5, 6, 7, 8), put(np.ones(4))
    f(a, b).backward(given, create_graph=create_graph)
    arrays = [a.data, b.data, given, a.grad.data, b.grad.data]
    for i, first in enumerate(arrays):
        for second in arrays[i + 1 :]:
            assert not share_memory(first, second)
    before = [host(g).copy() for g in arrays]
    a.grad.data[...] = 77  # as an optimizer or gradient clipping may
    for array, copy in zip((*arrays[:3], b.grad.data), (*before[:3], before[4]), strict=True):
        np.testing.assert_array_equal(host(array), copy)
    a.grad = b.grad = None  # with create_graph they lead back to a and b: a cycle


@pytest.mark.parametrize("create_graph", [False, True])
def test_gradients_of_tensors_on_one_path_share_no_memory(create_graph):
    x = parameter(1, 2, 3, 4)
    y = x.reshape(2, 2)
    z = y.T + 0.0
    given = put(np.ones((2, 2)))
    found = tn.grad(z, [x, y, z], given, create_graph=create_graph)
    arrays = [given, *(g.data for g in found)]
    assert [g.shape for g in found] == [(4,), (2, 2), (2, 2)]
    assert not any(share_memory(a, b) for i, a in enumerate(arrays) for b in arrays[:i])


def test_a_leaf_given_its_gradient_copies_it():
    x, given = parameter(1, 2), put(np.ones(2))
    x.backward(given)
    given[:] = 9
    assert x.grad.tolist() == [1, 1]


def test_a_second_backward_does_not_change_the_tensor_that_the_first_put_there():
    x = parameter(1.0)
    (x * 2).backward()
    first = x.grad
    (x * 3).backward()
    assert first.item() == 2
    assert x.grad.item() == 5


# ------------------------------------------------------------------------------------- the graph, used up or retained


def test_retain_graph_allows_another_backward():
    x = parameter(2.0)
    y = x * x
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.item() == 8


@pytest.mark.parametrize("f", [lambda x: x * x, lambda x: x + 1, lambda x: (x * x).sum() + x.sum()])
def test_a_second_backward_through_a_freed_graph_raises_and_changes_nothing(f):
    x = parameter(2.0)
    y = f(x)
    y.backward()
    before = x.grad
    for again in (y.backward, (y * 2).backward, lambda: tn.grad(y, x)):
        with pytest.raises(RuntimeError, match=r"freed by an earlier backward .*retain_graph=True"):
            again()
        assert x.grad is before


def test_a_part_of_the_graph_used_up_by_another_result():
    x = parameter(2.0)
    a = x * x
    first, second = a * 2, a * 3
    first.backward()
    with pytest.raises(RuntimeError, match="at op 'mul'"):
        second.backward()
    assert x.grad.item() == 8


def test_leaves_outlive_every_graph():
    x = parameter(2.0)
    for _ in range(3):
        (x * x).backward()
    assert x.grad.item() == 12


# ----------------------------------------------------------------------------------------------------- what is refused


def test_several_elements_need_a_gradient():
    y = parameter(1.0, 2.0) * 2
    with pytest.raises(RuntimeError, match=r"shape \(2,\) needs a gradient"):
        y.backward()


@pytest.mark.parametrize("given", [np.ones(3), np.ones((1, 2)), 1.0, Tensor([[1.0], [1.0]])])
def test_a_gradient_of_another_shape(given):
    x = parameter(1.0, 2.0)
    for call in ((x * 2).backward, lambda g: tn.grad(x * 2, x, g)):
        with pytest.raises(ValueError, match=r"gradient: expected the output's shape \(2,\), got"):
            call(given)
    assert x.grad is None


def test_nothing_that_requires_a_gradient():
    with pytest.raises(RuntimeError, match="does not require a gradient"):
        (Tensor([1.0]) * 2).backward()
    with tn.no_grad():
        y = parameter(1.0) * 2
    with pytest.raises(RuntimeError, match="no_grad"):
        y.backward()


@pytest.mark.parametrize("dtype", ["int64", "bool", "uint8"])
def test_integers_cannot_require_a_gradient(dtype):
    with pytest.raises(ValueError, match=f"requires_grad: .* this one is {dtype}"):
        Tensor(np.ones(2, dtype), requires_grad=True)
    with pytest.raises(ValueError, match="float"):
        Parameter(np.ones(2, dtype))


def test_an_assigned_gradient_has_the_tensors_shape_and_dtype():
    x = Parameter([1.0, 2.0])
    for value in ([3.0, 4.0], np.array([3.0, 4.0]), Tensor(np.array([3.0, 4.0]))):
        x.grad = value
        assert x.grad.tolist() == [3, 4]
        assert x.grad.dtype == np.float32
    with pytest.raises(ValueError, match=r"grad: expected the Tensor's own shape \(2,\), got \(3,\)"):
        x.grad = [1.0, 2.0, 3.0]


@tn.op(lambda g, y, x: 1 / 0)
def broken(x):
    return x * 1


@pytest.mark.parametrize("create_graph", [False, True])
def test_a_rule_that_raises_leaves_every_gradient_as_it_was(create_graph):
    a, b = parameter(1.0), parameter(2.0)
    (a * b).backward()
    before = (a.grad, b.grad)
    y = broken(b) + a * 3  # the way to a is done when the rule of broken raises
    with pytest.raises(ZeroDivisionError):
        y.backward(create_graph=create_graph)
    assert (a.grad, b.grad) == before
    assert (a.grad.item(), b.grad.item()) == (2, 1)
    assert (a * b).requires_grad  # and recording goes on


# -------------------------------------------------------------------------------------- taking a Tensor apart

APART = {
    "slices": lambda x: [x[0], x[1], x[2]],
    "slices and the whole": lambda x: [x[0], x * 2, x[1], x.exp(), x[0] * 3],
    "the whole first": lambda x: [x + 1, x[2], x[1:], x - 2],
    "the whole itself": lambda x: [x, x[0], x, x[...]],
    "repeated indices": lambda x: [x[[0, 0, 2]], x[1], x[Tensor([True, False, True])], x[:, [1, 1]]],
    "slices of slices": lambda x: [x[0][1], x[1:][0], x[0], x[0][1]],
}


@pytest.mark.parametrize("leaf", [True, False])
@pytest.mark.parametrize("name", APART)
def test_gradients_of_parts_add_up(name, leaf):
    start = np.random.default_rng(0).standard_normal((3, 2))

    def total(x):
        x = x if leaf else x * 1.5
        return sum(((i + 1) * part * part.cos()).sum() for i, part in enumerate(APART[name](x)))

    assert tn.gradcheck(total, start, order=2)
    x = tn.tensor(start, requires_grad=True)
    once = tn.grad(total(x), x)[0].numpy()
    total(x).backward()
    total(x).backward()  # what came out first is not written into
    np.testing.assert_allclose(x.grad.numpy(), 2 * once)


def test_taking_apart_and_joining_again_makes_one_array_of_zeros(monkeypatch):
    from tinynet.autograd import Placed

    totals, add_to = [], Placed.add_to
    monkeypatch.setattr(Placed, "add_to", lambda self, total: (totals.append(total), add_to(self, total)))
    x = tn.tensor(np.ones((50, 3), "float32"), requires_grad=True)
    y = x * 2
    tn.functions.stack([y[i] * i for i in range(50)]).sum().backward()
    assert len(totals) == 50
    assert all(t is totals[0] for t in totals)
    np.testing.assert_array_equal(x.grad.numpy()[:, 0], 2 * np.arange(50))


def test_seeds_and_intermediate_gradients_are_not_written_into():
    x = tn.tensor(np.ones((2, 2)), requires_grad=True)
    y = x * 1
    seed = put(np.ones((2, 2)))
    z = y + y[0] + y[1]
    gz, gy, gx = tn.grad(z, [z, y, x], seed)
    np.testing.assert_array_equal(host(seed), 1)
    np.testing.assert_array_equal(gz.numpy(), 1)
    np.testing.assert_array_equal(gy.numpy(), 3)
    np.testing.assert_array_equal(gx.numpy(), 3)
