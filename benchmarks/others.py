"""The networks of networks.py in further libraries, where they are installed: each with the means it gives its users.

None of them is a dependency: ``pip install dezero mygrad tinygrad`` brings them into the table of step_time.py.
"""

from __future__ import annotations

import functools
from typing import Any

from .networks import Built, Network, data, in_turn


def dezeros(network: Network) -> Built:
    import numpy as np

    vars(np)["int"] = int  # a name that NumPy has dropped and DeZero 0.0.13 still uses
    import dezero
    import dezero.functions as F
    import dezero.layers as L
    from dezero import optimizers

    make = {
        "Linear": lambda i, o: L.Linear(o, in_size=i),
        "Conv2d": lambda i, o, kernel, stride=1, pad=0: L.Conv2d(o, kernel, stride, pad, in_channels=i),
        "ReLU": lambda: F.relu,
        "MaxPool2d": lambda size: lambda x: F.pooling(x, size, size),
        "Flatten": lambda: F.flatten,
    }
    layers = [make[name](*sizes) for name, *sizes in network.layers]
    model = dezero.Model()
    for i, layer in enumerate(layers):
        if isinstance(layer, dezero.Layer):
            setattr(model, f"layer{i}", layer)
    rule = {"Adam": optimizers.Adam, "SGD": optimizers.SGD}[network.optimizer]
    optimizer = rule(network.lr).setup(model)

    def step(x, y):
        loss = F.softmax_cross_entropy(functools.reduce(lambda h, layer: layer(h), layers, x), y)
        model.cleargrads()
        loss.backward()
        optimizer.update()
        return loss.data

    return step, in_turn(*data(network))


class _Adam:
    """MyGrad has no optimizer: its users write one over NumPy arrays."""

    def __init__(self, params: list, lr: float):
        import numpy as np

        self.params, self.lr, self.t = params, lr, 0
        self.m = [np.zeros_like(p.data) for p in params]
        self.v = [np.zeros_like(p.data) for p in params]

    def update(self) -> None:
        self.t += 1
        lr = self.lr * (1 - 0.999**self.t) ** 0.5 / (1 - 0.9**self.t)
        for p, m, v in zip(self.params, self.m, self.v, strict=True):
            m += 0.1 * (p.grad - m)
            v += 0.001 * (p.grad**2 - v)
            p.data -= lr * m / (v**0.5 + 1e-8)


def mygrads(network: Network) -> Built:
    import mygrad as mg
    import numpy as np
    from mygrad.nnet.activations import relu
    from mygrad.nnet.layers import conv_nd, max_pool
    from mygrad.nnet.losses import softmax_crossentropy

    rng, params = np.random.default_rng(0), []

    def parameter(fan_in: int, *shape: int) -> Any:
        params.append(mg.tensor((rng.random(shape, "float32") * 2 - 1) / np.float32(fan_in**0.5)))
        return params[-1]

    def linear(i, o):
        w, b = parameter(i, i, o), parameter(i, o)
        return lambda x: x @ w + b

    def conv(i, o, kernel, stride=1, pad=0):
        w, b = parameter(i * kernel**2, o, i, kernel, kernel), parameter(i * kernel**2, o, 1, 1)
        return lambda x: conv_nd(x, w, stride=stride, padding=pad) + b

    make = {
        "Linear": linear,
        "Conv2d": conv,
        "ReLU": lambda: relu,
        "MaxPool2d": lambda size: lambda x: max_pool(x, (size, size), size),
        "Flatten": lambda: lambda x: x.reshape(len(x), -1),
    }
    layers = [make[name](*sizes) for name, *sizes in network.layers]
    adam = _Adam(params, network.lr)

    def sgd():
        for p in params:
            p.data -= network.lr * p.grad

    update = adam.update if network.optimizer == "Adam" else sgd

    def step(x, y):
        loss = softmax_crossentropy(functools.reduce(lambda h, layer: layer(h), layers, x), y)
        loss.backward()
        update()
        loss.null_grad()
        return loss.data

    return step, in_turn(*data(network))


def tinygrads(network: Network) -> Built:
    from tinygrad import Tensor, TinyJit, nn

    make = {
        "Linear": nn.Linear,
        "Conv2d": lambda i, o, kernel, stride=1, padding=0: nn.Conv2d(i, o, kernel, stride, padding),
        "ReLU": lambda: Tensor.relu,
        "MaxPool2d": lambda size: lambda x: x.max_pool2d((size, size)),
        "Flatten": lambda: lambda x: x.flatten(1),
    }
    layers = [make[name](*sizes) for name, *sizes in network.layers]
    optimizer = getattr(nn.optim, network.optimizer)(nn.state.get_parameters(layers), lr=network.lr)

    @TinyJit
    def jitted(x, y):
        optimizer.zero_grad()
        loss = x.sequential(layers).sparse_categorical_crossentropy(y).backward()
        return loss.realize(*optimizer.schedule_step())

    def step(x, y):
        return jitted(x, y).item()  # it is lazy: a step is over when its loss is known

    images, labels = data(network)
    return step, in_turn([Tensor(x).realize() for x in images], [Tensor(y.astype("int32")).realize() for y in labels])
