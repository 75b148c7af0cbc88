"""Model: evaluate, predict, summary, save and load. (``fit`` is in test_training.py.)"""

import copy

import numpy as np
import pytest

import tinynet as tn
from tinynet import functions as F
from tinynet import layers as L


def net(seed=0):
    tn.manual_seed(seed)
    return tn.Sequential(L.Linear(4, 8), L.Tanh(), L.Dropout(0.5), L.Linear(8, 3))


def data(n=50):
    rng = np.random.default_rng(0)
    return rng.standard_normal((n, 4)).astype(np.float32), rng.integers(0, 3, n)


def modes(model):
    return [layer.training for layer in (model, *model.layers())]


def weights(model):
    return {name: t.numpy().copy() for name, t in model.state_dict().items()}


def assert_equal(a, b):
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])


# ---------------------------------------------------------------------------------------------- evaluate and predict


def test_evaluate():
    model, (x, y) = net(), data()
    logits = model.eval()(tn.tensor(x))
    model.train()
    found = model.evaluate((x, y))
    assert found == {
        "loss": pytest.approx(F.cross_entropy(logits, tn.tensor(y)).item(), rel=1e-6),
        "accuracy": (logits.numpy().argmax(axis=1) == y).mean(),
    }
    assert all(type(number) is float for number in found.values())
    assert model.evaluate((x, y), batch_size=7) == pytest.approx(found, rel=1e-6)
    assert model.evaluate(tn.data.ArrayDataset(x, y)) == found
    assert model.evaluate(tn.data.DataLoader((x, y), batch_size=50)) == found
    one_hot = np.eye(3, dtype=np.float32)[y]
    assert set(model.evaluate((x, one_hot), loss=F.mse_loss)) == {"loss"}
    assert model.evaluate((x, one_hot), loss=F.mse_loss, metrics=[tn.metrics.accuracy])["accuracy"] == found["accuracy"]
    assert set(model.evaluate((x, y), metrics=[])) == {"loss"}


@pytest.mark.parametrize("batch_size", [1, 7, 50, 1024])
def test_predict_in_batches_is_predict_at_once(batch_size):
    model, (x, _) = net(), data()
    expected = model.eval()(tn.tensor(x))
    model.train()
    found = model.predict(x, batch_size=batch_size)
    assert type(found) is tn.Tensor
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-5, atol=1e-6)
    assert found.dtype == np.float32


def test_predict_takes_what_a_tensor_takes():
    model, (x, _) = net(), data()
    expected = model.predict(x).numpy()
    for kind in (tn.tensor(x), tn.tensor(x, requires_grad=True), x.tolist(), np.asfortranarray(x), x[::-1][::-1]):
        np.testing.assert_allclose(model.predict(kind).numpy(), expected, rtol=1e-6)
    assert model.predict(np.ones((2, 4), int)).dtype == np.float32
    assert model.predict(x[:0]).shape == (0, 3)


def test_evaluate_and_predict_leave_no_trace():
    """Evaluation mode for all layers, then each in the mode that it was in; nothing is recorded or drawn."""
    model, (x, y) = net(), data()
    seen = []

    class Watch(tn.Layer):
        def forward(self, x):
            seen.append((self.training, (x * 1).requires_grad))
            return x

    model.append(Watch())
    model[2].eval()
    before, state = modes(model), tn.backend.random_state()
    model.predict(x)
    model.evaluate((x, y))
    model.summary(4)
    assert seen == [(False, False)] * 3
    assert modes(model) == before == [True, True, True, False, True, True]
    assert tn.backend.random_state() == state
    assert all(p.grad is None for p in model.parameters())

    class Fails(tn.Layer):
        def forward(self, x):
            raise KeyError("mine")

    model.append(Fails())
    for use in (lambda: model.predict(x), lambda: model.evaluate((x, y)), lambda: model.summary(4)):
        with pytest.raises(KeyError, match="mine"):
            use()
        assert modes(model) == [*before, True]
    assert (model[0].weight * 1).requires_grad  # and recording goes on


def test_predict_arguments():
    model, (x, _) = net(), data()
    with pytest.raises(ValueError, match="predict: expected inputs of one length, got shapes"):
        model.predict()
    with pytest.raises(ValueError, match=r"predict: expected inputs of one length, got shapes \[\(50, 4\), \(7, 4\)\]"):
        model.predict(x, x[:7])
    for batch_size in (0, -1):
        with pytest.raises(ValueError, match=f"predict: batch_size is {batch_size}, expected at least 1"):
            model.predict(x, batch_size=batch_size)
    with pytest.raises(ValueError, match=r"Linear\(4, 8\): the input has shape \(50, 3\)"):
        model.predict(x[:, :3])
    for output, kind in ((lambda y: (y, y), "tuple"), (lambda y: {"y": y}, "dict"), (lambda y: None, "NoneType")):
        with pytest.raises(TypeError, match=f"predict: forward returned a {kind}, expected one Tensor"):
            tn.Sequential(model, L.Lambda(output)).predict(x)


