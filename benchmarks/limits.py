"""How far each training step of step_time.py is above the least that this machine allows, op by op.

    python -m benchmarks.limits
    python -m benchmarks.limits --only LeNet --threads 1

The floor is that of floors.py: the step's matrix products in their very shapes, and its unavoidable bytes at the rate of a
copy. tinynet's step is split by timers put around the ops from outside, one around each forward and each gradient rule;
what is left of forward and backward is the engine: recording, walking the graph, adding gradients, undoing broadcasting.
Ops stand in the order of the step, below the layer whose matrix product they follow; "above" is what there is to gain.
The timers add about half a microsecond to each call: "untimed" is the same step without them.

Measured on 30 November 2026, AMD EPYC (Zen 4), two cores in a quiet minute, NumPy 2.4.6, Numba 0.68.1, in us. "Peak" is the
step's products at the 232 GFLOP/s that both cores reach in registers alone, and its optimizer's bytes at a copy's rate:

                                    tinynet  PyTorch   peak   above it
    784-256-128-10, batch 64            505      905    317   188: optimizer 51, engine 46, last layer and loss 24
    784-256-128-10, batch 128, SGD      810    1,190    572   238: engine 44, last layer and loss 35, optimizer 21
    784-1000-1000-10, batch 128       6,980    8,750  5,605   1,375: optimizer 247, engine 129, last layer and loss 119

and the large products for the rest, at 80 to 85% of the peak. The aims are 0.6, 0.6 and 0.65 of PyTorch's time. The first is
met. The second, 714, would take products at 93% of the peak with all else as it is. The third, 5,690, lies 85 above the
peak: besides products at 98% of it, all else would have to be done while they run, a weight's gradient by the team while
Python goes on to the next op, the optimizer while the last gradients are computed.
"""

from __future__ import annotations

import statistics
import sys
import time
from typing import Any

from . import turns
from .networks import NETWORKS, Network, data, in_turn, stacked

CONTENDERS = {"tinynet": turns.OURS, "array code": turns.ARRAY_CODE}
COLUMNS = ("forward", "floor", "backward", "floor", "above", "share")


class Split:
    """Timers around the forward and the rules of every op, while it is entered.

    ``calls`` has for each outermost call (a rule or a forward may call further ops) its way ("forward" or "backward"), op,
    seconds, and, where ``keep`` is set, the output and the inputs, by which the caller sees what belongs together.
    """

    def __init__(self) -> None:
        self.calls: list[tuple] = []
        self.keep, self.inside = False, False
        self.undo: list[Any] = []

    def __enter__(self) -> Split:
        from tinynet.op import OPS, Op

        for module in [m for name, m in sys.modules.items() if name.partition(".")[0] == "tinynet"]:
            for function in list(vars(module).values()):
                if isinstance(getattr(function, "op", None), Op) and getattr(function, "__closure__", None):
                    self.wrap_forward(function)
        for op in OPS.values():
            self.undo.append(lambda op=op, rules=op.rules, joint=op.joint: self.put_back(op, rules, joint))
            if op.joint is not None:
                op.joint = self.timed(op.joint, "backward", op)
            elif isinstance(op.rules, tuple):
                op.rules = tuple(rule and self.timed(rule, "backward", op) for rule in op.rules)
        return self

    def wrap_forward(self, function: Any) -> None:
        cell = function.__closure__[function.__code__.co_freevars.index("forward")]
        if not hasattr(cell.cell_contents, "timed"):
            forward = cell.cell_contents
            cell.cell_contents = self.timed(forward, "forward", function.op)
            self.undo.append(lambda: setattr(cell, "cell_contents", forward))

    @staticmethod
    def put_back(op: Any, rules: Any, joint: Any) -> None:
        op.rules, op.joint = rules, joint

    def __exit__(self, *exception: object) -> None:
        for undo in self.undo:
            undo()

    def timed(self, function: Any, way: str, op: Any) -> Any:
        def call(*inputs: Any, **keywords: Any) -> Any:
            if self.inside:
                return function(*inputs, **keywords)
            self.inside = True
            start = time.perf_counter()
            try:
                y = function(*inputs, **keywords)
            finally:
                took = time.perf_counter() - start
                self.inside = False
            self.calls.append((way, op, took, *((y, inputs) if self.keep else ())))
            return y

        call.timed = True  # type: ignore[attr-defined]
        return call


def places(calls: list[tuple], weights: list[int]) -> tuple[list[int], list[tuple[int, str]]]:
    """For each call of a step the row that it belongs to; and for each row the number of its group, and its name.

    A row is a forward and its rules. A group begins at the op that takes a layer's weight: ``weights``, their ids.
    """
    rows: list[tuple[int, str]] = []
    row_of: dict[int, int] = {}  # by the output's id
    which, group = [], -1
    for way, op, _, y, inputs in calls:
        if way == "forward":
            group = max([group, *(weights.index(id(x)) for x in inputs if id(x) in weights)])
            row_of[id(y)] = len(rows)
            rows.append((max(group, 0), f"{op.name} {tuple(getattr(y, 'shape', ()))}"))
            which.append(len(rows) - 1)
        else:
            which.append(row_of.get(id(inputs[1]), len(rows) - 1))  # inputs: g, y, ...
    return which, rows


def one_step(model: Any, loss: Any, optimizer: Any, x: Any, y: Any) -> tuple[float, float, float, float]:
    """The seconds of the forward pass, of zero_grad, of the backward pass and of the optimizer."""
    now = time.perf_counter
    start = now()
    value = loss(model(x), y)
    forward = now()
    optimizer.zero_grad()
    cleared = now()
    value.backward()
    back = now()
    optimizer.step()
    return forward - start, cleared - forward, back - cleared, now() - back


