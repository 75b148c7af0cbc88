"""The examples as their readers run them: what they print, draw and refuse, and that a seed means the same numbers."""

import base64
import importlib
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tinynet as tn

pytestmark = pytest.mark.cpu  # programs that run by themselves

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
SCRIPTS = ("train_mnist", "compare_optimizers")


@pytest.fixture
def example(monkeypatch, tmp_path):
    """A function that imports an example by name; the current directory is an empty one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(EXAMPLES)
    return importlib.import_module


def main(module, options=""):
    """Call an example's main in this process, with a command line."""
    return module.main(options.split())


@pytest.fixture
def no_matplotlib(monkeypatch):
    for name in ("matplotlib", "matplotlib.figure", "matplotlib.ticker"):
        monkeypatch.setitem(sys.modules, name, None)  # importing it fails now


def run(*arguments, cwd, **environment):
    """A fresh Python in which a warning is an error."""
    command = [sys.executable, "-W", "error", *map(str, arguments)]
    env = {**os.environ, **environment}
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=120, check=False)


def is_png(path):
    return path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n" and path.stat().st_size > 10_000


# ------------------------------------------------------------------------------------------------------ train_mnist


def test_train_mnist_tells_draws_and_saves(example, tmp_path, capsys):
    pytest.importorskip("matplotlib", reason="the pictures need matplotlib: pip install 'tinynet[plot]'")
    train_mnist = example("train_mnist")
    options = "--limit 3000 --epochs 2 --batch-size 50 --hidden 32 16 --save new/digits.safetensors --plot curves/a.png"
    history = main(train_mnist, options)
    printed = capsys.readouterr().out
    assert "mlp of 25,818 weights, Adam at 0.003, 3,000 images, on " in printed
    assert len(re.findall(r"^epoch \d/2 .* loss \d.* val_accuracy 0\.\d+", printed, re.M)) == 2
    assert re.search(rf"^test accuracy {history.val_accuracy[-1]:.2%} after \d+\.\d s of training$", printed, re.M)
    assert "98% was not reached" in printed
    assert "picture in curves/a.png" in printed
    assert is_png(tmp_path / "curves/a.png")
    (line,) = re.findall(r"^weights in new/digits\.safetensors: (.*) reads them$", printed, re.M)
    model = eval(line, {"networks": example("networks")})
    assert model.evaluate(train_mnist.digits("test"))["accuracy"] == history.val_accuracy[-1]


def test_train_mnist_reads_98_of_100_with_its_defaults(example, no_matplotlib, capsys):
    history = main(example("train_mnist"))
    assert history.val_accuracy[-1] > 0.98
    (first,) = re.findall(r"^98% after (\d+\.\d) s of training$", capsys.readouterr().out, re.M)
    reached = next(i for i, accuracy in enumerate(history.val_accuracy) if accuracy >= 0.98)
    assert float(first) == pytest.approx(sum(history.seconds[: reached + 1]), abs=0.051)


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "rmsprop", "adam"])
def test_every_optimizer_trains_at_its_own_rate(example, no_matplotlib, capsys, optimizer):
    train_mnist = example("train_mnist")
    history = main(train_mnist, f"--optimizer {optimizer} --limit 6000 --epochs 3")
    rule, lr = train_mnist.OPTIMIZERS[optimizer]
    assert f"{rule.__name__} at {lr}" in capsys.readouterr().out
    assert history.lr == pytest.approx([lr, lr * 0.75, lr * 0.25])
    assert history.val_accuracy[-1] > 0.88


def test_the_seed_decides_the_numbers(example, no_matplotlib):
    def numbers(seed):
        history = main(example("train_mnist"), f"--limit 2000 --epochs 2 --seed {seed}")
        return {name: values for name, values in history.items() if name != "seconds"}

    first = numbers(1)
    assert numbers(1) == first
    assert numbers(2)["loss"] != first["loss"]


def test_no_hidden_layer_and_one_short_epoch(example, tmp_path, capsys):
    pytest.importorskip("matplotlib", reason="the pictures need matplotlib: pip install 'tinynet[plot]'")
    main(example("train_mnist"), "--limit 100 --epochs 1 --lr 0.01 --hidden")
    assert "mlp of 7,850 weights, Adam at 0.01, 100 images" in capsys.readouterr().out
    assert is_png(tmp_path / "out/train_mnist.png")


