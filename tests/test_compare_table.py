"""compare_optimizers: runs that diverge, which rate is the best, and the table."""

import numpy as np
import pytest
from comparisons import POINTS, compare

from tinynet import functions as F
from tinynet import layers as L
from tinynet import optim
from tinynet.compare import Comparison, Run, Target
from tinynet.compare.run import smoothed
from tinynet.compare.start import LRS, exploded

# ------------------------------------------------------------------------------------------------------- divergence


@pytest.mark.parametrize(
    ("loss", "first", "expected"),
    [(999.0, 0.5, False), (1001.0, 0.5, True), (1001.0, 2.0, False), (2001.0, -2.0, True), (np.nan, 1.0, True),
     (np.inf, 1.0, True), (-np.inf, 1.0, True), (-1e9, 1.0, False)],
)  # fmt: skip
def test_what_counts_as_exploded(loss, first, expected):
    assert exploded(loss, first) is expected


def test_a_run_that_diverges_is_stopped_and_shown():
    x = np.linspace(-1, 1, 40, dtype=np.float32)[:, None]
    result = compare(
        {"SGD": optim.SGD, "Momentum": optim.Momentum},
        train=(x, 3 * x),
        validation=(x, 3 * x),
        make_model=lambda: L.Linear(1, 1),
        loss=F.mse_loss,
        lrs={"SGD": [0.1, 10.0], "Momentum": [1e6]},
        epochs=40,
        targets=[100.0],
        evaluate_every=1000,
    )
    good, bad, worst = result.runs
    assert good.diverged is None
    assert len(good.losses) == 80
    assert 1 < bad.diverged == len(bad.losses) == len(bad.seconds) < 80
    assert bad.losses[-1] > 1000 * max(bad.losses[0], 1)
    assert max(bad.losses[:-1]) <= 1000 * max(bad.losses[0], 1)
    assert result.best() == {"SGD": 0.1, "Momentum": None}
    assert result.score("SGD", 10.0) == np.inf
    row = result.table().rows[1]
    assert row["diverged"] == row["seeds"] == 1
    assert np.isnan(row["loss"])
    assert row["lr"] is row["steps to loss 100"] is None
    assert f"diverged at step {worst.diverged}" in str(result.table()).splitlines()[2]
    assert f"diverged at step {bad.diverged}" in str(result.table(sweep=True)).splitlines()[2]


def test_a_run_that_overflows_warns_nobody_and_ends_at_the_first_bad_loss():
    huge = compare({"SGD": optim.SGD}, lrs=1e30, epochs=30, validation=POINTS).runs[0]
    assert huge.diverged == len(huge.losses) <= 4
    assert exploded(huge.losses[-1], huge.losses[0])


def test_divergence_found_by_the_validation():
    """The last step's update ruins the weights, which no training loss has seen."""
    run = compare({"SGD": optim.SGD}, lrs=1e30, batch_size=60, validation=POINTS).runs[0]
    assert run.diverged == 1
    assert not exploded(run.losses[0], run.losses[0])
    assert exploded(run.validation["val_loss"][0], run.losses[0])


def test_some_seeds_diverge():
    runs = [Run("A", lr, seed, [1.0, 0.5], [0.1, 0.2]) for lr in (0.1, 1.0) for seed in (0, 1)]
    runs[2].losses[-1], runs[3].diverged = 0.1, 2
    result = Comparison(runs, steps=2, batch_size=1)
    assert result.best() == {"A": 0.1}
    assert "0.1000 (1 of 2 diverged)" in str(result.table(sweep=True))


# -------------------------------------------------------------------------------------------- the best, the table


def made(losses, **options):
    """A comparison of runs with the losses given as {(label, lr): [of seed 0, of seed 1, ...]}."""
    runs = [
        Run(label, lr, seed, list(values), [0.5 * (i + 1) for i in range(len(values))])
        for (label, lr), seeds in losses.items()
        for seed, values in enumerate(seeds)
    ]
    return Comparison(runs, steps=max(len(run.losses) for run in runs), batch_size=8, **options)


def test_best_is_the_lowest_loss_at_the_end():
    result = made(
        {("A", 0.1): [[3, 2], [3, 2]], ("A", 0.2): [[3, 1], [3, 2]], ("A", 0.3): [[1, 4], [1, 4]], ("B", 1.0): [[2, 2]]}
    )
    assert result.best() == {"A": 0.2, "B": 1.0}
    assert result.labels == ["A", "B"]
    assert result.lrs("A") == [0.1, 0.2, 0.3]
    tie = made({("A", 0.2): [[1.0]], ("A", 0.1): [[1.0]]})
    assert tie.best() == {"A": 0.1}


