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
    SGD          35 /  53 ( 25)    24 /  43      225 /   257 ( 221)    121 /   119
    Momentum     55 /  77 ( 43)    32 /  54      459 /   593 ( 453)    217 /   259
    RMSprop      82 / 288 ( 43)    47 / 217      553 / 2,590 ( 444)    277 / 1,439
    Adam         83 / 160 ( 72)    61 / 110      886 / 1,185 ( 702)    364 /   510
    AdamW        81 / 151 ( 65)    63 / 109      719 /   975 ( 662)    345 /   552

About 10 of these are Python's (six arrays). Only RMSprop on 235 thousand takes more than 1.5 passes: square roots and
divisions alone, which share one unit of the processor, take 65 of its 82.

Array code / PyTorch's default:

              235k, one thread   two threads   1.8M, one thread     two threads
    SGD          50 /  55          37 /  44      257 /   234        122 /   128
    Momentum     90 / 120          87 / 100      843 /   851        413 /   421
    RMSprop     298 / 306         259 / 233    2,715 / 2,246      1,519 / 1,280
    Adam        364 / 416         359 / 317    3,870 / 6,816      2,250 / 4,995
    AdamW       404 / 443         410 / 347    4,312 / 7,015      2,752 / 5,460

Where it is slower: NumPy's square root takes 0.35 ns a weight, a third of RMSprop, and waking a Python thread as long as it
would save of a step of 235 thousand weights. Another run may differ by a tenth, those of 1.8 million by a fifth.
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
