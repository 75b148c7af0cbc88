"""Compare optimizers fairly, on MNIST and on surfaces that one can look at, and write a page that shows it all.

    python examples/compare_optimizers.py                              # a minute or two
    python examples/compare_optimizers.py --epochs 1 --limit 3000      # a few seconds
    python examples/compare_optimizers.py --optimizers Adam AdamW NAdam Lion --lrs 0.0003 0.001 0.003

On MNIST every optimizer trains one small network from the same weights, over the same mini-batches in the same order, at
several learning rates and with several seeds. On the surfaces their steps are drawn over the contours. Everything goes to
the folder out/compare_optimizers; begin with its index.html.
"""

import argparse
import contextlib
import math
import sys
import time
from pathlib import Path

from networks import mlp
from page import heading, page, paragraph, picture, table
from train_mnist import digits, whole_number

import tinynet as tn
from tinynet import optim
from tinynet.compare import Comparison, compare_optimizers, fewest_steps, surfaces, trajectories, weight_paths

# Two rates a decade around the best one on this network. Where the step is the gradient times the rate, rates are large;
# where each weight's step is about as long as the rate, whatever the gradient's size, they are small, and smallest for
# Lion, whose steps are all just as long.
GRADIENT = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
LENGTH = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1)
SIGN = (0.00003, 0.0001, 0.0003, 0.001, 0.003, 0.01)
RATES = {
    "SGD": GRADIENT, "Momentum": GRADIENT, "RMSprop": LENGTH, "Adam": LENGTH, "AdamW": LENGTH, "Adagrad": LENGTH,
    "Adadelta": GRADIENT, "Adamax": LENGTH, "NAdam": LENGTH, "RAdam": LENGTH, "Lion": SIGN,
}  # fmt: skip
TEXTBOOK = ("SGD", "Momentum", "RMSprop", "Adam")
TARGETS = (0.2, {"accuracy": 0.95})  # a training loss, and a share of the test images

# What the textbook draws. The bowl is 25 times as steep across as along, so that plain descent needs a rate below 2 / 25.
BOWL = {
    "SGD, lr 0.082: too large": lambda params: optim.SGD(params, lr=0.082),
    "SGD, lr 0.005: too small": lambda params: optim.SGD(params, lr=0.005),
    "SGD, lr 0.075": lambda params: optim.SGD(params, lr=0.075),
    "Momentum, lr 0.1, beta 0.7": lambda params: optim.Momentum(params, lr=0.1, beta=0.7),
    "RMSprop, lr 0.25": lambda params: optim.RMSprop(params, lr=0.25),
    "Adam, lr 0.5": lambda params: optim.Adam(params, lr=0.5, beta1=0.7, beta2=0.9),
}
RACE = {
    "SGD": optim.SGD,
    "Momentum, beta 0.9": lambda params, lr: optim.Momentum(params, lr=lr, beta=0.9),
    "Momentum, beta 0.44": lambda params, lr: optim.Momentum(params, lr=lr, beta=4 / 9),
    "RMSprop": optim.RMSprop,
    "Adam": optim.Adam,
}
RACE_RATES = [round(10 ** (k / 10), 4) for k in range(-20, 1)]  # ten a decade, from 0.01 to 1
WALKS = {name: getattr(optim, name) for name in TEXTBOOK}
WALK_RATES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)


def network() -> tn.Sequential:
    """784 pixels, 100 hidden units, 10 digits: small enough to be trained a hundred times."""
    return mlp((100,))


def on_mnist(args: argparse.Namespace, data: tuple, test: tuple) -> tuple[Comparison, list[str]]:
    """The comparison and the paths of the weights: prints the table, writes files, returns it and the page's parts."""
    rules = {name: getattr(optim, name) for name in args.optimizers}
    rates = {name: args.lrs or RATES[name] for name in rules}
    steps = math.ceil(len(data[0]) / args.batch_size)
    result = compare_optimizers(
        network, rules, data, validation=test, epochs=args.epochs, batch_size=args.batch_size, seeds=args.seeds, lrs=rates,
        targets=TARGETS, evaluate_every=math.ceil(steps / 4),
    )  # fmt: skip
    print(result.table())
    result.save(args.out / "comparison.json")
    (args.out / "table.txt").write_text(f"{result.table()}\n\n{result.table(sweep=True)}\n", encoding="utf-8")
    drawn(result.plot, args.out / "curves.png")

    best = {name: lr for name, lr in result.best().items() if lr is not None}
    if best:
        followed = {name: rules[name] for name in best}
        options = {"batch_size": args.batch_size, "seed": args.seeds[0]}
        paths = weight_paths(network, followed, data, lrs=best, epochs=min(args.epochs, 2), **options)
        drawn(paths.plot, args.out / "weights.png")
        drawn(paths.animate, args.out / "weights.gif")
    return result, mnist_parts(args, result, steps)


