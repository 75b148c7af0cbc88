"""What the tests of L-BFGS and its line search share: closures, a small network, and losses along a line."""

import numpy as np

import tinynet as tn
from tinynet import functions as F
from tinynet import layers as L
from tinynet.optim.linesearch import Trial

SEARCHES = [None, "strong_wolfe"]


def closure_of(optimizer, loss, calls=None):
    def closure():
        optimizer.zero_grad()
        value = loss()
        value.backward()
        if calls is not None:
            calls.append(value.item())
        return value

    return closure


def place(f, slope, t):
    return Trial(t, float(f(t)), float(slope(t)), None)


LINES = {
    "bowl": (lambda t: (t - 3.0) ** 2, lambda t: 2 * (t - 3.0)),
    "flat far away": (lambda t: -t / (t**2 + 2), lambda t: (t**2 - 2) / (t**2 + 2) ** 2),
    "fifth power": (
        lambda t: (t + 0.004) ** 5 - 2 * (t + 0.004) ** 4,
        lambda t: 5 * (t + 0.004) ** 4 - 8 * (t + 0.004) ** 3,
    ),
    "wall": (lambda t: 50 * max(0.0, t - 1) ** 4 - t, lambda t: 200 * max(0.0, t - 1) ** 3 - 1),
    "steep": (lambda t: np.exp(8 * t) / 8 - 30 * t, lambda t: np.exp(8 * t) - 30),
    "almost a corner": (lambda t: np.sqrt((t - 3) ** 2 + 1e-4), lambda t: (t - 3) / np.sqrt((t - 3) ** 2 + 1e-4)),
    "ripples": (lambda t: (t - 3) ** 2 / 4 + np.cos(9 * t) / 5, lambda t: (t - 3) / 2 - 9 * np.sin(9 * t) / 5),
    "waves": (lambda t: np.cos(3 * t) / 3 - t + 0.1 * t**2, lambda t: -np.sin(3 * t) - 1 + 0.2 * t),
}


def net(seed=0):
    tn.manual_seed(seed)
    return tn.Sequential(L.Linear(3, 4), L.Tanh(), L.Linear(4, 2))


RNG = np.random.default_rng(0)
X, Y = tn.tensor(RNG.standard_normal((40, 3)).astype(np.float32)), tn.tensor(RNG.integers(0, 2, 40))


def train(model, optimizer, steps):
    closure = closure_of(optimizer, lambda: F.cross_entropy(model(X), Y))
    return [optimizer.step(closure).item() for _ in range(steps)]
