"""Pooling and normalisation layers, forward and backward, beside PyTorch's.

    python -m benchmarks.layers
    python -m benchmarks.layers --rounds 5 --only max layer

Times are milliseconds of CPU: medians over the calls of a process, then over the rounds. "forward" is under no_grad, as in
evaluation; "step" is forward and backward, with the gradients of the input and of the layer's parameters. All run on
one thread, as all of this is one thread's work in tinynet. "array code" is tinynet without Numba.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from . import turns

CONTENDERS = {"tinynet": turns.OURS, "array code": turns.ARRAY_CODE, "torch": turns.TORCH}
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


def calls(contender: str, kind: str, arguments: tuple, shape: tuple) -> dict[str, Callable[[], None]]:
    """The forward, and forward and backward into fresh gradients."""
    if contender == "torch":
        import torch

        layers, no_grad = torch.nn, torch.no_grad
        x = torch.from_numpy(array(shape, 0)).requires_grad_()
    else:
        import tinynet as tn

        layers, no_grad = tn.layers, tn.no_grad
        x = tn.tensor(array(shape, 0), requires_grad=True)
    layer = getattr(layers, kind)(*arguments)
    g = array(tuple(layer(x).shape), 1)
    g = torch.from_numpy(g) if contender == "torch" else g

    def forward():
        with no_grad():
            layer(x)

    def step():
        x.grad = None
        layer.zero_grad()
        layer(x).backward(g)

    return {"forward": forward, "step": step}


def measure(contender: str, case: str, seconds: float) -> dict[str, list[float]]:
    """Milliseconds of CPU for each."""
    return {name: turns.milliseconds(call, seconds) for name, call in calls(contender, *CASES[case]).items()}


def main() -> None:
    parser = turns.arguments(__doc__, CASES, CONTENDERS)
    parser.set_defaults(threads=1)
    args = parser.parse_args()
    results = turns.compete("layers", args, together=True, seconds=0.0 if args.quick else 0.2)
    for name in ("forward", "step"):
        print(turns.table(results, name, f"{name}, ms of CPU", against=["torch"]) + "\n")
    turns.finish(args, "layers", results, unit="milliseconds of CPU")


if __name__ == "__main__":
    main()
