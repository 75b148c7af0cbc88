"""PyTorch's recurrent layers beside ours, batch first, with a state to start from and without."""

import itertools

from parity_layers import pair
from sampling import x
from torch import nn

from tinynet import layers as L


class LSTMOfThree(L.LSTM):
    """The pair of states as two arguments, which are arrays then like all others."""

    def forward(self, x, h, c):
        return super().forward(x, (h, c))


class TorchLSTMOfThree(nn.LSTM):
    def forward(self, x, h, c):
        return super().forward(x, (h, c))


class LSTMCellOfThree(L.LSTMCell):
    def forward(self, x, h, c):
        return super().forward(x, (h, c))


class TorchLSTMCellOfThree(nn.LSTMCell):
    def forward(self, x, h, c):
        return super().forward(x, (h, c))


def enter(name, *inputs, training=True, ours=None, theirs=None, sizes=(3, 2), **keywords):
    first = {} if name.endswith("Cell") else {"batch_first": keywords.pop("batch_first", True)}
    pair(
        name,
        lambda: (ours or getattr(L, name))(*sizes, **keywords, **first),
        lambda: (theirs or getattr(nn, name))(*sizes, **keywords, **first),
        *inputs,
        training=training,
    )


for name in ("RNN", "LSTM", "GRU"):
    for layers, both, bias in itertools.product((1, 2), (False, True), (False, True)):
        enter(name, x(2, 4, 3), num_layers=layers, bidirectional=both, bias=bias)
    enter(name, x(4, 2, 3), num_layers=2, batch_first=False)
    enter(name, x(4, 3), num_layers=2, bidirectional=True)  # no batch axis
    enter(name, x(1, 1, 3))
    enter(name, x(0, 2, 3), bidirectional=True)
    enter(name, x(2, 3, 3), num_layers=2, dropout=0.5, training=False)
for name in ("RNN", "GRU"):
    enter(name, x(2, 3, 3), x(4, 2, 2), num_layers=2, bidirectional=True)
    enter(name, x(3, 2, 3), x(1, 2, 2), batch_first=False)
    enter(name, x(3, 3), x(1, 2))
threes = {"ours": LSTMOfThree, "theirs": TorchLSTMOfThree}
enter("LSTM", x(2, 3, 3), x(4, 2, 2), x(4, 2, 2, seed=1), num_layers=2, bidirectional=True, **threes)
enter("LSTM", x(3, 2, 3), x(1, 2, 2), x(1, 2, 2, seed=1), batch_first=False, **threes)
enter("LSTM", x(3, 3), x(1, 2), x(1, 2, seed=1), **threes)
enter("RNN", x(2, 4, 3), num_layers=2, nonlinearity="relu")

for name in ("RNNCell", "LSTMCell", "GRUCell"):
    enter(name, x(4, 3))
    enter(name, x(4, 3), bias=False)
    enter(name, x(3))
    enter(name, x(0, 3))
for name in ("RNNCell", "GRUCell"):
    enter(name, x(4, 3), x(4, 2))
    enter(name, x(3), x(2))
threes = {"ours": LSTMCellOfThree, "theirs": TorchLSTMCellOfThree}
enter("LSTMCell", x(4, 3), x(4, 2), x(4, 2, seed=1), **threes)
enter("LSTMCell", x(3), x(2), x(2, seed=1), **threes)
enter("RNNCell", x(4, 3), nonlinearity="relu")
