"""Schedulers: the rate after every step beside its closed formula, resuming, and wrong arguments."""

import json
import math

import pytest
from rates import CASES, CLASSES, FORMULAS, STEPS, cosine, make, optimizer, rates, warmup_and_cosine

import tinynet as tn
from tinynet import optim
from tinynet.optim import schedulers


def test_every_scheduler_has_its_formula_here():
    assert {n for n, c in CLASSES.items() if not c.needs_metric} - {"Scheduler"} == FORMULAS.keys()


@pytest.mark.parametrize(("name", "arguments", "rate"), CASES)
def test_rate_after_every_step(name, arguments, rate):
    o = optimizer(0.5, 0.1)
    scheduler = make(name, arguments, o)
    for t in range(STEPS):
        assert rates(o) == scheduler.get_last_lr() == scheduler.rates(t)
        assert rates(o) == pytest.approx([rate(t, 0.5), rate(t, 0.1)], rel=1e-12, abs=1e-15)
        assert scheduler.t == t
        scheduler.step()


@pytest.mark.parametrize(("name", "arguments", "rate"), CASES)
@pytest.mark.parametrize("optimizer_first", [True, False])
@pytest.mark.parametrize("stop", [0, 4, 11])
def test_resuming_goes_on_and_does_not_compound(name, arguments, rate, optimizer_first, stop):
    o = optimizer(0.5)
    scheduler = make(name, arguments, o)
    for _ in range(stop):
        scheduler.step()
    saved, saved_o = json.loads(json.dumps(scheduler.state_dict())), o.state_dict()

    fresh_o = optimizer(0.5)
    if optimizer_first:  # it then has the rate of the last step already, which must not become the starting rate
        fresh_o.load_state_dict(saved_o)
    fresh = make(name, arguments, fresh_o)
    fresh.load_state_dict(saved)
    if not optimizer_first:
        fresh_o.load_state_dict(saved_o)
    for t in range(stop, STEPS):
        assert fresh_o.lr == o.lr == pytest.approx(rate(t, 0.5), rel=1e-12, abs=1e-15)
        scheduler.step()
        fresh.step()


@pytest.mark.parametrize(("name", "arguments", "rate"), CASES)
def test_the_state_is_a_copy_of_plain_numbers(name, arguments, rate):
    scheduler = make(name, arguments, optimizer(0.5))
    scheduler.step()
    state = scheduler.state_dict()
    scheduler.step()
    other = make(name, arguments, optimizer(0.5))
    other.load_state_dict(state)
    assert other.optimizer.lr == pytest.approx(rate(1, 0.5))


@pytest.mark.parametrize(("name", "arguments", "rate"), CASES)
def test_a_group_added_later_starts_from_its_own_rate(name, arguments, rate):
    o = optimizer(0.5)
    scheduler = make(name, arguments, o)
    scheduler.step()
    o.add_param_group({"params": [tn.Parameter([1.0])], "lr": 0.25})
    scheduler.step()
    assert rates(o) == pytest.approx([rate(2, 0.5), rate(2, 0.25)])


# --------------------------------------------------------------------------------------- several on one optimizer


def test_a_second_scheduler_starts_where_the_first_did():
    """A warmup has set the rate to a quarter when the decay after it is made, and a finished one to zero."""
    o = optimizer(0.4)
    schedulers.LinearWarmup(o, 4)
    assert o.lr == pytest.approx(0.1)
    assert schedulers.ExponentialLR(o, 0.5).base_lrs == [0.4]
    scheduler = schedulers.CosineAnnealingLR(o, 3)
    for _ in range(3):
        scheduler.step()
    assert o.lr == pytest.approx(0)
    assert schedulers.StepLR(o, 2).base_lrs == [0.4]


def test_a_rate_set_by_hand_is_where_the_next_scheduler_starts():
    o = optimizer(0.4, 0.2)
    schedulers.LinearWarmup(o, 4)
    o.param_groups[1]["lr"] = 0.3
    assert schedulers.StepLR(o, 2).base_lrs == [0.4, 0.3]


def test_sequences_in_sequences():
    o = optimizer(1.0)
    inner = schedulers.SequentialLR(o, [schedulers.LinearWarmup(o, 2), schedulers.StepLR(o, 1, 0.5)], [2])
    outer = schedulers.SequentialLR(o, [schedulers.LambdaLR(o, lambda t: 3.0), inner], [2])
    found = []
    for _ in range(7):
        found.append(o.lr)
        outer.step()
    assert found == [3.0, 3.0, 0.5, 1.0, 1.0, 0.5, 0.25]
    fresh = optimizer(1.0)
    state = outer.state_dict()
    inner = schedulers.SequentialLR(fresh, [schedulers.LinearWarmup(fresh, 2), schedulers.StepLR(fresh, 1, 0.5)], [2])
    again = schedulers.SequentialLR(fresh, [schedulers.LambdaLR(fresh, lambda t: 3.0), inner], [2])
    again.load_state_dict(state)
    assert fresh.lr == o.lr == 0.125


