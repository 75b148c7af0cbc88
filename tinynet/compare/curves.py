"""The pictures of a Comparison and of a range test: curves over steps, and the sensitivity to the learning rate."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from .pictures import label_axes, look, marker, plain_log
from .run import Run, falls

BAND = 0.15  # the opacity of a band over the seeds


def comparison_picture(figure: Any, comparison: Any, best: dict[str, float | None]) -> None:
    """Above: loss and validation number over steps, at the best rates. Below: the same at the end, over the rates."""
    metric = shown_metric(comparison.metrics)
    swept = any(len(comparison.lrs(label)) > 1 for label in comparison.labels)
    columns = 2 if metric else 1
    figure.set_size_inches(4.4 * columns + 2.4, 7.8 if swept else 4.0)
    upper, *lower = figure.subfigures(1 + swept, 1, squeeze=False)[:, 0]
    seeds = len({run.seed for run in comparison.runs})
    band = f"; bands: lowest to highest of {seeds} seeds" if seeds > 1 else ""
    upper.suptitle(f"one start, the same mini-batches, each optimizer at its best rate{band}", fontsize="medium")
    above = upper.subplots(1, columns, squeeze=False)[0]
    for i, label in enumerate(comparison.labels):
        runs = comparison.of(label, best[label])
        title = f"{label}, lr {best[label]:g}" if runs else f"{label}: diverged at every rate"
        above[0].plot([], [], **look(i), label=title)
        curve(above[0], [run for run in runs if not run.diverged], i, comparison.window)
        if metric:
            validation_curve(above[1], [run for run in runs if not run.diverged], i, metric)
    plain_log(above[0].yaxis)
    label_axes(above[0], "step", training_title(comparison.window, "mean over"))
    if metric:
        label_axes(above[1], "step", metric_title(metric))
    upper.legend(loc="outside right center", frameon=False)
    if swept:
        lower[0].suptitle("the end of every run, against its learning rate", fontsize="medium")
        sensitivity(lower[0], comparison, ["loss", metric] if metric else ["loss"])


def shown_metric(metrics: list[str]) -> str | None:
    """The validation number to draw: the first metric, or else the validation loss."""
    return next((name for name in metrics if name != "val_loss"), metrics[0] if metrics else None)


def training_title(window: int, which: str) -> str:
    """``training loss, mean of 100 steps``; without the latter for a window of one."""
    return "training loss" + (f", {which} {window} steps" if window > 1 else "")


def metric_title(name: str) -> str:
    """``val_accuracy`` as an axis says it."""
    return "validation " + name.removeprefix("val_").replace("_", " ") + (" (%)" if "accuracy" in name else "")


def scale(name: str) -> float:
    """By what a number is multiplied to be drawn: accuracies are percentages."""
    return 100.0 if "accuracy" in name else 1.0


def curve(axes: Any, runs: list[Run], number: int, window: int) -> None:
    """The training loss over steps: the mean over the seeds, between the lowest and the highest."""
    if runs:
        values = np.array([centred(run.losses, window) for run in runs])
        banded(axes, np.arange(1, values.shape[1] + 1), values, number)


def centred(losses: list[float], window: int) -> np.ndarray:
    """At each step, the mean of the ``window`` losses around it: of as many on both sides at the beginning, where losses
    fall fastest, and of those that there are at the end."""
    sums, step = np.cumsum([0.0, *losses]), np.arange(len(losses))
    half = np.minimum(window // 2, step)
    end = np.minimum(step + half + 1, len(losses))
    return (sums[end] - sums[step - half]) / (end - step + half)


def validation_curve(axes: Any, runs: list[Run], number: int, name: str) -> None:
    """A validation number over the steps after which it was looked at."""
    runs = [run for run in runs if name in run.validation]
    if runs:
        values = scale(name) * np.array([run.validation[name] for run in runs])
        marks = {"marker": marker(number), "markersize": 4} if len(runs[0].evaluated) <= 40 else {}
        banded(axes, runs[0].evaluated, values, number, **marks)


def banded(axes: Any, x: Any, values: np.ndarray, number: int, **marks: Any) -> None:
    """The mean of the rows as a line, and a band from their smallest to their largest."""
    if len(values) > 1:
        axes.fill_between(x, values.min(axis=0), values.max(axis=0), color=look(number)["color"], alpha=BAND, linewidth=0)
    axes.plot(x, values.mean(axis=0), **look(number), **marks)


def sensitivity(figure: Any, comparison: Any, names: list[str]) -> None:
    """For each name the number at a run's end against its rate; above it a strip with a cross where one diverged."""
    failed = [label for label in comparison.labels if any(run.diverged for run in comparison.runs if run.label == label)]
    ratios = (0.1 + 0.11 * len(failed), 2.0) if failed else (1.0,)
    grid = figure.subplots(len(ratios), len(names), squeeze=False, sharex=True, height_ratios=ratios)
    for column, name in enumerate(names):
        axes = grid[-1, column]
        for i, label in enumerate(comparison.labels):
            points = [(lr, [r.final(name, comparison.window) for r in finished(comparison.of(label, lr))])
                      for lr in comparison.lrs(label)]  # fmt: skip
            points = [(lr, [scale(name) * value for value in values]) for lr, values in points if values]
            if points:
                x = [lr for lr, _ in points]
                band = [[f(values) for _, values in points] for f in (min, max)]
                if any(len(values) > 1 for _, values in points):
                    axes.fill_between(x, *band, color=look(i)["color"], alpha=BAND, linewidth=0)
                axes.plot(x, [np.mean(v) for _, v in points], **look(i), marker=marker(i), markersize=5, label=label)
            if label in failed:
                lrs = [run.lr for run in comparison.runs if run.label == label and run.diverged]
                row = [-failed.index(label)] * len(lrs)
                grid[0, column].plot(lrs, row, "x", color=look(i)["color"], markersize=6, markeredgewidth=1.8)
        plain_log(axes.xaxis)
        if falls(name):
            plain_log(axes.yaxis)
        title = training_title(comparison.window, "last") if name == "loss" else metric_title(name)
        label_axes(axes, "learning rate", title, whole=False)
        if failed:
            strip(grid[0, column], failed)
    figure.legend(*grid[-1, 0].get_legend_handles_labels(), loc="outside right center", frameon=False)


