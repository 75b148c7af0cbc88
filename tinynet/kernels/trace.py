"""From an update rule to a list of operations: the rule is run once on symbols, which write down what is done with them.

The one idea: what involves no array element, such as ``1 - beta1**step``, is a line of a *prelude* that plain Python
computes once a step, in double precision; the rest is the *body*, which meets such numbers only as arguments. So no power
of a beta is computed for every weight, and every number in a loop has the weights' own dtype. What is written from the
body (a compiled loop, array code in place, a GPU kernel) stands in ``kernels.source``.
"""

from __future__ import annotations

import functools
import math
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

# How Python writes each operation. The names are NumPy's, so that array code finds its functions by them.
PYTHON = {
    "add": "{} + {}",
    "subtract": "{} - {}",
    "multiply": "{} * {}",
    "divide": "{} / {}",
    "power": "{} ** {}",
    "negative": "-{}",
    "less": "{} < {}",
    "less_equal": "{} <= {}",
    "equal": "{} == {}",
    "not_equal": "{} != {}",
    "logical_and": "{} & {}",
    "logical_or": "{} | {}",
    "logical_not": "not {}",
    "sqrt": "np.sqrt({})",
    "abs": "np.abs({})",
    "sign": "np.sign({})",
    "exp": "np.exp({})",
    "maximum": "np.maximum({}, {})",
    "minimum": "np.minimum({}, {})",
    "where": "{1} if {0} else {2}",
    "positive": "+{}",
}
LOGICAL = {"logical_and", "logical_or", "logical_not"}
CONDITIONS = {"less", "less_equal", "equal", "not_equal", *LOGICAL}
# What the sources call things themselves: a rule whose arrays, or hyper-parameters, have these names is not traced.
RESERVED = re.compile(
    r"[fnqt]\d+|sum\d+|\w+_i|i|k|n|np|REAL|start|stop|thread|address|words|rows|numbers|sums|zero|step|parts?|share|first|size"
    r"|pointer|carray|copyto|before|flush_denormals|restore|range|min"
)
RESERVED_NUMBERS = re.compile(r"[npt]\d+|np|hyper|float")


class Untraceable(TypeError):
    """A rule does something that the symbols cannot follow; it runs as it stands then."""


def _binary(op: str) -> tuple[Callable, Callable]:
    return (
        lambda self, other: self.trace_of.emit(op, self, other),
        lambda self, other: self.trace_of.emit(op, other, self),
    )