# ---------------------------------------------------------------------------------------------------------- summary


class Net(tn.Model):
    """Layers in an attribute, a list and a Sequential, a parameter of its own, and one layer used twice."""

    def __init__(self):
        self.scale = tn.Parameter(np.ones(4))
        self.blocks = [L.Linear(4, 4), L.Linear(4, 4, bias=False)]
        self.head = tn.Sequential(L.Flatten(), L.Linear(None, 3))
        self.unused = L.Linear(2, 2)

    def forward(self, x):
        for block in (*self.blocks, self.blocks[0]):
            x = block(x * self.scale).relu()
        return self.head(x)


def test_summary_numbers():
    model = Net()
    model.blocks[0].freeze()
    summary = model.summary((5, 4))
    assert summary.rows == [  # in definition order
        ("scale", "Parameter", None, 4, 0),
        ("blocks.0", "Linear(4, 4)", (5, 4), 20, 2 * 5 * 4 * 4),  # used twice
        ("blocks.1", "Linear(4, 4, bias=False)", (5, 4), 16, 5 * 4 * 4),
        ("head.0", "Flatten()", (20,), 0, 0),
        ("head.1", "Linear(20, 3)", (3,), 63, 20 * 3),
        ("unused", "Linear(2, 2)", None, 6, 0),
    ]
    assert summary.multiply_adds == 3 * 80 + 60
    assert summary.parameters == 109 == sum(p.size for p in model.parameters())
    assert summary.trainable == 89
    assert "forward" not in vars(model.head[0])


def test_summary_text():
    model = tn.Sequential(L.Linear(None, 1000), L.ReLU(), tn.Sequential(L.Linear(1000, 2)))
    model[2].freeze()
    expected = """\
Sequential on one sample of (3,)
----------------------------------------------------------
layer                    output   parameters  multiply-adds
----------------------------------------------------------
0      Linear(3, 1000)   (1000,)       4,000          3,000
1      ReLU()            (1000,)           0              0
2.0    Linear(1000, 2)   (2,)          2,002          2,000
----------------------------------------------------------
6,002 parameters, 2,002 of them frozen; 5,000 multiply-adds"""
    assert str(model.summary(3)).replace(" ", "") == expected.replace(" ", "")
    lines = str(model.summary((3,))).splitlines()
    for numbers in (("4,000", "0 ", "2,002"), ("3,000", "0", "2,000")):  # the columns end at one place
        assert len({line.rindex(n) + len(n.strip()) for line, n in zip(lines[4:7], numbers, strict=True)}) == 1
    assert repr(model.summary(3)) == str(model.summary(3))


def test_summary_of_shared_layers_counts_them_once():
    shared = L.Linear(2, 2)
    summary = tn.Sequential(shared, L.ReLU(), shared).summary(2)
    assert [row[0] for row in summary.rows] == ["0", "1", "2"]
    assert [row[3:] for row in summary.rows] == [(6, 8), (0, 0), (0, 0)]
    assert (summary.parameters, summary.multiply_adds) == (6, 8)


def test_summary_takes_a_dtype_and_names_a_wrong_shape():
    model = tn.Sequential(L.Lambda(lambda ids: F.one_hot(ids, 4)), L.Linear(4, 2))
    assert model.summary((), dtype=np.int64).rows[1][2] == (2,)
    assert net().astype("float64").summary(4, dtype="float64").parameters == 67
    with pytest.raises(ValueError, match=r"Linear\(4, 8\): the input has shape \(1, 5\), expected 4"):
        net().summary(5)


def test_summary_of_layers_that_return_several_things():
    class Both(tn.Layer):
        def forward(self, x):
            return x, x.sum()

    class Named(tn.Layer):
        def forward(self, x):
            return {"x": x}

    class Model(tn.Model):
        def __init__(self):
            self.both, self.named = Both(), Named()

        def forward(self, x):
            return self.named(self.both(x)[0])["x"]

    assert [row[2] for row in Model().summary((2, 3)).rows] == [(2, 3), None]


def test_summary_counts_the_multiply_adds_of_ops_in_the_innermost_layer_that_ran_them():
    class Attention(tn.Layer):
        def __init__(self):
            self.qkv = L.Linear(8, 24)

        def forward(self, x):
            q, k, v = F.split(self.qkv(x), 3, axis=-1)
            return F.softmax(q @ k.swapaxes(-1, -2)) @ v

    class Model(tn.Model):
        def __init__(self):
            self.attention, self.out = Attention(), tn.Parameter(np.ones((8, 2)))

        def forward(self, x):
            x = self.attention(x).astype("float64") * 2.0
            return F.einsum("nsd,do->nso", x, self.out)

    with tn.no_grad():
        summary = Model().summary((5, 8))
    assert summary.rows == [
        ("", "Model()", (5, 2), 0, 5 * 8 * 2),
        ("attention", "Attention()", (5, 8), 0, 2 * 5 * 5 * 8),
        ("attention.qkv", "Linear(8, 24)", (5, 24), 8 * 24 + 24, 5 * 8 * 24),
        ("out", "Parameter", None, 16, 0),
    ]


