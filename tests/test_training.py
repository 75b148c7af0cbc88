"""Model.fit: what it trains, its History, metrics, modes, and what it shows."""

import re

import numpy as np
import pytest
from fits import Listener, data, fit, net

import tinynet as tn
from tinynet import functions as F
from tinynet import layers as L
from tinynet import optim
from tinynet.data import ArrayDataset, DataLoader, Dataset
from tinynet.kernels import compiled


def without_times(history):
    return {name: numbers for name, numbers in history.items() if name != "seconds"}


class Samples(Dataset):
    """A data set that knows one sample at a time."""

    def __len__(self):
        return 200

    def __getitem__(self, i):
        return data()[0][i], int(data()[1][i])


# --------------------------------------------------------------------------------------------------- what it trains


def test_learns():
    model = net(dropout=0.0)
    history = fit(model, epochs=60, validation=data(seed=1))
    assert history.loss[-1] < 0.15 < 0.6 < history.loss[0]
    assert history.accuracy[-1] > 0.97
    assert history.val_accuracy[-1] > 0.9
    assert model.evaluate(data(seed=1)) == {"loss": history.val_loss[-1], "accuracy": history.val_accuracy[-1]}


@pytest.mark.parametrize(
    "train",
    [
        data(),
        list(data()),
        tuple(map(tn.tensor, data())),
        ArrayDataset(*data()),
        tuple(a.tolist() for a in data()),
        Samples(),
    ],
    ids=["arrays", "list", "Tensors", "Dataset", "lists", "samples"],
)
def test_kinds_of_data_give_the_same_numbers(train):
    if isinstance(train, Samples):
        assert len(train) == 200
    reference = without_times(fit(epochs=2, batch_size=50))
    assert without_times(fit(train=train, epochs=2, batch_size=50)) == reference


def test_a_loader_is_taken_as_it_is():
    model, steps = net(), []
    loader = DataLoader(data(), batch_size=30, drop_last=True, seed=1)
    fit(model, loader, epochs=2, callbacks=[Listener(batch=lambda m, loss: steps.append(loss))], batch_size=7)
    assert len(steps) == 2 * 6
    evaluated = model.evaluate(DataLoader(data(), batch_size=30))
    assert evaluated == pytest.approx(model.evaluate(data()))


def test_training_data_comes_in_a_new_order_every_epoch():
    orders = []

    class Watch(tn.Model):
        def __init__(self):
            self.linear = L.Linear(1, 2)

        def forward(self, x):
            orders[-1].extend(x.data[:, 0].tolist())
            return self.linear(x)

    orders.append([])
    x = np.arange(40, dtype=np.float32)[:, None] / 40
    fit(Watch(), (x, np.zeros(40, int)), epochs=3, batch_size=10, callbacks=[lambda m, h: orders.append([])])
    first, second, third, _ = orders
    assert sorted(first) == sorted(second) == sorted(third) == x[:, 0].tolist()
    assert len({tuple(o) for o in (first, second, third, x[:, 0])}) == 4


def test_the_same_seed_gives_the_same_numbers():
    def train(seed):
        model = net(seed)
        history = fit(model, epochs=3, validation=data(seed=1))
        return {name: t.tolist() for name, t in model.state_dict().items()}, without_times(history)

    first = train(0)
    assert train(0) == first
    assert train(1) != first


def test_looking_at_the_model_does_not_change_its_training():
    """Validation, evaluate and predict draw no random numbers: the second fit shuffles and drops as it would have."""
    plain = net()
    fit(plain)
    fit(plain)
    watched = net()
    fit(watched, validation=data(seed=1))
    watched.evaluate(data())
    watched.predict(data()[0])
    fit(watched, callbacks=[lambda model, history: model.evaluate(data())])
    np.testing.assert_array_equal(plain[0].weight.numpy(), watched[0].weight.numpy())


def test_several_inputs():
    class Two(tn.Model):
        def __init__(self):
            self.linear = L.Linear(4, 2)

        def forward(self, a, b):
            return self.linear(a * b)

    tn.manual_seed(0)
    x, y = data()
    model = Two()
    history = fit(model, (x, x + 1, y), epochs=2)
    assert len(history.loss) == 2
    assert model.evaluate((x, x + 1, y))["loss"] == pytest.approx(
        F.cross_entropy(model(tn.tensor(x), tn.tensor(x + 1)), tn.tensor(y)).item()
    )
    assert model.predict(x, x + 1, batch_size=30).shape == (200, 2)


def test_regression_has_no_accuracy():
    model = tn.Sequential(L.Linear(4, 1))
    x, _ = data()
    y = x @ np.array([[1.0], [-2.0], [0.5], [3.0]], np.float32)
    history = fit(model, (x, y), loss=F.mse_loss, optimizer=optim.Adam(model, lr=0.1), epochs=60, validation=(x, y))
    assert set(history) == {"loss", "val_loss", "lr", "seconds"}
    assert history.loss[-1] < 1e-2
    assert set(model.evaluate((x, y))) == {"loss"}  # with the loss of the last fit
    assert model.evaluate((x, y))["loss"] == pytest.approx(((model.predict(x).numpy() - y) ** 2).mean(), rel=1e-4)
    assert model.evaluate((x, y), loss=F.mse_loss, metrics={"worst": lambda p, t: abs(p - t).max()}).keys() == {
        "loss",
        "worst",
    }