def test_functions_for_each_group():
    o = optimizer(1.0, 1.0)
    scheduler = schedulers.LambdaLR(o, [lambda t: 0.5**t, lambda t: t])
    scheduler.step()
    scheduler.step()
    assert rates(o) == [0.25, 2.0]


# ------------------------------------------------------------------------------------------------- one cycle, momentum


@pytest.mark.parametrize(
    ("rule", "name"),
    [(optim.Momentum, "beta"), (optim.Adam, "beta1"), (optim.RMSprop, "momentum"), (optim.SGD, None)],
)
@pytest.mark.parametrize("cycle_momentum", [True, False])
def test_one_cycle_turns_the_momentum_the_other_way(rule, name, cycle_momentum):
    o = optimizer(0.5, 0.1, rule=rule)
    before = [dict(group) for group in o.param_groups]
    scheduler = schedulers.OneCycleLR(
        o, 1.0, 20, pct_start=0.5, max_momentum=[0.9, 0.8], base_momentum=0.6, cycle_momentum=cycle_momentum
    )
    for t in range(21):
        for group, old, high in zip(o.param_groups, before, (0.9, 0.8), strict=True):
            if name is not None and cycle_momentum:
                down = cosine(high, 0.6, t / 9) if t <= 9 else cosine(0.6, high, min(1, (t - 9) / 10))
                old = {**old, name: pytest.approx(down, abs=1e-15)}
            assert {**group, "lr": 0} == {**old, "lr": 0}
        if t < 20:
            scheduler.step()
    with pytest.raises(ValueError, match="step 21 in a cycle of 20 steps"):
        scheduler.step()
    assert scheduler.t == 20


@pytest.mark.parametrize("three_phase", [False, True])
@pytest.mark.parametrize("pct_start", [0, 0.01, 0.1, 0.5])
@pytest.mark.parametrize("steps", [1, 2, 10])
def test_one_cycle_of_any_length(steps, pct_start, three_phase):
    """No leg of the way divides by its length where that is zero."""
    scheduler = schedulers.OneCycleLR(optimizer(1.0), 1.0, steps, pct_start=pct_start, three_phase=three_phase)
    found = [scheduler.rates(t)[0] for t in range(steps + 1)]
    assert all(4e-6 <= lr <= 1.0 for lr in found)
    assert found[-1] == pytest.approx(4e-6)


# ------------------------------------------------------------------------------------------------------------- plateau


def plateau(metrics, *lrs, **keywords):
    """The first group's rate after each metric."""
    o = optimizer(*(lrs or (1.0,)))
    scheduler = schedulers.ReduceLROnPlateau(o, **keywords)
    found = []
    for metric in metrics:
        scheduler.step(metric)
        found.append(o.lr)
    return found


NAN = float("nan")


@pytest.mark.parametrize(
    ("keywords", "metrics", "expected"),
    [
        ({"patience": 0}, [3, 2, 2, 2], [1, 1, 0.1, 0.01]),
        ({"patience": 1, "factor": 0.5}, [3, 3, 2, 2, 2, 2, 2], [1, 1, 1, 1, 0.5, 0.5, 0.25]),
        ({"patience": 0, "mode": "max"}, [2, 3, 3], [1, 1, 0.1]),
        ({"patience": 0, "threshold": 0.1}, [1, 0.95, 0.89], [1, 0.1, 0.1]),
        ({"patience": 0, "threshold": 0.1, "threshold_mode": "abs"}, [10, 9.95, 9.85], [1, 0.1, 0.1]),
        ({"patience": 0, "threshold": 0.1, "mode": "max"}, [10, 10.5, 11.5], [1, 0.1, 0.1]),
        ({"patience": 0, "threshold": 0.1, "mode": "max", "threshold_mode": "abs"}, [1, 1.05, 1.15], [1, 0.1, 0.1]),
        ({"patience": 0, "cooldown": 2}, [1, 1, 1, 1, 1, 1], [1, 0.1, 0.1, 0.1, 0.01, 0.01]),
        ({"patience": 0, "min_lr": 0.05}, [1, 1, 1, 1], [1, 0.1, 0.05, 0.05]),
        ({"patience": 0, "eps": 0.5}, [1, 1, 1], [1, 0.1, 0.1]),
        ({"patience": 0}, [NAN, 5, NAN], [0.1, 0.1, 0.01]),
    ],
)
def test_plateau(keywords, metrics, expected):
    assert plateau(metrics, **keywords) == pytest.approx(expected)


