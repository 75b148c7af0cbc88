"""Schedulers beside PyTorch's: the rates, and the momentum of one cycle, over 70 steps, also when resumed on the way."""

import functools
import math

import numpy as np
import pytest

import tinynet as tn
from tinynet import optim
from tinynet.optim import schedulers

torch = pytest.importorskip("torch", reason="parity needs PyTorch: pip install torch")
pytestmark = pytest.mark.cpu  # rates are Python's numbers
lr_scheduler = torch.optim.lr_scheduler

STEPS = 70
LRS = (0.5, 0.02)
METRICS = np.exp(-0.05 * np.arange(STEPS)) * (1 + 0.3 * np.sin(np.arange(STEPS) ** 2)) + 0.2 * (np.arange(STEPS) > 40)


def same(name, torch_name=None, **arguments):
    """A scheduler that takes the same arguments in both."""
    return functools.partial(getattr(schedulers, name), **arguments), functools.partial(
        getattr(lr_scheduler, torch_name or name), **arguments
    )


def linear(o, steps):
    return lr_scheduler.LinearLR(o, start_factor=1 / steps, total_iters=steps - 1)


def sequential(parts, torch_parts, milestones):
    return (
        lambda o: schedulers.SequentialLR(o, [part(o) for part in parts], milestones),
        lambda o: lr_scheduler.SequentialLR(o, [part(o) for part in torch_parts], milestones),
    )


def poly(module):
    return lambda o: module.PolynomialLR(o, 30, power=0.9)


def warm(o):
    return schedulers.LinearWarmup(o, 10)


CASES = {
    "StepLR": same("StepLR", step_size=9),
    "StepLR gamma": same("StepLR", step_size=1, gamma=0.97),
    "MultiStepLR": same("MultiStepLR", milestones=[40, 5, 5, 63], gamma=0.3),
    "ExponentialLR": same("ExponentialLR", gamma=0.93),
    "PolynomialLR": same("PolynomialLR"),
    "PolynomialLR power": same("PolynomialLR", total_iters=50, power=2.5),
    "CosineAnnealingLR": same("CosineAnnealingLR", T_max=20),
    "CosineAnnealingLR eta_min": same("CosineAnnealingLR", T_max=70, eta_min=0.001),
    "CosineWarmRestarts": same("CosineWarmRestarts", "CosineAnnealingWarmRestarts", T_0=9),
    "CosineWarmRestarts T_mult": same("CosineWarmRestarts", "CosineAnnealingWarmRestarts", T_0=4, T_mult=3, eta_min=0.01),
    "LambdaLR": same("LambdaLR", lr_lambda=lambda t: 1 / math.sqrt(1 + t)),
    "LambdaLR list": same("LambdaLR", lr_lambda=[lambda t: 0.9**t, lambda t: min(1, t / 10)]),
    "LinearWarmup": (lambda o: schedulers.LinearWarmup(o, 33), lambda o: linear(o, 33)),
    "OneCycleLR": same("OneCycleLR", max_lr=1.5, total_steps=STEPS),
    "OneCycleLR linear": same("OneCycleLR", max_lr=[1.0, 0.1], epochs=10, steps_per_epoch=7, anneal_strategy="linear"),
    "OneCycleLR three phases": same(
        "OneCycleLR", max_lr=1.5, total_steps=STEPS, three_phase=True, pct_start=0.4, div_factor=10.0, final_div_factor=50.0
    ),
    "OneCycleLR momentum": same(
        "OneCycleLR", max_lr=1.5, total_steps=STEPS, base_momentum=[0.5, 0.6], max_momentum=0.9, pct_start=0.0
    ),
    "OneCycleLR no momentum": same("OneCycleLR", max_lr=1.5, total_steps=STEPS, cycle_momentum=False),
    "SequentialLR": sequential(
        [warm, lambda o: schedulers.CosineAnnealingLR(o, 60)],
        [lambda o: linear(o, 10), lambda o: lr_scheduler.CosineAnnealingLR(o, 60)],
        [10],
    ),
    "SequentialLR of three": sequential(
        [warm, poly(schedulers), lambda o: schedulers.CosineWarmRestarts(o, 7)],
        [lambda o: linear(o, 10), poly(lr_scheduler), lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 7)],
        [12, 30],
    ),
    "ReduceLROnPlateau": same("ReduceLROnPlateau", patience=2, factor=0.7),
    "ReduceLROnPlateau max": same("ReduceLROnPlateau", mode="max", patience=3, cooldown=4, factor=0.5, min_lr=[1e-3, 1e-2]),
    "ReduceLROnPlateau abs": same(
        "ReduceLROnPlateau", threshold_mode="abs", threshold=0.05, patience=1, factor=0.6, eps=1e-3, min_lr=1e-3
    ),
}
# The optimizer of each kind of momentum: ours, PyTorch's, where the momentum is in a group of PyTorch's.
OPTIMIZERS = {
    "Adam": (optim.Adam, torch.optim.Adam, "beta1", lambda group: group["betas"][0]),
    "Momentum": (optim.Momentum, functools.partial(torch.optim.SGD, momentum=0.9), "beta", lambda g: g["momentum"]),
    "RMSprop": (optim.RMSprop, torch.optim.RMSprop, "momentum", lambda group: group["momentum"]),
}


def ours(kind):
    return OPTIMIZERS[kind][0]([{"params": [tn.Parameter([1.0])], "lr": lr} for lr in LRS])


@functools.cache
def theirs(case, kind):
    """PyTorch's rates and momenta after each step."""
    _, rule, _, momentum = OPTIMIZERS[kind]
    o = rule([{"params": [torch.ones(1, requires_grad=True)], "lr": lr} for lr in LRS], lr=0.1)
    scheduler, found = CASES[case][1](o), []
    o.step()
    for metric in METRICS:
        found.append([(group["lr"], momentum(group)) for group in o.param_groups])
        scheduler.step(*[metric] * case.startswith("ReduceLR"))
    return found


@pytest.mark.parametrize("stop", [0, 1, 10, 37])
@pytest.mark.parametrize("kind", OPTIMIZERS)
@pytest.mark.parametrize("case", CASES)
def test_rates_and_momenta(case, kind, stop):
    o = ours(kind)
    scheduler, found = CASES[case][0](o), []
    for t, metric in enumerate(METRICS):
        if t == stop:  # everything saved, and loaded into fresh objects
            saved = scheduler.state_dict(), o.state_dict()
            o = ours(kind)
            scheduler = CASES[case][0](o)
            scheduler.load_state_dict(saved[0])
            o.load_state_dict(saved[1])
        found.append([(group["lr"], group[OPTIMIZERS[kind][2]]) for group in o.param_groups])
        scheduler.step(*[metric] * scheduler.needs_metric)
    np.testing.assert_allclose(found, theirs(case, kind), rtol=1e-10, atol=1e-15)


def test_every_scheduler_is_compared():
    names = {name for name, value in vars(schedulers).items() if isinstance(value, type)}
    assert names - {"Scheduler"} == {case.split()[0] for case in CASES}
