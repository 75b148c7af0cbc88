"""Single layers (Linear, Dropout, the activations, ...), and the state dict of any layer."""

import inspect
import re

import numpy as np
import pytest
from sampling import put, share_memory

import tinynet as tn
from tinynet import functions as F
from tinynet import layers as L
from tinynet.layers import activation, linear
from tinynet.layers import loss as losses


def randn(*shape, dtype=np.float32):
    return tn.tensor(np.random.default_rng(0).standard_normal(shape).astype(dtype))


# ---------------------------------------------------------------------------------------------------------- Linear


@pytest.mark.parametrize("shape", [(5, 3), (3,), (2, 4, 3), (0, 3)])
@pytest.mark.parametrize("bias", [True, False])
def test_linear(shape, bias):
    layer, x = L.Linear(3, 2, bias=bias), randn(*shape)
    y = layer(x)
    expected = x.numpy() @ layer.weight.numpy().T + (layer.bias.numpy() if bias else 0)
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-6)
    assert (y.shape, y.dtype) == ((*shape[:-1], 2), np.float32)
    assert (layer.weight.shape, layer.in_features, layer.out_features) == ((2, 3), 3, 2)
    assert layer.bias.shape == (2,) if bias else layer.bias is None
    assert len(layer.parameters()) == 1 + bias


def test_linear_gradients():
    layer, x = L.Linear(3, 2), tn.tensor(randn(4, 3), requires_grad=True)
    layer(x).sum().backward()
    np.testing.assert_allclose(layer.weight.grad.numpy(), np.tile(x.numpy().sum(axis=0), (2, 1)), rtol=1e-5)
    np.testing.assert_array_equal(layer.bias.grad.numpy(), [4, 4])
    np.testing.assert_allclose(x.grad.numpy(), np.tile(layer.weight.numpy().sum(axis=0), (4, 1)), rtol=1e-5)


def test_linear_keeps_float32_and_takes_lists_and_integers():
    layer = L.Linear(2, 2)
    for x in ([[1.0, 2.0]], [[1, 2]], tn.tensor([[1, 2]], dtype="int32"), tn.tensor([[1.0, 2.0]])):
        assert layer(x).dtype == np.float32
        assert layer(x).shape == (1, 2)


def test_linear_of_an_unknown_width():
    layer = L.Linear(None, 4)
    assert (layer.in_features, layer.out_features, layer.weight.shape) == (None, 4, (4, 0))
    weight, bias = layer.weight, layer.bias
    for _ in range(2):
        assert layer(randn(5, 3)).shape == (5, 4)
        assert layer.weight is weight  # an optimizer may hold it
        assert layer.bias is bias
        assert layer.in_features == 3
    first = layer.weight.numpy().copy()
    layer(randn(2, 3))
    np.testing.assert_array_equal(layer.weight.numpy(), first)
    with pytest.raises(ValueError, match="expected 3 on its last axis"):
        layer(randn(5, 4))
    double = L.Linear(None, 4).astype("float64")
    double(randn(5, 3))
    assert double.weight.dtype == np.float64


def test_linear_of_an_unknown_width_learns_from_the_first_batch():
    tn.manual_seed(0)
    net = tn.Sequential(L.Linear(None, 8), L.Tanh(), L.Linear(None, 1))
    optimizer = tn.optim.Adam(net, lr=0.05)
    x = randn(64, 3)
    losses = []
    for _ in range(60):
        loss = F.mse_loss(net(x), x[:, :1] * 2)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 10


@pytest.mark.parametrize("layer", [L.Linear(3, 2), L.Linear(None, 2)], ids=["3", "None"])
@pytest.mark.parametrize("shape", [(), (5, 0)])
def test_linear_without_features(layer, shape):
    with pytest.raises(ValueError, match=re.escape(f"{layer!r}: the input has shape {shape}, expected")):
        layer(tn.zeros(shape))


