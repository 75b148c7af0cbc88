"""How many steps each optimizer needs on the oblong bowl at its best learning rate, and what theory says.

    python -m benchmarks.bowl

The bowl is f(x, y) = (x^2 + 25 y^2) / 2: its curvatures are mu = 1 and L = 25, so the condition number k is 25. Everybody
starts at (-8, 1.8), in float64, with a loss of 72.5, and is there when the loss is at most 1e-6 and stays so for as long
again; 40,000 steps are walked at most. Rates go from 1e-4 to 30 in steps of 0.9 per cent, and the best is shown; the other
hyper-parameters are the defaults, or those in the table. The second pair of columns is the same bowl turned by 30 degrees.

A rule is a pure elementwise function of arrays, so the rate may be an array, too: all rates walk side by side. Every
line of the table is then walked once more by the optimizer itself, ``step()`` by ``step()``, which must take as many.
"""

from __future__ import annotations

import argparse
import inspect
import math
from typing import Any

import numpy as np

import tinynet as tn
from tinynet import optim
from tinynet.compare.surfaces import oblong_bowl

K = 25.0
TARGET, MOST, AT_ONCE = 1e-6, 40_000, 250
RATES = np.logspace(-4, 1.5, 1401)
BALL = ((math.sqrt(K) - 1) / (math.sqrt(K) + 1)) ** 2  # the heavy ball's best beta, 4/9
AHEAD = (math.sqrt(K) - 1) / (math.sqrt(K) + 1)  # and Nesterov's, 2/3
ROWS: list[tuple[str, str, dict[str, Any]]] = [
    ("gradient descent (`SGD`)", "SGD", {}),
    ("`Momentum`, beta 0.9", "Momentum", {}),
    ("`Momentum`, beta 4/9", "Momentum", {"beta": BALL}),
    ("heavy ball, beta 0.9 (`dampening=0`)", "Momentum", {"dampening": 0.0}),
    ("heavy ball, beta 4/9, the best", "Momentum", {"dampening": 0.0, "beta": BALL}),
    ("Nesterov, beta 0.9", "Momentum", {"dampening": 0.0, "nesterov": True}),
    ("Nesterov, beta 2/3, theory's", "Momentum", {"dampening": 0.0, "nesterov": True, "beta": AHEAD}),
    ("`Adagrad`", "Adagrad", {}),
    ("`Adadelta`", "Adadelta", {}),
    ("`RMSprop`", "RMSprop", {}),
    ("`Adam` (and `AdamW` without decay)", "Adam", {}),
    ("`Adam`, beta2 0.9", "Adam", {"beta2": 0.9}),
    ("`Adamax`", "Adamax", {}),
    ("`NAdam`", "NAdam", {}),
    ("`RAdam`", "RAdam", {}),
    ("`Lion`", "Lion", {}),
]


class Bowl:
    """The bowl turned round by so many degrees: its matrix of second derivatives [[a, b], [b, c]], and the start."""

    def __init__(self, degrees: float):
        angle = math.radians(degrees)
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        (self.a, self.b), (_, self.c) = turn @ np.diag([1.0, K]) @ turn.T
        self.start = turn @ np.array(oblong_bowl.start)

    def grad(self, w: np.ndarray) -> np.ndarray:
        """At one place or many, element by element: the same bits for both, which limit cycles would grow apart from."""
        x, y = w
        return np.stack([self.a * x + self.b * y, self.b * x + self.c * y])

    def loss(self, w: np.ndarray) -> Any:
        x, y = w
        dx, dy = self.grad(w)
        return (x * dx + y * dy) / 2


def walk(name: str, options: dict[str, Any], degrees: float, rates: np.ndarray = RATES) -> np.ndarray:
    """For each rate the number of steps after which the loss is at most TARGET for good; more than MOST: it never is."""
    bowl = Bowl(degrees)
    optimizer = getattr(optim, name)([tn.Parameter([0.0])], **options)
    (group,) = optimizer.param_groups
    buffers, rule = optimizer.variant(group)
    wanted = [p.name for p in inspect.signature(rule).parameters.values() if p.kind is p.KEYWORD_ONLY]
    w = np.repeat(bowl.start[:, None], len(rates), axis=1)
    state = [np.full_like(w, optimizer.initial(b, group)) for b in buffers]
    last = np.zeros(len(rates), int)  # the last step after which the loss was above the target
    with np.errstate(all="ignore"):  # rates that are too large go to infinity
        for t in range(1, MOST + 1):
            values = {**optimizer.hyper(group, t), "step": t, "lr": rates}
            results = rule(w, bowl.grad(w), *state, **{name: values[name] for name in wanted})
            w, *state = results if isinstance(results, tuple) else (results,)
            last = np.where(bowl.loss(w) <= TARGET, last, t)
            if t % AT_ONCE == 0 and t >= 2 * (last.min() + 1):
                break
    return np.where(last < t, last + 1, MOST + 1)


