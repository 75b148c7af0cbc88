"""weight_paths: the weights are those of training by hand, the plane is that of their principal components."""

import numpy as np
import pytest

import tinynet as tn
from tinynet import functions as F
from tinynet import layers as L
from tinynet import optim
from tinynet.backend import random_state
from tinynet.compare import weight_paths
from tinynet.compare.weights import Plane, put, taken

POINTS = tn.datasets.TwoMoons(100)
RULES = {"SGD": lambda params, lr: optim.SGD(params, lr=lr), "Adam": lambda params, lr: optim.Adam(params, lr=lr)}


def make_model():
    return tn.Sequential(L.Linear(2, 4), L.Tanh(), L.Linear(4, 2))


def follow(rules=RULES, **options):
    options = {"make_model": make_model, "lrs": 0.1, "batch_size": 20, "snapshots": 5, "progress": False, **options}
    return weight_paths(options.pop("make_model"), rules, options.pop("train", POINTS), **options)


def by_hand(rule, epochs, seed=0):
    """The weights after every step, and the last model."""
    tn.manual_seed(seed)
    model = make_model()
    optimizer, found = rule(model, 0.1), [taken(model)]
    loader = tn.data.DataLoader(POINTS, 20, shuffle=True, seed=seed)
    for _ in range(epochs):
        for x, y in loader:
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
            found.append(taken(model))
    return np.array(found), model


def test_the_weights_are_those_of_training_by_hand():
    found = follow(epochs=2, seed=1, sample=100)
    for label, rule in RULES.items():
        weights, model = by_hand(rule, 2, seed=1)
        assert found.steps[label].tolist() == [0, 1, 2, 6, 10]  # closer together at the beginning
        np.testing.assert_array_equal(found.weights[label], weights[[0, 1, 2, 6, 10]])
        assert found.values[label][-1] == pytest.approx(model.evaluate(POINTS)["loss"], rel=1e-5)
    np.testing.assert_array_equal(found.weights["SGD"][0], found.weights["Adam"][0])
    assert found.lrs == {"SGD": 0.1, "Adam": 0.1}


def test_taken_and_put():
    model, other = make_model(), make_model()
    put(other, taken(model))
    for p, q in zip(model.parameters(), other.parameters(), strict=True):
        np.testing.assert_array_equal(p.numpy(), q.numpy())
        assert p.dtype == q.dtype == np.float32


def test_the_plane_holds_every_end_of_a_model_with_two_weights():
    """There the plane is all there is: coordinates and weights say the same, and the contours are the loss itself."""
    x = np.random.default_rng(0).standard_normal((40, 2)).astype(np.float32)
    y = x @ np.array([[1.0], [-2.0]], np.float32)
    options = {"make_model": lambda: L.Linear(2, 1, bias=False), "train": (x, y), "loss": F.mse_loss, "epochs": 3}
    found = follow(**options, sample=40)
    assert sum(found.plane.share) == pytest.approx(1, abs=1e-6)
    for label, path in found.paths.items():
        np.testing.assert_allclose(found.plane.weights(path), found.weights[label], atol=1e-6)
        np.testing.assert_allclose([found.surface(p) for p in path], found.values[label], rtol=1e-4)


def test_the_plane_is_that_of_the_principal_components():
    rng = np.random.default_rng(0)
    points = rng.standard_normal((30, 6)) * [5, 3, 1, 0.5, 0.2, 0.1]
    plane = Plane(points, points[-3:], points[0])
    centred = points - points.mean(axis=0)
    values, vectors = np.linalg.eigh(centred.T @ centred)
    np.testing.assert_allclose(plane.share, values[::-1][:2] / values.sum())
    np.testing.assert_allclose(plane.directions @ plane.directions.T, np.eye(2), atol=1e-12)
    for mine, theirs in zip(plane.directions, vectors.T[::-1], strict=False):
        assert abs(mine @ theirs) == pytest.approx(1)
    np.testing.assert_allclose(plane.point(plane.weights([[1.0, -2.0]])), [[1.0, -2.0]])
    assert ((plane.point(points[-3:]) - plane.point(points[0])).mean(axis=0) >= 0).all()
    best = ((points - plane.weights(plane.point(points))) ** 2).sum()
    assert best == pytest.approx(values[:-2].sum())  # no other plane is nearer to all points