def test_wrong_width_names_the_layer_the_shape_and_what_was_expected():
    net = tn.Sequential(L.Linear(3, 4), L.ReLU(), L.Linear(5, 2, bias=False))
    with pytest.raises(ValueError, match=r"Linear\(5, 2, bias=False\): the input has shape \(7, 4\), expected 5 on"):
        net(randn(7, 3))


@pytest.mark.parametrize("sizes", [(0, 2), (-1, 2), (2.5, 2), (3, 0), (3, None), (3, "2"), ("3", 2)])
def test_wrong_sizes(sizes):
    with pytest.raises(ValueError, match=r"Linear: (in|out)_features is .*, expected an integer of at least 1"):
        L.Linear(*sizes)


# ------------------------------------------------------------------------------------- Flatten, Unflatten, Dropout


def test_flatten():
    x = randn(2, 3, 4, 5)
    assert L.Flatten()(x).shape == (2, 60)
    assert L.Flatten(0)(x).shape == (120,)
    assert L.Flatten(1, 2)(x).shape == (2, 12, 5)
    np.testing.assert_array_equal(L.Flatten()(x).numpy(), x.numpy().reshape(2, -1))
    assert L.Flatten()(tn.zeros(0, 3, 4)).shape == (0, 12)


def test_unflatten():
    x = randn(2, 12)
    assert L.Unflatten(1, (3, 4))(x).shape == L.Unflatten(-1, (3, -1))(x).shape == (2, 3, 4)
    assert L.Unflatten(0, [2, 1])(x).shape == (2, 1, 12)
    np.testing.assert_array_equal(tn.Sequential(L.Unflatten(1, (3, 4)), L.Flatten())(x).numpy(), x.numpy())
    assert repr(L.Unflatten(1, (3, 4))) == "Unflatten(1, (3, 4))"
    with pytest.raises(ValueError, match="reshape"):
        L.Unflatten(1, (5, 2))(x)
    with pytest.raises(np.exceptions.AxisError, match="Unflatten: axis 2 is out of bounds for an array of 2 axes"):
        L.Unflatten(2, (3, 4))(x)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_statistics(p):
    tn.manual_seed(0)
    y = L.Dropout(p)(tn.ones(200_000))
    kept = y.numpy() != 0
    assert y.dtype == np.float32
    assert kept.mean() == pytest.approx(1 - p, abs=0.005)
    np.testing.assert_allclose(y.numpy()[kept], 1 / (1 - p), rtol=1e-6)


def test_dropout_modes_and_ends():
    x = tn.ones(50)
    assert L.Dropout().eval()(x) is x
    assert L.Dropout(0.0)(x) is x
    assert not L.Dropout(1.0)(x).numpy().any()
    net = tn.Sequential(L.Linear(3, 50), L.Dropout(0.5))
    np.testing.assert_array_equal(net.eval()(randn(1, 3)).numpy(), net(randn(1, 3)).numpy())
    assert not np.array_equal(net.train()(randn(1, 3)).numpy(), net(randn(1, 3)).numpy())


def test_dropout_passes_the_gradient_of_what_it_kept():
    x = tn.ones(100, requires_grad=True)
    y = L.Dropout(0.25)(x)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), y.numpy())


def test_dropout_follows_the_seed_and_has_its_own_stream():
    x, layer = tn.ones(50), L.Dropout()
    tn.manual_seed(1)
    first, second = layer(x).numpy(), layer(x).numpy()
    tn.manual_seed(1)
    L.Linear(10, 10)  # draws from another stream
    tn.rand(10)
    np.testing.assert_array_equal(layer(x).numpy(), first)
    np.testing.assert_array_equal(layer(x).numpy(), second)
    assert not np.array_equal(first, second)
    state = tn.backend.random_state()
    layer.eval()(x)
    assert tn.backend.random_state() == state  # evaluation draws nothing


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_dropout_of_no_probability(p):
    with pytest.raises(ValueError, match=r"Dropout: p is .*, expected a probability between 0 and 1"):
        L.Dropout(p)


# ------------------------------------------------------------------------------------------- activations and losses

