"""Model.summary: what each layer makes of one sample, as a table."""

from __future__ import annotations

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
    places = [(path, layer) for path, layer in walk(model) if isinstance(layer, Layer)]
    inner = [(path, layer) for path, layer in places if not any(isinstance(x, Layer) for _, x in walk(layer))]
    shapes: dict[int, tuple[int, ...]] = {}

    def watch(layer: Layer) -> None:
        forward = layer.forward

        def watched(*inputs: Any, **keywords: Any) -> Any:
            output = forward(*inputs, **keywords)
            first = output[0] if isinstance(output, tuple) else output
            shapes[id(layer)] = first.shape[1:]
            return output

        layer.forward = watched  # type: ignore[method-assign]  # on the object, for this one pass

    layers = list({id(layer): layer for _, layer in inner}.values())
    for layer in layers:
        watch(layer)
    try:
        with evaluating(model):
            model(Tensor(np.zeros((1, *input_shape), dtype)))
    finally:
        for layer in layers:
            del layer.forward
    rows = []
    counted: set[int] = set()
    for path, layer in inner:
        sizes = [p.size for p in Layer.parameters(layer) if id(p) not in counted]
        counted.update(id(p) for p in Layer.parameters(layer))
        rows.append((path, repr(layer), shapes.get(id(layer)), sum(sizes)))
    own = [(path, p) for path, p in walk(model) if isinstance(p, Parameter) and id(p) not in counted]
    rows += [(path, "Parameter", None, p.size) for path, p in {id(p): (path, p) for path, p in own}.values()]
    every = Layer.parameters(model)
    title = f"{type(model).__name__} on one sample of {tuple(input_shape)}"
    return Summary(title, rows, sum(p.size for p in every), sum(p.size for p in every if p.requires_grad))
