"""Digits drawn from noise: a variational autoencoder (Kingma, Welling 2014, arXiv:1312.6114) on MNIST.

    python examples/vae.py                                   # about a minute
    python examples/vae.py --epochs 30 --latent 2

An encoder turns a digit into a normal distribution over a few hidden numbers; a decoder turns a draw from it into a digit
again. Trained so that the digit comes back and the distribution stays near the standard one, the decoder makes digits
that nobody wrote out of standard normal noise.
"""

import argparse
import sys

import numpy as np
from pictures import COLOURS, draw, image_file, label_axes
from train_mnist import digits, whole_number

import tinynet as tn
from tinynet import functions as F
from tinynet import layers as L
from tinynet import optim


class Autoencoder(tn.Model):
    """784 pixels -> mean and log-variance of ``latent`` numbers -> a draw -> the logits of 784 pixels."""

    def __init__(self, latent: int = 10, hidden: int = 400):
        self.encoder = tn.Sequential(L.Flatten(), L.Linear(784, hidden), L.ReLU(), L.Linear(hidden, 2 * latent))
        self.decoder = tn.Sequential(L.Linear(latent, hidden), L.ReLU(), L.Linear(hidden, 784), L.Unflatten(1, (1, 28, 28)))
        self.latent = latent

    def forward(self, x):
        mean, log_variance = self.encoder(x).split(2, axis=1)
        # The draw is written as mean + deviation * noise: the noise needs no gradient, mean and deviation get theirs.
        z = mean + (log_variance / 2).exp() * tn.randn(*mean.shape)
        return self.decoder(z), mean, log_variance

    def copy(self, x) -> tn.Tensor:
        """What comes back of x, without noise; each pixel between 0 and 1."""
        mean, _ = self.encoder(x).split(2, axis=1)
        return self.decoder(mean).sigmoid()

    def sample(self, n: int) -> tn.Tensor:
        """n digits from noise, each pixel between 0 and 1: ``(n, 1, 28, 28)``."""
        with tn.no_grad():
            return self.decoder(tn.randn(n, self.latent)).sigmoid()


def bound(outputs, images):
    """The negative evidence lower bound of a digit, in nats: the cost of its pixels, and of its hidden distribution.

    The latter is its distance from the standard normal, the Kullback-Leibler divergence
    of N(mean, variance) from N(0, 1) summed over the hidden numbers,
    (mean**2 + variance - 1 - log(variance)) / 2.
    """
    logits, mean, log_variance = outputs
    pixels = F.binary_cross_entropy_with_logits(logits, images, reduction="sum")
    distance = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum()
    return (pixels + distance) / len(images)


def picture(figure, history, images, copies, drawn) -> None:
    """The bound of each epoch, some digits with what came back, and digits from noise."""
    figure.set_size_inches(9, 8)
    above, below = figure.subfigures(2, 1, height_ratios=(1, 1.55))
    bounds, pairs = above.subplots(1, 2)
    epochs = np.arange(1, len(history.loss) + 1)
    bounds.plot(epochs, history.loss, "o-", color=COLOURS[0], label="training")
    bounds.plot(epochs, history.val_loss, "s--", color=COLOURS[1], label="test")
    label_axes(bounds, "epoch", "negative bound (nats a digit)")
    bounds.legend(frameon=False)
    pairs.set_title("test digits, and below each what comes back")
    tiles(pairs, np.concatenate([images[:6], copies[:6], images[6:], copies[6:]]), columns=6)
    fresh = below.subplots()
    fresh.set_title("digits from noise")
    tiles(fresh, drawn, columns=16)


def tiles(axes, images, columns: int) -> None:
    """Images side by side, as one."""
    rows = images.reshape(-1, columns, 28, 28)
    axes.imshow(rows.swapaxes(1, 2).reshape(-1, columns * 28), cmap="gray_r", vmin=0, vmax=1)
    axes.axis("off")


def main(argv: list[str] | None = None) -> tn.History:
    """Train as the command line says, and draw; returns the history."""
    parser = argparse.ArgumentParser(description="A variational autoencoder that draws digits from noise.")
    add = parser.add_argument
    add("--epochs", type=whole_number, default=10, metavar="N", help="passes over the images (default: %(default)s)")
    add("--latent", type=whole_number, default=10, metavar="N", help="hidden numbers of a digit (default: %(default)s)")
    add("--limit", type=whole_number, metavar="N", help="train on the first N images only (default: all 60,000)")
    add("--seed", type=int, default=0, help="of the weights, the order and the noise (default: %(default)s)")
    add("--plot", type=image_file, default="out/vae.png", metavar="PATH",
        help="where the picture goes (default: %(default)s)")  # fmt: skip
    args = parser.parse_args(argv)

    tn.manual_seed(args.seed)
    model = Autoencoder(args.latent)
    (images, _), (test, _) = digits("train", args.limit), digits("test")
    print(f"{sum(p.size for p in model.parameters()):,} weights, {args.latent} hidden numbers, {len(images):,} images")
    history = model.fit(
        (images, images), optimizer=optim.Adam(model, lr=1e-3), loss=bound, epochs=args.epochs, batch_size=128,
        validation=(test, test),
    )  # fmt: skip
    print(f"a test digit costs {history.val_loss[-1]:.1f} nats at most")
    copies, drawn = (t.numpy()[:, 0] for t in (model.copy(test[:12]), model.sample(128)))
    draw(args.plot, picture, history, test.numpy()[:12, 0], copies, drawn)
    return history


if __name__ == "__main__":
    try:
        main()
    except (tn.DeviceError, ValueError, OSError) as error:  # a seed, device or file that cannot be: no traceback for these
        sys.exit(f"vae: {error}")
