"""Rows looked up in a table, and their gradients added back to it, beside PyTorch's.

    python -m benchmarks.embedding

One thread, float32; microseconds of CPU, medians over the calls of a process, then over the rounds. "add.at" is what the way
back would be with NumPy's function as it is, and "zeros" what making the gradient's array alone takes, which is dense.
"""

from __future__ import annotations

from collections.abc import Callable

from . import turns
from .turns import Contender

# (rows, width, how many are looked up)
CASES = {"{} x {}, {}".format(*c): c for c in [(1000, 64, 256), (10_000, 128, 4096), (50_000, 256, 8192)]}
PLAIN = Contender("numpy", ("numpy",))
CONTENDERS = {
    "tinynet": turns.OURS,
    "array code": turns.ARRAY_CODE,
    "add.at": PLAIN,
    "zeros": PLAIN,
    "torch": turns.TORCH,
}


def call_of(contender: str, rows: int, width: int, n: int) -> Callable[[], object]:
    """A look-up and the gradient of its table, or the part of that which a contender is."""
    import numpy as np

    rng = np.random.default_rng(0)
    table, ids = rng.random((rows, width), "float32"), rng.integers(0, rows, n)
    g = rng.random((n, width), "float32")
    if contender == "zeros":
        return lambda: np.zeros_like(table).fill(0)
    if contender == "add.at":
        return lambda: (table[ids], np.add.at(np.zeros_like(table), ids, g))
    if contender == "torch":
        import torch

        chosen, gradient, weight = torch.tensor(ids), torch.tensor(g), torch.tensor(table, requires_grad=True)
        return lambda: torch.autograd.grad(torch.nn.functional.embedding(chosen, weight), weight, gradient)
    import tinynet as tn

    parameter = tn.Parameter(table)
    return lambda: tn.grad(tn.functions.embedding(ids, parameter), parameter, g)


def measure(contender: str, case: str, seconds: float) -> dict[str, list[float]]:
    return {"time": [ms * 1e3 for ms in turns.milliseconds(call_of(contender, *CASES[case]), seconds)]}


def main() -> None:
    parser = turns.arguments(__doc__, CASES, CONTENDERS)
    parser.set_defaults(threads=1)
    args = parser.parse_args()
    results = turns.compete("embedding", args, together=True, seconds=0.0 if args.quick else 0.5)
    print(turns.table(results, "time", "rows x width, looked up; µs"))
    turns.finish(args, "embedding", results, unit="microseconds of CPU")


if __name__ == "__main__":
    main()
