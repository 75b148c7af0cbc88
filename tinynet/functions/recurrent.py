"""Recurrence: ``rnn``, ``lstm`` and ``gru`` over a sequence, one layer in one direction.

The one idea: each is one op over the whole sequence, for its gradients come out of one walk back through time. The loop over
the steps stands in kernels/recurrent.py, in array code; here stands the step as a textbook has it, in ops: with
``create_graph`` the gradient is that of the textbook's steps, and can be differentiated any number of times.

Measured, LSTM, 28 steps of 28 features, hidden 128, batch 128, forward and backward on one thread: 44 ms in textbook steps,
30 ms with an op for each of their three equations, 25 ms in this way; PyTorch 19 ms.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..autograd import grad
from ..kernels import recurrent as kernels
from ..op import module_of, op
from ..tensor import RECORD, Tensor, mode
from .activation import relu, sigmoid
from .elementwise import astype, tanh
from .joining import split, stack
from .shape import arraylikes, transpose

# ------------------------------------------------------------------------------------------ the textbook's steps

# (x, z, h, c) -> (h, c): x is the step's input, projected, z the product W h (and bias), c the cell state, of an LSTM alone.


def _lstm(x, z, h, c):
    i, f, g, o = split(x + z, 4)
    c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    return sigmoid(o) * tanh(c), c


def _gru(x, z, h, c):
    (xr, xu, xn), (zr, zu, zn) = split(x, 3), split(z, 3)
    u, n = sigmoid(xu + zu), tanh(xn + sigmoid(xr + zr) * zn)
    return (1 - u) * n + u * h, None


STEPS: dict[str, Callable] = {
    "tanh": lambda x, z, h, c: (tanh(x + z), None),
    "relu": lambda x, z, h, c: (relu(x + z), None),
    "lstm": _lstm,
    "gru": _gru,
}


def _times(w, a, b):
    return w @ a if b is None else w @ a + b.reshape((*b.shape, 1))


def _in_steps(cell, x, w_ih, w_hh, b_ih, b_hh, h, c):
    """What ``_recurrence`` computes, in ops of its steps."""
    hs = [h]
    for t in range(x.shape[1]):
        h, c = STEPS[cell](_times(w_ih, x[:, t], b_ih), _times(w_hh, h, b_hh), h, c)
        hs.append(h)
    return stack(hs if c is None else [*hs, c], 1)


# --------------------------------------------------------------------------------------------- over the whole sequence


def _recurrence_rule(g, y, x, w_ih, w_hh, b_ih, b_hh, h, c, *, wanted, cell, kept):
    if not isinstance(g, Tensor):
        return kernels.run_back(cell, g, y, x, (w_ih, w_hh, b_ih, b_hh), c, kept, wanted[0])
    inputs = (x, w_ih, w_hh, b_ih, b_hh, h, c)
    asked = [a for a, yes in zip(inputs, wanted, strict=True) if yes]
    found = iter(grad(_in_steps(cell, *inputs), asked, g, create_graph=True))
    return tuple(next(found) if yes else None for yes in wanted)


@op(_recurrence_rule, joint=True)
def _recurrence(x, w_ih, w_hh, b_ih, b_hh, h, c, *, cell, kept):
    """``kernels.run``."""
    return kernels.run(cell, x, w_ih, w_hh, b_ih, b_hh, h, c, kept)


OPERANDS = ("x", "h0", "c0", "weight_ih", "weight_hh", "bias_ih", "bias_hh")


def _checked(name: str, cell: str, operands: tuple) -> list:
    """The operands as Tensors, of shapes that fit, floats among them, with zeros for h0 (and an LSTM's c0) of None."""
    places = [i for i, a in enumerate(operands) if a is not None]
    given = dict(zip((OPERANDS[i] for i in places), arraylikes(operands[i] for i in places), strict=True))
    x, size = given["x"], given["weight_hh"].shape[-1]
    if x.ndim != 3 or x.shape[1] < 1:
        raise ValueError(f"{name}: x of shape {x.shape} should be (batch, steps, features), of at least one step")
    state, rows = (x.shape[0], size), kernels.CELLS[cell].gates * size
    expected: dict[str, tuple] = {"h0": state, "c0": state, "weight_ih": (rows, x.shape[2]), "weight_hh": (rows, size)}
    expected |= {"bias_ih": (rows,), "bias_hh": (rows,)}
    for argument, shape in expected.items():
        if argument in given and given[argument].shape != shape:
            raise ValueError(f"{name}: {argument} has shape {given[argument].shape}, expected {shape} for x of {x.shape}")
    if all(a.dtype.kind != "f" for a in given.values()):
        given["x"] = astype(x, np.float32)
    for argument in ("h0", "c0") if cell == "lstm" else ("h0",):
        if argument not in given:
            given[argument] = module_of(x).zeros(state, given["weight_hh"].dtype)
    return [given.get(argument) for argument in OPERANDS]


def _run(name: str, cell: str, reverse: bool, *operands: Any) -> tuple:
    """y and the last of each state, for the function ``name`` of OPERANDS."""
    x, h0, c0, weight_ih, weight_hh, bias_ih, bias_hh = _checked(name, cell, operands)
    if cell != "gru" and bias_hh is not None:
        bias_ih, bias_hh = bias_hh if bias_ih is None else bias_ih + bias_hh, None  # one sum for all steps
    steps = x.shape[1]
    x = transpose(x[:, ::-1] if reverse else x, (2, 1, 0))
    h0, c0 = transpose(h0), None if c0 is None else transpose(c0)
    kept: dict | None = {} if mode.now is RECORD else None
    operands = (x, weight_ih, weight_hh, bias_ih, bias_hh, h0, c0)
    y = _recurrence(*operands, cell=cell, kept=kept)
    hs = transpose(y[:, steps:0:-1] if reverse else y[:, 1 : steps + 1], (2, 1, 0))
    return (hs, transpose(y[:, steps])) if c0 is None else (hs, transpose(y[:, steps]), transpose(y[:, steps + 1]))


def rnn(
    x, h0, weight_ih, weight_hh, bias_ih=None, bias_hh=None, nonlinearity="tanh", reverse=False
) -> tuple[Tensor, Tensor]:
    """h_t = tanh(W_ih x_t + b_ih + W_hh h_(t-1) + b_hh) over a sequence: every h_t, and the last. Elman 1990.

    x ``(batch, steps, features)``, h0 ``(batch, hidden)``, weight_ih ``(hidden, features)``, weight_hh ``(hidden, hidden)``,
    biases ``(hidden,)``: results ``(batch, steps, hidden)`` and ``(batch, hidden)``. ``nonlinearity``: "tanh" or "relu".
    h0 of None is zeros. With ``reverse`` from the last step to the first. ValueError for shapes that do not fit, and for
    no step at all.
    """
    if nonlinearity not in ("tanh", "relu"):
        raise ValueError(f"rnn: nonlinearity is {nonlinearity!r}, expected 'tanh' or 'relu'")
    return _run("rnn", nonlinearity, reverse, x, h0, None, weight_ih, weight_hh, bias_ih, bias_hh)


def lstm(x, h0, c0, weight_ih, weight_hh, bias_ih=None, bias_hh=None, reverse=False) -> tuple[Tensor, Tensor, Tensor]:
    """The long short-term memory over a sequence: every h_t, the last h and the last c.

    With a = W_ih x_t + b_ih + W_hh h_(t-1) + b_hh, whose rows are the gates i, f, g, o in this order:
    c_t = sigmoid(f) c_(t-1) + sigmoid(i) tanh(g), h_t = sigmoid(o) tanh(c_t).
    Hochreiter, Schmidhuber 1997; with forget gates, Gers, Schmidhuber, Cummins 2000.

    Shapes as in ``rnn``, the weights and biases of 4 * hidden rows; c0 as h0.
    """
    return _run("lstm", "lstm", reverse, x, h0, c0, weight_ih, weight_hh, bias_ih, bias_hh)


def gru(x, h0, weight_ih, weight_hh, bias_ih=None, bias_hh=None, reverse=False) -> tuple[Tensor, Tensor]:
    """The gated recurrent unit over a sequence: every h_t, and the last.

    With a = W_ih x_t + b_ih and b = W_hh h_(t-1) + b_hh, whose rows are r, z, n in this order: r = sigmoid(a_r + b_r),
    z = sigmoid(a_z + b_z), n = tanh(a_n + r b_n), h_t = (1 - z) n + z h_(t-1). Cho et al. 2014, arXiv:1406.1078, whose r
    stands inside the product, W (r h); here as in PyTorch and cuDNN outside, r (W h + b).

    Shapes as in ``rnn``, the weights and biases of 3 * hidden rows.
    """
    return _run("gru", "gru", reverse, x, h0, None, weight_ih, weight_hh, bias_ih, bias_hh)
