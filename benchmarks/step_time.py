"""One training step (forward, loss, backward, optimizer), beside PyTorch's.

    python -m benchmarks.step_time
    python -m benchmarks.step_time --rounds 5 --threads 1

Each library runs in a process of its own, so that their thread pools do not meet, the two in turn for several rounds;
shown are the medians over all steps, in microseconds, and their ratio. PyTorch runs eagerly with its fused optimizer.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from itertools import pairwise

# name: (widths, batch, optimizer)
NETWORKS = {
    "784-32-10, batch 32": ((784, 32, 10), 32, "Adam"),
    "784-256-128-10, batch 64": ((784, 256, 128, 10), 64, "Adam"),
    "784-256-128-10, batch 128, SGD": ((784, 256, 128, 10), 128, "SGD"),
    "784-1000-1000-10, batch 128": ((784, 1000, 1000, 10), 128, "Adam"),
}
WARM_UP, STEPS = 30, 200


def ours(widths, batch, rule):
    import numpy as np

    import tinynet as tn
    from tinynet import functions as F
    from tinynet import layers as L

    layers = [layer for i, o in pairwise(widths) for layer in (L.Linear(i, o), L.ReLU())]
    model = tn.Sequential(*layers[:-1])
    optimizer = getattr(tn.optim, rule)(model, lr=0.001)
    x, y = tn.rand(batch, widths[0]), tn.tensor(np.arange(batch) % 10)

    def step():
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def torchs(widths, batch, rule):
    import torch

    layers = [m for i, o in pairwise(widths) for m in (torch.nn.Linear(i, o), torch.nn.ReLU())]
    model = torch.nn.Sequential(*layers[:-1])
    optimizer = getattr(torch.optim, rule)(model.parameters(), lr=0.001, fused=True)
    x, y = torch.rand(batch, widths[0]), torch.arange(batch) % 10

    def step():
        loss = torch.nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


LIBRARIES = {"tinynet": ours, "torch": torchs}


def measure(library: str, network: str) -> list[float]:
    """The time of each step, in microseconds."""
    step = LIBRARIES[library](*NETWORKS[network])
    for _ in range(WARM_UP):
        step()
    times = [time.perf_counter()]
    for _ in range(STEPS):
        step()
        times.append(time.perf_counter())
    return [(b - a) * 1e6 for a, b in pairwise(times)]


def installed(library: str) -> bool:
    code = f"import {library}"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def main() -> None:
    parser = argparse.ArgumentParser(description="Training steps of fully connected networks, beside PyTorch's.")
    parser.add_argument(
        "--rounds", type=int, default=3, help="processes for each library and network (default: %(default)s)"
    )
    parser.add_argument(
        "--threads", type=int, default=os.cpu_count(), help="threads for each library (default: %(default)s)"
    )
    parser.add_argument("--only", nargs=2, metavar=("LIBRARY", "NETWORK"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only:
        print(json.dumps(measure(*args.only)))
        return
    names = [name for name in LIBRARIES if installed(name)]
    threads = {f"{pool}_NUM_THREADS": str(args.threads) for pool in ("OMP", "OPENBLAS", "MKL")}
    print(
        f"{'µs a step, median':<32}" + "".join(f"{name:>10}" for name in names) + f"{'ratio':>8}   ({args.threads} threads)"
    )
    for network in NETWORKS:
        times: dict[str, list[float]] = {name: [] for name in names}
        for _ in range(args.rounds):
            for name in names:
                command = [sys.executable, "-m", "benchmarks.step_time", "--only", name, network]
                run = subprocess.run(command, env={**os.environ, **threads}, capture_output=True, check=True, text=True)
                times[name] += json.loads(run.stdout)
        medians = [statistics.median(times[name]) for name in names]
        ratio = f"{medians[0] / medians[-1]:>8.2f}" if len(medians) > 1 else ""
        print(f"{network:<32}" + "".join(f"{m:>10,.0f}" for m in medians) + ratio)


if __name__ == "__main__":
    main()
