"""Derivatives of derivatives: a network that solves a differential equation, and the rate at which descent breaks.

    python examples/second_order.py                                        # about ten seconds
    python examples/second_order.py --steps 6000 --seed 1

1. A small network is trained on its own second derivative until it obeys u'' + c u' + k u = 0, a damped oscillation,
   without seeing a single value of the solution (Lagaris, Likas, Fotiadis 1998, IEEE Trans. Neural Networks 9:5).
2. At the minimum of another network's loss, power iteration with ``tn.hvp`` finds the largest eigenvalue of the Hessian,
   which itself is never formed. Gradient descent with a rate above 2 divided by it must diverge, and below it must not:
   it is run from one place at 0.9 and 1.1 times that rate.
"""

import argparse
import math
import sys

import numpy as np
from pictures import COLOURS, draw, image_file, label_axes
from tqdm import tqdm
from train_mnist import whole_number

import tinynet as tn
from tinynet import layers as L
from tinynet import optim

# 1. A network trained on its own derivative -------------------------------------------------------------------------

C, K, END = 0.5, 4.0, 6.0  # u'' + C u' + K u = 0 for 0 <= t <= END, with u(0) = 1 and u'(0) = 0


class Solution(tn.Model):
    """u(t) = 1 + (1 - exp(-t))**2 net(t): whatever the network, u(0) = 1 and u'(0) = 0."""

    def __init__(self, width: int = 32):
        self.net = tn.Sequential(L.Linear(1, width), L.Tanh(), L.Linear(width, width), L.Tanh(), L.Linear(width, 1))

    def forward(self, t):
        return 1 + (1 - (-t).exp()) ** 2 * self.net(t - END / 2)


def exact(t):
    """The solution as textbooks have it."""
    w = math.sqrt(K - C**2 / 4)
    return np.exp(-C / 2 * t) * (np.cos(w * t) + C / (2 * w) * np.sin(w * t))


def residual(u: Solution, t: tn.Tensor) -> tn.Tensor:
    """u'' + C u' + K u at each t, which a solution makes 0.

    Each u depends on its own t alone, so that the gradient of the sum holds every derivative. ``create_graph`` makes the
    first derivative differentiable for t again, and the second for the weights.
    """
    y = u(t)
    (slope,) = tn.grad(y.sum(), t, create_graph=True)
    (curvature,) = tn.grad(slope.sum(), t, create_graph=True)
    return curvature + C * slope + K * y


