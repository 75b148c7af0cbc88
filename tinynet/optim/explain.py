"""One update of one weight, step by step with its numbers: the rule is read line by line as it stands in its source.

The one idea: a rule *is* its formula, so explaining it is running it one line at a time and writing under each name what
it stands for. So a rule of your own is explained as the library's are, in the words that you wrote.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .reading import WIDTH, Line, Reader, Unreadable, short, traced_lines


class Explanation(str):
    """The text, which is what is printed. The numbers in it are attributes, too.

    ``before`` and ``after`` hold the weight ``w`` and each buffer by its name, ``before`` the gradient ``grad`` as well;
    ``hyper`` the hyper-parameters; ``lines`` what happened in order, each with ``name``, ``formula``, ``numbers`` and
    ``value``.
    """

    before: dict[str, float]
    after: dict[str, float]
    hyper: dict[str, Any]
    lines: list[Line]

    def __repr__(self) -> str:
        return str(self)


@dataclass
class Gradient:
    """What becomes of a gradient before a rule sees it, in this order. None or False: nothing."""

    factor: float | None = None
    maximize: bool = False
    decay: float | None = None

    def numbers(self) -> dict[str, float]:
        """The hyper-parameters that this takes."""
        found = {"clip_factor": self.factor, "weight_decay": self.decay}
        return {name: value for name, value in found.items() if value is not None}

    def apply(self, grad: Any, w: Any, index: Any) -> tuple[Any, list[Line]]:
        """The gradient that the rule sees, and how it came about at ``index``."""
        lines = []

        def note(formula: str, numbers: str) -> None:
            lines.append(Line("grad", formula, numbers, float(grad[index])))

        if self.factor is not None:
            old, grad = grad, grad * self.factor
            note("grad * clip_factor", f"{short(old[index], True)} * {short(self.factor)}")
        if self.maximize:
            grad = -grad
            note("-grad", "")
        if self.decay is not None:
            old, grad = grad, grad + self.decay * w
            note("grad + weight_decay * w", f"{short(old[index], True)} + {short(self.decay)} * {short(w[index], True)}")
        return grad, lines


def explain(
    title: str, rule: Callable, gradient: Gradient, arrays: dict[str, Any], index: Any, hyper: dict[str, Any]
) -> Explanation:
    """What ``rule`` does to the weight at ``index``. ``arrays``: weight, gradient and buffers by name, in NumPy; of one
    element where the rule is elementwise."""
    w = arrays["w"]
    before = {name: float(array[index]) for name, array in arrays.items()}
    grad, lines = gradient.apply(arrays["grad"], w, index)
    seen = {**arrays, "grad": grad}
    outputs = [name for name in arrays if name != "grad"]
    results = rule(*(a.copy() for a in seen.values()), **hyper)  # a rule may be written with ``velocity *= beta``
    results = results if isinstance(results, tuple) else (results,)
    after = [w.dtype.type(np.broadcast_to(result, w.shape)[index]) for result in results]
    reader = Reader(outputs, index, w.shape)
    try:
        found = reader.read(rule, tuple(a.copy() for a in seen.values()), hyper)
        if not np.array_equal([w.dtype.type(x) for x in found], after, equal_nan=True):
            raise Unreadable("its source is not what has run")
        lines += reader.lines
    except Unreadable:
        lines += traced_lines(rule, seen, hyper) if w.size == 1 else []
    hyper = {**hyper, **gradient.numbers()}
    made = Explanation(_text(title, lines, before, w[index], after[0], hyper))
    made.before, made.after = before, {name: float(value) for name, value in zip(outputs, after, strict=True)}
    made.hyper, made.lines = hyper, lines
    return made


def _text(title: str, lines: list[Line], before: dict[str, float], old: Any, new: Any, hyper: dict[str, Any]) -> str:
    told = ", ".join(f"{name} = {short(value)}".replace(" ", "\0") for name, value in hyper.items())  # kept in one piece
    change, grad = float(new) - float(old), before["grad"]
    way = "downhill" if change * grad < 0 else "uphill"
    rate = f": {short(abs(change / grad))} times the gradient, {way}" if grad and change else ""
    wrapped = textwrap.wrap(f"with {told}", WIDTH, initial_indent="  ", subsequent_indent="       ")
    return "\n".join(
        [
            title,
            *(line.replace("\0", " ") for line in wrapped),
            f"  before: {', '.join(f'{name} = {short(value)}' for name, value in before.items())}",
            "",
            *(textwrap.indent(str(line), "  ") for line in lines),
            "",
            f"  w goes from {old!s} to {new!s}, by {short(change)}{rate}",
        ]
    )
