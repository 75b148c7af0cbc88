"""An op, a layer, a model and an optimizer of your own, each in a few lines. To be read from top to bottom.

    python examples/subclass_layer.py

It takes a few seconds, on 2,000 of MNIST's training images. The library's own ops, layers and optimizers are declared in the
very same way, and yours run on every device that those run on.
"""

import tinynet as tn
from tinynet import layers as L
from tinynet import optim

# 1. An op ------------------------------------------------------------------------------------------------------------
# A function of arrays, and above it a rule: the gradient for x, given the gradient g of the output y. This one is a smooth
# ReLU (Barron 2021, arXiv:2112.11687) with the derivative (1 + x / sqrt(x^2 + 4)) / 2.


@tn.op(lambda g, y, x: g * (1 + x / (x**2 + 4) ** 0.5) / 2)
def squareplus(x):
    return (x + (x**2 + 4) ** 0.5) / 2


# The rule is made of operators, so that it can itself be differentiated: the second derivative comes for nothing.


def show_op() -> None:
    x = tn.tensor([-2.0, 0.0, 2.0], requires_grad=True)
    (slope,) = tn.grad(squareplus(x).sum(), x, create_graph=True)
    (curvature,) = tn.grad(slope.sum(), x)
    print("squareplus at -2, 0, 2:", squareplus(x).numpy())
    print("first derivative:      ", slope.numpy())
    print("second derivative:     ", curvature.numpy())

    # Is the rule right? gradcheck holds it, and its own derivative, against difference quotients, in float64.
    points = tn.randn(5, dtype="float64")
    print("gradcheck, to the second order:", tn.gradcheck(squareplus, points, order=2))


# 2. A layer ----------------------------------------------------------------------------------------------------------
# Assign Parameters and Layers in __init__, compute in forward. Nothing needs registering.


class Residual(tn.Layer):
    """x + scale * squareplus(inner(x)): at first nearly the identity; how much each feature adds is learned."""

    def __init__(self, width: int):
        self.inner = L.Linear(width, width)
        self.scale = tn.Parameter([0.1] * width)

    def forward(self, x):
        return x + self.scale * squareplus(self.inner(x))


# 3. A model ----------------------------------------------------------------------------------------------------------
# A Model is a Layer that can train, evaluate and save itself. A plain list of layers is found like any attribute.


class Net(tn.Model):
    """784 pixels, some residual blocks, 10 digits."""

    def __init__(self, width: int = 64, depth: int = 2):
        self.first = L.Linear(28 * 28, width)
        self.blocks = [Residual(width) for _ in range(depth)]
        self.last = L.Linear(width, 10)

    def forward(self, x):
        x = self.first(x.reshape(len(x), -1))
        for block in self.blocks:
            x = block(x)
        return self.last(x)


# 4. An optimizer -----------------------------------------------------------------------------------------------------
# Its buffers, its hyper-parameters with their defaults, and its formula for a weight, element by element.


class SignMomentum(optim.Optimizer):
    """Steps of one size, against the sign of the averaged gradient (Bernstein et al. 2018, arXiv:1802.04434)."""

    buffers = ("velocity",)
    defaults = {"lr": 1e-3, "beta": 0.9}

    @staticmethod
    def rule(w, grad, velocity, *, lr, beta):
        velocity = beta * velocity + (1 - beta) * grad
        return w - lr * optim.sign(velocity), velocity


# 5. All four together -------------------------------------------------------------------------------------------------


def main() -> tn.History:
    tn.manual_seed(0)
    show_op()

    net = Net()
    print()
    print(net.summary((1, 28, 28)))

    few = tn.data.Subset(tn.datasets.MNIST("train"), range(2000))
    optimizer = SignMomentum(net, lr=5e-4)
    print("\ntraining with", optimizer)
    return net.fit(few, optimizer=optimizer, epochs=5, batch_size=50, validation=tn.datasets.MNIST("test"))


if __name__ == "__main__":
    main()