def test_batches_of_unequal_size_are_weighted():
    """200 samples in batches of 64: the epoch's loss is the mean over samples, as one batch of 200 gives it."""
    x, y = data()
    model = net(dropout=0.0)
    still = optim.SGD(model, lr=0.0)
    small = model.fit((x, y), optimizer=still, batch_size=64, progress=False)
    assert small.loss[0] == pytest.approx(F.cross_entropy(model(tn.tensor(x)), tn.tensor(y)).item(), rel=1e-5)
    assert small.accuracy[0] == pytest.approx(float((model(tn.tensor(x)).numpy().argmax(1) == y).mean()))
    assert model.evaluate((x, y), batch_size=64)["loss"] == pytest.approx(small.loss[0], rel=1e-5)


def test_frozen_layers_stay():
    model = net()
    model[0].freeze()
    before = model[0].weight.numpy().copy(), model[3].weight.numpy().copy()
    fit(model, optimizer=optim.Adam(model))
    np.testing.assert_array_equal(model[0].weight.numpy(), before[0])
    assert (model[3].weight.numpy() != before[1]).any()


# -------------------------------------------------------------------------------------------------------- History


def test_history_is_plain_lists():
    history = fit(epochs=3, validation=data(seed=1))
    assert isinstance(history, dict)
    assert list(history) == ["loss", "accuracy", "val_loss", "val_accuracy", "lr", "seconds"]
    for name, numbers in history.items():
        assert type(numbers) is list
        assert [type(n) for n in numbers] == [float] * 3
        assert getattr(history, name) is numbers
    assert all(s > 0 for s in history.seconds)
    with pytest.raises(AttributeError, match="History has no 'val_los'; there are loss, accuracy, val_loss"):
        _ = history.val_los


def test_no_epochs():
    model = net()
    before = model[0].weight.numpy().copy()
    assert fit(model, epochs=0) == {}
    np.testing.assert_array_equal(model[0].weight.numpy(), before)


def test_no_samples():
    x, y = data()
    history = fit(train=(x[:0], y[:0]), validation=(x[:0], y[:0]))
    assert all(np.isnan(history[name][0]) for name in ("loss", "accuracy", "val_loss", "val_accuracy"))


@pytest.mark.parametrize("epochs", [-1, 1.5, "3", None])
def test_wrong_epochs(epochs):
    with pytest.raises(ValueError, match=f"fit: epochs is {epochs!r}, expected an integer of at least 0"):
        fit(epochs=epochs)


@pytest.mark.parametrize(
    ("train", "problem"),
    [
        (data()[:1], "expected batches of inputs and targets, got 1 array"),
        (data()[0], "expected batches of inputs and targets, got 1 array"),
        ((data()[0], data()[1][:7]), "lengths 200 .*, 7"),
    ],
)
def test_data_that_are_no_inputs_and_targets(train, problem):
    model = net()
    with pytest.raises(ValueError, match=problem):
        model.fit(train, optimizer=optim.SGD(model), progress=False)
    with pytest.raises(ValueError, match=problem):
        net().evaluate(train)


def test_what_belongs_to_another_model_or_optimizer():
    model, other = net(), net()
    with pytest.raises(ValueError, match="fit: optimizer has none of this Sequential's parameters"):
        fit(model, optimizer=optim.SGD(other))
    optimizer = optim.SGD(model)
    with pytest.raises(ValueError, match="fit: scheduler is that of another optimizer"):
        fit(model, optimizer=optimizer, scheduler=optim.schedulers.StepLR(optim.SGD(model), 1))
    fit(model, optimizer=optim.SGD([*model[0].parameters(), *other.parameters()]), epochs=1)  # a part of it will do


@pytest.mark.parametrize("optimizer", [optim.Adam, "adam", None])
def test_what_is_no_optimizer(optimizer):
    with pytest.raises(TypeError, match=r"fit: optimizer is .*, expected an optimizer such as optim.Adam\(model\)"):
        fit(optimizer=optimizer)


@pytest.mark.parametrize("loss", [None, "mse", L.MSELoss])
def test_what_is_no_loss(loss):
    with pytest.raises(TypeError, match=r"fit: loss is .*, expected a function of \(outputs, targets\)"):
        fit(loss=loss)


@pytest.mark.parametrize("scheduler", [optim.schedulers.StepLR, "step"])
def test_what_is_no_scheduler(scheduler):
    with pytest.raises(TypeError, match=r"fit: scheduler is .*, expected one such as schedulers.StepLR\(optimizer, 10\)"):
        fit(scheduler=scheduler)


# -------------------------------------------------------------------------------------------------------- metrics


def share_of_ones(outputs, targets):
    return float((targets.data == 1).mean())


class Share:
    def __call__(self, outputs, targets):
        return share_of_ones(outputs, targets)


