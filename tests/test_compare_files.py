"""What the laboratory writes: JSON that reads back equal, CSV, pictures and animations; whole or not at all."""

import csv
import json
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from tinynet import optim
from tinynet.compare import Comparison, Run, Target, surfaces, trajectories
from tinynet.compare.curves import centred
from tinynet.compare.pictures import COLOURS, STYLES, look

pytestmark = pytest.mark.cpu  # tables and files


def comparison():
    """Two optimizers, two rates, two seeds; one run diverges to infinity, one to NaN."""
    rng = np.random.default_rng(0)
    runs = []
    for label in ("SGD", "Adam"):
        for lr in (0.1, 1.0):
            for seed in (0, 1):
                losses = (rng.random(40) + np.linspace(2, 0.1, 40) / lr).tolist()
                looks = {"val_loss": [1.0, 0.5 + seed], "val_accuracy": [0.5, 0.75]}
                runs.append(Run(label, lr, seed, losses, np.linspace(0.01, 0.4, 40).tolist(), [20, 40], looks))
    for run, end in zip(runs[2:4], (np.inf, np.nan), strict=True):
        run.diverged, run.losses, run.seconds = 2, [2.5, end], [0.1, 0.2]
        run.evaluated, run.validation = [2], {"val_loss": [end], "val_accuracy": [0.1]}
    return Comparison(runs, steps=40, batch_size=8, targets=[Target("loss", 0.5), Target("val_accuracy", 0.6)])


def paths(steps=8):
    rules = {"SGD": lambda p: optim.SGD(p, lr=0.05), "far": lambda p: optim.SGD(p, lr=10.0), "Adam": optim.Adam}
    return trajectories(surfaces.oblong_bowl, rules, steps=steps)


# ----------------------------------------------------------------------------------------------------- JSON and CSV


def test_json_reads_back_equal(tmp_path):
    first = comparison()
    first.save(tmp_path / "a.json")
    again = Comparison.load(tmp_path / "a.json")
    assert repr(again.runs) == repr(first.runs)  # NaN, too
    assert again.targets == first.targets
    assert (again.steps, again.batch_size, again.window) == (40, 8, first.window)
    assert str(again.table(sweep=True)) == str(first.table(sweep=True))

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    json.loads((tmp_path / "a.json").read_text(), parse_constant=refuse)


def test_a_label_that_looks_like_a_number(tmp_path):
    Comparison([Run("nan", 0.1, 0, [1.0], [0.1])], steps=1, batch_size=1).save(tmp_path / "a.json")
    assert Comparison.load(tmp_path / "a.json").labels == ["nan"]


def test_csv_has_a_line_for_each_step(tmp_path):
    result = comparison()
    result.save(str(tmp_path / "a.csv"))
    with open(tmp_path / "a.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6 * 40 + 2 * 2
    assert list(rows[0]) == ["optimizer", "lr", "seed", "step", "seconds", "loss", "val_loss", "val_accuracy", "diverged"]
    for run in result.runs:
        mine = [
            row for row in rows if (row["optimizer"], float(row["lr"]), int(row["seed"])) == (run.label, run.lr, run.seed)
        ]
        assert repr([float(row["loss"]) for row in mine]) == repr(run.losses)
        assert [float(row["seconds"]) for row in mine] == run.seconds
        looked = [row for row in mine if row["val_loss"]]
        assert [int(row["step"]) for row in looked] == run.evaluated
        assert [float(row["val_accuracy"]) for row in looked] == run.validation["val_accuracy"]
        assert [int(row["step"]) for row in mine if row["diverged"] == "1"] == ([run.diverged] if run.diverged else [])


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("not JSON", "Expecting value"),
        ("[]", "indices must be integers"),
        ('{"format": "other"}', "its format is 'other'"),
        ('{"format": "tinynet comparison 1"}', "runs"),
        ('{"format": "tinynet comparison 1", "runs": [{"label": "A", "speed": 1}]}', "speed"),
    ],
)
def test_loading_something_else(tmp_path, content, problem):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(ValueError, match=rf"a\.json' is no comparison that tinynet has saved: .*{problem}"):
        Comparison.load(tmp_path / "a.json")


def test_loading_no_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        Comparison.load(tmp_path / "a.json")


# ------------------------------------------------------------------------------------------------- whole or not at all

