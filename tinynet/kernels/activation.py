"""What activations do to a gradient, element by element, in one pass over memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from .compiled import LOOPS_FROM
from .team import shared

GRAIN = 16384  # elements of a part: about 5 us


def relu_grad(g: Any, y: Any) -> Any:
    """g where y is not 0 (NaN is not), 0 elsewhere: g (y != 0).

    Measured, float32, 128 x 1000: array code 73 us, which writes y != 0 first, compiled 20, shared by two threads 11.
    """
    us = shared(g, y) if g.size >= LOOPS_FROM and g.shape == y.shape else None
    if us is None or not (g.flags.c_contiguous and y.flags.c_contiguous):
        return g * (y != 0)
    gx = np.empty_like(g)
    us.loops.masked(us.team, GRAIN, us.loops.masked_part, g.reshape(-1), y.reshape(-1), gx.reshape(-1))
    return gx
