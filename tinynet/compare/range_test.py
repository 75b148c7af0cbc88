"""learning_rate_range_test: one short training in which the rate rises until the loss explodes, to find where to look.

The one idea: at a rate far too small the loss stands still, at one far too large it explodes, and a single run through all
of them shows both ends for the price of a few hundred steps.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .. import functions as F
from ..data.dataset import checked_int
from ..layers import Layer
from ..training import batches
from .start import Start, Stepper, made_optimizer, progress_bar, silent, untouched_random_state
from .table import Table

WHO = "learning_rate_range_test"
BETA = 0.9  # of the average of the losses, over about the last ten
SETTLED = 10  # steps before the average is one of more than a few losses
WIDTH = 2.0  # the factor in the rate over which a fall of the loss is looked for
UP = 3.0  # where the averaged loss has risen above its lowest by so many times that, the test ends


class RangeTest:
    """What the test found: the rising ``lrs``, for each the ``losses`` of the batch before its step, and ``smoothed``, their
    average: average <- 0.9 average + 0.1 loss, divided by 1 - 0.9^t.

    ``suggestion``: the middle of the factor of 2 in the rate over which ``smoothed`` falls most, up to its lowest point, the
    first 10 steps apart; a good rate to try first. None where it never falls. ``lowest``: the rate at its lowest point,
    from which on larger ones do harm. ``exploded``: the rate at which the test ended because ``smoothed`` had risen above
    its lowest by three times the size of that (to 4 times its lowest, where losses are positive), or was not finite; None
    where it had not.
    """

    def __init__(self, lrs: list[float], losses: list[float], smoothed: list[float], exploded: float | None):
        self.lrs, self.losses, self.smoothed = np.array(lrs), np.array(losses), np.array(smoothed)
        self.exploded = exploded
        finite = self.smoothed[np.isfinite(self.smoothed)]
        bottom = int(finite.argmin()) if len(finite) else 0
        self.lowest = lrs[bottom]
        self.suggestion = None
        widths = math.log(lrs[-1] / lrs[0], WIDTH)  # none, where the very first loss is not finite
        span = max(1, round(len(lrs) / widths / 2)) if widths else 1  # steps in half a WIDTH
        middle = np.arange(SETTLED + span, min(bottom, len(finite) - 1 - span) + 1)
        falls = finite[middle - span] - finite[middle + span]
        if len(falls) and falls.max() > 0:
            self.suggestion = lrs[middle[falls.argmax()]]

    def table(self) -> Table:
        """The suggestion, the rate at the lowest loss and the one at which it exploded; rows of ``what, lr, loss``."""
        rows = []
        for what, lr in (("suggestion", self.suggestion), ("lowest loss", self.lowest), ("exploded", self.exploded)):
            loss = None if lr is None else float(self.smoothed[self.lrs.tolist().index(lr)])
            rows.append({"what": what, "lr": lr, "loss": loss})
        return Table(
            rows,
            {
                "": lambda r: r["what"],
                "lr": lambda r: "–" if r["lr"] is None else f"{r['lr']:.3g}",
                "smoothed loss": lambda r: "–" if r["loss"] is None else f"{r['loss']:.4g}",
            },
        )

    def __repr__(self) -> str:
        return f"RangeTest of {len(self.lrs)} steps from {self.lrs[0]:.3g} to {self.lrs[-1]:.3g}\n{self.table()}"

    def plot(self, path: str | os.PathLike) -> None:
        """Draw a PNG or SVG: the loss against the rate, and where the three rates are. Needs matplotlib."""
        from .curves import range_picture
        from .pictures import save_picture

        save_picture("RangeTest.plot", path, range_picture, self)


def learning_rate_range_test(
    make_model: Callable[[], Layer],
    optimizer: Callable[..., Any],
    train: Any,
    *,
    loss: Callable[..., Any] = F.cross_entropy,
    batch_size: int = 64,
    start: float = 1e-6,
    end: float = 10.0,
    steps: int = 200,
    seed: int = 0,
    progress: bool = True,
) -> RangeTest:
    """Train while the rate rises exponentially from ``start`` to ``end`` in ``steps`` steps, or until the loss explodes.

    Smith 2017, Cyclical learning rates for training neural networks, arXiv:1506.01186, section 3.3, where the rate rises
    linearly; a factor a step is what one wants who does not know the order of magnitude. ``optimizer``: ``lambda params, lr:
    ...``; the rest as in ``compare_optimizers``. More steps make the suggestion smaller, as the network has learned more
    before a rate's turn comes: for one hidden layer of 100 on MNIST, batches of 128, 100, 200 and 300 steps suggest 0.007,
    0.0025 and 0.0015 for Adam, 0.6, 0.35 and 0.25 for SGD.

    Raises ``ValueError`` or ``TypeError`` naming what is wrong.

    >>> import tinynet as tn
    >>> make = lambda: tn.Sequential(tn.layers.Linear(2, 16), tn.layers.Tanh(), tn.layers.Linear(16, 2))
    >>> found = learning_rate_range_test(make, tn.optim.Adam, tn.datasets.TwoMoons(200), progress=False)
    >>> 0.001 < found.suggestion < 0.1 < found.lowest
    True
    """
    for name, value in (("start", start), ("end", end)):
        if not 0 < value < math.inf:
            raise ValueError(f"{WHO}: {name} is {value!r}, expected a positive number")
    if not start < end:
        raise ValueError(f"{WHO}: start is {start!r} and end {end!r}, expected start to be the smaller one")
    if not callable(optimizer):
        raise TypeError(f"{WHO}: optimizer is {optimizer!r}, expected a function such as optim.Adam")
    rates = np.geomspace(start, end, checked_int(f"{WHO}: steps", steps, 10)).tolist()
    losses: list[float] = []
    averages: list[float] = []
    with untouched_random_state(), silent(), progress_bar("range test", steps, progress) as bar:
        begin = Start(WHO, make_model, train, batch_size, seed)
        model = begin.model()
        made = made_optimizer(WHO, "optimizer", optimizer, model.parameters(), rates[0])
        step = Stepper(model, made, loss)
        for lr, (inputs, targets) in zip(rates, endless(begin.loader()), strict=False):
            made.lr = lr
            losses.append(float(step(inputs, targets)))
            averages.append(averaged(losses))
            bar.update()
            lowest = min(averages)
            if not math.isfinite(averages[-1]) or averages[-1] - lowest > UP * abs(lowest):
                return RangeTest(rates[: len(losses)], losses, averages, exploded=lr)
    return RangeTest(rates, losses, averages, exploded=None)


def endless(loader: Any) -> Iterator[tuple]:
    """The batches of one epoch after the other."""
    while True:
        yield from batches(loader)


def averaged(losses: list[float]) -> float:
    """The exponentially weighted average of the losses so far, corrected for its start at zero."""
    weights = BETA ** np.arange(len(losses) - 1, -1, -1)
    return float(weights @ losses / weights.sum())
