"""The line search by itself: the Wolfe conditions, and the minimum of a cubic."""

import numpy as np
import pytest
from closures import LINES, place

from tinynet.optim.linesearch import Trial, cubic_minimum, strong_wolfe


@pytest.mark.parametrize("first", [1e-3, 0.1, 1.0, 10.0, 1000.0])
@pytest.mark.parametrize("line", LINES)
def test_what_the_search_finds_fulfils_the_strong_wolfe_conditions(line, first):
    f, slope = LINES[line]
    looks = []

    def evaluate(t):
        looks.append(t)
        return place(f, slope, t)

    start = place(f, slope, 0.0)
    assert start.slope < 0
    with np.errstate(over="ignore"):  # exp(8000)
        found = strong_wolfe(evaluate, start, first, most=40, shortest=0.0)
    assert found.loss <= start.loss + 1e-4 * found.t * start.slope
    assert abs(found.slope) <= 0.9 * abs(start.slope)
    assert found.t in looks
    assert len(looks) < 20


def test_a_search_that_may_not_look_any_further_takes_the_best():
    f, slope = LINES["bowl"]
    for most in range(4):
        looks = []
        found = strong_wolfe(
            lambda t, looks=looks: looks.append(t) or place(f, slope, t), place(f, slope, 0.0), 1e-3, most, 0.0
        )
        assert len(looks) == most + 1
        assert found.loss == min(map(f, [0.0, *looks]))
    assert strong_wolfe(lambda t: place(f, slope, t), place(f, slope, 0.0), 1e3, 0, 0.0).t == 0.0  # nowhere is better


def test_a_place_that_is_higher_than_the_one_before_ends_the_way_ahead():
    """Though it is low enough, and still falls steeply: the minimum lies between the two."""
    places, looks = iter([(-10.0, -5.0), (-9.0, -5.0), (-11.0, 0.0)]), []

    def evaluate(t):
        looks.append(t)
        return Trial(t, *next(places), None)

    found = strong_wolfe(evaluate, Trial(0.0, 0.0, -1.0, None), 1.0, most=9, shortest=0.0)
    assert looks[0] < found.t == looks[2] < looks[1]


def test_a_corner_is_narrowed_down_only_so_far():
    """Its slope is 1 in size everywhere, and never small enough."""

    def corner(t):
        return place(lambda t: abs(t - np.pi), lambda t: np.sign(t - np.pi), t)

    found = strong_wolfe(corner, corner(0.0), 1.0, most=60, shortest=1e-3)
    assert 1e-7 < abs(found.t - np.pi) < 1e-3


def test_the_minimum_of_a_cubic():
    """t^3 - 3 t is lowest at 1, and a cubic is known from two places and their slopes."""

    def at(t):
        return place(lambda t: t**3 - 3 * t, lambda t: 3 * t**2 - 3, t)

    for a, b in ((0.0, 2.0), (2.0, 0.0), (0.5, 4.0), (-0.9, 1.1)):
        assert cubic_minimum(at(a), at(b), -9.0, 9.0) == pytest.approx(1)
        assert cubic_minimum(at(a), at(b), 1.5, 9.0) == 1.5
        assert cubic_minimum(at(a), at(b), -9.0, 0.5) == 0.5
    assert cubic_minimum(at(0.0), at(0.0), 0.0, 3.0) == 1.5  # one place: nothing is known
    assert cubic_minimum(Trial(0.0, 0.0, -1.0, None), Trial(1.0, -1.0, -1.0, None), 2.0, 4.0) == 4.0  # a line down
    assert cubic_minimum(Trial(0.0, 0.0, 1.0, None), Trial(1.0, 1.0, 1.0, None), -4.0, 0.5) == -4.0  # and up
    for odd in (np.nan, np.inf, 1e200):
        assert cubic_minimum(at(0.0), Trial(1.0, odd, 1.0, None), 0.0, 1.0) == 0.5
        assert cubic_minimum(at(0.0), Trial(1.0, 1.0, odd, None), 0.0, 1.0) == 0.5
