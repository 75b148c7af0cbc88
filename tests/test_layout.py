"""The layout of a diagram: on random graphs nothing overlaps, and small ones come out as one would draw them."""

from itertools import combinations, pairwise

import numpy as np
import pytest

from tinynet.layout import Box, Wire, place

pytestmark = pytest.mark.cpu  # drawings: no arrays


def random_diagram(seed):
    """Boxes in an order in which wires lead forwards only, some wide, some tall, some with several ports."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 25))
    boxes = [Box(float(rng.uniform(20, 200)), float(rng.uniform(20, 300 if rng.random() < 0.2 else 40))) for _ in range(n)]
    for box in boxes[1:-1]:
        box.light = bool(rng.random() < 0.5)
        ports = int(rng.integers(1, 4))
        if ports > 1:
            box.width = max(box.width, 80.0 * ports)
            box.outs = [40 + 80.0 * k for k in range(ports)]
            box.ins = [20.0, 60.0]
        box.labels = [float(rng.uniform(10, 40)) for _ in range(ports)]
    boxes[0].first, boxes[-1].last = bool(rng.random() < 0.5), bool(rng.random() < 0.5)
    wires = []
    for j in range(1, n):
        for i in sorted({int(k) for k in rng.integers(max(0, j - 6), j, int(rng.integers(0, 4)))}):
            out = int(rng.integers(0, len(boxes[i].outs or [0])))
            wires.append(Wire(boxes[i], out, boxes[j], int(rng.integers(0, 2)) if boxes[j].ins else len(wires)))
    return boxes, wires


def inside(box, x, y):
    return box.x + 0.1 < x < box.x + box.width - 0.1 and box.y + 0.1 < y < box.y + box.height - 0.1


@pytest.mark.parametrize("seed", range(60))
def test_random_graphs(seed):
    boxes, wires = random_diagram(seed)
    width, height = place(boxes, wires)
    for a, b in combinations(boxes, 2):
        apart = a.x + a.width <= b.x + 0.1 or b.x + b.width <= a.x + 0.1
        assert apart or a.y + a.height <= b.y + 0.1 or b.y + b.height <= a.y + 0.1, (a, b)
    for box in boxes:
        assert box.x >= -0.1
        assert box.x + box.width <= width + 0.1
        assert box.y >= -0.1
        assert box.y + box.height <= height + 0.1
    for wire in wires:
        (x0, y0), (x1, y1) = wire.points[0], wire.points[-1]
        assert (y0, y1) == (wire.tail.y + wire.tail.height, wire.head.y)
        assert wire.tail.x <= x0 <= wire.tail.x + wire.tail.width
        assert wire.head.x <= x1 <= wire.head.x + wire.head.width
        for k, (a, b) in enumerate(zip(wire.points, wire.points[1:], strict=False)):
            assert a[0] == b[0] or k % 2, "straight down, then a bend, in turn"
            assert b[1] >= a[1]
            for t in np.linspace(0, 1, 9):  # anywhere in the rectangle between a bend's ends is free
                for s in (0, t, 1) if k % 2 else (t,):
                    x, y = a[0] + (b[0] - a[0]) * s, a[1] + (b[1] - a[1]) * t
                    assert not [box for box in boxes if inside(box, x, y)]


def test_the_rows():
    a, b, c, d = (Box(50, 20) for _ in range(4))
    late = Box(50, 20, light=True)
    place([a, b, c, late, d], [Wire(a, 0, b, 0), Wire(b, 0, c, 0), Wire(c, 0, d, 0), Wire(late, 0, d, 1)])
    assert [box.row for box in (a, b, c, d)] == [0, 1, 2, 3]
    assert late.row == 2, "what needs nothing stands just above where it is needed"


def test_ends_stand_in_the_first_and_last_row():
    a, b, c, out, early = (Box(50, 20) for _ in range(5))
    a.first = b.first = True
    out.last = early.last = True
    place([a, b, c, out, early], [Wire(a, 0, c, 0), Wire(c, 0, out, 0), Wire(b, 0, early, 0)])
    assert [box.row for box in (a, b, c, out, early)] == [0, 0, 1, 2, 2]


def test_crossings_that_can_be_avoided_are():
    top, bottom = [Box(40, 20) for _ in range(4)], [Box(40, 20) for _ in range(4)]
    place([*top, *bottom], [Wire(top[i], 0, bottom[3 - i], 0) for i in range(4)])
    order = sorted(range(4), key=lambda i: top[i].x)
    assert order == sorted(range(4), key=lambda i: bottom[3 - i].x)
    assert all(abs(top[i].x - bottom[3 - i].x) < 1e-6 for i in range(4)), "and the wires are straight"


def test_a_wire_past_others_leaves_the_straight_way_to_them():
    chain = [Box(60, 20) for _ in range(5)]
    wires = [Wire(a, 0, b, 0) for a, b in pairwise(chain)] + [Wire(chain[0], 0, chain[4], 1)]
    place(chain, wires)
    assert len({box.x for box in chain}) == 1
    assert {x for x, _ in wires[-1].points[3:-2]} == {wires[-1].points[2][0]}, "its lane is one straight line"
    assert wires[-1].points[3][0] > chain[0].x + 60


def test_nothing_to_place():
    assert place([], []) == (0, 0)
    box = Box(30, 20)
    assert place([box], []) == (30, 20)
    assert (box.x, box.y) == (0, 0)
