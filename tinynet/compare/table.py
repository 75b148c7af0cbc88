"""Table: rows of numbers, and the columns in which a person reads them.

The one idea: the rows keep the numbers as they are, and a column says how to write one; text and HTML are two ways to lay
out the same cells.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Iterable
from typing import Any

Row = dict[str, Any]


class Table:
    """``rows``: a dict of numbers each. Printing it shows aligned text; ``html()`` is the same as an HTML table.

    ``columns``: by its title, what a column shows of a row, as text. ``notes``: lines below.

    >>> rows = [{"name": "SGD", "loss": 0.25}, {"name": "Adam", "loss": 0.125}]
    >>> print(Table(rows, {"optimizer": lambda row: row["name"], "loss": lambda row: f"{row['loss']:.3f}"}))
    optimizer   loss
    SGD        0.250
    Adam       0.125
    """

    def __init__(self, rows: Iterable[Row], columns: dict[str, Callable[[Row], str]], notes: Iterable[str] = ()):
        self.rows = list(rows)
        self.notes = list(notes)
        self._titles = list(columns)
        self._cells = [[show(row) for show in columns.values()] for row in self.rows]

    def __str__(self) -> str:
        lines = [self._titles, *self._cells]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self._titles))]
        text = [
            "  ".join(f"{cell:>{w}}" if i else f"{cell:<{w}}" for i, (cell, w) in enumerate(zip(line, widths, strict=True)))
            for line in lines
        ]
        return "\n".join([*text, *self.notes])

    __repr__ = __str__

    def html(self) -> str:
        """The table as HTML, without any style: ``<table>``, and a ``<p>`` for each note."""
        head = "".join(f"<th>{html.escape(title)}</th>" for title in self._titles)
        body = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in line)}</tr>\n" for line in self._cells)
        notes = "".join(f"\n<p>{html.escape(note)}</p>" for note in self.notes)
        return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>{notes}"

    _repr_html_ = html


def mean_of(values: Iterable[float]) -> float:
    """The mean; NaN of nothing."""
    values = list(values)
    return math.fsum(values) / len(values) if values else math.nan


def spread_of(values: Iterable[float]) -> float:
    """The standard deviation as a sample's, sqrt(sum (x - mean)^2 / (n - 1)); 0 of fewer than two."""
    values = list(values)
    centre = mean_of(values)
    return math.sqrt(math.fsum((v - centre) ** 2 for v in values) / (len(values) - 1)) if len(values) > 1 else 0.0


def with_spread(mean: float, spread: float, form: str) -> str:
    """``0.1234 ± 0.0021``, without the second where it is 0; a dash for NaN."""
    if math.isnan(mean):
        return "–"
    return f"{mean:{form}} ± {spread:{form}}" if spread else f"{mean:{form}}"
