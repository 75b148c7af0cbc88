"""One training step (forward, loss, backward, optimizer) of six networks, beside PyTorch's and others': time and memory.

    python -m benchmarks.step_time
    python -m benchmarks.step_time --rounds 5 --only LeNet --json out/step_time.json

float32, the same batches of random images and labels for all, which take turns; the optimizer is Adam but where SGD is
said. Every contender warms up before it is timed, PyTorch's compiler and ours included. Shown are medians in microseconds:
over the steps of a process, then over the rounds. Memory is the peak of the process beyond its state after the imports.

PyTorch runs eagerly with its fused optimizer, with its convolution networks in the channels_last layout, and compiled
(``torch.compile`` of model and loss; that needs a C++ compiler). "array code" is tinynet without Numba.
"""

from __future__ import annotations

import time
from itertools import pairwise

from . import networks, others, turns
from .networks import NETWORKS, Network
from .turns import Contender

CONTENDERS = {
    "tinynet": turns.OURS,
    "torch": turns.TORCH,
    "torch channels_last": turns.TORCH,
    "torch compiled": Contender("torch", ("torch", "torch._dynamo"), slow=True),
    "array code": turns.ARRAY_CODE,
    "dezero": Contender("dezero", ("numpy",), slow=True),
    "mygrad": Contender("mygrad", ("mygrad",), slow=True),
    "tinygrad": Contender("tinygrad", ("numpy", "tinygrad"), {"DEV": "CPU", "TRAINING": "1"}, slow=True),
}
BUILDERS = {
    "tinynet": networks.tinynets,
    "array code": networks.tinynets,
    "torch": networks.torchs,
    "torch channels_last": lambda network: networks.torchs(network, channels_last=True),
    "torch compiled": lambda network: networks.torchs(network, compiled=True),
    "dezero": others.dezeros,
    "mygrad": others.mygrads,
    "tinygrad": others.tinygrads,
}
# Of PyTorch's eager time, what tinynet is to need at most.
AIMS = dict(zip(NETWORKS, (0.35, 0.6, 0.6, 0.65, 0.5, 0.7), strict=True))
LEAST = 4  # steps, however long they take


def timed(network: Network, contender: str, seconds: float, warm_up: float) -> list[float]:
    """The time of each step in microseconds, for so many seconds after a warm-up of so many."""
    step, batches = BUILDERS[contender](network)
    for least, budget in ((LEAST, warm_up), (LEAST, seconds)):
        times, end = [time.perf_counter()], 0.0
        while len(times) <= least or times[-1] < end:
            step(*next(batches))
            times.append(time.perf_counter())
            end = end or times[-1] + budget  # the first step may compile, which is no part of the warm-up
    return [(b - a) * 1e6 for a, b in pairwise(times)]


def measure(contender: str, case: str, seconds: float, warm_up: float) -> dict[str, list[float]]:
    network = NETWORKS[case]
    if contender == "torch channels_last" and not network.convolves:
        raise turns.Skip("the layout is for convolution networks")
    return {"time": timed(network, contender, seconds, warm_up)}


def aims(results: list[turns.Result]) -> list[str]:
    """For each network and for the memory: how much of PyTorch's, and whether that is the aim."""
    by = {(r.case, r.contender): r for r in results}
    found = []
    for case in dict.fromkeys(r.case for r in results):
        if (case, "tinynet") in by and (case, "torch") in by:
            time, memory = (by[case, "tinynet"].median(n) / by[case, "torch"].median(n) for n in ("time", "memory"))
            met = "met" if time <= AIMS[case] else "not met"
            found.append(f"{case}: {time:.2f} of PyTorch's time, aim {AIMS[case]}, {met}; {memory:.2f} of its memory")
    return found


def main() -> None:
    parser = turns.arguments(__doc__, NETWORKS, CONTENDERS)
    parser.add_argument("--seconds", type=float, default=1.0, help="of steps in each process (default: %(default)s)")
    args = parser.parse_args()
    seconds, warm_up = (0.05, 0.02) if args.quick else (args.seconds, 0.5)
    results = turns.compete("step_time", args, seconds=seconds, warm_up=warm_up)
    theirs = [name for name in CONTENDERS if name.startswith("torch")]
    print(turns.table(results, "time", "µs a step", against=theirs))
    print("\n" + turns.table(results, "memory", "MB at the peak", against=theirs))
    print("\n".join(["", *aims(results)]))
    turns.finish(args, "step_time", results, unit="microseconds a step; megabytes")


if __name__ == "__main__":
    main()
