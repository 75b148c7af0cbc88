"""The functions an update rule may use besides arithmetic: sqrt, abs, sign, exp, maximum, minimum, where.

The one idea: each asks its argument what it is. Arrays are answered by NumPy or CuPy; anything that brings a method of that
name along (an expression being traced into a compiled loop) answers for itself.
"""

from __future__ import annotations

from typing import Any

from ..backend import array_module


def _module(*operands: Any) -> Any:
    """The array module that answers for the operands, or the traced expression among them."""
    for x in operands:
        if hasattr(x, "elementary"):
            return x.elementary
    return array_module(*operands)


def sqrt(x: Any) -> Any:
    """The square root, element by element."""
    return _module(x).sqrt(x)


def abs(x: Any) -> Any:
    """The absolute value, element by element."""
    return _module(x).abs(x)


def sign(x: Any) -> Any:
    """-1, 0 or 1, element by element."""
    return _module(x).sign(x)


def exp(x: Any) -> Any:
    """e**x, element by element."""
    return _module(x).exp(x)


def maximum(a: Any, b: Any) -> Any:
    """The larger of two, element by element."""
    return _module(a, b).maximum(a, b)


def minimum(a: Any, b: Any) -> Any:
    """The smaller of two, element by element."""
    return _module(a, b).minimum(a, b)


def where(condition: Any, a: Any, b: Any) -> Any:
    """a where the condition holds, b elsewhere, element by element."""
    return _module(condition, a, b).where(condition, a, b)
