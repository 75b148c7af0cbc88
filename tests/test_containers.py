"""Layer and its containers: what is found inside, under which names, and how all of it is moved, frozen, saved and shown."""

import copy
from collections import OrderedDict, namedtuple

import numpy as np
import pytest

import tinynet as tn
from tinynet import layers as L


def parameter(*shape):
    return tn.Parameter(np.ones(shape))


def names(layer):
    return [name for name, _ in layer.named_parameters()]


class Norm(tn.Layer):
    """A layer with a parameter and a buffer."""

    def __init__(self, size):
        self.weight = parameter(size)
        self.register_buffer("running_mean", np.zeros(size, np.float32))

    def forward(self, x):
        return (x - self.running_mean) * self.weight


class Block(tn.Layer):
    def __init__(self):
        self.conv1 = L.Linear(2, 2)
        self.norm = Norm(2)

    def forward(self, x):
        return self.norm(self.conv1(x))


class Deep(tn.Layer):
    """Parameters in all the places where they may stand."""

    def __init__(self):
        self.scale = parameter(1)
        self.blocks = [Block(), Block()]
        self.pair = (parameter(1), parameter(2))
        self.by_name = {"b": parameter(1), "a": L.Linear(1, 1)}
        self.nested = {"x": [(parameter(3),)]}
        self.size, self.title, self.nothing = 3, "weight", None
        self.offset = parameter(1)

    def forward(self, x):
        return x


DEEP = [
    "scale",
    *(f"blocks.{i}.{name}" for i in (0, 1) for name in ("conv1.weight", "conv1.bias", "norm.weight")),
    "pair.0",
    "pair.1",
    "by_name.b",
    "by_name.a.weight",
    "by_name.a.bias",
    "nested.x.0.0",
    "offset",
]

# ------------------------------------------------------------------------------------------------ what is found inside


def test_found_everywhere_in_definition_order():
    layer = Deep()
    assert names(layer) == DEEP
    assert layer.parameters() == [p for _, p in layer.named_parameters()]
    assert layer.parameters().names == DEEP
    assert [name for name, _ in layer.named_buffers()] == ["blocks.0.norm.running_mean", "blocks.1.norm.running_mean"]
    assert [type(x).__name__ for x in layer.layers()] == ["Block", "Linear", "Norm", "Block", "Linear", "Norm", "Linear"]


def test_found_when_it_is_asked_for():
    """Nothing is registered: what is added, replaced or removed later counts as it stands."""
    layer = Deep()
    layer.blocks.append(Norm(1))
    layer.scale = None
    del layer.nested
    layer.late = parameter(1)
    assert names(layer) == [*DEEP[1:7], "blocks.2.weight", *DEEP[7:12], "offset", "late"]


def test_kinds_of_lists_and_dicts():
    layer = tn.Layer()
    layer.record = namedtuple("Pair", "w b")(parameter(1), parameter(1))
    layer.ordered = OrderedDict(z=parameter(1), y=parameter(1))
    layer.numbers = {0: parameter(1)}
    layer.a_set = {parameter(1)}  # has no order, so that its parameters would have no names
    assert names(layer) == ["record.0", "record.1", "ordered.z", "ordered.y", "numbers.0"]


@pytest.mark.parametrize("base", [tn.Layer, tn.Model])
@pytest.mark.parametrize("calls_super", [True, False])
def test_calling_super_is_allowed_and_never_needed(base, calls_super):
    class Net(base):
        def __init__(self):
            if calls_super:
                super().__init__()
            self.weight = parameter(2)

        def forward(self, x):
            return x * self.weight

    assert names(Net()) == ["weight"]
    assert Net().training
    assert names(Net().train(False)) == ["weight"]
    assert Net()(tn.ones(2)).tolist() == [1.0, 1.0]


def test_a_layer_without_init():
    class Double(tn.Layer):
        def forward(self, x):
            return x * 2

    assert Double().parameters() == []
    assert Double()(3.0) == 6.0
    assert repr(Double()) == "Double()"


