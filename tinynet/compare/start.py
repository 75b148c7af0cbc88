"""Where every run starts: the same weights, the same random draws and the same mini-batches, as often as they are asked for.

The one idea: a comparison is fair when only the update rule differs. So the weights of a seed are drawn once, and every
run gets a model with a copy of them, the library's random streams as they stood then, and a loader at the beginning of
the order that belongs to the seed.
"""

from __future__ import annotations

import copy
import inspect
import math
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..backend import manual_seed, random_state, set_random_state
from ..data import DataLoader
from ..data.dataset import checked_int
from ..layers import Layer
from ..training import batches, evaluating

LRS = (1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3, 1.0)  # tried where no rates are given: two a decade
EXPLODED = 1000  # a loss so many times the first one (or 1, if that is larger) is not coming back


@contextmanager
def untouched_random_state() -> Iterator[None]:
    """Whatever is seeded and drawn inside, the library's random streams go on afterwards as if nothing had been."""
    before = random_state()
    try:
        yield
    finally:
        set_random_state(before)


class Start:
    """The beginning of every run with one seed: ``model()`` and ``loader()`` give it again and again.

    ``who``: the public function on whose behalf errors speak.
    """

    def __init__(self, who: str, make_model: Callable[[], Layer], train: Any, batch_size: int, seed: int):
        if isinstance(make_model, Layer) or not callable(make_model):
            raise TypeError(f"{who}: make_model is {make_model!r}, expected a function that makes a model: lambda: ...")
        self.who, self.make_model, self.seed = who, make_model, seed
        self.train = train if isinstance(train, DataLoader) else DataLoader(train, batch_size, shuffle=True, seed=seed)
        if len(self.train) == 0:
            raise ValueError(f"{who}: train has no batches")
        model = self._made()
        self.weights, self.random = model.state_dict(), random_state()

    def _made(self) -> Layer:
        manual_seed(self.seed)
        model = self.make_model()
        if not isinstance(model, Layer):
            raise TypeError(f"{self.who}: make_model returned {model!r}, expected a Layer such as tn.Sequential(...)")
        if not model.parameters():
            raise ValueError(f"{self.who}: make_model returned a model without parameters: {model!r}")
        if any(p.size == 0 for p in model.parameters()):  # sizes that the first batch tells
            with evaluating(model):
                inputs, _ = next(batches(self.loader()))
                model(*inputs)
        return model

    def model(self) -> Layer:
        """A model with the weights of the start, in training mode; the random streams stand as they did then."""
        model = self._made()
        model.load_state_dict(self.weights)
        set_random_state(self.random)
        return model.train()

    def loader(self) -> DataLoader:
        """A loader before the first batch of the seed's order. A DataLoader that was given is copied, not moved."""
        loader = copy.copy(self.train)
        loader.load_state_dict({**loader.state_dict(), "seed": self.seed, "epoch": 0, "batch": 0})
        return loader


class Stepper:
    """One training step: forward, loss, backward and update; ``step(inputs, targets)`` returns the batch's loss, not read.

    An optimizer whose ``step`` takes a closure (LBFGS) is given one; the loss is that of its first evaluation.
    """

    def __init__(self, forward: Callable[..., Any], optimizer: Any, loss: Callable[..., Any]):
        self.forward, self.optimizer, self.loss = forward, optimizer, loss
        self.wants_closure = wants_closure(optimizer)

    def __call__(self, inputs: tuple, targets: Any) -> Any:
        values: list[Any] = []

        def closure() -> Any:
            self.optimizer.zero_grad()
            value = self.loss(self.forward(*inputs), targets)
            value.backward()
            values.append(value.data)
            return value

        if self.wants_closure:
            self.optimizer.step(closure)
        else:
            closure()
            self.optimizer.step()
        return values[0]


def wants_closure(optimizer: Any) -> bool:
    """Whether ``optimizer.step`` takes the function that computes the loss, to call it as often as it likes."""
    return "closure" in inspect.signature(optimizer.step).parameters