def best(name: str, options: dict[str, Any], degrees: float) -> tuple[float, int]:
    """The best rate and its number of steps, which the optimizer itself has confirmed."""
    steps = walk(name, options, degrees)
    k = int(steps.argmin())
    rate, count = float(RATES[k]), int(steps[k])
    if count <= MOST:
        losses = confirmed(name, {**options, "lr": rate}, degrees, count)
        if not losses[-2] > TARGET >= losses[-1]:
            raise AssertionError(f"{name} {options}: the optimizer itself is at {losses[-2:]} after {count} steps")
    return rate, count


def confirmed(name: str, options: dict[str, Any], degrees: float, steps: int) -> list[float]:
    """The losses of the optimizer itself, step by step, from the start on."""
    bowl = Bowl(degrees)
    w = tn.Parameter(bowl.start)
    optimizer = getattr(optim, name)([w], **options)
    losses = [float(bowl.loss(w.data))]
    for _ in range(steps):
        w.grad = bowl.grad(w.data)
        optimizer.step()
        losses.append(float(bowl.loss(w.data)))
    return losses


def lbfgs_looks(degrees: float) -> int:
    """How often L-BFGS with its line search looks at loss and gradient until the loss is at most TARGET."""
    bowl = Bowl(degrees)
    w = tn.Parameter(bowl.start)
    optimizer, losses = optim.LBFGS([w], line_search_fn="strong_wolfe"), []

    def closure() -> float:
        losses.append(float(bowl.loss(w.data)))
        w.grad = bowl.grad(w.data)
        return losses[-1]

    optimizer.step(closure)
    return next(i for i, loss in enumerate(losses) if loss <= TARGET)


def theory() -> list[tuple[str, float, float, float]]:
    """(method, rate, factor by which the distance shrinks a step, steps that follow) where mathematics knows them."""
    root, start = math.sqrt(K), float(Bowl(0).loss(np.array(oblong_bowl.start)))
    lines = [
        ("gradient descent, rate 2 / (L + mu)", 2 / (K + 1), (K - 1) / (K + 1)),
        ("heavy ball, beta 4/9, rate 4 / (sqrt L + sqrt mu)^2", 4 / (root + 1) ** 2, (root - 1) / (root + 1)),
        ("Nesterov, beta 2/3, rate 1 / L", 1 / K, 1 - 1 / root),
    ]
    return [(name, rate, factor, math.log(TARGET / start) / (2 * math.log(factor))) for name, rate, factor in lines]


NOTES = """
Why the order is what it is:
- Gradient descent does as theory says. So do the heavy ball and Nesterov at their best beta, but for the start: there two
  roots fall together, and the distance is t times a power. Turning the bowl changes nothing for these, and the weighted
  average takes the heavy ball's very steps at a rate 1 / (1 - beta) times as large.
- A beta of 0.9, right for a condition number of 361, lets things swing: whatever the rate, no step can take more than
  1 - sqrt(0.9), 5 per cent, off the distance, which makes 172 steps. That is about what the heavy ball needs, and Adam
  and Adamax with their beta1 of 0.9, in either bowl. Looking ahead damps the swinging: Nesterov, NAdam.
- Adagrad and all after it divide each coordinate by the size of its own gradients. In a bowl along the axes that takes
  the condition number away altogether: Adagrad, which has no momentum, needs 7 steps. Turned, the coordinates are mixed,
  and it is no better than gradient descent.
- RMSprop forgets within some ten steps how large the gradients were: near the minimum it divides small ones by small
  ones, its step keeps a size of about lr, and it circles at a distance in proportion to lr. So do Adam with a beta2 of
  0.9 and Lion, whose step is lr by definition. To stay within the target the rate must be tiny (for Lion 13 lr^2 / 4 <=
  1e-6, lr <= 0.00055), and the way is 8 / lr steps long. They want a rate that falls, that is a scheduler.
- Adam's own beta2 of 0.999 remembers the large gradients of the start for a thousand steps, in which it is the heavy ball
  with a rate for each coordinate. RAdam's rate is small at first. Adadelta's step begins tiny and follows its own past.
- L-BFGS knows both curvatures after two steps. Muon is for matrices, and has no line here.
"""


def main() -> None:
    """Print both tables as Markdown, and the notes."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    print("| optimizer | best rate | steps | best rate, turned | steps, turned |\n| --- | ---: | ---: | ---: | ---: |")
    for title, name, options in ROWS:
        cells = [best(name, options, degrees) for degrees in (0, 30)]
        shown = (f"{rate:.2g} | {count:,}" if count <= MOST else f"- | > {MOST:,}" for rate, count in cells)
        print(f"| {title} | {' | '.join(shown)} |", flush=True)
    looks = (f"1 | {lbfgs_looks(degrees)}" for degrees in (0, 30))
    print(f"| `LBFGS`, strong Wolfe (looks, not steps) | {' | '.join(looks)} |")
    print("\n| theory | rate | factor a step | steps |\n| --- | ---: | ---: | ---: |")
    for name, rate, factor, steps in theory():
        print(f"| {name} | {rate:.3f} | {factor:.3f} | {steps:.0f} |")
    print(NOTES)


if __name__ == "__main__":
    main()
