"""Adding rows at places that may repeat, on a GPU: at once, or in an order that is always the same.

At once, threads add to a sum in whatever order they come (``atomicAdd``), and its last digits differ from run to run. In
order: the places are sorted, stably, and the first of equal ones adds up all their rows, one after the other.
"""

from __future__ import annotations

from typing import Any

from .launch import start

SOURCE = """
extern "C" __global__ void add_at_once(real *total, const whole *places, const real *g, whole count, whole width) {
    EACH(i, count * width) atomicAdd(total + places[i / width] * width + i % width, g[i]);
}

extern "C" __global__ void add_in_order(real *total, const whole *places, const whole *order, const real *g,
                                        whole count, whole width) {
    EACH(i, count * width) {
        whole k = i / width, j = i % width, place = places[order[k]];
        if (k == 0 || places[order[k - 1]] != place) {
            real sum = total[place * width + j];
            for (; k < count && places[order[k]] == place; k++) sum += g[order[k] * width + j];
            total[place * width + j] = sum;
        }
    }
}
"""


def add_rows(total: Any, places: Any, g: Any, in_order: bool) -> None:
    """``total[places] += g`` for total ``(rows, width)``, int64 places ``(n,)`` in [0, rows) and g ``(n, width)``."""
    count, width = g.shape
    if in_order:
        order = places.argsort()
        start(total, SOURCE, "add_in_order", g.size, total, places, order, g, count, width)
    else:
        start(total, SOURCE, "add_at_once", g.size, total, places, g, count, width)