# ------------------------------------------------------------------------------------------------------- the others


QUICK = "--limit 600 --epochs 2 --batch-size 100 --seeds 0 1 --lrs 0.01 0.1"


@pytest.fixture
def laboratory(example, monkeypatch):
    """``compare_optimizers``, with fewer rates on the surfaces."""
    module = example("compare_optimizers")
    monkeypatch.setattr(module, "RACE_RATES", [0.0631])
    monkeypatch.setattr(module, "WALK_RATES", [0.003])
    return module


def test_compare_optimizers_starts_them_all_alike(laboratory, no_matplotlib, tmp_path, capsys):
    result = main(laboratory, QUICK)
    assert result.labels == ["SGD", "Momentum", "RMSprop", "Adam"]
    for seed in (0, 1):
        runs = [run for run in result.runs if run.seed == seed]
        assert len(runs) == 8
        assert len({run.losses[0] for run in runs}) == 1  # one start, one first batch
        assert len({run.losses[2] for run in runs}) == 8  # the first step of Momentum at 0.1 is that of SGD at 0.01
        assert all(len(run.losses) == 12 for run in runs)

    head, *rows, note = capsys.readouterr().out.splitlines()
    titles = "optimizer lr train loss val loss val accuracy steps to loss 0.2 steps to accuracy 0.95 seconds"
    assert " ".join(head.split()) == titles
    assert len({len(line) for line in (head, *rows[:4])}) == 1
    assert rows[:4] == str(result.table()).splitlines()[1:5]
    adam = result.table().rows[3]
    assert rows[3].split()[:3] == ["Adam", "0.01*", f"{adam['loss']:.4f}"]
    assert f"{adam['val_accuracy']:.2%}" in rows[3]
    assert rows[8].split() == ["optimizer", "best", "lr", "steps", "to", "1e-06"]
    assert rows[9].split() == ["SGD", "0.0631", "133"]  # to be had from log(1e-6 / 72.5) / log((1 - 0.0631)**2)
    assert note == "no pictures: they need matplotlib, which pip install 'tinynet[plot]' brings"

    written = tmp_path / "out/compare_optimizers"
    assert {path.name for path in written.iterdir()} == {"index.html", "table.txt", "comparison.json"}
    assert repr(tn.compare.Comparison.load(written / "comparison.json").runs) == repr(result.runs)
    assert str(result.table(sweep=True)) in (written / "table.txt").read_text(encoding="utf-8")
    assert "<img" not in (written / "index.html").read_text(encoding="utf-8")


def test_compare_optimizers_writes_a_page_that_needs_nothing_else(laboratory, tmp_path, capsys):
    image_module = pytest.importorskip("PIL.Image", reason="the pictures need matplotlib: pip install 'tinynet[plot]'")
    result = main(laboratory, f"{QUICK} --optimizers Adam AdamW --out report")
    assert "everything is in report, begin with report/index.html" in capsys.readouterr().out
    pictures = {"curves.png", "weights.png", "bowl.png", "rosenbrock.png", "beale.png"}
    assert {path.name for path in (tmp_path / "report").glob("*.png")} == pictures
    assert all(is_png(tmp_path / "report" / name) for name in pictures)
    page = (tmp_path / "report/index.html").read_text(encoding="utf-8")
    inside = re.findall(r'<img src="data:image/(png|gif);base64,([^"]+)" alt="[^"]+">', page)
    assert [kind for kind, _ in inside] == ["png", "png", "gif", "png", "gif", "png", "png"]
    for kind, data in inside:
        with image_module.open(io.BytesIO(base64.b64decode(data))) as image:
            assert image.format == kind.upper()
            assert getattr(image, "n_frames", 1) > (10 if kind == "gif" else 0)
    shell = re.sub(r"base64,[^\"]+", "", page)
    assert not re.findall(r"https?:|<script|<link|@import|url\(", shell)  # nothing from elsewhere
    assert shell.count("<table>") == 3
    for row in result.table().rows:
        assert f"<td>{row['optimizer']}</td><td>{row['lr']:g}*</td>" in shell
    assert '<meta name="viewport"' in shell


