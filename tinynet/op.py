"""``op``: the decorator with which the library declares its ops, and with which users add theirs.

The one idea: an op is a forward on raw arrays and one gradient rule for each array it takes. Everything that is the same for
all ops stands here once: unwrapping Tensors, keeping float32, recording the node, and an error that names the op.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial, wraps
from typing import Any

import numpy as np
from numpy import ndarray

from .backend import DeviceError, array_module, computes_on, device_of, is_array
from .tensor import RAW, RECORD, WATCH, Tensor, as_array, make, mode, watchers

FLOAT32 = np.dtype(np.float32)
CONVERTED = (np.generic, Tensor)  # what a keyword may be given as, but is not handed on as
# What is told with the op's name and its operands in front.
EXPLAINED = (ValueError, TypeError, IndexError, AttributeError, OverflowError, np.exceptions.AxisError)
OPS: dict[str, Op] = {}  # every op by "module.name": what the tests enumerate


def data_of(x: Any) -> Any:
    """The array behind a Tensor; an array (or whatever else) as it is. For rules, which meet both."""
    return x.data if isinstance(x, Tensor) else x


def module_of(x: Any) -> Any:
    """The array module behind an array or a Tensor."""
    return array_module(data_of(x))


class _OneForAll:
    """The rule of a variadic op in the place of a tuple of rules: for each index, the rule that knows it."""

    def __init__(self, rule: Callable):
        self.rule = rule

    def __getitem__(self, index: int) -> Callable:
        return partial(self.rule, index=index)


class Op:
    """What a node remembers of its op: the name, the forward on raw arrays, and one rule for each array it takes."""

    __slots__ = (
        "asks",
        "defaults",
        "forward",
        "joint",
        "keyword_defaults",
        "keyword_names",
        "keywords",
        "name",
        "operands",
        "rules",
        "variadic",
    )

    def __init__(self, forward: Callable, rules: tuple, variadic: bool, joint: bool = False):
        self.name = forward.__name__.lstrip("_")  # a private op stands behind a public function of that name
        self.forward = forward
        parameters = list(inspect.signature(forward).parameters.values())
        n, most = len(rules), 1 if variadic or joint else len(parameters)
        fits = 1 <= n <= most
        if not fits or (parameters[0].kind is parameters[0].VAR_POSITIONAL) is not variadic:
            raise TypeError(f"op {self.name!r}: {n} rules for the parameters {[p.name for p in parameters]}")
        self.joint = rules[0] if joint else None
        self.asks = joint and "wanted" in inspect.signature(rules[0]).parameters  # which gradients are wanted
        if joint:
            rules *= sum(p.kind is not p.KEYWORD_ONLY for p in parameters)
        self.rules: Any = _OneForAll(rules[0]) if variadic else rules
        self.variadic = variadic
        self.operands = [p.name for p in parameters[: len(rules)]]
        self.keywords = [p.name for p in parameters[len(rules) :]]
        self.keyword_names = set(self.keywords)
        self.defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
        self.keyword_defaults = {name: d for name, d in self.defaults.items() if name in self.keywords}

    def bind(self, inputs: tuple, keywords: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
        """Sort a call's arguments into operands and keywords, with the forward's own defaults filled in."""
        n = len(inputs) if self.variadic else len(self.operands)
        if not keywords and len(inputs) == n and len(self.keyword_defaults) == len(self.keywords):
            return inputs, self.keyword_defaults  # shared: nobody writes into a node's keywords
        if len(inputs) == n and keywords.keys() == self.keyword_names:
            return inputs, self.numbers(keywords)
        if len(inputs) > n:
            if len(inputs) - n > len(self.keywords):
                raise TypeError(f"{self.name}: takes {n + len(self.keywords)} arguments, got {len(inputs)}")
            positional = dict(zip(self.keywords, inputs[n:], strict=False))
            if not keywords.keys().isdisjoint(positional):
                raise TypeError(
                    f"{self.name}: got {sorted(keywords.keys() & positional)[0]!r} twice, by position and by name"
                )
            keywords = {**keywords, **positional}
            inputs = inputs[:n]
        elif len(inputs) < n:
            keywords = {**{k: self.defaults[k] for k in self.operands[len(inputs) :] if k in self.defaults}, **keywords}
            missing = [name for name in self.operands[len(inputs) :] if name not in keywords]
            if missing:
                raise TypeError(f"{self.name}: missing argument {missing[0]!r}")
            inputs = (*inputs, *(keywords.pop(name) for name in self.operands[len(inputs) :]))
        keywords = {**self.keyword_defaults, **keywords}
        if keywords.keys() != self.keyword_names:
            odd = sorted(keywords.keys() ^ self.keyword_names)
            raise TypeError(f"{self.name}: {'unexpected' if odd[0] in keywords else 'missing'} argument {odd[0]!r}")
        return inputs, self.numbers(keywords)

    def numbers(self, keywords: dict[str, Any]) -> dict[str, Any]:
        """Keywords with Python's numbers for NumPy's scalars, and arrays for Tensors."""
        for name, value in keywords.items():
            if not isinstance(value, CONVERTED):
                continue
            if isinstance(value, np.generic):
                keywords[name] = value.item()  # the number it is: np.float64(2) leaves float32 alone
            else:
                if value._requires_grad:
                    raise TypeError(f"{self.name}: {name} is a Tensor that requires a gradient, and gets none here")
                keywords[name] = value.data
        return keywords


def op(*rules: Callable | None, variadic: bool = False, joint: bool = False) -> Callable[[Callable], Callable[..., Any]]:
    """Declare a differentiable op: ``@op(rule_for_a, rule_for_b, ...)`` over ``def forward(a, b, ..., keyword=...)``.

    The forward takes raw arrays (NumPy or CuPy) and returns one. It has one rule for each array operand, in order;
    parameters after those are keywords. A rule is ``(g, y, *inputs, **keywords) -> gradient``: ``g`` is the gradient of the
    output, ``y`` the output. It may return a gradient with the output's broadcast shape, which is summed back, and is
    written with operators, methods and ops: it is run on raw arrays in an ordinary backward and on Tensors when its
    result is to be differentiated again. None in a rule's place: not differentiable in that operand (indices, masks),
    which is then left in its own dtype, while integers in a differentiable operand become floats of the others' dtype.
    With ``variadic=True`` the forward is ``(*arrays, **keywords)`` and the one rule takes ``index=``, the operand it is
    for. With ``joint=True`` the one rule returns a tuple, the gradients of all operands (None for one that is not
    wanted), where they come out of the same work; the operands are then all parameters that are not keyword-only. A joint
    rule with a parameter ``wanted`` gets there, for each operand, whether its gradient is asked for.

    The function that comes out takes Tensors, arrays and numbers and returns a Tensor. Inside a rule in an ordinary
    backward, where there is nothing to record, it maps arrays to arrays.

    >>> @op(lambda g, y, x: g * 3 * x**2)
    ... def cube(x):
    ...     return x**3
    >>> x = Tensor([2.0], requires_grad=True)
    >>> cube(x).backward()
    >>> x.grad
    tensor([12.])
    """

    def declare(forward: Callable) -> Callable[..., Any]:
        this = OPS[f"{forward.__module__}.{forward.__qualname__}"] = Op(forward, rules, variadic, joint)
        plain_call = None if this.keywords or variadic else len(this.operands)  # a call of this many inputs needs no binding
        partly = None in rules

        @wraps(forward)
        def apply(*inputs: Any, **keywords: Any) -> Any:
            if keywords or len(inputs) != plain_call:
                if mode.now is RAW and not any(isinstance(x, Tensor) for x in inputs):
                    return forward(*inputs, **keywords)
                inputs, keywords = this.bind(inputs, keywords)
            arrays = []
            tracked, seen, plain = False, False, True  # plain: float32 Tensors and Python numbers, nothing to convert
            for x in inputs:
                if isinstance(x, Tensor):
                    seen = True
                    tracked = tracked or x._requires_grad
                    x = x.data
                    if x.dtype is not FLOAT32:
                        plain = False
                elif type(x) is not float and type(x) is not int:
                    plain = False
                arrays.append(x)
            if not (plain and seen):
                if mode.now is RAW and not seen:
                    return forward(*inputs, **keywords)
                plain = False
                inputs, arrays = _conform(this, inputs, arrays)
            try:
                y = forward(*arrays, **keywords)
            except (ValueError, TypeError, IndexError, AttributeError, OverflowError) as error:
                raise _explained(error, this, arrays, keywords) from None
            if type(y) is not ndarray and not is_array(y):
                y = np.asarray(y)
            if not plain:
                y = _float32_of_integers(this, arrays, keywords, y)
            out = make(y)
            if tracked and mode.now is RECORD and (not partly or _differentiable(this, inputs)):
                out._requires_grad = True
                out._op, out._inputs, out._keywords = this, inputs, keywords
            elif watchers and mode.now is WATCH:
                out._op, out._inputs, out._keywords = this, inputs, keywords
            return out

        apply.op = this  # type: ignore[attr-defined]
        return apply

    return declare


def forward_of(function: Callable[..., Any]) -> Callable[..., Any]:
    """The forward on raw arrays behind an op's function, for the forwards of other ops."""
    return function.op.forward  # type: ignore[attr-defined]


