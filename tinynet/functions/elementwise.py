"""Functions applied element by element, broadcasting as NumPy does: arithmetic, powers, trigonometry, comparisons.

Under each rule stands its forward. A rule says what the op does to one element; broadcasting is undone by the engine.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backend import array_module, is_array
from ..op import op
from ..tensor import Tensor, as_array
from ..tensor import make as _make
from .shape import arraylike

# ----------------------------------------------------------------------------------------------------- arithmetic


@op(lambda g, y, a, b: g, lambda g, y, a, b: g)
def add(a, b):
    """a + b."""
    return a + b


@op(lambda g, y, a, b: g, lambda g, y, a, b: -g)
def sub(a, b):
    """a - b."""
    return a - b


@op(lambda g, y, a, b: g * b, lambda g, y, a, b: g * a)
def mul(a, b):
    """a b."""
    return a * b


@op(lambda g, y, a, b: g / b, lambda g, y, a, b: -g * y / b)
def div(a, b):
    """a / b; of integers too, as float32."""
    return a / b


@op(lambda g, y, x: -g)
def neg(x):
    """-x."""
    return -x


def _pow_base(g, y, a, b):
    if isinstance(b, (int, float)):
        return g * (b * a ** (b - 1)) if b != 0 else g * 0
    return g * b * a ** where((a == 0) & (b == 0), 1, b - 1)  # 0**0 is 1 whichever way 0 is approached from: slope 0


def _pow_exponent(g, y, a, b):
    if isinstance(a, (int, float)) and a > 0:
        return g * y * math.log(a)
    return g * y * log(where((b >= 0) & (a == 0), 1, a))  # 0**b stays 0: slope 0


@op(_pow_base, _pow_exponent)
def pow(a, b):
    """a**b. The derivative for the exponent takes log(a) and is NaN for a negative base."""
    return a**b


@op(lambda g, y, x: g * sign(x))
def abs(x):
    """The absolute value; slope 0 at 0."""
    return array_module(x).abs(x)


@op(lambda g, y, x: g * 0)
def sign(x):
    """-1, 0 or 1; its gradient is zero."""
    return array_module(x).sign(x)


@op(lambda g, y, x: g * 2 * x)
def square(x):
    """x**2."""
    return x * x


@op(lambda g, y, x: g * 0.5 / y)
def sqrt(x):
    """The square root; slope infinite at 0."""
    return array_module(x).sqrt(x)


@op(lambda g, y, x: -g * y * y)
def reciprocal(x):
    """1 / x; of integers too, as float32."""
    return 1.0 / x


# -------------------------------------------------------------------------------------- exponentials and logarithms


@op(lambda g, y, x: g * y)
def exp(x):
    """e**x."""
    return array_module(x).exp(x)


@op(lambda g, y, x: g * (y + 1))
def expm1(x):
    """e**x - 1, exact near 0."""
    return array_module(x).expm1(x)


@op(lambda g, y, x: g / x)
def log(x):
    """The natural logarithm."""
    return array_module(x).log(x)


@op(lambda g, y, x: g / (1 + x))
def log1p(x):
    """log(1 + x), exact near 0."""
    return array_module(x).log1p(x)


# ----------------------------------------------------------------------------------- trigonometric and hyperbolic


@op(lambda g, y, x: g * cos(x))
def sin(x):
    """The sine of x in radians."""
    return array_module(x).sin(x)


@op(lambda g, y, x: -g * sin(x))
def cos(x):
    """The cosine of x in radians."""
    return array_module(x).cos(x)


@op(lambda g, y, x: g * (1 + y * y))
def tan(x):
    """The tangent of x in radians."""
    return array_module(x).tan(x)


@op(lambda g, y, x: g / sqrt(1 - x * x))
def arcsin(x):
    """The angle in [-pi/2, pi/2] whose sine is x."""
    return array_module(x).arcsin(x)


@op(lambda g, y, x: -g / sqrt(1 - x * x))
def arccos(x):
    """The angle in [0, pi] whose cosine is x."""
    return array_module(x).arccos(x)


@op(lambda g, y, x: g / (1 + x * x))
def arctan(x):
    """The angle in (-pi/2, pi/2) whose tangent is x."""
    return array_module(x).arctan(x)


@op(lambda g, y, x: g * cosh(x))
def sinh(x):
    """(e**x - e**-x) / 2."""
    return array_module(x).sinh(x)


@op(lambda g, y, x: g * sinh(x))
def cosh(x):
    """(e**x + e**-x) / 2."""
    return array_module(x).cosh(x)


@op(lambda g, y, x: g * (1 - y * y))
def tanh(x):
    """The hyperbolic tangent, in (-1, 1)."""
    return array_module(x).tanh(x)


# ------------------------------------------------------------------------------------------- choosing and limiting


@op(None, lambda g, y, c, a, b: where(c, g, 0), lambda g, y, c, a, b: where(c, 0, g))
def where(condition, a, b):
    """a where ``condition`` is true, b elsewhere; all three broadcast."""
    xp = array_module(condition, a, b)
    return xp.where(condition if is_array(condition) else xp.asarray(condition), a, b)  # CuPy's takes no plain True


def _to_larger(g, a, b):
    # Equal operands share the gradient, so that it is not counted twice; a NaN passes it on, as in PyTorch.
    return where(a == b, g * 0.5, where(a < b, 0, g))


@op(lambda g, y, a, b: _to_larger(g, a, b), lambda g, y, a, b: _to_larger(g, b, a))
def maximum(a, b):
    """The larger of a and b; NaN where either is. Where they are equal, each gets half of the gradient."""
    return array_module(a, b).maximum(a, b)


@op(lambda g, y, a, b: _to_larger(g, b, a), lambda g, y, a, b: _to_larger(g, a, b))
def minimum(a, b):
    """The smaller of a and b; NaN where either is. Where they are equal, each gets half of the gradient."""
    return array_module(a, b).minimum(a, b)


def _inside(x, a_min, a_max):
    if a_min is None:
        return x <= a_max
    return x >= a_min if a_max is None else (x >= a_min) & (x <= a_max)


@op(lambda g, y, x, a_min, a_max: where(_inside(x, a_min, a_max), g, 0))
def _clip(x, a_min, a_max):
    return array_module(x).clip(x, a_min, a_max)


def clip(x, a_min=None, a_max=None) -> Tensor:
    """x limited to [a_min, a_max]; None leaves a side open. The gradient is 1 inside and on the limits, 0 outside.

    >>> clip([-2.0, 0.5, 3.0], 0, 1)
    tensor([0. , 0.5, 1. ])
    """
    if a_min is None and a_max is None:
        raise ValueError("clip: a_min and a_max are both None; give at least one limit")
    if all(limit is None or isinstance(limit, (int, float, np.generic)) for limit in (a_min, a_max)):
        return _clip(x, a_min=a_min, a_max=a_max)
    if a_min is not None:  # limits for each element, with gradients of their own
        x = where(less(x, a_min), a_min, x)
    return x if a_max is None else where(greater(x, a_max), a_max, x)


# ------------------------------------------------------------------------------------------------- comparisons


@op(None, None)
def equal(a, b):
    """a == b, element by element, as booleans."""
    return a == b


@op(None, None)
def not_equal(a, b):
    """a != b, element by element, as booleans."""
    return a != b


@op(None, None)
def less(a, b):
    """a < b, element by element, as booleans."""
    return a < b


@op(None, None)
def less_equal(a, b):
    """a <= b, element by element, as booleans."""
    return a <= b


@op(None, None)
def greater(a, b):
    """a > b, element by element, as booleans."""
    return a > b


@op(None, None)
def greater_equal(a, b):
    """a >= b, element by element, as booleans."""
    return a >= b


@op(None, None)
def logical_and(a, b):
    """a and b, element by element, as booleans; ``a & b`` on Tensors."""
    return array_module(a, b).logical_and(a, b)


@op(None, None)
def logical_or(a, b):
    """a or b, element by element, as booleans; ``a | b`` on Tensors."""
    return array_module(a, b).logical_or(a, b)


@op(None)
def logical_not(x):
    """not x, element by element, as booleans; ``~x`` on Tensors."""
    return array_module(x).logical_not(x)


# ------------------------------------------------------------------------------------------------- error function

# Two pieces. |x| < 1: the Taylor series erf(x) = 2/sqrt(pi) sum (-1)^n x^(2n+1) / (n! (2n+1)), 19 terms.
_SERIES = [2 / math.sqrt(math.pi) * (-1) ** n / (math.factorial(n) * (2 * n + 1)) for n in range(19)]
# 1 <= |x| <= 6: exp(x^2) erfc(x) (1 + 2x) as a polynomial in t = (x - 2) / (x + 2), lowest power first; a Chebyshev
# expansion computed with mpmath to 40 digits. Together within 2.8e-16 (relative) of math.erf over the whole line.
_TAIL = [
    1.2769783815525286, -0.09276382658574601, -0.16603039761528934, 0.16405128003344233, -0.054220000992044874,
    -0.008034015082331463, 0.008722653876156162, 0.0012713389579875017, -0.0014568139560259665, -0.0004543405668426199,
    0.0002063671613700217, 0.00015103468616932384, -1.5051569574696392e-06, -3.6382634162498276e-05,
    -1.3565384175931306e-05, 3.535919465485123e-06, 5.703711137742608e-06, 1.6482500600914233e-06,
    -1.927913476169136e-06,
]  # fmt: skip


def _horner(coefficients, x):
    value = coefficients[-1] + 0 * x
    for c in reversed(coefficients[:-1]):
        value = value * x + c
    return value


@op(lambda g, y, x: g * (2 / math.sqrt(math.pi)) * exp(-x * x))
def erf(x):
    """The error function, 2/sqrt(pi) times the integral of exp(-t**2) from 0 to x."""
    xp = array_module(x)
    u = xp.minimum(xp.abs(x), 6.0)  # 1 - erf(6) is 2e-17
    near = x * _horner(_SERIES, xp.minimum(u * u, 1.0))
    far = 1 - xp.exp(-u * u) * _horner(_TAIL, (u - 2) / (u + 2)) / (1 + 2 * u)
    return xp.where(u < 1, near, xp.where(x < 0, -far, far))


# ------------------------------------------------------------------------------------------------------- dtype


@op(lambda g, y, x, dtype: g)  # the engine brings every gradient back to its Tensor's dtype
def _cast(x, dtype):
    return x.astype(dtype)


def astype(x, dtype: Any) -> Tensor:
    """x in another dtype; a Tensor that has it already is returned as it is. Differentiable from float to float.

    >>> astype([1.5, 2.5], "int64")
    tensor([1, 2])
    """
    dtype = np.dtype(dtype)
    if isinstance(x, Tensor) and x.dtype == dtype:
        return x
    if not isinstance(x, Tensor):
        x = _make(as_array(x))
    if dtype.kind == "f" and x.dtype.kind == "f":
        return _cast(x, dtype=dtype)
    if dtype.kind not in "fiub":
        raise TypeError(f"astype: expected a dtype of floats, integers or booleans, got {dtype}")
    return _make(x.data.astype(dtype))


def floats(x: Any) -> Any:
    """x as a Tensor of floats: integers and booleans as float32, for in their own dtype differences and squares wrap."""
    x = arraylike(x)
    return x if x.dtype.kind == "f" else astype(x, np.float32)


def all_floats(tensors: list) -> list:
    """Tensors of floats: integers and booleans in the dtype of the floats beside them, as in an op; see ``floats``."""
    given = [t.dtype for t in tensors if t.dtype.kind == "f"]
    dtype = np.result_type(*given) if given else np.float32
    return [t if t.dtype.kind == "f" else astype(t, dtype) for t in tensors]
