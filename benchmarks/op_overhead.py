"""What an op costs beyond its arithmetic: forward and backward, beside the same work in raw NumPy.

    python -m benchmarks.op_overhead
    python -m benchmarks.op_overhead --rounds 9 --only mul chain

Forward and backward are timed together, from the operands to the gradients of those that require one. "raw" is the NumPy
that the op itself runs (value and gradients), written down by hand. Operands have 8 elements; the links of the long chain
have one each, as in a loop over scalars; the last line is a whole training step of 784-32-10 with Adam, batch 32, whose raw
form is what one writes by hand. Times are in microseconds a call, on one thread unless --threads says otherwise.
"""

from __future__ import annotations

import functools
import gc
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from . import networks, turns
from .networks import NETWORKS

TARGET = 5.0  # microseconds that tinynet may add to an op's forward and backward
LINKS, SCALARS = 20, 1000  # the lengths of the chains
CONTENDERS = {"raw": turns.Contender("numpy", ("numpy",)), "tinynet": turns.OURS, "torch": turns.TORCH}
NETWORK = NETWORKS["784-32-10, 32"]
STEP = "step of 784-32-10"


class Case:
    """One thing to compute: in raw NumPy, and in operators and methods that both libraries have. ``ops``: how many."""

    def __init__(self, raw: Callable, both: Callable, shapes: tuple = (8,), ops: int = 1):
        self.raw, self.both, self.shapes, self.ops = raw, both, shapes, ops


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


def raw_chain(a, b, links):
    """a * b * b * ...: the products on the way there, and on the way back a gradient for a and a sum of those for b."""
    values, g, gb = [a], np.ones_like(a), 0
    for _ in range(links):
        values.append(values[-1] * b)
    for value in reversed(values[:-1]):
        gb = gb + g * value
        g = g * b
    return values[-1], g, gb


def chain(a, b, links):
    for _ in range(links):
        a = a * b
    return a


def of(links: int) -> tuple[Callable, Callable]:
    return functools.partial(raw_chain, links=links), functools.partial(chain, links=links)


CASES = {
    "mul": Case(raw_mul, lambda a, b: a * b, (8, 8)),
    "add": Case(raw_add, lambda a, b: a + b, (8, 8)),
    "relu": Case(raw_relu, lambda a: a.relu()),
    "sum": Case(raw_sum, lambda a: a.sum()),
    "matmul 8x8": Case(raw_matmul, lambda a, b: a @ b, ((8, 8), (8, 8))),
    f"chain of {LINKS} mul": Case(*of(LINKS), (8, 8), LINKS),
    f"chain of {SCALARS:,} scalar mul": Case(*of(SCALARS), ((), ()), SCALARS),
}


def raw_step() -> Callable[[], Any]:
    """784-32-10 with ReLU, softmax cross-entropy and Adam, written by hand in NumPy."""
    (images, labels), rng = networks.data(NETWORK), np.random.default_rng(0)
    sizes = [(784, 32), (32,), (32, 10), (10,)]
    weights = [(rng.random(s, "float32") - np.float32(0.5)) / np.float32(14) for s in sizes]
    buffers = [(np.zeros_like(w), np.zeros_like(w)) for w in weights]
    batches, rows, t = networks.in_turn(images, labels), np.arange(NETWORK.batch), 0

    def step():
        nonlocal t
        (x, y), (w, b, v, c) = next(batches), weights
        h = x @ w + b
        np.maximum(h, 0, out=h)
        s = h @ v + c
        s -= s.max(1, keepdims=True)
        np.exp(s, out=s)
        s /= s.sum(1, keepdims=True)
        loss = -np.log(s[rows, y]).mean()
        s[rows, y] -= 1
        s /= np.float32(len(x))
        gh = s @ v.T
        gh *= h != 0
        t += 1
        lr = NETWORK.lr * (1 - 0.999**t) ** 0.5 / (1 - 0.9**t)
        for p, g, (m, u) in zip(weights, (x.T @ gh, gh.sum(0), h.T @ s, s.sum(0)), buffers, strict=True):
            m += 0.1 * (g - m)
            g *= g
            u += 0.001 * (g - u)
            p -= lr * m / (np.sqrt(u) + 1e-8)
        return loss

    return step


def vector(shape: Any) -> np.ndarray:
    return np.random.default_rng(0).uniform(0.9, 1.1, shape).astype("float32")


def call_of(contender: str, name: str) -> Callable[[], object]:
    """A call without arguments: forward, and backward into fresh gradients."""
    if name == STEP:
        if contender == "raw":
            return raw_step()
        step, batches = {"tinynet": networks.tinynets, "torch": networks.torchs}[contender](NETWORK)
        return lambda: step(*next(batches))
    case = CASES[name]
    arrays = [vector(shape) for shape in case.shapes]
    if contender == "raw":
        return lambda: case.raw(*arrays)
    if contender == "torch":
        import torch

        operands = [torch.tensor(a, requires_grad=True) for a in arrays]
        ones = torch.ones_like(case.both(*operands))
    else:
        import tinynet as tn

        operands = [tn.Parameter(a) for a in arrays]
        ones = np.ones_like(case.both(*operands).data)

    def run():
        for p in operands:
            p.grad = None
        case.both(*operands).backward(ones)

    return run


def measure(contender: str, case: str, seconds: float) -> dict[str, list[float]]:
    """Microseconds a call, many times: each of as many calls as take a millisecond or so."""
    call = call_of(contender, case)
    ops = CASES[case].ops if case in CASES else 100
    times, number, warm = [], max(1, 200 // ops), time.perf_counter() + seconds / 4
    while time.perf_counter() < warm:
        call()
    gc.disable()
    end = time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        start = time.perf_counter()
        for _ in range(number):
            call()
        times.append((time.perf_counter() - start) / number * 1e6)
    return {"time": times}


def main() -> None:
    parser = turns.arguments(__doc__, [*CASES, STEP], CONTENDERS, rounds=5)
    parser.set_defaults(threads=1)
    args = parser.parse_args()
    results = turns.compete("op_overhead", args, together=True, seconds=0.01 if args.quick else 0.2)
    print(turns.table(results, "time", "forward + backward, µs", against=["torch"]))
    by = {(r.case, r.contender): r.median("time") for r in results}
    print(f"\n{'µs beyond the raw calls':<32}{'tinynet':>10}{'an op':>10}{'torch':>10}")
    for case in dict.fromkeys(r.case for r in results):
        over, theirs = (by.get((case, name), np.nan) - by.get((case, "raw"), np.nan) for name in ("tinynet", "torch"))
        each = turns.number(over / CASES[case].ops) if case in CASES else ""
        print(f"{case:<32}{turns.number(over):>10}{each:>10}{turns.number(theirs):>10}")
    print(f"\ntarget: tinynet - raw of at most {TARGET:g} µs an op")
    turns.finish(args, "op_overhead", results, unit="microseconds a call")


if __name__ == "__main__":
    main()
