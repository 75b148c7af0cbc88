"""compare_optimizers: that only the update rule differs, its progress, and what is refused."""

import io
import sys

import numpy as np
import pytest
from comparisons import POINTS, compare, make_model

import tinynet as tn
from tinynet import functions as F
from tinynet import layers as L
from tinynet import optim
from tinynet.backend import random_state
from tinynet.compare.start import Start


class Watched(tn.Sequential):
    """Notes the first weights and every batch that is trained on, in a list of its own for each model."""

    made = []

    def __init__(self):
        super().__init__(L.Linear(2, 8), L.Dropout(0.5), L.Linear(8, 2))
        self.seen = []
        Watched.made.append(self)

    def forward(self, x):
        if self.training:
            hidden = super().forward(x)
            self.seen.append(tuple(t.numpy().copy() for t in (self[0].weight, x, hidden)))
            return hidden
        return super().forward(x)


@pytest.fixture
def watched(monkeypatch):
    """A function that compares with ``Watched`` models and returns what the model of each run has seen."""
    monkeypatch.setattr(Watched, "made", [])

    def run(**options):
        compare(make_model=Watched, **options)
        return [model.seen for model in Watched.made if len(model.seen) > 1]  # one step is the warming up

    return run


# ------------------------------------------------------------------------------------------------- what does not differ


@pytest.mark.parametrize(
    "train", [POINTS, POINTS.arrays, tn.data.DataLoader(POINTS, 20, seed=3)], ids=["set", "pair", "loader"]
)
def test_same_start_same_batches_same_draws(watched, train):
    runs = watched(train=train, lrs=[0.01, 0.1], epochs=2, seeds=(0, 1))
    assert len(runs) == 2 * 2 * 2
    for same in (runs[:4], runs[4:]):
        for seen in same:
            assert len(seen) == 6
            np.testing.assert_array_equal(seen[0][0], same[0][0][0])  # the weights of the start
            np.testing.assert_array_equal(seen[0][2], same[0][0][2])  # and what dropout leaves of the first batch
            for (_, x, _), (_, expected, _) in zip(seen, same[0], strict=True):
                np.testing.assert_array_equal(x, expected)
        for seen in same[1:]:
            assert (seen[1][0] != same[0][1][0]).any()  # after one step each has gone its own way
    assert (runs[0][0][0] != runs[4][0][0]).any()  # another seed: other weights
    if not isinstance(train, tn.data.DataLoader):  # which here does not shuffle
        assert (runs[0][0][1] != runs[4][0][1]).any()


def test_the_weights_come_from_the_seed(watched):
    (seen, _) = watched(seeds=7)
    tn.manual_seed(7)
    np.testing.assert_array_equal(seen[0][0], L.Linear(2, 8).weight.numpy())


def test_one_model_made_again_and_again():
    """A make_model that always returns the same object gives the same comparison: each run starts from the first weights."""
    tn.manual_seed(0)
    only = make_model()
    shared, fresh = compare(make_model=lambda: only), compare()
    assert [run.losses for run in shared.runs] == [run.losses for run in fresh.runs]


def test_the_draws_of_training_do_not_depend_on_what_making_the_model_drew():
    """A make_model that draws more whenever it is called; the noise of every forward comes from the same stream."""
    calls = []

    class Noisy(tn.Sequential):
        def forward(self, x):
            return super().forward(x + tn.randn(*x.shape))

    def make_noisy():
        calls.append(tn.randn(len(calls)))
        return Noisy(L.Linear(2, 2))

    sgd, again = compare({"SGD": optim.SGD, "again": optim.SGD}, make_model=make_noisy).runs
    assert sgd.losses == again.losses


def test_a_loader_is_shuffled_by_the_seed_of_the_run(watched):
    loader = tn.data.DataLoader(POINTS, 20, shuffle=True, drop_last=True, seed=3)
    for seed, seen in zip((0, 1), watched(train=loader, rules={"SGD": optim.SGD}, seeds=(0, 1)), strict=True):
        for (_, x, _), (expected, _) in zip(seen, tn.data.DataLoader(POINTS, 20, shuffle=True, seed=seed), strict=True):
            np.testing.assert_array_equal(x, expected.numpy())


def test_sizes_that_the_first_batch_tells():
    lazy = compare(make_model=lambda: tn.Sequential(L.Linear(None, 8), L.Tanh(), L.Linear(None, 2)))
    assert len({run.losses[0] for run in lazy.runs}) == 1
    normed = Start("test", lambda: tn.Sequential(L.Linear(None, 8), L.BatchNorm1d(8)), POINTS, 20, seed=0)
    assert not normed.weights["1.running_mean"].numpy().any()  # the batch that told the sizes has left no other trace