FUNCTIONS = {  # layer: (function, positional arguments, the same as keywords)
    "ReLU": ("relu", (), {}),
    "LeakyReLU": ("leaky_relu", (0.2,), {"negative_slope": 0.2}),
    "ELU": ("elu", (0.5,), {"alpha": 0.5}),
    "SELU": ("selu", (), {}),
    "GELU": ("gelu", ("tanh",), {"approximate": "tanh"}),
    "SiLU": ("silu", (), {}),
    "Sigmoid": ("sigmoid", (), {}),
    "Tanh": ("tanh", (), {}),
    "Softplus": ("softplus", (2.0, 1.5), {"beta": 2.0, "threshold": 1.5}),
    "Softsign": ("softsign", (), {}),
    "Hardtanh": ("hardtanh", (-0.5, 0.7), {"min_val": -0.5, "max_val": 0.7}),
    "Hardsigmoid": ("hardsigmoid", (), {}),
    "Hardswish": ("hardswish", (), {}),
    "Mish": ("mish", (), {}),
    "GLU": ("glu", (0,), {"axis": 0}),
    "Softmax": ("softmax", (0,), {"axis": 0}),
    "LogSoftmax": ("log_softmax", (0,), {"axis": 0}),
    "LogSigmoid": ("logsigmoid", (), {}),
}
LOSSES = {  # layer: (function, keywords, inputs after the first)
    "CrossEntropyLoss": ("cross_entropy", {"label_smoothing": 0.1, "reduction": "sum"}, [np.array([0, 2, 1, 1])]),
    "NLLLoss": ("nll_loss", {"ignore_index": 1, "reduction": "none"}, [np.array([0, 2, 1, 1])]),
    "MSELoss": ("mse_loss", {"reduction": "none"}, [np.ones((4, 3))]),
    "L1Loss": ("l1_loss", {"reduction": "sum"}, [np.ones((4, 3))]),
    "SmoothL1Loss": ("smooth_l1_loss", {"beta": 0.5}, [np.ones((4, 3))]),
    "HuberLoss": ("huber_loss", {"delta": 0.5}, [np.ones((4, 3))]),
    "BCELoss": ("binary_cross_entropy", {"reduction": "sum"}, [np.ones((4, 3))]),
    "BCEWithLogitsLoss": ("binary_cross_entropy_with_logits", {"pos_weight": [1.0, 2.0, 3.0]}, [np.ones((4, 3))]),
    "KLDivLoss": ("kl_div", {"reduction": "batchmean"}, [np.ones((4, 3))]),
    "HingeEmbeddingLoss": ("hinge_embedding_loss", {"margin": 5.0}, [-np.ones((4, 3))]),
    "MarginRankingLoss": ("margin_ranking_loss", {"margin": 5.0}, [np.ones((4, 3)), -np.ones((4, 3))]),
    "CosineEmbeddingLoss": ("cosine_embedding_loss", {"margin": -1.0}, [np.ones((4, 3)), -np.ones(4)]),
    "TripletMarginLoss": ("triplet_margin_loss", {"margin": 5.0, "swap": True}, [np.ones((4, 3)), np.zeros((4, 3))]),
}


def of_module(module):
    return {n for n, c in vars(L).items() if inspect.isclass(c) and c.__module__ == module.__name__}


def test_every_layer_of_these_files_is_tested_here():
    assert of_module(activation) == FUNCTIONS.keys()
    assert of_module(losses) == LOSSES.keys()
    assert of_module(linear) == {"Linear", "Flatten", "Unflatten", "Dropout"}
    lonely = {n for n in F.__all__ if F.__dict__[n].__module__ == F.relu.__module__} - {f for f, _, _ in FUNCTIONS.values()}
    assert not lonely, "API.md promises a layer for every activation"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_activation_layers_are_their_functions(name):
    function, arguments, keywords = FUNCTIONS[name]
    f, layer_class, x = getattr(F, function), getattr(L, name), randn(4, 6) * 3
    np.testing.assert_array_equal(layer_class()(x).numpy(), f(x).numpy())
    for layer in (layer_class(*arguments), layer_class(**keywords)):
        np.testing.assert_array_equal(layer(x).numpy(), f(x, **keywords).numpy())
        assert repr(layer) == f"{name}({', '.join(f'{k}={v}' for k, v in keywords.items())})"
        assert layer.parameters() == []
    if keywords:
        assert not np.array_equal(layer(x).numpy(), f(x).numpy())
    assert function in inspect.getdoc(layer_class)


