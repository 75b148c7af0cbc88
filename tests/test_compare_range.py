"""The range test: the rates that it tries, the average it watches, where it ends, what it suggests."""

import numpy as np
import pytest

import tinynet as tn
from tinynet import functions as F
from tinynet import layers as L
from tinynet import optim
from tinynet.backend import random_state
from tinynet.compare import RangeTest, learning_rate_range_test

POINTS = tn.datasets.TwoMoons(100)


def make_model():
    return tn.Sequential(L.Linear(2, 8), L.Tanh(), L.Linear(8, 2))


def search(optimizer=optim.SGD, **options):
    options = {"make_model": make_model, "train": POINTS, "batch_size": 20, "progress": False, **options}
    return learning_rate_range_test(options.pop("make_model"), optimizer, options.pop("train"), **options)


def test_the_losses_are_those_of_training_by_hand_with_a_rising_rate():
    found = search(start=1e-3, end=1.0, steps=13, seed=2)
    assert found.exploded is None
    np.testing.assert_allclose(found.lrs, 1e-3 * 1000 ** (np.arange(13) / 12), rtol=1e-12)
    tn.manual_seed(2)
    model, losses = make_model(), []
    optimizer = optim.SGD(model, lr=1.0)
    loader = tn.data.DataLoader(POINTS, 20, shuffle=True, seed=2)
    for x, y in [*loader, *loader, *loader][:13]:  # 5 batches an epoch
        optimizer.lr = found.lrs[len(losses)]
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    np.testing.assert_array_equal(found.losses, losses)
    average = 0.0
    for t, (loss, smoothed) in enumerate(zip(losses, found.smoothed, strict=True), 1):
        average = 0.9 * average + 0.1 * loss
        assert smoothed == pytest.approx(average / (1 - 0.9**t), rel=1e-12)


def test_it_ends_when_the_loss_has_exploded():
    x = np.linspace(-1, 1, 40, dtype=np.float32)[:, None]
    found = search(train=(x, 3 * x), make_model=lambda: L.Linear(1, 1), loss=F.mse_loss, end=1e6)
    assert found.exploded == found.lrs[-1] < 1e5
    assert found.smoothed[-1] > 4 * found.smoothed.min()
    assert (found.smoothed[:-1] <= 4 * np.minimum.accumulate(found.smoothed)[:-1]).all()
    assert 0.01 < found.suggestion < found.lowest < found.exploded
    assert len(found.lrs) == len(found.losses) < 200


def test_negative_losses_explode_no_sooner():
    """A log density is one, and was said to explode at its first step."""
    plain = search(steps=30)
    assert plain.exploded is None
    below = search(steps=30, loss=lambda outputs, targets: F.cross_entropy(outputs, targets) - 5.0)
    assert below.exploded is None
    np.testing.assert_allclose(below.losses, plain.losses - 5.0, rtol=1e-4)
    assert (below.suggestion, below.lowest) == (plain.suggestion, plain.lowest)


def test_a_first_loss_that_is_no_number():
    inputs, targets = POINTS.arrays
    found = search(train=(inputs * np.nan, targets))
    assert (len(found.lrs), found.suggestion, found.exploded) == (1, None, found.lrs[0])
    assert "exploded" in str(found)


def test_what_it_suggests():
    """The middle of the steepest fall against the logarithm of the rate, up to the lowest point."""
    lrs = np.geomspace(1e-4, 1e2, 61)  # ten a decade
    curve = 2 - np.tanh(2 * np.log10(lrs / 1e-2)) + np.maximum(0, np.log10(lrs)) ** 2
    found = RangeTest(lrs.tolist(), curve.tolist(), curve.tolist(), exploded=None)
    assert found.suggestion == pytest.approx(1e-2)
    assert found.lowest == lrs[curve.argmin()] == pytest.approx(1, abs=0.3)
    early = [5.0, 3.0, *curve[2:].tolist()]  # the first average is of one loss, and may be anything
    assert RangeTest(lrs.tolist(), early, early, exploded=None).suggestion == found.suggestion
    flat = RangeTest(lrs.tolist(), [1.0] * 61, [1.0] * 61, exploded=None)
    assert flat.suggestion is None
    ended = RangeTest(lrs.tolist(), [1.0] * 61, [*curve[:30], *[np.nan] * 31], exploded=lrs[30])
    assert ended.suggestion == found.suggestion
    assert ended.lowest == lrs[29]
    nothing = RangeTest(lrs.tolist(), [np.nan] * 61, [np.nan] * 61, exploded=lrs[0])
    assert nothing.suggestion is None


def test_table_and_repr():
    found = search(end=1000.0)
    rows = {row["what"]: row for row in found.table().rows}
    assert list(rows) == ["suggestion", "lowest loss", "exploded"]
    assert rows["lowest loss"]["lr"] == found.lowest
    assert rows["lowest loss"]["loss"] == found.smoothed.min()
    assert f"{found.suggestion:.3g}" in str(found.table())
    assert str(found.table()) in repr(found)
    assert str(search(end=1e-5).table()).splitlines()[3].split() == ["exploded", "–", "–"]


def test_the_users_random_state_stays_as_it_is():
    tn.manual_seed(3)
    tn.randn(2)
    before = random_state()
    assert search().losses.tolist() == search().losses.tolist()
    assert random_state() == before


def test_the_picture(tmp_path):
    pytest.importorskip("matplotlib", reason="the pictures need matplotlib: pip install 'tinynet[plot]'")
    search(end=1000.0).plot(tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    lrs = (10.0 ** np.arange(-4, 4)).tolist()
    RangeTest(lrs, [np.nan] * 8, [np.nan] * 8, exploded=lrs[0]).plot(tmp_path / "b.svg")
    with pytest.raises(ValueError, match=r"RangeTest\.plot: path is .* expected an ending of \.png or \.svg"):
        search().plot(tmp_path / "a.gif")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"start": 0.0}, ValueError, r"learning_rate_range_test: start is 0\.0, expected a positive number"),
        ({"end": float("nan")}, ValueError, "end is nan, expected a positive number"),
        ({"start": 1.0, "end": 0.1}, ValueError, r"start is 1\.0 and end 0\.1, expected start to be the smaller one"),
        ({"steps": 5}, ValueError, "steps: expected an integer of at least 10, got 5"),
        ({"optimizer": 0.1}, TypeError, r"optimizer is 0\.1, expected a function"),
        ({"optimizer": lambda params, lr: None}, TypeError, r"\['optimizer'\] returned None, expected an optimizer"),
        ({"make_model": list}, TypeError, r"learning_rate_range_test: make_model returned \[\], expected a Layer"),
    ],
)
def test_wrong_arguments(options, error, message):
    with pytest.raises(error, match=message):
        search(**options)
