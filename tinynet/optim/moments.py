"""Adam's kin: the same two averages, with another decay, another norm, another look ahead, another start, or only a sign.

The one idea: each differs from Adam in one line, and that line is what its class shows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..kernels import abs, maximum, sign, sqrt
from .optimizer import Optimizer
from .rules import Adam


class AdamW(Adam):
    """Adam with the weight decay taken off the weight itself, apart from the gradient's averages.

    velocity and squared_grad as in ``Adam``,
    w <- w - lr ((velocity / (1 - beta1^t)) / (sqrt(squared_grad / (1 - beta2^t)) + eps) + weight_decay w).

    Loshchilov, Hutter 2019, arXiv:1711.05101. Coupled decay goes through Adam's division: weights with large gradients
    then decay less than others. Decoupled, all decay by the same factor. ``weight_decay`` is 0.01.

    Differences: as in PyTorch (and in Keras, whose default is 0.004) lr multiplies the decay; in the paper only a schedule
    does, so its lambda is lr weight_decay here.

    >>> from tinynet import Parameter
    >>> w = Parameter([1.0]); optimizer = AdamW([w], lr=0.125, weight_decay=2.0)
    >>> (w * w).backward(); optimizer.step(); w  # a quarter decays, and Adam's first step is lr
    tensor([0.625], requires_grad=True)
    """

    defaults = {**Adam.defaults, "weight_decay": 0.01}

    @staticmethod
    def rule(w, grad, velocity, squared_grad, *, lr, beta1, beta2, eps, step, weight_decay):  # type: ignore[override]
        velocity = beta1 * velocity + (1 - beta1) * grad
        squared_grad = beta2 * squared_grad + (1 - beta2) * grad**2
        v = velocity * (1 / (1 - beta1**step))
        s = squared_grad * (1 / (1 - beta2**step))
        return w - lr * (v / (sqrt(s) + eps) + weight_decay * w), velocity, squared_grad

    @staticmethod
    def amsgrad_rule(  # type: ignore[override]
        w, grad, velocity, squared_grad, max_squared_grad, *, lr, beta1, beta2, eps, step, weight_decay
    ):
        velocity = beta1 * velocity + (1 - beta1) * grad
        squared_grad = beta2 * squared_grad + (1 - beta2) * grad**2
        max_squared_grad = maximum(max_squared_grad, squared_grad)
        v = velocity * (1 / (1 - beta1**step))
        s = max_squared_grad * (1 / (1 - beta2**step))
        return w - lr * (v / (sqrt(s) + eps) + weight_decay * w), velocity, squared_grad, max_squared_grad


class Adamax(Optimizer):
    """Adam with the largest recent gradient in the place of the root of the average of squares.

    velocity <- beta1 velocity + (1 - beta1) grad,  largest_grad <- max(beta2 largest_grad, |grad| + eps),
    w <- w - lr / (1 - beta1^t) velocity / largest_grad,  t = 1, 2, ...

    Kingma, Ba 2015, arXiv:1412.6980, section 7.1, with its lr of 0.002: Adam's square and root become the p-th power and
    p-th root, and p infinite. A maximum does not start too small, so it needs no correction.

    Differences: the paper has no eps (and divides by zero where a weight never had a gradient). As in PyTorch it stands
    inside the maximum, in Keras beside it.

    >>> from tinynet import Parameter
    >>> w = Parameter([1.0]); optimizer = Adamax([w], lr=0.125)
    >>> (w * w).backward(); optimizer.step(); w
    tensor([0.875], requires_grad=True)
    """

    buffers = ("velocity", "largest_grad")
    defaults = {"lr": 0.002, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8}

    @staticmethod
    def rule(w, grad, velocity, largest_grad, *, lr, beta1, beta2, eps, step):
        velocity = beta1 * velocity + (1 - beta1) * grad
        largest_grad = maximum(beta2 * largest_grad, abs(grad) + eps)
        return w - lr / (1 - beta1**step) * velocity / largest_grad, velocity, largest_grad


class NAdam(Optimizer):
    """Adam with Nesterov's look ahead, and a momentum that grows from half of beta1 to beta1.

    mu_t = beta1 (1 - 0.96^(t momentum_decay) / 2),  velocity and squared_grad as in ``Adam``,
    v = (1 - mu_t) / (1 - mu_1 ... mu_t) grad + mu_(t+1) / (1 - mu_1 ... mu_(t+1)) velocity,
    w <- w - lr v / (sqrt(squared_grad / (1 - beta2^t)) + eps),  t = 1, 2, ...

    Dozat 2016, "Incorporating Nesterov momentum into Adam", ICLR workshop, with its lr of 0.002 and momentum_decay of
    0.004. ``decoupled_weight_decay=True`` decays as AdamW does.

    Differences: as in PyTorch, velocity is averaged with beta1, and only its use with mu. The product of all mu follows from
    the step count, as if beta1 had always been what it is now; PyTorch multiplies it up, so that the two differ for some
    steps after a change of beta1.

    >>> from tinynet import Parameter
    >>> w = Parameter([1.0]); optimizer = NAdam([w], lr=0.125)
    >>> (w * w).backward(); optimizer.step(); w
    tensor([0.8679], requires_grad=True)
    """

    buffers = ("velocity", "squared_grad")
    defaults = {
        "lr": 0.002,
        "beta1": 0.9,
        "beta2": 0.999,
        "eps": 1e-8,
        "momentum_decay": 0.004,
        "decoupled_weight_decay": False,
    }
    ranges = {"momentum_decay": "[0, inf)"}

    def variant(self, group: dict[str, Any]) -> tuple[tuple[str, ...], Callable]:
        return self.buffers, self.decoupled_rule if group["decoupled_weight_decay"] else self.rule

    def hyper(self, group: dict[str, Any], step: int) -> dict[str, Any]:
        beta1, decay = group["beta1"], group["momentum_decay"]
        now, ahead = (float(_momentum(beta1, decay, t)) for t in (step, step + 1))
        # The product of all so far is at most beta1^t: below e^-45 it is lost in 1 - product, and need not be computed.
        product = 0.0
        if beta1 > 0 and step * -math.log(beta1) < 45:
            product = float(np.prod(_momentum(beta1, decay, np.arange(1, step + 1))))
        return {**group, "of_grad": (1 - now) / (1 - product), "of_velocity": ahead / (1 - product * ahead)}

    @staticmethod
    def rule(w, grad, velocity, squared_grad, *, lr, beta1, beta2, eps, of_grad, of_velocity, step):
        velocity = beta1 * velocity + (1 - beta1) * grad
        squared_grad = beta2 * squared_grad + (1 - beta2) * grad**2
        v = of_grad * grad + of_velocity * velocity
        s = squared_grad * (1 / (1 - beta2**step))
        return w - lr * v / (sqrt(s) + eps), velocity, squared_grad

    @staticmethod
    def decoupled_rule(w, grad, velocity, squared_grad, *, lr, weight_decay, beta1, beta2, eps, of_grad, of_velocity, step):
        w = w - lr * weight_decay * w
        averages = {"beta1": beta1, "beta2": beta2, "of_grad": of_grad, "of_velocity": of_velocity}
        return NAdam.rule(w, grad, velocity, squared_grad, lr=lr, eps=eps, step=step, **averages)


def _momentum(beta1: float, decay: float, t: Any) -> Any:
    """NAdam's mu_t."""
    return beta1 * (1 - 0.5 * 0.96 ** (t * decay))


