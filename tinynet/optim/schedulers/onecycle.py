"""OneCycleLR: one rise and one fall of the rate, with the momentum going the other way."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence

from ..optimizer import Optimizer
from .scheduler import Scheduler, counts, one_of, per_group, within

MOMENTA = ("momentum", "beta1", "beta")  # what is cycled: the first of these that the optimizer has


class OneCycleLR(Scheduler):
    """Up from max_lr / div_factor to ``max_lr``, and down to max_lr / div_factor / final_div_factor, once per training.

    Smith, Topin 2018, arXiv:1708.07120: a rate that is too large to train with for long is good for a while. ``step()``
    goes after every batch: ``total_steps`` of them, or ``epochs`` times ``steps_per_epoch``. The first ``pct_start`` of them
    rise, the others fall, along half cosines or, with ``anneal_strategy="linear"``, lines. ``three_phase`` falls to
    where it began in as many steps as it rose in, and only then to the end, as in the paper.

    ``cycle_momentum``: the optimizer's ``momentum``, ``beta1`` or ``beta``, the first of these that it has, goes from
    ``max_momentum`` down to ``base_momentum`` while the rate rises, and back. ``max_lr``, ``base_momentum`` and
    ``max_momentum`` are numbers, or lists with one for each group. The optimizer's own rate is not used.

    Differences from PyTorch: an optimizer without momentum is left without (PyTorch raises unless cycle_momentum=False),
    after step ``total_steps`` the rate is the last one (PyTorch's goes beyond, with lines below 0); a further step
    raises ``ValueError`` in both.

    >>> from tinynet import Parameter, optim
    >>> optimizer = optim.Adam([Parameter([1.0])])
    >>> scheduler = OneCycleLR(optimizer, max_lr=0.5, total_steps=10)
    >>> [round(lr, 3) for lr in (scheduler.rates(t)[0] for t in range(10))]
    [0.02, 0.26, 0.5, 0.475, 0.406, 0.306, 0.194, 0.094, 0.025, 0.0]
    >>> optimizer.param_groups[0]["beta1"]
    0.95
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.85,
        max_momentum: float | Sequence[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
    ):
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise ValueError("OneCycleLR: expected total_steps, or both epochs and steps_per_epoch")
            counts(self, 1, epochs=epochs, steps_per_epoch=steps_per_epoch)
            total_steps = epochs * steps_per_epoch
        counts(self, 1, total_steps=total_steps)
        within(self, "[0, 0.5]" if three_phase else "[0, 1]", pct_start=pct_start)
        one_of(self, ("cos", "linear"), anneal_strategy=anneal_strategy)
        within(self, "(0, inf)", div_factor=div_factor, final_div_factor=final_div_factor)
        self.total_steps, self.cosine = total_steps, anneal_strategy == "cos"
        self.max_lr, self.div_factor, self.final_div_factor = max_lr, div_factor, final_div_factor
        self.cycle_momentum, self.base_momentum, self.max_momentum = cycle_momentum, base_momentum, max_momentum
        # The counts at which the legs of the way end, and between which corners they go: 0 the start, 1 the top, 2 the end.
        rise, last = pct_start * total_steps - 1, total_steps - 1
        self.ends = [rise, 2 * rise, last] if three_phase else [rise, last]
        self.legs = [(0, 1), (1, 0), (0, 2)] if three_phase else [(0, 1), (1, 2)]
        super().__init__(optimizer)

    def rates(self, t: int) -> list[float]:
        if t > self.total_steps:
            raise ValueError(f"{type(self).__name__}: step {t} in a cycle of {self.total_steps} steps")
        tops = per_group(self, max_lr=self.max_lr)
        within(self, "[0, inf)", **{f"max_lr[{i}]": top for i, top in enumerate(tops)})
        return [
            self._between(t, (top / self.div_factor, top, top / self.div_factor / self.final_div_factor)) for top in tops
        ]

    def go_to(self, t: int) -> None:
        """Set the optimizer's rates, and its momentum, to those after t steps, and count from there."""
        highs, lows = per_group(self, max_momentum=self.max_momentum), per_group(self, base_momentum=self.base_momentum)
        for i, momenta in enumerate(zip(highs, lows, strict=True)):
            within(self, "[0, 1)", **dict(zip((f"max_momentum[{i}]", f"base_momentum[{i}]"), momenta, strict=True)))
        super().go_to(t)
        for group, high, low in zip(self.optimizer.param_groups, highs, lows, strict=True):
            name = next((name for name in MOMENTA if name in group), None)
            if self.cycle_momentum and name is not None:
                group[name] = self._between(t, (high, low, high))

    def _between(self, t: int, corners: tuple[float, float, float]) -> float:
        """Where the leg that t belongs to is between its corners."""
        t = min(t, self.total_steps - 1)
        i = bisect_left(self.ends, t)
        start, end = self.ends[i - 1] if i else 0.0, self.ends[i]
        done = (t - start) / (end - start) if end > start else 1.0
        a, b = (corners[k] for k in self.legs[i])
        return b + (a - b) / 2 * (math.cos(math.pi * done) + 1) if self.cosine else a + (b - a) * done