def _float32_of_integers(this: Op, arrays: list, keywords: dict, y: Any) -> Any:
    """exp, mean, / of integers and booleans in float32, where NumPy gives float64, or float16 for those of 8 bits."""
    if y.dtype.kind not in "fiub":
        raise TypeError(f"{_call(this, arrays)}: the result is {y.dtype}, expected floats, integers or booleans")
    if y.dtype.kind != "f" or y.dtype == FLOAT32 or any(is_array(a) and a.dtype.kind == "f" for a in arrays):
        return y
    if y.dtype.itemsize > 4:
        return y.astype(FLOAT32)
    arrays = [a.astype(FLOAT32) if is_array(a) and this.rules[i] is not None else a for i, a in enumerate(arrays)]
    y = this.forward(*arrays, **keywords)
    return y if is_array(y) else np.asarray(y)


def _differentiable(this: Op, inputs: tuple) -> bool:
    return any(isinstance(x, Tensor) and x._requires_grad and this.rules[i] is not None for i, x in enumerate(inputs))


def _conform(this: Op, inputs: tuple, arrays: list) -> tuple[tuple, list]:
    """Lists to arrays, NumPy scalars to Python numbers, and integers in differentiable places to the others' float dtype.

    A NumPy scalar counts as the number it is: ``x * np.float64(2)`` and ``x * np.sqrt(2)`` leave float32 alone; a list
    takes the others' dtype too.
    """
    count = 0
    floats, others = [], []  # dtypes of floats, and places of integers and lists, where the op is differentiable
    for i, a in enumerate(arrays):
        if isinstance(a, np.generic):
            arrays[i] = a.item()
        elif isinstance(a, (list, tuple)):
            arrays[i] = as_array(a)
            count += 1
            if this.rules[i] is not None:
                others.append(i)
        elif is_array(a):
            count += 1
            if this.rules[i] is not None:
                if a.dtype.kind == "f":
                    floats.append(a.dtype)
                else:
                    others.append(i)
    if count == 0:
        arrays = [as_array(a) if isinstance(a, (int, float)) else a for a in arrays]
    if floats and others:
        dtype = np.result_type(*floats)
        for i in others:
            arrays[i] = as_array(inputs[i], dtype) if isinstance(inputs[i], (list, tuple)) else arrays[i].astype(dtype)
    kept = [x if isinstance(x, Tensor) and x.data is a else a for x, a in zip(inputs, arrays, strict=True)]
    return tuple(kept), arrays


