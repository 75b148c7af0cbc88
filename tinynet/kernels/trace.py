"""From an update rule to the lines of a loop: the rule is run once on symbols, which write down what is done with them.

The one idea: what involves no array element, such as ``1 - beta1**step``, is a line of a *prelude* that plain Python
computes once a step, in double precision; the rest is the loop's *body*, which meets such numbers only as arguments. So
no power of a beta is computed for every weight, and every number in the loop has the weights' own dtype.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


class Untraceable(TypeError):
    """A rule does something that the symbols cannot follow; it runs as array code then."""


def _binary(template: str) -> tuple[Callable, Callable]:
    return (
        lambda self, other: self.trace_of.emit(template, self, other),
        lambda self, other: self.trace_of.emit(template, other, self),
    )


class Symbol:
    """A number in a traced rule: an element of one of the arrays, or a hyper-parameter, or what follows from them."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, trace_of: Trace, name: str, is_element: bool):
        self.trace_of, self.name, self.is_element = trace_of, name, is_element

    @property
    def elementary(self) -> Trace:
        """What answers for this symbol in ``kernels.elementary``."""
        return self.trace_of

    __add__, __radd__ = _binary("{} + {}")
    __sub__, __rsub__ = _binary("{} - {}")
    __mul__, __rmul__ = _binary("{} * {}")
    __truediv__, __rtruediv__ = _binary("{} / {}")
    __lt__, __gt__ = _binary("{} < {}")
    __le__, __ge__ = _binary("{} <= {}")
    __eq__, _ = _binary("{} == {}")  # not "the same object": a symbol stands for a number
    __ne__, _ = _binary("{} != {}")
    __and__, __rand__ = _binary("{} & {}")
    __or__, __ror__ = _binary("{} | {}")
    _, __rpow__ = _binary("{} ** {}")

    def __pow__(self, exponent: Any) -> Symbol:
        if self.is_element and isinstance(exponent, int) and 1 <= exponent <= 4:  # as NumPy computes a square
            return self.trace_of.emit(" * ".join(["{}"] * exponent), *[self] * exponent)
        return self.trace_of.emit("{} ** {}", self, exponent)

    def __neg__(self) -> Symbol:
        return self.trace_of.emit("-{}", self)

    def __invert__(self) -> Symbol:
        return self.trace_of.emit("not {}", self)

    def __abs__(self) -> Symbol:
        return self.trace_of.abs(self)

    def __bool__(self) -> bool:
        raise Untraceable("a rule branches on a number; use where(condition, a, b)")


@dataclass
class Trace:
    """The lines of a rule: ``prelude`` of numbers, ``body`` of array elements, and which numbers the body needs."""

    prelude: list[str] = field(default_factory=list)
    body: list[str] = field(default_factory=list)
    numbers: list[str] = field(default_factory=list)  # prelude names and literals, the loop's arguments n0, n1, ...

    def emit(self, template: str, *operands: Any) -> Symbol:
        """Write one line, into the body where an operand is an array element, and return the symbol of its result."""
        in_body = any(isinstance(x, Symbol) and x.is_element for x in operands)
        names = [self._name(x, in_body) for x in operands]
        lines = self.body if in_body else self.prelude
        name = f"{'t' if in_body else 'p'}{len(lines)}"
        lines.append(f"{name} = {template.format(*names)}")
        return Symbol(self, name, in_body)

    def _name(self, x: Any, in_body: bool) -> str:
        if not isinstance(x, Symbol) and (isinstance(x, bool) or not isinstance(x, (int, float))):
            raise Untraceable(f"a rule computes with {x!r}")
        name = x.name if isinstance(x, Symbol) else repr(x)
        if not in_body or (isinstance(x, Symbol) and x.is_element):
            return name
        if name not in self.numbers:
            self.numbers.append(name)
        return f"n{self.numbers.index(name)}"

    def sqrt(self, x: Any) -> Symbol:
        return self.emit("np.sqrt({})", x)

    def abs(self, x: Any) -> Symbol:
        return self.emit("np.abs({})", x)

    def sign(self, x: Any) -> Symbol:
        return self.emit("np.sign({})", x)

    def exp(self, x: Any) -> Symbol:
        return self.emit("np.exp({})", x)

    def maximum(self, a: Any, b: Any) -> Symbol:
        return self.emit("np.maximum({}, {})", a, b)

    def minimum(self, a: Any, b: Any) -> Symbol:
        return self.emit("np.minimum({}, {})", a, b)

    def where(self, condition: Any, a: Any, b: Any) -> Symbol:
        return self.emit("{1} if {0} else {2}", condition, a, b)


def loop_source(rule: Callable, arrays: list[str], hyper: dict[str, Any]) -> str:
    """Python source of ``numbers(hyper...)`` and ``update(arrays..., n0, n1, ...)`` for a rule.

    ``arrays``: names of the weight, the gradient and each buffer. Hyper-parameters that are numbers become symbols;
    others (True, False) are what they are, and the source is for these. Raises ``Untraceable``.
    """
    trace = Trace()
    symbols = [Symbol(trace, f"{name}_i", True) for name in arrays]
    numeric = [name for name, value in hyper.items() if type(value) in (int, float)]
    results = rule(*symbols, **{**hyper, **{name: Symbol(trace, name, False) for name in numeric}})
    results = results if isinstance(results, tuple) else (results,)
    outputs = [name for name in arrays if name != "grad"]
    if len(results) != len(outputs) or not all(isinstance(r, Symbol) and r.is_element for r in results):
        raise Untraceable(f"a rule returned {len(results)} results, expected those of {', '.join(outputs)}")
    loaded = [f"{name}_i = {name}[i]" for name in arrays]
    stored = [f"{name}[i] = {r.name}" for name, r in zip(outputs, results, strict=True)]
    arguments = ", ".join([*arrays, *(f"n{k}" for k in range(len(trace.numbers)))])
    return "\n".join(
        [
            f"def numbers({', '.join(numeric)}):",
            *(f"    {line}" for line in trace.prelude),
            f"    return ({''.join(name + ', ' for name in trace.numbers)})",
            "",
            "",
            f"def update({arguments}):",
            "    for i in range(w.size):",
            *(f"        {line}" for line in [*loaded, *trace.body, *stored]),
            "",
        ]
    )
