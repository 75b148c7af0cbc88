"""What the other examples draw, with matplotlib where it is installed, in the style of ``tinynet.compare.pictures``.

A picture is a function of a matplotlib figure and of what it shows; ``draw`` makes the figure and writes the file.
"""

import argparse
from pathlib import Path

import numpy as np

from tinynet.compare.pictures import COLOURS, label_axes, new_figure

ENDINGS = (".png", ".svg", ".pdf", ".jpg")


def image_file(text: str) -> str:
    """A file for a picture on the command line. What is wrong with it is told now rather than after the training."""
    if Path(text).suffix.lower() not in ENDINGS or Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"expected a file that ends in {', '.join(ENDINGS)}, got {text!r}")
    return text


def draw(path, picture, *arguments) -> None:
    """Write ``picture(figure, *arguments)`` to an image file and say where it is, or else how to get matplotlib."""
    try:
        figure = new_figure()
    except ImportError:
        print("no picture: that needs matplotlib, which pip install 'tinynet[plot]' brings")
        return
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