def test_summary_of_several_inputs():
    class Model(tn.Model):
        def __init__(self):
            self.table, self.mix = tn.Parameter(tn.ones(9, 4)), L.Linear(7, 2)

        def forward(self, ids, x):
            return self.mix(F.concatenate([self.table[ids].mean(axis=1), x], axis=1))

    model = Model()
    model.freeze()  # what is frozen computes all the same
    summary = model.summary([(6,), 3], dtype=[np.int64, np.float32])
    assert summary.title == "Model on one sample of (6,) and (3,)"
    assert summary.rows == [("table", "Parameter", None, 36, 0), ("mix", "Linear(7, 2)", (2,), 16, 14)]
    with pytest.raises(ValueError, match="dtype: got 3 for 2 inputs, expected one for all, or one for each"):
        model.summary([(6,), (3,)], dtype=["int64"] * 3)
    for shape in (-1, (3, -1), "3", (3, 2.0), [(3,), None], None):
        with pytest.raises(ValueError, match=r"input_shape is .*, expected the shape of one sample without the batch axis"):
            model.summary(shape)


def test_summary_puts_back_a_forward_of_the_objects_own():
    model = net()
    model[1].forward = own = lambda x: x * 2
    model.summary(4)
    assert vars(model[1])["forward"] is own
    assert all("forward" not in vars(layer) for layer in (model, *model.layers()) if layer is not model[1])


# ---------------------------------------------------------------------------------------------------- save and load


def test_save_and_load(tmp_path):
    model, path = net(), tmp_path / "weights.safetensors"
    model.save(path)
    other = net(seed=1)
    params = other.parameters()
    assert other.load(str(path)) is other
    assert_equal(weights(other), weights(model))
    assert [p is q for p, q in zip(other.parameters(), params, strict=True)] == [True] * 4
    assert [p.requires_grad for p in params] == [True] * 4
    model.save(path)  # replaces it
    assert [p.name for p in tmp_path.iterdir()] == ["weights.safetensors"]


def test_buffers_and_numbers_without_axes_are_saved(tmp_path):
    class Scale(tn.Model):
        def __init__(self, value):
            self.scale = tn.Parameter(value)
            self.register_buffer("count", np.array(int(value)))

    Scale(3.0).save(tmp_path / "w")
    model = Scale(5.0).load(tmp_path / "w")
    assert (model.scale.item(), model.count.item()) == (3.0, 3)
    assert model.scale.shape == ()


def test_load_into_layers_of_unknown_width(tmp_path):
    net().save(tmp_path / "w")
    model = tn.Sequential(L.Linear(None, 8), L.Tanh(), L.Dropout(0.5), L.Linear(None, 3)).load(tmp_path / "w")
    np.testing.assert_array_equal(model.predict(data()[0]).numpy(), net().predict(data()[0]).numpy())


@pytest.mark.parametrize(
    ("other", "problem"),
    [
        (tn.Sequential(L.Linear(4, 9), L.Tanh(), L.Linear(9, 3)), "missing '3.weight'.*unexpected '2.weight'"),
        (tn.Sequential(L.Linear(4, 9), L.Tanh(), L.ReLU(), L.Linear(9, 3)), r"'0.weight' has shape \(9, 4\), expected"),
    ],
)
def test_a_file_of_another_model_changes_nothing(tmp_path, other, problem):
    path = tmp_path / "other.safetensors"
    other.save(path)
    model = net()
    before = weights(model)
    with pytest.raises(ValueError, match=f"other.safetensors': Sequential: the state does not fit: .*{problem}"):
        model.load(path)
    assert_equal(weights(model), before)


def test_a_damaged_file_changes_nothing(tmp_path):
    path = tmp_path / "weights.safetensors"
    net().save(path)
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    model = net(seed=1)
    before = weights(model)
    with pytest.raises(ValueError, match=r"weights.safetensors' is damaged"):
        model.load(path)
    assert_equal(weights(model), before)
    with pytest.raises(FileNotFoundError, match=r"missing.safetensors"):
        model.load(tmp_path / "missing.safetensors")


def test_training_goes_on_after_loading(tmp_path):
    """An optimizer made before ``load`` goes on with the loaded weights: they are the same Parameters."""
    model = net()
    optimizer = tn.optim.SGD(model, lr=0.1)
    twin = copy.deepcopy(model)
    twin.save(tmp_path / "w")
    model.fit(data(), optimizer=optimizer, progress=False)
    model.load(tmp_path / "w")
    assert_equal(weights(model), weights(twin))
    model.fit(data(), optimizer=optimizer, progress=False)
    assert (model[0].weight.numpy() != twin[0].weight.numpy()).any()
