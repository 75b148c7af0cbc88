"""Model: a Layer for a whole network, that can train, evaluate, predict, show and save itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from . import functions as F
from .backend import array_module
from .checkpoint import load, save
from .layers import Layer
from .layers import Sequential as _Sequential
from .summary import Summary, summarize
from .tensor import Tensor, as_array
from .training import History, as_loader, as_metrics, evaluate, evaluating, fit


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

    loss: Callable[..., Any] = staticmethod(F.cross_entropy)  # those of the last fit: what evaluate computes by default
    metrics: Any = None

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
    ) -> History:
        """Train on ``train`` for ``epochs`` passes, and return what happened in each.

        ``train`` and ``validation``: a Dataset, a DataLoader, or a pair of arrays (inputs, targets). All but a
        DataLoader are cut into batches of ``batch_size``; training data in a new random order every epoch. With more
        than two arrays all but the last are inputs of ``forward``. ``loss(outputs, targets)``: a function that returns
        one number as a Tensor. ``metrics``: a list of functions ``(outputs, targets) -> float``, or a dict of them by
        name; by default accuracy with cross-entropy, else none. ``callbacks``: functions ``(model, history)`` called
        after each epoch, or objects with any of the methods ``on_epoch_end(model, history)`` and ``on_batch_end(model,
        loss)``; one may raise ``StopTraining``. ``scheduler``: its ``step()`` is called after each epoch. ``progress``:
        a bar while an epoch runs, a line after it.

        Raises ``ValueError`` for epochs below 0, data that are no batches of inputs and targets, and by the loss.
        """
        if not isinstance(epochs, (int, np.integer)) or epochs < 0:
            raise ValueError(f"fit: epochs is {epochs!r}, expected an integer of at least 0")
        chosen = as_metrics(metrics, loss)
        loader = as_loader(train, batch_size, shuffle=True)
        held_out = None if validation is None else as_loader(validation, 1024, shuffle=False)
        history = fit(
            self,
            loader,
            optimizer=optimizer,
            loss=loss,
            epochs=int(epochs),
            validation=held_out,
            metrics=chosen,
            callbacks=tuple(callbacks),
            scheduler=scheduler,
            progress=progress,
        )
        vars(self).update(loss=loss, metrics=chosen)
        return history

    def evaluate(self, data: Any, *, loss: Any = None, metrics: Any = None, batch_size: int = 1024) -> dict[str, float]:
        """Mean loss and metrics over ``data`` (as in ``fit``), in evaluation mode: ``{"loss": ..., "accuracy": ...}``.

        ``loss`` and ``metrics`` are those of the last ``fit`` unless given.
        """
        loss = loss or self.loss
        chosen = self.metrics if metrics is None and self.metrics is not None else as_metrics(metrics, loss)
        return evaluate(self, as_loader(data, batch_size, shuffle=False), loss, chosen)

    def predict(self, x: Any, batch_size: int = 1024) -> Tensor:
        """The outputs for the inputs ``x`` (one array), in evaluation mode, a batch at a time; nothing is recorded."""
        x = as_array(x)
        with evaluating(self):
            parts = [self(Tensor(x[i : i + batch_size])) for i in range(0, max(len(x), 1), batch_size)]
        arrays = [part.data for part in parts]
        return Tensor(array_module(arrays[0]).concatenate(arrays))

    def summary(self, input_shape: Any, dtype: Any = np.float32) -> Summary:
        """A table of layers, output shapes and parameter counts for one sample of ``input_shape`` (no batch axis).

        Printing the result shows it; ``.rows``, ``.parameters`` and ``.trainable`` are the numbers. Runs one
        sample of zeros through the model, so that layers without an input size get theirs.
        """
        return summarize(self, (input_shape,) if isinstance(input_shape, int) else tuple(input_shape), dtype)

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
