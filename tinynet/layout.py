"""Where the boxes of a diagram go: rows from top to bottom, every wire from a box to one further down.

The one idea is Sugiyama's (Sugiyama, Tagawa, Toda 1981, IEEE Trans. SMC 11:2). A box stands one row below the lowest that it
is wired from. A wire that passes rows keeps a lane free in each, a box without width. The order in a row is one with few
crossings, and the places are those with short and straight wires. Between two rows wires may bend; within a row they run
straight down, in their lane or below their box: so none ever passes through a box.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

GAP = 26.0  # between two boxes of a row
LANE = 18.0  # between a lane and what is beside it
STRAIGHT, BEND = 16.0, 30.0  # the height between two rows: where no wire bends, and where one does, at least
LAST = 8.0  # of that, the straight piece above a box, where the tip of an arrow is
STUB = 17.0  # the straight piece below a box, where the label stands


@dataclass(eq=False)
class Box:
    """Something of a size, and where it was placed: ``x, y`` is its corner at the top left."""

    width: float = 0.0
    height: float = 0.0
    ins: list[float] | None = None  # where wires come in along the top, from the left; None: spread evenly
    outs: list[float] | None = None
    labels: list[float] = field(default_factory=list)  # the width of the text beside each wire that goes out
    first: bool = False  # in the top row, whatever else
    last: bool = False
    light: bool = False  # of less weight: placed near to what it is wired to, rather than to what it is wired from
    x: float = 0.0
    y: float = 0.0
    row: int = 0
    lane: bool = False


@dataclass(eq=False)
class Wire:
    """From a box, out of its port number ``out``, to a box, into its port number ``into``; ``points`` is its course.

    Between the points it runs straight down, then bends, straight down, bends, and so on.
    """

    tail: Box
    out: int
    head: Box
    into: int
    points: list[tuple[float, float]] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)


@dataclass(eq=False)
class Link:
    """A piece of a wire, from one row to the next; wires out of one port share theirs."""

    tail: Box
    out: int
    head: Box
    into: int

    @property
    def weight(self) -> float:
        """How much is done to keep it straight: least where a wire joins or leaves the straight way down."""
        if self.tail.lane != self.head.lane:
            return 1.0 if self.tail.lane else 1.5
        return 4.0 if self.tail.light or self.head.light else 8.0


def place(boxes: list[Box], wires: list[Wire]) -> tuple[float, float]:
    """Place the boxes, route the wires, and return the width and height that they take."""
    if not boxes:
        return 0.0, 0.0
    _assign_rows(boxes, wires)
    links, lanes = _lanes(wires)
    rows: list[list[Box]] = [[] for _ in range(1 + max(box.row for box in boxes))]
    for box in [*boxes, *lanes]:
        rows[box.row].append(box)
    _order(rows, links)
    _spread_ports(rows, links)
    _columns(rows, links)
    height = _heights(rows, links)
    _route(rows, wires)
    left = min([*(box.x for box in boxes), *(x for wire in wires for x, _ in wire.points)])
    for box in [*boxes, *lanes]:
        box.x -= left
    for wire in wires:
        wire.points = [(x - left, y) for x, y in wire.points]
    ends = [box.x + _right(box) + box.width / 2 for box in boxes]
    return max([*ends, *(x for wire in wires for x, _ in wire.points)]), height


# ------------------------------------------------------------------------------------------------------------ rows


def _assign_rows(boxes: list[Box], wires: list[Wire]) -> None:
    """A row for each box: below all that lead to it. (``boxes`` come in an order in which none leads back.)"""
    above: dict[Box, list[Wire]] = {box: [] for box in boxes}
    below: dict[Box, list[Wire]] = {box: [] for box in boxes}
    for wire in wires:
        above[wire.head].append(wire)
        below[wire.tail].append(wire)
    top = int(any(box.first for box in boxes))
    for box in boxes:
        box.row = 0 if box.first else max([top, *(wire.tail.row + 1 for wire in above[box])])
    bottom = max((box.row for box in boxes if not box.last), default=0)
    for box in boxes:
        if box.last:
            box.row = bottom + 1
    for box in reversed(boxes):
        if box.first or box.last or not below[box] or (above[box] and not box.light):
            continue
        lower = min(wire.head.row for wire in below[box]) - 1
        # Sinking shortens what goes out, which need not lengthen what comes in, where that is wanted further down, too.
        if len({(id(wire.tail), wire.out) for wire in above[box]}) <= 1:
            box.row = max(box.row, lower)


def _lanes(wires: list[Wire]) -> tuple[list[Link], list[Box]]:
    """Cut the wires into links, from row to row, and return these and the lanes that they pass through."""
    links: dict[tuple, Link] = {}
    lanes: list[Box] = []
    courses: dict[tuple[Box, int], list[Box]] = {}  # of each port: the lanes that go down from it
    for wire in wires:
        course = courses.setdefault((wire.tail, wire.out), [])
        for row in range(wire.tail.row + len(course) + 1, wire.head.row):
            course.append(Box(row=row, lane=True))
            lanes.append(course[-1])
        stops = [(wire.tail, wire.out), *((lane, 0) for lane in course[: wire.head.row - wire.tail.row - 1])]
        for (tail, out), (head, into) in pairwise([*stops, (wire.head, wire.into)]):
            wire.links.append(links.setdefault((tail, out, head, into), Link(tail, out, head, into)))
    return list(links.values()), lanes


# ------------------------------------------------------------------------------------------------ order in the rows


def _order(rows: list[list[Box]], links: list[Link]) -> None:
    """Sort each row so that few links cross: by the mean place of the neighbours, down and up, then by swapping pairs."""
    above, below = _neighbours(links)
    best, fewest = [list(row) for row in rows], _crossings(rows, below)
    for sweep in range(12):
        if fewest == 0:
            break
        down = sweep % 2 == 0
        for i in range(1, len(rows)) if down else range(len(rows) - 2, -1, -1):
            fixed = _places(rows[i - 1 if down else i + 1], "outs" if down else "ins")
            near = above if down else below
            own = {box: k for k, box in enumerate(rows[i])}

            def mean(box: Box, near=near, fixed=fixed, own=own, down=down) -> float:
                at = [fixed(n.tail, n.out) if down else fixed(n.head, n.into) for n in near.get(box, ())]
                return sum(at) / len(at) if at else float(own[box])

            rows[i].sort(key=mean)
        _swap(rows, above, below)
        crossings = _crossings(rows, below)
        if crossings < fewest:
            best, fewest = [list(row) for row in rows], crossings
    for row, order in zip(rows, best, strict=True):
        row[:] = order


def _neighbours(links: list[Link]) -> tuple[dict[Box, list[Link]], dict[Box, list[Link]]]:
    """The links into each box, and those out of it."""
    above: dict[Box, list[Link]] = {}
    below: dict[Box, list[Link]] = {}
    for link in links:
        above.setdefault(link.head, []).append(link)
        below.setdefault(link.tail, []).append(link)
    return above, below


def _places(row: list[Box], ports: str):
    """A function that gives the place of a box's port in its row: whole for the box, a fraction for the port."""
    at = {box: k for k, box in enumerate(row)}

    def place(box: Box, port: int) -> float:
        offsets = getattr(box, ports)
        return at[box] + (offsets[port] / (box.width + 1) if offsets else 0.5)

    return place