def test_plateau_takes_a_tensor_and_a_limit_for_each_group():
    o = optimizer(1.0, 0.5)
    scheduler = schedulers.ReduceLROnPlateau(o, patience=0, min_lr=[0.0, 0.4])
    scheduler.step(tn.tensor(2.0))
    scheduler.step(tn.tensor([2.0]))
    assert rates(o) == [0.1, 0.4]
    o.lr = 0.8  # it goes on from what you set
    scheduler.step(2.0)
    assert rates(o) == pytest.approx([0.08, 0.4])


@pytest.mark.parametrize("optimizer_first", [True, False])
def test_plateau_resumes(optimizer_first):
    o = optimizer(1.0)
    scheduler = schedulers.ReduceLROnPlateau(o, factor=0.5, patience=1, cooldown=2)
    metrics = [3, 3, 3, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2]
    for stop in range(len(metrics)):
        fresh_o = optimizer(1.0)
        saved = json.loads(json.dumps(scheduler.state_dict()))
        if optimizer_first:
            fresh_o.load_state_dict(o.state_dict())
        fresh = schedulers.ReduceLROnPlateau(fresh_o, factor=0.5, patience=1, cooldown=2)
        fresh.load_state_dict(saved)
        if not optimizer_first:
            fresh_o.load_state_dict(o.state_dict())
        whole = plateau(metrics, factor=0.5, patience=1, cooldown=2)[stop:]
        for metric, lr in zip(metrics[stop:], whole, strict=True):
            fresh.step(metric)
            assert fresh_o.lr == lr
        scheduler.step(metrics[stop])
    assert o.lr == 0.125


# ------------------------------------------------------------------------------------------------- one's own, and errors


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


ALL = [*CASES, ("ReduceLROnPlateau", {}, None)]


