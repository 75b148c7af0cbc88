"""Everything that is claimed of a GPU, measured on one: steps beside PyTorch's, Adam beside a plain copy, CPU beside GPU.

    python -m benchmarks.gpu                      # writes out/gpu.json
    python -m benchmarks.gpu --only "100 million" --rounds 1

It needs a GPU of NVIDIA's and CuPy (``pip install 'tinynet[cuda12]'`` or ``'tinynet[cuda13]'``), and for the comparison a
PyTorch built for CUDA; elsewhere it says so and exits with status 1. Every measurement is a process of its own, in turn.

- Steps: float32, the data on the GPU, Adam; the median over groups of 20 steps, after each of which the GPU is waited for.
  "captured" is ``tn.capture``; "torch" eager with ``fused=True``; "torch compiled" its model and loss compiled with CUDA
  graphs (``mode="reduce-overhead"``), and the same optimizer. Aimed at: 0.7 of eager PyTorch, and captured no more than
  compiled.
- Adam on 100 million weights: 28 bytes a weight over the time, as a share of what a copy of the weights reaches.
  Aimed at: 0.85.
- Seconds from the first step until 99% of MNIST's test images are read right, by the network of two convolutions.
- How far weights on the GPU are from those on the CPU after a step of SGD, over the largest weight. Aimed at: 1e-5.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import networks, turns
from .networks import CNN, LENET, Network, mlp
from .turns import Contender

ON_GPU = {"TINYNET_DEVICE": "cuda"}
CONTENDERS = {
    "tinynet": Contender(imports=("tinynet",), environment=ON_GPU),
    "captured": Contender(imports=("tinynet",), environment=ON_GPU),
    "torch": turns.TORCH,
    "torch compiled": Contender("torch", ("torch",), slow=True),
}
STEPS = {
    "784-256-128-10, 64": Network(mlp(784, 256, 128, 10), 64),
    "784-256-128-10, 1024": Network(mlp(784, 256, 128, 10), 1024),
    "784-1000-1000-10, 128": Network(mlp(784, 1000, 1000, 10), 128),
    "LeNet-5, 64": Network(LENET, 64),
    "conv 32, conv 64, 64": Network(CNN, 64),
    "conv 32, conv 64, 1024": Network(CNN, 1024),
}
ADAM, GOAL, AGREEMENT = "Adam, 100 million weights", "seconds to 99%", "CPU and GPU after a step"
CASES = [*STEPS, ADAM, GOAL, AGREEMENT]
GROUP = 20  # steps between two looks at the clock
BYTES = 28  # for each weight: reads weight, gradient and two buffers, writes all but the gradient


def groups(step: Callable[[], object], wait: Callable[[], object], seconds: float, size: int = GROUP) -> list[float]:
    """Microseconds of a step, in groups of ``size``, for so many seconds after three groups that warm up."""
    found: list[float] = []
    for budget in (0.0, 0.0, 0.0, seconds):
        end = time.perf_counter() + budget
        while True:
            start = time.perf_counter()
            for _ in range(size):
                step()
            wait()
            now = time.perf_counter()
            if budget:
                found.append((now - start) / size * 1e6)
            if now >= end:
                break
    return found


# ---------------------------------------------------------------------------------------------------------- tinynet


def tinynets(contender: str, case: str, device: str, seconds: float, weights: int) -> dict[str, Any]:
    import tinynet as tn

    tn.set_default_device(device)

    def wait():
        if device != "cpu":
            tn.cuda.synchronize()

    if case in STEPS:
        step, batches = networks.tinynets(STEPS[case])
        step = tn.capture(step) if contender == "captured" else step
        return {"time": groups(lambda: step(*next(batches)), wait, seconds)}
    if case == GOAL:
        return until(99.0, contender == "captured", wait, None)
    if contender == "captured":
        raise turns.Skip("the same as tinynet's")
    if case == ADAM:
        w = tn.Parameter(tn.ones(weights))
        w.grad = tn.ones(weights)
        optimizer, other = tn.optim.Adam([w]), w.detach().data.copy()

        def copy():
            other[...] = w.data

        return shares(groups(optimizer.step, wait, seconds, 5), groups(copy, wait, seconds, 5), weights)
    return {name: difference(network, device) for name, network in STEPS.items()}


def until(goal: float, captured: bool, wait: Callable[[], object], limit: int | None) -> dict[str, Any]:
    """Train the larger network, at most 10 epochs at a batch of 128, until so many % of the test images are read right.

    The clock runs from the first step, and stands still while the test images are read, after each epoch. ``limit``: images.
    """
    import tinynet as tn
    from tinynet.data import DataLoader
    from tinynet.datasets import MNIST

    tn.manual_seed(0)
    train, test = ([tn.tensor(a[:limit]) for a in MNIST(split).arrays] for split in ("train", "test"))
    model = networks.stacked(tn.layers, tn.Sequential, STEPS["conv 32, conv 64, 64"])
    optimizer = tn.optim.Adam(model, lr=0.001)
    step = networks.training_step(model, tn.functions.cross_entropy, optimizer)
    step = tn.capture(step) if captured else step
    loader, seconds, percent, epochs = DataLoader(tuple(train), 128, shuffle=True, drop_last=True), 0.0, 0.0, 0
    while percent < goal and epochs < 10:
        start = time.perf_counter()
        for x, y in loader:
            step(x, y)
        wait()
        seconds, epochs = seconds + time.perf_counter() - start, epochs + 1
        percent = 100 * tn.metrics.accuracy(model.predict(test[0]), test[1])
    return {"seconds": seconds if percent >= goal else None, "accuracy": percent, "epochs": epochs}


def difference(network: Network, device: str) -> float:
    """The largest difference of a weight on two devices after the same step, over the largest weight."""
    import numpy as np

    import tinynet as tn

    ends = []
    for name in ("cpu", device):
        tn.manual_seed(0)
        with tn.device(name):
            model = networks.stacked(tn.layers, tn.Sequential, network)
            step = networks.training_step(model, tn.functions.cross_entropy, tn.optim.SGD(model, lr=0.1))
            images, labels = networks.data(network)
            step(tn.tensor(images[0]), tn.tensor(labels[0]))
        ends.append([p.numpy() for p in model.parameters()])
    return max(float(np.abs(a - b).max() / np.abs(a).max()) for a, b in zip(*ends, strict=True))


def shares(adam: list[float], copy: list[float], weights: int) -> dict[str, Any]:
    """Of Adam the GB/s, and as a share of what copying the weights reaches."""
    rates = [weights * size / min(times) / 1e3 for times, size in ((adam, BYTES), (copy, 8))]
    return {"time": adam, "GB/s": rates[0], "GB/s of a copy": rates[1], "share": rates[0] / rates[1]}


# ---------------------------------------------------------------------------------------------------------- PyTorch


def torchs(contender: str, case: str, device: str, seconds: float, weights: int) -> dict[str, Any]:
    import torch

    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    if case in STEPS:
        network = STEPS[case]
        model = networks.stacked(torch.nn, torch.nn.Sequential, network).to(device)
        optimizer = torch.optim.Adam(model.parameters(), lr=network.lr, fused=True)
        images, labels = networks.data(network)
        batches = networks.in_turn(*([torch.tensor(a, device=device) for a in arrays] for arrays in (images, labels)))
        cross_entropy = torch.nn.functional.cross_entropy
        if contender == "torch compiled":
            loss = torch.compile(lambda x, y: cross_entropy(model(x), y), mode="reduce-overhead")
            step = networks.training_step(lambda x: x, loss, optimizer)
        else:
            step = networks.training_step(model, cross_entropy, optimizer)
        return {"time": groups(lambda: step(*next(batches)), wait, seconds)}
    if case != ADAM or contender == "torch compiled":
        raise turns.Skip("not compared")
    w = torch.nn.Parameter(torch.ones(weights, device=device))
    w.grad = torch.ones_like(w)
    optimizer, other = torch.optim.Adam([w], fused=True), w.detach().clone()
    copied = groups(lambda: other.copy_(w.detach()), wait, seconds, 5)
    return shares(groups(optimizer.step, wait, seconds, 5), copied, weights)


def measure(contender: str, case: str, device: str, seconds: float, weights: int) -> dict[str, Any]:
    run = torchs if contender.startswith("torch") else tinynets
    return run(contender, case, device, seconds, weights)


def gpu() -> dict[str, Any]:
    """What the GPU is, and the versions beneath CuPy."""
    import cupy

    runtime = cupy.cuda.runtime
    told = runtime.getDeviceProperties(0)
    return {
        "name": told["name"].decode(),
        "memory": told["totalGlobalMem"],
        "compute capability": f"{told['major']}.{told['minor']}",
        "driver": runtime.driverGetVersion(),
        "CUDA": runtime.runtimeGetVersion(),
        "CuPy": cupy.__version__,
    }


def main() -> None:
    parser = turns.arguments(__doc__, CASES, CONTENDERS)
    parser.set_defaults(json=Path("out/gpu.json"))
    args = parser.parse_args()
    try:
        import tinynet as tn

        tn.set_default_device("cuda")
    except tn.DeviceError as error:
        print(f"benchmarks.gpu needs a GPU, and there is none to use here: {error}", file=sys.stderr)
        sys.exit(1)
    settings = {"seconds": 0.2, "weights": 1_000_000} if args.quick else {"seconds": 2.0, "weights": 100_000_000}
    results = turns.compete("gpu", args, device="cuda", **settings)
    steps = [r for r in results if r.case in STEPS]
    if steps:
        print(turns.table(steps, "time", "µs a step", against=["torch"]))
        print(turns.table(steps, "time", "µs a step, captured", over="captured", against=["torch", "torch compiled"]))
    for r in results:
        if r.case not in STEPS and not r.skipped:
            numbers = {name: turns.number(r.median(name)) if r.median(name) > 0.01 else r.median(name) for name in r.values}
            print(f"{r.case}, {r.contender}: {numbers}")
    turns.finish(args, "gpu", results, gpu=gpu(), unit="microseconds a step")


if __name__ == "__main__":
    main()