def split(network: Network, seconds: float) -> dict[str, Any]:
    """Medians in microseconds of every row, both ways, and of the parts of the step."""
    import tinynet as tn

    model = stacked(tn.layers, tn.Sequential, network)
    optimizer = getattr(tn.optim, network.optimizer)(model, lr=network.lr)
    images, labels = data(network)
    turn = in_turn([tn.tensor(x) for x in images], [tn.tensor(y) for y in labels])

    def step():
        return one_step(model, tn.functions.cross_entropy, optimizer, *next(turn))

    def untimed(budget):
        times, end = [], time.perf_counter() + budget
        while len(times) < 3 or time.perf_counter() < end:
            times.append(sum(step()))
        return statistics.median(times) * 1e6

    untimed(0.3)  # warms up
    whole = untimed(seconds)
    with Split() as timers:
        timers.keep = True
        step()
        weights = [id(p.data) for p in model.parameters() if p.ndim > 1]
        which, rows = places(timers.calls, weights)
        ways = [call[0] for call in timers.calls]
        timers.keep = False
        times: list[list[float]] = [[] for _ in which]
        parts: list[list[float]] = [[] for _ in range(4)]
        end = time.perf_counter() + seconds
        while len(parts[0]) < 3 or time.perf_counter() < end:
            timers.calls.clear()
            for part, took in zip(parts, step(), strict=True):
                part.append(took)
            for each, call in zip(times, timers.calls, strict=True):
                each.append(call[2])
    table = [{"group": group, "op": name, "forward": 0.0, "backward": 0.0} for group, name in rows]
    for row, way, each in zip(which, ways, times, strict=True):
        table[row][way] += statistics.median(each) * 1e6
    zero, update = (statistics.median(parts[i]) * 1e6 for i in (1, 3))
    engine = {}
    for way, part in (("forward", parts[0]), ("backward", parts[2])):
        inside = zip(*(each for each, its in zip(times, ways, strict=True) if its == way), strict=True)
        engine[way] = statistics.median(a - sum(ops) for a, ops in zip(part, inside, strict=True)) * 1e6
    count = sum(p.size for p in model.parameters())
    return {"rows": table, "engine": engine, "zero_grad": zero, "optimizer": update, "untimed": whole, "weights": count}


def measure(contender: str, case: str, seconds: float, budget: float) -> dict[str, Any]:
    """The split of a step and its floors. ``budget``: seconds for each product and copy."""
    network = NETWORKS[case]
    found = split(network, seconds)

    import tinynet as tn

    from . import floors

    x = tn.tensor(data(network)[0][0])
    shapes = [x.shape]
    with tn.no_grad():
        for layer in stacked(tn.layers, tn.Sequential, network):
            x = layer(x)
            shapes.append(x.shape)
    found["groups"] = [group._asdict() for group in floors.groups(network, shapes, budget)]
    found["optimizer floor"] = floors.optimizer_floor(network, found["weights"], budget)
    return {"split": found}


def merged(rounds: list[Any]) -> Any:
    """Medians over the rounds, number by number."""
    first = rounds[0]
    if isinstance(first, dict):
        return {key: merged([r[key] for r in rounds]) for key in first}
    if isinstance(first, list):
        return [merged(list(each)) for each in zip(*rounds, strict=True)]
    return first if isinstance(first, str) else statistics.median(rounds)


def report(case: str, found: dict[str, Any]) -> str:
    """The table of one network."""
    least = sum(g["forward"] + g["backward"] for g in found["groups"]) + found["optimizer floor"]
    whole = found["untimed"]
    lines = [f"{case}: {whole:,.0f} µs untimed, floor {least:,.0f} µs, {whole / least:.2f} x"]
    lines.append(f"{'µs':<40}" + "".join(f"{c:>10}" for c in COLUMNS))

    def line(name, forward=None, low=None, backward=None, back_low=None, above=None):
        cells = [forward, low, backward, back_low, above]
        text = "".join(f"{'' if c is None else turns.number(c):>10}" for c in cells)
        lines.append(f"{name:<40}{text}" + (f"{above / whole:>10.0%}" if above is not None else ""))

    for i, group in enumerate(found["groups"]):
        rows = [row for row in found["rows"] if row["group"] == i]
        forward, backward = sum(row["forward"] for row in rows), sum(row["backward"] for row in rows)
        above = forward + backward - group["forward"] - group["backward"]
        line(group["name"], forward, group["forward"], backward, group["backward"], above)
        for row in rows:
            line(f"    {row['op']}", row["forward"], None, row["backward"] or None)
    engine, zero = found["engine"], found["zero_grad"]
    line("engine: recording, walking", engine["forward"], None, engine["backward"], None, sum(engine.values()))
    line("zero_grad", None, None, zero, None, zero)
    low = found["optimizer floor"]
    line("optimizer", None, None, found["optimizer"], low, found["optimizer"] - low)
    flops = sum(g["flops"] for g in found["groups"])
    lines.append(f"products: {flops / 1e6:,.1f} million operations; at the floor {flops / least / 1e3:,.0f} GFLOP/s in all")
    return "\n".join(lines)


def main() -> None:
    parser = turns.arguments(__doc__, NETWORKS, CONTENDERS)
    parser.add_argument("--seconds", type=float, default=1.0, help="of steps in each process (default: %(default)s)")
    args = parser.parse_args()
    args.contenders = args.contenders or ["tinynet"]
    seconds, budget = (0.05, 0.002) if args.quick else (args.seconds, 0.1)
    results = turns.compete("limits", args, seconds=seconds, budget=budget)
    for result in results:
        if result.values and not result.error:
            found = merged(result.values["split"])
            print(f"{result.contender}, {report(result.case, found)}\n")
    turns.finish(args, "limits", results, unit="microseconds")


if __name__ == "__main__":
    main()