def _crossings(rows: list[list[Box]], below: dict[Box, list[Link]]) -> int:
    return sum(_crossings_between(upper, lower, below) for upper, lower in pairwise(rows))


def _crossings_between(upper: list[Box], lower: list[Box], below: dict[Box, list[Link]]) -> int:
    out, into = _places(upper, "outs"), _places(lower, "ins")
    ends = sorted((out(box, n.out), into(n.head, n.into)) for box in upper for n in below.get(box, ()))
    return sum(a[0] < b[0] and a[1] > b[1] for i, a in enumerate(ends) for b in ends[i + 1 :])


def _swap(rows: list[list[Box]], above: dict, below: dict) -> None:
    """Exchange neighbours in a row as long as that saves crossings."""
    for i, row in enumerate(rows):
        for k in range(len(row) - 1):

            def crossings(i=i) -> int:
                pairs = [(i - 1, i)] * (i > 0) + [(i, i + 1)] * (i + 1 < len(rows))
                return sum(_crossings_between(rows[a], rows[b], below) for a, b in pairs)

            before = crossings()
            if before == 0:
                break
            row[k], row[k + 1] = row[k + 1], row[k]
            if crossings() >= before:
                row[k], row[k + 1] = row[k + 1], row[k]


def _spread_ports(rows: list[list[Box]], links: list[Link]) -> None:
    """Give the boxes without ports of their own some, spread in the order in which their links come and go.

    From here on a link's ``into`` and ``out`` are the numbers of these.
    """
    above, _ = _neighbours(links)
    places = [(_places(row, "outs"), _places(row, "ins")) for row in rows]
    for box in (box for row in rows for box in row):
        into = sorted(above.get(box, ()), key=lambda n: places[n.tail.row][0](n.tail, n.out))
        if box.ins is None:
            heavy = [k for k, link in enumerate(into) if link.weight == max(n.weight for n in into)]
            middle = heavy[0] if len(heavy) == 1 else (len(into) - 1) / 2  # the one from the box above goes straight on
            step = min(16.0, (box.width / 2 - 6) / max(0.5, middle, len(into) - 1 - middle))
            box.ins = [box.width / 2 + (k - middle) * step for k in range(len(into))]
            for k, link in enumerate(into):
                link.into = k
    for box in (box for row in rows for box in row):
        if box.outs is None:
            box.outs = [box.width / 2]


