"""Recurrences over arrays: the loop over time, forward and back, and what one step of each cell does in it.

The one idea: features come first and the batch last, ``(features, steps, batch)``, so that a gate is a block of rows without
gaps; a step is then W h and a few passes over arrays that stay in the cache. What does not wait for the step before, the
projection of the input and the gradients of the weights, is done for several steps in one product where the batch is small.

Measured, LSTM, 28 steps of 28 features, hidden 128, batch 128, forward and backward on one thread: 27 ms with the projection
and the gradient of all steps as one array each (of 7 MB), 25 ms in pieces; the matrix products alone 13 ms, PyTorch 19 ms.
Loops of Numba in place of the passes would save 2 ms: only the forward's tanh is much of them, and NumPy's is faster.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..backend import array_module
from .products import matmul
from .threads import one_blas_thread, parallel

PART = 128  # sequences; halves of 64 on two threads take 24 ms instead of 28, but 31 on one


class Cell(NamedTuple):
    """One step. x is the step's input, projected, z the product W h (and bias): ``gates`` blocks of rows like those of h."""

    gates: int
    forward: Callable  # (x, z, h, c) -> h, c and what the way back needs; z is its own to write into
    backward: Callable  # (gh, gc, kept, h) -> the gradients of x, of z, of h past z (or None), and of c


def _sigmoid(x: Any) -> None:
    """x overwritten by its sigmoid, (1 + tanh(x / 2)) / 2: nothing overflows, and of NumPy's tanh and exp tanh is faster."""
    x *= 0.5
    array_module(x).tanh(x, out=x)
    x *= 0.5
    x += 0.5


def _plain(apply: Callable, slope: Callable) -> Cell:
    def forward(x: Any, z: Any, h: Any, c: Any) -> tuple:
        z += x
        apply(z)
        return z, None, z

    def backward(gh: Any, gc: Any, kept: Any, h: Any) -> tuple:
        dz = slope(kept)
        dz *= gh
        return dz, dz, None, None

    return Cell(1, forward, backward)


def _lstm_forward(x: Any, z: Any, h: Any, c: Any) -> tuple:
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


def _lstm_backward(gh: Any, gc: Any, kept: tuple, h: Any) -> tuple:
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


def _gru_forward(x: Any, z: Any, h: Any, c: Any) -> tuple:
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


def _gru_backward(gh: Any, gc: Any, kept: tuple, h: Any) -> tuple:
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


CELLS = {
    "tanh": _plain(lambda z: array_module(z).tanh(z, out=z), lambda y: 1 - y * y),
    "relu": _plain(lambda z: array_module(z).maximum(z, 0, out=z), lambda y: (y != 0).astype(y.dtype)),
    "lstm": Cell(4, _lstm_forward, _lstm_backward),
    "gru": Cell(3, _gru_forward, _gru_backward),
}

# --------------------------------------------------------------------------------------------- over the whole sequence


def run(cell: str, x: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any, h: Any, c: Any, kept: dict | None) -> Any:
    """The hidden states before the first step and after every one, ``(hidden, steps + 1, batch)``; of an LSTM the last cell
    state behind them.

    x is ``(features, steps, batch)``, the states h and c are ``(hidden, batch)``, c None but for an LSTM. What the way back
    needs goes into ``kept``, an empty dict or None.
    """
    operands = (x, w_ih, w_hh, b_ih, b_hh, h, c)
    h = h.astype(np.result_type(*(a.dtype for a in operands if a is not None)), copy=False)
    xp = array_module(x)
    y = xp.empty((len(h), x.shape[1] + (1 if c is None else 2), x.shape[2]), h.dtype)

    def work(start: int, stop: int) -> None:
        part = [None if a is None else a[..., start:stop] for a in (x, h, c, y)]
        back = None if kept is None else kept.setdefault(start, [])
        _forward(CELLS[cell], (w_ih, w_hh, b_ih, b_hh), back, *part)

    _share(work, x.shape[2], xp)
    return y