def on_surfaces(out: Path) -> list[str]:
    """The walks over the surfaces: writes their pictures, returns the page's parts."""
    bowl = trajectories(surfaces.oblong_bowl, BOWL, steps=50)
    drawn(lambda path: bowl.plot(path, separate=True), out / "bowl.png")
    drawn(lambda path: bowl.animate(path, separate=True), out / "bowl.gif")
    race = fewest_steps(surfaces.oblong_bowl, RACE, lrs=RACE_RATES, most=300)
    print(f"\nsteps to 1e-6 on the oblong bowl, of condition 25\n{race}")
    for name, surface in (("rosenbrock", surfaces.rosenbrock), ("beale", surfaces.beale)):
        drawn(trajectories(surface, WALKS, steps=150, lrs=WALK_RATES).plot, out / f"{name}.png")
    return surface_parts(out, race)


def drawn(draw, path: Path) -> None:
    """Draw a picture into a file; no file where there is no matplotlib, which ``main`` tells once at the end."""
    path.unlink(missing_ok=True)  # one of an earlier run
    with contextlib.suppress(ImportError):
        draw(path)


# ------------------------------------------------------------------------------------------------------- the page


INTRO = """
    Written by `examples/compare_optimizers.py` of tinynet. Every number and picture below is from one run of it, and can be
    made again; `comparison.json` beside this page holds every step of every run on MNIST.
"""


def counted(number: int, word: str) -> str:
    """``3 seeds``, ``1 seed``."""
    return f"{number} {word}" + "s" * (number != 1)


def mnist_parts(args: argparse.Namespace, result: Comparison, steps: int) -> list[str]:
    """What the page says about MNIST."""
    images = min(args.limit or 60_000, 60_000)
    return [
        heading("On MNIST"),
        paragraph(f"""
            A network of 784, 100 and 10 units is trained for {counted(args.epochs, "epoch")} of {images:,} images, in
            {steps} steps of {args.batch_size} images each, with {counted(len(args.seeds), "seed")}. All runs of a
            seed start from the same weights and see the same mini-batches in the same order; only the update rule and
            its learning rate differ. A learning rate that suits one rule ruins another, so each is tried at several,
            and compared at the one with the lowest training loss; the test images judge the result, but choose
            nothing.
        """),
        table(result.table()),
        paragraph("""
            How to read it: `train loss` is the mean over the last steps, `val` is measured on the test images. `steps
            to` counts until a level is reached for the first time, with the seconds that these steps took; a dash
            means that some seed never reached it. A rule that needs fewer steps may still take longer, if its steps
            cost more.
        """),
        table(result.table(sweep=True), "Every learning rate that was tried"),
        picture(args.out / "curves.png", "Training loss and test accuracy over the steps; both against the learning rate"),
        paragraph("""
            Above: how training goes at the best rate of each. The loss axis is logarithmic, so that a constant pace
            is a straight line; the bands reach from the lowest seed to the highest, and where two bands overlap the
            difference may be luck. Below: what the learning rate does. A wide, flat bottom means that the rate hardly
            matters, a narrow one that it must be tuned. A loss of 2.3, the logarithm of 10, is that of guessing: at
            such a rate nothing was learned. A line ends where training diverges; a cross in a strip above marks each
            rate at which it did. A best rate at the edge of the sweep is marked * in the first table, since a better
            one may lie beyond; in the table of every rate that was tried, * is the best of each optimizer.
        """),
        heading("The way of the weights"),
        paragraph("""
            The network has 79,510 weights; its way through that space cannot be drawn, but its shadow can. Of all
            weights that the runs went through, the two directions are taken along which they differ most (the first
            two principal components; the percentages say how much of all movement they show), and the contours are
            the training loss on that plane, computed by setting the weights to each of its points.
        """),
        picture(args.out / "weights.png", "Paths of the network's weights over the loss on a plane, for each optimizer"),
        picture(args.out / "weights.gif", "The same paths, growing step by step"),
        paragraph("""
            How to read it: all start at the circle. A rule that divides by the gradient's size moves weights with
            small gradients as far as those with large ones; it takes a way of its own, often a longer one, and ends
            elsewhere, just as low. There is not one minimum but a great many. A path runs beside the plane and not in
            it, so its own loss, on the right, is not that of the contours beneath it.
        """),
    ]


