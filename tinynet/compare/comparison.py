"""Comparison: what the runs of ``compare_optimizers`` found, as a table, pictures and files.

The one idea: everything is computed from the runs when it is asked for, by one criterion that stands in ``best``.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from ..checkpoint import write_whole
from .run import Run, Target, falls
from .table import Row, Table, mean_of, spread_of, with_spread

FORMAT = "tinynet comparison 1"
WINDOW = 100  # steps over which a training loss is averaged, in a run of at least ten times as many


class Comparison:
    """``runs`` of ``compare_optimizers``, a ``Run`` for every seed, label and rate.

    ``steps``: of a run that finishes. ``window``: the number of steps whose mean counts as the training loss, a tenth of
    a run but at most 100. ``targets``: the levels to which steps are counted. ``labels``: of the optimizers, in order.
    """

    def __init__(self, runs: Iterable[Run], *, steps: int, batch_size: int, targets: Iterable[Target] = ()):
        self.runs = list(runs)
        self.steps, self.batch_size = steps, batch_size
        self.targets = tuple(targets)
        self.window = min(max(steps // 10, 1), WINDOW)
        self.labels = list(dict.fromkeys(run.label for run in self.runs))

    def lrs(self, label: str) -> list[float]:
        """The rates that were tried for an optimizer, rising."""
        return sorted({run.lr for run in self.runs if run.label == label})

    def of(self, label: str, lr: float) -> list[Run]:
        """The runs of an optimizer at a rate, one a seed."""
        return [run for run in self.runs if run.label == label and run.lr == lr]

    @property
    def metrics(self) -> list[str]:
        """The names of the validation numbers: ``val_loss``, ``val_accuracy``; none without validation data."""
        return list(dict.fromkeys(name for run in self.runs for name in run.validation))

    def score(self, label: str, lr: float, by: str = "loss") -> float:
        """How good a rate was, the smaller the better: see ``best``. Infinite where a run diverged."""
        runs = self.of(label, lr)
        value = mean_of(run.final(by, self.window) for run in runs)
        if any(run.diverged for run in runs) or math.isnan(value):
            return math.inf
        return value if falls(by) else -value

    def best(self, by: str = "loss") -> dict[str, float | None]:
        """The best rate of each optimizer, by label; None for one that diverged with some seed at every rate.

        It is the rate with the lowest training loss at the end: of the mean over the last ``window`` steps, the mean
        over the seeds. Of equal rates it is the smallest, and one at which any seed diverged is none. ``by="val_loss"`` or
        ``"val_accuracy"`` chooses by the last validation number instead; remember that it then has chosen on these data.
        """
        if by not in ("loss", *self.metrics):
            raise ValueError(f"best: by is {by!r}, expected one of {['loss', *self.metrics]}")
        found: dict[str, float | None] = {}
        for label in self.labels:
            lr = min(self.lrs(label), key=lambda lr: self.score(label, lr, by))
            found[label] = lr if self.score(label, lr, by) < math.inf else None
        return found

    # ----------------------------------------------------------------------------------------------------- table

    def table(self, by: str = "loss", sweep: bool = False) -> Table:
        """A row for each optimizer at its best rate (``by`` as in ``best``), or with ``sweep`` for every rate tried.

        Printing it shows aligned text; ``.rows`` are dicts: ``optimizer``, ``lr``, ``seeds``, ``diverged`` (how many of
        the seeds), ``loss`` and each validation number at the end with its ``_spread``, for every target ``steps to ...``
        and ``seconds to ...``, and the ``seconds`` of training of a run. Numbers are means over the seeds that finished,
        NaN where none did; seconds are medians, which one run that was held up does not move. A spread is the standard
        deviation over the seeds (a sample's, n - 1). A target that some seed did not reach has None. Training loss: the
        mean of the last ``window`` steps.
        """
        best = self.best(by)
        rows = []
        for label in self.labels:
            lrs = self.lrs(label)
            if sweep:
                rows += [self._row(label, lr, lr == best[label]) for lr in lrs]
            else:
                rows.append(self._row(label, best[label], best[label] in (lrs[0], lrs[-1]) and len(lrs) > 1))
        columns: dict[str, Callable[[Row], str]] = {
            "optimizer": lambda r: r["optimizer"],
            "lr": lambda r: ("–" if r["lr"] is None else f"{r['lr']:g}") + ("*" if r["marked"] else ""),
            "train loss": self._final,
        }
        for name in self.metrics:
            form = ".4f" if falls(name) else ".2%" if name == "val_accuracy" else ".4g"
            columns[name.replace("_", " ")] = lambda r, n=name, f=form: with_spread(r[n], r[f"{n}_spread"], f)  # type: ignore[misc]
        for target in self.targets:
            columns[f"steps to {str(target).removeprefix('val_').replace('_', ' ')}"] = lambda r, t=target: _time_to(r, t)  # type: ignore[misc]
        columns["seconds"] = lambda r: f"{r['seconds']:.2f}"
        return Table(rows, columns, self._notes(rows, sweep))

    def _row(self, label: str, lr: float | None, marked: bool) -> Row:
        """The numbers of an optimizer at a rate; at None those of all its rates, where all diverged."""
        runs = [run for run in self.runs if run.label == label and lr in (None, run.lr)]
        good = [run for run in runs if not run.diverged]
        row: Row = {"optimizer": label, "lr": lr, "seeds": len(runs), "diverged": len(runs) - len(good), "marked": marked}
        for name in ("loss", *self.metrics):
            values = [run.final(name, self.window) for run in good]
            row |= {name: mean_of(values), f"{name}_spread": spread_of(values)}
        for target in self.targets:
            reached = [run.reached(target, self.window) for run in good]
            steps = [step for step in reached if step is not None]
            times = [run.seconds[step - 1] for run, step in zip(good, reached, strict=True) if step is not None]
            whole = bool(runs) and len(steps) == len(runs)
            row[f"steps to {target}"] = mean_of(steps) if whole else None
            row[f"seconds to {target}"] = median(times) if whole else None
        return row | {"seconds": median(run.seconds[-1] for run in runs)}

    def _final(self, row: Row) -> str:
        """The training loss of a row, or that it diverged."""
        if row["diverged"] < row["seeds"]:
            some = f" ({row['diverged']} of {row['seeds']} diverged)" if row["diverged"] else ""
            return with_spread(row["loss"], row["loss_spread"], ".4f") + some
        steps = [run.diverged for run in self.runs if run.label == row["optimizer"] and row["lr"] in (None, run.lr)]
        return f"diverged at step {min(step for step in steps if step is not None)}"

    def _notes(self, rows: list[Row], sweep: bool) -> list[str]:
        seeds = len({run.seed for run in self.runs})
        over = f", over {seeds} seeds ± their standard deviation" if seeds > 1 else ""
        notes = [f"train loss: mean of the last {self.window} of {self.steps} steps of {self.batch_size}{over}"]
        if any(row["marked"] for row in rows):
            edge = "* the lowest or highest rate tried: another may be better yet"
            notes.append("* the best rate of this optimizer" if sweep else edge)
        return notes

    def __repr__(self) -> str:
        return f"Comparison of {', '.join(self.labels)} in {len(self.runs)} runs of {self.steps} steps\n{self.table()}"

    # ----------------------------------------------------------------------------------------------------- pictures

    def plot(self, path: str | os.PathLike, by: str = "loss") -> None:
        """Draw a PNG or SVG: the curves of each optimizer at its best rate, and the sensitivity to the rate.

        Above, the training loss (the mean of the last ``window`` steps) and the validation number against steps; below, the
        same numbers at the end of each run against its learning rate, with a cross where it diverged. Lines are means over
        the seeds, bands reach from the lowest seed to the highest. Needs matplotlib.
        """
        from .curves import comparison_picture
        from .pictures import save_picture

        save_picture("Comparison.plot", path, comparison_picture, self, self.best(by))

    # ----------------------------------------------------------------------------------------------------- files

    def save(self, path: str | os.PathLike) -> None:
        """Write everything as JSON, which ``Comparison.load`` reads, or a line for each step of each run as CSV.

        CSV columns: ``optimizer, lr, seed, step, seconds, loss``, the validation numbers (empty after steps where nobody
        looked), and ``diverged``, 1 in the last line of a run that did. JSON has no infinity and no NaN: they are written
        as the strings ``"inf"``, ``"-inf"``, ``"nan"``. An existing file is replaced in one step.
        """
        write = {".json": self._json, ".csv": self._csv}.get(Path(path).suffix.lower())
        if write is None:
            raise ValueError(f"Comparison.save: path is {os.fspath(path)!r}, expected an ending of .json or .csv")
        write_whole(path, write().encode())

    def _json(self) -> str:
        runs = [{key: _plain(value) for key, value in asdict(run).items()} for run in self.runs]
        targets = [asdict(target) for target in self.targets]
        content = {"format": FORMAT, "steps": self.steps, "batch_size": self.batch_size, "targets": targets, "runs": runs}
        return json.dumps(content, allow_nan=False, indent=None)

    def _csv(self) -> str:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        metrics = self.metrics
        writer.writerow(["optimizer", "lr", "seed", "step", "seconds", "loss", *metrics, "diverged"])
        for run in self.runs:
            looked = {step: [run.validation[m][i] for m in metrics] for i, step in enumerate(run.evaluated)}
            for step, (seconds, loss) in enumerate(zip(run.seconds, run.losses, strict=True), 1):
                numbers = looked.get(step, [""] * len(metrics))
                writer.writerow([run.label, run.lr, run.seed, step, seconds, loss, *numbers, int(step == run.diverged)])
        return text.getvalue()

    @classmethod
    def load(cls, path: str | os.PathLike) -> Comparison:
        """Read what ``save`` has written as JSON. ``ValueError`` naming the file where it is something else."""
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            if content["format"] != FORMAT:
                raise ValueError(f"its format is {content['format']!r}, expected {FORMAT!r}")
            runs = [Run(**{key: _number(value, key) for key, value in run.items()}) for run in content["runs"]]
            targets = [Target(**target) for target in content["targets"]]
            return cls(runs, steps=content["steps"], batch_size=content["batch_size"], targets=targets)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"{os.fspath(path)!r} is no comparison that tinynet has saved: {error}") from error


def _time_to(row: Row, target: Target) -> str:
    """``412 (1.2 s)``, a dash where it was not reached."""
    steps = row[f"steps to {target}"]
    return "–" if steps is None else f"{steps:.0f} ({row[f'seconds to {target}']:.1f} s)"


def _plain(value: Any) -> Any:
    """A value for JSON: numbers that are not finite as strings."""
    if isinstance(value, dict):
        return {key: _plain(v) for key, v in value.items()}
    if isinstance(value, list):
        return [_plain(v) for v in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _number(value: Any, key: str) -> Any:
    """What ``_plain`` was given."""
    if isinstance(value, dict):
        return {k: _number(v, k) for k, v in value.items()}
    if isinstance(value, list):
        return [_number(v, key) for v in value]
    return float(value) if isinstance(value, str) and key != "label" else value
