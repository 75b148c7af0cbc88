"""The schedulers that are one line of mathematics: steps, powers, cosines, a ramp, and a function of your own."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any

from ..optimizer import Optimizer
from .scheduler import Scheduler, counts, per_group, within


class StepLR(Scheduler):
    """The rate times ``gamma`` after every ``step_size`` steps: lr(t) = base gamma^floor(t / step_size).

    >>> from tinynet import Parameter, optim
    >>> [StepLR(optim.SGD([Parameter([1.0])], lr=0.5), 30).lr_at(t, 0.5) for t in (0, 29, 30, 60)]
    [0.5, 0.5, 0.05, 0.005000000000000001]
    """

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1):
        counts(self, 1, step_size=step_size)
        within(self, "[0, inf)", gamma=gamma)
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer)

    def factor(self, t: int) -> float:
        return self.gamma ** (t // self.step_size)


class MultiStepLR(Scheduler):
    """The rate times ``gamma`` at every milestone: lr(t) = base gamma^(milestones that are at most t).

    A milestone given twice counts twice; their order is free.
    """

    def __init__(self, optimizer: Optimizer, milestones: Sequence[int], gamma: float = 0.1):
        counts(self, 0, **{f"milestones[{i}]": m for i, m in enumerate(milestones)})
        within(self, "[0, inf)", gamma=gamma)
        self.milestones, self.gamma = sorted(milestones), gamma
        super().__init__(optimizer)

    def factor(self, t: int) -> float:
        return self.gamma ** bisect_right(self.milestones, t)


class ExponentialLR(Scheduler):
    """The rate times ``gamma`` at every step: lr(t) = base gamma^t."""

    def __init__(self, optimizer: Optimizer, gamma: float):
        within(self, "[0, inf)", gamma=gamma)
        self.gamma = gamma
        super().__init__(optimizer)

    def factor(self, t: int) -> float:
        return self.gamma**t


class PolynomialLR(Scheduler):
    """Down to zero within ``total_iters`` steps, evenly with power 1: lr(t) = base (1 - min(t, T) / T)^power."""

    def __init__(self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0):
        counts(self, 1, total_iters=total_iters)
        within(self, "[0, inf)", power=power)
        self.total_iters, self.power = total_iters, power
        super().__init__(optimizer)

    def factor(self, t: int) -> float:
        return (1 - min(t, self.total_iters) / self.total_iters) ** self.power


class LinearWarmup(Scheduler):
    """Evenly from base / steps up to the starting rate, which the ``steps``-th step has, and then stays.

    lr(t) = base min(1, (t + 1) / steps): the first of 5 steps has a fifth of the rate, the fifth all of it. Adaptive rules
    need it most, whose averages are not yet worth much in the first steps (Goyal et al. 2017, arXiv:1706.02677, for
    large batches; Liu et al. 2020, arXiv:1908.03265, for Adam). In PyTorch that is LinearLR(start_factor=1 / steps,
    total_iters=steps - 1). For a decay after it, ``SequentialLR``.
    """

    def __init__(self, optimizer: Optimizer, steps: int):
        counts(self, 1, steps=steps)
        self.steps = steps
        super().__init__(optimizer)

    def factor(self, t: int) -> float:
        return min(1.0, (t + 1) / self.steps)


class CosineAnnealingLR(Scheduler):
    """From the starting rate down to ``eta_min`` along half a cosine of T_max steps.

    lr(t) = eta_min + (base - eta_min) (1 + cos(pi t / T_max)) / 2. Loshchilov, Hutter 2017, arXiv:1608.03983, without
    restarts. As in PyTorch the rate rises again after T_max.
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0):
        counts(self, 1, T_max=T_max)
        within(self, "[0, inf)", eta_min=eta_min)
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer)

    def lr_at(self, t: int, base: float) -> float:
        return self.eta_min + (base - self.eta_min) * (1 + math.cos(math.pi * t / self.T_max)) / 2


class CosineWarmRestarts(Scheduler):
    """Half a cosine down to ``eta_min`` over T_0 steps, then from the top again, each time over ``T_mult`` times as many.

    lr = eta_min + (base - eta_min) (1 + cos(pi t_i / T_i)) / 2 with t_i steps gone by since the last restart and T_i = T_0
    T_mult^i to the next. Loshchilov, Hutter 2017, arXiv:1608.03983. PyTorch calls it CosineAnnealingWarmRestarts.
    """

    def __init__(self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0):
        counts(self, 1, T_0=T_0, T_mult=T_mult)
        within(self, "[0, inf)", eta_min=eta_min)
        self.T_0, self.T_mult, self.eta_min = T_0, T_mult, eta_min
        super().__init__(optimizer)

    def lr_at(self, t: int, base: float) -> float:
        length = self.T_0
        while t >= length and self.T_mult > 1:  # in integers: a logarithm is off by one at some of the restarts
            t, length = t - length, length * self.T_mult
        return self.eta_min + (base - self.eta_min) * (1 + math.cos(math.pi * (t % length) / length)) / 2


class LambdaLR(Scheduler):
    """The starting rate times a function of the count, ``lr_lambda(t)``, or one function for each group.

    The functions are no part of the saved state: give the same ones when resuming.

    >>> from tinynet import Parameter, optim
    >>> optimizer = optim.SGD([Parameter([1.0])], lr=0.5)
    >>> scheduler = LambdaLR(optimizer, lambda t: 1 / (1 + t))
    >>> scheduler.step(); optimizer.lr
    0.25
    """

    def __init__(self, optimizer: Optimizer, lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]]):
        given: list[Any] = list(lr_lambda) if isinstance(lr_lambda, (list, tuple)) else [lr_lambda]
        if not all(callable(f) for f in given):
            raise TypeError(f"{type(self).__name__}: lr_lambda is {lr_lambda!r}, expected a function, or a list of them")
        self.lr_lambda = lr_lambda
        super().__init__(optimizer)

    def rates(self, t: int) -> list[float]:
        functions = per_group(self, lr_lambda=self.lr_lambda)
        return [base * f(t) for base, f in zip(self.base_lrs, functions, strict=True)]
