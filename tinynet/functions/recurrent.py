"""Recurrence: ``rnn``, ``lstm`` and ``gru`` over a sequence, one layer in one direction.

The one idea: each is one op over the whole sequence, for its gradients come out of one walk back through time. What does not
wait for the step before, the projection of the input and the gradients of the weights, is done for several steps in one
matrix product where the batch is small. Inside, features come first and the batch last, ``(features, steps, batch)``: a
gate is then a block of rows without gaps.

Beside each loop's step stands the same step in Tensors, as a textbook has it: with ``create_graph`` the gradient is that of
the textbook's steps, and can be differentiated any number of times.

Measured, LSTM, 28 steps of 28 features, hidden 128, batch 128, forward + backward on one thread, beside PyTorch's 19 ms:
44 ms in textbook steps, 30 ms with an op for each of their three equations, 27 ms with the projection and the gradient of
all steps as one array each (of 7 MB), 25 ms in pieces that stay in the cache; the matrix products alone 13 ms.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..autograd import grad
from ..backend import array_module
from ..op import module_of, op
from ..tensor import RECORD, Tensor, mode
from .activation import relu, sigmoid
from .elementwise import astype, tanh
from .joining import split, stack
from .shape import arraylikes, transpose


class Cell(NamedTuple):
    """One step of a recurrence. x is the step's input, projected, z the product W h (and bias): ``gates`` blocks of rows."""

    gates: int
    textbook: Callable  # (x, z, h, c) -> (h, c), in Tensors
    forward: Callable  # (x, z, h, c) -> (h, c, what the way back needs), in arrays; z is its own to write into
    backward: Callable  # (gh, gc, kept, h) -> gradients of x, z, of h past z, and of c


def _sigmoid(x):
    """x overwritten by its sigmoid, (1 + tanh(x / 2)) / 2: nothing overflows, and of NumPy's tanh and exp tanh is faster."""
    x *= 0.5
    array_module(x).tanh(x, out=x)
    x *= 0.5
    x += 0.5


# ------------------------------------------------------------------------------------------------------ plain RNN


def _rnn_cell(textbook: Callable, apply: Callable, slope: Callable) -> Cell:
    def forward(x, z, h, c):
        z += x
        apply(z)
        return z, None, z

    def backward(gh, gc, kept, h):
        dz = slope(kept)
        dz *= gh
        return dz, dz, None, None

    return Cell(1, lambda x, z, h, c: (textbook(x + z), None), forward, backward)


RNN = {
    "tanh": _rnn_cell(tanh, lambda z: array_module(z).tanh(z, out=z), lambda y: 1 - y * y),
    "relu": _rnn_cell(relu, lambda z: array_module(z).maximum(z, 0, out=z), lambda y: (y != 0).astype(y.dtype)),
}

# ----------------------------------------------------------------------------------------------------------- LSTM


def _lstm_textbook(x, z, h, c):
    i, f, g, o = split(x + z, 4)
    c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    return sigmoid(o) * tanh(c), c


def _lstm_forward(x, z, h, c):
    xp = array_module(z)
    z += x
    i, f, g, o = gates = z.reshape(4, *h.shape)
    _sigmoid(gates[:2])
    xp.tanh(g, out=g)
    _sigmoid(o)
    c1 = f * c
    c1 += i * g
    h = xp.tanh(c1)
    h *= o
    return h, c1, (z, c, c1)


def _lstm_backward(gh, gc, kept, h):
    (z, c, c1), xp = kept, array_module(gh)
    i, f, g, o = z.reshape(4, *gh.shape)
    dz = 1 - z
    dz *= z  # the slope of a sigmoid
    di, df, dg, do = dz.reshape(4, *gh.shape)
    t = xp.tanh(c1)
    do *= gh
    do *= t
    t *= t
    xp.subtract(1, t, out=t)
    t *= gh
    t *= o
    t += gc  # all of the gradient of c1, from h and from the step after
    di *= t
    di *= g
    df *= t
    df *= c
    xp.multiply(g, g, out=dg)
    xp.subtract(1, dg, out=dg)  # the slope of tanh
    dg *= t
    dg *= i
    t *= f
    return dz, dz, None, t


LSTM = Cell(4, _lstm_textbook, _lstm_forward, _lstm_backward)

# ------------------------------------------------------------------------------------------------------------ GRU


def _gru_textbook(x, z, h, c):
    (xr, xu, xn), (zr, zu, zn) = split(x, 3), split(z, 3)
    u, n = sigmoid(xu + zu), tanh(xn + sigmoid(xr + zr) * zn)
    return (1 - u) * n + u * h, None


def _gru_forward(x, z, h, c):
    xp, rows = array_module(z), 2 * len(h)
    r, u, n = z.reshape(3, *h.shape)
    zn = n.copy()
    z[:rows] += x[:rows]
    _sigmoid(z[:rows])
    n *= r
    n += x[rows:]
    xp.tanh(n, out=n)
    h = h - n
    h *= u
    h += n
    return h, None, (z, zn)


