"""PyTorch's counterpart of every layer: a pair of layers of the same arguments, and the shapes of their inputs.

``pair(name, ours, theirs, *inputs)`` enters one. A family of layers may keep its pairs in a file of its own,
``parity_layers_<family>.py``, imported at the end of this one. Layers that PyTorch does not have, or has with another
meaning, stand in ELSEWHERE with the reason.
"""

from collections.abc import Callable
from typing import NamedTuple

from sampling import positive, whole, x
from torch import nn

from tinynet import layers as L


class Pair(NamedTuple):
    name: str
    ours: Callable  # makes the layer
    theirs: Callable
    inputs: tuple  # float64 arrays (which get gradients) and others
    training: bool

    def __str__(self):
        shapes = ",".join(str(list(a.shape)) for a in self.inputs).replace(" ", "")
        return f"{self.ours()!r}{shapes}{'' if self.training else '-eval'}".replace("\n", "")


PAIRS: list[Pair] = []


def pair(name, ours, theirs, *inputs, training=True):
    """Enter a pair: both are compared on ``inputs``; ``theirs`` may return a tuple, whose tensors are compared in order."""
    PAIRS.append(Pair(name, ours, theirs, inputs, training))


for shape in [(5, 3), (3,), (2, 4, 3), (0, 3)]:
    pair("Linear", lambda: L.Linear(3, 2), lambda: nn.Linear(3, 2), x(*shape))
pair("Linear", lambda: L.Linear(3, 2, bias=False), lambda: nn.Linear(3, 2, bias=False), x(4, 3))
pair(
    "Sequential",
    lambda: L.Sequential(L.Linear(3, 4), L.Tanh(), L.Sequential(L.Linear(4, 2))),
    lambda: nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Sequential(nn.Linear(4, 2))),
    x(5, 3),
)
pair("Flatten", L.Flatten, nn.Flatten, x(2, 3, 4))
pair("Unflatten", lambda: L.Unflatten(1, (2, 3)), lambda: nn.Unflatten(1, (2, 3)), x(4, 6))
pair("Identity", L.Identity, nn.Identity, x(2, 3))
pair("Dropout", L.Dropout, nn.Dropout, x(2, 3), training=False)
for name in [
    "ReLU",
    "LeakyReLU",
    "ELU",
    "SELU",
    "GELU",
    "SiLU",
    "Sigmoid",
    "Tanh",
    "Softplus",
    "Softsign",
    "Hardtanh",
    "Hardswish",
    "Mish",
    "LogSigmoid",
]:
    pair(name, getattr(L, name), getattr(nn, name), 3 * x(4, 3))
pair("GELU", lambda: L.GELU("tanh"), lambda: nn.GELU("tanh"), x(4, 3))
pair("LeakyReLU", lambda: L.LeakyReLU(0.3), lambda: nn.LeakyReLU(0.3), x(4, 3))
pair("GLU", L.GLU, nn.GLU, x(3, 4))
pair("Softmax", lambda: L.Softmax(1), lambda: nn.Softmax(1), x(3, 4))
pair("LogSoftmax", lambda: L.LogSoftmax(1), lambda: nn.LogSoftmax(1), x(3, 4))
pair("CrossEntropyLoss", L.CrossEntropyLoss, nn.CrossEntropyLoss, x(4, 3), whole(4))
pair("NLLLoss", L.NLLLoss, nn.NLLLoss, x(4, 3), whole(4))
pair("MSELoss", lambda: L.MSELoss("sum"), lambda: nn.MSELoss(reduction="sum"), x(4, 3), x(4, 3, seed=1))
for name in ["L1Loss", "SmoothL1Loss", "HuberLoss", "BCEWithLogitsLoss"]:
    pair(name, getattr(L, name), getattr(nn, name), x(4, 3), x(4, 3, seed=1))
pair("BCELoss", L.BCELoss, nn.BCELoss, positive(4, 3) / 2, positive(4, 3, seed=1) / 2)
pair("KLDivLoss", lambda: L.KLDivLoss(False, "sum"), lambda: nn.KLDivLoss(reduction="sum"), x(4, 3), positive(4, 3))
signs = 2 * whole(4, high=2) - 1
pair("HingeEmbeddingLoss", L.HingeEmbeddingLoss, nn.HingeEmbeddingLoss, x(4), signs)
pair("MarginRankingLoss", L.MarginRankingLoss, nn.MarginRankingLoss, x(4), x(4, seed=1), signs)
pair("CosineEmbeddingLoss", L.CosineEmbeddingLoss, nn.CosineEmbeddingLoss, x(4, 3), x(4, 3, seed=1), signs)
pair("TripletMarginLoss", L.TripletMarginLoss, nn.TripletMarginLoss, x(4, 3), x(4, 3, seed=1), x(4, 3, seed=2))
pair("Embedding", lambda: L.Embedding(5, 3), lambda: nn.Embedding(5, 3), whole(2, 4, high=5))
pair("Embedding", lambda: L.Embedding(5, 3, -2), lambda: nn.Embedding(5, 3, -2), whole(7, high=5))

ELSEWHERE = {
    "Layer": "the base of all",
    "PositionalEncoding": "PyTorch has none",
    "LayerList": "a container for a forward of one's own",
    "LayerDict": "a container for a forward of one's own",
    "Lambda": "a function as a layer",
    "Hardsigmoid": "torch's slope is 1/6 in float32; functions.hardsigmoid is compared with relu6(x + 3) / 6",
}

import parity_layers_attention  # noqa: E402, F401  # it needs pair
import parity_layers_conv  # noqa: E402, F401  # they need pair
import parity_layers_norm  # noqa: E402, F401  # it needs pair
import parity_layers_recurrent  # noqa: E402, F401