class RAdam(Optimizer):
    """Adam that divides by the size of the gradients only once that size is known well enough.

    velocity and squared_grad as in ``Adam``,  v = velocity / (1 - beta1^t),  t = 1, 2, ...,
    rho = rho_inf - 2 t beta2^t / (1 - beta2^t),  rho_inf = 2 / (1 - beta2) - 1,
    w <- w - lr v where rho <= 5,  else  w <- w - lr r v sqrt(1 - beta2^t) / (sqrt(squared_grad) + eps),
    r = sqrt((rho - 4) (rho - 2) rho_inf / ((rho_inf - 4) (rho_inf - 2) rho)).

    Liu et al. 2020, arXiv:1908.03265: rho counts how many gradients are in the average of their squares; over a few
    of them Adam's division varies wildly, which is what a warmup is for, and r makes up for. With beta2 = 0.999 the first
    five steps are momentum alone, then r grows from 0.03 to 0.65 after a thousand and 0.98 after five thousand.
    ``decoupled_weight_decay=True`` decays as AdamW does.

    Differences: as in PyTorch rho is compared with 5 (4 in the paper), and eps stands beside the uncorrected root, so
    that in the first steps it has more effect than Adam's.

    >>> from tinynet import Parameter
    >>> w = Parameter([1.0]); optimizer = RAdam([w], lr=0.125)
    >>> (w * w).backward(); optimizer.step(); w  # as SGD: 1 - 0.125 * 2
    tensor([0.75], requires_grad=True)
    """

    buffers = ("velocity", "squared_grad")
    defaults = {"lr": 0.001, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "decoupled_weight_decay": False}

    def variant(self, group: dict[str, Any]) -> tuple[tuple[str, ...], Callable]:
        return self.buffers, self.decoupled_rule if group["decoupled_weight_decay"] else self.rule

    def hyper(self, group: dict[str, Any], step: int) -> dict[str, Any]:
        beta2 = group["beta2"]
        most = 2 / (1 - beta2) - 1
        rho = most - 2 * step * beta2**step / (1 - beta2**step)
        if rho <= 5:
            return {**group, "rectified": False, "r": 1.0}
        r = math.sqrt((rho - 4) * (rho - 2) * most / ((most - 4) * (most - 2) * rho))
        return {**group, "rectified": True, "r": r}

    @staticmethod
    def rule(w, grad, velocity, squared_grad, *, lr, beta1, beta2, eps, rectified, r, step):
        velocity = beta1 * velocity + (1 - beta1) * grad
        squared_grad = beta2 * squared_grad + (1 - beta2) * grad**2
        v = velocity * (1 / (1 - beta1**step))
        if rectified:
            v = v * (r * (1 - beta2**step) ** 0.5) / (sqrt(squared_grad) + eps)
        return w - lr * v, velocity, squared_grad

    @staticmethod
    def decoupled_rule(w, grad, velocity, squared_grad, *, lr, weight_decay, beta1, beta2, eps, rectified, r, step):
        w = w - lr * weight_decay * w
        averages = {"beta1": beta1, "beta2": beta2, "rectified": rectified, "r": r}
        return RAdam.rule(w, grad, velocity, squared_grad, lr=lr, eps=eps, step=step, **averages)