@pytest.mark.parametrize("name", ["layers", "items", "parameters", "state", "loss", "metrics"])
def test_attributes_may_be_called(name):
    """An attribute may hide a method of Layer; what the library itself does with the layer works all the same."""

    class Net(tn.Model):
        def __init__(self):
            setattr(self, name, [L.Linear(2, 2), L.Dropout(0.5)])

        def forward(self, x):
            for layer in getattr(self, name):
                x = layer(x)
            return x

    net = Net()
    assert list(net.state_dict()) == [f"{name}.0.weight", f"{name}.0.bias"]
    assert not net.eval().__dict__[name][1].training
    net.zero_grad()
    net.freeze().unfreeze().astype("float64").load_state_dict(net.state_dict())
    assert "Linear(2, 2)" in repr(net)
    assert net.summary(2).parameters == 6
    assert net.predict(np.ones((3, 2))).shape == (3, 2)


def test_shared_layers_and_parameters():
    shared = L.Linear(2, 2)
    net = tn.Sequential(shared, L.ReLU(), shared)
    assert names(net) == ["0.weight", "0.bias"]  # once, under the first name
    assert list(net.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]  # under both, as in PyTorch
    assert len(net.layers()) == 2
    head, tail = L.Linear(2, 2, bias=False), L.Linear(2, 2, bias=False)
    tail.weight = head.weight
    tied = tn.Sequential(head, tail)
    assert names(tied) == ["0.weight"]
    tied(tn.ones(1, 2)).sum().backward()
    both = head.weight.grad.numpy().copy()
    tied.zero_grad()
    apart = copy.deepcopy(head)(head(tn.ones(1, 2)))
    apart.sum().backward()
    assert (both != head.weight.grad.numpy()).any()
    assert tied.summary(2).parameters == 4
    norm = Norm(1)
    assert [n for n, _ in tn.Sequential(norm, norm).named_buffers()] == ["0.running_mean"]


def test_a_layer_that_refers_to_its_parent():
    class Child(tn.Layer):
        def __init__(self, parent):
            self.parent, self.weight = parent, parameter(1)

        def forward(self, x):
            return x * self.weight

    class Parent(tn.Model):
        def __init__(self):
            self.children = [Child(self), Child(self)]
            self.me = self
            self.loop = [1]
            self.loop.append(self.loop)

        def forward(self, x):
            return self.children[0](x)

    net = Parent()
    assert names(net) == ["children.0.weight", "children.1.weight"]
    assert list(net.state_dict()) == names(net)
    assert [type(x).__name__ for x in net.layers()] == ["Child", "Child"]
    assert not net.eval().children[1].training
    assert repr(net).count("Child") == 2
    assert names(net.children[0]) == ["parent.children.1.weight", "weight"]
    net.load_state_dict(net.state_dict())
    twin = copy.deepcopy(net)
    assert twin.children[0].parent is twin
    assert net.summary(1).parameters == 2


# ---------------------------------------------------------------------------------------------------------- containers


def test_sequential():
    a, b, c = L.Linear(2, 3), L.ReLU(), L.Linear(3, 1)
    net = tn.Sequential(a, b, c)
    x = tn.ones(4, 2)
    np.testing.assert_array_equal(net(x).numpy(), c(b(a(x))).numpy())
    assert len(net) == 3
    assert list(net) == [a, b, c]
    assert net[0] is a
    assert net[-1] is c
    assert names(net) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    with pytest.raises(IndexError):
        net[3]
    part = net[1:]
    assert type(part) is tn.Sequential
    assert list(part) == [b, c]
    assert names(part) == ["1.weight", "1.bias"]
    assert len(net) == 3
    assert net.append(L.Tanh()) is net
    assert len(net) == 4
    assert len(part) == 2
    assert isinstance(net, tn.Model)
    assert not isinstance(L.Sequential(a), tn.Model)
    assert tn.Sequential()(x) is x


def test_layer_list():
    layers = L.LayerList([L.Linear(1, 1), L.Linear(1, 1)])
    layers.append(L.Linear(1, 1))
    assert names(layers)[-1] == "2.bias"
    assert [len(layers), len(layers[:2]), len(list(layers))] == [3, 2, 3]
    assert type(layers[:2]) is L.LayerList
    with pytest.raises(NotImplementedError, match="LayerList does not define forward"):
        layers(1.0)
    net = tn.Layer()
    net.heads = layers
    assert names(net)[0] == "heads.0.weight"


