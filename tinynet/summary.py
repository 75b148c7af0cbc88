"""Model.summary: what each layer makes of one sample, and what that costs, as a table.

The one idea: the cost is derived, not listed for each layer. An op's multiply-adds follow from its name and the shapes of
its inputs, and count for the innermost layer in which the op ran, the library's or a user's, as often as it ran.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from .forward import Call, Op, look, shapes_of
from .layers import Layer
from .layers.layer import walk
from .tensor import Parameter

Row = tuple[str, str, "tuple[int, ...] | None", int, int]


@dataclass(frozen=True)
class Summary:
    """``rows`` of (name, layer, output shape, parameters, multiply-adds), and the totals; printing it shows the table.

    A multiply-add is a product of two numbers added to a sum, in a matrix product or a convolution; what is done
    element by element does not count.
    """

    title: str
    rows: list[Row]
    parameters: int
    trainable: int
    multiply_adds: int

    def __str__(self) -> str:
        cells = [("layer", "", "output", "parameters", "multiply-adds")]
        cells += [(n, what, "" if out is None else str(out), f"{p:,}", f"{m:,}") for n, what, out, p, m in self.rows]
        widths = [max(len(row[i]) for row in cells) for i in range(5)]
        lines = ["  ".join(f"{c:{'<<<>>'[i]}{widths[i]}}" for i, c in enumerate(row)).rstrip() for row in cells]
        rule = "-" * max(len(line) for line in lines)
        frozen = self.parameters - self.trainable
        total = f"{self.parameters:,} parameters" + (f", {frozen:,} of them frozen" if frozen else "")
        return "\n".join(
            [self.title, rule, lines[0], rule, *lines[1:], rule, f"{total}; {self.multiply_adds:,} multiply-adds"]
        )

    __repr__ = __str__


def summarize(model: Layer, input_shape: Any, dtype: Any = np.float32) -> Summary:
    """Run a batch of one zero sample through the model in evaluation mode, and note what each innermost layer does."""
    shapes: dict[int, tuple | None] = {}  # by the layer's id, as the costs are
    costs: dict[int, int] = {}
    for call in look(model, input_shape, dtype).calls():
        shapes[id(call.layer)] = call.shape
        costs[id(call.layer)] = costs.get(id(call.layer), 0) + own_cost(call)
    rows: list[Row] = []
    counted: set[Parameter] = set()  # a Parameter that stands in two places counts once, and so does the work of a layer
    for path, part, innermost in _parts(model):
        own = [part] if isinstance(part, Parameter) else Layer.parameters(part) if innermost else []
        new = [p for p in own if p not in counted]
        counted.update(new)
        cost = costs.pop(id(part), 0)
        if new or innermost or cost:
            rows.append((path, _name(part, innermost), shapes.get(id(part)), sum(p.size for p in new), cost))
    title = f"{type(model).__name__} on one sample of {' and '.join(map(str, shapes_of(input_shape)))}"
    trainable = sum(p.size for p in counted if p.requires_grad)
    return Summary(title, rows, sum(p.size for p in counted), trainable, sum(row[4] for row in rows))


def _parts(model: Layer) -> Iterator[tuple[str, Any, bool]]:
    """(path, part, whether it is an innermost layer) of the layers, and of the Parameters beside them, as defined."""
    yield "", model, False
    inside = None  # the path of the innermost layer whose own Parameters are passing
    for path, item in walk(model):
        if inside is not None and path.startswith(inside):
            continue
        innermost = isinstance(item, Layer) and not any(isinstance(x, Layer) for _, x in walk(item))
        inside = f"{path}." if innermost else None
        if isinstance(item, (Layer, Parameter)):
            yield path, item, innermost


def _name(part: Any, innermost: bool) -> str:
    if isinstance(part, Parameter):
        return "Parameter"
    return repr(part) if innermost else f"{type(part).__name__}({part.describe()})"


# --------------------------------------------------------------------------------------------------- multiply-adds


def _einsum(op: Op) -> int:
    lengths: dict[str, int] = {}
    for term, shape in zip(op.keywords["terms"], op.shapes, strict=True):
        lengths.update({axis: n for axis, n in zip(term, shape, strict=True) if n != 1 or axis not in lengths})
    return prod(lengths.values()) if len(op.shapes) > 1 else 0


# The multiply-adds of an op by its name, from the shapes of its output y and of its inputs.
MULTIPLY_ADDS: dict[str, Callable[[Op], int]] = {
    "matmul": lambda op: prod(op.output.shape) * op.shapes[0][-1],
    "linear": lambda op: prod(op.output.shape) * op.shapes[1][-1],
    "einsum": _einsum,
    "conv": lambda op: prod(op.output.shape) * prod(op.shapes[1][1:]),  # as usual, padding counts
    "conv_input": lambda op: prod(op.shapes[0]) * prod(op.shapes[1][1:]),  # the transposed convolution
    "recurrence": lambda op: prod(op.shapes[0][1:]) * (prod(op.shapes[1]) + prod(op.shapes[2])),
}


def own_cost(call: Call) -> int:
    """The multiply-adds of the ops that ran in this call, and in no layer inside it."""
    return sum(MULTIPLY_ADDS[op.name](op) for op in call.steps if isinstance(op, Op) and op.name in MULTIPLY_ADDS)
