"""Convolution layers, forward and backward, beside the matrix products they are made of and beside PyTorch's.

    python -m benchmarks.convolution
    python -m benchmarks.convolution --threads 1 --rounds 5 --only LeNet

"products" are the bare products of the forward pass, the gradient for the weight and (but in a network's first layer) that
for the input: ``np.matmul`` on operands that are laid out already and stay in the cache, image by image, on as many
threads. The rest of our time is laying out, adding back and bias. Each contender runs in a process of its own, so that
their thread pools do not meet, in turn for several rounds; shown are medians over all calls, in milliseconds. With
``--cpu`` it is the processor time of all threads, which says more where other programs run beside.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

# name: (batch, channels, size, outputs, kernel, stride, padding, whether the input needs a gradient)
LAYERS = {
    "1 -> 32, 3x3, 28x28": (64, 1, 28, 32, 3, 1, 0, False),
    "32 -> 64, 3x3, 26x26": (64, 32, 26, 64, 3, 1, 0, True),
    "LeNet 1 -> 6, 5x5, 28x28, padding 2": (64, 1, 28, 6, 5, 1, 2, False),
    "LeNet 6 -> 16, 5x5, 14x14": (64, 6, 14, 16, 5, 1, 0, True),
    "64 -> 64, 3x3, 16x16, padding 1": (32, 64, 16, 64, 3, 1, 1, True),
    "64 -> 128, 3x3, 16x16, stride 2": (32, 64, 16, 128, 3, 2, 1, True),
    "256 -> 256, 3x3, 8x8, padding 1": (32, 256, 8, 256, 3, 1, 1, True),
    "64 -> 256, 1x1, 14x14": (32, 64, 14, 256, 1, 1, 0, True),
}
WARM_UP, SECONDS = 3, 1.0


def ours(batch, channels, size, outputs, kernel, stride, padding, inner):
    """The forward pass, and the backward pass of a result of it."""
    import numpy as np

    import tinynet as tn
    from tinynet import layers as L

    layer = L.Conv2d(channels, outputs, kernel, stride, padding)
    x = tn.rand(batch, channels, size, size, requires_grad=inner)
    g = np.random.default_rng(0).random(layer(x).shape, "float32")

    def backward(y):
        layer.zero_grad()
        x.grad = None
        y.backward(g)

    return lambda: layer(x), backward


def torchs(batch, channels, size, outputs, kernel, stride, padding, inner):
    import torch

    layer = torch.nn.Conv2d(channels, outputs, kernel, stride, padding)
    x = torch.rand(batch, channels, size, size, requires_grad=inner)
    g = torch.rand_like(layer(x))

    def backward(y):
        layer.zero_grad()
        x.grad = None
        y.backward(g)

    return lambda: layer(x), backward


def products(batch, channels, size, outputs, kernel, stride, padding, inner):
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


CONTENDERS = {"products": products, "tinynet": ours, "torch": torchs}


def measure(contender: str, layer: str, clock: str) -> tuple[list[float], list[float]]:
    """Milliseconds of each forward and of each backward pass."""
    forward, backward = CONTENDERS[contender](*LAYERS[layer])
    now = getattr(time, clock)
    for _ in range(WARM_UP):
        backward(forward())
    times: tuple[list[float], list[float]] = ([], [])
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        start = now()
        y = forward()
        middle = now()
        backward(y)
        times[0].append((middle - start) * 1e3)
        times[1].append((now() - middle) * 1e3)
    return times


def installed(contender: str) -> bool:
    code = f"import {'torch' if contender == 'torch' else 'tinynet'}"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def main() -> None:
    parser = argparse.ArgumentParser(description="Convolution layers beside their matrix products and PyTorch's.")
    parser.add_argument("--rounds", type=int, default=3, help="processes for each contender (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="for each contender (default: %(default)s)")
    parser.add_argument("--cpu", action="store_true", help="processor time of all threads, not time on the wall")
    parser.add_argument("--only", default="", metavar="WORD", help="only the layers whose name contains this")
    parser.add_argument("--one", nargs=3, metavar=("CONTENDER", "LAYER", "CLOCK"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(*args.one)))
        return
    names = [name for name in CONTENDERS if installed(name)]
    variables = ("TINYNET_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    environment = {**os.environ, **dict.fromkeys(variables, str(args.threads))}
    header = "".join(f"{name:>17}" for name in names) + "".join(f"{f'/ {name}':>12}" for name in names[::2])
    print(f"{'ms, forward + backward':<37}{header}   ({args.threads} threads)")
    for layer in (name for name in LAYERS if args.only in name):
        times: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in names}
        for _ in range(args.rounds):
            for name in names:
                clock = "process_time" if args.cpu else "perf_counter"
                command = [sys.executable, "-m", "benchmarks.convolution", "--one", name, layer, clock]
                run = subprocess.run(command, env=environment, capture_output=True, check=True, text=True)
                for all_times, these in zip(times[name], json.loads(run.stdout), strict=True):
                    all_times += these
        medians = {name: [statistics.median(t) for t in times[name]] for name in names}
        total = {name: sum(m) for name, m in medians.items()}
        line = "".join(f"{f'{m[0]:.2f} + {m[1]:.2f}':>17}" for m in medians.values())
        line += "".join(f"{total['tinynet'] / total[name]:>12.2f}" for name in names[::2])
        print(f"{layer:<37}{line}", flush=True)


if __name__ == "__main__":
    main()