# ---------------------------------------------------------------------------------------------- places in the rows


def _right(box: Box) -> float:
    """How far a box reaches to the right of its middle, with its labels."""
    outs = box.outs or [box.width / 2]
    return max([box.width / 2, *(outs[k] - box.width / 2 + 7 + w for k, w in enumerate(box.labels) if w)])


def _distance(a: Box, b: Box) -> float:
    """The least distance between the middles of neighbours in a row."""
    return _right(a) + b.width / 2 + (LANE if a.lane or b.lane else GAP)


def _columns(rows: list[list[Box]], links: list[Link]) -> None:
    """Place the boxes along their rows: down and up, each row as near as it can to its neighbours' places."""
    above, below = _neighbours(links)
    middle: dict[Box, float] = {}
    for row in rows:
        at = 0.0
        for k, box in enumerate(row):
            at += _distance(row[k - 1], box) if k else 0.0
            middle[box] = at
        for box in row:
            middle[box] -= at / 2

    def bend(link: Link) -> float:
        """How far the link leads to the right, were both boxes in one place."""
        return _port(link.head.ins, link.into, link.head) - _port(link.tail.outs, link.out, link.tail)

    def cost() -> float:
        return sum(n.weight * abs(middle[n.head] - middle[n.tail] + bend(n)) for n in links)

    best, least = dict(middle), cost()
    for sweep in range(24):
        down, late = sweep % 2 == 0, sweep >= 16
        for row in rows if down else reversed(rows):
            wishes = []
            for box in row:
                up = [(n.tail, middle[n.tail] - bend(n), n.weight) for n in above.get(box, ())]
                to = [(n.head, middle[n.head] + bend(n), n.weight) for n in below.get(box, ())]
                near, far = (up, to) if down else (to, up)
                if box.lane and not late and sweep:  # it follows its own wire alone, and gives way to all boxes
                    near, far = ([(n, x, 0.1) for n, x, _ in side if n.lane] for side in (near, far))
                wished = near + far if late else near or far or up + to
                wishes.append([(x, w) for _, x, w in wished] or [(middle[box], 0.01)])
            middle.update(zip(row, _settle(wishes, [_distance(a, b) for a, b in pairwise(row)]), strict=True))
        if cost() < least - 1e-6:
            best, least = dict(middle), cost()
    for box, at in best.items():
        box.x = at - box.width / 2


