"""Schedulers: the learning rate as a function of the number of steps or epochs gone by.

The one idea: a scheduler is a closed formula of its count ``t`` and of each group's starting rate. Nothing is
multiplied up from step to step, so that a resumed schedule cannot drift or compound.
"""

from __future__ import annotations

import math
from typing import Any

from .optimizer import Optimizer


class Scheduler:
    """The base: a subclass says in ``factor(t)`` by what each group's starting rate is multiplied after t steps.

    ``step()`` moves on by one, after the optimizer's step (or after an epoch, as in ``Model.fit``).
    """

    def __init__(self, optimizer: Optimizer):
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(self).__name__}: expected an Optimizer, got {type(optimizer).__name__}")
        self.optimizer = optimizer
        self.base_lrs = [group["lr"] for group in optimizer.param_groups]
        self.t = 0
        self._set()

    def factor(self, t: int) -> float:
        """The rate after t steps, as a multiple of the starting rate."""
        raise NotImplementedError(f"{type(self).__name__} does not define factor(self, t)")

    def lr_at(self, t: int, base: float) -> float:
        """The rate after t steps for a group that started with ``base``."""
        return base * self.factor(t)

    def _set(self) -> None:
        groups = self.optimizer.param_groups
        self.base_lrs += [group["lr"] for group in groups[len(self.base_lrs) :]]  # of groups added since
        for group, base in zip(groups, self.base_lrs, strict=True):
            group["lr"] = self.lr_at(self.t, base)

    def step(self) -> None:
        """Move on by one and set the optimizer's rates."""
        self.t += 1
        self._set()

    def state_dict(self) -> dict[str, Any]:
        """The count and the starting rates: all that resuming needs."""
        return {"t": self.t, "base_lrs": list(self.base_lrs)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state. ValueError where it is for another number of groups."""
        if len(state["base_lrs"]) != len(self.optimizer.param_groups):
            raise ValueError(
                f"{type(self).__name__}: the saved state is for {len(state['base_lrs'])} groups, "
                f"the optimizer has {len(self.optimizer.param_groups)}"
            )
        self.t, self.base_lrs = int(state["t"]), list(state["base_lrs"])
        self._set()


class CosineAnnealingLR(Scheduler):
    """From the starting rate down to ``eta_min`` along half a cosine of T_max steps.

    lr(t) = eta_min + (base - eta_min) (1 + cos(pi t / T_max)) / 2. Loshchilov, Hutter 2017, arXiv:1608.03983, without
    restarts. As in PyTorch the rate rises again after T_max.
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0):
        if not T_max >= 1:
            raise ValueError(f"CosineAnnealingLR: T_max is {T_max!r}, expected at least 1")
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer)

    def lr_at(self, t: int, base: float) -> float:
        return self.eta_min + (base - self.eta_min) * (1 + math.cos(math.pi * t / self.T_max)) / 2
