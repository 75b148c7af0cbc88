"""The six training steps that tinynet is measured by, written once and built by every library that is installed.

The one idea: a network is a list of layers in the names that tinynet and PyTorch share, ``("Linear", 784, 32)``; the same
list builds both. A builder returns ``step(x, y)``, one training step, and batches in turn, in the library's own
arrays. Builders for libraries of other habits stand in others.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle, pairwise
from typing import Any

IMAGES = 8  # batches of images in turn, so that no input lies in the nearest cache from the step before
LABELS = 32  # and of labels
# So small that every step is like the first hundred of a training. Later on, units that no input reaches any more leave
# Adam with denormal numbers in its buffers, with which a processor calculates many times as slowly: on MNIST, within two
# epochs of 784-256-128-10, tinynet's step of Adam grew from 0.2 to 1.5 ms, and PyTorch's fused one from 0.6 to 2.6 ms.
LR = 1e-6


def mlp(*widths: int) -> tuple[tuple, ...]:
    """Linear layers of these widths, with a ReLU between them."""
    return tuple(layer for i, o in pairwise(widths) for layer in (("Linear", i, o), ("ReLU",)))[:-1]


LENET = (
    *(("Conv2d", 1, 6, 5, 1, 2), ("ReLU",), ("MaxPool2d", 2), ("Conv2d", 6, 16, 5), ("ReLU",), ("MaxPool2d", 2)),
    *(("Flatten",), *mlp(400, 120, 84, 10)),
)
CNN = (
    *(("Conv2d", 1, 32, 3), ("ReLU",), ("Conv2d", 32, 64, 3), ("ReLU",), ("MaxPool2d", 2)),
    *(("Flatten",), *mlp(9216, 128, 10)),
)


@dataclass(frozen=True)
class Network:
    layers: tuple[tuple, ...]
    batch: int
    optimizer: str = "Adam"
    lr: float = LR

    @property
    def convolves(self) -> bool:
        return self.layers[0][0] == "Conv2d"

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one input."""
        return (1, 28, 28) if self.convolves else (self.layers[0][1],)


NETWORKS = {
    "784-32-10, 32": Network(mlp(784, 32, 10), 32),
    "784-256-128-10, 64": Network(mlp(784, 256, 128, 10), 64),
    "784-256-128-10, 128, SGD": Network(mlp(784, 256, 128, 10), 128, "SGD"),
    "784-1000-1000-10, 128": Network(mlp(784, 1000, 1000, 10), 128),
    "LeNet-5, 64": Network(LENET, 64),
    "conv 32, conv 64, 64": Network(CNN, 64),
}


def data(network: Network) -> tuple[list[Any], list[Any]]:
    """Batches of float32 images and int64 labels, the same numbers for every library."""
    import numpy as np

    rng = np.random.default_rng(0)
    shape = network.batch, *network.shape
    images = min(IMAGES, max(2, 4096 // network.batch))
    return [rng.random(shape, "float32") for _ in range(images)], [*rng.integers(0, 10, (LABELS, network.batch))]


def in_turn(images: list[Any], labels: list[Any]) -> Iterator[tuple[Any, Any]]:
    """Batches for ever."""
    return zip(cycle(images), cycle(labels), strict=False)


Built = tuple[Callable[[Any, Any], Any], Iterator[tuple[Any, Any]]]


def stacked(module: Any, container: Any, network: Network) -> Any:
    """The network of the layers that a module has under these names."""
    return container(*(getattr(module, name)(*sizes) for name, *sizes in network.layers))


def training_step(model: Callable, cross_entropy: Callable, optimizer: Any) -> Callable[[Any, Any], Any]:
    """One step as both libraries' users write it."""

    def step(x, y):
        loss = cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step


def tinynets(network: Network) -> Built:
    import tinynet as tn

    model = stacked(tn.layers, tn.Sequential, network)
    optimizer = getattr(tn.optim, network.optimizer)(model, lr=network.lr)
    step = training_step(model, tn.functions.cross_entropy, optimizer)
    images, labels = data(network)
    return step, in_turn([tn.tensor(x) for x in images], [tn.tensor(y) for y in labels])


def torchs(network: Network, channels_last: bool = False, compiled: bool = False) -> Built:
    """PyTorch with its fused optimizer, which is its fastest; ``compiled``: the model and its loss in one graph."""
    import torch

    memory = {"memory_format": torch.channels_last} if channels_last else {}
    model = stacked(torch.nn, torch.nn.Sequential, network).to(**memory)
    optimizer = getattr(torch.optim, network.optimizer)(model.parameters(), lr=network.lr, fused=True)
    images, labels = data(network)
    batches = in_turn([torch.tensor(x).contiguous(**memory) for x in images], [torch.tensor(y) for y in labels])
    cross_entropy = torch.nn.functional.cross_entropy
    if not compiled:
        return training_step(model, cross_entropy, optimizer), batches
    loss = torch.compile(lambda x, y: cross_entropy(model(x), y))
    return training_step(lambda x: x, loss, optimizer), batches
