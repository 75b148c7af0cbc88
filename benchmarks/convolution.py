"""Convolution layers, forward and backward, beside the matrix products they are made of and beside PyTorch's.

    python -m benchmarks.convolution
    python -m benchmarks.convolution --threads 1 --rounds 5 --only LeNet

"products" are the bare products of the forward pass, the gradient for the weight and (but in a network's first layer) that
for the input: ``np.matmul`` on operands that are laid out already and stay in the cache, image by image, on as many
threads. The rest of our time is laying out, adding back and bias. Shown are milliseconds, medians over the calls of a
process, then over the rounds. With ``--cpu`` it is the processor time of all threads, which says more where other programs
run beside.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from . import turns

# name: (batch, channels, size, outputs, kernel, stride, padding, whether the input needs a gradient)
CASES = {
    "1 -> 32, 3x3, 28x28": (64, 1, 28, 32, 3, 1, 0, False),
    "32 -> 64, 3x3, 26x26": (64, 32, 26, 64, 3, 1, 0, True),
    "LeNet 1 -> 6, 5x5, 28x28, padding 2": (64, 1, 28, 6, 5, 1, 2, False),
    "LeNet 6 -> 16, 5x5, 14x14": (64, 6, 14, 16, 5, 1, 0, True),
    "64 -> 64, 3x3, 16x16, padding 1": (32, 64, 16, 64, 3, 1, 1, True),
    "64 -> 128, 3x3, 16x16, stride 2": (32, 64, 16, 128, 3, 2, 1, True),
    "256 -> 256, 3x3, 8x8, padding 1": (32, 256, 8, 256, 3, 1, 1, True),
    "64 -> 256, 1x1, 14x14": (32, 64, 14, 256, 1, 1, 0, True),
}
CONTENDERS = {
    "tinynet": turns.OURS,
    "torch": turns.TORCH,
    "products": turns.OURS,
    "array code": turns.ARRAY_CODE,
}
WARM_UP = 3


def layer_of(layers: Any, rand: Callable, case: tuple) -> tuple[Callable, Callable]:
    """The forward pass, and the backward pass of a result of it."""
    batch, channels, size, outputs, kernel, stride, padding, inner = case
    layer = layers.Conv2d(channels, outputs, kernel, stride, padding)
    x = rand(batch, channels, size, size, requires_grad=inner)
    g = rand(*layer(x).shape)

    def backward(y):
        layer.zero_grad()
        x.grad = None
        y.backward(g)

    return lambda: layer(x), backward


def products(batch, channels, size, outputs, kernel, stride, padding, inner) -> tuple[Callable, Callable]:
    import numpy as np

    from tinynet.kernels.threads import parallel

    positions, elements = ((size + 2 * padding - kernel) // stride + 1) ** 2, channels * kernel**2
    rng = np.random.default_rng(0)
    shapes = (outputs, elements), (elements, positions), (outputs, positions)
    w, columns, y = (rng.random(shape, "float32") for shape in shapes)

    def run(*which):
        def part(start, stop):
            # In each thread its own, as warm as in the middle of a batch.
            seen, out, total = columns.copy(), y.copy(), np.empty((elements, outputs), "float32")
            for _ in range(start, stop):
                if "y" in which:
                    np.matmul(w, seen, out=out)
                if "w" in which:
                    np.matmul(seen, out.T, out=total)
                if "x" in which:
                    np.matmul(w.T, y, out=seen)

        parallel(part, batch, -(-batch // 8))

    return lambda: run("y"), lambda _: run(*("wx" if inner else "w"))


def measure(contender: str, case: str, clock: str, seconds: float) -> dict[str, list[float]]:
    """Milliseconds of each forward, of each backward pass and of both."""
    if contender == "products":
        forward, backward = products(*CASES[case])
    elif contender == "torch":
        import torch

        forward, backward = layer_of(torch.nn, torch.rand, CASES[case])
    else:
        import tinynet as tn

        forward, backward = layer_of(tn.layers, tn.rand, CASES[case])
    now = getattr(time, clock)
    for _ in range(WARM_UP):
        backward(forward())
    times: dict[str, list[float]] = {"forward": [], "backward": [], "both": []}
    end = time.perf_counter() + seconds
    while not times["both"] or time.perf_counter() < end:
        start = now()
        y = forward()
        middle = now()
        backward(y)
        stop = now()
        for name, took in (("forward", middle - start), ("backward", stop - middle), ("both", stop - start)):
            times[name].append(took * 1e3)
    return times


def main() -> None:
    parser = turns.arguments(__doc__ or "", CASES, CONTENDERS)
    parser.add_argument("--cpu", action="store_true", help="processor time of all threads, not time on the wall")
    args = parser.parse_args()
    args.contenders = args.contenders or [*CONTENDERS][:3]
    clock = "process_time" if args.cpu else "perf_counter"
    results = turns.compete("convolution", args, together=True, clock=clock, seconds=0.0 if args.quick else 1.0)
    for name in ("forward", "backward", "both"):
        print(turns.table(results, name, f"{name}, ms" + " of CPU" * args.cpu) + "\n")
    turns.finish(args, "convolution", results, unit="milliseconds", clock=clock)


if __name__ == "__main__":
    main()
