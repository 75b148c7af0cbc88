"""The functions an update rule may use besides arithmetic: sqrt, abs, sign, exp, maximum, minimum, where.

The one idea: each asks its argument what it is. Arrays are answered by NumPy or CuPy; anything that brings a method of that
name along (an expression being traced into a compiled loop) answers for itself.
"""

from __future__ import annotations

from typing import Any

from ..backend import array_module


def _call(name: str, *operands: Any) -> Any:
    """The function of that name from whoever answers for the operands: a traced expression, or an array module."""
    for x in operands:
        if hasattr(x, "elementary"):
            return getattr(x.elementary, name)(*operands)
    result = getattr(array_module(*operands), name)(*operands)
    # Of numbers a number: NumPy's own float64 would turn the float32 arrays that it meets into float64.
    return result.item() if all(type(x) in (bool, int, float) for x in operands) else result


def sqrt(x: Any) -> Any:
    """The square root, element by element."""
    return _call("sqrt", x)


def abs(x: Any) -> Any:
    """The absolute value, element by element."""
    return _call("abs", x)


def sign(x: Any) -> Any:
    """-1, 0 or 1, element by element."""
    return _call("sign", x)


def exp(x: Any) -> Any:
    """e**x, element by element."""
    return _call("exp", x)


def maximum(a: Any, b: Any) -> Any:
    """The larger of two, element by element."""
    return _call("maximum", a, b)


def minimum(a: Any, b: Any) -> Any:
    """The smaller of two, element by element."""
    return _call("minimum", a, b)


def where(condition: Any, a: Any, b: Any) -> Any:
    """a where the condition holds, b elsewhere, element by element."""
    return _call("where", condition, a, b)
