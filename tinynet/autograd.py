"""The way back: from a result to the gradients of what it was computed from.

The one idea: a rule is written once and runs at two speeds. The walk sorts the graph with an explicit stack (no recursion,
however deep it is) and asks each op's rules for the gradients of its inputs: on raw arrays in an ordinary backward, which
records nothing; on Tensors with ``create_graph=True``, which records the backward itself and makes it differentiable.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from contextlib import ContextDecorator
from functools import wraps
from typing import Any

import numpy as np
from numpy import ndarray

from .backend import array_module, is_array, recorded
from .kernels import add_at
from .tensor import NONE, PAUSE, RAW, RECORD, WATCH, Tensor, as_array, make, mode, watchers

# ------------------------------------------------------------------------------------------------------- recording


class _Recording(ContextDecorator):
    value: str

    def __init__(self) -> None:
        self._outer: list[str] = []

    def __call__(self, function: Any) -> Any:
        if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(
                f"{type(self).__name__} decorates no async function; put a `with` block around what has no await"
            )
        return self._steps_of(function) if inspect.isgeneratorfunction(function) else super().__call__(function)

    def _steps_of(self, function: Any) -> Any:
        """A generator function each of whose steps runs in the mode, and who asks for the steps in their own."""

        @wraps(function)
        def stepping(*arguments: Any, **keywords: Any) -> Any:
            generator = function(*arguments, **keywords)
            step, given = generator.send, None
            try:
                while True:
                    with self._recreate_cm():
                        value = step(given)
                    try:
                        step, given = generator.send, (yield value)
                    except BaseException as error:  # thrown in, or GeneratorExit where it is closed
                        step, given = generator.throw, error
            except StopIteration as end:
                return end.value

        return stepping

    def _recreate_cm(self) -> _Recording:
        return type(self)()  # a decorated function may recurse or run in two threads: each call its own

    def __enter__(self) -> None:
        self._outer.append(mode.now)
        mode.now = self.value

    def __exit__(self, *exception: object) -> None:
        mode.now = self._outer.pop()


class no_grad(_Recording):
    """``with tn.no_grad():`` or ``@tn.no_grad()``: ops record nothing, in this thread.

    A generator function that is decorated pauses recording in its own steps only; a ``with`` block in a generator goes on
    where the generator waits at a ``yield``, in whatever asked for the value.

    >>> x = Tensor([1.0], requires_grad=True)
    >>> with no_grad():
    ...     (x * 2).requires_grad
    False
    """

    value = PAUSE


class enable_grad(_Recording):
    """``with tn.enable_grad():`` or ``@tn.enable_grad()``: ops record again inside a ``no_grad``, in this thread."""

    value = RECORD


class watching(_Recording):
    """Every op remembers its inputs, those of integers and frozen Parameters too, and nothing requires a gradient."""

    value = WATCH

    def __enter__(self) -> None:
        watchers.append(self)
        super().__enter__()

    def __exit__(self, *exception: object) -> None:
        super().__exit__(*exception)
        watchers.remove(self)


# ---------------------------------------------------------------------------------------------------- the way back


def backward(self: Tensor, gradient: Any = None, retain_graph: bool = False, create_graph: bool = False) -> None:
    """Add d(self)/d(leaf), times ``gradient``, into ``.grad`` of every leaf that requires a gradient.

    ``gradient`` has the Tensor's shape; it may be left out for a Tensor of one element (it is 1 then). The graph is
    freed on the way unless ``retain_graph``. ``create_graph`` records the backward itself, so that the gradients can be
    differentiated again (for that ``tn.grad`` is the better tool: a leaf whose ``.grad`` holds a graph that leads
    back to the leaf is a reference cycle).

    Raises ``RuntimeError`` where nothing requires a gradient, where the graph was freed by an earlier backward, and
    for several elements without ``gradient``; ``ValueError`` for a ``gradient`` of another shape.
    Unlike PyTorch, a second backward without ``retain_graph`` always raises, not only where a rule needs its inputs.

    >>> x = Tensor([3.0], requires_grad=True)
    >>> (x**2).backward()
    >>> x.grad
    tensor([6.])
    """
    recording = recorded.now
    grads, after = _walk([self], [gradient], set(), create_graph, retain_graph or create_graph)
    for leaf, g in grads.items():
        if leaf._grad is not None:
            if recording is not None:
                recording.check_gradient(leaf._grad)
            g = leaf._grad + g if create_graph else leaf._grad.data + g
        leaf._grad = g if create_graph else make(g) if type(g) is ndarray else _wrap(g)
        if recording is not None:
            recording.made.append(leaf._grad)
    for f in after:
        f()


def _wrap(g: Any) -> Tensor:
    return make(g if is_array(g) else np.asarray(g))  # arithmetic on arrays without axes gives NumPy scalars


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Any = None,
    create_graph: bool = False,
    allow_unused: bool = False,
    retain_graph: bool | None = None,
) -> tuple[Tensor | None, ...]:
    """The gradients of ``outputs`` (times ``grad_outputs``, summed) for each of ``inputs``; no ``.grad`` is touched.

    Each of the three may be one Tensor or a sequence. Only what leads from ``outputs`` to ``inputs`` is computed; inputs
    need not be leaves. The graph is freed unless ``retain_graph`` (by default what ``create_graph`` is). An input on which
    no output depends raises ``RuntimeError``, or gives None with ``allow_unused``.

    >>> x = Tensor([2.0], requires_grad=True)
    >>> (dy,) = grad(x**3, x, create_graph=True)
    >>> dy, grad(dy, x)[0]
    (tensor([12.], op=mul), tensor([12.]))
    """
    outputs, inputs = _sequence(outputs), _sequence(inputs)
    seeds = [None] * len(outputs) if grad_outputs is None else _sequence(grad_outputs)
    if len(seeds) != len(outputs):
        raise ValueError(f"grad_outputs: expected {len(outputs)}, one for each output, got {len(seeds)}")
    for i, x in enumerate(inputs):
        if not isinstance(x, Tensor) or not x._requires_grad:
            raise RuntimeError(f"inputs: number {i} does not require a gradient")
    found, _ = _walk(outputs, seeds, set(inputs), create_graph, create_graph if retain_graph is None else retain_graph)
    for i, x in enumerate(inputs):
        if x not in found and not allow_unused:
            raise RuntimeError(f"inputs: no output depends on number {i}; pass allow_unused=True to get None for it")
    return tuple(found.get(x) if create_graph or x not in found else _wrap(found[x]) for x in inputs)


def _sequence(x: Any) -> list:
    return list(x) if isinstance(x, (list, tuple)) else [x]


def topological(roots: Iterable[Tensor]) -> list[Tensor]:
    """Every result of an op behind ``roots`` (them included), each before all results that it was computed from."""
    uses = {root: 0 for root in roots if root._op is not None}  # how often each result went into others on the way
    stack, tree = list(uses), True  # tree: none went into two, and each has come after the one that it went into
    while stack:
        node = stack.pop()
        inputs = node._inputs
        if inputs is None:
            raise RuntimeError(
                f"the graph behind this result was freed by an earlier backward (at op {node._op.name!r}); "
                "pass retain_graph=True to that backward to go through it twice"
            )
        for x in inputs:
            if isinstance(x, Tensor) and x._op is not None:
                if x in uses:
                    uses[x] += 1
                    tree = False
                else:
                    uses[x] = 1
                    stack.append(x)
    if tree:
        return list(uses)
    order = [root for root, n in uses.items() if n == 0]
    for node in order:  # it grows while we go through it
        for x in node._inputs:  # type: ignore[union-attr]
            if isinstance(x, Tensor) and x._op is not None:
                uses[x] -= 1
                if uses[x] == 0:
                    order.append(x)
    return order


def _seed(y: Tensor, gradient: Any) -> Any:
    """The array that the walk starts from at the output ``y``."""
    if not isinstance(y, Tensor) or not y._requires_grad:
        raise RuntimeError("backward: the output does not require a gradient, or was computed under no_grad")
    if gradient is None:
        if y.data.size != 1:
            raise RuntimeError(
                f"backward: an output of shape {y.shape} needs a gradient of that shape; "
                "only a Tensor of one element has 1 as its natural one"
            )
        if type(y.data) is ndarray:
            return np.array(1, y.data.dtype).reshape(y.data.shape)  # 0.2 us, where np.ones takes 0.7
        return array_module(y.data).ones(y.shape, y.dtype)
    data = y.data
    g = gradient.data if isinstance(gradient, Tensor) else gradient
    if type(g) is not type(data) or g.dtype is not data.dtype:
        g = as_array(g, y.dtype, y.device)
    if g.shape != data.shape:
        raise ValueError(f"gradient: expected the output's shape {y.shape}, got {g.shape}")
    return g


def _own(g: Any) -> Any:
    """A copy of a gradient that leaves the walk: no two gradients, and no gradient and its source, share memory."""
    return g * 1 if isinstance(g, Tensor) else g.copy()


def _walk(outputs: list, seeds: list, wanted: set[Tensor], differentiable: bool, retain: bool) -> tuple[dict, dict]:
    """Carry gradients from ``outputs`` back to ``wanted`` (to every leaf where that is empty); return them by Tensor, and
    what rules have asked for ``afterwards``.

    Arrays come back from an ordinary walk, Tensors from a differentiable one. Nothing outside is written: on an error no
    ``.grad`` has changed. The graph is freed node by node on the way, so that memory falls as the walk goes on.
    """
    grads: dict[Tensor, Any] = {}  # complete for a node when its turn comes; for leaves, when the walk is over
    sums: set[Tensor] = set()  # whose entry in grads is an array made here, so that more may be added to it in place
    inner = {}  # gradients of wanted Tensors that are no leaves
    outer, mode.now = mode.now, RECORD if differentiable else RAW
    after: dict[Callable[[], None], None] = {}
    outer_after, mode.after = mode.after, after
    try:
        for i, y in enumerate(outputs):
            seed = seeds[i]
            g = _seed(y, seed)
            if differentiable:
                g = seed.astype(y.dtype) if isinstance(seed, Tensor) else make(g)
            if y._op is None or y in wanted:
                g = _own(g)
            grads[y] = grads[y] + g if y in grads else g
        order = topological(grads)
        needed = _leading_to(wanted, order) if wanted else None
        order.reverse()
        while order:
            node = order.pop()
            g = grads.pop(node, None)
            if g is not None:
                if node in wanted:
                    inner[node] = g
                _step(node, g, grads, sums, wanted, needed, differentiable)
            if not retain:
                node._inputs, node._keywords = None, NONE
    finally:
        mode.now, mode.after = outer, outer_after
    grads.update(inner)
    return grads, after


def _leading_to(wanted: set[Tensor], order: list[Tensor]) -> set[Tensor]:
    """``wanted`` and every node of ``order`` from which a path leads back to one of them."""
    needed = set(wanted)
    for node in reversed(order):
        if any(x in needed for x in node._inputs or () if isinstance(x, Tensor)):
            needed.add(node)
    return needed


class Placed:
    """What a rule may return in an ordinary walk: a gradient that is ``g`` at ``index`` and zero elsewhere.

    The engine adds it in place. A loop that takes its input apart, ``x[0], x[1], ..., x[T - 1]``, would otherwise make T
    arrays of zeros of x's size on its way back: for 500 steps of 128 x 64 floats, 1.5 s instead of 0.07 s.
    """

    __slots__ = ("g", "index", "repeats")

    def __init__(self, g: Any, index: Any, repeats: bool):
        self.g, self.index, self.repeats = g, index, repeats  # repeats: the index may pick an element twice

    def add_to(self, total: Any) -> None:
        if self.repeats:
            add_at(total, self.index, self.g)
        else:
            total[self.index] += self.g


def _step(
    node: Tensor, g: Any, grads: dict, sums: set[Tensor], wanted: set, needed: set | None, differentiable: bool
) -> None:
    """Ask the rules of one node for the gradients of its inputs, and add them to ``grads``."""
    op, inputs, keywords = node._op, node._inputs, node._keywords
    assert inputs is not None
    y: Any = node
    operands: Any = inputs
    if not differentiable:
        y, operands = node.data, []
        for x in inputs:  # a comprehension would be one more call
            operands.append(x.data if isinstance(x, Tensor) else x)
    together = None if op.joint is None else _together(op, g, y, operands, keywords, inputs, needed)
    for i, x in enumerate(inputs):
        if not isinstance(x, Tensor) or not x._requires_grad or (needed is not None and x not in needed):
            continue
        rule = op.rules[i]
        if rule is None:
            continue
        if together is not None:
            gx = together[i]
        else:
            gx = rule(g, y, *operands, **keywords) if keywords else rule(g, y, *operands)
        if differentiable or type(gx) is not ndarray:
            if type(gx) is Placed:
                gx.add_to(_sum_of(x, grads, sums))
                continue
            if differentiable or not isinstance(gx, np.generic):  # what NumPy gives for arrays without axes
                gx = _returned(gx, differentiable, op.name, i)
        like = x.data
        if gx.shape != like.shape:
            gx = _unbroadcast(gx, like.shape, op.name, i)
        if gx.dtype is not like.dtype:
            gx = gx.astype(like.dtype)
        if x in grads:
            if x in sums:
                total = grads[x]
                total += gx
                gx = total  # on arrays without axes += gives a new NumPy scalar
            else:
                gx = grads[x] + gx
                if not differentiable:
                    sums.add(x)
        elif (x._op is None or x in wanted) and (gx is g or (gx.data if differentiable else gx).base is not None):
            gx = _own(gx)
        grads[x] = gx


def _together(op: Any, g: Any, y: Any, operands: Any, keywords: dict, inputs: tuple, needed: set | None) -> tuple:
    """The gradients of all operands, from an op's joint rule."""
    if op.asks:
        wanted = [isinstance(x, Tensor) and x._requires_grad and (needed is None or x in needed) for x in inputs]
        gradients = op.joint(g, y, *operands, wanted=wanted, **keywords)
    else:
        gradients = op.joint(g, y, *operands, **keywords)
    if not isinstance(gradients, tuple) or len(gradients) != len(operands):
        raise TypeError(f"op {op.name!r}: the joint rule returned {gradients!r}, expected a tuple of {len(operands)} arrays")
    return gradients


