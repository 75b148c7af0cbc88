"""What a user waits for before training: the import, the first step with compiled loops on disk and without, the data.

    python -m benchmarks.startup
    python -m benchmarks.startup --only import --rounds 9

In seconds, each in a fresh process. The import is beyond that of NumPy, which is there already. The first step (forward,
loss, backward, Adam) begins when the library is imported and the network built; "cold" has an empty folder for compiled
loops, "warm" one in which they lie. Aims: import below 0.25 s, first step below 0.3 s warm and 15 s cold; MNIST 1.5 s.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

from . import turns
from .networks import NETWORKS
from .turns import Contender

CONTENDERS = {"tinynet": turns.OURS, "array code": turns.ARRAY_CODE, "torch": Contender("torch")}
IMPORT = "import numpy, time; start = time.perf_counter(); import {0}; print(time.perf_counter() - start)"
STEP = """
import time
from benchmarks import networks
step, batches = networks.{0}s(networks.NETWORKS[{1!r}])
x, y = next(batches)
start = time.perf_counter()
step(x, y)
print(time.perf_counter() - start)
"""
MNIST = """
import time
from tinynet.datasets import MNIST
start = time.perf_counter()
MNIST("train"), MNIST("test")
print(time.perf_counter() - start)
"""
FIRST = [name for name in NETWORKS if "SGD" not in name and "1000" not in name]
CASES = (
    *("import", "MNIST, both splits"),
    *(f"first step {how}: {name}" for how in ("warm", "cold") for name in FIRST),
)


def in_a_process(code: str, **environment: str) -> float:
    """The number that a fresh interpreter prints. It may keep the bytecode of what it imports, as it does for users."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env={**kept, **environment}, capture_output=True, check=False, text=True)
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ["it died"])[-1])
    return float(done.stdout.split()[-1])


def second(code: str) -> float:
    """That of the second run: the first may have compiled loops or bytecode, and read files from the disk."""
    in_a_process(code)
    return in_a_process(code)


def measure(contender: str, case: str) -> dict[str, float]:
    library = "torch" if contender == "torch" else "tinynet"
    if case == "import":
        return {"time": second(IMPORT.format(library))}
    if case.startswith("MNIST"):
        if contender != "tinynet":
            raise turns.Skip("PyTorch itself reads no MNIST, and compiled loops have no part in it")
        return {"time": second(MNIST)}
    how, _, name = case.removeprefix("first step ").partition(": ")
    code = STEP.format(library, name)
    if how == "cold" and contender != "tinynet":
        raise turns.Skip("nothing is compiled")
    if how == "warm":
        return {"time": second(code)}
    with tempfile.TemporaryDirectory() as empty:
        return {"time": in_a_process(code, TINYNET_CACHE=empty)}


def main() -> None:
    parser = turns.arguments(__doc__, CASES, CONTENDERS)
    args = parser.parse_args()
    if args.quick:
        args.all_cases = tuple(case for case in CASES if "cold" not in case)
    results = turns.compete("startup", args)
    print(turns.table(results, "time", "s"))
    turns.finish(args, "startup", results, unit="seconds")


if __name__ == "__main__":
    main()
