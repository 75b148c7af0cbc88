"""Recurrent layers: RNN, LSTM and GRU over whole sequences, and their cells over one step.

The one idea: a layer is a stack of ``functions.rnn``, ``lstm`` or ``gru``, one call for each layer and direction; all the
rest is names and shapes. They are PyTorch's, but for ``batch_first``, which is the default here.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from ..functions import concatenate, dropout, gru, lstm, rnn, stack
from ..functions.shape import arraylike, expand_dims, squeeze, swapaxes
from ..tensor import Parameter, Tensor
from . import init
from .layer import Layer

FUNCTIONS: dict[int, Callable[..., Any]] = {1: rnn, 3: gru, 4: lstm}  # by the number of gates


class _Recurrent(Layer):
    """What the layers and the cells share: sizes, and weights that start evenly in +-1 / sqrt(hidden_size)."""

    gates = 1  # blocks of rows in a weight
    states = 1  # 2 for an LSTM: h and c
    nonlinearity = "tanh"  # of an RNN

    def _start(self, input_size: int, hidden_size: int, bias: bool) -> None:
        for name, size in (("input_size", input_size), ("hidden_size", hidden_size)):
            if not isinstance(size, (int, np.integer)) or size < 1:
                raise ValueError(f"{type(self).__name__}: {name} is {size!r}, expected an integer of at least 1")
        self.input_size, self.hidden_size, self.bias = int(input_size), int(hidden_size), bias

    def _check(self, nonlinearity: str) -> str:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"{type(self).__name__}: nonlinearity is {nonlinearity!r}, expected 'tanh' or 'relu'")
        return nonlinearity

    def _add_weights(self, width: int, suffix: str) -> None:
        rows, bound = self.gates * self.hidden_size, 1 / math.sqrt(self.hidden_size)
        shapes: dict[str, tuple] = {"weight_ih": (rows, width), "weight_hh": (rows, self.hidden_size)}
        if self.bias:
            shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
        for name, shape in shapes.items():
            weight = Parameter(np.zeros(shape, np.float32))
            setattr(self, name + suffix, init.uniform(weight, -bound, bound))

    def _run(self, x: Tensor, states: list, suffix: str, reverse: bool = False) -> tuple:
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")[: 4 if self.bias else 2]
        weights = [getattr(self, name + suffix) for name in names]
        keywords = {"nonlinearity": self.nonlinearity} if self.gates == 1 else {}
        return FUNCTIONS[self.gates](x, *states, *weights, reverse=reverse, **keywords)

    def _states(self, given: Any, shape: tuple[int, ...]) -> list:
        """The states that were given, each checked; Nones where none were."""
        if given is None:
            return [None] * self.states
        if self.states == 2 and (not isinstance(given, (tuple, list)) or len(given) != 2):
            raise ValueError(f"{self!r}: expected the states as a pair (h0, c0), got {type(given).__name__}")
        states = [arraylike(state) for state in (given if self.states == 2 else [given])]
        for name, state in zip(("h0", "c0"), states, strict=False):
            if state.shape != shape:
                raise ValueError(f"{self!r}: {name} has shape {state.shape}, expected {shape} for this input")
        return states

    def describe(self) -> str:
        words = [f"{self.input_size}, {self.hidden_size}"]
        plain: dict[str, Any] = {"num_layers": 1, "bias": True, "batch_first": True, "dropout": 0.0, "bidirectional": False}
        plain |= {"nonlinearity": "tanh"}
        words += [f"{name}={getattr(self, name)!r}" for name, v in plain.items() if getattr(self, name, v) != v]
        return ", ".join(words)


class _Stack(_Recurrent):
    """Layers on top of one another, each in one direction or both, over whole sequences."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = True,
        dropout: float = 0.0,
        bidirectional: bool = False,
    ):
        self._start(input_size, hidden_size, bias)
        name = type(self).__name__
        if not isinstance(num_layers, (int, np.integer)) or num_layers < 1:
            raise ValueError(f"{name}: num_layers is {num_layers!r}, expected an integer of at least 1")
        if not 0 <= dropout <= 1:
            raise ValueError(f"{name}: dropout is {dropout!r}, expected a probability between 0 and 1")
        if dropout and num_layers == 1:
            warnings.warn(f"{name}: dropout={dropout} acts between layers, and num_layers is 1: nothing drops", stacklevel=2)
        self.num_layers, self.batch_first = int(num_layers), batch_first
        self.dropout, self.bidirectional = dropout, bidirectional
        for layer in range(num_layers):
            for suffix in self._suffixes(layer):
                self._add_weights(hidden_size * self._directions if layer else input_size, suffix)

    @property
    def _directions(self) -> int:
        return 2 if self.bidirectional else 1

    def _suffixes(self, layer: int) -> tuple[str, ...]:
        return (f"_l{layer}", f"_l{layer}_reverse")[: self._directions]

    def forward(self, x: Any, h0: Any = None) -> tuple[Tensor, Any]:
        x = arraylike(x)
        if x.ndim not in (2, 3) or x.shape[-1] != self.input_size:
            order = "batch, steps" if self.batch_first else "steps, batch"
            raise ValueError(
                f"{self!r}: the input has shape {x.shape}, expected ({order}, {self.input_size}), "
                f"or (steps, {self.input_size}) without a batch axis"
            )
        batch, time = (0, 1) if self.batch_first else (1, 0)
        if x.shape[time if x.ndim == 3 else 0] == 0:
            raise ValueError(f"{self!r}: the input of shape {x.shape} has no step, expected at least one")
        count = self.num_layers * self._directions
        plain = x.ndim == 2  # without a batch axis
        states = self._states(h0, (count, self.hidden_size) if plain else (count, x.shape[batch], self.hidden_size))
        if plain:
            x, states = expand_dims(x, batch), [s if s is None else expand_dims(s, 1) for s in states]
        y, ends = self._through(x if self.batch_first else swapaxes(x, 0, 1), states)
        y = y if self.batch_first else swapaxes(y, 0, 1)
        if plain:
            y, ends = squeeze(y, batch), [squeeze(end, 1) for end in ends]
        return y, tuple(ends) if self.states == 2 else ends[0]

    def _through(self, x: Tensor, states: list) -> tuple[Tensor, list]:
        """The output of the last layer, batch first, and the last of each state, of all layers and directions."""
        ends: list[list] = []
        for layer in range(self.num_layers):
            if layer:
                x = dropout(x, self.dropout, self.training)
            outputs = []
            for reverse, suffix in enumerate(self._suffixes(layer)):
                before = [None if s is None else s[len(ends)] for s in states]
                y, *end = self._run(x, before, suffix, bool(reverse))
                outputs.append(y)
                ends.append(end)
            x = concatenate(outputs, -1) if self.bidirectional else y
        return x, [stack(parts) for parts in zip(*ends, strict=True)]


