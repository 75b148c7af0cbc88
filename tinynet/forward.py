"""One forward pass, looked at: which layers were called on what, and which ops ran inside each. For summary and plot.

The one idea: a layer's call is cut out of the graph. Each Tensor that goes in, and each that comes out, is replaced by a
fresh leaf. The ops behind the outputs, as far back as these leaves, are what ran in this layer and in none inside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .autograd import watching
from .backend import is_array
from .layers import Layer
from .layers.layer import inner_layers, walk
from .tensor import Tensor, as_array, make
from .training import evaluating


@dataclass(eq=False)
class Value:
    """A Tensor of the pass, as it is known in one call: an argument of that call, or what an op or a layer made in it."""

    shape: tuple[int, ...]
    dtype: np.dtype
    scope: Call
    maker: Op | Call | None = None  # None: an argument
    source: Value | None = None  # what an argument is outside


@dataclass(eq=False)
class Op:
    """An op that ran: its inputs are Values, names of Parameters and buffers, numbers, or None for any other constant."""

    name: str
    inputs: list[Value | str | float | None]
    shapes: list[tuple[int, ...]]  # of the inputs
    keywords: dict[str, Any]
    output: Value = field(init=False)


@dataclass(eq=False)
class Call:
    """A layer that was called: on what, what it returned, and what ran in it, in an order in which it can have run."""

    path: str
    layer: Layer | None  # None: the outermost, in which the model is called
    parent: Call | None
    arguments: list[Value] = field(default_factory=list)  # in the call: their ``source`` is outside
    steps: list[Op | Call] = field(default_factory=list)
    returned: list[Value | None] = field(default_factory=list)  # in the call; None: made by no op
    outputs: list[Value] = field(default_factory=list)  # the same, outside
    shape: tuple[int, ...] | None = None  # of the output, or of the first of a tuple

    def calls(self) -> Iterator[Call]:
        """Every call in this one, at any depth."""
        for step in self.steps:
            if isinstance(step, Call):
                yield step
                yield from step.calls()


def shapes_of(input_shape: Any) -> list[tuple[int, ...]]:
    """One shape a sample: ``5``, ``(1, 28, 28)``, or a list of such where a model takes several inputs."""
    several = isinstance(input_shape, (list, tuple)) and any(isinstance(part, (list, tuple)) for part in input_shape)
    shapes = []
    for part in input_shape if several else [input_shape]:
        shape = tuple(part) if isinstance(part, (list, tuple)) else (part,)
        if any(not isinstance(n, (int, np.integer)) or n < 0 for n in shape):
            raise ValueError(
                f"input_shape is {input_shape!r}, expected the shape of one sample without the batch axis, "
                "such as (3, 32, 32), or a list of shapes for a model of several inputs"
            )
        shapes.append(tuple(map(int, shape)))
    return shapes


def look(model: Layer, input_shape: Any, dtype: Any = np.float32, batch: int = 1) -> Call:
    """Run ``batch`` samples of zeros through the model, in evaluation mode, and return the outermost call.

    ``dtype``: of the input, or a list with one for each input.
    """
    shapes = shapes_of(input_shape)
    dtypes = dtype if isinstance(dtype, (list, tuple)) else [dtype] * len(shapes)
    if len(dtypes) != len(shapes):
        raise ValueError(f"dtype: got {len(dtypes)} for {len(shapes)} inputs, expected one for all, or one for each")
    device = next((p.device for p in Layer.parameters(model)), None)
    zeros = [make(as_array(np.zeros((batch, *shape), t), device=device)) for shape, t in zip(shapes, dtypes, strict=True)]
    look = _Look(model)
    with _watched(model, look), evaluating(model), watching():
        inputs = [look.argument(look.top, x, None) for x in zeros]
        returned: list[Tensor] = []
        _each(returned.append, model(*inputs))
        look.top.returned = [look.find(y, look.top) for y in returned]
    return look.top


@contextmanager
def _watched(model: Layer, look: _Look) -> Iterator[None]:
    """Every layer's ``forward`` goes through ``look.call``, on the object, until the end."""
    layers = inner_layers(model)
    own = [vars(layer).get("forward") for layer in layers]
    try:
        for layer in layers:
            vars(layer)["forward"] = look.call(layer, layer.forward)
        yield
    finally:
        for layer, forward in zip(layers, own, strict=True):
            vars(layer).pop("forward", None)
            if forward is not None:
                vars(layer)["forward"] = forward


def _each(f: Callable[[Tensor], Any], x: Any) -> Any:
    """x with ``f`` of every Tensor in it in the Tensor's place; through tuples, lists and dicts, which are copied."""
    if isinstance(x, Tensor):
        return f(x)
    if isinstance(x, tuple):
        parts = [_each(f, part) for part in x]
        return type(x)(*parts) if hasattr(x, "_fields") else tuple(parts)
    if isinstance(x, (list, dict)):
        x = copy(x)  # of the same class, whatever its __init__ takes
        for key in x if isinstance(x, dict) else range(len(x)):
            x[key] = _each(f, x[key])
    return x