def _gru_backward(gh, gc, kept, h):
    (z, zn), xp = kept, array_module(gh)
    r, u, n = z.reshape(3, *gh.shape)
    dx = 1 - z
    dx *= z  # the slope of a sigmoid
    dr, du, dn = dx.reshape(3, *gh.shape)
    du *= gh
    du *= h - n
    past = gh * u
    xp.multiply(n, n, out=dn)
    xp.subtract(1, dn, out=dn)  # the slope of tanh
    dn *= gh - past
    dr *= dn
    dr *= zn
    dz = dx.copy()
    dz[2 * len(gh) :] *= r
    return dx, dz, past, None


GRU = Cell(3, _gru_textbook, _gru_forward, _gru_backward)

# --------------------------------------------------------------------------------------------- over the whole sequence


def _column(b):
    return b.reshape((*b.shape, 1))


def _times(w, a, b):
    """w a + b for columns a; b may be None."""
    y = w @ a
    if b is None:
        return y
    if isinstance(y, Tensor) or y.dtype != b.dtype:
        return y + _column(b)
    y += _column(b)  # y is ours
    return y


def _in_textbook_steps(cell, x, w_ih, w_hh, b_ih, b_hh, h, c):
    """What ``_recurrence`` computes, in ops of its steps."""
    hs = [h]
    for t in range(x.shape[1]):
        h, c = cell.textbook(_times(w_ih, x[:, t], b_ih), _times(w_hh, h, b_hh), h, c)
        hs.append(h)
    return stack(hs if c is None else [*hs, c], 1)


def _textbook_gradients(g, inputs, cell):
    wanted = [a for a in inputs if isinstance(a, Tensor) and a.requires_grad]
    found = iter(grad(_in_textbook_steps(cell, *inputs), wanted, g, create_graph=True))
    return tuple(next(found) if isinstance(a, Tensor) and a.requires_grad else None for a in inputs)