def _sum_of(x: Tensor, grads: dict, sums: set[Tensor]) -> Any:
    """The array in which x's gradient is being added up, made where there is none that may be written into."""
    if x not in sums:
        held = grads.get(x)
        grads[x] = array_module(x.data).zeros_like(x.data) if held is None else _own(held)
        sums.add(x)
    return grads[x]


def _returned(g: Any, differentiable: bool, name: str, index: int) -> Any:
    """What a rule returned, as a Tensor in a differentiable walk and as an array in an ordinary one."""
    if not hasattr(g, "shape"):
        raise TypeError(f"op {name!r}: the rule for input {index} returned {g!r}, expected an array")
    if isinstance(g, Tensor) is differentiable:
        return g
    return make(g) if differentiable else g.data


def _unbroadcast(g: Any, shape: tuple[int, ...], name: str, index: int) -> Any:
    """Sum ``g`` over the axes along which an operand of ``shape`` was broadcast; the one place where this is undone."""
    lead = g.ndim - len(shape)
    if lead < 0 or any(n not in (1, g.shape[lead + i]) for i, n in enumerate(shape)):
        raise ValueError(f"op {name!r}: the rule for input {index} returned shape {g.shape} for an input of {shape}")
    axes = (*range(lead), *(lead + i for i, n in enumerate(shape) if n == 1))
    return g.sum(axis=axes, keepdims=True).reshape(shape)