class _Look:
    """What is known in the middle of a pass: the Value of each Tensor met so far, and the call that runs."""

    def __init__(self, model: Layer):
        self.top = self.now = Call("", None, None)
        self.values: dict[int, tuple[Value, Tensor]] = {}  # the Tensor too, so that its id stays its own
        self.arrays: dict[int, Tensor] = {}  # by its array's id: an index goes into an op as an array among the keywords
        self.paths = {id(item): path for path, item in reversed(list(walk(model)))}  # under the first of its paths

    def call(self, layer: Layer, forward: Callable) -> Callable:
        """``forward``, noted as a call of ``layer``."""

        def watched(*inputs: Any, **keywords: Any) -> Any:
            outside = self.now
            call = self.now = Call(self.paths.get(id(layer), ""), layer, outside)
            try:
                inputs, keywords = _each(lambda x: self.argument(call, x, self.find(x, outside)), (inputs, keywords))
                output = forward(*inputs, **keywords)
            finally:
                self.now = outside
            first = output[0] if isinstance(output, tuple) and output else output
            call.shape = tuple(first.shape[1:]) if hasattr(first, "shape") else None
            outside.steps.append(call)
            return _each(lambda y: self.output(call, y), output)

        return watched

    def argument(self, call: Call, x: Tensor, source: Value | None) -> Tensor:
        """The leaf in x's place inside ``call``; x itself where it is a Parameter or another constant."""
        if source is None and call is not self.top:
            return x
        leaf = make(x.data)
        self._know(leaf, self._inside(call, x, source))
        return leaf

    def _know(self, x: Tensor, value: Value) -> None:
        self.values[id(x)] = value, x
        self.arrays[id(x.data)] = x

    def _inside(self, call: Call, x: Any, source: Value | None) -> Value:
        """The argument of ``call`` that is ``source`` outside, a new one where there is none yet."""
        found = [value for value in call.arguments if source is not None and value.source is source]
        if not found:
            found = [Value(x.shape, x.dtype, call, source=source)]
            call.arguments += found
        return found[0]

    def output(self, call: Call, y: Tensor) -> Tensor:
        """The leaf in y's place outside ``call``."""
        assert call.parent is not None
        inner, leaf = self.find(y, call), make(y.data)
        if inner is None or inner not in call.returned:
            call.returned.append(inner)
            call.outputs.append(Value(y.shape, y.dtype, call.parent, call))
        value = call.outputs[-1 if inner is None else call.returned.index(inner)]
        self._know(leaf, value)
        return leaf

    def find(self, x: Tensor, call: Call) -> Value | None:
        """The Value of x in ``call``, with all ops behind it that were not yet known; None for a constant."""
        stack = [x] if x._op is not None else []
        while stack:
            node = stack[-1]
            unknown = [t for t in node._inputs or () if isinstance(t, Tensor) and t._op is not None]
            unknown = [t for t in unknown if id(t) not in self.values]
            if id(node) in self.values or not unknown:
                stack.pop()
            if id(node) not in self.values:
                stack += unknown[::-1]
                if not unknown:
                    self._know(node, self._ran(node, call))
        return self._in(call, self.values[id(x)][0]) if id(x) in self.values else None

    def _ran(self, node: Tensor, call: Call) -> Value:
        """What ``node``'s op made, with the op among the call's steps."""
        inputs: list[Value | str | float | None] = []
        indices = [x for keyword in node._keywords.values() for x in (keyword if isinstance(keyword, tuple) else [keyword])]
        operands = [*(node._inputs or ()), *(self.arrays[id(x)] for x in indices if is_array(x) and id(x) in self.arrays)]
        for x in operands:
            if isinstance(x, Tensor):
                known = self._in(call, self.values[id(x)][0]) if id(x) in self.values else None
                inputs.append(known or self.paths.get(id(x)))
            else:
                inputs.append(x if isinstance(x, (int, float)) else None)
        shapes = [tuple(x.shape) if isinstance(x, Tensor) or is_array(x) else () for x in operands]
        op = Op(node._op.name, inputs, shapes, node._keywords)
        op.output = Value(node.shape, node.dtype, call, op)
        call.steps.append(op)
        return op.output

    def _in(self, call: Call, value: Value) -> Value | None:
        """The same in ``call``, as an argument where it is from further out; None where it is from elsewhere."""
        around = [call]
        while around[-1].parent is not None:
            around.append(around[-1].parent)
        while value.scope not in around:
            if value.source is None:
                return None
            value = value.source
        for inner in reversed(around[: around.index(value.scope)]):
            value = self._inside(inner, value, value)
        return value
