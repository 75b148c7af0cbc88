"""Model.plot: what stands in the drawing, and that nothing in it lies on anything else."""

import re
import subprocess
import sys
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from drawings import SVG, Drawing
from drawn_models import MODELS, ResNet, mlp

import tinynet as tn
from tinynet import functions as F
from tinynet import layers as L
from tinynet.graph import svg, text_width

pytestmark = pytest.mark.cpu  # drawings


def draw(name):
    make, shape, keywords = MODELS[name]
    return Drawing(svg(make(), shape, **keywords))


@pytest.mark.parametrize("name", MODELS)
def test_nothing_lies_on_anything_else(name):
    drawing = draw(name)
    drawing.check()
    assert drawing.boxes
    assert len(drawing.kinds["end"]) >= 2


def test_an_mlp():
    model = mlp()
    drawing = Drawing(svg(model, (28, 28)))
    boxes = [box.texts for box in sorted(drawing.boxes, key=lambda box: box.y)]
    assert boxes == [
        ("input",),
        ("Flatten()", "0"),
        ("Linear(784, 32)", "1 · 25,120 parameters"),
        ("ReLU()", "2"),
        ("Linear(32, 16)", "3 · 528 parameters"),
        ("Dropout(0.1)", "4"),
        ("Linear(16, 10)", "5 · 170 parameters"),
        ("output",),
    ]
    shapes = [label.texts[0] for label in sorted(drawing.labels, key=lambda label: label.y)]
    assert shapes == ["(N, 28, 28)", "(N, 784)", "(N, 32)", "(N, 32)", "(N, 16)", "(N, 16)", "(N, 10)"]
    assert np.ptp([box.x + box.width / 2 for box in drawing.boxes]) < 0.2, "a chain is a straight line"
    assert len(drawing.wires) == len(drawing.heads) == 7
    assert drawing.texts[:2] == ["Sequential", "25,818 parameters · N: samples in a batch"]
    assert len(drawing.kinds["layer trained"]) == 3
    assert drawing.root.find(f"{SVG}title").text == "Sequential: the graph of its forward pass"
    assert "Layers called: Sequential, 0, 1, 2, 3, 4, 5." in drawing.root.find(f"{SVG}desc").text
    tips = [t.text for t in drawing.root.iter(f"{SVG}title")]
    assert "1: Linear(784, 32)\nweight (32, 784)\nbias (32,)" in tips


def test_a_residual_network():
    drawing = draw("resnet")
    assert len(drawing.frames) == 6
    outer = [frame for frame in drawing.frames if frame.texts[0] == "Residual"]
    assert [frame.texts[1] for frame in outer] == [f"blocks.{i} · 152 parameters" for i in range(3)]
    for frame in outer:
        inside = sorted((box for box in drawing.boxes if frame.contains(box)), key=lambda box: box.y)
        names = [box.texts[0] for box in inside]
        assert names == ["Linear(8, 8)", "ReLU()", "Linear(8, 8)", "mul", "add", "relu"]
        assert inside[3].texts[1] == "scale (8,)"
        into = [
            x for x, y in drawing.heads if abs(y - inside[4].y) < 0.1 and inside[4].x < x < inside[4].x + inside[4].width
        ]
        assert len(into) == 2, "the sum has two arrows"
        assert inside[4].x + inside[4].width / 2 == pytest.approx(min(into), abs=0.2), "one of them comes straight down"
    centres = [box.x + box.width / 2 for box in drawing.boxes]
    assert np.ptp(centres) < 0.2, "and the way through all blocks is one straight line"


def test_depth():
    assert [box.texts for box in draw("resnet, closed").kinds["layer trained"]] == [("ResNet()", "6,826 parameters")]
    one = draw("resnet, one level")
    assert not one.frames
    assert [box.texts[0] for box in one.boxes if "Residual()" in box.texts] == ["Residual()"] * 3
    dropout = Drawing(svg(mlp(), (28, 28), depth=9))
    assert [box.texts for box in dropout.kinds["layer"]] == [("Dropout(0.1)", "4")], "in which nothing happens: a box"
    deep = draw("resnet, all ops")
    assert not [kind for kind in deep.kinds if kind.startswith("layer")]
    assert ("linear", "weight (8, 8), bias (8,)") in [box.texts for box in deep.kinds["op"]]
    assert [frame.texts[0] for frame in deep.frames].count("Linear(8, 8)") == 6


