"""Model.summary: what each layer makes of one sample, as a table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .layers import Layer
from .layers.layer import walk
from .tensor import Parameter, Tensor
from .training import evaluating


@dataclass(frozen=True)
class Summary:
    """``rows`` of (name, layer, output shape, parameters), and the totals; printing it shows the table."""

    title: str
    rows: list[tuple[str, str, tuple[int, ...] | None, int]]
    parameters: int
    trainable: int

    def __str__(self) -> str:
        cells = [("layer", "", "output", "parameters")]
        cells += [(n, what, "" if out is None else str(out), f"{count:,}") for n, what, out, count in self.rows]
        widths = [max(len(row[i]) for row in cells) for i in range(4)]
        lines = [f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:<{widths[2]}}  {d:>{widths[3]}}".rstrip() for a, b, c, d in cells]
        rule = "-" * max(len(line) for line in lines)
        frozen = self.parameters - self.trainable
        total = f"{self.parameters:,} parameters" + (f", {frozen:,} of them frozen" if frozen else "")
        return "\n".join([self.title, rule, lines[0], rule, *lines[1:], rule, total])

    __repr__ = __str__


def summarize(model: Layer, input_shape: tuple[int, ...], dtype: Any = np.float32) -> Summary:
    """Run a batch of one zero sample through the model in evaluation mode, and note what each innermost layer returns."""
    parts = list(_parts(model))
    shapes = _output_shapes(model, [part for _, part in parts if isinstance(part, Layer)], input_shape, dtype)
    rows = []
    counted: set[Parameter] = set()  # a Parameter that stands in two places counts once
    for path, part in parts:
        own = [part] if isinstance(part, Parameter) else Layer.parameters(part)
        new = [p for p in own if p not in counted]
        counted.update(new)
        if new or isinstance(part, Layer):
            what = "Parameter" if isinstance(part, Parameter) else repr(part)
            rows.append((path, what, shapes.get(id(part)), sum(p.size for p in new)))
    title = f"{type(model).__name__} on one sample of {tuple(input_shape)}"
    return Summary(title, rows, sum(p.size for p in counted), sum(p.size for p in counted if p.requires_grad))


def _parts(model: Layer) -> Iterator[tuple[str, Any]]:
    """(path, part) of the innermost layers, and of the Parameters beside them, in definition order."""
    inside = None  # the path of the innermost layer whose own Parameters are passing
    for path, item in walk(model):
        if inside is not None and path.startswith(inside):
            continue
        innermost = isinstance(item, Layer) and not any(isinstance(x, Layer) for _, x in walk(item))
        inside = f"{path}." if innermost else None
        if innermost or isinstance(item, Parameter):
            yield path, item


def _output_shapes(model: Layer, layers: list[Layer], input_shape: tuple[int, ...], dtype: Any) -> dict[int, tuple]:
    """The shape, without the batch axis, of what each of ``layers`` returns for one sample of zeros, by the layer's id."""
    shapes: dict[int, tuple] = {}

    def watch(layer: Layer) -> None:
        forward = layer.forward

        def watched(*inputs: Any, **keywords: Any) -> Any:
            output = forward(*inputs, **keywords)
            first = output[0] if isinstance(output, tuple) else output
            if hasattr(first, "shape"):
                shapes[id(layer)] = first.shape[1:]
            return output

        layer.forward = watched  # type: ignore[method-assign]  # on the object, for this one pass

    layers = list({id(layer): layer for layer in layers}.values())
    try:
        for layer in layers:
            watch(layer)
        with evaluating(model):
            model(Tensor(np.zeros((1, *input_shape), dtype)))
    finally:
        for layer in layers:
            vars(layer).pop("forward", None)
    return shapes
