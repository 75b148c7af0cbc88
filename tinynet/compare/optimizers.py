"""compare_optimizers: every update rule from the same weights over the same mini-batches, at each of several rates.

The one idea: an optimizer is only as good as its learning rate lets it be, so each is given a sweep of rates and judged
at its best one. The criterion is the training loss, which is what an optimizer lowers; validation data judge it, but
choose nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from .. import functions as F
from ..backend import array_module, to_device
from ..data.dataset import checked_int
from ..layers import Layer
from ..training import Metrics, as_loader, as_metrics, batches, evaluate
from .comparison import Comparison
from .run import Run, checked_targets
from .start import (
    Start,
    Stepper,
    checked_factories,
    checked_rates,
    checked_seeds,
    exploded,
    made_optimizer,
    progress_bar,
    silent,
    untouched_random_state,
)

WHO = "compare_optimizers"
LOOK = 32  # losses are read so many steps at a time, so that a GPU is not waited for at every one


@dataclass(frozen=True)
class Plan:
    """What all runs have in common besides their start."""

    loss: Callable[..., Any]
    epochs: int
    every: int | None
    validation: Any
    metrics: Metrics


def compare_optimizers(
    make_model: Callable[[], Layer],
    optimizers: dict[str, Callable[..., Any]],
    train: Any,
    *,
    validation: Any = None,
    loss: Callable[..., Any] = F.cross_entropy,
    epochs: int = 1,
    batch_size: int = 64,
    seeds: Iterable[int] | int = (0,),
    lrs: Any = None,
    targets: Any = (),
    progress: bool = True,
    metrics: Any = None,
    evaluate_every: int | None = None,
) -> Comparison:
    """Train one network with several optimizers that differ in nothing else, at several learning rates each.

    For every seed, label and rate a run of ``epochs`` passes: the same initial weights, the same random draws (dropout),
    and the same mini-batches in the same order for all runs of a seed.

    Args:
        make_model: a function that builds the model, called after ``tn.manual_seed(seed)``.
        optimizers: by label, a function ``lambda params, lr: ...`` that returns an optimizer (a class such as
            ``optim.Adam`` is one).
        train, validation: a Dataset, a DataLoader or a tuple of arrays, as in ``Model.fit``. A DataLoader gives its batch
            size and transform; its order is that of each seed, and it is left where it stands.
        lrs: a list of rates for all, or a dict of lists by label; a single number is a list of one. None: 0.0001, 0.0003,
            0.001, ..., 0.3, 1, two a decade. Rates of a label that performs best at its lowest or highest are remarked on.
        targets: levels to which steps and seconds are counted, one or a list. A number is a training loss, as the mean of
            the last ``window`` steps; ``{"accuracy": 0.97}`` and ``{"val_loss": [0.2, 0.1]}`` are validation numbers. What
            is called a loss or an error is to fall to its level, anything else to rise to it.
        metrics: as in ``Model.fit``; by default accuracy with cross-entropy, else none.
        evaluate_every: look at the validation data every so many steps and at the end; None: after every epoch.
        progress: one bar over all runs.

    A run is stopped, and shown as diverged, when a loss is not finite or exceeds 1,000 times the first one (or 1,000 where
    that is below 1). Each optimizer makes one step on a copy beforehand, so that compiling its rule is not counted in its
    time. The library's random streams go on afterwards as if nothing had been drawn.

    Raises ``ValueError`` or ``TypeError`` naming what is wrong, before the first run.

    >>> import tinynet as tn
    >>> points = tn.datasets.TwoMoons(200)
    >>> make = lambda: tn.Sequential(tn.layers.Linear(2, 16), tn.layers.Tanh(), tn.layers.Linear(16, 2))
    >>> rules = {"SGD": tn.optim.SGD, "Adam": lambda params, lr: tn.optim.Adam(params, lr=lr, beta2=0.99)}
    >>> result = compare_optimizers(make, rules, points, epochs=10, lrs=[0.001, 0.03, 1.0], progress=False)
    >>> result.best()
    {'SGD': 1.0, 'Adam': 0.03}
    """
    factories = checked_factories(WHO, optimizers)
    rates, numbers = checked_rates(WHO, factories, lrs), checked_seeds(WHO, seeds)
    every = None if evaluate_every is None else checked_int(f"{WHO}: evaluate_every", evaluate_every, 1)
    held_out = None if validation is None else as_loader(validation, 1024, shuffle=False)
    if held_out is not None and len(held_out) == 0:
        raise ValueError(f"{WHO}: validation has no batches")
    plan = Plan(loss, checked_int(f"{WHO}: epochs", epochs, 1), every, held_out, as_metrics(metrics, loss))
    named = [] if validation is None else [f"val_{name}" for name in ("loss", *plan.metrics)]
    wanted = checked_targets(WHO, targets, named)
    tried = [(label, lr) for label in factories for lr in rates[label]]
    runs = []
    with untouched_random_state(), silent():
        starts = [Start(WHO, make_model, train, batch_size, seed) for seed in numbers]
        for label, factory in factories.items():
            _warm_up(starts[0], label, factory, rates[label][0], loss)
        steps = plan.epochs * len(starts[0].train)
        with progress_bar("comparing", len(starts) * len(tried) * steps, progress) as bar:
            for start in starts:
                for label, lr in tried:
                    bar.set_postfix_str(f"{label} at {lr:g}, seed {start.seed}", refresh=False)
                    model = start.model()
                    optimizer = made_optimizer(WHO, label, factories[label], model.parameters(), lr)
                    runs.append(_train(Run(label, lr, start.seed), model, optimizer, start, plan, bar))
                    bar.update(steps - len(runs[-1].losses))  # those that a diverged run does not make
    return Comparison(runs, steps=steps, batch_size=starts[0].train.batch_size, targets=wanted)


def _warm_up(start: Start, label: str, factory: Callable[..., Any], lr: float, loss: Callable[..., Any]) -> None:
    """One step that nobody sees: it compiles what is to be compiled, and finds a factory that returns no optimizer."""
    model = start.model()
    optimizer = made_optimizer(WHO, label, factory, model.parameters(), lr)
    Stepper(model, optimizer, loss)(*next(batches(start.loader())))


def _train(run: Run, model: Layer, optimizer: Any, start: Start, plan: Plan, bar: Any) -> Run:
    """Train until the end or until it diverges, and note everything in the run."""
    step, loader = Stepper(model, optimizer, plan.loss), start.loader()
    unread: list[Any] = []
    count, last = 0, plan.epochs * len(loader)
    every = plan.every or len(loader)
    begun = time.perf_counter()
    for _ in range(plan.epochs):
        for inputs, targets in batches(loader):
            unread.append(step(inputs, targets))
            count += 1
            run.seconds.append(time.perf_counter() - begun)
            look = plan.validation is not None and (count % every == 0 or count == last)
            if look or len(unread) == LOOK or count == last:
                before, diverged = len(run.losses), _read(run, unread)
                bar.update(len(run.losses) - before)
                if diverged:
                    return run
            if look:
                paused = time.perf_counter()
                if _evaluate(run, model, plan):
                    return run
                begun += time.perf_counter() - paused
    return run


def _read(run: Run, unread: list[Any]) -> bool:
    """Move losses from the device into the run; True where the run has diverged, which ends it at that step."""
    values = to_device(array_module(unread[0]).stack(unread), "cpu")
    unread.clear()
    for value in values.tolist():
        run.losses.append(value)
        if exploded(value, run.losses[0]):
            run.diverged = len(run.losses)
            del run.seconds[run.diverged :]
            return True
    return False


def _evaluate(run: Run, model: Layer, plan: Plan) -> bool:
    """Look at the validation data; True where the run turns out to have diverged in its last step."""
    numbers = evaluate(model, plan.validation, plan.loss, plan.metrics, "val_")
    run.evaluated.append(len(run.losses))
    for name, value in numbers.items():
        run.validation.setdefault(name, []).append(value)
    if exploded(numbers["val_loss"], run.losses[0]):
        run.diverged = len(run.losses)
    return run.diverged is not None
