"""Class labels and ids out of range: told of at once on a CPU, and on a GPU at the next number that is read from it.

The one idea: on a GPU the check writes what it finds into a *report* of three integers that lives there: which check
(numbered here, with its message), the id, and where it stood; the first one stays. Nothing waits for that. Whoever reads a
number waits anyway, and then calls ``settle``, which reads the report and raises. Until then a wrong id counts as 0, so that
no kernel reads or writes where it must not.

The other way would be to make the loss NaN and to ask, when somebody reads a NaN, why: no report to read, but a loss
that is NaN for another reason looks the same, an embedding has no loss, and what was wrong is gone by then.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend import array_module
from .gpu.ids import clean_ids

Message = (
    tuple  # a text with places for {id}, {at} and, numbered, for the values that follow it: put together only when wanted
)
_messages: dict[tuple[Message, tuple[int, ...]], int] = {}  # message and the ids' shape: the number of that check, from 1
_reports: dict[int, Any] = {}  # the report of each GPU that ever had a check
_open: set[int] = set()  # GPUs with checks since the report was last read


def checked_ids(ids: Any, low: int, stop: int, message: Message, ignored: int | None = None) -> tuple[Any, Any]:
    """Integer ids of any shape, which have to lie in [low, stop) or be equal to ``ignored``.

    Returns the ids, in the machine's order of bytes, and how many of them are not ignored: a number or, on a GPU, an array
    there without axes. Ignored ids come back as -1; on a GPU all as int64, with 0 for those out of range.

    Raises ``IndexError`` for the first id out of range: at once on a CPU, in ``settle`` on a GPU.
    """
    if isinstance(ids, np.ndarray):
        return _checked_here(ids, low, stop, message, ignored)
    number = ids.device.id
    if number not in _reports:
        with ids.device:
            _reports[number] = array_module(ids).zeros(3, np.int64)
    site = _messages.setdefault((message, ids.shape), len(_messages) + 1)
    _open.add(number)
    found = clean_ids(ids, low, stop, ignored, _reports[number], site)
    if stop <= low:  # nothing that an id could be
        settle()
    return found


def _checked_here(ids: np.ndarray, low: int, stop: int, message: Message, ignored: int | None) -> tuple[Any, Any]:
    if not ids.dtype.isnative:
        ids = ids.astype(ids.dtype.newbyteorder("="))  # compiled loops take no other
    if ids.size == 0 or (_all_in(ids, low, stop) and (ignored is None or not low <= ignored < stop)):
        return ids, ids.size  # the usual case
    skipped = ids == ignored if ignored is not None else np.zeros(ids.shape, bool)
    wrong = ((ids < low) | (ids >= stop)) & ~skipped
    if wrong.any():
        _raise(message, ids.shape, int(ids[wrong][0]), int(wrong.argmax()))
    return np.where(skipped, -1, ids.astype(np.int64, copy=False)), ids.size - int(skipped.sum())  # bytes have no -1


def _all_in(ids: np.ndarray, low: int, stop: int) -> bool:
    if low == 0:
        return int(ids.view(ids.dtype.char.upper()).max()) < stop  # one look: read without a sign, an id below 0 is large
    return int(ids.min()) >= low and int(ids.max()) < stop


def settle() -> None:
    """Raise ``IndexError`` where a check on a GPU has found an id out of range; waits for that GPU."""
    while _open:
        number = _open.pop()
        report = _reports[number]
        with report.device:
            site, found, place = report.tolist()
            if site:
                report[...] = 0
                message, shape = next(key for key, value in _messages.items() if value == site)
                _raise(message, shape, found, place)


def reopen(number: int) -> None:
    """Checks have run on that GPU without a call of ``checked_ids``: those in a graph that was replayed."""
    if number in _reports:
        _open.add(number)


def _raise(message: Message, shape: tuple[int, ...], found: int, place: int) -> None:
    at = tuple(int(i) for i in np.unravel_index(place, shape))
    text, *values = message
    raise IndexError(text.format(*values, id=found, at=at))