def test_subclass_layer_shows_what_it_promises(example, capsys):
    tour = example("subclass_layer")
    history = tour.main()
    printed = capsys.readouterr().out
    assert "gradcheck, to the second order: True" in printed
    assert "blocks.1.scale" in printed
    assert history.val_accuracy[-1] > 0.85
    x = np.array([-2.0, 0.0, 2.0])
    for name, values in (("first", (1 + x / np.sqrt(x**2 + 4)) / 2), ("second", 2 / (x**2 + 4) ** 1.5)):
        (line,) = re.findall(rf"^{name} derivative: +\[(.*)\]$", printed, re.M)
        np.testing.assert_allclose([float(number) for number in line.split()], values, rtol=1e-5)


def test_distributed_mnist_is_a_training_of_one_process_too(example, capsys):
    history = main(example("distributed_mnist"), "--limit 4000 --epochs 2")
    assert f"1 process(es): test accuracy {history.val_accuracy[-1]:.2%} after " in capsys.readouterr().out
    assert history.val_accuracy[-1] > 0.85


def test_vae_learns_and_draws(example, tmp_path, capsys):
    pytest.importorskip("matplotlib", reason="the pictures need matplotlib: pip install 'tinynet[plot]'")
    vae = example("vae")
    history = main(vae, "--limit 3000 --epochs 2 --latent 4")
    assert history.val_loss[1] < history.val_loss[0] < 300  # 784 pixels at one half each cost 543 nats
    printed = capsys.readouterr().out
    assert f"a test digit costs {history.val_loss[-1]:.1f} nats at most" in printed
    assert is_png(tmp_path / "out/vae.png")
    drawn = vae.Autoencoder(4).sample(5)
    assert drawn.shape == (5, 1, 28, 28)
    assert 0 <= drawn.min() <= drawn.max() <= 1


def test_the_bound_is_that_of_two_distributions(example):
    """The pixels' cross-entropy, and the Kullback-Leibler divergence as an integral on a fine grid."""
    vae = example("vae")
    logits, mean, log_variance = np.array([[0.3, -1.0]]), np.array([[0.7]]), np.array([[-0.5]])
    images, z = np.array([[1.0, 0.25]]), np.linspace(-8, 8, 20001)
    p = 1 / (1 + np.exp(-logits))
    pixels = -(images * np.log(p) + (1 - images) * np.log(1 - p)).sum()
    q = np.exp(-((z - 0.7) ** 2) / (2 * np.exp(-0.5))) / np.sqrt(2 * np.pi * np.exp(-0.5))
    distance = (q * (np.log(q) + z**2 / 2 + np.log(2 * np.pi) / 2)).sum() * (z[1] - z[0])
    outputs = [tn.tensor(a) for a in (logits, mean, log_variance)]
    assert vae.bound(outputs, tn.tensor(images)).item() == pytest.approx(pixels + distance, rel=1e-6)


def test_second_order_shows_what_it_promises(example, tmp_path, capsys):
    pytest.importorskip("matplotlib", reason="the pictures need matplotlib: pip install 'tinynet[plot]'")
    error, heights = main(example("second_order"), "--steps 700 --plot new/second.png")
    printed = capsys.readouterr().out
    assert error < 0.1  # 0.003 after its own 2,500 steps
    assert f"differs from the exact solution by {error:.4f} at most" in printed
    ((by_hvp, of_all),) = re.findall(
        r"largest eigenvalue of its Hessian: (\S+) by power iteration, (\S+) of all 31", printed
    )
    assert by_hvp == of_all
    below, above = heights[0.9], heights[1.1]
    np.testing.assert_allclose(below[1:11] / below[:10], 0.64, rtol=0.01)
    np.testing.assert_allclose(above[1:11] / above[:10], 1.44, rtol=0.01)
    assert below[-1] < 1e-8 * below[0]
    assert above.max() > 1e4 * above[0]
    there, allowed = re.findall(r"to where the largest eigenvalue is (\S+); the rate was 2 / (\S+)$", printed, re.M)[0]
    assert float(there) < float(allowed)
    assert is_png(tmp_path / "new/second.png")


# ------------------------------------------------------------------------------------------------- the command line


