"""Recurrent layers and a transformer's encoder layer, beside PyTorch's, on one thread.

    python -m benchmarks.recurrent
    python -m benchmarks.recurrent --rounds 50 --only LSTM

The two run in turn in one process; shown are the medians over all rounds of the CPU time, in milliseconds: forward without a
graph, and forward and backward to the parameters, in training mode without dropout. "products" is the time of the matrix
products in the latter alone, in NumPy: what cannot be saved.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable

for pool in ("OMP", "OPENBLAS", "MKL"):
    os.environ[f"{pool}_NUM_THREADS"] = "1"

import numpy as np  # noqa: E402  # it reads the number of threads when it is imported

import tinynet as tn  # noqa: E402
from tinynet import layers as L  # noqa: E402

BATCH, STEPS, FEATURES, HIDDEN = 128, 28, 28, 128
SIZES = {"RNN": 1, "GRU": 3, "LSTM": 4}  # gates
ENCODER = {"d_model": 64, "nhead": 4, "dim_feedforward": 256}
PATCHES, IMAGES = 49, 64


def randn(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype("float32")


def run(make_layer: Callable, x: np.ndarray, torch=None) -> tuple[Callable, Callable]:
    """(forward, forward and backward) of a layer: PyTorch's where ``torch`` is given."""
    layer = make_layer(torch.nn) if torch else make_layer(L)
    inputs = torch.tensor(x) if torch else tn.tensor(x)
    no_grad = torch.no_grad if torch else tn.no_grad

    def output():
        y = layer(inputs)
        return y[0][:, -1] if isinstance(y, tuple) else y

    def forward():
        with no_grad():
            output()

    def both():
        output().sum().backward()
        layer.zero_grad()

    return forward, both


def recurrent(name: str) -> tuple[Callable, np.ndarray, Callable]:
    def make(module):
        return getattr(module, name)(FEATURES, HIDDEN, batch_first=True)

    rows = SIZES[name] * HIDDEN
    w, v, h, g = randn(rows, FEATURES), randn(rows, HIDDEN), randn(HIDDEN, BATCH), randn(rows, BATCH)
    x = randn(FEATURES, BATCH)

    def products():
        for _ in range(STEPS):
            w @ x, v @ h  # forward
            v.T @ g, g @ h.T, g @ x.T  # backward

    return make, randn(BATCH, STEPS, FEATURES), products


def encoder() -> tuple[Callable, np.ndarray, Callable]:
    def make(module):
        keywords = {} if module is L else {"batch_first": True}
        return module.TransformerEncoderLayer(**ENCODER, dropout=0.0, **keywords)

    d, heads, rows = ENCODER["d_model"], ENCODER["nhead"], PATCHES * IMAGES
    q, s, x = randn(IMAGES, heads, PATCHES, d // heads), randn(IMAGES, heads, PATCHES, PATCHES), randn(rows, d)
    weights = [(randn(3 * d, d), x), (randn(d, d), x)]
    weights += [(randn(ENCODER["dim_feedforward"], d), x), (randn(d, ENCODER["dim_feedforward"]), randn(rows, 256))]

    def products():
        for w, a in weights:
            y = a @ w.T
            y @ w, y.T @ a
        t, p = q.swapaxes(-1, -2), s.swapaxes(-1, -2)
        q @ t, s @ q, p @ q, q @ t, s @ q, p @ q

    return make, randn(IMAGES, PATCHES, d), products


def measure(calls: dict[str, Callable], rounds: int) -> dict[str, float]:
    """The median CPU time of each call, in milliseconds, the calls in turn."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for i in range(rounds + 2):
        for name, call in calls.items():
            start = time.process_time()
            call()
            if i > 1:  # the first rounds warm up
                times[name].append(time.process_time() - start)
    return {name: 1e3 * statistics.median(t) for name, t in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=25, help="rounds whose median is shown (default: %(default)s)")
    parser.add_argument("--only", nargs="+", metavar="WORD", help="only the lines whose name contains one of these words")
    arguments = parser.parse_args()
    try:
        import torch

        torch.set_num_threads(1)
    except ImportError:
        torch = None
    cases = {
        f"{name}({FEATURES}, {HIDDEN}), {STEPS} steps, batch {BATCH}": lambda name=name: recurrent(name) for name in SIZES
    }
    cases[f"encoder layer(64, 4 heads, 256), {PATCHES} patches, batch {IMAGES}"] = encoder
    columns = ("forward", "torch", "ratio", "both", "torch", "ratio", "products")
    print(f"{'ms, median, one thread':<52}" + "".join(f"{name:>9}" for name in columns))
    for name, case in cases.items():
        if arguments.only and not any(word in name for word in arguments.only):
            continue
        make, x, products = case()
        calls = dict(zip(("forward", "both"), run(make, x), strict=True)) | {"products": products}
        if torch:
            calls |= dict(zip(("torch forward", "torch both"), run(make, x, torch), strict=True))
        took = measure(calls, arguments.rounds)
        line = f"{name:<52}"
        for part in ("forward", "both"):
            theirs = took.get(f"torch {part}")
            line += f"{took[part]:9.2f}" + (f"{theirs:9.2f}{took[part] / theirs:9.2f}" if theirs else " " * 18)
        print(line + f"{took['products']:9.2f}")


if __name__ == "__main__":
    main()
