"""Schedulers: the rate after every step beside its closed formula, resuming, and wrong arguments."""

import inspect
import math

import pytest

import tinynet as tn
from tinynet import optim
from tinynet.optim import schedulers

# name: (arguments, the rate after t steps for a group that started with ``base``)
FORMULAS = {
    "CosineAnnealingLR": [
        ({"T_max": 8}, lambda t, base: base * (1 + math.cos(math.pi * t / 8)) / 2),
        ({"T_max": 5, "eta_min": 0.01}, lambda t, base: 0.01 + (base - 0.01) * (1 + math.cos(math.pi * t / 5)) / 2),
    ],
}
CASES = [(name, arguments, rate) for name, cases in FORMULAS.items() for arguments, rate in cases]
STEPS = 12


def optimizer(*lrs):
    return optim.SGD([{"params": [tn.Parameter([1.0])], "lr": lr} for lr in lrs])


def rates(o):
    return [group["lr"] for group in o.param_groups]


def test_every_scheduler_has_its_formula_here():
    found = {n for n, c in vars(schedulers).items() if inspect.isclass(c) and issubclass(c, schedulers.Scheduler)}
    assert found - {"Scheduler"} == FORMULAS.keys()


@pytest.mark.parametrize(("name", "arguments", "rate"), CASES)
def test_rate_after_every_step(name, arguments, rate):
    o = optimizer(0.5, 0.1)
    scheduler = getattr(schedulers, name)(o, **arguments)
    for t in range(STEPS):
        assert rates(o) == pytest.approx([rate(t, 0.5), rate(t, 0.1)], abs=1e-15)
        scheduler.step()


@pytest.mark.parametrize(("name", "arguments", "rate"), CASES)
@pytest.mark.parametrize("optimizer_first", [True, False])
def test_resuming_goes_on_and_does_not_compound(name, arguments, rate, optimizer_first):
    o = optimizer(0.5)
    scheduler = getattr(schedulers, name)(o, **arguments)
    for _ in range(4):
        scheduler.step()
    saved, saved_o = scheduler.state_dict(), o.state_dict()

    fresh_o = optimizer(0.5)
    if optimizer_first:  # it then has the rate of step 4 already, which must not become the starting rate
        fresh_o.load_state_dict(saved_o)
    fresh = getattr(schedulers, name)(fresh_o, **arguments)
    fresh.load_state_dict(saved)
    if not optimizer_first:
        fresh_o.load_state_dict(saved_o)
    for t in range(4, STEPS):
        assert fresh_o.lr == o.lr == pytest.approx(rate(t, 0.5), abs=1e-15)
        scheduler.step()
        fresh.step()


@pytest.mark.parametrize(("name", "arguments", "rate"), CASES)
def test_the_state_is_a_copy_of_plain_numbers(name, arguments, rate):
    scheduler = getattr(schedulers, name)(optimizer(0.5), **arguments)
    scheduler.step()
    state = scheduler.state_dict()
    scheduler.step()
    other = getattr(schedulers, name)(optimizer(0.5), **arguments)
    other.load_state_dict(state)
    assert other.optimizer.lr == pytest.approx(rate(1, 0.5))


@pytest.mark.parametrize(("name", "arguments", "rate"), CASES)
def test_a_group_added_later_starts_from_its_own_rate(name, arguments, rate):
    o = optimizer(0.5)
    scheduler = getattr(schedulers, name)(o, **arguments)
    scheduler.step()
    o.add_param_group({"params": [tn.Parameter([1.0])], "lr": 0.25})
    scheduler.step()
    assert rates(o) == pytest.approx([rate(2, 0.5), rate(2, 0.25)])


def test_a_scheduler_of_ones_own():
    class Halves(schedulers.Scheduler):
        def factor(self, t):
            return 0.5**t

    o = optimizer(1.0, 0.1)
    scheduler = Halves(o)
    scheduler.step()
    scheduler.step()
    assert rates(o) == [0.25, 0.025]


def test_a_scheduler_without_a_formula():
    with pytest.raises(NotImplementedError, match=r"Scheduler does not define factor\(self, t\)"):
        schedulers.Scheduler(optimizer(1.0))


def test_a_state_for_other_groups_changes_nothing():
    o = optimizer(0.5, 0.1)
    scheduler = schedulers.CosineAnnealingLR(o, 4)
    scheduler.step()
    before = rates(o)
    other = schedulers.CosineAnnealingLR(optimizer(1.0), 4)
    with pytest.raises(ValueError, match="the saved state is for 1 groups, the optimizer has 2"):
        scheduler.load_state_dict(other.state_dict())
    scheduler.load_state_dict(scheduler.state_dict())
    assert rates(o) == before


@pytest.mark.parametrize("count", [0, -1, float("nan")])
def test_wrong_lengths(count):
    with pytest.raises(ValueError, match="CosineAnnealingLR: T_max is"):
        schedulers.CosineAnnealingLR(optimizer(1.0), count)


def test_what_is_no_optimizer():
    with pytest.raises(TypeError, match="CosineAnnealingLR: expected an Optimizer, got list"):
        schedulers.CosineAnnealingLR([tn.Parameter([1.0])], 4)