def _pieces(steps: int, batch: int) -> list[range]:
    """The steps in runs of so many that each makes a matrix product of about 128 columns, and stays in the cache."""
    length = max(1, 128 // max(1, batch))
    return [range(start, min(start + length, steps)) for start in range(0, steps, length)]


def _columns(a, piece: range):
    """The steps of a piece side by side: (rows, steps * batch), a view where that can be."""
    return a[:, piece.start : piece.stop].reshape((len(a), len(piece) * a.shape[2]))


def _recurrence_rule(g, y, x, w_ih, w_hh, b_ih, b_hh, h, c, *, cell, kept, needs_x):
    if isinstance(g, Tensor):
        return _textbook_gradients(g, (x, w_ih, w_hh, b_ih, b_hh, h, c), cell)
    xp, (_, steps, n) = array_module(g), x.shape
    dx = xp.empty(x.shape, g.dtype) if needs_x else None
    dw_ih, dw_hh, db_ih, db_hh = (None if a is None else xp.zeros(a.shape, g.dtype) for a in (w_ih, w_hh, b_ih, b_hh))
    gh, gc = xp.zeros(h.shape, g.dtype), None if c is None else g[:, steps + 1]
    for piece in reversed(_pieces(steps, n)):
        gates = []  # of each step, the gradients of its W_ih x and of its W_hh h
        for t in reversed(piece):
            gh += g[:, t + 1]
            *both, past, gc = cell.backward(gh, gc, kept[t], y[:, t])
            gates.append(both)
            gh = w_hh.T @ both[1]
            if past is not None:
                gh += past
        da, dz = gates[0] if len(piece) == 1 else (xp.concatenate(part, axis=1) for part in zip(*gates[::-1], strict=True))
        dw_ih += da @ _columns(x, piece).T
        dw_hh += dz @ _columns(y, piece).T
        if db_ih is not None:
            db_ih += da.sum(axis=1)
        if db_hh is not None:
            db_hh += dz.sum(axis=1)
        if dx is not None:
            dx[:, piece.start : piece.stop] = (w_ih.T @ da).reshape((len(x), len(piece), n))
    gh += g[:, 0]
    return dx, dw_ih, dw_hh, db_ih, db_hh, gh, gc


@op(_recurrence_rule, joint=True)
def _recurrence(x, w_ih, w_hh, b_ih, b_hh, h, c, *, cell, kept, needs_x):
    """The hidden states before the first step and after every one, ``(hidden, steps + 1, batch)``; of an LSTM the last cell
    state behind them.

    x is ``(features, steps, batch)``, the states h and c ``(hidden, batch)``. ``kept`` is an empty list for what the way
    back needs of every step, or None; ``needs_x`` whether x's gradient will be wanted.
    """
    steps, n = x.shape[1:]
    operands = (x, w_ih, w_hh, b_ih, b_hh, h, c)
    h = h.astype(np.result_type(*(a.dtype for a in operands if a is not None)), copy=False)
    y = array_module(x).empty((len(h), steps + (1 if c is None else 2), n), h.dtype)
    y[:, 0] = h
    for piece in _pieces(steps, n):
        projected = _times(w_ih, _columns(x, piece), b_ih).reshape((len(w_ih), len(piece), n))
        for t in piece:
            h, c, back = cell.forward(projected[:, t - piece.start], _times(w_hh, h, b_hh), h, c)
            y[:, t + 1] = h
            if kept is not None:
                kept.append(back)
    if c is not None:
        y[:, steps + 1] = c
    return y


OPERANDS = ("x", "h0", "c0", "weight_ih", "weight_hh", "bias_ih", "bias_hh")


def _checked(name: str, cell: Cell, operands: tuple) -> list:
    """The operands as Tensors, of shapes that fit, floats among them, with zeros for h0 (and an LSTM's c0) of None."""
    places = [i for i, a in enumerate(operands) if a is not None]
    given = dict(zip((OPERANDS[i] for i in places), arraylikes(operands[i] for i in places), strict=True))
    x, size = given["x"], given["weight_hh"].shape[-1]
    if x.ndim != 3 or x.shape[1] < 1:
        raise ValueError(f"{name}: x of shape {x.shape} should be (batch, steps, features), of at least one step")
    state, rows = (x.shape[0], size), cell.gates * size
    expected: dict[str, tuple] = {"h0": state, "c0": state, "weight_ih": (rows, x.shape[2]), "weight_hh": (rows, size)}
    expected |= {"bias_ih": (rows,), "bias_hh": (rows,)}
    for argument, shape in expected.items():
        if argument in given and given[argument].shape != shape:
            raise ValueError(f"{name}: {argument} has shape {given[argument].shape}, expected {shape} for x of {x.shape}")
    if all(a.dtype.kind != "f" for a in given.values()):
        given["x"] = astype(x, np.float32)
    for argument in ("h0", "c0") if cell is LSTM else ("h0",):
        if argument not in given:
            given[argument] = module_of(x).zeros(state, given["weight_hh"].dtype)
    return [given.get(argument) for argument in OPERANDS]


def _run(name: str, cell: Cell, reverse: bool, *operands: Any) -> tuple:
    """y and the last of each state, for the function ``name`` of OPERANDS."""
    x, h0, c0, weight_ih, weight_hh, bias_ih, bias_hh = _checked(name, cell, operands)
    if cell is not GRU and bias_hh is not None:
        bias_ih, bias_hh = bias_hh if bias_ih is None else bias_ih + bias_hh, None  # one sum for all steps
    steps = x.shape[1]
    x = transpose(x, (2, 1, 0))[:, :: -1 if reverse else 1]
    h0, c0 = transpose(h0), None if c0 is None else transpose(c0)
    kept: list | None = [] if mode.now is RECORD else None
    operands = (x, weight_ih, weight_hh, bias_ih, bias_hh, h0, c0)
    y = _recurrence(*operands, cell=cell, kept=kept, needs_x=getattr(x, "requires_grad", False))
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
    if nonlinearity not in RNN:
        raise ValueError(f"rnn: nonlinearity is {nonlinearity!r}, expected 'tanh' or 'relu'")
    return _run("rnn", RNN[nonlinearity], reverse, x, h0, None, weight_ih, weight_hh, bias_ih, bias_hh)


def lstm(x, h0, c0, weight_ih, weight_hh, bias_ih=None, bias_hh=None, reverse=False) -> tuple[Tensor, Tensor, Tensor]:
    """The long short-term memory over a sequence: every h_t, the last h and the last c.

    With a = W_ih x_t + b_ih + W_hh h_(t-1) + b_hh, whose rows are the gates i, f, g, o in this order:
    c_t = sigmoid(f) c_(t-1) + sigmoid(i) tanh(g), h_t = sigmoid(o) tanh(c_t).
    Hochreiter, Schmidhuber 1997; with forget gates, Gers, Schmidhuber, Cummins 2000.

    Shapes as in ``rnn``, the weights and biases of 4 * hidden rows; c0 as h0.
    """
    return _run("lstm", LSTM, reverse, x, h0, c0, weight_ih, weight_hh, bias_ih, bias_hh)


def gru(x, h0, weight_ih, weight_hh, bias_ih=None, bias_hh=None, reverse=False) -> tuple[Tensor, Tensor]:
    """The gated recurrent unit over a sequence: every h_t, and the last.

    With a = W_ih x_t + b_ih and b = W_hh h_(t-1) + b_hh, whose rows are r, z, n in this order: r = sigmoid(a_r + b_r),
    z = sigmoid(a_z + b_z), n = tanh(a_n + r b_n), h_t = (1 - z) n + z h_(t-1). Cho et al. 2014, arXiv:1406.1078, whose r
    stands inside the product, W (r h); here as in PyTorch and cuDNN outside, r (W h + b).

    Shapes as in ``rnn``, the weights and biases of 3 * hidden rows.
    """
    return _run("gru", GRU, reverse, x, h0, None, weight_ih, weight_hh, bias_ih, bias_hh)
