"""What the other examples draw, with matplotlib where it is installed.

A picture is a function of a matplotlib figure and of what it shows; ``draw`` makes the figure and writes the file. No window
is opened and no global state of matplotlib is touched: its ``Figure`` is enough to write a file.
"""

from pathlib import Path

import numpy as np

# Okabe and Ito's colours, which remain apart for the colour-blind, and line styles, which remain apart in grey.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
STYLES = ("-", "--", "-.", ":")


def draw(path, picture, *arguments) -> None:
    """Write ``picture(figure, *arguments)`` to an image file and say where it is, or else how to get matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print("no picture: that needs matplotlib, which pip install 'tinynet[plot]' brings")
        return
    figure = Figure(layout="constrained", dpi=120)
    figure.get_layout_engine().set(w_pad=0.1, h_pad=0.1)  # inches around everything
    picture(figure, *arguments)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    print(f"picture in {path}")


def training_picture(figure, title, history, images, truth, guess) -> None:
    """The loss and accuracy of each epoch, and the first dozen misread digits."""
    figure.set_size_inches(9, 7.5)
    above, below = figure.subfigures(2, 1, height_ratios=(1.2, 1))
    above.suptitle(title)
    loss, accuracy = above.subplots(1, 2)
    epochs = np.arange(1, len(history.loss) + 1)
    for axes, name, unit, scale in ((loss, "loss", "cross-entropy", 1), (accuracy, "accuracy", "%", 100)):
        axes.plot(epochs, scale * np.array(history[name]), "o-", color=COLOURS[0], label="training, over the epoch")
        axes.plot(epochs, scale * np.array(history[f"val_{name}"]), "s--", color=COLOURS[1], label="test, at its end")
        label_axes(axes, "epoch", f"{name} ({unit})")
        axes.legend(frameon=False)

    below.suptitle(f"{min(12, len(images))} of the {len(images):,} misread test digits: true → predicted")
    cells = below.subplots(2, 6).ravel()
    for cell in cells:
        cell.axis("off")
    for cell, image, true, predicted in zip(cells, images, truth, guess, strict=False):
        cell.imshow(image, cmap="gray_r")
        cell.set_title(f"{true} → {predicted}")


def comparison_picture(figure, runs) -> None:
    """The loss of each step and the test accuracy of each epoch; ``runs``: (label, losses, accuracies) of each optimizer."""
    from matplotlib.ticker import LogLocator, NullLocator

    figure.set_size_inches(11, 4.5)
    figure.suptitle("one network, one start, the same mini-batches in the same order")
    loss, accuracy = figure.subplots(1, 2, width_ratios=(3, 2))
    for (label, losses, accuracies), colour, style in zip(runs, COLOURS, STYLES, strict=False):
        means = smoothed(losses)
        loss.plot(np.arange(1, len(means) + 1), means, style, color=colour, label=label)
        epochs = np.arange(1, len(accuracies) + 1)
        accuracy.plot(epochs, 100 * np.array(accuracies), style, marker="o", markersize=4, color=colour)
    loss.set_yscale("log")
    loss.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    loss.yaxis.set_major_formatter("{x:g}")
    loss.yaxis.set_minor_locator(NullLocator())
    label_axes(loss, "step", "training loss, mean of the last 100 steps")
    label_axes(accuracy, "epoch", "test accuracy (%)")
    figure.legend(loc="outside right center", frameon=False)


def smoothed(losses, width=100):
    """After each step, the mean of the last ``width`` losses, of fewer at the beginning."""
    sums = np.cumsum([0.0, *losses])
    end = np.arange(1, len(losses) + 1)
    start = np.maximum(end - width, 0)
    return (sums[end] - sums[start]) / (end - start)


def label_axes(axes, x, y) -> None:
    """Name the axes; whole numbers along x, a light grid, no box."""
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
