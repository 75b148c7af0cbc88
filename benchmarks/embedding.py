"""Rows looked up in a table, and their gradients added back to it, beside PyTorch's.

    python -m benchmarks.embedding

One thread, float32; the medians of all rounds in microseconds of CPU time, the contenders in turn. ``add.at`` is what the
way back would be with NumPy's function as it is, and ``zeros`` what making the gradient's array alone takes, which is dense.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import time
from collections.abc import Callable
from functools import partial

for pool in ("OMP", "OPENBLAS", "MKL"):
    os.environ[f"{pool}_NUM_THREADS"] = "1"  # before NumPy is imported

import numpy as np  # noqa: E402

import tinynet as tn  # noqa: E402
from tinynet import functions as F  # noqa: E402

TABLES = [(1000, 64, 256), (10_000, 128, 4096), (50_000, 256, 8192)]  # (rows, width, how many are looked up)


def ours(ids, weight, g, numba):
    os.environ["TINYNET_NUMBA"] = numba
    tn.grad(F.embedding(ids, weight), weight, g)


def with_add_at(ids, weight, g):
    weight.data[ids]
    np.add.at(np.zeros_like(weight.data), ids, g)


def torchs(ids, weight, g) -> Callable:
    import torch

    torch.set_num_threads(1)
    ids, g = torch.tensor(ids), torch.tensor(g)
    weight = torch.tensor(weight.data, requires_grad=True)
    return lambda: torch.autograd.grad(torch.nn.functional.embedding(ids, weight), weight, g)


def contenders(rows: int, width: int, n: int) -> dict[str, Callable]:
    rng = np.random.default_rng(0)
    weight, ids = tn.Parameter(rng.random((rows, width)), dtype="float32"), rng.integers(0, rows, n)
    g = rng.random((n, width), dtype="float32")
    found = {
        "compiled": partial(ours, ids, weight, g, "1"),
        "array code": partial(ours, ids, weight, g, "0"),
        "add.at": partial(with_add_at, ids, weight, g),
        "zeros": lambda: np.zeros_like(weight.data).fill(0),
    }
    with contextlib.suppress(ImportError):
        found["torch"] = torchs(ids, weight, g)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="An embedding, forward and backward, beside PyTorch's.")
    parser.add_argument("--rounds", type=int, default=30, help="calls of each contender (default: %(default)s)")
    rounds = parser.parse_args().rounds
    for i, table in enumerate(TABLES):
        calls = contenders(*table)
        if i == 0:
            print(f"{'rows x width, looked up':<26}" + "".join(f"{name:>12}" for name in calls))
        times: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(rounds + 1):
            for name, call in calls.items():
                start = time.process_time()
                call()
                times[name].append((time.process_time() - start) * 1e6)
        name = "{} x {}, {}".format(*table)
        print(f"{name:<26}" + "".join(f"{statistics.median(t[1:]):>12,.0f}" for t in times.values()))


if __name__ == "__main__":
    main()
