"""The recurrences by definition: one sequence at a time, one step at a time."""

import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def run(step, x, states, weights, reverse):
    """Every h, and the states after the last step, of ``step(x, states, W_ih, W_hh, b_ih, b_hh) -> states``."""
    w_ih, w_hh, b_ih, b_hh = (*weights, None, None)[:4]
    b_ih, b_hh = (np.zeros(len(w_ih)) if b is None else b for b in (b_ih, b_hh))
    y = np.zeros((*x.shape[:2], w_hh.shape[1]))
    ends = [np.zeros_like(s) for s in states]
    for i, sequence in enumerate(x):
        now = [s[i] for s in states]
        for t in reversed(range(len(sequence))) if reverse else range(len(sequence)):
            now = step(sequence[t], now, w_ih, w_hh, b_ih, b_hh)
            y[i, t] = now[0]
        for end, s in zip(ends, now, strict=True):
            end[i] = s
    return (y, *ends)


def rnn(x, h0, *weights, nonlinearity="tanh", reverse=False):
    def step(x, states, w_ih, w_hh, b_ih, b_hh):
        a = w_ih @ x + b_ih + w_hh @ states[0] + b_hh
        return [np.tanh(a) if nonlinearity == "tanh" else np.maximum(a, 0)]

    return run(step, x, [h0], weights, reverse)


def lstm(x, h0, c0, *weights, reverse=False):
    def step(x, states, w_ih, w_hh, b_ih, b_hh):
        h, c = states
        i, f, g, o = np.split(w_ih @ x + b_ih + w_hh @ h + b_hh, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        return [sigmoid(o) * np.tanh(c), c]

    return run(step, x, [h0, c0], weights, reverse)


def gru(x, h0, *weights, reverse=False):
    def step(x, states, w_ih, w_hh, b_ih, b_hh):
        (h,) = states
        (a_r, a_z, a_n), (b_r, b_z, b_n) = np.split(w_ih @ x + b_ih, 3), np.split(w_hh @ h + b_hh, 3)
        r, z = sigmoid(a_r + b_r), sigmoid(a_z + b_z)
        return [(1 - z) * np.tanh(a_n + r * b_n) + z * h]

    return run(step, x, [h0], weights, reverse)


DEFINITIONS = {"gru": gru, "lstm": lstm, "rnn": rnn}
