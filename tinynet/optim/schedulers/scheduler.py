"""Scheduler: what all schedulers share. The count, the starting rates, saving and loading.

The one idea: a scheduler is a closed formula of its count ``t`` and of each group's starting rate. Nothing is
multiplied up from step to step, so that a resumed schedule cannot drift or compound.
"""

from __future__ import annotations

from typing import Any

from ..hyper import checked
from ..optimizer import Optimizer


class Scheduler:
    """The base: a subclass says in ``factor(t)`` by what each group's starting rate is multiplied after t steps.

    ``step()`` moves on by one, after the optimizer's step (or after an epoch, as in ``Model.fit``). The starting rate is
    the one that the group has when its first scheduler is made: a second scheduler of the same optimizer starts from
    there too, and not from what the first has made of it, unless you have set another rate since.

    Differences from PyTorch: a state holds what moves (the count, the starting rates), the arguments are those of the
    constructor; there is no ``last_epoch`` argument, as ``load_state_dict`` resumes.

    >>> from tinynet import Parameter, optim
    >>> class Halves(Scheduler):
    ...     def factor(self, t):
    ...         return 0.5**t
    >>> optimizer = optim.SGD([Parameter([1.0])], lr=0.1)
    >>> scheduler = Halves(optimizer)
    >>> scheduler.step(); optimizer.lr
    0.05
    """

    needs_metric = False  # True: ``step`` takes a number that says how well it goes

    def __init__(self, optimizer: Optimizer):
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(self).__name__}: expected an Optimizer, got {type(optimizer).__name__}")
        self.optimizer = optimizer
        self.base_lrs = starting_rates(optimizer)
        self.t = 0
        self.go_to(0)

    def factor(self, t: int) -> float:
        """The rate after t steps, as a multiple of the starting rate."""
        raise NotImplementedError(f"{type(self).__name__} does not define factor(self, t)")

    def lr_at(self, t: int, base: float) -> float:
        """The rate after t steps for a group that started with ``base``."""
        return base * self.factor(t)

    def rates(self, t: int) -> list[float]:
        """The rate of each group after t steps."""
        return [self.lr_at(t, base) for base in self.base_lrs]

    def go_to(self, t: int) -> None:
        """Set the optimizer's rates to those after t steps, and count from there."""
        groups = self.optimizer.param_groups
        self.base_lrs += [group["lr"] for group in groups[len(self.base_lrs) :]]  # of groups added since
        rates = [float(lr) for lr in self.rates(t)]  # may refuse, and nothing is changed then
        self.t = t
        for group, lr in zip(groups, rates, strict=True):
            group["lr"] = lr
        vars(self.optimizer)["scheduled"] = list(zip(self.base_lrs, rates, strict=True))

    def step(self) -> None:
        """Move on by one and set the optimizer's rates."""
        self.go_to(self.t + 1)

    def get_last_lr(self) -> list[float]:
        """The rate of each group as it stands."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """The count and the starting rates: all that resuming needs."""
        return {"t": self.t, "base_lrs": list(self.base_lrs)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state. ``ValueError``, and nothing changed, where it does not fit."""
        self.check_state(state, "base_lrs", len(self.optimizer.param_groups))
        before, self.base_lrs = self.base_lrs, list(state["base_lrs"])
        try:
            self.go_to(state["t"])
        except BaseException:
            self.base_lrs = before
            raise

    def check_state(self, state: dict[str, Any], listed: str, length: int) -> None:
        """ValueError where a saved state is of another scheduler, or its list under a name is of another length."""
        owner, expected = type(self).__name__, self.state_dict()
        if state.keys() != expected.keys():
            raise ValueError(f"{owner}: the saved state has {sorted(state)}, expected {sorted(expected)}")
        if len(state[listed]) != length:
            what = "schedulers, this has" if listed == "schedulers" else "groups, the optimizer has"
            raise ValueError(f"{owner}: the saved state is for {len(state[listed])} {what} {length}")
        counts(self, 0, t=state["t"])


def starting_rates(optimizer: Optimizer) -> list[float]:
    """Each group's rate; where a scheduler has set it, the one that this scheduler started from."""
    noted = vars(optimizer).get("scheduled", [])
    rates = [group["lr"] for group in optimizer.param_groups]
    return [base if lr == now else now for now, (base, lr) in zip(rates, noted, strict=False)] + rates[len(noted) :]


def within(owner: Scheduler, range_: str, **values: Any) -> None:
    """ValueError naming the scheduler and the argument where one of the numbers is outside the range, ``"[0, 1)"``."""
    checked(type(owner).__name__, values, dict.fromkeys(values, range_))


def counts(owner: Scheduler, least: int, **values: Any) -> None:
    """ValueError naming the scheduler and the argument where one is no integer of at least ``least``."""
    for name, value in values.items():
        if not hasattr(value, "__index__") or isinstance(value, bool) or value < least:
            raise ValueError(f"{type(owner).__name__}: {name} is {value!r}, expected an integer of at least {least}")


def one_of(owner: Scheduler, options: tuple[str, ...], **values: Any) -> None:
    """ValueError naming the scheduler and the argument where one is none of the options."""
    for name, value in values.items():
        if value not in options:
            raise ValueError(f"{type(owner).__name__}: {name} is {value!r}, expected {' or '.join(map(repr, options))}")


def per_group(owner: Scheduler, **value: Any) -> list[Any]:
    """One for each group of the optimizer: the same for all, or those of the given list, which must have as many."""
    ((name, given),) = value.items()
    groups = owner.optimizer.param_groups
    values = list(given) if isinstance(given, (list, tuple)) else [given] * len(groups)
    if len(values) != len(groups):
        raise ValueError(
            f"{type(owner).__name__}: {name} has {len(values)} entries, expected one for each of {len(groups)} groups"
        )
    return values
