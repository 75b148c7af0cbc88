"""Four networks that read a handwritten digit: pixel by pixel, as a picture, row after row, or as a set of patches.

Each is made by a function of this file; ``NETWORKS`` says how each is trained by ``train_mnist.py``.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import tinynet as tn
from tinynet import layers as L


def mlp(hidden=(256, 128)) -> tn.Sequential:
    """Fully connected layers with ReLU between them: 784 pixels, the hidden widths, 10 digits."""
    layers = [L.Flatten()]
    for inputs, outputs in pairwise([28 * 28, *hidden, 10]):
        layers += [L.Linear(inputs, outputs), L.ReLU()]
    return tn.Sequential(*layers[:-1])  # no ReLU after the last


def cnn() -> tn.Sequential:
    """Two convolutions, each followed by a pooling that halves the picture, then two fully connected layers."""
    return tn.Sequential(
        L.Conv2d(1, 16, 3, padding=1), L.ReLU(), L.MaxPool2d(2),
        L.Conv2d(16, 32, 3, padding=1), L.ReLU(), L.MaxPool2d(2),
        L.Flatten(), L.Dropout(0.3), L.Linear(32 * 7 * 7, 128), L.ReLU(), L.Linear(128, 10),
    )  # fmt: skip


class RowReader(tn.Model):
    """An LSTM that reads the 28 rows of a digit from the top; what it remembers after the last one is classified."""

    def __init__(self, hidden: int = 128):
        self.lstm = L.LSTM(28, hidden)
        self.head = L.Linear(hidden, 10)

    def forward(self, x):
        _, (h, _) = self.lstm(x.reshape(-1, 28, 28))  # h: the last step's output, for each layer
        return self.head(h[-1])


class PatchReader(tn.Model):
    """A transformer over the 16 patches of 7 x 7 pixels (as Dosovitskiy et al. 2021, arXiv:2010.11929, in small).

    Each patch becomes a vector, to which its place is added; two encoder layers let every patch look at all others; the mean
    over the patches is classified.
    """

    def __init__(self, width: int = 64, heads: int = 4, depth: int = 2):
        self.patch = L.Linear(7 * 7, width)
        self.place = L.PositionalEncoding(width, max_len=16)
        self.encoder = [
            L.TransformerEncoderLayer(width, heads, 2 * width, dropout=0.0, norm_first=True) for _ in range(depth)
        ]
        self.norm = L.LayerNorm(width)
        self.head = L.Linear(width, 10)

    def forward(self, x):
        patches = x.reshape(-1, 4, 7, 4, 7).transpose(0, 1, 3, 2, 4).reshape(-1, 16, 49)
        x = self.place(self.patch(patches))
        for layer in self.encoder:
            x = layer(x)
        return self.head(self.norm(x).mean(axis=1))


class Network(NamedTuple):
    """How a network is made, and with what it reaches its goal: the share of the test images that it reads right."""

    make: Callable[..., tn.Model]
    epochs: int
    goal: float


NETWORKS = {
    "mlp": Network(mlp, epochs=8, goal=0.98),
    "cnn": Network(cnn, epochs=5, goal=0.99),
    "lstm": Network(RowReader, epochs=5, goal=0.98),
    "transformer": Network(PatchReader, epochs=8, goal=0.97),
}