class Lion(Optimizer):
    """The sign of an average: every weight takes a step of lr, up or down.

    w <- w - lr (sign(beta1 velocity + (1 - beta1) grad) + weight_decay w),  velocity <- beta2 velocity + (1 - beta2) grad.

    Chen et al. 2023, arXiv:2302.06675, algorithm 2, found by a search over programs, with its betas of 0.9 and 0.99: the
    step leans on the newest gradient more than the average that is kept. One buffer to Adam's two. As every weight moves
    by lr, lr is to be three to ten times smaller than Adam's and the weight decay as much larger, as the paper says; lr is
    1e-4, as the authors' code has it, and there is no decay unless given. PyTorch has no Lion; Keras's has an lr of 0.001.

    >>> from tinynet import Parameter
    >>> w = Parameter([1.0, 2.0]); optimizer = Lion([w], lr=0.25)
    >>> (w * w).sum().backward(); optimizer.step(); w
    tensor([0.75, 1.75], requires_grad=True)
    """

    buffers = ("velocity",)
    defaults = {"lr": 1e-4, "beta1": 0.9, "beta2": 0.99}

    @staticmethod
    def rule(w, grad, velocity, *, lr, beta1, beta2, weight_decay):
        direction = sign(beta1 * velocity + (1 - beta1) * grad)
        velocity = beta2 * velocity + (1 - beta2) * grad
        return w - lr * (direction + weight_decay * w), velocity
