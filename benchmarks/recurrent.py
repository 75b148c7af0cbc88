"""Recurrent layers and a transformer's encoder layer, beside PyTorch's and their matrix products, on one thread.

    python -m benchmarks.recurrent
    python -m benchmarks.recurrent --rounds 5 --only LSTM

Shown is CPU time in milliseconds, medians over the calls of a process, then over the rounds: "forward" without a graph, and
"both" ways to the parameters, in training mode without dropout. "products" is the time of the matrix products of both ways
alone, in NumPy: what cannot be saved.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import turns

BATCH, STEPS, FEATURES, HIDDEN = 128, 28, 28, 128
SIZES = {"RNN": 1, "GRU": 3, "LSTM": 4}  # gates
ENCODER = {"d_model": 64, "nhead": 4, "dim_feedforward": 256}
PATCHES, IMAGES = 49, 64
CONTENDERS = {
    "tinynet": turns.OURS,
    "torch": turns.TORCH,
    "products": turns.Contender("numpy", ("numpy",)),
    "array code": turns.ARRAY_CODE,
}
# name: of the layer
CASES = {f"{name}({FEATURES}, {HIDDEN}), {STEPS} steps, batch {BATCH}": name for name in SIZES}
CASES[f"encoder layer(64, 4 heads, 256), {PATCHES} patches, batch {IMAGES}"] = "TransformerEncoderLayer"


def randn(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype("float32")


def run(module: Any, name: str, tensor: Callable, no_grad: Callable) -> tuple[Callable, Callable]:
    """(forward, forward and backward) of a layer."""
    if name in SIZES:
        layer, x = getattr(module, name)(FEATURES, HIDDEN, batch_first=True), tensor(randn(BATCH, STEPS, FEATURES))
    else:
        keywords = {} if module.__name__.startswith("tinynet") else {"batch_first": True}
        layer, x = getattr(module, name)(**ENCODER, dropout=0.0, **keywords), tensor(randn(IMAGES, PATCHES, 64))

    def output():
        y = layer(x)
        return y[0][:, -1] if isinstance(y, tuple) else y

    def forward():
        with no_grad():
            output()

    def both():
        output().sum().backward()
        layer.zero_grad()

    return forward, both


def recurrent_products(gates: int) -> Callable[[], None]:
    rows = gates * HIDDEN
    w, v, h, g = randn(rows, FEATURES), randn(rows, HIDDEN), randn(HIDDEN, BATCH), randn(rows, BATCH)
    x = randn(FEATURES, BATCH)

    def products():
        for _ in range(STEPS):
            w @ x, v @ h  # forward
            v.T @ g, g @ h.T, g @ x.T  # backward

    return products


def encoder_products() -> Callable[[], None]:
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

    return products


def measure(contender: str, case: str, seconds: float) -> dict[str, list[float]]:
    """Milliseconds of CPU."""
    name = CASES[case]
    if contender == "products":
        call = recurrent_products(SIZES[name]) if name in SIZES else encoder_products()
        return {"both": turns.milliseconds(call, seconds)}
    if contender == "torch":
        import torch

        forward, both = run(torch.nn, name, torch.tensor, torch.no_grad)
    else:
        import tinynet as tn

        forward, both = run(tn.layers, name, tn.tensor, tn.no_grad)
    return {"forward": turns.milliseconds(forward, seconds), "both": turns.milliseconds(both, seconds)}


def main() -> None:
    parser = turns.arguments(__doc__, CASES, CONTENDERS)
    parser.set_defaults(threads=1)
    args = parser.parse_args()
    args.contenders = args.contenders or [*CONTENDERS][:3]
    results = turns.compete("recurrent", args, together=True, seconds=0.0 if args.quick else 0.5)
    for name in ("forward", "both"):
        print(turns.table(results, name, f"{name}, ms of CPU") + "\n")
    turns.finish(args, "recurrent", results, unit="milliseconds of CPU")


if __name__ == "__main__":
    main()