def test_seconds_are_those_of_training(monkeypatch):
    """A clock that a step moves by 1 and a look at the validation data by 100."""
    now = [0.0]
    monkeypatch.setattr("tinynet.compare.optimizers.time.perf_counter", lambda: now[0])

    def tick(value, by):
        now[0] += by
        return value

    def slow_loss(outputs, targets):
        return tick(F.cross_entropy(outputs, targets), 1.0 if outputs.requires_grad else 100.0)

    result = compare(loss=slow_loss, validation=POINTS, evaluate_every=2, epochs=2)
    for run in result.runs:
        assert run.seconds == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]


def test_every_optimizer_warms_up_before_the_first_run():
    """What compiling costs is not counted in a run's time, and what is no optimizer is found before anything is trained."""
    called = []

    def watching(label):
        return lambda params, lr: called.append(label) or optim.SGD(params, lr=lr)

    compare({"a": watching("a"), "b": watching("b")}, lrs=[0.1, 0.2])
    assert called == ["a", "b", "a", "a", "b", "b"]


def test_two_comparisons_are_equal():
    def numbers():
        result = compare(epochs=3, seeds=(0, 1), lrs=[0.01, 1.0], validation=POINTS)
        return [(run.label, run.lr, run.seed, run.losses, run.validation, run.diverged) for run in result.runs]

    assert numbers() == numbers()


def test_the_losses_are_those_of_training_by_hand():
    result = compare({"SGD": optim.SGD}, epochs=2, lrs=0.5, seeds=3)
    tn.manual_seed(3)
    model, losses = make_model(), []
    optimizer = optim.SGD(model, lr=0.5)
    loader = tn.data.DataLoader(POINTS, 20, shuffle=True, seed=3)
    for _ in range(2):
        for x, y in loader:
            loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    assert result.runs[0].losses == losses
    assert result.steps == 6
    assert result.batch_size == 20


def test_the_users_random_state_and_loader_stay_as_they_are():
    tn.manual_seed(5)
    tn.randn(3)
    loader = tn.data.DataLoader(POINTS, 20, shuffle=True, seed=1)
    next(iter(loader))
    before, position = random_state(), loader.state_dict()
    compare(train=loader, validation=POINTS)
    assert random_state() == before
    assert loader.state_dict() == position
    with pytest.raises(TypeError):
        compare({"SGD": lambda params, lr: None})
    assert random_state() == before


def test_validation_after_epochs_or_every_so_many_steps():
    by_epoch = compare(epochs=2, validation=POINTS).runs[0]
    assert by_epoch.evaluated == [3, 6]
    assert by_epoch.validation.keys() == {"val_loss", "val_accuracy"}
    by_step = compare(epochs=2, validation=POINTS, evaluate_every=4).runs[0]
    assert by_step.evaluated == [4, 6]
    assert by_step.validation["val_accuracy"][-1] == by_epoch.validation["val_accuracy"][-1]
    assert by_step.losses == by_epoch.losses
    assert compare().runs[0].evaluated == []


def test_other_losses_and_metrics():
    x = np.linspace(-1, 1, 40, dtype=np.float32)[:, None]
    result = compare(
        train=(x, 3 * x),
        validation=(x, 3 * x),
        loss=F.mse_loss,
        make_model=lambda: L.Linear(1, 1),
        metrics={"worst_error": lambda y, t: float(abs(y - t).max())},
        epochs=40,
        lrs=[0.1, 0.3],
        targets=[{"worst_error": [0.5, 0.1]}, 0.01],
    )
    assert result.metrics == ["val_loss", "val_worst_error"]
    row = result.table().rows[1]
    assert 0 < row["steps to val_worst_error 0.5"] < row["steps to val_worst_error 0.1"] <= 80
    assert row["steps to loss 0.01"]
    assert "worst error" in str(result.table())


class Closing:
    """An optimizer that evaluates twice a step, as LBFGS may."""

    def __init__(self, params, lr):
        self.inner = optim.SGD(params, lr=lr)

    def zero_grad(self):
        self.inner.zero_grad()

    def step(self, closure):
        closure()
        self.inner.step()
        return closure()


def test_an_optimizer_that_wants_a_closure():
    result = compare({"SGD": optim.SGD, "closing": Closing})
    sgd, closing = result.runs
    assert closing.losses == sgd.losses