@pytest.mark.parametrize("name", LOSSES)
def test_loss_layers_are_their_functions(name):
    function, keywords, others = LOSSES[name]
    others = put(others)
    f, layer_class, x = getattr(F, function), getattr(L, name), abs(randn(4, 3)) / 10
    assert layer_class()(x, *others).item() == f(x, *others).item()
    found = layer_class(**keywords)(x, *others).numpy()
    np.testing.assert_array_equal(found, f(x, *others, **keywords).numpy())
    assert not np.array_equal(found, f(x, *others).numpy())
    assert layer_class(**keywords).parameters() == []


def test_every_loss_has_its_layer():
    losses = {name for name in F.__all__ if getattr(F, name).__module__.split(".")[-1].startswith("loss")}
    assert losses - {f for f, _, _ in LOSSES.values()} == {"cosine_similarity"}


def test_wrong_arguments_of_an_activation():
    with pytest.raises(TypeError, match="ReLU: unexpected argument 'inplace'; it takes none"):
        L.ReLU(inplace=True)
    with pytest.raises(TypeError, match="ELU: unexpected argument 'slope'; it takes alpha"):
        L.ELU(slope=1.0)
    with pytest.raises(TypeError, match=r"ELU: takes 1 arguments \(alpha\), got 2"):
        L.ELU(1.0, 2.0)
    with pytest.raises(TypeError, match="ELU: unexpected argument 'alpha'"):
        L.ELU(1.0, alpha=2.0)


# ------------------------------------------------------------------------------------------------------ state dicts


class Block(tn.Layer):
    def __init__(self, size=2, dtype=np.float32):
        self.conv1 = L.Linear(3, size)
        self.register_buffer("running_mean", np.arange(size).astype(dtype))


class Net(tn.Layer):
    def __init__(self, size=2):
        self.blocks = [Block(size), Block(size)]
        self.head = tn.Sequential(L.Linear(size, 4), L.ReLU(), L.Linear(4, 1))


def assert_states_equal(a, b):
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name].numpy(), b[name].numpy())


def test_keys_are_pytorch_s_and_values_are_copies():
    net = Net()
    state = net.state_dict()
    assert list(state) == [
        *("blocks.0.conv1.weight", "blocks.0.conv1.bias", "blocks.0.running_mean"),
        *("blocks.1.conv1.weight", "blocks.1.conv1.bias", "blocks.1.running_mean"),
        *("head.0.weight", "head.0.bias", "head.2.weight", "head.2.bias"),
    ]
    assert all(type(t) is tn.Tensor and not t.requires_grad for t in state.values())
    before = {name: t.numpy().copy() for name, t in state.items()}
    for p in net.parameters():
        p.data[...] = 7
    assert all((state[name].numpy() == before[name]).all() for name in state)


@pytest.mark.parametrize(
    "kind", [lambda t: t, lambda t: t.data, lambda t: t.tolist(), lambda t: t.numpy().astype("float16")]
)
def test_loading_writes_into_the_parameters(kind):
    source, net = Net(), Net()
    params, arrays = net.parameters(), [p.data for p in net.parameters()]
    state = source.state_dict()
    assert net.load_state_dict({name: kind(t) for name, t in state.items()}) == ([], [])
    assert [p is q for p, q in zip(net.parameters(), params, strict=True)] == [True] * 8
    assert [p.data is a for p, a in zip(net.parameters(), arrays, strict=True)] == [True] * 8
    for name, p in net.named_parameters():
        np.testing.assert_allclose(p.numpy(), state[name].numpy(), rtol=1e-3)
        assert p.dtype == np.float32
        assert p.requires_grad
        assert not share_memory(p.data, state[name].data)