def test_several_inputs_and_outputs():
    drawing = draw("two")
    assert sorted(box.texts[0] for box in drawing.kinds["end"]) == ["input ids", "input image", "output 1", "output 2"]
    labels = [label.texts[0] for label in drawing.labels]
    assert {"(N, 12)", "(N, 1, 28, 28)", "(N, 12, 16)", "(N, 16, 12)", "(N, 12, 12)", "(N, 32)", "(N, 5)"} <= set(labels)
    assert ("getitem", "table (100, 16)") in [box.texts for box in drawing.kinds["op"]]
    (getitem,) = [box for box in drawing.kinds["op"] if "table (100, 16)" in box.texts]
    assert any(abs(y - getitem.y) < 0.1 for _, y in drawing.heads), "the ids lead to where they pick"


def test_every_layer_that_is_called_is_named():
    for name, (make, shape, keywords) in MODELS.items():
        if "depth" not in keywords and name not in ("empty", "language"):  # in a closed attention there is a Linear
            model = make()
            drawing = Drawing(svg(model, shape, **keywords))
            small = [text.split(" · ")[0] for text in drawing.texts]
            for path, layer in ((p, layer) for p, layer in L.layer.walk(model) if isinstance(layer, tn.Layer)):
                inner = [path[i:] for i in range(len(path)) if i == 0 or path[i - 1] == "."]
                assert any(p in small for p in inner), (name, path)
                assert any(text.startswith(type(layer).__name__) for text in drawing.texts)


def test_a_batch_axis_wherever_it_is_and_whatever_it_was_merged_with():
    class Model(tn.Model):
        def forward(self, x):
            x = F.concatenate([x.transpose((1, 0, 2)).reshape(-1, 2, 4), F.ones_like(x[:1]) if False else tn.ones(1, 2, 4)])
            return x.sum(axis=(1, 2)), x.sum()

    labels = [label.texts[0] for label in Drawing(svg(Model(), (6, 4))).labels]
    assert labels == ["(N, 6, 4)", "(6, N, 4)", "(3N, 2, 4)", "(3N+1, 2, 4)", "(3N+1,)", "()"]


def test_a_model_that_does_something_else_for_another_batch():
    class Model(tn.Model):
        def forward(self, x):
            return x if len(x) == 1 else x * 2

    assert [label.texts[0] for label in Drawing(svg(Model(), (6, 4))).labels] == ["(1, 6, 4)"] * 2


def test_numbers_and_names_in_ops():
    class Model(tn.Model):
        def __init__(self):
            self.register_buffer("mean", np.zeros(3, "float32"))

        def forward(self, x):
            return F.clip((x - self.mean) * 0.5, -1.0, 1.0)

    drawing = Drawing(svg(Model(), 3))
    assert [box.texts for box in drawing.kinds["op"]] == [("sub", "mean (3,)"), ("mul", "0.5"), ("clip",)]
    tips = [t.text for t in drawing.root.iter(f"{SVG}title")]
    assert any(re.fullmatch(r"clip\(.*-1.0.*1.0\)", tip) for tip in tips)


def test_text_is_escaped():
    class Model(tn.Model):
        def __init__(self):
            self.table = {"<a> & b": L.Linear(2, 2)}
            self.f = L.Lambda(lambda x: x * 2)

        def forward(self, x):
            return self.f(self.table["<a> & b"](x))

    texts = Drawing(svg(Model(), 2)).texts
    assert "table.<a> & b · 6 parameters" in texts
    assert "Lambda(<lambda>)" in texts


def test_a_long_description_is_broken_into_lines():
    class Long(L.Identity):
        def describe(self):
            return ", ".join(f"argument_{i}={i}" for i in range(6))

    Long.__module__ = "tinynet.layers"
    (box,) = Drawing(svg(tn.Sequential(Long()), 2)).kinds["layer"]
    assert box.texts[:-1] == (
        "Long(argument_0=0, argument_1=1,",
        "argument_2=2, argument_3=3,",
        "argument_4=4, argument_5=5)",
    )


def test_a_layer_that_returns_several_things():
    class Halves(tn.Layer):
        def forward(self, x):
            a, b, c = F.split(x, 3, axis=1)
            return a, {"b": b, "c": (c, a)}

    class Model(tn.Model):
        def __init__(self):
            self.halves, self.mix = Halves(), L.Linear(2, 2)

        def forward(self, x):
            a, rest = self.halves(x)
            return self.mix(a) + rest["c"][0]

    for depth in (None, 1):
        drawing = Drawing(svg(Model(), 6, depth=depth))
        drawing.check()
        assert [label.texts[0] for label in drawing.labels].count("(N, 2)") >= 4


