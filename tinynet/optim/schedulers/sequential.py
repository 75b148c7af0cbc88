"""SequentialLR: one scheduler after the other, as a warmup and then a decay."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from ..optimizer import Optimizer
from .scheduler import Scheduler, counts


class SequentialLR(Scheduler):
    """The first scheduler up to the first milestone, from there the second, counted from 0, and so on.

    ``schedulers``: of the same optimizer, one more than there are ``milestones``, the counts at which the next takes over,
    in rising order. All start from the rate that the optimizer had before the first of them was made. No
    ``ReduceLROnPlateau``, as in PyTorch.

    >>> from tinynet import Parameter, optim
    >>> from tinynet.optim.schedulers import ExponentialLR, LinearWarmup
    >>> optimizer = optim.SGD([Parameter([1.0])], lr=1.0)
    >>> scheduler = SequentialLR(optimizer, [LinearWarmup(optimizer, 4), ExponentialLR(optimizer, 0.5)], [4])
    >>> [scheduler.rates(t)[0] for t in range(7)]
    [0.25, 0.5, 0.75, 1.0, 1.0, 0.5, 0.25]
    """

    def __init__(self, optimizer: Optimizer, schedulers: Sequence[Scheduler], milestones: Sequence[int]):
        schedulers, milestones = list(schedulers), list(milestones)
        for i, scheduler in enumerate(schedulers):
            if not isinstance(scheduler, Scheduler):
                raise TypeError(f"SequentialLR: schedulers[{i}] is {type(scheduler).__name__}, expected a Scheduler")
            if scheduler.needs_metric:
                raise ValueError(f"SequentialLR: schedulers[{i}] is {type(scheduler).__name__}, which needs a metric")
            if scheduler.optimizer is not optimizer:
                raise ValueError(f"SequentialLR: schedulers[{i}] is of another optimizer")
        counts(self, 0, **{f"milestones[{i}]": m for i, m in enumerate(milestones)})
        if milestones != sorted(milestones) or len(schedulers) != len(milestones) + 1:
            raise ValueError(
                f"SequentialLR: milestones is {milestones}, expected {len(schedulers) - 1} counts in rising order "
                f"for {len(schedulers)} schedulers"
            )
        self.schedulers, self.milestones = schedulers, milestones
        super().__init__(optimizer)

    def at(self, t: int) -> tuple[Scheduler, int]:
        """The scheduler that rules after t steps, and its own count then."""
        i = bisect_right(self.milestones, t)
        return self.schedulers[i], t - (self.milestones[i - 1] if i else 0)

    def rates(self, t: int) -> list[float]:
        scheduler, count = self.at(t)
        return scheduler.rates(count)

    def go_to(self, t: int) -> None:
        """Set the optimizer's rates to those after t steps, and count from there."""
        scheduler, count = self.at(t)
        scheduler.go_to(count)
        self.t = t

    def state_dict(self) -> dict[str, Any]:
        """The count and the state of every scheduler."""
        return {"t": self.t, "schedulers": [scheduler.state_dict() for scheduler in self.schedulers]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state. ``ValueError``, and nothing changed, where it does not fit."""
        self.check_state(state, "schedulers", len(self.schedulers))
        before = self.state_dict()
        try:
            for scheduler, saved in zip(self.schedulers, state["schedulers"], strict=True):
                scheduler.load_state_dict(saved)
            self.go_to(state["t"])
        except BaseException:
            for scheduler, saved in zip(self.schedulers, before["schedulers"], strict=True):
                scheduler.load_state_dict(saved)
            self.go_to(before["t"])
            raise