def exploded(loss: float, first: float, factor: float = EXPLODED) -> bool:
    """Whether a loss is not finite, or more than ``factor`` times the first one (or ``factor``, if that is below 1)."""
    return not math.isfinite(loss) or loss > factor * max(abs(first), 1.0)


def silent() -> Any:
    """A context in which a run may overflow without a warning: that it diverged is told in another way."""
    return np.errstate(over="ignore", invalid="ignore", divide="ignore")


def progress_bar(title: str, steps: int, progress: bool) -> Any:
    """A bar over so many training steps; where nobody watches a terminal it is drawn every two seconds only."""
    interval = 0.2 if sys.stderr.isatty() else 2.0
    from tqdm import tqdm  # not above: it would take a third of the time of importing tinynet

    return tqdm(total=steps, desc=title, unit=" steps", leave=False, disable=not progress, mininterval=interval)


# -------------------------------------------------------------------------------------------------------- arguments


def checked_factories(who: str, optimizers: Any) -> dict[str, Callable[..., Any]]:
    """The optimizers by label; ValueError for none, TypeError for what is no dict of functions."""
    expected = "expected a dict such as {'Adam': lambda params, lr: optim.Adam(params, lr=lr)}"
    if not isinstance(optimizers, dict):
        raise TypeError(f"{who}: optimizers is a {type(optimizers).__name__}, {expected}")
    if not optimizers:
        raise ValueError(f"{who}: optimizers is empty, {expected}")
    for label, factory in optimizers.items():
        if not callable(factory):
            raise TypeError(f"{who}: optimizers[{label!r}] is {factory!r}, {expected}")
    return {str(label): factory for label, factory in optimizers.items()}


def made_optimizer(who: str, label: str, factory: Callable[..., Any], *arguments: Any) -> Any:
    """What a factory returns; TypeError where that is no optimizer."""
    optimizer = factory(*arguments)
    if isinstance(optimizer, type) or not (hasattr(optimizer, "step") and hasattr(optimizer, "zero_grad")):
        raise TypeError(f"{who}: optimizers[{label!r}] returned {optimizer!r}, expected an optimizer")
    return optimizer


def wants_rate(factory: Callable[..., Any]) -> bool:
    """Whether a factory cannot be called with the parameters alone, but with a learning rate besides."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    needed = [p for p in inspect.signature(factory).parameters.values() if p.kind in kinds and p.default is p.empty]
    return len(needed) > 1


def checked_rates(who: str, labels: Iterable[str], lrs: Any) -> dict[str, tuple[float, ...]]:
    """The learning rates of each label, rising: a number or some for all, or a dict of these by label."""
    labels = list(labels)
    if not isinstance(lrs, dict):
        lrs = dict.fromkeys(labels, LRS if lrs is None else lrs)
    missing = [label for label in labels if label not in lrs]
    unknown = [label for label in lrs if label not in labels]
    if missing or unknown:
        problem = f"has no rates for {missing[0]!r}" if missing else f"has rates for {unknown[0]!r}, which is no optimizer"
        raise ValueError(f"{who}: lrs {problem}; the labels are {labels}")
    return {label: _rates(f"{who}: lrs of {label!r}", lrs[label]) for label in labels}


def _rates(what: str, given: Any) -> tuple[float, ...]:
    rates: list[Any] = [given] if given is None or isinstance(given, (int, float, np.number)) else list(given)
    for lr in rates:
        if not isinstance(lr, (int, float, np.number)) or not 0 < lr < math.inf:
            raise ValueError(f"{what} contain {lr!r}, expected positive numbers")
    if not rates or len(set(rates)) < len(rates):
        raise ValueError(f"{what} are {rates}, expected at least one, each once")
    return tuple(sorted(float(lr) for lr in rates))


def checked_seeds(who: str, seeds: Any) -> tuple[int, ...]:
    """The seeds: an integer or some, each at least 0 and once."""
    numbers = [seeds] if isinstance(seeds, (int, np.integer)) else list(seeds)
    checked = tuple(checked_int(f"{who}: seeds", seed, 0) for seed in numbers)
    if not checked or len(set(checked)) < len(checked):
        raise ValueError(f"{who}: seeds are {numbers}, expected at least one, each once")
    return checked
