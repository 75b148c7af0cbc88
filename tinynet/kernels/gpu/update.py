"""An update rule as one CUDA kernel over all the arrays of a group, and the joint norm of their gradients as another.

The one idea: a kernel is handed a table, by value, with a row for each parameter: its size, which row of ``values`` has its
numbers, and where its weight, its gradient and its buffers lie. So nothing is copied together, and arrays may come and go
between two steps. The body is the traced rule, in C as it is in Python.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ...backend import array_module
from ..source import c_source
from ..trace import Trace
from .launch import BLOCK, start

ROOM = 448  # numbers in a table: an argument of 3.5 KiB, of the 4 that all arguments of a kernel may have
TABLE = np.dtype([("rows", np.int64, (ROOM,))])
PARTS = 256  # blocks for each array of which squares are summed, at most

SOURCE = f"""
struct Table {{ whole rows[{ROOM}]; }};

// Of each array the squares, summed in double precision by every block: the same sum in every run.
extern "C" __global__ void squares(const Table table, double *sums) {{
    const whole *row = table.rows + blockIdx.y * 2;
    const real *x = (const real *)row[1];
    __shared__ double parts[4];
    double sum = 0;
    for (whole i = blockIdx.x * (whole)blockDim.x + threadIdx.x; i < row[0]; i += (whole)gridDim.x * blockDim.x)
        sum += (double)x[i] * x[i];
    sum = warp_sum(sum);
    if (LANE == 0) parts[threadIdx.x / 32] = sum;
    __syncthreads();
    if (threadIdx.x == 0) sums[blockIdx.y * (whole)gridDim.x + blockIdx.x] = parts[0] + parts[1] + parts[2] + parts[3];
}}
"""


@functools.lru_cache(maxsize=256)
def update_source(rule: Trace) -> str:
    """``update(table, values)``: rule by rule, as the body of a loop over the elements of one parameter."""
    columns = 2 + len(rule.arrays)
    return "\n".join(
        [
            f"struct Table {{ whole rows[{ROOM}]; }};",
            'extern "C" __global__ void update(const Table table, const real *values) {',
            f"    const whole *row = table.rows + blockIdx.y * {columns};",
            f"    const real *numbers = values + row[1] * {len(rule.numbers)};",
            *(f"    const real n{j} = numbers[{j}];" for j in range(len(rule.numbers))),
            *(f"    real *{name}_at = (real *)row[{j}];" for j, name in enumerate(rule.arrays, 2)),
            "    EACH(i, row[0]) {",
            *(f"        real &{name}_ = {name}_at[i];" for name in rule.arrays),
            *(f"        {line}" for line in c_source(rule, "real").splitlines()),
            "    }",
            "}",
        ]
    )


def _tables(rows: list[list[int]]) -> Any:
    """The rows in tables with room for as many as go into one; with each how many they are, and the largest size."""
    at_once = ROOM // len(rows[0])
    for first in range(0, len(rows), at_once):
        some = rows[first : first + at_once]
        table = np.zeros((), TABLE)
        table["rows"][: len(some) * len(some[0])] = np.ravel(some)
        yield table, len(some), max(row[0] for row in some)


def run(rule: Trace, parameters: list[tuple], places: list[int], values: Any) -> None:
    """Overwrite the weight and the buffers of each parameter, all of one dtype on one GPU.

    ``parameters``: the weight, the gradient and the buffers of each; ``places``: which row of ``values``, an array there,
    has its numbers.
    """
    like = parameters[0][0]
    rows = [[a[0].size, place, *(x.data.ptr for x in a)] for a, place in zip(parameters, places, strict=True)]
    for table, count, most in _tables(rows):
        start(like, update_source(rule), "update", most, table, values, rows=count)


def square_sum(arrays: list[Any]) -> Any:
    """The sum of the squares of all elements of arrays of one dtype on one GPU: a float64 array there without axes."""
    xp, parts = array_module(arrays[0]), []
    for table, count, most in _tables([[a.size, a.data.ptr] for a in arrays]):
        blocks = max(1, min(PARTS, most // (8 * BLOCK)))
        sums = xp.empty((count, blocks), np.float64)
        start(arrays[0], SOURCE, "squares", blocks * BLOCK, table, sums, rows=count)
        parts.append(sums.sum())
    return parts[0] if len(parts) == 1 else xp.stack(parts).sum()