class RNN(_Stack):
    """A plain recurrent network, ``functions.rnn``: h_t = tanh(W_ih x_t + b_ih + W_hh h_(t-1) + b_hh); or with relu.

    ``y, h = layer(x, h0=None)`` for x ``(batch, steps, input_size)``: **batch first by default, unlike PyTorch**; with
    ``batch_first=False`` ``(steps, batch, input_size)``. y ``(batch, steps, hidden_size)`` holds the last layer's h of every
    step, h ``(num_layers, batch, hidden_size)`` the last step's of every layer (batch_first or not, as in PyTorch), and h0
    is like h, zeros without it. Without a batch axis x is ``(steps, input_size)``, y and h likewise.

    ``bidirectional``: each layer runs in both directions; y is twice as wide, and h holds two for each layer.
    ``dropout``: the probability with which, in training, elements between one layer and the next are zeroed.
    The parameters ``weight_ih_l0``, ``weight_hh_l0``, ``bias_ih_l0``, ``bias_hh_l0`` (``..._l1``, ``..._reverse``) have
    PyTorch's shapes and start evenly in +-1 / sqrt(hidden_size).

    Raises ``ValueError`` for an input or state of another shape and for no step; warns of dropout with one layer.

    >>> y, h = RNN(3, 5, num_layers=2)(np.zeros((4, 7, 3), "float32"))
    >>> y.shape, h.shape
    ((4, 7, 5), (2, 4, 5))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = True,
        dropout: float = 0.0,
        bidirectional: bool = False,
    ):
        self.nonlinearity = self._check(nonlinearity)
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional)


class LSTM(_Stack):
    """The long short-term memory, ``functions.lstm``; arguments, shapes and errors as in ``RNN``: batch first by default.

    ``y, (h, c) = layer(x, h0=None)``: the state, also the one to start from, is a pair. Weights and biases have 4 *
    hidden_size rows, of the gates i, f, g, o in this order.

    >>> y, (h, c) = LSTM(3, 5, bidirectional=True)(np.zeros((4, 7, 3), "float32"))
    >>> y.shape, h.shape, c.shape
    ((4, 7, 10), (2, 4, 5), (2, 4, 5))
    """

    gates, states = 4, 2


class GRU(_Stack):
    """The gated recurrent unit, ``functions.gru``; arguments, shapes and errors as in ``RNN``: batch first by default.

    ``y, h = layer(x, h0=None)``. Weights and biases have 3 * hidden_size rows, of r, z, n in this order; r multiplies
    W_hn h + b_hn with its bias, as in PyTorch.

    >>> y, h = GRU(3, 5)(np.zeros((7, 3), "float32"))
    >>> y.shape, h.shape
    ((7, 5), (1, 5))
    """

    gates = 3


# ---------------------------------------------------------------------------------------------------------- cells


class _Cell(_Recurrent):
    """One step of one layer, for loops of one's own."""

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True):
        self._start(input_size, hidden_size, bias)
        self._add_weights(input_size, "")

    def forward(self, x: Any, h0: Any = None) -> Any:
        x = arraylike(x)
        if x.ndim not in (1, 2) or x.shape[-1] != self.input_size:
            expected = f"(batch, {self.input_size}) or ({self.input_size},)"
            raise ValueError(f"{self!r}: the input has shape {x.shape}, expected {expected}")
        states = self._states(h0, (*x.shape[:-1], self.hidden_size))
        if x.ndim == 1:
            x, states = expand_dims(x, 0), [s if s is None else expand_dims(s, 0) for s in states]
            ends = [squeeze(end, 0) for end in self._run(expand_dims(x, 1), states, "")[1:]]
        else:
            ends = list(self._run(expand_dims(x, 1), states, "")[1:])
        return tuple(ends) if self.states == 2 else ends[0]


class RNNCell(_Cell):
    """One step of an ``RNN``: ``h = cell(x, h0=None)`` for x ``(batch, input_size)``, h0 and h ``(batch, hidden_size)``.

    Without a batch axis as well. Parameters ``weight_ih``, ``weight_hh``, ``bias_ih``, ``bias_hh``.

    >>> RNNCell(3, 5)(np.zeros((4, 3), "float32")).shape
    (4, 5)
    """

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "tanh"):
        self.nonlinearity = self._check(nonlinearity)
        super().__init__(input_size, hidden_size, bias)


class LSTMCell(_Cell):
    """One step of an ``LSTM``: ``h, c = cell(x, h0=None)``, h0 a pair (h, c); shapes and parameters as in ``RNNCell``."""

    gates, states = 4, 2


class GRUCell(_Cell):
    """One step of a ``GRU``: ``h = cell(x, h0=None)``; shapes and parameters as in ``RNNCell``."""

    gates = 3
