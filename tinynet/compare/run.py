"""Run: what one training with one optimizer, rate and seed has left behind; Target: a level whose steps are counted.

The one idea: a run keeps the raw numbers of every step, and whatever a table or a picture shows is computed from these.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class Run:
    """One training: ``losses[i]`` is the loss of the batch of step i + 1 before its update, ``seconds[i]`` the training
    time from the start to the end of that step (validation apart); ``evaluated`` are the steps after which the validation
    data were looked at, ``validation`` the numbers found then by name (``val_loss``, ``val_accuracy``).

    ``diverged``: the step whose loss was not finite or had exploded, where the run was stopped; None if it finished.
    """

    label: str
    lr: float
    seed: int
    losses: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    evaluated: list[int] = field(default_factory=list)
    validation: dict[str, list[float]] = field(default_factory=dict)
    diverged: int | None = None

    def final(self, name: str, window: int) -> float:
        """The last ``val_...`` number of that name; for ``"loss"`` the mean training loss of the last ``window`` steps."""
        values = self.losses[-window:] if name == "loss" else self.validation.get(name, [])[-1:]
        return sum(values) / len(values) if values else math.nan

    def reached(self, target: Target, window: int) -> int | None:
        """The first step after which the target was reached; None where it never was."""
        if target.name == "loss":
            steps, values = list(range(1, len(self.losses) + 1)), smoothed(self.losses, window)
        else:
            steps, values = self.evaluated, np.array(self.validation.get(target.name, []))
        there = np.flatnonzero(values <= target.level if falls(target.name) else values >= target.level)
        return int(steps[there[0]]) if len(there) else None


@dataclass(frozen=True)
class Target:
    """A level of the training loss (``"loss"``) or of a validation number (``"val_accuracy"``) to be reached."""

    name: str
    level: float

    def __str__(self) -> str:
        return f"{self.name} {self.level:g}"


def falls(name: str) -> bool:
    """Whether a smaller number is the better one: so it is for what is called a loss or an error."""
    return "loss" in name or "error" in name


def smoothed(losses: Iterable[float], window: int = 100) -> np.ndarray:
    """After each step, the mean of the last ``window`` losses, of fewer at the beginning."""
    sums = np.cumsum([0.0, *losses])
    end = np.arange(1, len(sums))
    start = np.maximum(end - window, 0)
    return (sums[end] - sums[start]) / (end - start)


def checked_targets(who: str, targets: Any, names: Iterable[str]) -> tuple[Target, ...]:
    """Targets from a number (a training loss), a dict of numbers or of lists of them by name, or a sequence of these.

    ``names``: what validation reports, as ``val_accuracy``; ``accuracy`` is short for that. ValueError for another.
    """
    names = ["loss", *names]
    if isinstance(targets, (int, float, np.number, dict)):
        targets = [targets]
    found: list[Target] = []
    for entry in targets:
        for name, levels in (entry if isinstance(entry, dict) else {"loss": entry}).items():
            full = name if name in names else f"val_{name}"
            if full not in names:
                hint = "" if len(names) > 1 else " (there is no validation)"
                raise ValueError(f"{who}: targets has {name!r}, expected one of {names}{hint}")
            for level in [levels] if isinstance(levels, (int, float, np.number)) else list(levels):
                if not isinstance(level, (int, float, np.number)) or not math.isfinite(level):
                    raise ValueError(f"{who}: targets has {level!r} for {name!r}, expected a number")
                found.append(Target(full, float(level)))
    return tuple(dict.fromkeys(found))