def test_layer_dict():
    layers = L.LayerDict({"b": L.Linear(1, 1), "a": L.ReLU()})
    layers["c"] = L.Linear(1, 1)
    assert names(layers) == ["b.weight", "b.bias", "c.weight", "c.bias"]
    assert list(layers) == list(layers.keys()) == ["b", "a", "c"]
    assert [len(layers), "a" in layers, "z" in layers] == [3, True, False]
    assert list(layers.values()) == [layers["b"], layers["a"], layers["c"]]
    assert dict(layers.items())["c"] is layers["c"]
    with pytest.raises(KeyError):
        layers["z"]
    assert len(L.LayerDict()) == 0


@pytest.mark.parametrize("bad", [None, 3, np.ones(2), [L.ReLU()], tn.Parameter([1.0]), L.ReLU, abs])
def test_containers_take_layers_only(bad):
    uses = (
        lambda: tn.Sequential(L.ReLU(), bad),
        lambda: L.Sequential(bad),
        lambda: L.LayerList([bad]),
        lambda: L.LayerList().append(bad),
        lambda: L.LayerDict({"a": bad}),
        lambda: L.LayerDict().__setitem__("a", bad),
    )
    for use in uses:
        with pytest.raises(TypeError, match="expected Layers, got "):
            use()


def test_subclasses_of_containers_may_have_more():
    class Net(tn.Sequential):
        def __init__(self, width):
            super().__init__(L.Linear(width, width), L.ReLU())
            self.scale = parameter(width)
            self.register_buffer("shift", np.zeros(width, np.float32))

        def forward(self, x):
            return super().forward(x) * self.scale

    net = Net(2)
    assert names(net) == ["0.weight", "0.bias", "scale"]
    assert list(net.state_dict()) == ["0.weight", "0.bias", "scale", "shift"]
    assert list(net[:1]) == [net[0]]  # also where its __init__ takes something else than layers

    class Heads(L.LayerDict):
        def __init__(self):
            super().__init__({"a": L.Linear(1, 1)})
            self.bias = parameter(1)

    assert names(Heads()) == ["a.weight", "a.bias", "bias"]


def test_identity_and_lambda():
    x = tn.tensor([[1.0, 2.0]])
    assert L.Identity()(x) is x
    assert L.Lambda(lambda a: a.mean(axis=1))(x).tolist() == [1.5]
    assert L.Lambda(tn.functions.add)(x, x).tolist() == [[2.0, 4.0]]
    assert L.Lambda(lambda a: a).parameters() == []


# ------------------------------------------------------------------------------------------------ how it is used


def test_train_and_eval_reach_all_layers():
    layer = Deep()
    assert all(x.training for x in (layer, *layer.layers()))
    assert layer.eval() is layer
    assert not any(x.training for x in (layer, *layer.layers()))
    layer.blocks[0].train()
    assert [x.training for x in (layer, *layer.layers())] == [False, True, True, True, False, False, False, False]
    assert layer.train() is layer
    assert all(x.training for x in (layer, *layer.layers()))
    assert Deep().training  # the mode of one layer is not that of its class


def test_eval_does_not_turn_gradients_off():
    layer = L.Linear(2, 1).eval()
    layer(tn.ones(3, 2)).sum().backward()
    assert layer.weight.grad is not None


def test_zero_grad_freeze_unfreeze():
    layer = Deep()
    for p in layer.parameters():
        p.grad = np.ones(p.shape)
    layer.zero_grad()
    assert all(p.grad is None for p in layer.parameters())
    layer.blocks[0].norm.weight.grad = np.ones(2)
    assert layer.blocks[0].freeze() is layer.blocks[0]
    frozen = [name for name, p in layer.named_parameters() if not p.requires_grad]
    assert frozen == DEEP[1:4]
    assert layer.blocks[0].norm.weight.grad is None
    block = layer.blocks[0]
    assert not block(tn.ones(1, 2)).requires_grad
    assert layer.unfreeze() is layer
    assert all(p.requires_grad for p in layer.parameters())


def test_astype_takes_gradients_and_buffers_along():
    layer = Block()
    layer.register_buffer("count", np.arange(2))
    layer(tn.ones(1, 2)).sum().backward()
    weight = layer.conv1.weight
    assert layer.astype("float64") is layer
    assert layer.conv1.weight is weight
    assert {t.dtype for t in (*layer.parameters(), layer.norm.running_mean, weight.grad)} == {np.dtype(np.float64)}
    assert layer.count.dtype == np.int64
    assert layer(tn.ones(1, 2, dtype="float64")).dtype == np.float64
    for dtype in (int, bool, "complex64"):
        with pytest.raises(TypeError, match="astype: parameters are floats, got dtype"):
            layer.astype(dtype)