def _explained(error: Exception, this: Op, arrays: list, keywords: dict) -> Exception:
    """The error of a forward, with the op's name and its operands; a DeviceError where they live on two devices."""
    devices = list(dict.fromkeys(device_of(a) for a in (*arrays, *keywords.values()) if is_array(a)))
    if len(devices) > 1:
        return DeviceError(
            f"{this.name}: operands on two devices, {devices[0]!r} and {devices[1]!r}; move one with .to({devices[0]!r})"
        )
    if devices and not computes_on(devices[0]):
        return DeviceError(
            f"{this.name}: operands on {devices[0]!r}, and this thread computes on another GPU; "
            f"use `with tn.device({devices[0]!r}):`"
        )
    named = str(error).partition(":")[0]  # an op of ours, or the function that it does a part of
    ours = named.startswith(this.name) or (named and this.name.endswith(named))
    ours = ours and "gufunc" not in str(error)  # NumPy's matmul names itself, but no shapes
    of_a_ufunc = isinstance(error, TypeError) and type(error).__module__.startswith("numpy")
    kind = TypeError if of_a_ufunc else type(error)
    if ours or kind not in EXPLAINED:
        return error
    return kind(f"{_call(this, arrays)}: {error}").with_traceback(error.__traceback__)


def _call(this: Op, arrays: list) -> str:
    """The op and what it was called with, for an error: "add(float32 (2, 3), NoneType)"."""
    return f"{this.name}({', '.join(f'{a.dtype} {a.shape}' if is_array(a) else type(a).__name__ for a in arrays)})"
