"""Time per sample as batches and widths grow, beside PyTorch's: the cost beyond the arithmetic, and whether it scales.

    python -m benchmarks.growth
    python -m benchmarks.growth --only width --picture out/growth.png

Training steps (forward, loss, backward, Adam; PyTorch's fused) of 784-256-128-10 and of LeNet-5 with batches of 16 to 4,096,
and of 784-w-w-10 with widths w of 32 to 4,096 and batches of 128. The time per sample must never rise with the batch, as
a larger batch does the same arithmetic and shares the overhead; where it does rise, by more than 5%, that is said.
"""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from pathlib import Path
from typing import Any

from . import step_time, turns
from .networks import NETWORKS, Network, mlp
from .turns import Result

CONTENDERS = {name: step_time.CONTENDERS[name] for name in ("tinynet", "torch", "array code")}
BATCHES, WIDTHS = [2**i for i in range(4, 13)], [2**i for i in range(5, 13)]
FAMILIES = {"784-256-128-10": BATCHES, "LeNet-5": BATCHES, "784-w-w-10": WIDTHS}
RISES = 1.05


def named(family: str, number: int) -> str:
    return f"{family}, {'width' if 'w' in family else 'batch'} {number}"


def network(family: str, number: int) -> Network:
    if "w" in family:
        return Network(mlp(784, number, number, 10), 128)
    return dataclasses.replace(NETWORKS[f"{family}, 64"], batch=number)


CASES = {named(family, number): (family, number) for family, numbers in FAMILIES.items() for number in numbers}


def measure(contender: str, case: str, seconds: float) -> dict[str, list[float]]:
    """Microseconds per sample."""
    made = network(*CASES[case])
    return {"time": [t / made.batch for t in step_time.timed(made, contender, seconds, seconds / 2)]}


def rises(results: list[Result]) -> list[str]:
    """Where a larger batch takes longer per sample than the smaller one before it."""
    found = []
    for before, after in pairwise(results):
        (family, small), (other, large) = CASES[before.case], CASES[after.case]
        a, b = before.median("time"), after.median("time")
        if family == other and "w" not in family and b > RISES * a:
            name = f"{after.contender}, {family}"
            found.append(
                f"{name}: {turns.number(a)} µs a sample in batches of {small}, {turns.number(b)} in those of {large}"
            )
    return found


def draw(args: Any, results: list[Result]) -> None:
    """Microseconds per sample over the batch or width, both axes logarithmic."""
    made = turns.figure(args, len(FAMILIES))
    if made is None:
        return
    from matplotlib import ticker

    drawn, axes = made
    for axis, family in zip(axes[0], FAMILIES, strict=True):
        for name in dict.fromkeys(r.contender for r in results):
            its = [r for r in results if r.contender == name and CASES[r.case][0] == family]
            points = [(CASES[r.case][1], r.median("time")) for r in its]
            if points:
                axis.loglog(*zip(*points, strict=True), "o-", ms=3, label=name)
        what = "width" if "w" in family else "batch"
        axis.set(title=family, xlabel=what, ylabel="µs per sample")
        axis.set_xticks(FAMILIES[family], [f"{n:,}" for n in FAMILIES[family]], rotation=45)
        axis.minorticks_off()
        axis.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_major_formatter(ticker.FuncFormatter(lambda y, _: f"{y:g}"))
        axis.legend()
        axis.grid(alpha=0.3)
    turns.save(args, drawn)


def main() -> None:
    parser = turns.arguments(__doc__, CASES, CONTENDERS)
    parser.add_argument("--seconds", type=float, default=0.4, help="of steps of each (default: %(default)s)")
    parser.add_argument("--picture", type=Path, metavar="PATH", default=Path("out/growth.png"))
    args = parser.parse_args()
    args.contenders = args.contenders or ["tinynet", "torch"]
    if args.quick:
        args.all_cases = tuple(case for case, (_, number) in CASES.items() if number <= 64)
    results = turns.compete("growth", args, together=True, seconds=0.01 if args.quick else args.seconds)
    print(turns.table(results, "time", "µs per sample"))
    for name in dict.fromkeys(r.contender for r in results):
        print("\n".join(["", *rises([r for r in results if r.contender == name])]), end="")
    draw(args, results)
    turns.finish(args, "growth", results, unit="microseconds per sample")


if __name__ == "__main__":
    main()
