"""What an op costs beyond its arithmetic: 8-element operands, forward and backward, beside the same work in raw NumPy.

    python -m benchmarks.op_overhead
    python -m benchmarks.op_overhead --rounds 20 --only mul chain

Forward and backward are timed together, from the operands to the gradients of those that require one. "raw" is the NumPy
that the op itself runs (value and gradients), written down by hand. In every round each contender runs in turn for the same
number of calls, and the median over the rounds is shown, so that a change of the clock meets all alike. Times are in
microseconds a call. PyTorch, where it is installed, runs on one thread.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
from collections.abc import Callable

import numpy as np

import tinynet as tn
import tinynet.functions as F

TARGET = 5.0  # microseconds that tinynet may add to an op's forward and backward
LINKS = 20  # the length of the chain


def vector(shape=8) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype("float32")


class Case:
    """One thing to compute: in raw NumPy, in tinynet, and in PyTorch. ``ops`` is how many ops a call runs."""

    def __init__(self, raw: Callable, ours: Callable, theirs: Callable, shapes: tuple = (8,), ops: int = 1):
        self.raw, self.ours, self.theirs, self.shapes, self.ops = raw, ours, theirs, shapes, ops


ONES, ONES_8X8 = np.ones(8, "float32"), np.ones((8, 8), "float32")


def raw_mul(a, b, g=ONES):
    return a * b, g * b, g * a


def raw_add(a, b, g=ONES):
    return a + b, g.copy(), g.copy()


def raw_relu(a, g=ONES):
    y = np.maximum(a, 0)
    return y, g * (y != 0)


def raw_sum(a):
    return a.sum(), np.ones_like(a)


def raw_matmul(a, b, g=ONES_8X8):
    return a @ b, g @ b.T, a.T @ g


def raw_chain(a, b, g=ONES):
    """a * b * b * ...: the products on the way there, and on the way back a gradient for a and a sum of those for b."""
    values = [a]
    for _ in range(LINKS):
        values.append(values[-1] * b)
    gb = 0
    for value in reversed(values[:-1]):
        gb = gb + g * value
        g = g * b
    return values[-1], g, gb


def chain(a, b):
    for _ in range(LINKS):
        a = a * b
    return a


CASES = {
    "mul": Case(raw_mul, lambda a, b: a * b, lambda a, b: a * b, (8, 8)),
    "add": Case(raw_add, lambda a, b: a + b, lambda a, b: a + b, (8, 8)),
    "relu": Case(raw_relu, F.relu, lambda a: a.relu()),
    "sum": Case(raw_sum, F.sum, lambda a: a.sum()),
    "matmul 8x8": Case(raw_matmul, lambda a, b: a @ b, lambda a, b: a @ b, ((8, 8), (8, 8))),
    f"chain of {LINKS} mul": Case(raw_chain, chain, chain, (8, 8), LINKS),
}


def contenders(case: Case) -> dict[str, Callable[[], object]]:
    """For each library a call without arguments: forward, and backward into fresh gradients."""
    arrays = [vector(shape) for shape in case.shapes]
    ours = [tn.Parameter(a) for a in arrays]
    ones = np.ones_like(case.ours(*ours).data)

    def run_ours():
        for p in ours:
            p.grad = None
        case.ours(*ours).backward(ones)

    calls: dict[str, Callable[[], object]] = {"raw": lambda: case.raw(*arrays), "tinynet": run_ours}
    try:
        import torch
    except ImportError:
        return calls
    torch.set_num_threads(1)
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
    their_ones = torch.tensor(ones)

    def run_theirs():
        for p in theirs:
            p.grad = None
        case.theirs(*theirs).backward(their_ones)

    calls["torch"] = run_theirs
    return calls


def measure(calls: dict[str, Callable], rounds: int, number: int) -> dict[str, float]:
    """The median over rounds of the microseconds a call takes, for each contender."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    gc.disable()
    try:
        for i in range(rounds + 1):
            for name, call in calls.items():
                start = time.perf_counter()
                for _ in range(number):
                    call()
                if i:  # the first round warms up
                    seconds[name].append((time.perf_counter() - start) / number)
    finally:
        gc.enable()
    return {name: statistics.median(times) * 1e6 for name, times in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15, help="rounds whose median is shown (default: 15)")
    parser.add_argument("--number", type=int, default=1000, help="calls of each contender in a round (default: 1000)")
    parser.add_argument("--only", nargs="+", metavar="WORD", help="only the lines whose name contains one of these words")
    arguments = parser.parse_args()

    columns = {"raw": 8, "tinynet": 10, "tinynet - raw": 16, "per op": 9, "torch": 9, "torch - raw": 14}
    print(f"{'forward + backward, µs':24}" + "".join(f"{name:>{width}}" for name, width in columns.items()))
    for name, case in CASES.items():
        if arguments.only and not any(word in name for word in arguments.only):
            continue
        number = max(1, arguments.number // case.ops)
        took = measure(contenders(case), arguments.rounds, number)
        over = took["tinynet"] - took["raw"]
        line = f"{name:24}{took['raw']:8.2f}{took['tinynet']:10.2f}{over:16.2f}{over / case.ops:9.2f}"
        if "torch" in took:
            line += f"{took['torch']:9.2f}{took['torch'] - took['raw']:14.2f}"
        print(line)
    print(f"\ntarget: tinynet - raw of at most {TARGET:g} µs per op")


if __name__ == "__main__":
    main()
