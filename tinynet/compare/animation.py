"""Paths that grow step by step, as an animated GIF.

The one idea: what does not move is drawn once. Each frame is that background with the paths on top, as far as they have
come. The palette is that of the lines and their shades: one that Pillow chooses takes two of them for the same colour.
"""

from __future__ import annotations

import io
import os
from typing import Any

import numpy as np

from ..checkpoint import write_whole
from ..data.dataset import checked_int
from .contours import Board, draw_path, until_it_leaves
from .pictures import COLOURS, checked_ending, look, marker, new_figure

REST = 2.0  # seconds for which the last frame stands
SHADES, GREYS = 8, 32  # in the GIF's palette: of each colour towards white, and from black to white


def animate(who: str, path: str | os.PathLike, found: Any, separate: bool, fps: int, most: int) -> None:
    """Write the GIF of ``found``, a Trajectories, in one step."""
    checked_ending(who, path, ".gif")
    fps, most = checked_int(f"{who}: fps", fps, 1), checked_int(f"{who}: frames", most, 1)
    frames = _frames(found, separate, most)
    palette = _palette()
    images = [frame.quantize(palette=palette, dither=0) for frame in frames]
    pause = [round(1000 / fps)] * (len(images) - 1) + [round(1000 * REST)]
    file = io.BytesIO()
    images[0].save(file, "GIF", save_all=True, append_images=images[1:], duration=pause, loop=0, optimize=False)
    write_whole(path, file.getvalue())


def _palette() -> Any:
    """An image with the colours of the lines, mixed with white as at their edges, and greys."""
    from PIL import Image

    lines = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in COLOURS])
    share = np.linspace(1, 1 / SHADES, SHADES)[:, None, None]
    shades = (share * lines + (1 - share) * 255).round().astype(int).reshape(-1, 3)
    greys = np.linspace(0, 255, GREYS).round().astype(int)[:, None].repeat(3, axis=1)
    image = Image.new("P", (1, 1))
    image.putpalette([*shades.ravel().tolist(), *greys.ravel().tolist()])
    return image


def _frames(found: Any, separate: bool, most: int) -> list[Any]:
    """The pictures, in order, as Pillow's."""
    figure = new_figure()
    figure.set_dpi(100)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    canvas, board = FigureCanvasAgg(figure), Board(figure, found, separate)
    tails, heads, curves = [], [], []
    for i, axes in enumerate(board.maps):
        tails.append(draw_path(axes, np.empty((0, 2)), i, animated=True))
        heads.append(axes.plot([], [], marker(i), color=look(i)["color"], markersize=7, animated=True, zorder=6)[0])
        curves.append(board.curve.plot([], [], **look(i), linewidth=1.4, animated=True)[0])
    canvas.draw()
    background = canvas.copy_from_bbox(figure.bbox)
    last = max(len(path) for path in found.paths.values()) - 1
    paths = [until_it_leaves(path, board.window) for path in found.paths.values()]
    shown = np.unique(np.linspace(0, last, min(last + 1, most)).round().astype(int))
    images = []
    for step in shown:
        canvas.restore_region(background)
        for i, label in enumerate(found.labels):
            path, steps, values = paths[i][: step + 1], found.steps[label][: step + 1], found.values[label][: step + 1]
            for line, data in ((tails[i], path.T), (heads[i], path[-1:].T), (curves[i], (steps, values))):
                line.set_data(*data)
                line.axes.draw_artist(line)
        images.append(Image.fromarray(np.array(canvas.buffer_rgba())).convert("RGB"))
    return images
