"""How the library draws: figures without a window, colours that everybody can tell apart, files written whole.

The one idea: a picture is a function of a matplotlib figure and of what it shows; ``save_picture`` makes the figure and
writes the file. No global state of matplotlib is touched, and matplotlib is imported only here and when something is drawn.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..checkpoint import write_whole

# Okabe and Ito's colours, which remain apart for the colour-blind (their yellow is too pale for lines on white), and line
# styles and markers, which remain apart in grey. Seven and four have no common factor: the first 28 pairs all differ.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STYLES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DPI = 120


def look(number: int) -> dict[str, str]:
    """Colour and line style of the line with this number."""
    return {"color": COLOURS[number % len(COLOURS)], "linestyle": STYLES[number % len(STYLES)]}


def marker(number: int) -> str:
    """The marker of the line with this number: another than that of the last line in the same colour."""
    return MARKERS[(number + number // len(COLOURS)) % len(MARKERS)]


def new_figure(width: float = 6.4, height: float = 4.8) -> Any:
    """An empty figure of so many inches that arranges its parts itself. ``ImportError`` saying what to install."""
    try:
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine
    except ImportError as error:
        raise ImportError("a picture needs matplotlib, which pip install 'tinynet[plot]' brings") from error
    engine = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1)  # inches around everything
    return Figure(figsize=(width, height), layout=engine, dpi=DPI)


def checked_ending(who: str, path: str | os.PathLike, *endings: str) -> str:
    """The ending of a path, without its dot. ValueError where it is none of ``endings``."""
    ending = Path(path).suffix.lower()
    if ending not in endings:
        raise ValueError(f"{who}: path is {os.fspath(path)!r}, expected an ending of {' or '.join(endings)}")
    return ending[1:]


def save_picture(who: str, path: str | os.PathLike, picture: Callable[..., None], *arguments: Any) -> None:
    """Write ``picture(figure, *arguments)`` as PNG or SVG, in one step. ``who`` is the function that errors name."""
    ending = checked_ending(who, path, ".png", ".svg")
    figure = new_figure()
    picture(figure, *arguments)
    file = io.BytesIO()
    figure.savefig(file, format=ending, metadata={"Date": None} if ending == "svg" else None)
    write_whole(path, file.getvalue())


def label_axes(axes: Any, x: str, y: str, whole: bool = True) -> None:
    """Name the axes; a light grid, no box; whole numbers along x where ``whole``."""
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    if whole:
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def plain_log(axis: Any, limits: tuple[float, float] | None = None) -> None:
    """A logarithmic axis that says 0.02 and not 2 × 10⁻², with marks at 1, 2 and 5 as far as they are few enough.

    ``limits`` are its ends. Without them it fits its data, and stays as it is where not all of these are positive.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

    lowest, highest = limits or axis.get_data_interval()
    if not 0 < lowest <= highest:
        return
    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    if limits:
        axis.axes.set(**{f"{axis.axis_name}lim": limits})
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 300 * low else (1,), numticks=12))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace("e-0", "e-").replace("e+0", "e")))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())
