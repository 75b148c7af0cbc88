"""The training loop behind ``Model.fit``, its progress bar and its History."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

from . import functions as F
from .autograd import no_grad
from .data import DataLoader
from .layers import Layer
from .layers.layer import inner_layers
from .metrics import accuracy

Metrics = dict[str, Callable[[Any, Any], float]]


class StopTraining(Exception):
    """Raise it in a callback to end ``fit`` after this epoch; the History so far is returned."""


class History(dict):
    """What happened in each epoch: plain lists of numbers, as ``history["loss"]`` or ``history.loss``.

    Keys: ``loss`` and each metric (means over the epoch's batches, while the weights were changing), ``val_loss`` and each
    ``val_`` metric where there is validation data, ``lr``, and ``seconds`` of training, validation apart.
    """

    def __getattr__(self, name: str) -> list[float]:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"History has no {name!r}; there are {', '.join(self) or 'no entries yet'}") from None

    def add(self, **numbers: float) -> None:
        """Append one number to each list."""
        for name, number in numbers.items():
            self.setdefault(name, []).append(number)


def as_loader(data: Any, batch_size: int, shuffle: bool) -> Any:
    """A DataLoader as it is; a Dataset or a tuple of arrays in a new one."""
    return data if isinstance(data, DataLoader) else DataLoader(data, batch_size=batch_size, shuffle=shuffle)


def as_metrics(metrics: Any, loss: Callable) -> Metrics:
    """Metrics by name. None: accuracy where the loss is the cross-entropy, none elsewhere."""
    if metrics is None:
        metrics = [accuracy] if loss is F.cross_entropy else []
    if isinstance(metrics, dict):
        return metrics
    return {getattr(m, "__name__", type(m).__name__): m for m in metrics}


@contextmanager
def evaluating(model: Layer) -> Iterator[None]:
    """Evaluation mode without recording; afterwards every layer is in the mode it was in."""
    modes = [(layer, layer.training) for layer in inner_layers(model)]
    model.eval()
    try:
        with no_grad():
            yield
    finally:
        for layer, mode in modes:
            layer.training = mode


class Running:
    """Sample-weighted means of the loss and metrics over the batches of an epoch."""

    def __init__(self, metrics: Metrics):
        self.metrics = metrics
        self.samples = 0
        self.totals: list[Any] = [0.0] * (1 + len(metrics))

    def add(self, loss: Any, outputs: Any, targets: Any) -> None:
        n = len(targets)
        self.samples += n
        # The loss is added up where it lives: on a GPU nothing waits for it until somebody reads it.
        self.totals[0] = self.totals[0] + loss.data * n
        for i, metric in enumerate(self.metrics.values(), 1):
            self.totals[i] += metric(outputs, targets) * n

    def means(self, prefix: str = "") -> dict[str, float]:
        names = [f"{prefix}{name}" for name in ("loss", *self.metrics)]
        n = self.samples or float("nan")
        return {name: float(total) / n for name, total in zip(names, self.totals, strict=True)}


def evaluate(model: Layer, loader: Iterable, loss: Callable, metrics: Metrics, prefix: str = "") -> dict[str, float]:
    """Mean loss and metrics over a loader, in evaluation mode."""
    running = Running(metrics)
    with evaluating(model):
        for *inputs, targets in loader:
            outputs = model(*inputs)
            running.add(loss(outputs, targets), outputs, targets)
    return running.means(prefix)


def shown(numbers: dict[str, float]) -> str:
    """Numbers for a person: ``loss 0.2453  accuracy 0.9312``."""
    return "  ".join(f"{name} {value:.4f}" for name, value in numbers.items())


class Bar:
    """A progress bar over one epoch that looks at the clock at every batch and at the numbers five times a second."""

    interval = 0.2  # seconds

    def __init__(self, title: str, samples: int, progress: bool):
        self.title, self.progress, self.pending, self.drawn = title, progress, 0, time.perf_counter()
        self.bar = tqdm(total=samples, desc=title, unit=" samples", unit_scale=True, leave=False, disable=not progress)

    def advance(self, n: int, running: Running) -> None:
        self.pending += n
        now = time.perf_counter()
        if self.progress and now - self.drawn > self.interval:
            self.bar.set_postfix_str(shown(running.means()), refresh=False)
            self.bar.update(self.pending)
            self.pending, self.drawn = 0, now

    def close(self, numbers: dict[str, float], samples: int, seconds: float) -> None:
        self.bar.close()
        if self.progress:
            tqdm.write(f"{self.title}  {shown(numbers)}  {seconds:.1f} s  {samples / max(seconds, 1e-9):,.0f} samples/s")


def train_epoch(model: Layer, loader: Any, optimizer: Any, loss: Callable, running: Running, after: Callable) -> None:
    """Forward, loss, backward and step for every batch; ``after(n, batch loss)`` after each."""
    model.train()
    for *inputs, targets in loader:
        outputs = model(*inputs)
        value = loss(outputs, targets)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        running.add(value, outputs, targets)
        after(len(targets), value)


def _call(callbacks: Iterable[Any], event: str, *arguments: Any) -> None:
    """Tell callbacks: a plain function hears of each epoch's end, an object of every event that it has a method for."""
    for callback in callbacks:
        method = getattr(callback, event, None)
        if method is not None:
            method(*arguments)
        elif event == "on_epoch_end" and callable(callback) and not inspect.isclass(callback):
            callback(*arguments)


def fit(
    model: Layer,
    loader: Any,
    *,
    optimizer: Any,
    loss: Callable,
    epochs: int,
    validation: Any,
    metrics: Metrics,
    callbacks: Iterable[Any],
    scheduler: Any,
    progress: bool,
) -> History:
    """Train for ``epochs`` passes over ``loader``; ``Model.fit`` describes the arguments."""
    history = History()
    width = len(str(epochs))
    for epoch in range(1, epochs + 1):
        running = Running(metrics)
        bar = Bar(f"epoch {epoch:{width}}/{epochs}", min(len(loader.dataset), len(loader) * loader.batch_size), progress)

        def after(n: int, value: Any, bar: Bar = bar, running: Running = running) -> None:
            bar.advance(n, running)
            _call(callbacks, "on_batch_end", model, value)

        start, lr = time.perf_counter(), optimizer.lr
        try:
            train_epoch(model, loader, optimizer, loss, running, after)
            numbers = running.means()
            seconds = time.perf_counter() - start
            if validation is not None:
                numbers |= evaluate(model, validation, loss, metrics, "val_")
        except BaseException:
            bar.bar.close()
            raise
        bar.close(numbers, running.samples, seconds)
        history.add(**numbers, lr=lr, seconds=seconds)
        if scheduler is not None:
            scheduler.step()
        try:
            _call(callbacks, "on_epoch_end", model, history)
        except StopTraining:
            break
    return history