@pytest.mark.parametrize("name", SCRIPTS)
def test_help_explains_every_option_with_its_default(example, capsys, name):
    with pytest.raises(SystemExit) as exit:
        main(example(name), "--help")
    assert exit.value.code == 0
    _, *options = re.split(r"\n  (?=--)", capsys.readouterr().out)
    assert len(options) == {"train_mnist": 11, "compare_optimizers": 7}[name]
    for option in options:
        assert re.search(r"\w+ .*\(default:\s+[^)]+\)$", option.rstrip(), re.S), option


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ("train_mnist.py --lr nan", 1, r"^train_mnist: Adam: lr is nan, expected a number of at least 0$"),
        ("train_mnist.py --lr -1 --optimizer sgd", 1, r"^train_mnist: SGD: lr is -1\.0, expected"),
        ("train_mnist.py --device tpu", 1, r"^train_mnist: unknown device 'tpu': expected 'cpu', 'cuda' or 'cuda:N'"),
        ("train_mnist.py --seed -1", 1, r"^train_mnist: seed: expected an integer of at least 0, got -1$"),
        ("train_mnist.py --optimizer adagrad", 2, r"error: argument --optimizer: invalid choice: 'adagrad'"),
        (
            "train_mnist.py --model cnn --hidden 5",
            2,
            r"error: argument --hidden: only the mlp has .* the cnn$",
        ),
        ("train_mnist.py --epochs 0", 2, r"error: argument --epochs: expected an integer of at least 1, got '0'$"),
        ("compare_optimizers.py --seeds -1", 2, r"error: argument --seeds: expected an integer of at least 0, got '-1'$"),
        ("compare_optimizers.py --seeds 1 1", 2, r"error: argument --seeds: expected each only once, got 1 1$"),
        ("compare_optimizers.py --lrs 0.1 0", 2, r"error: argument --lrs: expected a positive number, got '0'$"),
        ("compare_optimizers.py --optimizers SGB", 2, r"error: argument --optimizers: invalid choice: 'SGB'"),
        ("second_order.py --seed -1", 1, r"^second_order: seed: expected an integer of at least 0, got -1$"),
        ("second_order.py --steps 0", 2, r"error: argument --steps: expected an integer of at least 1, got '0'$"),
        ("train_mnist.py --save .", 2, r"error: argument --save: expected a file, '\.' is a folder$"),
        ("train_mnist.py --plot a.foo", 2, r"error: argument --plot: expected a file that ends in .png, .*, got 'a\.foo'$"),
        ("vae.py --plot here", 2, r"error: argument --plot: expected a file that ends in .png, .*, got 'here'$"),
        ("second_order.py --plot a.foo", 2, r"error: argument --plot: expected a file that ends in .png"),
        ("compare_optimizers.py --limit few", 2, r"error: argument --limit: expected an integer of at least 1, got 'few'$"),
    ],
)
def test_a_wrong_option_is_told_in_one_line(tmp_path, arguments, code, message):
    script, *options = arguments.split()
    done = run(EXAMPLES / script, *options, cwd=tmp_path)
    assert done.returncode == code
    *usage, line = done.stderr.splitlines()
    assert re.search(message, line)
    assert not usage if code == 1 else usage[0].startswith("usage: ")  # argparse shows the usage first
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(tn.cuda.is_available(), reason="there is a GPU here")
@pytest.mark.parametrize(("script", "device"), [("train_mnist", "--device cuda"), ("compare_optimizers", "")])
def test_without_a_gpu_cuda_is_refused_in_one_line(tmp_path, script, device):
    done = run(EXAMPLES / f"{script}.py", *device.split(), cwd=tmp_path, TINYNET_DEVICE="cuda")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"{script}: ")
    assert "device 'cuda'" in line


def test_without_matplotlib_there_is_a_note_instead_of_a_picture(tmp_path):
    (tmp_path / "matplotlib.py").write_text("raise ImportError('hidden')")  # found before the real one
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    done = run(EXAMPLES / "train_mnist.py", "--limit", "200", "--epochs", "1", cwd=tmp_path, PYTHONPATH=path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "no picture: that needs matplotlib, which pip install 'tinynet[plot]' brings"
    assert not (tmp_path / "out").exists()
