"""PyTorch's recurrences, which are layers of several at once, called as one layer in one direction."""

import torch


def one_layer(function):
    def call(x, states, *weights, reverse=False):
        if len(weights) > 2:  # PyTorch takes both biases or none
            zeros = torch.zeros(len(weights[0]), dtype=x.dtype)
            weights = [zeros if w is None else w for w in (*weights, None)[:4]]
        x = torch.flip(x, (1,)) if reverse else x
        states = [s[None] for s in states]
        states = states if len(states) > 1 else states[0]
        y, *ends = function(x, states, weights, len(weights) > 2, 1, 0.0, True, False, True)
        return [torch.flip(y, (1,)) if reverse else y, *(s[0] for s in ends)]

    return call


def rnn(x, h0, *weights, nonlinearity="tanh", **keywords):
    function = torch._VF.rnn_tanh if nonlinearity == "tanh" else torch._VF.rnn_relu
    return one_layer(function)(x, [h0], *weights, **keywords)


TORCH = {
    "rnn": rnn,
    "lstm": lambda x, h0, c0, *weights, **keywords: one_layer(torch._VF.lstm)(x, [h0, c0], *weights, **keywords),
    "gru": lambda x, h0, *weights, **keywords: one_layer(torch._VF.gru)(x, [h0], *weights, **keywords),
}