def run_back(cell: str, g: Any, y: Any, x: Any, weights: tuple, c: Any, kept: dict, needs_x: bool) -> tuple:
    """The gradients of x (None where it is not needed), of the two weights and two biases, of h and of c."""
    xp = array_module(g)
    dx = xp.empty(x.shape, g.dtype) if needs_x else None
    gh = xp.empty((len(y), y.shape[2]), g.dtype)
    gc = None if c is None else xp.empty_like(gh)
    sums = {}  # the gradients of weights and biases, of each part

    def work(start: int, stop: int) -> None:
        sums[start] = [None if a is None else xp.zeros(a.shape, g.dtype) for a in weights]
        part = [None if a is None else a[..., start:stop] for a in (g, y, x, dx, gh, gc)]
        _backward(CELLS[cell], weights, sums[start], kept[start], *part)

    _share(work, x.shape[2], xp)
    first, *others = (sums[start] for start in sorted(sums))
    for other in others:
        for total, a in zip(first, other, strict=True):
            if total is not None:
                total += a
    return dx, *first, gh, gc


def _share(work: Callable[[int, int], None], batch: int, xp: Any) -> None:
    """``work(start, stop)`` for each part of the batch, on several threads where there are several parts.

    A step's products are too small for two BLAS threads: beside another busy program, the 28 ms became 900.
    """
    if xp is not np or batch == 0:
        work(0, batch)
        return
    with one_blas_thread():
        parallel(work, batch, PART)


def _pieces(steps: int, batch: int) -> list[range]:
    """The steps in runs of so many that each makes a matrix product of about PART columns, and stays in the cache."""
    length = max(1, PART // max(1, batch))
    return [range(start, min(start + length, steps)) for start in range(0, steps, length)]


def _columns(a: Any, piece: range) -> Any:
    """The steps of a piece side by side: (rows, steps * batch), a view where that can be."""
    return a[:, piece.start : piece.stop].reshape((len(a), len(piece) * a.shape[2]))


def _product(a: Any, b: Any) -> Any:
    return a @ b if isinstance(a, np.ndarray) else matmul(a, b)  # which knows about steps that are captured


def _times(w: Any, a: Any, b: Any) -> Any:
    """w a + b for columns a; b may be None."""
    y = _product(w, a)
    if b is None:
        return y
    if y.dtype != b.dtype:
        return y + b[:, None]
    y += b[:, None]  # y is ours
    return y


def _forward(cell: Cell, weights: tuple, kept: list | None, x: Any, h: Any, c: Any, y: Any) -> None:
    w_ih, w_hh, b_ih, b_hh = weights
    steps, n = x.shape[1:]
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


def _backward(cell: Cell, weights: tuple, sums: list, kept: list, g: Any, y: Any, x: Any, dx: Any, gh: Any, gc: Any) -> None:
    """Add into ``sums``; write into dx, where it is wanted, gh and gc."""
    (w_ih, w_hh, *_), (dw_ih, dw_hh, db_ih, db_hh) = weights, sums
    steps, n = x.shape[1:]
    dh, dc = g[:, steps], None if gc is None else g[:, steps + 1]
    for piece in reversed(_pieces(steps, n)):
        gates = []  # of each step, the gradients of its W_ih x and of its W_hh h
        for t in reversed(piece):
            *both, past, dc = cell.backward(dh, dc, kept[t], y[:, t])
            gates.append(both)
            dh = _product(w_hh.T, both[1])
            dh += g[:, t]
            if past is not None:
                dh += past
        da, dz = gates[0] if len(piece) == 1 else (_side_by_side(part) for part in zip(*gates[::-1], strict=True))
        dw_ih += _product(da, _columns(x, piece).T)
        dw_hh += _product(dz, _columns(y, piece).T)
        if db_ih is not None:
            db_ih += da.sum(axis=1)
        if db_hh is not None:
            db_hh += dz.sum(axis=1)
        if dx is not None:
            dx[:, piece.start : piece.stop] = _product(w_ih.T, da).reshape((len(x), len(piece), n))
    gh[...] = dh
    if gc is not None:
        gc[...] = dc


def _side_by_side(arrays: tuple) -> Any:
    return array_module(arrays[0]).concatenate(arrays, axis=1)