def test_loading_keeps_each_dtype():
    net = Net().astype("float64")
    net.load_state_dict(Net().state_dict())
    assert {p.dtype for p in net.parameters()} == {np.dtype(np.float64)}
    layer = Block(dtype=np.int32)
    layer.load_state_dict({**layer.state_dict(), "running_mean": np.array([3.0, 4.0])})
    assert layer.running_mean.dtype == np.int32
    assert layer.running_mean.tolist() == [3, 4]


def change(**entries):
    state = Net().state_dict()
    for name, value in entries.items():
        if value is None:
            del state[name]
        else:
            state[name] = value
    return state


WRONG = [
    (change(**{"head.2.bias": None}), "missing 'head.2.bias'"),
    (change(**{"blocks.1.running_mean": None}), "missing 'blocks.1.running_mean'"),
    (change(**{"head.3.bias": np.ones(1)}), "unexpected 'head.3.bias'"),
    (change(**{"head.2.bias": np.ones(2)}), r"'head.2.bias' has shape \(2,\), expected \(1,\)"),
    (change(**{"head.2.bias": np.float32(1.0)}), r"'head.2.bias' has shape \(\), expected \(1,\)"),
    (change(**{"head.0.weight": np.ones((2, 4))}), r"'head.0.weight' has shape \(2, 4\), expected \(4, 2\)"),
    (change(**{"head.0.weight": np.ones((4, 0))}), r"'head.0.weight' has shape \(4, 0\), expected \(4, 2\)"),
    (change(**{"head.2.bias": np.array(["x"])}), "'head.2.bias' has dtype <U1, expected float32"),
    (change(**{"head.2.bias": np.array([1j])}), "'head.2.bias' has dtype complex128, expected float32"),
    (Net(size=3).state_dict(), r"'blocks.0.conv1.weight' has shape \(3, 3\), expected \(2, 3\).*'head.0.weight'"),
]


@pytest.mark.parametrize(("state", "problem"), WRONG, ids=[str(i) for i in range(len(WRONG))])
def test_a_state_that_does_not_fit_changes_nothing(state, problem):
    net = Net()
    before = net.state_dict()
    with pytest.raises(ValueError, match=f"Net: the state does not fit: .*{problem}"):
        net.load_state_dict(state)
    assert_states_equal(before, net.state_dict())


@pytest.mark.cpu  # CuPy has no read-only arrays
def test_a_read_only_parameter_changes_nothing():
    net = Net()
    net.head[2].bias.data = np.broadcast_to(np.float32(1), (1,))
    before = net.state_dict()
    with pytest.raises(ValueError, match=r"'head.2.bias' is a read-only array here"):
        net.load_state_dict(Net().state_dict())
    assert_states_equal(before, net.state_dict())


def test_loading_into_a_number():
    """Arithmetic on an array without axes gives a NumPy scalar, which cannot be written into."""
    net = tn.Layer()
    net.scale, net.weight = tn.Parameter(2.0), tn.Parameter([1.0])
    net.scale.data = net.scale.data * 2
    net.load_state_dict({"scale": 7.0, "weight": [3.0]})
    assert [net.scale.item(), net.weight.item()] == [7.0, 3.0]


def test_not_strict():
    net, source = Net(), Net()
    state = {**source.state_dict(), "head.9.weight": np.ones(2)}
    del state["head.0.bias"]
    kept = net.head[0].bias.numpy().copy()
    result = net.load_state_dict(state, strict=False)
    assert result.missing == ["head.0.bias"]
    assert result.unexpected == ["head.9.weight"]
    np.testing.assert_array_equal(net.head[0].bias.numpy(), kept)
    np.testing.assert_array_equal(net.head[2].weight.numpy(), source.head[2].weight.numpy())
    before = net.state_dict()
    with pytest.raises(ValueError, match="has shape"):  # another shape is an error all the same
        net.load_state_dict({**state, "head.2.bias": np.ones(3)}, strict=False)
    assert_states_equal(before, net.state_dict())


