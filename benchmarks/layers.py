"""Pooling and normalisation layers, forward and backward, beside PyTorch's.

    python -m benchmarks.layers
    python -m benchmarks.layers --rounds 20 --only max layer

Times are milliseconds of CPU, the median over the rounds; in every round each contender runs in turn, so that a change of
the clock meets all alike. "forward" is under no_grad, as in evaluation; "step" is forward and backward, with the gradients
of the input and of the layer's parameters. Both libraries run on one thread, as all of this is one thread's work in
tinynet. PyTorch is shown where it is installed; "without Numba" is tinynet's array code.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable

import numpy as np

import tinynet as tn
from tinynet import layers as L

IMAGES, TOKENS = (64, 64, 24, 24), (64, 32, 256)
# name: (layer, arguments, shape of the input); PyTorch's layer has the same name
CASES: dict[str, tuple[str, tuple, tuple]] = {
    "MaxPool2d(2)": ("MaxPool2d", (2,), IMAGES),
    "MaxPool2d(3, 2, 1)": ("MaxPool2d", (3, 2, 1), IMAGES),
    "AvgPool2d(2)": ("AvgPool2d", (2,), IMAGES),
    "AdaptiveAvgPool2d(1)": ("AdaptiveAvgPool2d", (1,), IMAGES),
    "AdaptiveAvgPool2d(7)": ("AdaptiveAvgPool2d", (7,), IMAGES),
    "Upsample(None, 2)": ("Upsample", (None, 2), (16, 64, 24, 24)),
    "Upsample(None, 2, bilinear)": ("Upsample", (None, 2, "bilinear"), (16, 64, 24, 24)),
    "BatchNorm2d(64)": ("BatchNorm2d", (64,), IMAGES),
    "BatchNorm1d(256)": ("BatchNorm1d", (256,), (128, 256)),
    "GroupNorm(8, 64)": ("GroupNorm", (8, 64), IMAGES),
    "LayerNorm(256)": ("LayerNorm", (256,), TOKENS),
    "RMSNorm(256)": ("RMSNorm", (256,), TOKENS),
    "LayerNorm(64), small": ("LayerNorm", (64,), (32, 64)),
}


def array(shape: tuple, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")


def ours(kind: str, arguments: tuple, shape: tuple) -> tuple[Callable, Callable]:
    """Two calls without arguments: the forward, and forward and backward into fresh gradients."""
    layer = getattr(L, kind)(*arguments)
    x = tn.tensor(array(shape, 0), requires_grad=True)
    g = array(layer(x).shape, 1)

    def forward():
        with tn.no_grad():
            layer(x)

    def step():
        x.grad = None
        layer.zero_grad()
        layer(x).backward(g)

    return forward, step


def without_numba(call: Callable) -> Callable:
    def run():
        os.environ["TINYNET_NUMBA"] = "0"
        call()
        del os.environ["TINYNET_NUMBA"]

    return run


def torchs(kind: str, arguments: tuple, shape: tuple) -> tuple[Callable, Callable]:
    import torch

    torch.set_num_threads(1)
    layer = getattr(torch.nn, kind)(*arguments)
    x = torch.from_numpy(array(shape, 0)).requires_grad_()
    g = torch.from_numpy(array(tuple(layer(x).shape), 1))

    def forward():
        with torch.no_grad():
            layer(x)

    def step():
        x.grad = None
        layer.zero_grad()
        layer(x).backward(g)

    return forward, step


def measure(calls: dict[str, Callable], rounds: int) -> dict[str, float]:
    """The median over rounds of the milliseconds of CPU that a call takes, for each contender."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for i in range(rounds + 2):
        for name, call in calls.items():
            start = time.process_time()
            for _ in range(3):
                call()
            if i > 1:  # the first rounds warm up
                seconds[name].append((time.process_time() - start) / 3)
    return {name: statistics.median(times) * 1e3 for name, times in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="rounds whose median is shown (default: %(default)s)")
    parser.add_argument("--only", nargs="+", metavar="WORD", help="only the lines whose name contains one of these words")
    arguments = parser.parse_args()
    try:
        import torch  # noqa: F401

        columns = ("tinynet", "without Numba", "torch")
    except ImportError:
        columns = ("tinynet", "without Numba")
    heads = [f"{what}, {name}" for what in ("forward", "step") for name in columns]
    print(f"{'ms, one thread':<30}" + "".join(f"{head:>24}" for head in heads))
    for name, case in CASES.items():
        if arguments.only and not any(word.lower() in name.lower() for word in arguments.only):
            continue
        calls = {}
        for i, what in enumerate(("forward", "step")):
            calls[f"{what}, tinynet"] = ours(*case)[i]
            calls[f"{what}, without Numba"] = without_numba(ours(*case)[i])
            if "torch" in columns:
                calls[f"{what}, torch"] = torchs(*case)[i]
        took = measure(calls, arguments.rounds)
        print(f"{name:<30}" + "".join(f"{took[head]:>24.2f}" for head in heads))


if __name__ == "__main__":
    main()