def test_best_by_validation():
    result = made({("A", 0.1): [[1.0]], ("A", 0.2): [[2.0]]})
    for run, accuracy, loss in zip(result.runs, (0.8, 0.9), (0.5, 0.6), strict=True):
        run.evaluated, run.validation = [1], {"val_loss": [loss], "val_accuracy": [accuracy]}
    assert result.best("val_accuracy") == {"A": 0.2}
    assert result.best("val_loss") == result.best() == {"A": 0.1}
    with pytest.raises(ValueError, match=r"best: by is 'accuracy', expected one of \['loss', 'val_loss', 'val_accuracy'\]"):
        result.best("accuracy")


def test_the_loss_is_the_mean_of_the_last_tenth():
    falling = [float(x) for x in range(50, 0, -1)]
    assert made({("A", 1.0): [falling]}).table().rows[0]["loss"] == 3.0  # of 5, 4, 3, 2, 1
    assert [made({("A", 1.0): [[0.0] * n]}).window for n in (1, 19, 20, 999, 5000)] == [1, 1, 2, 99, 100]


def test_smoothed_is_the_mean_of_the_last_losses():
    losses = np.random.default_rng(0).random(30)
    expected = [losses[max(0, i - 6) : i + 1].mean() for i in range(30)]
    np.testing.assert_allclose(smoothed(list(losses), 7), expected, rtol=1e-12)


def test_targets_steps_and_seconds():
    losses = [8.0] * 10 + [4.0] * 10 + [0.0] * 10  # a window of 3
    result = made(
        {("A", 1.0): [losses, [*losses[1:], 0.0]], ("B", 1.0): [losses, [8.0] * 30]}, targets=[Target("loss", 4.0)]
    )
    a, b = result.table().rows
    assert a["steps to loss 4"] == (13 + 12) / 2
    assert a["seconds to loss 4"] == (6.5 + 6.0) / 2
    assert b["steps to loss 4"] is b["seconds to loss 4"] is None
    assert "12 (6.2 s)" in str(result.table())


def test_targets_in_every_form():
    options = {"validation": POINTS, "epochs": 2}
    forms = [0.5, [0.5], {"loss": 0.5}, (np.float32(0.5),), {"loss": [0.5, 0.5]}]
    assert {compare(targets=form, **options).targets for form in forms} == {(Target("loss", 0.5),)}
    mixed = compare(targets=[0.5, {"accuracy": 0.9, "val_loss": (0.4, 0.3)}], **options).targets
    assert [str(target) for target in mixed] == ["loss 0.5", "val_accuracy 0.9", "val_loss 0.4", "val_loss 0.3"]
    assert compare(targets=()).targets == ()


def test_spread_over_the_seeds():
    row = made({("A", 1.0): [[1.0], [2.0], [4.0]]}).table().rows[0]
    assert row["loss"] == pytest.approx(7 / 3)
    assert row["loss_spread"] == pytest.approx(np.std([1, 2, 4], ddof=1))


def test_one_run_that_was_held_up_does_not_spoil_the_seconds():
    result = made({("A", 1.0): [[1.0]] * 3}, targets=[Target("loss", 1.0)])
    result.runs[1].seconds[-1] = 60.0
    row = result.table().rows[0]
    assert row["seconds"] == row["seconds to loss 1"] == 0.5


def test_the_table_as_text_rows_and_html():
    result = compare(lrs=[0.01, 1.0], epochs=2, seeds=(0, 1), validation=POINTS, targets=0.69)
    table = result.table()
    head, sgd, adam, *notes = str(table).splitlines()
    assert head.split("  ")[0] == "optimizer"
    for title in ("lr", "train loss", "val loss", "val accuracy", "steps to loss 0.69", "seconds"):
        assert title in head
    assert len({len(line) for line in (head, sgd, adam)}) == 1
    assert sgd.split()[:2] == ["SGD", "1*"]
    assert "±" in sgd
    assert notes[0].startswith("train loss: mean of the last 1 of 6 steps of 20, over 2 seeds")
    assert notes[1].startswith("* the lowest or highest rate tried")
    assert [row["optimizer"] for row in table.rows] == ["SGD", "Adam"]
    assert f"{table.rows[0]['val_accuracy']:.2%}" in sgd
    assert len(result.table(sweep=True).rows) == 4
    assert repr(table) == str(table)
    assert str(table) in repr(result)
    page = table.html()
    assert page.count("<tr>") == 3
    assert "<td>SGD</td>" in page
    assert page == table._repr_html_()


def test_labels_are_escaped_in_html():
    assert "<td>A &lt; B</td>" in made({("A < B", 1.0): [[1.0]]}).table().html()


def test_the_default_rates():
    result = compare({"SGD": optim.SGD}, lrs=None)
    assert result.lrs("SGD") == list(LRS)
    assert LRS[0] == 1e-4
    assert LRS[-1] == 1.0


@pytest.mark.parametrize("lrs", [0.1, np.float64(0.1), [0.1], (0.1,), {"SGD": 0.1, "Adam": [0.1]}, np.array([0.1])])
def test_rates_in_every_form(lrs):
    assert [run.lr for run in compare(lrs=lrs).runs] == [0.1, 0.1]