WRITERS = {
    "save json": lambda path: comparison().save(f"{path}.json"),
    "save csv": lambda path: comparison().save(f"{path}.csv"),
    "plot": lambda path: comparison().plot(f"{path}.png"),
    "paths": lambda path: paths().plot(f"{path}.svg"),
    "animate": lambda path: paths().animate(f"{path}.gif"),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_is_replaced_in_one_step(name, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib", reason="the pictures need matplotlib: pip install 'tinynet[plot]'")
    WRITERS[name](tmp_path / "new")
    (file,) = tmp_path.iterdir()
    file.write_bytes(b"old")

    def fail(*arguments):
        raise OSError("no space left")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="no space left"):
        WRITERS[name](tmp_path / "new")
    assert list(tmp_path.iterdir()) == [file]
    assert file.read_bytes() == b"old"


@pytest.mark.parametrize("name", WRITERS)
def test_no_such_folder(name, tmp_path):
    pytest.importorskip("matplotlib", reason="the pictures need matplotlib: pip install 'tinynet[plot]'")
    with pytest.raises(FileNotFoundError, match=r"no folder .*nowhere"):
        WRITERS[name](tmp_path / "nowhere" / "a")


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (
            lambda path: comparison().save(path),
            r"Comparison\.save: path is '.*a\.txt', expected an ending of \.json or \.csv",
        ),
        (lambda path: comparison().plot(path), r"Comparison\.plot: path is .* expected an ending of \.png or \.svg"),
        (lambda path: paths(1).plot(path), r"Trajectories\.plot: path is .* expected an ending of \.png or \.svg"),
        (lambda path: paths(1).animate(path), r"Trajectories\.animate: path is .* expected an ending of \.gif"),
    ],
)
def test_another_ending_is_refused(write, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        write(tmp_path / "a.txt")
    assert not list(tmp_path.iterdir())


def test_without_matplotlib_the_error_says_what_to_install(tmp_path, monkeypatch):
    for name in ("matplotlib", "matplotlib.figure", "matplotlib.layout_engine"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
    for write in (comparison().plot, paths(1).plot):
        with pytest.raises(ImportError, match=r"a picture needs matplotlib, which pip install 'tinynet\[plot\]' brings"):
            write(tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------------------------------------------------- pictures


def texts(path):
    """What an SVG of matplotlib says, in its comments: it draws letters as shapes."""
    builder = ElementTree.TreeBuilder(insert_comments=True)
    tree = ElementTree.parse(path, ElementTree.XMLParser(target=builder))
    return [element.text.strip() for element in tree.iter() if element.tag is ElementTree.Comment]


def test_the_curves_say_what_they_show(tmp_path):
    pytest.importorskip("matplotlib", reason="the pictures need matplotlib: pip install 'tinynet[plot]'")
    comparison().plot(tmp_path / "a.svg")
    said = texts(tmp_path / "a.svg")
    for text in ("SGD, lr 0.1", "Adam, lr 1", "step", "learning rate", "diverged", "validation accuracy (%)",
                 "training loss, mean over 4 steps", "training loss, last 4 steps"):  # fmt: skip
        assert text in said
    for colour in COLOURS[:2]:
        assert colour.lower() in (tmp_path / "a.svg").read_text()


def test_curves_of_little(tmp_path):
    """One run of one step, without validation; all runs diverged; losses that are no positive numbers."""
    pytest.importorskip("matplotlib", reason="the pictures need matplotlib: pip install 'tinynet[plot]'")
    for name, run in {
        "one": Run("A", 0.1, 0, [1.0], [0.1]),
        "diverged": Run("A", 0.1, 0, [1.0, np.nan], [0.1, 0.2], diverged=2),
        "negative": Run("A", 0.1, 0, [1.0, -2.0], [0.1, 0.2], [2], {"val_loss": [-1.0]}),
    }.items():
        Comparison([run], steps=len(run.losses), batch_size=1).plot(tmp_path / f"{name}.svg")
    assert "A: diverged at every rate" in texts(tmp_path / "diverged.svg")
    assert "validation loss" in texts(tmp_path / "negative.svg")


@pytest.mark.parametrize("separate", [False, True])
def test_the_paths_say_what_they_show(tmp_path, separate):
    pytest.importorskip("matplotlib", reason="the pictures need matplotlib: pip install 'tinynet[plot]'")
    paths(30).plot(tmp_path / "a.svg", separate=separate)
    said = texts(tmp_path / "a.svg")
    assert said.count("SGD") == said.count("far (diverged)") == said.count("Adam") == 1 + separate
    assert "oblong bowl, condition 25" in said
    assert "step" in said


def test_paths_over_a_function_of_the_user(tmp_path):
    pytest.importorskip("matplotlib", reason="the pictures need matplotlib: pip install 'tinynet[plot]'")
    found = trajectories(lambda x: x[0].sin() + x[1].cos() - 1, {"SGD": optim.SGD}, start=(1, 1), steps=20)
    found.plot(tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_paths_that_stay_where_they_are(tmp_path):
    pytest.importorskip("matplotlib", reason="the pictures need matplotlib: pip install 'tinynet[plot]'")
    found = trajectories(surfaces.rosenbrock, {"SGD": optim.SGD}, start=(1, 1), steps=3, lrs=0.001)
    assert set(found.values["SGD"]) == {0.0}
    found.plot(tmp_path / "a.svg")  # a warning of matplotlib's would be an error


def test_the_animation_grows_and_ends_with_everything(tmp_path):
    image_module = pytest.importorskip("PIL.Image", reason="the pictures need matplotlib: pip install 'tinynet[plot]'")
    paths(8).animate(tmp_path / "a.gif", fps=20)
    with image_module.open(tmp_path / "a.gif") as image:
        assert image.n_frames == 9
        assert image.info["loop"] == 0
        frames, pauses = [], []
        for i in range(image.n_frames):
            image.seek(i)
            frames.append(np.array(image.convert("RGB")).astype(int))
            pauses.append(image.info["duration"])
    assert pauses == [50] * 8 + [2000]
    blue = np.array([int(COLOURS[0][i : i + 2], 16) for i in (1, 3, 5)])
    painted = [int((abs(frame - blue).sum(axis=2) == 0).sum()) for frame in frames]
    assert painted[0] < painted[4] < painted[8]  # exactly its colour, not one that the palette has made of it
    paths(8).animate(tmp_path / "b.gif", separate=True, frames=3)
    with image_module.open(tmp_path / "b.gif") as image:
        assert image.n_frames == 3


def test_the_curve_is_the_mean_around_each_step():
    losses = np.random.default_rng(0).random(30)
    expected = [losses[i - min(3, i) : i + min(3, i) + 1].mean() for i in range(30)]
    np.testing.assert_allclose(centred(losses.tolist(), 7), expected, rtol=1e-12)
    assert centred([2.0, 1.0], 1).tolist() == [2.0, 1.0]


def test_no_two_lines_look_alike():
    count = len(COLOURS) * len(STYLES)
    assert len({tuple(look(i).values()) for i in range(count)}) == count
