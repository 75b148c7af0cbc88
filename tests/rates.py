"""What each scheduler should give after every step, written down once more."""

import inspect
import math

import tinynet as tn
from tinynet import optim
from tinynet.optim import schedulers

STEPS = 30


def cosine(start, end, done):
    return end + (start - end) * (1 + math.cos(math.pi * done)) / 2


def line(start, end, done):
    return start + (end - start) * done


def restarts(t, base):
    """Restarts at 3, 9 and 21, as T_mult = 2."""
    start, length = next((s, n) for s, n in ((21, 24), (9, 12), (3, 6), (0, 3)) if t >= s)
    return cosine(base, 0.01, (t - start) / length)


def one_cycle(t, base):
    """To the top at t = 5, at the end, 250,000 times less, at t = 29, and there it stays."""
    return cosine(0.08, 2, t / 5) if t <= 5 else cosine(2, 8e-6, min(1, (t - 5) / 24))


def three_phases(t, base):
    """To the top at t = 8, down as far until 16, and to the end at 29."""
    return line(0.1, 1, t / 8) if t <= 8 else line(1, 0.1, (t - 8) / 8) if t <= 16 else line(0.1, 0.01, (t - 16) / 13)


def warmup_and_cosine(o):
    return schedulers.SequentialLR(o, [schedulers.LinearWarmup(o, 4), schedulers.CosineAnnealingLR(o, 10)], [4])


def three_parts(o):
    parts = [schedulers.StepLR(o, 2, 0.5), schedulers.LinearWarmup(o, 5), schedulers.ExponentialLR(o, 0.9)]
    return schedulers.SequentialLR(o, parts, milestones=[3, 9])


# name: (its arguments, or how it is made; the rate after t steps for a group that started with ``base``)
FORMULAS = {
    "StepLR": [
        ({"step_size": 7}, lambda t, base: base * 0.1 ** (t // 7)),
        ({"step_size": 1, "gamma": 0.5}, lambda t, base: base / 2**t),
    ],
    "MultiStepLR": [
        ({"milestones": [9, 3]}, lambda t, base: base if t < 3 else base / 10 if t < 9 else base / 100),
        ({"milestones": (0, 3, 3), "gamma": 0.5}, lambda t, base: base / 2 if t < 3 else base / 8),
        ({"milestones": []}, lambda t, base: base),
    ],
    "ExponentialLR": [({"gamma": 0.9}, lambda t, base: base * 0.9**t)],
    "PolynomialLR": [
        ({}, lambda t, base: base * max(0, 1 - t / 5)),
        ({"total_iters": 8, "power": 2.0}, lambda t, base: base * max(0, 1 - t / 8) ** 2),
    ],
    "LinearWarmup": [
        ({"steps": 5}, lambda t, base: base * (t + 1) / 5 if t < 5 else base),
        ({"steps": 1}, lambda t, base: base),
    ],
    "CosineAnnealingLR": [
        ({"T_max": 8}, lambda t, base: cosine(base, 0, t / 8)),
        ({"T_max": 5, "eta_min": 0.01}, lambda t, base: cosine(base, 0.01, t / 5)),
    ],
    "CosineWarmRestarts": [
        ({"T_0": 4}, lambda t, base: cosine(base, 0, t % 4 / 4)),
        ({"T_0": 3, "T_mult": 2, "eta_min": 0.01}, restarts),
    ],
    "LambdaLR": [({"lr_lambda": lambda t: 1 / (1 + t)}, lambda t, base: base / (1 + t))],
    "OneCycleLR": [
        ({"max_lr": 2.0, "total_steps": 30, "pct_start": 0.2}, one_cycle),
        (
            {
                "max_lr": 1.0,
                "epochs": 5,
                "steps_per_epoch": 6,
                "anneal_strategy": "linear",
                "three_phase": True,
                "div_factor": 10,
                "final_div_factor": 10.0,
            },
            three_phases,
        ),
    ],
    "SequentialLR": [
        (warmup_and_cosine, lambda t, base: base * (t + 1) / 4 if t < 4 else cosine(base, 0, (t - 4) / 10)),
        (
            three_parts,
            lambda t, base: (
                base / 2 ** (t // 2) if t < 3 else base * min(1, (t - 2) / 5) if t < 9 else base * 0.9 ** (t - 9)
            ),
        ),
    ],
}
CASES = [(name, arguments, rate) for name, cases in FORMULAS.items() for arguments, rate in cases]
CLASSES = {n: c for n, c in vars(schedulers).items() if inspect.isclass(c) and issubclass(c, schedulers.Scheduler)}


def make(name, arguments, o):
    return getattr(schedulers, name)(o, **arguments) if isinstance(arguments, dict) else arguments(o)


def optimizer(*lrs, rule=optim.SGD):
    return rule([{"params": [tn.Parameter([1.0])], "lr": lr} for lr in lrs])


def rates(o):
    return [group["lr"] for group in o.param_groups]
