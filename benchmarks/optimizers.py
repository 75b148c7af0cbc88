"""One step of every optimizer beside PyTorch's, and beside what reading and writing the same bytes once takes.

    python -m benchmarks.optimizers
    python -m benchmarks.optimizers --rounds 5 --threads 1 --only Adam

Two networks of six arrays: 235 thousand and 1.8 million float32 weights. Shown is the median of steps that follow one
another and have the processor's cache to themselves, in microseconds. ``one pass`` is a compiled loop that reads every array
of the step and writes those that a step writes, and computes next to nothing, on one thread: no step on one thread can be
faster. PyTorch runs fused where it has that, else (RMSprop) foreach. ``array code`` is tinynet without Numba.

Measured on 30 November 2026, AMD EPYC (Zen 4), two cores, NumPy 2.4.6, Numba 0.68.1, PyTorch 2.13:
tinynet / PyTorch fused, µs, and in brackets one pass.

              235k, one thread   two threads   1.8M, one thread          two threads
    SGD          33 /  54 ( 25)    26 /  42      224 /   234 ( 227)    107 /   145
    Momentum     57 /  81 ( 43)    34 /  69      428 /   505 ( 446)    220 /   258
    RMSprop      77 / 410 ( 43)    48 / 219      533 / 2,625 ( 489)    291 / 1,539
    Adam         92 / 151 ( 70)    57 / 110      692 /   983 ( 725)    370 /   557
    AdamW        92 / 151 ( 67)    61 / 113      664 /   959 ( 687)    385 /   618

About 10 of these are Python's (six arrays). Only RMSprop on 235 thousand, on one thread, takes more than 1.5 passes, 1.8:
square roots and divisions, 16 cycles of the one unit that does them for each 16 weights, alone take 65 of its 77.

Array code / PyTorch's default:

              235k, one thread   two threads   1.8M, one thread     two threads
    SGD          54 /  55          42 /  45      286 /   272        130 /   128
    Momentum     93 / 121          87 / 102      641 /   921        425 /   403
    RMSprop     234 / 310         234 / 236    2,107 / 2,308      1,312 / 1,169
    Adam        388 / 492         320 / 317    3,163 / 6,926      2,097 / 5,003
    AdamW       326 / 455         321 / 339    3,105 / 7,185      2,174 / 5,302

SGD on 1.8 million weights is bound by memory for both, as is Momentum on two threads. RMSprop there stood between 0.9 and
1.15 of PyTorch's time from run to run: NumPy's square root, which takes four numbers at a time, is a third of it. Another
run may differ by a tenth, those of 1.8 million by a fifth.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks import turns

NETWORKS = {"235k": (784, 256, 128, 10), "1.8M": (784, 1000, 1000, 10)}
# name: (buffers, PyTorch's class, its keywords)
RULES: dict[str, tuple[int, str, dict[str, Any]]] = {
    "SGD": (0, "SGD", {}),
    "Momentum": (1, "SGD", {"momentum": 0.9}),
    "RMSprop": (1, "RMSprop", {}),
    "Adam": (2, "Adam", {}),
    "AdamW": (2, "AdamW", {}),
}
CASES = [f"{network} {rule}" for network in NETWORKS for rule in RULES]
CONTENDERS = {
    "tinynet": turns.OURS,
    "torch fused": turns.TORCH,
    "one pass": turns.Contender("numba", ("numba",)),
    "array code": turns.ARRAY_CODE,
    "torch default": turns.TORCH,
}
STEPS = 60
WARM_UP = 0.1  # seconds: threads that still wait for work from the case before (OpenBLAS's for 25 ms) slow down this one


def shapes(network: str) -> list[tuple[int, ...]]:
    return [shape for i, o in pairwise(NETWORKS[network]) for shape in ((o, i), (o,))]


def tinynets(network: str, rule: str) -> Callable[[], object]:
    from tinynet import Parameter, optim

    rng = np.random.default_rng(0)
    params = [Parameter(rng.random(shape), dtype="float32") for shape in shapes(network)]
    for p in params:
        p.grad = rng.random(p.shape) - 0.5
    return getattr(optim, rule)(params, lr=1e-3).step


def torchs(network: str, rule: str, fused: bool) -> Callable[[], object]:
    import torch

    _, name, keywords = RULES[rule]
    params = [torch.nn.Parameter(torch.rand(*shape)) for shape in shapes(network)]
    for p in params:
        p.grad = torch.rand(*p.shape) - 0.5
    if fused:
        keywords = {**keywords, ("foreach" if name == "RMSprop" else "fused"): True}
    return getattr(torch.optim, name)(params, lr=1e-3, **keywords).step


def a_pass(network: str, rule: str) -> Callable[[], object]:
    """A loop that touches the bytes that a step touches, each array in its own place."""
    import numba

    @numba.njit(error_model="numpy")
    def touch(grad, w):
        for i in range(w.size):
            w[i] += grad[i]

    @numba.njit(error_model="numpy")
    def touch_two(grad, w, v):
        for i in range(w.size):
            w[i] += grad[i]
            v[i] += grad[i]

    @numba.njit(error_model="numpy")
    def touch_three(grad, w, v, s):
        for i in range(w.size):
            w[i] += grad[i]
            v[i] += grad[i]
            s[i] += grad[i]

    count = 2 + RULES[rule][0]
    loop = (touch, touch_two, touch_three)[count - 2]
    arrays = [[np.ones(int(np.prod(s)), np.float32) for _ in range(count)] for s in shapes(network)]

    def run():
        for one in arrays:
            loop(*one)

    return run


def measure(contender: str, case: str) -> dict[str, list[float]]:
    """The time of each step, in microseconds."""
    network, rule = case.split()
    if contender.startswith("torch"):
        step = torchs(network, rule, "fused" in contender)
    else:
        step = a_pass(network, rule) if contender == "one pass" else tinynets(network, rule)
    end = time.perf_counter() + WARM_UP
    while time.perf_counter() < end:
        step()
    times = [time.perf_counter()]
    for _ in range(STEPS):
        step()
        times.append(time.perf_counter())
    return {"time": [(b - a) * 1e6 for a, b in pairwise(times)]}


def main() -> None:
    parser = turns.arguments(__doc__ or "", CASES, CONTENDERS)
    args = parser.parse_args()
    results = turns.compete("optimizers", args, together=True)
    fast = [r for r in results if r.contender in ("tinynet", "torch fused", "one pass")]
    plain = [r for r in results if r.contender in ("array code", "torch default")]
    for some, over in ((fast, "tinynet"), (plain, "array code")):
        if some:
            print(turns.table(some, "time", "µs a step", over) + "\n")
    turns.finish(args, "optimizers", results)


if __name__ == "__main__":
    main()