def test_an_optimizer_that_diverges_does_not_spoil_the_plane():
    x = np.linspace(-1, 1, 40, dtype=np.float32)[:, None]
    options = {"make_model": lambda: L.Linear(1, 1), "train": (x, 3 * x), "loss": F.mse_loss, "epochs": 20}
    alone = follow({"SGD": RULES["SGD"]}, **options)
    both = follow({"SGD": RULES["SGD"], "wild": RULES["SGD"]}, **options, lrs={"SGD": 0.1, "wild": 100.0})
    assert list(both.diverged) == ["wild"]
    assert "(diverged)" in str(both.table())
    np.testing.assert_array_equal(both.plane.directions, alone.plane.directions)
    assert np.isfinite(both.weights["wild"]).all()
    with pytest.raises(ValueError, match=r"weight_paths: every optimizer diverged: wild at step \d+"):
        follow({"wild": RULES["SGD"]}, **options, lrs=100.0)


def test_weights_that_stand_still():
    found = follow({"SGD": RULES["SGD"]}, loss=lambda outputs, targets: (outputs * 0).sum())
    assert found.plane.share.tolist() == [0.0, 0.0]
    assert not found.diverged


def test_rates():
    """A dict such as ``Comparison.best()`` gives; none where the optimizers have their own."""
    assert follow(lrs={"SGD": 0.5, "Adam": 0.01}).lrs == {"SGD": 0.5, "Adam": 0.01}
    assert follow({"SGD": lambda params: optim.SGD(params, lr=0.1)}, lrs=None).lrs == {"SGD": None}


def test_twice_the_same_and_the_users_random_state_as_it_was():
    tn.manual_seed(9)
    tn.randn(2)
    before = random_state()
    first, second = follow(), follow()
    assert random_state() == before
    for label in RULES:
        np.testing.assert_array_equal(first.paths[label], second.paths[label])
        np.testing.assert_array_equal(first.values[label], second.values[label])


def test_pictures(tmp_path):
    pytest.importorskip("matplotlib", reason="the pictures need matplotlib: pip install 'tinynet[plot]'")
    found = follow()
    found.plot(tmp_path / "a.svg")
    found.animate(tmp_path / "a.gif")
    text = (tmp_path / "a.svg").read_text()
    assert f"1st principal component ({100 * found.plane.share[0]:.0f}%)" in text
    assert "the loss on the plane of 22 weights" in text
    assert len(found._grounds) == 1  # the loss over the plane is computed once


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"rules": {}}, ValueError, "weight_paths: optimizers is empty"),
        ({"lrs": None}, ValueError, r"weight_paths: optimizers\['SGD'\] takes a learning rate; pass lrs"),
        ({"lrs": [0.1, 0.2]}, ValueError, "lrs has 2 rates for 'SGD', expected one"),
        ({"lrs": {"SGD": 0.1}}, ValueError, "lrs has no rates for 'Adam'"),
        ({"lrs": {"SGD": 0.1, "Adam": None}}, (TypeError, ValueError), "lrs of 'Adam'"),
        ({"epochs": 0}, ValueError, "epochs: expected an integer of at least 1"),
        ({"snapshots": 1}, ValueError, "snapshots: expected an integer of at least 2"),
        ({"sample": 0}, ValueError, "sample: expected an integer of at least 1"),
        ({"make_model": lambda: L.Linear(1, 1, bias=False)}, ValueError, "a model of 1 weight has no plane"),
    ],
)
def test_wrong_arguments(options, error, message):
    with pytest.raises(error, match=message):
        follow(**options)
