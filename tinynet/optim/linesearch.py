"""How far to go in a direction: a search for a step that fulfils the strong Wolfe conditions.

The one idea: along the direction the loss is a function of one number t. Its values and slopes at two points give a cubic,
and the minimum of that is where to look next.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple


class Trial(NamedTuple):
    """A place along the direction: how far it is, the loss and its slope there, and the whole gradient."""

    t: float
    loss: float
    slope: float
    grad: Any


def strong_wolfe(
    evaluate: Callable[[float], Trial],
    start: Trial,
    t: float,
    most: int,
    shortest: float,
    c1: float = 1e-4,
    c2: float = 0.9,
) -> Trial:
    """A place whose loss is lower by c1 of what the first slope promises, and whose slope is at most c2 of that one in size.

    loss(t) <= loss(0) + c1 t slope(0),  |slope(t)| <= -c2 slope(0): Nocedal, Wright 2006, "Numerical Optimization",
    algorithms 3.5 and 3.6. ``t`` is where to look first, ``start`` the place t = 0, whose slope is negative. After ``most``
    further looks, or when the places between which it must lie are closer than ``shortest``, the best one found is taken.
    Safeguards as in PyTorch: the first part goes ahead by 1 to 900 per cent, the second keeps a tenth of the way from both
    ends when it has not got on. Of two places PyTorch goes on from the lower one, here it must be low enough, as in the
    book: from a first look a thousand times too far PyTorch's search may narrow down to where no such place is.
    """

    def too_high(trial: Trial) -> bool:
        return trial.loss > start.loss + c1 * trial.t * start.slope

    def flat_enough(trial: Trial) -> bool:
        return abs(trial.slope) <= -c2 * start.slope

    previous, trial = start, evaluate(t)
    for looks in range(most):  # go ahead, until a good place lies between the last two
        if too_high(trial) or (looks > 0 and trial.loss >= previous.loss):
            break
        if flat_enough(trial):
            return trial
        if trial.slope >= 0:
            break
        t = cubic_minimum(previous, trial, trial.t + 0.01 * (trial.t - previous.t), 10 * trial.t)
        previous, trial = trial, evaluate(t)
    else:
        return start if start.loss <= trial.loss else trial

    ends, stuck = [previous, trial], False
    low = 0 if too_high(trial) or previous.loss <= trial.loss else 1  # of the two the one that is low enough
    for _ in range(looks, most):  # narrow it down
        left, right = sorted((ends[0].t, ends[1].t))
        if right - left < shortest:
            break
        t, stuck = _inside(cubic_minimum(ends[0], ends[1], left, right), left, right, stuck)
        trial = evaluate(t)
        if too_high(trial) or trial.loss >= ends[low].loss:
            ends[1 - low] = trial
            continue
        if trial.slope * (ends[1 - low].t - ends[low].t) >= 0 and not flat_enough(trial):
            ends[1 - low] = ends[low]
        ends[low] = trial
        if flat_enough(trial):
            break
    return ends[low]


def _inside(t: float, left: float, right: float, stuck: bool) -> tuple[float, bool]:
    """t, or a tenth from the nearer end where it is closer to that for the second time running, or not inside at all."""
    tenth = 0.1 * (right - left)
    if min(right - t, t - left) >= tenth:
        return t, False
    if not stuck and left < t < right:
        return t, True
    return (right - tenth if right - t < t - left else left + tenth), False


def cubic_minimum(a: Trial, b: Trial, lowest: float, highest: float) -> float:
    """Where the cubic through two places, with their slopes, is lowest, kept within bounds; their middle where it is not.

    Nocedal, Wright, equation 3.59.

    >>> place = lambda t: Trial(t, (t - 2.0) ** 2, 2 * (t - 2.0), None)
    >>> cubic_minimum(place(0.0), place(5.0), 0.0, 5.0)
    2.0
    """
    if a.t > b.t:
        a, b = b, a
    d1 = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.t - b.t) if a.t != b.t else math.nan
    square = d1 * d1 - a.slope * b.slope
    if not 0 <= square < math.inf:  # no minimum; or what is infinite or NaN
        return (lowest + highest) / 2
    d2 = math.sqrt(square)
    up, down = b.slope + d2 - d1, b.slope - a.slope + 2 * d2
    if down == 0:  # a line: its minimum is endlessly far away
        return highest if up < 0 else lowest
    return min(max(b.t - (b.t - a.t) * (up / down), lowest), highest)
