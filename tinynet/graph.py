"""Model.plot: the graph of a forward pass as an SVG, drawn here and by no other program.

The one idea: a layer that is drawn open is a diagram of its own, laid out by itself, and then a box in the diagram around
it. Its wires end at its frame and go on inside: a Tensor enters a layer only as an argument, and leaves it only as a result.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from .checkpoint import write_whole
from .forward import Call, Op, Value, look
from .layers import Layer
from .layout import Box, Wire, place
from .tensor import Parameter

PAD, TITLE, MARGIN, HEAD = 14.0, 36.0, 20.0, 48.0  # inside a frame's sides, for its title, around the whole, for its title
STYLE = """\
text { font-family: Helvetica, Arial, 'Liberation Sans', sans-serif; font-size: 12px; fill: #1a1a1a; }
.small { font-size: 10px; fill: #555; }
.heading { font-size: 16px; font-weight: bold; }
.frame > rect { fill: #f6f6f4; stroke: #b5b5b0; }
.frame .frame > rect { fill: #ececea; }
.frame .frame .frame > rect { fill: #f6f6f4; }
.layer > rect { fill: #fff; stroke: #777; }
.trained > rect { fill: #d9e8f5; stroke: #2f6690; stroke-width: 1.3; }
.op > rect { fill: #fff; stroke: #999; }
.end > rect { fill: #fdf0cf; stroke: #a8842c; }
.wire { fill: none; stroke: #444; stroke-width: 1.2; }
.head { fill: #444; }"""
# The widths of characters in Helvetica, in thousandths of the font's size.
WIDTHS = {222: "ijl'|", 278: " !,./:;[]\\Itf·", 333: '()-r`{}"', 500: "ckvsxyzJ", 611: "FTZ", 667: "ABEKPSVXY&"}
WIDTHS |= {722: "CDHNRUw", 778: "GOQ", 833: "Mm%", 944: "W@"}
WIDTH_OF = {c: width for width, characters in WIDTHS.items() for c in characters}


def text_width(text: str, size: float = 12) -> float:
    """How wide a text comes out, a little more than in Helvetica, for the fonts that stand in for it are wider."""
    return 1.08 * size * sum(WIDTH_OF.get(c, 556) for c in text) / 1000


@dataclass(eq=False)
class Drawn(Box):
    """A box with what is written in it; an open layer's box has a diagram in it."""

    kind: str = ""  # a class of the style sheet; "" for the place on a frame where a wire passes
    lines: list[str] = field(default_factory=list)
    small: str = ""  # a last line in small print
    tip: str = ""
    texts: list[str] = field(default_factory=list)  # beside the wires that go out
    inner: Diagram | None = None


@dataclass(eq=False)
class Diagram:
    """What is drawn of one call, placed."""

    boxes: list[Drawn]
    wires: list[Wire]
    width: float
    height: float


def plot(model: Layer, path: str | os.PathLike, input_shape: Any, dtype: Any = np.float32, depth: int | None = None) -> None:
    """Write ``svg(...)`` to a file, replaced in one step; see ``Model.plot``."""
    if Path(path).suffix.lower() != ".svg":
        raise ValueError(f"plot: path is {os.fspath(path)!r}, expected one that ends in .svg")
    write_whole(path, svg(model, input_shape, dtype, depth).encode())


def svg(model: Layer, input_shape: Any, dtype: Any = np.float32, depth: int | None = None) -> str:
    """The graph of the model's forward pass on zeros of ``input_shape``, as the text of an SVG file."""
    if depth is not None and (not isinstance(depth, (int, np.integer)) or depth < 0):
        raise ValueError(f"plot: depth is {depth!r}, expected None or an integer of at least 0")
    top = look(model, input_shape, dtype)
    return _Plan(model, top, look(model, input_shape, dtype, batch=2), depth).svg()


# -------------------------------------------------------------------------------------------------- what is drawn


class _Plan:
    """From the calls of a pass to boxes and wires."""

    def __init__(self, model: Layer, top: Call, twice: Call, depth: int | None):
        self.model, self.top, self.depth = model, top, depth
        self.shapes = dict(_shapes(top, twice))
        self.needed = _needed(top, set(top.returned))

    def svg(self) -> str:
        name = type(self.model).__name__
        [call] = self.top.steps if len(self.top.steps) == 1 else [self.top]
        root = call if isinstance(call, Call) and self._open(call, 0) else self.top
        diagram = self.diagram(root, 0)
        count = sum(p.size for p in Layer.parameters(self.model))
        said = f"{count:,} parameters" + " · N: samples in a batch" * any("N" in s for s in self.shapes.values())
        layers = [c.path or name for c in self.top.calls()]
        about = f"The graph of {name}'s forward pass, from its inputs at the top to its outputs. Layers called: "
        width = max(diagram.width, text_width(name, 17), text_width(said, 10)) + 2 * MARGIN
        height = diagram.height + 2 * MARGIN + HEAD
        size = f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}"'
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-labelledby="title about">',
                f'<title id="title">{escape(name)}: the graph of its forward pass</title>',
                f'<desc id="about">{escape(about + ", ".join(layers))}.</desc>',
                f"<style>\n{STYLE}\n</style>",
                f'<rect width="{width:.0f}" height="{height:.0f}" fill="#fff"/>',
                f'<text class="heading" x="{MARGIN:.0f}" y="{MARGIN + 14:.0f}">{escape(name)}</text>',
                f'<text class="small" x="{MARGIN:.0f}" y="{MARGIN + 30:.0f}">{escape(said)}</text>',
                *_draw(diagram, (width - diagram.width) / 2, MARGIN + HEAD),
                "</svg>\n",
            ]
        )

    def diagram(self, call: Call, level: int) -> Diagram:
        """The boxes and wires of what ran in a call, placed."""
        outermost = level == 0
        boxes: list[Drawn] = []
        wires: list[Wire] = []
        made: dict[Value, tuple[Box, int]] = {}  # where the wires of a Value start

        def add(box: Drawn, inputs: list[Value], outputs: list[Value]) -> None:
            boxes.append(box)
            made.update({value: (box, k) for k, value in enumerate(outputs)})
            wires.extend(Wire(*made[value], box, k) for k, value in enumerate(inputs) if value in made)

        names = self._input_names(len(call.arguments)) if outermost else []
        for k, value in enumerate(call.arguments):
            add(self._end(names[k], value) if outermost else Drawn(height=TITLE, first=True), [], [value])
        for step in call.steps:
            if self.needed.isdisjoint([step.output] if isinstance(step, Op) else step.outputs):
                continue
            if isinstance(step, Op):
                inputs = list(dict.fromkeys(x for x in step.inputs if isinstance(x, Value)))
                add(self._op(step, call), inputs, [step.output])
            else:
                outputs = [value for value in step.outputs if value in self.needed]
                inputs = [value.source for value in step.arguments if value.source is not None]
                add(self._layer(step, call, level + 1), inputs, outputs)
        returned = self._returned(call)
        for k, value in enumerate(returned):
            name = "output" + f" {k + 1}" * (len(returned) > 1)
            add(self._end(name) if outermost else Drawn(last=True), [value], [])
        width, height = place(list(boxes), wires)
        return Diagram(boxes, wires, width, height)

    def _returned(self, call: Call) -> list[Value]:
        """What leaves a call and is used outside."""
        if call is self.top or call.parent is self.top:
            return [value for value in call.returned if value is not None]
        pairs = zip(call.returned, call.outputs, strict=True)
        return [value for value, outside in pairs if value is not None and outside in self.needed]

    def _open(self, call: Call, level: int) -> bool:
        """Whether a layer is drawn with what is in it, if anything is.

        Without a ``depth`` all are but the library's own that have no layers in them, or Parameters of their own.
        """
        if not call.steps:
            return False
        if self.depth is not None:
            return level < self.depth
        ours = type(call.layer).__module__.partition(".")[0] == __package__
        inside = [] if call.layer is None else list(call.layer.members())
        return not ours or (any(call.calls()) and not any(isinstance(item, Parameter) for _, item in inside))

    def _input_names(self, count: int) -> list[str]:
        if count == 1:
            return ["input"]
        parameters = inspect.signature(self.model.forward).parameters.values()
        names = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
        return [f"input {names[k] if k < len(names) else k + 1}" for k in range(count)]

    # ------------------------------------------------------------------------------------------ the kinds of boxes

    def _end(self, name: str, value: Value | None = None) -> Drawn:
        """An input or output of the whole."""
        box = _box("end", [name])
        box.first, box.last = value is not None, value is None
        return self._labelled(box, [] if value is None else [value])

    def _op(self, op: Op, call: Call) -> Drawn:
        names = [f"{_within(call.path, x)} {s}" for x, s in zip(op.inputs, op.shapes, strict=True) if isinstance(x, str)]
        numbers = [f"{x:g}" for x in op.inputs if isinstance(x, (int, float)) and not isinstance(x, bool)]
        keywords = ", ".join(f"{k}={v}" for k, v in op.keywords.items() if _plain(v))
        box = _box("op", [op.name], ", ".join(names + numbers), f"{op.name}({keywords})", 22)
        box.light = True
        return self._labelled(box, [op.output])

    def _layer(self, call: Call, around: Call, level: int) -> Drawn:
        """A layer, open or closed."""
        layer, name = call.layer, _within(around.path, call.path)
        what = f"{type(layer).__name__}({layer.describe() if layer else ''})"
        sizes = [] if layer is None else [(path, p.shape) for path, p in layer.named_parameters()]
        count = 0 if layer is None else sum(p.size for p in Layer.parameters(layer))
        small = " · ".join([name] * bool(name) + [f"{count:,} parameters"] * bool(count))
        tip = "\n".join([f"{call.path or 'the model'}: {what}", *(f"{path} {shape}" for path, shape in sizes[:20])])
        if self._open(call, level):
            return self._frame(call, level, [what if layer and layer.describe() else type(layer).__name__], small, tip)
        box = _box("layer trained" if count else "layer", _wrapped(what), small, tip)
        return self._labelled(box, [value for value in call.outputs if value in self.needed])

    def _frame(self, call: Call, level: int, lines: list[str], small: str, tip: str) -> Drawn:
        diagram = self.diagram(call, level)
        ports = [box for box in diagram.boxes if box.first]
        written = max(text_width(lines[0]), text_width(small, 10)) + 10
        left = max(PAD, written + PAD - min((box.x for box in ports), default=written))
        below = 0.0 if ports else TITLE
        for box in diagram.boxes:
            box.x, box.y = box.x + left, box.y + below
        for wire in diagram.wires:
            wire.points = [(x + left, y + below) for x, y in wire.points]
        width = max(diagram.width + left + PAD, written + PAD)
        leaving = [box.x for box in diagram.boxes if box.last]
        height = diagram.height + below + (0.0 if leaving else PAD)
        frame = Drawn(width, height, kind="frame", lines=lines, small=small, tip=tip, inner=diagram)
        frame.ins, frame.outs = [box.x for box in ports], leaving
        return frame

    def _labelled(self, box: Drawn, values: list[Value]) -> Drawn:
        """The box, with room for the shapes of what goes out."""
        box.texts = [self.shapes.get(value, "") if value in self.needed else "" for value in values]
        box.labels = [text_width(text, 10) if text else 0.0 for text in box.texts]
        if len(values) > 1:
            box.width = max(box.width, sum(box.labels) + 24.0 * len(values))
            starts = np.cumsum([12.0, *(width + 24.0 for width in box.labels)])
            slack = (box.width - float(starts[-1]) + 12.0) / 2
            box.outs = [float(x) + slack for x in starts[:-1]]
        return box


def _box(kind: str, lines: list[str], small: str = "", tip: str = "", height: float = 24.0) -> Drawn:
    width = max([text_width(line) for line in lines] + [text_width(small, 10)]) + 24
    height += 14 * (len(lines) - 1) + (13 if small else 0)
    return Drawn(max(width, 44), height, kind=kind, lines=lines, small=small, tip=tip)


def _wrapped(text: str, limit: int = 36) -> list[str]:
    """A layer's description in lines, broken after commas."""
    lines = [""]
    for part in text.split(", "):
        if lines[-1] and len(lines[-1]) + len(part) > limit:
            lines.append("")
        lines[-1] += part + ", "
    return [line.strip() for line in [*lines[:-1], lines[-1][:-2]]]


def _plain(x: Any) -> bool:
    """Whether x is a number, a string, or an index made of such: short, and the same in every process."""
    return x is None or x is ... or isinstance(x, (int, float, str, slice)) or (type(x) is tuple and all(map(_plain, x)))


def _within(around: str, path: str) -> str:
    """A path as seen from a layer around it."""
    return path[len(around) + 1 :] if around and path.startswith(f"{around}.") else path


# -------------------------------------------------------------------------------------------- what a pass tells us


def _values(call: Call) -> Iterator[Value]:
    """Every Value in a call, in the order in which they came about."""
    yield from call.arguments
    for step in call.steps:
        if isinstance(step, Op):
            yield step.output
        else:
            yield from _values(step)
            yield from step.outputs


def _shapes(once: Call, twice: Call) -> Iterator[tuple[Value, str]]:
    """Each Value's shape as text. What grows from a batch of 1 to a batch of 2 is told by N, the size of a batch."""
    ones, twos = list(_values(once)), list(_values(twice))
    alike = [v.shape for v in ones] if len(ones) != len(twos) else [v.shape for v in twos]
    for value, other in zip(ones, alike, strict=True):
        other = other if len(other) == len(value.shape) else value.shape
        sizes = [_size(a, b) for a, b in zip(value.shape, other, strict=True)]
        yield value, f"({', '.join(sizes)}{',' * (len(sizes) == 1)})"


def _size(a: int, b: int) -> str:
    """a, where it stays that in a batch of 2; else the line through both: 4N, N+1."""
    if a == b:
        return str(a)
    slope, rest = b - a, 2 * a - b
    return f"{'' if slope == 1 else slope}N{f'{rest:+d}' if rest else ''}"


def _needed(call: Call, needed: set[Value | None]) -> set[Value | None]:
    """``needed``, what is needed of a call's results, and with it every Value that goes into these."""
    for step in reversed(call.steps):
        if isinstance(step, Op):
            if step.output in needed:
                needed.update(x for x in step.inputs if isinstance(x, Value))
        elif not needed.isdisjoint(step.outputs):
            needed.update(value for value, outside in zip(step.returned, step.outputs, strict=True) if outside in needed)
            needed.update(argument.source for argument in step.arguments)
            _needed(step, needed)
    return needed


# ------------------------------------------------------------------------------------------------------- the SVG


def _draw(diagram: Diagram, x: float, y: float) -> Iterator[str]:
    """The elements of a diagram whose corner is at x, y: its wires, then its boxes."""
    for _, group in groupby(sorted(diagram.wires, key=lambda w: _key(diagram, w)), key=lambda w: (id(w.tail), w.out)):
        wires = list(group)
        up = TITLE if wires[0].tail.first and not getattr(wires[0].tail, "kind", "") else 0.0  # from the frame's edge on
        courses = [[(a + x, b + y - up * (i == 0)) for i, (a, b) in enumerate(wire.points)] for wire in wires]
        yield f'<path class="wire" d="{" ".join(map(_course, courses))}"/>'
        ends = [c[-1] for c, w in zip(courses, wires, strict=True) if getattr(w.head, "kind", "") not in ("", "frame")]
        if ends:
            yield f'<path class="head" d="{" ".join(f"M{a:.1f} {b:.1f}l-3.5 -7h7z" for a, b in ends)}"/>'
    for box in diagram.boxes:
        if box.kind:
            yield from _draw_box(box, box.x + x, box.y + y)


def _key(diagram: Diagram, wire: Wire) -> tuple[int, int]:
    return [id(box) for box in diagram.boxes].index(id(wire.tail)), wire.out


def _course(points: list[tuple[float, float]]) -> str:
    """The path through points: straight down to every other one, in an S to those between."""
    (x, y), parts = points[0], [f"M{points[0][0]:.1f} {points[0][1]:.1f}"]
    for i, (a, b) in enumerate(points[1:]):
        if i % 2 == 0 or abs(a - x) < 0.5:
            parts.append(f"V{b:.1f}" if b > y else "")
        else:
            parts.append(f"C{x:.1f} {(y + b) / 2:.1f} {a:.1f} {(y + b) / 2:.1f} {a:.1f} {b:.1f}")
            x = a
        y = b
    return "".join(parts)


def _draw_box(box: Drawn, x: float, y: float) -> Iterator[str]:
    yield f'<g class="{box.kind}">'
    if box.tip:
        yield f"<title>{escape(box.tip)}</title>"
    round_by = {"frame": 8.0, "op": min(11.0, box.height / 2), "end": box.height / 2}.get(box.kind, 3.0)
    yield (f'<rect x="{x:.1f}" y="{y:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" rx="{round_by:.1f}"/>')
    if box.inner is not None:
        yield f'<text x="{x + 10:.1f}" y="{y + 17:.1f}">{escape(box.lines[0])}</text>'
        yield f'<text class="small" x="{x + 10:.1f}" y="{y + 30:.1f}">{escape(box.small)}</text>'
        yield from _draw(box.inner, x, y)
    else:
        middle = f'x="{x + box.width / 2:.1f}" text-anchor="middle"'
        for k, line in enumerate(box.lines):
            yield f'<text {middle} y="{y + 16 + 14 * k:.1f}">{escape(line)}</text>'
        if box.small:
            yield f'<text class="small" {middle} y="{y + 15 + 14 * len(box.lines):.1f}">{escape(box.small)}</text>'
    for out, text in zip(box.outs or [], box.texts, strict=False):
        if text:
            yield f'<text class="small" x="{x + out + 5:.1f}" y="{y + box.height + 12:.1f}">{escape(text)}</text>'
    yield "</g>"
