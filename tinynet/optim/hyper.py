"""Hyper-parameters: which values are valid, which of them a rule asks for, and the rule with what every optimizer adds.

The one idea: a range is written as mathematics writes it, ``"[0, 1)"``, and is at once the check and its message.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable
from typing import Any

import numpy as np

# Under these names a rule's surroundings get what is theirs; ``weight_decay`` is the rule's own.
DECAY, CLIP = "coupled_weight_decay", "clip_factor"
# The ranges of the common names; "beta" stands for all that begin so. An optimizer adds to these with ``ranges``.
RANGES = {
    **dict.fromkeys(("lr", "eps", "weight_decay", "momentum"), "[0, inf)"),
    "beta": "[0, 1)",
    "dampening": "[0, 1] or None",
}


def checked(owner: str, entries: dict[str, Any], ranges: dict[str, str]) -> dict[str, Any]:
    """The entries, with NumPy's numbers made Python's in place: float32 then stays float32, and no loop is compiled anew.

    Raises ``ValueError`` for the first that is out of its range.
    """
    for name, value in entries.items():
        if isinstance(value, np.generic):
            entries[name] = value = value.item()
        text = ranges.get(name) or RANGES.get("beta" if name.startswith("beta") else name)
        if text is not None and not _within(text, value):
            expected = f"in {text}".replace("in [0, inf)", "of at least 0")
            raise ValueError(f"{owner}: {name} is {value!r}, expected a number {expected}")
    return entries


def _within(text: str, value: Any) -> bool:
    low, high, ends, none = _bounds(text)
    if value is None or not isinstance(value, (int, float)):
        return none and value is None
    return low < value < high or (value == low and ends[0] == "[") or (value == high and ends[1] == "]")


@functools.cache
def _bounds(text: str) -> tuple[float, float, str, bool]:
    """Lowest, highest, the brackets, and whether None is valid, too."""
    match = re.fullmatch(r"([\[(])(\S+), (\S+)([\])])( or None)?", text)
    if match is None:
        raise ValueError(f"ranges: {text!r} is no range such as '[0, 1)', '(0, inf)' or '[0, 1] or None'")
    return float(match[2]), float(match[3]), match[1] + match[4], match[5] is not None


@functools.cache
def keywords(rule: Callable) -> tuple[str, ...]:
    """The hyper-parameters that a rule names, ``step`` among them where it wants the step count."""
    return tuple(p.name for p in inspect.signature(rule).parameters.values() if p.kind is p.KEYWORD_ONLY)


@functools.cache  # one function for a rule and its options, so that what is compiled for it is found again
def full_rule(rule: Callable, decays: bool, maximize: bool, clips: bool) -> Callable:
    """The rule for a gradient that has been clipped, its sign turned, weight decay added, in that order, as PyTorch's."""
    if not decays and not maximize and not clips:
        return rule

    def full(w: Any, grad: Any, *buffers: Any, **hyper: Any) -> Any:
        decay, factor = hyper.pop(DECAY, 0.0), hyper.pop(CLIP, 1.0)
        grad = grad * factor if clips else grad
        grad = -grad if maximize else grad
        return rule(w, grad + decay * w if decays else grad, *buffers, **hyper)

    return full