@pytest.mark.parametrize(
    ("metrics", "names"),
    [
        (None, ["accuracy"]),
        ([], []),
        ({}, []),
        ([share_of_ones], ["share_of_ones"]),
        ([tn.metrics.accuracy, Share()], ["accuracy", "Share"]),
        ({"ones": share_of_ones, "half": lambda o, t: 0.5}, ["ones", "half"]),
    ],
)
def test_metrics(metrics, names):
    model = net()
    history = fit(model, metrics=metrics, validation=data(seed=1))
    assert list(history) == ["loss", *names, "val_loss", *(f"val_{n}" for n in names), "lr", "seconds"]
    assert list(model.evaluate(data())) == ["loss", *names]  # those of the last fit
    assert list(model.evaluate(data(), metrics=[Share()])) == ["loss", "Share"]
    for name in set(names) & {"share_of_ones", "ones", "Share"}:
        assert history[name][0] == pytest.approx(data()[1].mean())


def test_a_metric_may_return_a_tensor_and_records_nothing():
    seen = []

    def right(outputs, targets):
        share = (outputs.argmax(axis=1) == targets).mean()
        seen.append((outputs * 1).requires_grad)
        return share + 0 * outputs.sum()

    history = fit(metrics=[right, tn.metrics.accuracy])
    assert history.right == pytest.approx(history.accuracy)
    assert type(history.right[0]) is float
    assert not any(seen)


@pytest.mark.parametrize(
    ("metrics", "problem"),
    [
        ([lambda o, t: 0.0, lambda o, t: 1.0], "two of one name among .*; pass a dict of names"),
        ({"loss": share_of_ones}, "'loss' is the name of another entry"),
        ({"lr": share_of_ones}, "'lr' is the name of another entry"),
        ({"seconds": share_of_ones}, "'seconds' is the name of another entry"),
        ({"val_loss": share_of_ones}, "'val_loss' is the name of another entry"),
        ({"a": share_of_ones, "val_a": share_of_ones}, "'val_a' is the name of another entry"),
    ],
)
def test_metrics_whose_names_clash(metrics, problem):
    with pytest.raises(ValueError, match=f"metrics: {problem}"):
        fit(metrics=metrics)


# -------------------------------------------------------------------------------------------------- modes and names


def test_modes():
    """Training mode for training, evaluation mode for validation; afterwards each layer is as fit left it."""
    seen = []

    class Watch(L.Dropout):
        def forward(self, x):
            seen.append(self.training)
            return super().forward(x)

    model = tn.Sequential(L.Linear(4, 2), Watch(0.5))
    model.eval()
    fit(model, batch_size=100, validation=data(seed=1))
    assert seen == [True, True, False]
    assert model.training
    assert model[1].training


@pytest.mark.parametrize("name", ["loss", "metrics", "fitted", "history", "optimizer"])
def test_a_model_s_own_attributes_are_left_alone(name):
    class Net(tn.Model):
        def __init__(self):
            setattr(self, name, L.Linear(4, 2))

        def forward(self, x):
            return getattr(self, name)(x)

    model = Net()
    fit(model, loss=L.CrossEntropyLoss(), metrics=[tn.metrics.accuracy])
    assert list(model.state_dict()) == [f"{name}.weight", f"{name}.bias"]
    assert repr(model) == f"Net(\n  ({name}): Linear(4, 2)\n)"
    assert model.evaluate(data()).keys() == {"loss", "accuracy"}


# ----------------------------------------------------------------------------------------------------- what it shows


def test_progress(capsys):
    fit(epochs=10, validation=data(seed=1), progress=True)
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert len(lines) == 10
    number = r"\d+\.\d{4}"
    numbers = "  ".join(f"{name} {number}" for name in ("loss", "accuracy", "val_loss", "val_accuracy"))
    assert re.fullmatch(rf"epoch  1/10  {numbers}  \d+\.\d s  [\d,]+ samples/s", lines[0])
    assert re.fullmatch(rf"epoch 10/10  {numbers}  \d+\.\d s  [\d,]+ samples/s", lines[9])
    assert "epoch  1/10" in err
    assert "200" in err


@pytest.mark.parametrize("progress", [True, False])
def test_the_bar_says_that_loops_are_compiled(capsys, progress):
    def compile_one(model, loss):
        for tell in compiled.LISTENERS:  # as Numba does
            tell()

    fit(epochs=1, progress=progress, callbacks=[Listener(batch=compile_one)])
    assert capsys.readouterr().err.count("epoch 1/1, compiling loops, once") == (1 if progress else 0)
    assert compiled.LISTENERS == []


def test_without_progress_there_is_no_word(capsys):
    fit(epochs=2, validation=data(seed=1), progress=False)
    assert capsys.readouterr() == ("", "")


def test_an_interrupted_bar_is_closed(capsys):
    def fail(model, loss):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        fit(progress=True, callbacks=[Listener(batch=fail)])
    out, err = capsys.readouterr()
    assert out == ""
    assert err.endswith("\r")  # the bar has wiped itself away, while the traceback still holds all that was at work
    del caught
