"""An SVG of Model.plot as shapes that a test can measure: boxes, frames, labels, and the course of every wire."""

import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from itertools import combinations, pairwise

SVG = "{http://www.w3.org/2000/svg}"


@dataclass(frozen=True)
class Rect:
    """A rectangle, with the lines that are written in it or, for a label, itself."""

    x: float
    y: float
    width: float
    height: float
    texts: tuple[str, ...] = ()

    def overlaps(self, other, slack=0.1):
        return (
            self.x + slack < other.x + other.width
            and other.x + slack < self.x + self.width
            and self.y + slack < other.y + other.height
            and other.y + slack < self.y + self.height
        )

    def contains(self, other, slack=0.1):
        return (
            self.x - slack <= other.x
            and self.y - slack <= other.y
            and other.x + other.width <= self.x + self.width + slack
            and other.y + other.height <= self.y + self.height + slack
        )

    def has(self, x, y, slack=0.2):
        """Whether a point is inside, not on the edge."""
        return self.x + slack < x < self.x + self.width - slack and self.y + slack < y < self.y + self.height - slack


class Drawing:
    """What is in an SVG."""

    def __init__(self, text):
        self.root = ET.fromstring(text)
        self.boxes, self.frames, self.labels, self.kinds = [], [], [], {}
        for group in self.root.iter(f"{SVG}g"):
            x, y, width, height = (float(group.find(f"{SVG}rect").get(k)) for k in ("x", "y", "width", "height"))
            texts = group.findall(f"{SVG}text")
            inside = [t for t in texts if t.get("text-anchor") == "middle" or group.get("class") == "frame"]
            rect = Rect(x, y, width, height, tuple(t.text for t in inside))
            (self.frames if group.get("class") == "frame" else self.boxes).append(rect)
            self.kinds.setdefault(group.get("class"), []).append(rect)
            for t in texts:
                if t not in inside:
                    self.labels.append(label(t))
        self.titles = [
            label(t) for g in self.root.iter(f"{SVG}g") if g.get("class") == "frame" for t in g.findall(f"{SVG}text")
        ]
        self.wires = [
            course for p in self.root.iter(f"{SVG}path") if p.get("class") == "wire" for course in courses(p.get("d"))
        ]
        self.heads = [
            (float(x), float(y))
            for p in self.root.iter(f"{SVG}path")
            if p.get("class") == "head"
            for x, y in re.findall(r"M([\d.-]+) ([\d.-]+)", p.get("d"))
        ]

    @property
    def texts(self):
        """Everything that is written."""
        return [t.text for t in self.root.iter(f"{SVG}text")]

    def check(self):
        """What is true of every drawing: nothing lies on anything else, and every wire leads from something to something."""
        for a, b in combinations(self.boxes, 2):
            assert not a.overlaps(b), (a, b)
        for a, b in combinations(self.labels, 2):
            assert not a.overlaps(b), (a, b)
        for label in self.labels:
            assert not [box for box in self.boxes if box.overlaps(label)], label
        for frame in self.frames:
            for rect in [*self.boxes, *self.labels]:
                assert frame.contains(rect) or not frame.overlaps(rect), (frame, rect)
            for other in self.frames:
                assert frame.contains(other) or other.contains(frame) or not frame.overlaps(other), (frame, other)
        for wire in self.wires:
            self.check_wire(wire)
        page = Rect(0, 0, float(self.root.get("width")), float(self.root.get("height")))
        for rect in [*self.boxes, *self.frames, *self.labels, *self.titles]:
            assert page.contains(rect), rect

    def check_wire(self, wire):
        for x, y in wire:
            assert not [box for box in [*self.boxes, *self.titles, *self.labels] if box.has(x, y)], (x, y)
        for a, b in pairwise(wire):
            assert b[1] >= a[1] - 0.1, "a wire that goes up"
        (x0, y0), (x1, y1) = wire[0], wire[-1]
        edges = [(r.x, r.x + r.width, r.y, r.y + r.height) for r in [*self.boxes, *self.frames]]
        bottoms = [b for a, c, t, b in edges if a - 0.1 <= x0 <= c + 0.1]
        tops = [t for a, c, t, b in edges if a - 0.1 <= x1 <= c + 0.1]
        inner = [f for f in self.frames if f.x < x0 < f.x + f.width]
        assert any(abs(y0 - b) < 0.2 for b in bottoms) or any(abs(y0 - f.y) < 0.2 for f in inner), (x0, y0)
        outer = [f for f in self.frames if f.x < x1 < f.x + f.width]
        assert any(abs(y1 - t) < 0.2 for t in tops) or any(abs(y1 - f.y - f.height) < 0.2 for f in outer), (x1, y1)
        for frame in self.frames:  # it goes in and out of a frame through the top and the bottom
            for a, b in pairwise(wire):
                if frame.has(*a) != frame.has(*b) and min(abs(a[1] - e) for e in (frame.y, frame.y + frame.height)) > 1:
                    assert min(abs(b[1] - e) for e in (frame.y, frame.y + frame.height)) < 1, (frame, a, b)


def label(text):
    """The rectangle of a text that starts at its x, by the widths of DejaVu Sans where matplotlib has it."""
    size = 10.0 if "small" in (text.get("class") or "") else 12.0
    return Rect(float(text.get("x")), float(text.get("y")) - 0.75 * size, width(text.text, size), 0.95 * size, (text.text,))


def width(text, size):
    """About as wide as the text is in Helvetica."""
    from tinynet.graph import text_width

    return text_width(text, size)


def courses(d):
    """The points of every course in a path, each piece of it in a dozen steps."""
    for part in d.split("M")[1:]:
        numbers = [(c, [float(n) for n in rest.split()]) for c, rest in re.findall(r"([VC]?)([^VC]+)", "".join(part))]
        (x, y), points = numbers[0][1], []
        points.append((x, y))
        for command, at in numbers[1:]:
            if command == "V":
                points += [(x, y + (at[0] - y) * k / 12) for k in range(1, 13)]
                y = at[0]
            else:
                x1, y1, x2, y2, x3, y3 = at
                for k in range(1, 13):
                    t = k / 12
                    w = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3)
                    points.append(
                        (w[0] * x + w[1] * x1 + w[2] * x2 + w[3] * x3, w[0] * y + w[1] * y1 + w[2] * y2 + w[3] * y3)
                    )
                x, y = x3, y3
        yield points