def _port(ports: list[float] | None, k: int, box: Box) -> float:
    """Where a port is, from the middle of its box."""
    return ports[k] - box.width / 2 if ports else 0.0


def _settle(wishes: list[list[tuple[float, float]]], distances: list[float]) -> list[float]:
    """The places x that minimise the sum of weight * |x_i - wish|, each at least its distance right of the one before.

    Neighbours that would come too close are joined to a block, which then goes to the median of all its wishes
    (the pool-adjacent-violators method; Barlow, Brunk 1972, JASA 67).
    """
    offsets = [0.0]
    for d in distances:
        offsets.append(offsets[-1] + d)
    blocks: list[tuple[int, list[tuple[float, float]], float]] = []  # (how many, wishes, place)
    for wish, offset in zip(wishes, offsets, strict=True):
        n, pool = 1, [(at - offset, weight) for at, weight in wish]
        while blocks and blocks[-1][2] > _median(pool):
            m, other, _ = blocks.pop()
            n, pool = n + m, other + pool
        blocks.append((n, pool, _median(pool)))
    places = [place for n, _, place in blocks for _ in range(n)]
    return [place + offset for place, offset in zip(places, offsets, strict=True)]


def _median(pool: list[tuple[float, float]]) -> float:
    """The weighted median; the middle between two where both halves weigh the same."""
    pool = sorted(pool)
    half, passed = sum(weight for _, weight in pool) / 2, 0.0
    for k, (at, weight) in enumerate(pool):
        passed += weight
        if passed > half + 1e-9:
            return at
        if passed > half - 1e-9:
            return (at + pool[k + 1][0]) / 2
    return pool[-1][0]


# ------------------------------------------------------------------------------------------------ heights and wires


def _heights(rows: list[list[Box]], links: list[Link]) -> float:
    """Place the rows one below the other, each box near to the top of its row; returns where the last ends."""
    y = 0.0
    for i, row in enumerate(rows):
        tallest = max(box.height for box in row)
        for box in row:
            box.y = y if box.lane else y + min((tallest - box.height) / 2, 12.0)
            if box.lane:
                box.height = tallest
        y += tallest
        if i + 1 < len(rows):
            far = max((abs(_x_out(n) - _x_in(n)) for n in links if n.tail.row == i), default=0.0)
            y += STUB * _labelled(row) + (BEND + min(0.1 * far, 40.0) if far > 0.5 else STRAIGHT)
    return y


def _labelled(row: list[Box]) -> bool:
    return any(any(box.labels) for box in row)


def _x_out(link: Link) -> float:
    return link.tail.x + (link.tail.outs[link.out] if link.tail.outs else 0.0)


def _x_in(link: Link) -> float:
    return link.head.x + (link.head.ins[link.into] if link.head.ins else 0.0)


def _route(rows: list[list[Box]], wires: list[Wire]) -> None:
    """The course of each wire: straight down past its row, a bend to the next, and so on."""
    tops = [min(box.y for box in row) for row in rows]
    bottoms = [max(box.y + box.height for box in row) + STUB * _labelled(row) for row in rows]
    for wire in wires:
        start, end = wire.links[0], wire.links[-1]
        wire.points = [(_x_out(start), start.tail.y + start.tail.height)]
        for link in wire.links:
            wire.points += [(_x_out(link), bottoms[link.tail.row]), (_x_in(link), tops[link.head.row] - LAST)]
        wire.points.append((_x_in(end), end.head.y))