def test_a_long_chain():
    """Neither recursion nor a slow layout."""
    drawing = Drawing(svg(tn.Sequential(*[L.Tanh() for _ in range(200)]), 3))
    assert len(drawing.boxes) == 202
    assert len(drawing.wires) == 201

    class Ops(tn.Model):
        def forward(self, x):
            for _ in range(700):
                x = x * 0.5
            return x

    assert len(Drawing(svg(Ops(), 3)).boxes) == 702


def test_only_what_the_outputs_were_computed_from_is_drawn():
    class Both(tn.Layer):
        def forward(self, x):
            return F.exp(x), F.sin(x) * F.cos(x)

    class Model(tn.Model):
        def __init__(self):
            self.both, self.unused, self.idle = Both(), L.Linear(3, 3), L.Linear(3, 3)

        def forward(self, x):
            y, _ = self.both(x)
            self.unused(y)
            return y

    drawing = Drawing(svg(Model(), 3))
    drawing.check()
    assert [box.texts[0] for box in drawing.kinds["op"]] == ["exp"]
    assert "layer trained" not in drawing.kinds
    assert [label.texts[0] for label in drawing.labels] == ["(N, 3)", "(N, 3)"]


# ----------------------------------------------------------------------------------------------------- the file


def test_the_file(tmp_path):
    path = tmp_path / "net.svg"
    model = ResNet()
    assert model.plot(path, (1, 28, 28)) is None
    first = path.read_bytes()
    assert ET.fromstring(first.decode()).tag == f"{SVG}svg"
    model.plot(str(path), (1, 28, 28), depth=1)  # replaces it
    assert path.read_bytes() != first
    model.plot(path, (1, 28, 28))
    assert path.read_bytes() == first
    assert [p.name for p in tmp_path.iterdir()] == ["net.svg"]


def test_the_same_in_every_process():
    code = "import test_graph as t; [print(t.svg(make(), shape, **k)) for make, shape, k in t.MODELS.values()]"
    run = [
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": seed, "OPENBLAS_NUM_THREADS": "1"},
        ).stdout
        for seed in ("1", "2")
    ]
    assert run[0] == run[1]
    assert run[0].count("<svg") == len(MODELS)


@pytest.mark.parametrize("path", ["net.png", "net", "svg", "net.svg.txt"])
def test_another_ending_is_refused(tmp_path, path):
    with pytest.raises(ValueError, match=rf"plot: path is '.*{re.escape(path)}', expected one that ends in .svg"):
        mlp().plot(tmp_path / path, (28, 28))
    assert not list(tmp_path.iterdir())


def test_errors_leave_an_old_file_as_it_was(tmp_path):
    path = tmp_path / "net.svg"
    path.write_text("old")
    with pytest.raises(ValueError, match="the input has shape"):
        ResNet().plot(path, (3,))
    for depth in (-1, 1.5, "1"):
        with pytest.raises(ValueError, match=f"plot: depth is {depth!r}, expected None or an integer of at least 0"):
            mlp().plot(path, (28, 28), depth=depth)
    with pytest.raises(ValueError, match="input_shape is -1, expected the shape of one sample"):
        mlp().plot(path, -1)
    assert path.read_text() == "old"
    with pytest.raises(FileNotFoundError, match="no folder"):
        mlp().plot(tmp_path / "missing" / "net.svg", (28, 28))


def test_plotting_leaves_no_trace(tmp_path):
    model = ResNet()
    model.train()
    model.blocks[1].eval()
    before = [layer.training for layer in (model, *model.layers())], tn.backend.random_state()
    model.plot(tmp_path / "net.svg", (784,))
    assert ([layer.training for layer in (model, *model.layers())], tn.backend.random_state()) == before
    assert all("forward" not in vars(layer) for layer in (model, *model.layers()))
    assert all(p.grad is None and p.is_leaf for p in model.parameters())
    assert (model.first.weight * 1).requires_grad


def test_texts_fit_their_boxes():
    """Also in DejaVu Sans, the widest of the fonts that stand in for Helvetica."""
    pytest.importorskip("matplotlib")
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    fonts = FontProperties(family="DejaVu Sans")

    def drawn(text, size):
        return TextPath((0, 0), text, size=size, prop=fonts).get_extents().width

    room = {}  # the narrowest box of each text
    for name in MODELS:
        for box in draw(name).boxes:
            for k, text in enumerate(box.texts):
                size = 10 if k == len(box.texts) - 1 and k else 12
                room[text, size] = min(box.width - 4, room.get((text, size), np.inf))
    for (text, size), width in room.items():
        assert drawn(text, size) < width, text
    assert text_width("Linear(784, 256)") == pytest.approx(drawn("Linear(784, 256)", 12), rel=0.12)
