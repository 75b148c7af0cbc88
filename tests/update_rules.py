"""Update rules for the tests of what is made from them: the library's, and some that do what a rule may do."""

import inspect

import numpy as np

from tinynet import Parameter, optim
from tinynet.kernels import abs, exp, maximum, minimum, sign, sqrt, where
from tinynet.optim.hyper import keywords

RNG = np.random.default_rng(0)

OPTIONS = {
    "Momentum": [{}, {"dampening": 0.0, "nesterov": True}],
    "RMSprop": [{}, {"centered": True, "momentum": 0.5}],
    "Adam": [{}, {"amsgrad": True}],
    "AdamW": [{}, {"amsgrad": True}],
    "NAdam": [{}, {"decoupled_weight_decay": True}],
    "RAdam": [{}, {"decoupled_weight_decay": True}],
}
CLASSES = {n: c for n, c in vars(optim).items() if inspect.isclass(c) and issubclass(c, optim.Optimizer)}
ELEMENTWISE = [n for n, c in CLASSES.items() if n != "Optimizer" and c.elementwise and not c.needs_closure]


def in_step(number, name, **options):
    """An optimizer's rule and the hyper-parameters that it gets in a parameter's step of that number."""
    optimizer = CLASSES[name]([Parameter([1.0])], lr=0.1, **options)
    (group,) = optimizer.param_groups
    _, rule = optimizer.variant(group)
    values = {**optimizer.hyper(group, number), "step": number}
    return rule, {name: values[name] for name in keywords(rule)}


RULES = [in_step(3, name, **options) for name in ELEMENTWISE for options in OPTIONS.get(name, [{}])]
RULES += [in_step(300, "RAdam")]  # from the sixth step on it is another


def every_operation(w, grad, velocity, *, lr, power):
    """Whatever a rule may be written with."""
    small = (abs(grad) < 0.5) & (grad != 0) | (velocity >= 1.5)
    v = where(small, -velocity, velocity**2) + where(~(grad == 0), 2 / (velocity + 3), +1.0)
    v = maximum(minimum(v, 4), -4) - sign(grad) * exp(-abs(v)) / sqrt(1 + v * v) + 2.0**power - (3 - v) ** 3
    return w - lr * v, v


def buffers_of(rule):
    return rule.__code__.co_varnames[2 : rule.__code__.co_argcount]


def arrays_for(rule, size, dtype):
    values = [RNG.standard_normal(size).astype(dtype) for _ in range(2)]
    return values + [RNG.random(size).astype(dtype) for _ in buffers_of(rule)]


def swapping(w, grad, a, b, *, lr):
    """Each buffer becomes the other, and the weight what neither was."""
    return lr * w, b, a


def twice(w, grad, a, b, *, lr):
    """Two buffers become the same; one of them is needed after the other has been computed."""
    new = a + lr * grad
    return w - new * a * b, new, new


def as_they_were(w, grad, a, b, *, lr):
    return w, a, where(grad > 0, b, a)


def choosing(w, grad, a, b, *, lr):
    """The array that is written over is an operand of where, each in turn."""
    return where(grad > lr, grad, w), where(a > b, a, grad), where(b > w, grad * b, b)


def number_conditions(w, grad, a, b, *, lr):
    return where(lr > 0.05, w - grad, w), where(grad * 0, a, b), where(True, a, b)


def powers(w, grad, a, b, *, lr):
    return w - lr * grad**2.0, abs(a) ** 0.5, (b + 9) ** -1


MOVING = [swapping, twice, as_they_were, choosing, number_conditions, powers]