def surface_parts(out: Path, race) -> list[str]:
    """What the page says about the surfaces."""
    return [
        heading("On an oblong bowl"),
        paragraph("""
            With two weights one can see everything. The bowl `(x[0]**2 + 25 * x[1]**2) / 2` is 25 times as steep
            across as it is along: its condition number is 25, and the gradient hardly ever points at the minimum, the
            star.
        """),
        picture(out / "bowl.png", "Six paths over the contours of an oblong bowl, and the value against the step"),
        picture(out / "bowl.gif", "The same six paths, growing step by step"),
        paragraph("""
            How to read it: a mark is a step. Gradient descent with a rate above 2/25 overshoots the valley by more at
            every step, and leaves the picture. With a rate that is much too small it slides to the valley's floor and
            then crawls. Just below 2/25 it does arrive, in a zigzag: the steep direction limits the rate, the flat
            one would need a larger one. Momentum averages the gradients: across the valley they alternate and cancel,
            along it they agree and keep their pace, so that it bears a rate at which plain descent diverges. RMSprop
            and Adam divide by the gradient's size in each direction, take no notice of how steep the sides are, and
            turn straight down the valley.
        """),
        table(race),
        paragraph("""
            How many steps each needs, at the best of many rates, until the value stays below a millionth. Theory
            says: plain descent gains a factor (25 - 1) / (25 + 1) a step at best; momentum sqrt(beta), if the rate is
            right, which is best at beta = ((5 - 1) / (5 + 1))**2 = 0.44 here. The usual 0.9 would suit a condition
            number of 1,400 and is slower than no momentum at all on this mild bowl. RMSprop's steps keep their length
            near the minimum, so that at a constant rate it jumps to and fro around it and never comes to rest: rates
            are lowered in the end for that reason.
        """),
        heading("On curved surfaces"),
        picture(out / "rosenbrock.png", "Paths in Rosenbrock's curved valley, and the value against the step"),
        paragraph("""
            Rosenbrock's valley is steep at the sides, almost flat along its floor, and bends. Each optimizer has the
            one of seven rates at which it is lowest over the second half of its way. All find the floor within a few
            steps; following it is the difficulty.
        """),
        picture(out / "beale.png", "Paths over Beale's function, and the value against the step"),
        paragraph("""
            Beale's function has steep corners and a flat middle: the size of the gradient changes by orders of
            magnitude on the way. A rate that is safe at the start is slow at the end, unless the rule adapts it.
            RMSprop gets there first, and then jumps about: its steps do not shrink with the gradient.
        """),
    ]


# ----------------------------------------------------------------------------------------------------- the command


def seed(text: str) -> int:
    """A seed on the command line."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected an integer of at least 0, got {text!r}")
    return int(text)


def rate(text: str) -> float:
    """A learning rate on the command line."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"expected a positive number, got {text!r}")
    return value


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Compare optimizers on MNIST and on surfaces; write a page about it.")
    add = parser.add_argument
    add("--optimizers", nargs="+", choices=RATES, default=TEXTBOOK, metavar="NAME",
        help=f"some of {', '.join(RATES)} (default: {' '.join(TEXTBOOK)})")  # fmt: skip
    add("--lrs", nargs="+", type=rate, metavar="LR",
        help="learning rates, tried with each (default: six for each, around its best one)")  # fmt: skip
    add("--seeds", nargs="+", type=seed, default=[0, 1, 2], metavar="N",
        help="of the first weights and the order of the images (default: 0 1 2)")  # fmt: skip
    add("--epochs", type=whole_number, default=2, metavar="N", help="passes over the images (default: %(default)s)")
    add("--batch-size", type=whole_number, default=128, metavar="N", help="images in a step (default: %(default)s)")
    add("--limit", type=whole_number, metavar="N", help="use the first N images of each set only (default: all)")
    add("--out", type=Path, default=Path("out/compare_optimizers"), metavar="FOLDER",
        help="where everything goes (default: %(default)s)")  # fmt: skip
    args = parser.parse_args(argv)
    for name in ("optimizers", "lrs", "seeds"):
        given = getattr(args, name) or []
        if len(set(given)) < len(given):
            parser.error(f"argument --{name}: expected each only once, got {' '.join(map(str, given))}")
    return args


def main(argv: list[str] | None = None) -> Comparison:
    """Compare as the command line says; returns the comparison on MNIST."""
    args = parse(argv)
    begun = time.perf_counter()
    data, test = digits("train", args.limit), digits("test", args.limit)
    args.out.mkdir(parents=True, exist_ok=True)  # now rather than fail after the training
    result, parts = on_mnist(args, data, test)
    parts += on_surfaces(args.out)
    target = args.out / "index.html"
    target.write_text(page("Optimizers side by side", [paragraph(INTRO), *parts]), encoding="utf-8")
    print(f"\n{time.perf_counter() - begun:.0f} s; everything is in {args.out}, begin with {target}")
    if not any(args.out.glob("*.png")):
        print("no pictures: they need matplotlib, which pip install 'tinynet[plot]' brings")
    return result


if __name__ == "__main__":
    try:
        main()
    except (tn.DeviceError, ValueError, OSError) as error:  # a device or a folder that cannot be: no traceback for these
        sys.exit(f"compare_optimizers: {str(error).removeprefix('compare_optimizers: ')}")