def test_num_batches_tracked_of_pytorch():
    net, source = Net(), Net()
    state = {**source.state_dict(), "blocks.0.num_batches_tracked": np.array(3), "num_batches_tracked": 5}
    assert net.load_state_dict(state) == ([], [])
    assert_states_equal(net.state_dict(), source.state_dict())

    class Counts(tn.Layer):
        def __init__(self):
            self.register_buffer("num_batches_tracked", np.array(0))

    own = Counts()
    own.load_state_dict({"num_batches_tracked": 5})
    assert own.num_batches_tracked.item() == 5


def test_loading_into_layers_of_unknown_width():
    source, net = tn.Sequential(L.Linear(3, 2), L.Linear(2, 1)), tn.Sequential(L.Linear(None, 2), L.Linear(None, 1))
    optimizer = tn.optim.SGD(net, lr=1.0)
    state = source.state_dict()
    net.load_state_dict(state)
    assert net[0].in_features == 3
    np.testing.assert_array_equal(net(randn(4, 3)).numpy(), source(randn(4, 3)).numpy())
    net(randn(4, 3)).sum().backward()
    optimizer.step()
    assert (net[0].weight.numpy() != source[0].weight.numpy()).any()
    assert_states_equal(source.state_dict(), state)
    with pytest.raises(ValueError, match=r"'0.weight' has shape \(5, 3\), expected \(2, 0\)"):
        tn.Sequential(L.Linear(None, 2)).load_state_dict(L.Sequential(L.Linear(3, 5)).state_dict())
    unsized = tn.Sequential(L.Linear(None, 2))
    unsized.load_state_dict(unsized.state_dict())
    assert unsized[0].in_features is None


def test_a_buffer_may_be_taken_away():
    layer = L.BatchNorm1d(2)
    layer.running_mean = layer.running_var = None
    assert [name for name, _ in layer.named_buffers()] == []
    assert list(layer.state_dict()) == ["weight", "bias"]
    np.testing.assert_array_equal(layer.eval()([[0.0, 2.0], [0.0, 2.0]]).numpy(), np.zeros((2, 2)))


def test_an_array_assigned_to_a_buffer_stays_a_buffer():
    class Mean(tn.Layer):
        def __init__(self):
            self.register_buffer("mean", tn.zeros(2))

        def forward(self, x):
            self.mean = put(np.full(2, 3.0, "float32"))
            return x - self.mean

    layer = Mean()
    layer(tn.ones(1, 2))
    assert layer.state_dict()["mean"].tolist() == [3.0, 3.0]
    assert [name for name, _ in layer.named_buffers()] == ["mean"]
    assert isinstance(layer.mean, tn.Tensor)


def test_the_weights_of_a_loss_are_buffers():
    ids, weight = tn.tensor([0, 2, 1, 2]), np.array([1.0, 2.0, 4.0], "float32")
    loss = L.CrossEntropyLoss(put(weight), label_smoothing=0.1)
    wanted = F.cross_entropy(randn(4, 3), ids, weight=put(weight), label_smoothing=0.1)
    np.testing.assert_array_equal(loss(randn(4, 3), ids).numpy(), wanted.numpy())
    assert [*loss.state_dict()] == ["weight"]
    assert loss.parameters() == []
    assert repr(loss).startswith("CrossEntropyLoss(label_smoothing=0.1, weight=")
    assert loss.astype("float64")(randn(4, 3, dtype="float64"), ids).dtype == np.float64
    loss.load_state_dict({"weight": np.ones(3)})
    x = randn(4, 3, dtype="float64")
    np.testing.assert_allclose(loss(x, ids).numpy(), F.cross_entropy(x, ids, label_smoothing=0.1).numpy(), rtol=1e-12)
    assert [*L.BCEWithLogitsLoss(pos_weight=tn.ones(3), weight=tn.ones(3)).state_dict()] == ["pos_weight", "weight"]
    assert [*L.BCEWithLogitsLoss(pos_weight=3.0).state_dict()] == []
