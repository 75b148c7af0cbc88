"""Model: a Layer for a whole network, that can train, evaluate, predict, show and save itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import functions as F
from .backend import array_module
from .checkpoint import load, save
from .graph import plot
from .layers import Layer
from .layers import Sequential as _Sequential
from .summary import Summary, summarize
from .tensor import Tensor, as_array, make
from .training import History, Metrics, as_loader, as_metrics, evaluate, evaluating, fit


@dataclass(frozen=True)
class Objective:
    """What a model was last fitted for, which is what ``evaluate`` computes by default."""

    loss: Callable[..., Any]
    metrics: Metrics


class Model(Layer):
    """Subclass it as a Layer (``__init__``, ``forward``) and get ``fit``, ``evaluate``, ``predict``, ``save`` and the rest.

    >>> import tinynet as tn
    >>> from tinynet import layers as L
    >>> class Net(Model):
    ...     def __init__(self):
    ...         self.hidden, self.out = L.Linear(2, 16), L.Linear(16, 2)
    ...     def forward(self, x):
    ...         return self.out(self.hidden(x).relu())
    >>> x, y = np.eye(2, dtype="float32").repeat(32, axis=0), np.arange(2).repeat(32)
    >>> net = Net()
    >>> history = net.fit((x, y), optimizer=tn.optim.Adam(net, lr=0.05), epochs=5, progress=False)
    >>> net.evaluate((x, y))["accuracy"]
    1.0
    """

    _objective: Objective | None = None  # of the last fit; no Layer or dict, so that a loss with weights is no part of us

    def fit(
        self,
        train: Any,
        *,
        optimizer: Any,
        loss: Callable[..., Any] = F.cross_entropy,
        epochs: int = 1,
        batch_size: int = 64,
        validation: Any = None,
        metrics: Any = None,
        callbacks: Iterable[Any] = (),
        scheduler: Any = None,
        progress: bool = True,
        step_scheduler: str = "epoch",
        capture: bool = False,
    ) -> History:
        """Train on ``train`` for ``epochs`` passes, and return what happened in each.

        ``train`` and ``validation``: a Dataset, a DataLoader, or a pair of arrays (inputs, targets). All but a
        DataLoader are cut into batches of ``batch_size``; training data in a new random order every epoch. With more
        than two arrays all but the last are inputs of ``forward``. ``loss(outputs, targets)``: a function that returns
        one number as a Tensor. ``metrics``: a list of functions ``(outputs, targets) -> float``, or a dict of them by
        name; by default accuracy with cross-entropy, else none. ``callbacks``: functions ``(model, history)`` called
        after each epoch, or objects with any of the methods ``on_epoch_end(model, history)`` and ``on_batch_end(model,
        loss)``; one may raise ``StopTraining``. ``scheduler``: its ``step()`` is called after each epoch, or after
        each batch with ``step_scheduler="batch"`` (for OneCycleLR, for a warmup of so many steps); ReduceLROnPlateau gets
        the validation loss, or the training loss where there is no validation, or the batch's. ``progress``: a bar while
        an epoch runs, a line after it. An optimizer that evaluates the loss itself, as LBFGS, is given what it needs.
        ``capture``: on a GPU, replay the steps of whole batches as a CUDA graph; what that asks of the model ``tn.capture``
        says (it has not been tried on a GPU yet). A smaller last batch is run as it stands.

        Raises ``ValueError`` for epochs below 0, another ``step_scheduler``, data that are no batches of inputs and
        targets, an optimizer of other parameters or a scheduler of another optimizer, and by the loss; ``TypeError`` for
        what is no optimizer, loss, metric, scheduler or callback.
        """
        if not isinstance(epochs, (int, np.integer)) or epochs < 0:
            raise ValueError(f"fit: epochs is {epochs!r}, expected an integer of at least 0")
        if isinstance(optimizer, type) or not hasattr(optimizer, "step"):
            raise TypeError(f"fit: optimizer is {optimizer!r}, expected an optimizer such as optim.Adam(model)")
        if isinstance(loss, type) or not callable(loss):
            raise TypeError(f"fit: loss is {loss!r}, expected a function of (outputs, targets) such as cross_entropy")
        if scheduler is not None and (isinstance(scheduler, type) or not hasattr(scheduler, "step")):
            raise TypeError(f"fit: scheduler is {scheduler!r}, expected one such as schedulers.StepLR(optimizer, 10)")
        if capture and getattr(optimizer, "needs_closure", False):
            raise ValueError(f"fit: capture is True, expected False for {type(optimizer).__name__}, whose steps differ")
        if step_scheduler not in ("epoch", "batch"):
            raise ValueError(f"fit: step_scheduler is {step_scheduler!r}, expected 'epoch' or 'batch'")
        self._objective = Objective(loss, as_metrics(metrics, loss))
        loader = as_loader(train, batch_size, shuffle=True)
        held_out = None if validation is None else as_loader(validation, 1024, shuffle=False)
        self._check_theirs(optimizer, scheduler)
        return fit(
            self,
            loader,
            optimizer=optimizer,
            loss=loss,
            epochs=int(epochs),
            validation=held_out,
            metrics=self._objective.metrics,
            callbacks=callbacks,
            scheduler=scheduler,
            step_scheduler=step_scheduler,
            progress=progress,
            captured=capture,
            noted=self.epoch_numbers,
        )

    def _check_theirs(self, optimizer: Any, scheduler: Any) -> None:
        """ValueError for what belongs to another model or optimizer, and would train nothing."""
        own = {id(p) for p in self.parameters()}
        given = [id(p) for group in getattr(optimizer, "param_groups", []) for p in group["params"]]
        if given and own.isdisjoint(given):
            raise ValueError(
                f"fit: optimizer has none of this {type(self).__name__}'s parameters; make it from the model, as "
                "optim.Adam(model)"
            )
        if getattr(scheduler, "optimizer", optimizer) is not optimizer:
            raise ValueError("fit: scheduler is that of another optimizer; make it from the one that is given")

    def epoch_numbers(self, numbers: dict[str, float]) -> dict[str, float]:
        """An epoch's loss and metrics as ``fit`` notes them. (A training on several processes makes them their mean.)"""
        return numbers

    def evaluate(self, data: Any, *, loss: Any = None, metrics: Any = None, batch_size: int = 1024) -> dict[str, float]:
        """Mean loss and metrics over ``data`` (as in ``fit``), in evaluation mode: ``{"loss": ..., "accuracy": ...}``.

        ``loss`` and ``metrics`` are those of the last ``fit`` unless given.
        """
        last = self._objective
        loss = loss or (last.loss if last else F.cross_entropy)
        metrics = last.metrics if last and metrics is None else metrics
        return evaluate(self, as_loader(data, batch_size, shuffle=False), loss, as_metrics(metrics, loss))

    def predict(self, *inputs: Any, batch_size: int = 1024) -> Tensor:
        """The outputs for the inputs (an array for each input of ``forward``), in evaluation mode, a batch at a time.

        Nothing is recorded. ``ValueError`` for no inputs, inputs of unequal lengths, and a ``batch_size`` below 1;
        ``TypeError`` where ``forward`` returns something else than one Tensor.
        """
        arrays = [as_array(x) for x in inputs]
        lengths = {len(x) for x in arrays}
        if len(lengths) != 1:
            raise ValueError(f"predict: expected inputs of one length, got shapes {[x.shape for x in arrays]}")
        if batch_size < 1:
            raise ValueError(f"predict: batch_size is {batch_size!r}, expected at least 1")
        with evaluating(self):
            starts = range(0, max(*lengths, 1), batch_size)
            parts = [self(*(make(x[i : i + batch_size]) for x in arrays)) for i in starts]
        if not isinstance(parts[0], Tensor):
            raise TypeError(
                f"predict: forward returned a {type(parts[0]).__name__}, expected one Tensor; call the model itself"
            )
        return make(array_module(parts[0].data).concatenate([part.data for part in parts]))

    def summary(self, input_shape: Any, dtype: Any = np.float32) -> Summary:
        """A table of layers, output shapes, parameter counts and multiply-adds for one sample (no batch axis).

        ``input_shape``: of one sample, a list of shapes where ``forward`` takes several inputs; ``dtype`` (of each):
        integers for ids. Printing the result shows it; ``.rows``, ``.parameters``, ``.trainable`` and
        ``.multiply_adds`` are the numbers. Runs one sample of zeros through the model, in evaluation mode, so that
        layers without an input size get theirs. Counted are matrix products and convolutions.
        """
        return summarize(self, input_shape, dtype)

    def plot(self, path: str | os.PathLike, input_shape: Any, dtype: Any = np.float32, depth: int | None = None) -> None:
        """Draw the graph of a forward pass as an SVG file, for a browser or a book; no other program is needed.

        From the inputs at the top to the outputs: layers in labelled frames and boxes, the ops between them, and beside
        every wire the shape, in which N is the size of a batch. Layers with parameters are blue, ops rounded. Without
        ``depth`` the library's layers are one box each (those made of other layers, such as Sequential, are frames),
        and yours are frames, with the ops in them. ``depth``: how many levels of layers are drawn as frames, 0 for one
        box in all. ``input_shape`` and ``dtype`` as in ``summary``. Only what the outputs were computed from is drawn.

        Raises ``ValueError`` for a path that does not end in .svg, ``FileNotFoundError`` where there is no such folder.
        """
        plot(self, path, input_shape, dtype, depth)

    def save(self, path: str | os.PathLike) -> None:
        """Write parameters and buffers to a safetensors file, replaced in one step if it exists."""
        save(path, self.state_dict())

    def load(self, path: str | os.PathLike) -> Model:
        """Read parameters and buffers from a safetensors file (ours or PyTorch's); returns the model.

        Raises ``ValueError`` naming the file where it is damaged or does not fit, and nothing is changed then.
        """
        state = load(path)
        try:
            self.load_state_dict(state)
        except ValueError as error:
            raise ValueError(f"{os.fspath(path)!r}: {error}") from None
        return self


class Sequential(_Sequential, Model):
    """Layers one after the other, as a Model: ``layers.Sequential`` with ``fit`` and the rest. This is ``tn.Sequential``."""