def test_buffers():
    layer = Norm(2)
    assert isinstance(layer.running_mean, tn.Tensor)
    assert not layer.running_mean.requires_grad
    layer.running_mean = layer.running_mean * 0.5 + 1  # replaced by a new Tensor, as a running mean is
    assert layer.state_dict()["running_mean"].tolist() == [1.0, 1.0]
    assert names(layer) == ["weight"]
    layer.register_buffer("running_mean", np.zeros(3))
    assert [name for name, _ in layer.named_buffers()] == ["running_mean"]
    layer.plain = tn.zeros(2)  # a Tensor that nobody registered is no state
    assert list(layer.state_dict()) == ["weight", "running_mean"]


def test_deepcopy_shares_nothing():
    net = tn.Sequential(L.Linear(2, 2), Norm(2))
    net(tn.ones(1, 2)).sum().backward()
    twin = copy.deepcopy(net)
    assert twin.state_dict().keys() == net.state_dict().keys()
    for a, b in zip(net.parameters(), twin.parameters(), strict=True):
        assert isinstance(b, tn.Parameter)
        assert a is not b
        np.testing.assert_array_equal(a.numpy(), b.numpy())
        np.testing.assert_array_equal(a.grad.numpy(), b.grad.numpy())
        b.data[...] = 7
        b.grad.data[...] = 7
        assert not (a.numpy() == 7).any()
        assert not (a.grad.numpy() == 7).any()
    twin[1].running_mean.data[...] = 7
    assert not net[1].running_mean.numpy().any()
    shared = L.Linear(1, 1)
    twin = copy.deepcopy(tn.Sequential(shared, shared))
    assert twin[0] is twin[1]


def test_forward_is_missing_or_takes_more():
    with pytest.raises(NotImplementedError, match=r"Layer does not define forward\(self, x\)"):
        tn.Layer()(1.0)

    class Two(tn.Layer):
        def forward(self, x, y=0.0, *, scale=1.0):
            return (x + y) * scale

    assert Two()(1.0, 2.0, scale=3.0) == 9.0


# ---------------------------------------------------------------------------------------------------- how it looks


def test_repr():
    layer = Deep()
    layer.head = tn.Sequential(L.Linear(2, 1, bias=False), L.Dropout(0.25), L.LeakyReLU(0.2), L.Lambda(abs))
    block = "Block(\n    (conv1): Linear(2, 2)\n    (norm): Norm()\n  )"
    expected = f"""\
Deep(
  (blocks.0): {block}
  (blocks.1): {block}
  (by_name.a): Linear(1, 1)
  (head): Sequential(
    (0): Linear(2, 1, bias=False)
    (1): Dropout(0.25)
    (2): LeakyReLU(negative_slope=0.2)
    (3): Lambda(abs)
  )
)"""
    assert repr(layer) == expected
    assert repr(L.Linear(None, 3)) == "Linear(None, 3)"
    assert repr(L.Sequential()) == "Sequential()"


def test_a_layer_may_be_named_like_an_attribute():
    net = L.LayerDict({"training": L.Linear(2, 1), "buffer_names": L.Linear(2, 1)})
    net.eval()
    assert names(net) == ["training.weight", "training.bias", "buffer_names.weight", "buffer_names.bias"]
    assert not net["training"].training


def test_two_parameters_of_one_path_cannot_be_saved():
    """One of them would be missing in the file, and nobody would know."""

    class Numbered(tn.Layer):
        def __init__(self):
            self.parts = {"1": parameter(2), 1: parameter(3)}

    dotted = L.LayerDict({"a.b": L.Linear(2, 2), "a": L.LayerDict({"b": L.Linear(2, 2)})})
    for net, path in ((dotted, "a.b.weight"), (Numbered(), "parts.1")):
        for use in (net.state_dict, lambda net=net: net.load_state_dict({})):
            with pytest.raises(ValueError, match=rf"{type(net).__name__}: two parameters or buffers are named '{path}'"):
                use()
    shared = L.Linear(2, 2)
    shared.again = [shared.weight]  # one under two paths is no harm
    assert list(shared.state_dict()) == ["weight", "bias", "again.0"]
