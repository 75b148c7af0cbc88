"""ReduceLROnPlateau: a smaller rate when a number stops getting better, the one scheduler that looks at the training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..optimizer import Optimizer
from .scheduler import Scheduler, counts, one_of, per_group, within


class ReduceLROnPlateau(Scheduler):
    """Multiply the rates by ``factor`` when ``step(metric)`` has seen no better number more than ``patience`` times running.

    Better is below best (1 - threshold) with mode "min" and threshold_mode "rel", below best - threshold with "abs";
    with mode "max" above best (1 + threshold) or best + threshold. NaN is never better. After a reduction ``cooldown``
    steps pass before any counts as bad again. No rate falls below ``min_lr`` (one for all groups, or a list), and one that
    would change by no more than ``eps`` stays. ``Model.fit`` gives it the validation loss, or the training loss where
    there is no validation.

    It multiplies the rates as they stand, so it leaves alone what you set meanwhile; the state holds the rates, so that
    resuming finds them whether or not the optimizer's own state is loaded, before or after (PyTorch's leaves them to the
    optimizer's).

    >>> from tinynet import Parameter, optim
    >>> optimizer = optim.SGD([Parameter([1.0])], lr=1.0)
    >>> scheduler = ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
    >>> for loss in (3.0, 2.0, 2.0, 2.5):  # the best is 2, and then two are no better
    ...     scheduler.step(loss)
    >>> optimizer.lr
    0.5
    """

    needs_metric = True

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0.0,
        eps: float = 1e-8,
    ):
        one_of(self, ("min", "max"), mode=mode)
        one_of(self, ("rel", "abs"), threshold_mode=threshold_mode)
        within(self, "[0, 1)", factor=factor)
        within(self, "[0, inf)", threshold=threshold, eps=eps)
        counts(self, 0, patience=patience, cooldown=cooldown)
        self.mode, self.threshold, self.threshold_mode = mode, threshold, threshold_mode
        self.shrink, self.patience, self.cooldown, self.min_lr, self.eps = factor, patience, cooldown, min_lr, eps
        self.best: float | None = None
        self.bad = self.cooling = 0
        super().__init__(optimizer)
        self._least()

    def rates(self, t: int) -> list[float]:
        """The rates as they stand: they follow from the metrics seen, not from the count."""
        return self.get_last_lr()

    def step(self, metric: Any) -> None:  # type: ignore[override]
        """Take notice of a number, a float or a Tensor of one element, and reduce the rates if it is time to."""
        metric, least = float(metric), self._least()
        if self._is_better(metric):
            self.best, self.bad = metric, 0
        else:
            self.bad += 1
        if self.cooling:
            self.cooling, self.bad = self.cooling - 1, 0
        if self.bad > self.patience:
            self.cooling, self.bad = self.cooldown, 0
            for group, lowest in zip(self.optimizer.param_groups, least, strict=True):
                reduced = max(group["lr"] * self.shrink, lowest)
                if group["lr"] - reduced > self.eps:
                    group["lr"] = reduced
        self.t += 1

    def _least(self) -> list[float]:
        least = per_group(self, min_lr=self.min_lr)
        within(self, "[0, inf)", **{f"min_lr[{i}]": lr for i, lr in enumerate(least)})
        return least

    def _is_better(self, metric: float) -> bool:
        sign = 1 if self.mode == "max" else -1
        if self.best is None:
            return sign * metric > -math.inf
        margin = sign * self.threshold
        bound = self.best * (1 + margin) if self.threshold_mode == "rel" else self.best + margin
        return sign * metric > sign * bound

    def state_dict(self) -> dict[str, Any]:
        """The count, the rates, the best number, and how many since were no better or are left of the cooldown."""
        return {"t": self.t, "lrs": self.get_last_lr(), "best": self.best, "bad": self.bad, "cooling": self.cooling}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state. ``ValueError``, and nothing changed, where it does not fit."""
        self.check_state(state, "lrs", len(self.optimizer.param_groups))
        self.t, self.best, self.bad, self.cooling = (state[name] for name in ("t", "best", "bad", "cooling"))
        for group, lr in zip(self.optimizer.param_groups, state["lrs"], strict=True):
            group["lr"] = lr