def test_lbfgs_on_whole_batches():
    result = compare({"SGD": optim.SGD, "LBFGS": optim.LBFGS}, batch_size=60, epochs=10, lrs=0.5)
    sgd, lbfgs = result.runs
    assert lbfgs.losses[0] == sgd.losses[0]
    assert lbfgs.losses[-1] < sgd.losses[-1] / 2


# ------------------------------------------------------------------------------------------------------ the progress


def test_one_bar_over_everything(monkeypatch):
    said = io.StringIO()
    monkeypatch.setattr(sys, "stderr", said)
    x = np.ones((40, 1), np.float32)
    compare(train=(x, x), make_model=lambda: L.Linear(1, 1), loss=F.mse_loss, lrs=[0.1, 100.0], epochs=20, progress=True)
    assert said.getvalue().count("comparing:   0%") == 1
    totals = {part.split("[")[0].split("/")[-1].strip() for part in said.getvalue().split("\r") if "/" in part}
    assert totals == {"160"}
    said.truncate(0)
    compare(progress=False)
    assert not said.getvalue().strip("\0")


# ------------------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"rules": {}}, ValueError, "compare_optimizers: optimizers is empty"),
        ({"rules": [optim.SGD]}, TypeError, "optimizers is a list, expected a dict such as"),
        ({"rules": {"SGD": 0.1}}, TypeError, r"optimizers\['SGD'\] is 0.1, expected a dict"),
        (
            {"rules": {"SGD": lambda params, lr: None}},
            TypeError,
            r"optimizers\['SGD'\] returned None, expected an optimizer",
        ),
        ({"rules": {"SGD": lambda params, lr: optim.SGD}}, TypeError, r"optimizers\['SGD'\] returned <class"),
        ({"lrs": {"SGD": 0.1}}, ValueError, "lrs has no rates for 'Adam'; the labels are"),
        ({"lrs": {"SGD": 0.1, "Adam": 0.1, "Adma": 0.1}}, ValueError, "lrs has rates for 'Adma', which is no optimizer"),
        ({"lrs": []}, ValueError, r"lrs of 'SGD' are \[\], expected at least one"),
        ({"lrs": [0.1, 0.1]}, ValueError, "each once"),
        ({"lrs": [0.1, -1.0]}, ValueError, "lrs of 'SGD' contain -1.0, expected positive numbers"),
        ({"lrs": [float("nan")]}, ValueError, "contain nan"),
        ({"lrs": ["fast"]}, ValueError, "contain 'fast'"),
        ({"seeds": ()}, ValueError, r"seeds are \[\], expected at least one"),
        ({"seeds": (0, 0)}, ValueError, "each once"),
        ({"seeds": (0.5,)}, TypeError, "compare_optimizers: seeds: expected an integer"),
        ({"seeds": -1}, ValueError, "seeds: expected an integer of at least 0, got -1"),
        ({"epochs": 0}, ValueError, "epochs: expected an integer of at least 1, got 0"),
        ({"evaluate_every": 0}, ValueError, "evaluate_every: expected an integer of at least 1"),
        (
            {"targets": {"accuracy": 0.9}},
            ValueError,
            r"targets has 'accuracy', expected one of \['loss'\] \(there is no validation\)",
        ),
        ({"targets": {"speed": 0.9}, "validation": POINTS}, ValueError, "targets has 'speed', expected one of"),
        ({"targets": float("nan")}, ValueError, "targets has nan for 'loss', expected a number"),
        ({"targets": {"loss": "low"}}, ValueError, "targets has 'l' for 'loss'"),
        ({"make_model": lambda: None}, TypeError, "make_model returned None, expected a Layer"),
        ({"make_model": L.Linear(2, 2)}, TypeError, r"make_model is Linear\(2, 2\), expected a function that makes a model"),
        ({"make_model": None}, TypeError, "make_model is None, expected a function that makes a model"),
        ({"validation": (np.zeros((0, 2)), np.zeros(0, int))}, ValueError, "validation has no batches"),
        ({"make_model": lambda: L.Tanh()}, ValueError, "make_model returned a model without parameters"),
        ({"train": (np.zeros((0, 2)), np.zeros(0, int))}, ValueError, "train has no batches"),
        ({"batch_size": 0}, ValueError, "batch_size: expected an integer of at least 1"),
    ],
)
def test_wrong_arguments(options, error, message):
    with pytest.raises(error, match=message):
        compare(**options)
