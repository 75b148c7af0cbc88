"""One step of every optimizer beside PyTorch's, and beside what reading and writing the same bytes once takes.

    python -m benchmarks.optimizers
    python -m benchmarks.optimizers --rounds 5 --threads 1

Two networks of six arrays: 235 thousand and 1.8 million float32 weights. Each contender runs in a process of its own, in
turn for several rounds; shown are medians over all steps in microseconds. ``pass`` is a compiled loop that reads every
array of the step and writes those that a step writes, and computes next to nothing: no step can be faster. It has one
thread, the others as many as asked for. PyTorch runs fused where it has that, else foreach.
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

NETWORKS = {"235 k": (784, 256, 128, 10), "1.8 M": (784, 1000, 1000, 10)}
# name: (buffers, PyTorch's class, its keywords)
RULES = {
    "SGD": (0, "SGD", {}),
    "Momentum": (1, "SGD", {"momentum": 0.9}),
    "RMSprop": (1, "RMSprop", {}),
    "Adam": (2, "Adam", {}),
    "AdamW": (2, "AdamW", {}),
}
CONTENDERS = ("tinynet", "torch fused", "pass", "tinynet array code", "torch default")
WARM_UP, STEPS = 10, 60


def shapes(network):
    return [shape for i, o in pairwise(NETWORKS[network]) for shape in ((o, i), (o,))]


def ours(network, rule):
    import numpy as np

    from tinynet import Parameter, optim

    rng = np.random.default_rng(0)
    params = [Parameter(rng.random(shape), dtype="float32") for shape in shapes(network)]
    for p in params:
        p.grad = rng.random(p.shape) - 0.5
    return getattr(optim, rule)(params, lr=1e-3).step


def torchs(network, rule, fused, threads):
    import torch

    torch.set_num_threads(threads)
    _, name, keywords = RULES[rule]
    params = [torch.nn.Parameter(torch.rand(*shape)) for shape in shapes(network)]
    for p in params:
        p.grad = torch.rand(*p.shape) - 0.5
    if fused:
        keywords = {**keywords, ("foreach" if name == "RMSprop" else "fused"): True}
    return getattr(torch.optim, name)(params, lr=1e-3, **keywords).step


def a_pass(network, rule):
    """A loop that touches the bytes that a step touches, each array in its own place."""
    import numba
    import numpy as np

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


def measure(contender: str, network: str, rule: str, threads: int) -> list[float]:
    """The time of each step, in microseconds."""
    if contender.startswith("torch"):
        step = torchs(network, rule, "fused" in contender, threads)
    else:
        step = a_pass(network, rule) if contender == "pass" else ours(network, rule)
    for _ in range(WARM_UP):
        step()
    times = [time.perf_counter()]
    for _ in range(STEPS):
        step()
        times.append(time.perf_counter())
    return [(b - a) * 1e6 for a, b in pairwise(times)]


def main() -> None:
    parser = argparse.ArgumentParser(description="Steps of optimizers, beside PyTorch's and beside the memory's speed.")
    parser.add_argument("--rounds", type=int, default=3, help="processes for each contender (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="threads for each contender (default: %(default)s)")
    parser.add_argument("--rules", nargs="+", default=[*RULES], choices=[*RULES], help="which (default: all)")
    parser.add_argument("--only", nargs=3, metavar=("CONTENDER", "NETWORK", "RULE"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only:
        print(json.dumps(measure(*args.only, args.threads)))
        return
    threads = {f"{pool}_NUM_THREADS": str(args.threads) for pool in ("OMP", "OPENBLAS", "MKL", "TINYNET")}
    print(f"{'µs a step, median':<18}" + "".join(f"{c:>20}" for c in CONTENDERS) + f"   ({args.threads} threads)")
    for network in NETWORKS:
        for rule in args.rules:
            times: dict[str, list[float]] = {c: [] for c in CONTENDERS}
            for _ in range(args.rounds):
                for c in CONTENDERS:
                    command = [sys.executable, "-m", "benchmarks.optimizers", "--only", c, network, rule]
                    environment = {**os.environ, **threads, **({"TINYNET_NUMBA": "0"} if "array" in c else {})}
                    command += ["--threads", str(args.threads)]
                    run = subprocess.run(command, env=environment, capture_output=True, check=False, text=True)
                    times[c] += json.loads(run.stdout) if run.returncode == 0 else []
            m = {c: statistics.median(times[c]) if times[c] else float("nan") for c in CONTENDERS}
            fast, array = m["tinynet"], m["tinynet array code"]
            print(
                f"{network + ' ' + rule:<18}"
                + "".join(f"{m[c]:>20,.0f}" for c in CONTENDERS)
                + f"   {fast / m['torch fused']:.2f}"
                f" of fused, {fast / m['pass']:.2f} of a pass; array code {array / m['torch default']:.2f} of default"
            )


if __name__ == "__main__":
    main()
