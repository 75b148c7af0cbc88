"""Train one network with four optimizers that all get the same start and the same mini-batches in the same order.

    python examples/compare_optimizers.py                                      # five epochs of MNIST for each
    python examples/compare_optimizers.py --epochs 2 --limit 10000 --seed 1

Only the update rule and its learning rate differ. The rates are those of ``train_mnist.py``, but held constant. Each was
tried beside others: 0.3, 0.5, 0.7 and 1 for SGD and Momentum, 0.001, 0.002, 0.003 and 0.005 for RMSprop and Adam. Its
training loss in the fifth epoch, with seed 0, is the lowest or within a tenth of it. At another rate a rule can look much
worse than it is.
"""

import argparse
import sys

import numpy as np
from networks import mlp
from pictures import comparison_picture, draw, smoothed
from train_mnist import OPTIMIZERS, common_options, digits

import tinynet as tn

GOAL = 0.1  # the training loss to which the steps are counted


class Losses(list):
    """A callback for ``fit`` that keeps the training loss of every step."""

    def on_batch_end(self, model, loss):
        self.append(loss.item())


def compare(data: tuple, test: tuple, epochs: int, batch_size: int, seed: int) -> dict[str, tuple[tn.History, Losses]]:
    """What each optimizer made of the same network, by the optimizer's name."""
    tn.manual_seed(seed)
    start = mlp().state_dict()
    results = {}
    for rule, lr in OPTIMIZERS.values():
        model = mlp()
        model.load_state_dict(start)
        optimizer, losses = rule(model, lr=lr), Losses()
        loader = tn.data.DataLoader(data, batch_size, shuffle=True, seed=seed)  # the same batches from the same seed
        print(f"{rule.__name__} at {lr}")
        history = model.fit(loader, optimizer=optimizer, epochs=epochs, validation=test, callbacks=[losses])
        results[rule.__name__] = history, losses
    return results


def table(results: dict[str, tuple[tn.History, Losses]]) -> str:
    """A line for each optimizer, its numbers below their names."""
    lines = [f"{'optimizer':<10}{'lr':>6}{'train loss':>12}{'test accuracy':>15}{f'steps to {GOAL}':>14}{'seconds':>9}"]
    for name, (history, losses) in results.items():
        reached = np.flatnonzero(smoothed(losses) <= GOAL) + 1
        lines.append(
            f"{name:<10}{history.lr[0]:>6}{history.loss[-1]:>12.4f}{history.val_accuracy[-1]:>15.2%}"
            f"{reached[0] if len(reached) else '-':>14}{sum(history.seconds):>9.1f}"
        )
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> dict[str, tuple[tn.History, Losses]]:
    """Compare as the command line says; returns each optimizer's history and losses."""
    parser = argparse.ArgumentParser(description="Compare four optimizers on MNIST from one start, batch for batch.")
    common_options(parser, epochs=5, told="5", plot="out/compare_optimizers.png")
    args = parser.parse_args(argv)

    results = compare(digits("train", args.limit), digits("test"), args.epochs, args.batch_size, args.seed)
    print(f"\ntrain loss: mean over the last epoch; steps until the last 100 had a mean loss of {GOAL}")
    print(table(results))
    runs = [(f"{name}, lr {h.lr[0]}", losses, h.val_accuracy) for name, (h, losses) in results.items()]
    draw(args.plot, comparison_picture, runs)
    return results


if __name__ == "__main__":
    try:
        main()
    except (tn.DeviceError, ValueError, OSError) as error:  # a seed, device or file that cannot be: no traceback for these
        sys.exit(f"compare_optimizers: {error}")
