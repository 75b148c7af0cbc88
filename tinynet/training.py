"""The training loop behind ``Model.fit``, its progress bar and its History."""

from __future__ import annotations

import inspect
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from . import functions as F
from .autograd import no_grad
from .capture import capture
from .data import DataLoader
from .kernels.compiled import compiling
from .layers import Layer
from .layers.layer import inner_layers
from .metrics import accuracy
from .op import data_of
from .tensor import read

Metrics = dict[str, Callable[[Any, Any], float]]
EVENTS = ("on_batch_end", "on_epoch_end")


class StopTraining(Exception):
    """Raise it in a callback to end ``fit``: after this epoch, which ends at once where it is raised after a batch.

    The other callbacks hear of the event all the same, and the History so far is returned.
    """


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
    if isinstance(data, DataLoader):
        return data
    # A fixed seed where nothing is drawn: evaluating must not move the stream that the next training shuffles with.
    return DataLoader(data, batch_size=batch_size, shuffle=shuffle, seed=None if shuffle else 0)


def batches(loader: Iterable) -> Iterator[tuple[tuple, Any]]:
    """(inputs, targets) of each batch; the last array is the targets."""
    for batch in loader:
        if len(batch) < 2:
            raise ValueError(f"data: expected batches of inputs and targets, got {len(batch)} array")
        yield batch[:-1], batch[-1]


def as_metrics(metrics: Any, loss: Callable) -> Metrics:
    """Metrics by name. None: accuracy where the loss is the cross-entropy, none elsewhere."""
    if metrics is None:
        metrics = [accuracy] if loss is F.cross_entropy else []
    several = isinstance(metrics, Iterable) and not isinstance(metrics, str)
    metrics = metrics if isinstance(metrics, dict) or not several else list(metrics)
    if not several or not all(map(callable, metrics.values() if isinstance(metrics, dict) else metrics)):
        raise TypeError(f"metrics: expected functions of (outputs, targets), in a list or a dict by name, got {metrics!r}")
    if not isinstance(metrics, dict):
        named = [(getattr(m, "__name__", type(m).__name__), m) for m in metrics]
        metrics = dict(named)
        if len(metrics) < len(named):
            raise ValueError(f"metrics: two of one name among {[name for name, _ in named]}; pass a dict of names")
    reserved = metrics.keys() & {"loss", "lr", "seconds", "val_loss", *(f"val_{name}" for name in metrics)}
    if reserved:
        raise ValueError(f"metrics: {min(reserved)!r} is the name of another entry of the History")
    return metrics


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
        # Loss and accuracy are added up where they live: on a GPU nothing waits for them until somebody reads them.
        self.totals[0] = self.totals[0] + loss.data.astype("float64") * n
        with no_grad():  # a metric may be written with Tensors
            for i, metric in enumerate(self.metrics.values(), 1):
                unread = getattr(metric, "unread", None)
                value = float(metric(outputs, targets)) if unread is None else data_of(unread(outputs, targets))
                self.totals[i] = self.totals[i] + value * n

    def means(self, prefix: str = "") -> dict[str, float]:
        names = [f"{prefix}{name}" for name in ("loss", *self.metrics)]
        n = self.samples or float("nan")
        return {name: read(total) / n for name, total in zip(names, self.totals, strict=True)}


def evaluate(model: Layer, loader: Iterable, loss: Callable, metrics: Metrics, prefix: str = "") -> dict[str, float]:
    """Mean loss and metrics over a loader, in evaluation mode."""
    running = Running(metrics)
    with evaluating(model):
        for inputs, targets in batches(loader):
            outputs = model(*inputs)
            running.add(loss(outputs, targets), outputs, targets)
    return running.means(prefix)


def shown(numbers: dict[str, float]) -> str:
    """Numbers for a person: ``loss 0.2453  accuracy 0.9312``."""
    return "  ".join(f"{name} {value:.4f}" for name, value in numbers.items())


class Bar:
    """A progress bar over one epoch that looks at the clock at every batch and at the numbers five times a second.

    Every two seconds where nobody watches a terminal: a log keeps every drawing of the bar, and a notebook has to send it.
    """

    def __init__(self, title: str, samples: int, progress: bool):
        self.title, self.progress, self.pending, self.drawn = title, progress, 0, time.perf_counter()
        self.interval = 0.2 if sys.stderr.isatty() else 2.0
        from tqdm import tqdm  # not above: it would take a third of the time of importing tinynet

        self.bar = tqdm(total=samples, desc=title, unit=" samples", unit_scale=True, leave=False, disable=not progress)
        self.waits = False

    def compiling(self) -> None:
        """Say why nothing moves: loops are being compiled, which the first training on a machine waits for."""
        if self.progress and not self.waits:
            self.waits = True
            self.bar.set_description(f"{self.title}, compiling loops, once")

    def advance(self, n: int, running: Running) -> None:
        self.pending += n
        now = time.perf_counter()
        if self.progress and now - self.drawn > self.interval:
            if self.waits:
                self.waits = False
                self.bar.set_description(self.title, refresh=False)
            self.bar.set_postfix_str(shown(running.means()), refresh=False)
            self.bar.update(self.pending)
            self.pending, self.drawn = 0, now

    def close(self, numbers: dict[str, float], samples: int, seconds: float) -> None:
        self.bar.close()
        if self.progress:
            self.bar.write(f"{self.title}  {shown(numbers)}  {seconds:.1f} s  {samples / max(seconds, 1e-9):,.0f} samples/s")