def range_picture(figure: Any, found: Any) -> None:
    """The loss of each step of a range test against its rate, its average, and lines at the rates that were found."""
    figure.set_size_inches(7.4, 4.2)
    axes = figure.subplots()
    axes.plot(found.lrs, found.losses, ".", color="0.7", markersize=4, label="loss of a batch")
    axes.plot(found.lrs, found.smoothed, **look(0), label="its average")
    rates = ("suggestion", found.suggestion), ("lowest loss", found.lowest), ("exploded", found.exploded)
    for i, (what, lr) in enumerate(rates, 1):
        if lr is not None:
            axes.axvline(lr, **look(i), label=f"{what}: lr {lr:.2g}")
    finite = found.smoothed[np.isfinite(found.smoothed)]
    if len(finite):
        low, high = finite.min(), min(finite.max(), 2 * abs(finite[0]) + abs(finite.min()))
        axes.set_ylim(low - 0.1 * (high - low) - 1e-9, high + 0.1 * (high - low) + 1e-9)
    plain_log(axes.xaxis)
    label_axes(axes, "learning rate, rising step by step", "training loss", whole=False)
    figure.legend(loc="outside right upper", frameon=False)


def finished(runs: Iterable[Run]) -> list[Run]:
    """The runs that did not diverge."""
    return [run for run in runs if not run.diverged]


def strip(axes: Any, labels: list[str]) -> None:
    """The place for the crosses: a row for each optimizer that diverged anywhere, with its name."""
    axes.set(ylim=(0.4 - len(labels), 0.6))
    axes.set_yticks([-i for i in range(len(labels))], labels, fontsize="small")
    axes.set_title("diverged", fontsize="small", loc="left")
    axes.tick_params(bottom=False, labelbottom=False, left=False)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
