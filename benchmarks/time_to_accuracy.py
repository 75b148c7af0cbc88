"""Seconds of training until 97, 98 and 99% of MNIST's test images are read right, beside PyTorch's plain loop.

    python -m benchmarks.time_to_accuracy
    python -m benchmarks.time_to_accuracy --only LeNet --rounds 5 --picture out/time_to_accuracy.png

Every round is another seed, and every training a process of its own. All train the same network with the same optimizer
(Adam, PyTorch's fused), batch and schedule (a cosine over the epochs), from their own initialisation, which is the same
rule. "torch" is the loop of PyTorch's own introduction, with its DataLoader; "torch, sliced" takes batches by indexing
whole tensors, which is faster and what tinynet's DataLoader does. The clock runs from the first batch, so that what is
compiled or loaded at the first step counts; it stands still while the test images are read, four times an epoch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from . import turns
from .networks import NETWORKS, Network, stacked
from .turns import Result

CONTENDERS = {"tinynet": turns.OURS, "torch": turns.TORCH, "torch, sliced": turns.TORCH, "array code": turns.ARRAY_CODE}
GOALS = (97, 98, 99)
LR, BATCH, LOOKS = 0.002, 64, 4
# name: (network, epochs)
CASES = {
    "784-256-128-10": (NETWORKS["784-256-128-10, 64"], 8),
    "LeNet-5": (NETWORKS["LeNet-5, 64"], 6),
    "conv 32, conv 64": (NETWORKS["conv 32, conv 64, 64"], 2),
}


class Training(NamedTuple):
    """What a library brings: batches of an epoch, a step on one, the end of an epoch, and the accuracy on the test set."""

    epoch: Callable[[], Iterable[tuple[Any, Any]]]
    step: Callable[[Any, Any], None]
    epoch_ends: Callable[[], None]
    accuracy: Callable[[], float]


def digits(network: Network, limit: int | None) -> list[tuple]:
    """(images, labels) to train with and to test with, as NumPy arrays in the shape that the network takes."""
    from tinynet.datasets import MNIST

    sets = [MNIST(split).arrays for split in ("train", "test")]
    return [(x[:limit].reshape(-1, *network.shape), y[:limit]) for x, y in sets]


def tinynets(network: Network, epochs: int, seed: int, limit: int | None) -> Training:
    import tinynet as tn
    from tinynet.data import DataLoader

    tn.manual_seed(seed)
    train, test = digits(network, limit)
    model = stacked(tn.layers, tn.Sequential, network)
    optimizer = tn.optim.Adam(model, lr=LR)
    scheduler = tn.optim.schedulers.CosineAnnealingLR(optimizer, T_max=epochs)
    loader, looks = DataLoader(train, BATCH, shuffle=True), DataLoader(test, 1000)

    def step(x, y):
        loss = tn.functions.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def accuracy():
        with tn.no_grad():
            return sum(int((model(x).numpy().argmax(1) == y.numpy()).sum()) for x, y in looks) / len(test[1])

    return Training(lambda: loader, step, scheduler.step, accuracy)


def torchs(network: Network, epochs: int, seed: int, limit: int | None, sliced: bool = False) -> Training:
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    torch.manual_seed(seed)
    (x, y), test = ([torch.tensor(a) for a in arrays] for arrays in digits(network, limit))
    model = stacked(torch.nn, torch.nn.Sequential, network)
    optimizer = torch.optim.Adam(model.parameters(), lr=LR, fused=True)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs)
    loader, looks = DataLoader(TensorDataset(x, y), BATCH, shuffle=True), DataLoader(TensorDataset(*test), 1000)

    def slices():
        order = torch.randperm(len(x))
        return ((x[some], y[some]) for some in order.split(BATCH))

    def step(x, y):
        loss = torch.nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def accuracy():
        with torch.no_grad():
            return sum(int((model(x).argmax(1) == y).sum()) for x, y in looks) / len(test[1])

    return Training(slices if sliced else lambda: loader, step, scheduler.step, accuracy)


BUILDERS = {
    "tinynet": tinynets,
    "array code": tinynets,
    "torch": torchs,
    "torch, sliced": lambda *arguments: torchs(*arguments, sliced=True),
}


def measure(contender: str, case: str, seed: int, epochs: int | None, limit: int | None) -> dict[str, Any]:
    """The seconds until each goal (None: never), and (seconds, accuracy in percent) at every look."""
    network, usual = CASES[case]
    epochs = epochs or usual
    training = BUILDERS[contender](network, epochs, seed, limit)
    batches = -(-(limit or 60_000) // BATCH)
    looks = {round(batches * (i + 1) / LOOKS) for i in range(LOOKS)}
    curve, seconds, start = [], 0.0, time.perf_counter()
    for _ in range(epochs):
        for i, (x, y) in enumerate(training.epoch(), 1):
            training.step(x, y)
            if i in looks:
                seconds += time.perf_counter() - start
                curve.append((seconds, 100 * training.accuracy()))
                start = time.perf_counter()
        training.epoch_ends()
    goals = {f"{goal}%": next((s for s, percent in curve if percent >= goal), None) for goal in GOALS}
    return {**goals, "accuracy": curve[-1][1], "an epoch": seconds / epochs, "curve": tuple(curve)}


def draw(args: Any, results: list[Result]) -> None:
    """Accuracy over seconds: a thin line for each seed, in the contender's colour."""
    cases = list(dict.fromkeys(r.case for r in results))
    made = turns.figure(args, len(cases))
    if made is None:
        return
    drawn, axes = made
    names = list(dict.fromkeys(r.contender for r in results))
    for axis, case in zip(axes[0], cases, strict=True):
        for result in (r for r in results if r.case == case):
            for i, curve in enumerate(result.values.get("curve", [])):
                colour = f"C{names.index(result.contender)}"
                axis.plot(*zip(*curve, strict=True), color=colour, lw=1, label=None if i else result.contender)
        for goal in GOALS:
            axis.axhline(goal, color="gray", lw=0.5, ls=":")
        axis.set(
            title=case, xlabel="seconds of training", ylabel="% of the test images right", xlim=(0, None), ylim=(94, 99.6)
        )
        axis.legend(loc="lower right")
    turns.save(args, drawn)


def main() -> None:
    parser = turns.arguments(__doc__, CASES, CONTENDERS)
    parser.add_argument(
        "--epochs", type=int, help=f"of each (default: {', '.join(f'{c} {e}' for c, (_, e) in CASES.items())})"
    )
    parser.add_argument("--picture", type=Path, metavar="PATH", default=Path("out/time_to_accuracy.png"))
    args = parser.parse_args()
    args.contenders = args.contenders or [*CONTENDERS][:3]
    epochs, limit = (1, 640) if args.quick else (args.epochs, None)
    results = turns.compete("time_to_accuracy", args, numbered="seed", epochs=epochs, limit=limit)
    for name in (*(f"{goal}%" for goal in GOALS), "an epoch"):
        print(turns.table(results, name, f"seconds: {name}") + "\n")
    print(turns.table(results, "accuracy", "% right at the end", against=()))
    draw(args, results)
    turns.finish(args, "time_to_accuracy", results, unit="seconds of training; percent")


if __name__ == "__main__":
    main()
