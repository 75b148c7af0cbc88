"""The update rules, each the formula of its paper or textbook.

In every rule ``w`` is the weight and ``grad`` the loss's gradient for it, both elementwise; buffers start at zero and keep
their names in ``optimizer.state(param)`` and in saved files. ``step`` is t, counted from 1.

Where a rule divides by a number it multiplies by one over it: that number is computed once, and a division for every
weight takes as long as all the rest. (Adam on 1.8 million weights: 1.63 ms with three divisions, 1.05 with one.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..kernels import maximum, sqrt
from .optimizer import Optimizer


class SGD(Optimizer):
    """Gradient descent on mini-batches: w <- w - lr grad.

    The oldest rule and the reference for all others (Robbins, Monro 1951, Annals of Mathematical Statistics 22). On a
    surface that is steep one way and flat another it oscillates across the valley and crawls along it. PyTorch's SGD
    has momentum as an option; here that is ``Momentum``.

    >>> from tinynet import Parameter
    >>> w = Parameter([1.0]); optimizer = SGD([w], lr=0.25)
    >>> (w * w).backward(); optimizer.step(); w
    tensor([0.5], requires_grad=True)
    """

    defaults = {"lr": 0.01}

    @staticmethod
    def rule(w, grad, *, lr):
        return w - lr * grad


class Momentum(Optimizer):
    """Gradient descent on an average of past gradients, which damps what alternates and keeps what persists.

    velocity <- beta velocity + (1 - dampening) grad,  w <- w - lr velocity,  velocity = 0 before the first step.

    ``dampening=None`` means beta: velocity is then the *exponentially weighted average* of the gradients, over about
    the last 1 / (1 - beta) of them, and a good lr is one for plain descent. ``dampening=0`` is the *heavy ball* (Polyak
    1964), as in PyTorch: velocity is then 1 / (1 - beta) times larger, ten times with beta = 0.9, so that
    Momentum(lr=0.1) takes the steps of torch.optim.SGD(lr=0.01, momentum=0.9). ``nesterov=True`` looks ahead (Sutskever
    et al. 2013, ICML 28): w <- w - lr (beta velocity + (1 - dampening) grad) with the velocity just updated.

    Differences: PyTorch's first step with dampening puts the whole gradient into the velocity, and its Nesterov form
    requires dampening 0; Keras folds the learning rate into the velocity.

    >>> from tinynet import Parameter
    >>> w = Parameter([1.0]); optimizer = Momentum([w], lr=0.5)
    >>> (w * w).backward(); optimizer.step(); w
    tensor([0.9], requires_grad=True)
    """

    buffers = ("velocity",)
    defaults = {"lr": 0.01, "beta": 0.9, "dampening": None, "nesterov": False}

    def hyper(self, group: dict[str, Any], step: int) -> dict[str, Any]:
        return group if group["dampening"] is not None else {**group, "dampening": group["beta"]}

    @staticmethod
    def rule(w, grad, velocity, *, lr, beta, dampening, nesterov):
        velocity = beta * velocity + (1 - dampening) * grad
        ahead = beta * velocity + (1 - dampening) * grad if nesterov else velocity
        return w - lr * ahead, velocity


class RMSprop(Optimizer):
    """Gradient descent with each weight's step divided by the size that its gradients have had.

    squared_grad <- beta squared_grad + (1 - beta) grad^2,  w <- w - lr grad / (sqrt(squared_grad) + eps).

    Hinton 2012, Neural Networks for Machine Learning, lecture 6e. The first steps are large, as squared_grad starts at zero
    and is not corrected for that (Adam is). ``centered`` divides by the standard deviation instead, with grad_average
    the same average of the gradient: sqrt(squared_grad - grad_average^2) (Graves 2013, arXiv:1308.0850). ``momentum``
    adds velocity <- momentum velocity + grad / (...), w <- w - lr velocity.

    Differences: beta is 0.9 as in the lecture and in Keras; PyTorch calls it alpha and takes 0.99. eps stands outside the
    root, as in PyTorch; in Keras inside.

    >>> from tinynet import Parameter
    >>> w = Parameter([1.0]); optimizer = RMSprop([w], lr=0.1, beta=0.75)
    >>> (w * w).backward(); optimizer.step(); w
    tensor([0.8], requires_grad=True)
    """

    buffers = ("squared_grad",)
    defaults = {"lr": 0.01, "beta": 0.9, "eps": 1e-8, "momentum": 0.0, "centered": False}

    def variant(self, group: dict[str, Any]) -> tuple[tuple[str, ...], Callable]:
        if group["momentum"] or group["centered"]:
            return ("squared_grad", "grad_average", "velocity"), self.general_rule
        return self.buffers, self.rule

    @staticmethod
    def rule(w, grad, squared_grad, *, lr, beta, eps):
        squared_grad = beta * squared_grad + (1 - beta) * grad**2
        return w - lr * grad / (sqrt(squared_grad) + eps), squared_grad

    @staticmethod
    def general_rule(w, grad, squared_grad, grad_average, velocity, *, lr, beta, eps, momentum, centered):
        squared_grad = beta * squared_grad + (1 - beta) * grad**2
        grad_average = beta * grad_average + (1 - beta) * grad
        size = (
            sqrt(maximum(squared_grad - grad_average**2, 0)) if centered else sqrt(squared_grad)
        )  # not below 0 by rounding
        velocity = momentum * velocity + grad / (size + eps)
        return w - lr * velocity, squared_grad, grad_average, velocity


class Adam(Optimizer):
    """Momentum and RMSprop together, both corrected for starting at zero.

    velocity <- beta1 velocity + (1 - beta1) grad,  squared_grad <- beta2 squared_grad + (1 - beta2) grad^2,
    w <- w - lr (velocity / (1 - beta1^t)) / (sqrt(squared_grad / (1 - beta2^t)) + eps),  t = 1, 2, ...

    Kingma, Ba 2015, arXiv:1412.6980, algorithm 1, with its defaults. In the first step the corrected averages are grad and
    grad^2 themselves, and the step is lr in size whatever the gradient's scale. ``amsgrad`` divides by the largest
    squared_grad so far (Reddi, Kale, Kumar 2018, arXiv:1904.09237).

    Differences: eps stands outside the root, beside the corrected sqrt, as in the paper's algorithm 1 and in PyTorch;
    the paper's faster form, which Keras and TensorFlow follow, adds it to the uncorrected root. Weight decay is coupled
    here.

    >>> from tinynet import Parameter
    >>> w = Parameter([1.0]); optimizer = Adam([w], lr=0.125)
    >>> (w * w).backward(); optimizer.step(); w
    tensor([0.875], requires_grad=True)
    """

    buffers = ("velocity", "squared_grad")
    defaults = {"lr": 0.001, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "amsgrad": False}

    def variant(self, group: dict[str, Any]) -> tuple[tuple[str, ...], Callable]:
        if group["amsgrad"]:
            return ("velocity", "squared_grad", "max_squared_grad"), self.amsgrad_rule
        return self.buffers, self.rule

    @staticmethod
    def rule(w, grad, velocity, squared_grad, *, lr, beta1, beta2, eps, step):
        velocity = beta1 * velocity + (1 - beta1) * grad
        squared_grad = beta2 * squared_grad + (1 - beta2) * grad**2
        v = velocity * (1 / (1 - beta1**step))
        s = squared_grad * (1 / (1 - beta2**step))
        return w - lr * v / (sqrt(s) + eps), velocity, squared_grad

    @staticmethod
    def amsgrad_rule(w, grad, velocity, squared_grad, max_squared_grad, *, lr, beta1, beta2, eps, step):
        velocity = beta1 * velocity + (1 - beta1) * grad
        squared_grad = beta2 * squared_grad + (1 - beta2) * grad**2
        max_squared_grad = maximum(max_squared_grad, squared_grad)
        v = velocity * (1 / (1 - beta1**step))
        s = max_squared_grad * (1 / (1 - beta2**step))
        return w - lr * v / (sqrt(s) + eps), velocity, squared_grad, max_squared_grad
