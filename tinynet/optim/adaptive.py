"""What became of RMSprop's idea before and beside it: Adagrad sums the squares, Adadelta finds its own step size."""

from __future__ import annotations

from typing import Any

from ..kernels import sqrt
from .optimizer import Optimizer


class Adagrad(Optimizer):
    """Gradient descent with each weight's step divided by the size of all its gradients so far.

    squared_grad_sum <- squared_grad_sum + grad^2,
    w <- w - lr / (1 + (t - 1) lr_decay) grad / (sqrt(squared_grad_sum) + eps),  t = 1, 2, ...

    Duchi, Hazan, Singer 2011, Journal of Machine Learning Research 12. A weight that seldom has a gradient (a rare word's
    embedding) takes large steps when it has one. The sum only grows, so the steps shrink, as 1 / sqrt(t) where gradients
    keep their size: right for convex problems, too soon for a long training of a network; RMSprop forgets instead.
    ``initial_accumulator_value`` is where the sum starts, and makes the first steps smaller.

    Differences: as in PyTorch, lr is 0.01, ``lr_decay`` is an addition to the paper, and eps stands outside the root. Keras
    starts the sum at 0.1, has a rate of 0.001, and eps 1e-7 inside the root.

    >>> from tinynet import Parameter
    >>> w = Parameter([1.0]); optimizer = Adagrad([w], lr=0.5)
    >>> for step in range(2):
    ...     optimizer.zero_grad(); (3 * w).backward(); optimizer.step()
    >>> optimizer.state(w)["squared_grad_sum"]  # steps of 0.5 * 3 / sqrt(9) and 0.5 * 3 / sqrt(18)
    array([18.], dtype=float32)
    """

    buffers = ("squared_grad_sum",)
    defaults = {"lr": 0.01, "lr_decay": 0.0, "initial_accumulator_value": 0.0, "eps": 1e-10}
    ranges = {"lr_decay": "[0, inf)", "initial_accumulator_value": "[0, inf)"}

    def initial(self, buffer: str, group: dict[str, Any]) -> float:
        return group["initial_accumulator_value"]

    @staticmethod
    def rule(w, grad, squared_grad_sum, *, lr, lr_decay, eps, step):
        squared_grad_sum = squared_grad_sum + grad**2
        rate = lr / (1 + (step - 1) * lr_decay)
        return w - rate * grad / (sqrt(squared_grad_sum) + eps), squared_grad_sum


class Adadelta(Optimizer):
    """Each weight's step is its gradient, scaled by the size of its recent steps over the size of its recent gradients.

    squared_grad <- rho squared_grad + (1 - rho) grad^2,
    delta = sqrt(squared_delta + eps) / sqrt(squared_grad + eps) grad,
    squared_delta <- rho squared_delta + (1 - rho) delta^2,  w <- w - lr delta.

    Zeiler 2012, arXiv:1212.5701. The units agree: a step has the unit of the weight, without a rate to be tuned, so lr is
    1. The first steps have a size of about sqrt(eps), 0.001, and grow from there: eps is the rate in disguise.

    Differences: eps stands inside both roots, as in the paper, PyTorch and Keras; it is 1e-6 and rho 0.9, as in PyTorch,
    while the paper's experiments take 0.95, and Keras 0.95 and eps 1e-7 with lr 0.001.

    >>> from tinynet import Parameter
    >>> w = Parameter([1.0]); optimizer = Adadelta([w])
    >>> (w * w).backward(); optimizer.step(); w  # sqrt(1e-6) / sqrt(0.1 * 4) * 2
    tensor([0.9968], requires_grad=True)
    """

    buffers = ("squared_grad", "squared_delta")
    defaults = {"lr": 1.0, "rho": 0.9, "eps": 1e-6}
    ranges = {"rho": "[0, 1]"}

    @staticmethod
    def rule(w, grad, squared_grad, squared_delta, *, lr, rho, eps):
        squared_grad = rho * squared_grad + (1 - rho) * grad**2
        delta = sqrt(squared_delta + eps) / sqrt(squared_grad + eps) * grad
        squared_delta = rho * squared_delta + (1 - rho) * delta**2
        return w - lr * delta, squared_grad, squared_delta
