"""Train a network on handwritten digits until it reads more than 98 of 100 right.

    python examples/train_mnist.py                                        # Adam, a few seconds
    python examples/train_mnist.py --model cnn                            # more than 99, in a minute or so
    python examples/train_mnist.py --optimizer momentum --hidden 512
    python examples/train_mnist.py --device cuda --save out/digits.safetensors
    python examples/train_mnist.py --help                                 # every option and its default

The training itself is the function ``train``; the rest reads the command line and tells what came out.
"""

import argparse
import sys
from itertools import accumulate
from pathlib import Path

import numpy as np
from networks import NETWORKS
from pictures import draw, image_file, training_picture

import tinynet as tn
from tinynet import optim

# Each optimizer with a learning rate at which it trains the fully connected network well, for batches of 128. Momentum's
# velocity is a weighted average of the gradients, as long as they are, so that its rate is like plain SGD's; RMSprop and
# Adam divide by the gradient's size, so that theirs is about the length of a step.
OPTIMIZERS = {
    "sgd": (optim.SGD, 0.5),
    "momentum": (optim.Momentum, 0.5),
    "rmsprop": (optim.RMSprop, 0.002),
    "adam": (optim.Adam, 0.003),
}


def digits(split: str, limit: int | None = None) -> tuple[tn.Tensor, tn.Tensor]:
    """The images and labels of a split, or the first of them, on the default device."""
    images, labels = tn.datasets.MNIST(split).arrays
    return tn.tensor(images[:limit]), tn.tensor(labels[:limit])


def train(model: tn.Model, data: tuple, test: tuple, optimizer: optim.Optimizer, epochs: int, batch_size: int) -> tn.History:
    """Train for some epochs, with the rate falling along a cosine from one to the next."""
    return model.fit(
        data,
        optimizer=optimizer,
        epochs=epochs,
        batch_size=batch_size,
        validation=test,
        scheduler=optim.schedulers.CosineAnnealingLR(optimizer, T_max=epochs),
    )


def report(history: tn.History, goal: float) -> None:
    """The test accuracy, the time it took, and when it first reached the goal."""
    seconds = list(accumulate(history.seconds))
    print(f"test accuracy {history.val_accuracy[-1]:.2%} after {seconds[-1]:.1f} s of training")
    reached = [s for s, accuracy in zip(seconds, history.val_accuracy, strict=True) if accuracy >= goal]
    print(f"{goal:.0%} after {reached[0]:.1f} s of training" if reached else f"{goal:.0%} was not reached")


def whole_number(text: str) -> int:
    """A number of things on the command line: an integer of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected an integer of at least 1, got {text!r}")
    return int(text)


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The command line."""
    rates = ", ".join(f"{name} {lr}" for name, (_, lr) in OPTIMIZERS.items())
    parser = argparse.ArgumentParser(description="Train a network on MNIST, the handwritten digits.")
    add = parser.add_argument
    add("--model", choices=NETWORKS, default="mlp", help="the network, see networks.py (default: %(default)s)")
    add("--optimizer", choices=OPTIMIZERS, default="adam", help="the update rule (default: %(default)s)")
    add("--lr", type=float, help=f"learning rate, falling along a cosine (default: {rates})")
    add("--hidden", type=whole_number, nargs="*", metavar="N",
        help="widths of the mlp's hidden layers, none for a linear model (default: 256 128)")  # fmt: skip
    add("--device", help="cpu, cuda or cuda:N (default: the environment variable TINYNET_DEVICE, else cpu)")
    add("--save", metavar="PATH", help="save the trained weights here, as safetensors (default: not saved)")
    epochs = ", ".join(f"{name} {network.epochs}" for name, network in NETWORKS.items())
    add("--epochs", type=whole_number, metavar="N", help=f"passes over the images (default: {epochs})")
    add("--batch-size", type=whole_number, default=128, metavar="N", help="images in a step (default: %(default)s)")
    add("--limit", type=whole_number, metavar="N", help="train on the first N images only (default: all 60,000)")
    add("--seed", type=int, default=0, help="of the first weights and the order of the images (default: %(default)s)")
    add("--plot", type=image_file, default="out/train_mnist.png", metavar="PATH",
        help="where the picture goes (default: %(default)s)")  # fmt: skip
    args = parser.parse_args(argv)
    if args.hidden is not None and args.model != "mlp":
        parser.error(f"argument --hidden: only the mlp has hidden layers to choose, not the {args.model}")
    if args.save and Path(args.save).is_dir():
        parser.error(f"argument --save: expected a file, {args.save!r} is a folder")
    return args


def main(argv: list[str] | None = None) -> tn.History:
    """Train as the command line says; returns the history."""
    args = parse(argv)
    if args.save:
        Path(args.save).parent.mkdir(parents=True, exist_ok=True)  # now rather than fail after the training
    if args.device:
        tn.set_default_device(args.device)
    tn.manual_seed(args.seed)
    network = NETWORKS[args.model]
    widths = [] if args.hidden is None else [args.hidden]
    model = network.make(*widths)
    rule, lr = OPTIMIZERS[args.optimizer]
    optimizer = rule(model, lr=lr if args.lr is None else args.lr)
    data, test = digits("train", args.limit), digits("test")

    title = f"{args.model} of {sum(p.size for p in model.parameters()):,} weights, {rule.__name__} at {optimizer.lr:g}"
    print(f"{title}, {len(data[0]):,} images, on {data[0].device}")
    history = train(model, data, test, optimizer, args.epochs or network.epochs, args.batch_size)
    report(history, network.goal)

    if args.save:
        model.save(args.save)
        arguments = ", ".join(map(str, widths))
        print(f"weights in {args.save}: networks.{network.make.__name__}({arguments}).load({args.save!r}) reads them")
    images, truth = (t.numpy() for t in test)
    guess = model.predict(test[0]).argmax(axis=1).numpy()
    wrong = np.flatnonzero(guess != truth)
    draw(args.plot, training_picture, title, history, images[wrong, 0], truth[wrong], guess[wrong])
    return history


if __name__ == "__main__":
    try:
        main()
    except (tn.DeviceError, ValueError, OSError) as error:  # a rate, device or file that cannot be: no traceback for these
        sys.exit(f"train_mnist: {error}")
