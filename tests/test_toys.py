"""The toy sets: where their points lie, and that a small network learns them."""

import numpy as np
import pytest

import tinynet as tn
from tinynet import layers as L
from tinynet.datasets import Blobs, Spiral, TwoMoons

TOYS = [Spiral, TwoMoons, Blobs]


@pytest.mark.parametrize("toy", TOYS)
def test_shapes_dtypes_and_balance(toy):
    data = toy(100)
    assert data.inputs.shape == (100, 2)
    assert data.inputs.dtype == np.float32
    assert data.targets.dtype == np.int64
    counts = np.bincount(data.targets)
    assert counts.max() - counts.min() <= 1
    point, target = data[99]
    np.testing.assert_array_equal(point, data.inputs[99])
    assert target == data.targets[99]
    assert repr(data).startswith(toy.__name__)
    assert len(toy(0)) == 0


@pytest.mark.parametrize("toy", TOYS)
def test_the_seed_decides_and_nothing_else(toy):
    np.testing.assert_array_equal(toy(50, seed=3).inputs, toy(50, seed=3).inputs)
    assert not np.array_equal(toy(50, seed=3).inputs, toy(50, seed=4).inputs)


def test_points_without_noise_lie_on_their_curves():
    spiral = Spiral(90, classes=3, noise=0.0)
    radius = np.hypot(*spiral.inputs.T)
    angle = np.arctan2(*spiral.inputs.T[::-1])
    turns = (angle / (2 * np.pi) - radius - spiral.targets / 3 + 0.5) % 1 - 0.5  # an angle counts up to whole turns
    np.testing.assert_allclose(turns, 0, atol=1e-5)

    moons = TwoMoons(90, noise=0.0)
    centres = np.array([[0.0, 0.0], [1.0, 0.5]])[moons.targets]
    from_centre = moons.inputs - centres
    np.testing.assert_allclose(np.hypot(*from_centre.T), 1, atol=1e-6)
    assert (from_centre[moons.targets == 0, 1] >= 0).all()
    assert (from_centre[moons.targets == 1, 1] <= 1e-7).all()

    blobs = Blobs(90, classes=3, features=5, spread=0.0)
    assert len(np.unique(blobs.inputs, axis=0)) == 3
    assert (np.abs(blobs.inputs) <= 5).all()


def test_a_blob_has_its_spread():
    data = Blobs(20_000, classes=1, spread=2.0)
    np.testing.assert_allclose(data.inputs.std(axis=0), 2.0, rtol=0.03)


@pytest.mark.parametrize("toy", TOYS)
def test_a_small_network_learns_them(toy):
    tn.manual_seed(0)
    data = toy(300)
    net = tn.Sequential(L.Linear(2, 64), L.ReLU(), L.Linear(64, 64), L.ReLU(), L.Linear(64, 3))
    net.fit(data, optimizer=tn.optim.Adam(net, lr=0.01), epochs=40, batch_size=32, progress=False)
    assert net.evaluate(data)["accuracy"] > 0.95


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Spiral(-1), "samples: expected an integer of at least 0, got -1"),
        (lambda: Spiral(10, classes=0), "classes: expected an integer of at least 1, got 0"),
        (lambda: Spiral(10, noise=-0.1), "noise: expected a number of at least 0, got -0.1"),
        (lambda: TwoMoons(10, noise=float("nan")), "noise: expected a number of at least 0, got nan"),
        (lambda: Blobs(10, features=0), "features: expected an integer of at least 1, got 0"),
        (lambda: Blobs(10, spread=-1), "spread: expected a number of at least 0, got -1"),
    ],
)
def test_wrong_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
