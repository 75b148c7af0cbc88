"""A watched pass: which calls and ops it finds, and that layers see in it what they always see."""

from collections import OrderedDict
from typing import NamedTuple

import numpy as np
import pytest

import tinynet as tn
from tinynet import functions as F
from tinynet import layers as L
from tinynet.forward import Call, look
from tinynet.layers.layer import Parameters


def found(call):
    """The names of the ops and layers in a call, those in a layer behind its name."""
    return [[step.path, found(step)] if isinstance(step, Call) else step.name for step in call.steps]


class Block(tn.Layer):
    def __init__(self):
        self.first, self.second = L.Linear(4, 4), L.Tanh()

    def forward(self, x):
        return self.second(self.first(x)) + x * 2


def test_calls_and_ops():
    model = tn.Sequential(Block(), L.Flatten())
    top = look(model, (3, 4))
    block = ["0", [["0.first", ["linear"]], ["0.second", ["tanh"]], "mul", "add"]]
    assert found(top) == [["", [block, ["1", ["reshape"]]]]]
    assert [call.path for call in top.calls()] == ["", "0", "0.first", "0.second", "1"]
    assert [call.shape for call in top.calls()] == [(12,), (3, 4), (3, 4), (3, 4), (12,)]
    linear = next(top.calls()).steps[0].steps[0].steps[0]
    assert linear.shapes == [(1, 3, 4), (4, 4), (4,)]
    assert linear.inputs[1:] == ["0.first.weight", "0.first.bias"]
    assert linear.output.shape == (1, 3, 4)


def test_values_are_followed_from_call_to_call():
    (model,) = look(tn.Sequential(Block(), Block()), 4).steps
    first, second = model.steps
    assert first.arguments[0].source is model.arguments[0]
    assert second.arguments[0].source is first.outputs[0]
    assert first.outputs[0].maker is first
    assert first.returned[0].maker is first.steps[-1]
    assert model.returned == [second.outputs[0]]
    mul, add = (step for step in first.steps if not isinstance(step, Call))
    assert mul.inputs == [first.arguments[0], 2]
    assert add.inputs == [first.steps[1].outputs[0], mul.output]


def test_what_requires_no_gradient_is_seen_and_nothing_requires_one():
    seen = []

    class Model(tn.Model):
        def __init__(self):
            self.table = tn.Parameter(tn.ones(5, 2))

        def forward(self, ids):
            top = (self.table[ids] > 0).argmax(axis=-1)
            seen.append(self.table[ids].requires_grad)
            return top + ids

    model = Model()
    model.freeze()
    (call,) = look(model, 3, dtype="int64").steps
    assert found(call) == ["getitem", "greater", "argmax", "add"]
    assert call.steps[0].inputs == ["table", call.arguments[0]]
    assert call.steps[-1].inputs == [call.steps[-2].output, call.arguments[0]]
    assert seen == [False]


class Pair(NamedTuple):
    """Two of a kind."""

    a: tn.Tensor
    b: tn.Tensor


def test_layers_see_the_same_containers():
    class Inner(tn.Layer):
        def forward(self, x, pair, *, extra):
            assert type(pair) is Pair
            assert type(extra) is OrderedDict
            assert type(extra["list"]) is list
            assert type(extra["params"]) is Parameters
            assert extra["params"].names == ["w"]
            assert extra["params"][0] is weight, "a Parameter is itself"
            assert extra["other"] == {"n": 3, "array": extra["other"]["array"]}
            assert isinstance(extra["other"]["array"], np.ndarray)
            return Pair(x * pair.a, [pair.b, {"x": extra["list"][0]}])

    class Model(tn.Model):
        def __init__(self):
            self.inner = Inner()

        def forward(self, x):
            a, b = x * 2, x * 3
            given = OrderedDict(list=[a], params=Parameters([("w", weight)]), other={"n": 3, "array": np.zeros(2)})
            kept = given["list"]
            found = self.inner(x, Pair(a, b), extra=given)
            assert given["list"] is kept
            assert kept[0] is a, "and the caller's are not changed"
            assert type(found) is Pair
            return found.a + found.b[0] + found.b[1]["x"]

    weight = tn.Parameter([1.0])
    (call,) = look(Model(), 2).steps
    inner = next(step for step in call.steps if isinstance(step, Call))
    assert [value.source for value in inner.arguments] == [call.arguments[0], call.steps[0].output, call.steps[1].output]
    assert len(inner.outputs) == 3
    assert inner.returned[1:] == [inner.arguments[2], inner.arguments[1]]


def test_a_tensor_given_twice_is_one_argument():
    class Twice(tn.Layer):
        def forward(self, a, b):
            return a + b

    class Model(tn.Model):
        def __init__(self):
            self.twice = Twice()

        def forward(self, x):
            return self.twice(x, x)

    (call,) = look(Model(), 2).steps
    (twice,) = call.steps
    assert len(twice.arguments) == 1
    assert twice.steps[0].inputs == [twice.arguments[0]] * 2


def test_ops_of_a_tensor_from_outside_that_was_not_passed():
    class Inner(tn.Layer):
        def forward(self, x):
            return x * self.other

    class Model(tn.Model):
        def __init__(self):
            self.inner = Inner()
            self.inner.other = None

        def forward(self, x, y):
            self.inner.other = y
            return self.inner(x)

    model = Model()
    (call,) = look(model, [(2,), (2,)]).steps
    (inner,) = call.steps
    assert [value.source for value in inner.arguments] == call.arguments


def test_a_deep_chain_needs_no_recursion():
    class Model(tn.Model):
        def forward(self, x):
            for _ in range(5000):
                x = x * 0.5
            return x

    (call,) = look(Model(), 2).steps
    assert found(call) == ["mul"] * 5000


def test_a_graph_that_was_freed_is_where_the_look_ends():
    class Model(tn.Model):
        def __init__(self):
            self.w = tn.Parameter([2.0])

        def forward(self, x):
            with tn.enable_grad():
                energy = (self.w * x).sum()
                (force,) = tn.grad(energy, self.w)
            return force * x + energy

    assert found(look(Model(), 1)) == [["", ["mul", "sum", "add"]]]


def test_a_batch():
    top = look(tn.Sequential(Block()), (3, 4), batch=5)
    assert top.arguments[0].shape == (5, 3, 4)
    assert next(top.calls()).shape == (3, 4)


def test_only_in_this_thread_and_only_for_the_time():
    x = tn.tensor([1.0])
    with tn.autograd.watching():
        assert not (x * 2).is_leaf
        assert not (x * 2).requires_grad
        with tn.no_grad():
            assert (x * 2).is_leaf
        with tn.enable_grad():
            assert (x * 2).is_leaf
            assert (tn.Parameter([1.0]) * 2).requires_grad
        from threading import Thread

        other = []
        thread = Thread(target=lambda: other.append((x * 2).is_leaf))
        thread.start()
        thread.join()
        assert other == [True]
    assert (x * 2).is_leaf
    from tinynet.tensor import watchers

    assert watchers == []


def test_an_error_leaves_all_as_it_was():
    class Fails(tn.Layer):
        def forward(self, x):
            raise KeyError("mine")

    model = tn.Sequential(Block(), Fails())
    with pytest.raises(KeyError, match="mine"):
        look(model, 4)
    assert all("forward" not in vars(layer) for layer in (model, *model.layers()))
    assert F.tanh(tn.tensor([1.0])).is_leaf