def stepper(model: Layer, optimizer: Any, loss: Callable, captured: bool) -> Callable:
    """``step(inputs, targets)``: forward to optimizer step; returns outputs and loss. ``captured``: see ``capture``."""
    if getattr(optimizer, "needs_closure", False):
        return lambda inputs, targets: _minimize(model, inputs, targets, optimizer, loss)

    def plain(*batch: Any) -> tuple[Any, Any]:
        found = _gradients(model, batch[:-1], batch[-1], optimizer, loss)
        optimizer.step()
        return found

    if not captured:
        return lambda inputs, targets: plain(*inputs, targets)
    replayed = capture(plain)
    shapes: list[tuple[int, ...]] = []

    def step(inputs: tuple, targets: Any) -> tuple[Any, Any]:
        batch = (*inputs, targets)
        shapes[:] = shapes or [x.shape for x in batch]  # the first batch's: a smaller last one is run as it stands
        return (replayed if [x.shape for x in batch] == shapes else plain)(*batch)

    return step


def train_epoch(model: Layer, loader: Any, step: Callable, running: Running, after: Callable) -> bool:
    """A step for every batch, until ``after(n, batch loss)`` returns True; whether it did."""
    model.train()
    for inputs, targets in batches(loader):
        outputs, value = step(inputs, targets)
        running.add(value, outputs, targets)
        if after(len(targets), value):
            return True
    return False


def _gradients(model: Layer, inputs: tuple, targets: Any, optimizer: Any, loss: Callable) -> tuple[Any, Any]:
    outputs = model(*inputs)
    value = loss(outputs, targets)
    optimizer.zero_grad()
    value.backward()
    return outputs, value


def _minimize(model: Layer, inputs: tuple, targets: Any, optimizer: Any, loss: Callable) -> tuple[Any, Any]:
    """One step of an optimizer that evaluates a batch several times (LBFGS); outputs and loss of the first time."""
    first: list[tuple[Any, Any]] = []

    def closure() -> Any:
        found = _gradients(model, inputs, targets, optimizer, loss)
        if not first:
            first.append(found)
        return found[1]

    optimizer.step(closure)
    return first[0]


def _call(callbacks: Iterable[Any], event: str, *arguments: Any) -> bool:
    """Tell callbacks: a plain function hears of each epoch's end, an object of every event that it has a method for.

    True where one of them asks to stop.
    """
    stop = False
    for callback in callbacks:
        listener = getattr(callback, event, callback if event == "on_epoch_end" and callable(callback) else None)
        try:
            if listener is not None:
                listener(*arguments)
        except StopTraining:
            stop = True
    return stop


def _move(scheduler: Any, metric: Any) -> None:
    """A scheduler's step, where there is one; with the metric where it asks for one."""
    if scheduler is not None:
        scheduler.step(*([metric] if getattr(scheduler, "needs_metric", False) else []))


def _checked(callbacks: Iterable[Any]) -> tuple[Any, ...]:
    if not isinstance(callbacks, Iterable):
        raise TypeError(f"callbacks: expected a list of them, got {callbacks!r}")
    callbacks = tuple(callbacks)
    for callback in callbacks:
        if inspect.isclass(callback) or not (callable(callback) or any(hasattr(callback, e) for e in EVENTS)):
            raise TypeError(f"callbacks: {callback!r} is no function and no object with {' or '.join(EVENTS)}")
    return callbacks


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
    step_scheduler: str,
    progress: bool,
    captured: bool = False,
    noted: Callable[[dict[str, float]], dict[str, float]] = dict,
) -> History:
    """Train for ``epochs`` passes over ``loader``; ``Model.fit`` describes the arguments. ``noted``: what becomes of an
    epoch's numbers before anybody sees them."""
    callbacks = _checked(callbacks)
    each_batch, each_epoch = (scheduler if step_scheduler == each else None for each in ("batch", "epoch"))
    history, step = History(), stepper(model, optimizer, loss, captured)
    width = len(str(epochs))
    for epoch in range(1, epochs + 1):
        running = Running(metrics)
        bar = Bar(f"epoch {epoch:{width}}/{epochs}", min(loader.samples, len(loader) * loader.batch_size), progress)

        def after(n: int, value: Any, bar: Bar = bar, running: Running = running) -> bool:
            bar.advance(n, running)
            _move(each_batch, value)
            return _call(callbacks, "on_batch_end", model, value)

        start, lr = time.perf_counter(), optimizer.lr
        try:
            with compiling(bar.compiling):
                stop = train_epoch(model, loader, step, running, after)
            numbers = running.means()
            seconds = time.perf_counter() - start
            if validation is not None:
                numbers |= evaluate(model, validation, loss, metrics, "val_")
            numbers = noted(numbers)
        except BaseException:
            bar.bar.close()
            raise
        bar.close(numbers, running.samples, seconds)
        history.add(**numbers, lr=lr, seconds=seconds)
        _move(each_epoch, numbers.get("val_loss", numbers["loss"]))
        if _call(callbacks, "on_epoch_end", model, history) or stop:
            break
    return history
