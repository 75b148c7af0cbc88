"""Checkpoints of a whole training: one file from which it goes on, bit for bit, as if it had not stopped.

The one idea: everything that moves has a ``state_dict`` of arrays and plain numbers; the arrays become the file's
arrays, the numbers a line of JSON in its header, and the checksum covers both.
"""

from __future__ import annotations

import copy
import json
import os
from typing import Any

from .backend import random_state, set_random_state
from .checkpoint import read, save

_ENTRY = "tinynet.checkpoint"


def save_checkpoint(
    path: str | os.PathLike,
    *,
    model: Any,
    optimizer: Any = None,
    scheduler: Any = None,
    loader: Any = None,
    extra: Any = None,
) -> None:
    """Write the state of a training to one safetensors file: weights, buffers, optimizer, scheduler, the loader's place in
    its epoch, and the random streams. What is None is left out; ``extra`` is anything that JSON can hold.

    An existing file is replaced in one step. Raises ``TypeError`` for an ``extra`` that JSON cannot hold.

    >>> import tempfile, tinynet as tn
    >>> net = tn.layers.Linear(2, 1)
    >>> optimizer = tn.optim.Adam(net)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_checkpoint(f"{folder}/a", model=net, optimizer=optimizer, extra={"epoch": 3})
    ...     load_checkpoint(f"{folder}/a", model=net, optimizer=optimizer)
    {'epoch': 3}
    """
    arrays = {f"model/{name}": array for name, array in model.state_dict().items()}
    plain: dict[str, Any] = {"random": random_state(), "extra": extra}
    if optimizer is not None:
        state = optimizer.state_dict()
        arrays |= {f"optimizer/{name}": array for name, array in state.pop("buffers").items()}
        plain["optimizer"] = state
    for name, part in (("scheduler", scheduler), ("loader", loader)):
        if part is not None:
            plain[name] = part.state_dict()
    try:
        text = json.dumps(plain)
    except TypeError as error:
        raise TypeError(
            f"save_checkpoint: extra must be what JSON can hold (numbers, text, lists, dicts): {error}"
        ) from None
    save(path, arrays, {_ENTRY: text})


def load_checkpoint(
    path: str | os.PathLike,
    *,
    model: Any,
    optimizer: Any = None,
    scheduler: Any = None,
    loader: Any = None,
) -> Any:
    """Go on from ``save_checkpoint``'s file: writes its state into the same kinds of objects, and returns its ``extra``.

    What is None is left as it is, the random streams are always set. Raises ``FileNotFoundError``, or ``ValueError``
    naming the file where it is damaged, lacks what is asked for, or holds state of other shapes; nothing is changed
    then.
    """
    name = os.fspath(path)
    arrays, metadata = read(path)
    if _ENTRY not in metadata:
        raise ValueError(f"{name!r} holds arrays, but is no checkpoint of a training; read it with load, or model.load")
    plain = json.loads(metadata[_ENTRY])
    if "optimizer" in plain:
        plain["optimizer"]["buffers"] = _under("optimizer/", arrays)
    asked = {"optimizer": optimizer, "scheduler": scheduler, "loader": loader}
    parts = {part: target for part, target in asked.items() if target is not None}
    for part in parts:
        if part not in plain:
            raise ValueError(f"{name!r} holds no state of the {part}; it has {', '.join(sorted(plain))}")
    if loader is not None:  # tried on a copy: loading takes its place from an epoch that has begun, and cannot be undone
        parts["loader"] = copy.copy(loader)
    before = {part: target.state_dict() for part, target in parts.items()}
    try:
        for part, target in parts.items():
            target.load_state_dict(plain[part])
        model.load_state_dict(_under("model/", arrays))  # the last, as it changes nothing where it fails
    except BaseException as error:
        for part, target in parts.items():
            target.load_state_dict(before[part])
        if isinstance(error, (ValueError, TypeError, KeyError)):
            raise ValueError(f"{name!r}: {error}") from error
        raise
    if loader is not None:
        loader.load_state_dict(plain["loader"])
    set_random_state(plain["random"])
    return plain["extra"]


def _under(prefix: str, arrays: dict[str, Any]) -> dict[str, Any]:
    return {name[len(prefix) :]: array for name, array in arrays.items() if name.startswith(prefix)}