@pytest.mark.parametrize(("name", "arguments", "rate"), ALL)
@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda s: s.update(t=-1), "t is -1"),
        (lambda s: s.update(t=1.5), "t is 1.5"),
        (lambda s: s.pop("t"), "the saved state has"),
        (lambda s: s.update(speed=1), "the saved state has .*'speed'"),
        (lambda s: [x.append(0.5) for x in s.values() if isinstance(x, list)], "the saved state is for"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(name, arguments, rate, damage, problem):
    o = optimizer(0.5, 0.1)
    scheduler = make(name, arguments, o)
    before, before_rates, state = scheduler.state_dict(), rates(o), scheduler.state_dict()
    damage(state)
    with pytest.raises(ValueError, match=f"{name}: {problem}"):
        scheduler.load_state_dict(state)
    assert scheduler.state_dict() == before
    assert rates(o) == before_rates


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


def test_a_state_of_which_one_part_does_not_fit_changes_nothing():
    o = optimizer(1.0)
    scheduler = warmup_and_cosine(o)
    scheduler.step()
    state = scheduler.state_dict()
    scheduler.step()
    state["schedulers"][1]["base_lrs"] = [1.0, 2.0]
    before = scheduler.state_dict()
    with pytest.raises(ValueError, match="CosineAnnealingLR: the saved state is for 2 groups"):
        scheduler.load_state_dict(state)
    assert scheduler.state_dict() == before
    assert o.lr == 0.75


def test_a_cycle_that_is_over_in_the_saved_state_changes_nothing():
    o = optimizer(1.0)
    scheduler = schedulers.OneCycleLR(o, 1.0, 10)
    with pytest.raises(ValueError, match="step 11 in a cycle of 10"):
        scheduler.load_state_dict({"t": 11, "base_lrs": [3.0]})
    assert scheduler.state_dict() == {"t": 0, "base_lrs": [1.0]}
    assert o.lr == pytest.approx(0.04)


def sequence(*parts, milestones=(), of=None):
    o = optimizer(1.0)
    return schedulers.SequentialLR(of or o, [part(o) for part in parts], milestones)


def step_lr(o):
    return schedulers.StepLR(o, 3)


WRONG = [
    ("StepLR", {"step_size": 0}, "step_size is 0, expected an integer of at least 1"),
    ("StepLR", {"step_size": 2.5}, "step_size is 2.5"),
    ("StepLR", {"step_size": 2, "gamma": -0.1}, "gamma is -0.1, expected a number of at least 0"),
    ("MultiStepLR", {"milestones": [3, -1]}, r"milestones\[1\] is -1"),
    ("ExponentialLR", {"gamma": NAN}, "gamma is nan"),
    ("PolynomialLR", {"total_iters": 0}, "total_iters is 0"),
    ("PolynomialLR", {"power": -1}, "power is -1"),
    ("LinearWarmup", {"steps": 0}, "steps is 0"),
    ("LinearWarmup", {"steps": True}, "steps is True"),
    ("CosineAnnealingLR", {"T_max": 0}, "T_max is 0"),
    ("CosineAnnealingLR", {"T_max": -1}, "T_max is -1"),
    ("CosineAnnealingLR", {"T_max": NAN}, "T_max is nan"),
    ("CosineAnnealingLR", {"T_max": 3, "eta_min": -1}, "eta_min is -1"),
    ("CosineWarmRestarts", {"T_0": 0}, "T_0 is 0"),
    ("CosineWarmRestarts", {"T_0": 3, "T_mult": 1.5}, "T_mult is 1.5"),
    ("OneCycleLR", {"max_lr": 1.0}, "expected total_steps, or both epochs and steps_per_epoch"),
    ("OneCycleLR", {"max_lr": 1.0, "epochs": 3}, "expected total_steps, or both"),
    ("OneCycleLR", {"max_lr": 1.0, "epochs": 3, "steps_per_epoch": 0}, "steps_per_epoch is 0"),
    ("OneCycleLR", {"max_lr": 1.0, "total_steps": 0}, "total_steps is 0"),
    ("OneCycleLR", {"max_lr": 1.0, "total_steps": 9, "pct_start": 1.5}, "pct_start is 1.5"),
    ("OneCycleLR", {"max_lr": 1.0, "total_steps": 9, "pct_start": 0.6, "three_phase": True}, "pct_start is 0.6"),
    ("OneCycleLR", {"max_lr": 1.0, "total_steps": 9, "anneal_strategy": "sin"}, "'sin', expected 'cos' or 'linear'"),
    ("OneCycleLR", {"max_lr": 1.0, "total_steps": 9, "div_factor": 0}, "div_factor is 0"),
    ("OneCycleLR", {"max_lr": -1.0, "total_steps": 9}, r"max_lr\[0\] is -1.0"),
    ("OneCycleLR", {"max_lr": [1.0, 2.0], "total_steps": 9}, "max_lr has 2 entries, expected one for each of 1 groups"),
    ("OneCycleLR", {"max_lr": 1.0, "total_steps": 9, "max_momentum": 1.0}, r"max_momentum\[0\] is 1.0"),
    ("ReduceLROnPlateau", {"factor": 1.0}, "factor is 1.0"),
    ("ReduceLROnPlateau", {"mode": "low"}, "mode is 'low', expected 'min' or 'max'"),
    ("ReduceLROnPlateau", {"threshold_mode": "x"}, "threshold_mode is 'x'"),
    ("ReduceLROnPlateau", {"patience": -1}, "patience is -1"),
    ("ReduceLROnPlateau", {"cooldown": 0.5}, "cooldown is 0.5"),
    ("ReduceLROnPlateau", {"threshold": -1}, "threshold is -1"),
    ("ReduceLROnPlateau", {"min_lr": [0.0, 0.0]}, "min_lr has 2 entries, expected one for each of 1 groups"),
    ("ReduceLROnPlateau", {"min_lr": -1.0}, r"min_lr\[0\] is -1.0"),
    ("LambdaLR", {"lr_lambda": [math.cos, math.sin]}, "lr_lambda has 2 entries"),
]


@pytest.mark.parametrize(("name", "arguments", "message"), WRONG)
def test_wrong_arguments(name, arguments, message):
    o = optimizer(0.5)
    with pytest.raises(ValueError, match=f"{name}: .*{message}"):
        getattr(schedulers, name)(o, **arguments)
    assert o.lr == 0.5


def test_wrong_sequences():
    with pytest.raises(ValueError, match=r"milestones is \[3\], expected 0 counts in rising order for 1 schedulers"):
        sequence(step_lr, milestones=[3])
    with pytest.raises(ValueError, match=r"milestones is \[4, 3\], expected 2 counts in rising order"):
        sequence(step_lr, step_lr, step_lr, milestones=[4, 3])
    with pytest.raises(ValueError, match="expected -1 counts"):
        sequence()
    with pytest.raises(ValueError, match=r"schedulers\[1\] is ReduceLROnPlateau, which needs a metric"):
        sequence(step_lr, schedulers.ReduceLROnPlateau, milestones=[3])
    with pytest.raises(ValueError, match=r"schedulers\[0\] is of another optimizer"):
        sequence(step_lr, of=optimizer(1.0))
    with pytest.raises(TypeError, match=r"schedulers\[0\] is SGD, expected a Scheduler"):
        sequence(lambda o: o)
    with pytest.raises(TypeError, match=r"lr_lambda is 0\.5, expected a function"):
        schedulers.LambdaLR(optimizer(1.0), 0.5)


@pytest.mark.parametrize(("name", "arguments", "rate"), [case for case in ALL if isinstance(case[1], dict)])
def test_what_is_no_optimizer(name, arguments, rate):
    with pytest.raises(TypeError, match=f"{name}: expected an Optimizer, got list"):
        getattr(schedulers, name)([tn.Parameter([1.0])], **arguments)