class Symbol:
    """A number in a traced rule: an element of one of the arrays, or a hyper-parameter, or what follows from them."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, trace_of: Trace, name: str, is_element: bool, is_condition: bool = False):
        self.trace_of, self.name, self.is_element, self.is_condition = trace_of, name, is_element, is_condition

    @property
    def elementary(self) -> Trace:
        """What answers for this symbol in ``kernels.elementary``."""
        return self.trace_of

    __add__, __radd__ = _binary("add")
    __sub__, __rsub__ = _binary("subtract")
    __mul__, __rmul__ = _binary("multiply")
    __truediv__, __rtruediv__ = _binary("divide")
    __lt__, __gt__ = _binary("less")
    __le__, __ge__ = _binary("less_equal")
    __eq__, _ = _binary("equal")  # not "the same object": a symbol stands for a number
    __ne__, _ = _binary("not_equal")
    __and__, __rand__ = _binary("logical_and")
    __or__, __ror__ = _binary("logical_or")
    _, __rpow__ = _binary("power")

    def __pow__(self, exponent: Any) -> Symbol:
        if self.is_element and type(exponent) in (int, float):  # as NumPy computes them
            if exponent in (1, 2, 3, 4):
                return functools.reduce(operator.mul, [self] * int(exponent))
            if exponent in (0.5, -1):
                return self.trace_of.sqrt(self) if exponent > 0 else 1 / self
        return self.trace_of.emit("power", self, exponent)

    def __neg__(self) -> Symbol:
        return self.trace_of.emit("negative", self)

    def __pos__(self) -> Symbol:
        return self

    def __invert__(self) -> Symbol:
        return self.trace_of.emit("logical_not", self)

    def __abs__(self) -> Symbol:
        return self.trace_of.abs(self)

    def __bool__(self) -> bool:
        raise Untraceable("a rule branches on a number; use where(condition, a, b)")


class Line(NamedTuple):
    """``name = op(operands)``. Operands are elements (``w_i``), earlier lines (``t0``) or numbers (``n0``)."""

    name: str
    op: str
    operands: tuple[str, ...]


@dataclass(eq=False)
class Trace:
    """A rule's operations: ``prelude`` of numbers, ``body`` of array elements, which numbers it needs, what comes out."""

    prelude: list[str] = field(default_factory=list)  # lines of Python
    body: list[Line] = field(default_factory=list)
    numbers: list[str] = field(default_factory=list)  # prelude names and literals, in the body n0, n1, ...
    arrays: list[str] = field(default_factory=list)  # names of the weight, the gradient and each buffer
    hyper: list[str] = field(default_factory=list)  # the hyper-parameters that are numbers
    results: dict[str, str] = field(default_factory=dict)  # array: the line or element that becomes its new value
    _known: dict[tuple, Symbol] = field(default_factory=dict)

    def emit(self, op: str, *operands: Any) -> Symbol:
        """Write one line, into the body where an operand is an array element, and return the symbol of its result."""
        in_body = any(isinstance(x, Symbol) and x.is_element for x in operands)
        names = tuple(self._name(x, in_body) for x in operands)
        if in_body:
            conditions = [isinstance(x, Symbol) and x.is_condition for x in operands]
            if any(conditions[op == "where" :]) if op not in LOGICAL else not all(conditions):
                raise Untraceable("a rule calculates with a condition; use where(condition, a, b)")
        if (op, names, in_body) not in self._known:  # what is written twice is computed once
            name = f"t{len(self.body)}" if in_body else f"p{len(self.prelude)}"
            if in_body:
                self.body.append(Line(name, op, names))
            else:
                self.prelude.append(f"{name} = {PYTHON[op].format(*names)}")
            self._known[op, names, in_body] = Symbol(self, name, in_body, in_body and op in CONDITIONS)
        return self._known[op, names, in_body]

    def _name(self, x: Any, in_body: bool) -> str:
        if not isinstance(x, Symbol) and (isinstance(x, bool) or not isinstance(x, (int, float))):
            raise Untraceable(f"a rule computes with {x!r}")
        name = x.name if isinstance(x, Symbol) else _literal(x)
        if not in_body or (isinstance(x, Symbol) and x.is_element):
            return name
        if name not in self.numbers:
            self.numbers.append(name)
        return f"n{self.numbers.index(name)}"

    def finish(self, results: tuple) -> None:
        """Note what each array becomes, and leave out the lines that nothing follows from."""
        outputs = [name for name in self.arrays if name != "grad"]
        if len(results) != len(outputs) or not all(isinstance(r, Symbol) and r.is_element for r in results):
            raise Untraceable(f"a rule returned {len(results)} results, expected those of {', '.join(outputs)}")
        for array, result in zip(outputs, results, strict=True):
            foreign = result.name.endswith("_i") and result.name != f"{array}_i"  # another array's element as it was
            self.results[array] = (self.emit("positive", result) if foreign else result).name
        needed, kept = set(self.results.values()), []
        for line in reversed(self.body):
            if line.name in needed:
                needed.update(line.operands)
                kept.append(line)
        self.body = kept[::-1]

    def sqrt(self, x: Any) -> Symbol:
        return self.emit("sqrt", x)

    def abs(self, x: Any) -> Symbol:
        return self.emit("abs", x)

    def sign(self, x: Any) -> Symbol:
        return self.emit("sign", x)

    def exp(self, x: Any) -> Symbol:
        return self.emit("exp", x)

    def maximum(self, a: Any, b: Any) -> Symbol:
        return self.emit("maximum", a, b)

    def minimum(self, a: Any, b: Any) -> Symbol:
        return self.emit("minimum", a, b)

    def where(self, condition: Any, a: Any, b: Any) -> Any:
        if isinstance(condition, bool):
            return a if condition else b
        if isinstance(condition, Symbol) and condition.is_element and not condition.is_condition:
            condition = condition != 0
        return self.emit("where", condition, a, b)


def _literal(x: float) -> str:
    """A number as it may stand in a formula: -1 ** 2 would be -1, and Python has no word for infinity."""
    text = repr(x) if math.isfinite(x) else f'float("{x}")'
    return f"({text})" if text[0] == "-" else text


def trace(rule: Callable, arrays: list[str], hyper: dict[str, Any]) -> Trace:
    """A rule's operations. ``arrays``: names of the weight, the gradient and each buffer.

    Hyper-parameters that are numbers become symbols; others (True, False) are what they are, and the trace is for these.
    Raises ``Untraceable``, or whatever the rule raises when it meets symbols.
    """
    for name in arrays:
        if RESERVED.fullmatch(name) or name in PYTHON:
            raise Untraceable(f"a buffer is called {name!r}")
    numeric = [name for name, value in hyper.items() if type(value) in (int, float)]
    for name in numeric:
        if RESERVED_NUMBERS.fullmatch(name):
            raise Untraceable(f"a hyper-parameter is called {name!r}")
    made = Trace(arrays=list(arrays), hyper=numeric)
    symbols = [Symbol(made, f"{name}_i", True) for name in arrays]
    results = rule(*symbols, **{**hyper, **{name: Symbol(made, name, False) for name in numeric}})
    made.finish(results if isinstance(results, tuple) else (results,))
    return made