def solve(steps: int) -> Solution:
    """Adam on the mean squared residual at 64 times, with a rate that falls along a cosine."""
    u = Solution()
    t = tn.tensor(np.linspace(0, END, 64, dtype="float32")[:, None], requires_grad=True)
    optimizer = optim.Adam(u, lr=0.02)
    scheduler = optim.schedulers.CosineAnnealingLR(optimizer, T_max=steps)
    for _ in (bar := tqdm(range(steps), desc="differential equation", leave=False)):
        loss = (residual(u, t) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        bar.set_postfix(residual=f"{math.sqrt(loss.item()):.4f}", refresh=False)
    return u


# 2. The curvature of a loss ------------------------------------------------------------------------------------------


class Fit:
    """A network of 31 weights for 40 points of a sine, and its loss on all of them, in float64.

    A little weight decay in the loss gives it a minimum in which every direction leads up.
    """

    def __init__(self):
        self.net = tn.Sequential(L.Linear(1, 10), L.Tanh(), L.Linear(10, 1)).astype("float64")
        self.weights = self.net.parameters()
        x = np.linspace(-2, 2, 40)[:, None]
        self.inputs, self.targets = tn.tensor(x), tn.tensor(np.sin(2 * x))

    def loss(self, *_) -> tn.Tensor:
        """The loss at the weights as they are: ``hvp`` and ``hessian`` use Parameters themselves, so it takes none."""
        error = ((self.net(self.inputs) - self.targets) ** 2).mean()
        return error + 1e-3 * sum((w**2).sum() for w in self.weights)

    def gradient(self) -> np.ndarray:
        return flat(tn.grad(self.loss(), self.weights))

    def hessian(self) -> np.ndarray:
        """All second derivatives, 31 x 31."""
        blocks = tn.hessian(self.loss, self.weights)
        return np.block([[b.numpy().reshape(w.size, -1) for b in row] for w, row in zip(self.weights, blocks, strict=True)])

    def move(self, step: np.ndarray) -> None:
        """Add one number to each weight."""
        for w, part in zip(self.weights, np.split(step, np.cumsum([w.size for w in self.weights])[:-1]), strict=True):
            w.data = w.data + tn.tensor(part.reshape(w.shape)).data

    def to_a_minimum(self) -> None:
        """Adam until near one, then Newton's method, which doubles the digits that are right with every step.

        Where the Hessian has a direction that leads down, a multiple of the identity is added; a step that does not lead
        down is halved.
        """
        optimizer = optim.Adam(self.net, lr=0.02)
        for _ in tqdm(range(2000), desc="to a minimum", leave=False):
            optimizer.zero_grad()
            self.loss().backward()
            optimizer.step()
        for _ in range(50):
            g, h, before = self.gradient(), self.hessian(), self.loss().item()
            if np.linalg.norm(g) < 1e-12:
                break
            lowest = np.linalg.eigvalsh(h)[0]
            step = -np.linalg.solve(h + max(0.0, 1e-3 - 2 * lowest) * np.eye(len(g)), g)
            self.move(step)
            while self.loss().item() > before + 1e-15 and np.linalg.norm(step) > 1e-12:
                self.move(-step / 2)
                step = step / 2


def flat(tensors) -> np.ndarray:
    return np.concatenate([t.numpy().ravel() for t in tensors])


def largest_eigenvalue(loss, weights, rounds: int = 1000) -> tuple[float, list[tn.Tensor]]:
    """The largest eigenvalue of the loss's Hessian, and its direction: multiply by the Hessian, scale, again.

    What lies in another direction shrinks in each round by the ratio of its eigenvalue to the largest.
    """
    v, value = [tn.randn(*w.shape, dtype=w.dtype) for w in weights], math.inf
    for _ in range(rounds):
        length = math.sqrt(sum((part**2).sum().item() for part in v))
        v = [part / length for part in v]
        product = tn.hvp(loss, weights, v)
        before, value = value, sum((a * b).sum().item() for a, b in zip(v, product, strict=True))  # v . H v
        if abs(value - before) < 1e-13 * abs(value):
            break
        v = product
    return value, v


def descend(fit: Fit, start: np.ndarray, lr: float, steps: int) -> tuple[np.ndarray, float]:
    """Plain gradient descent from ``start``, away from a minimum, to which it returns afterwards.

    What comes back is the loss before each step, and the largest eigenvalue where the descent has led to.
    """
    kept = fit.net.state_dict()
    fit.move(start)
    optimizer, losses = optim.SGD(fit.net, lr=lr), []
    for _ in range(steps):
        loss = fit.loss()
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    value, _ = largest_eigenvalue(fit.loss, fit.weights)
    fit.net.load_state_dict(kept)
    return np.array(losses), value


def probe(steps: int = 100) -> tuple[float, dict[float, np.ndarray]]:
    """2 / lambda, and by the share of it that was the rate, how far the loss was above its minimum at every step.

    Near a minimum the loss is a bowl, and a step of gradient descent multiplies the distance along each eigenvector by
    1 - lr * eigenvalue. For the largest, lambda, and lr = share * 2 / lambda that is 1 - 2 * share: -0.8 at 0.9 and -1.2
    at 1.1; the height goes with its square, 0.64 and 1.44. All other directions shrink, slowly where they are flat. The
    start is a little way along the eigenvector of lambda, where the bowl is a good picture. Once the weights have been
    thrown far from it, it is not: they may come down again where lambda is smaller, and then the rate suits it.
    """
    fit = Fit()
    fit.to_a_minimum()
    bottom, slope = fit.loss().item(), np.linalg.norm(fit.gradient())
    print(f"\na minimum of another network's loss, {bottom:.6f}, with a gradient of {slope:.0e}")
    value, v = largest_eigenvalue(fit.loss, fit.weights)
    whole = np.linalg.eigvalsh(fit.hessian())
    print(f"largest eigenvalue of its Hessian: {value:.6f} by power iteration, {whole[-1]:.6f} of all {len(whole)}")
    critical = 2 / value
    print(f"gradient descent diverges above a rate of 2 / {value:.4f} = {critical:.5f}")
    below, _ = descend(fit, 1e-3 * flat(v), 0.9 * critical, steps)
    above, there = descend(fit, 1e-3 * flat(v), 1.1 * critical, steps)
    heights = {0.9: below - bottom, 1.1: above - bottom}
    for share, height in heights.items():
        factor, expected = (height[10] / height[0]) ** 0.1, (1 - 2 * share) ** 2
        print(
            f"at {share} of that the height above the minimum is multiplied by {factor:.3f} a step, expected {expected:.3f}:"
        )
        end = height[-1] if share < 1 else height.max()
        print(f"    it {'falls' if share < 1 else 'rises'} from {height[0]:.1e} to {end:.1e}")
    print(f"    and throws the weights to where the largest eigenvalue is {there:.4f}; the rate was 2 / {value / 1.1:.4f}")
    return critical, heights


# Both -------------------------------------------------------------------------------------------------------------------


def picture(figure, times, found, heights, critical) -> None:
    """The solution and its error; the height above the minimum, step by step, at two rates."""
    figure.set_size_inches(11, 5)
    left, right = figure.subfigures(1, 2)
    left.suptitle(f"a network trained on u'' + {C:g} u' + {K:g} u = 0")
    solution, error = left.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    solution.plot(times, exact(times), color=COLOURS[5], linewidth=5, label="exact solution")
    solution.plot(times, found, "--", color="black", label="network")
    solution.legend(frameon=False)
    error.plot(times, found - exact(times), color=COLOURS[1])
    label_axes(solution, "", "u(t)")
    label_axes(error, "t", "error")

    right.suptitle(f"gradient descent, critical rate 2/λ = {critical:.4f}")
    axes = right.subplots()
    for (share, height), colour, mark in zip(heights.items(), COLOURS, "os", strict=False):
        steps = np.arange(len(height))
        axes.plot(steps, np.maximum(height, 1e-19), mark, markersize=4, color=colour, label=f"rate {share} · 2/λ")
        bowl = height[0] * (1 - 2 * share) ** (2.0 * steps)
        axes.plot(steps, bowl, color=colour, alpha=0.6, label=f"in a bowl: {(1 - 2 * share) ** 2:.2f} a step")
    top = heights[1.1].argmax()
    axes.annotate("out of the bowl", (top, heights[1.1][top]), (16, 0), textcoords="offset points")
    axes.set_yscale("log")
    axes.set_ylim(1e-17, 1e4)
    label_axes(axes, "step", "loss above its minimum")
    axes.legend(frameon=False, loc="center right")


def main(argv: list[str] | None = None) -> tuple[float, dict[float, np.ndarray]]:
    """Both parts as the command line says, and the picture; returns the largest error, and what ``probe`` found."""
    parser = argparse.ArgumentParser(
        description="A network solves a differential equation; the rate at which descent breaks."
    )
    add = parser.add_argument
    add("--steps", type=whole_number, default=2500, metavar="N", help="of training on the equation (default: %(default)s)")
    add("--seed", type=int, default=0, help="of the first weights (default: %(default)s)")
    add("--plot", type=image_file, default="out/second_order.png", metavar="PATH",
        help="where the picture goes (default: %(default)s)")  # fmt: skip
    args = parser.parse_args(argv)

    tn.manual_seed(args.seed)
    print(f"u'' + {C:g} u' + {K:g} u = 0, u(0) = 1, u'(0) = 0, for t from 0 to {END:g}")
    u = solve(args.steps)
    times = np.linspace(0, END, 301)
    found = u.predict(times[:, None].astype("float32")).numpy()[:, 0]
    error = float(np.abs(found - exact(times)).max())
    print(f"the network differs from the exact solution by {error:.4f} at most")
    critical, heights = probe()
    draw(args.plot, picture, times, found, heights, critical)
    return error, heights


if __name__ == "__main__":
    try:
        main()
    except (tn.DeviceError, ValueError, OSError) as error:  # a seed, device or file that cannot be: no traceback for these
        sys.exit(f"second_order: {error}")
