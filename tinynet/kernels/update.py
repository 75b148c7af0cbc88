"""One step of an update rule, in place, over the weights of one parameter.

The one idea: a rule is elementwise, so it may be run a piece at a time, and as a compiled loop where Numba is
installed. Array code makes a fresh temporary for every operation; over pieces that stay in the cache those are nearly
free. Adam on 1.8 million float32 weights takes 10.4 ms over whole arrays and 3.6 ms in pieces of 32,768 (7.2 ms in
pieces of 4,096); on 200,704 weights 1.76 and 0.35 ms, and 0.046 ms compiled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import compiled

PIECE = 32768  # elements: 128 KiB of float32
COMPILE_FROM = 4096  # weights: for fewer, importing Numba (half a second) is not worth it
COMPILED_DTYPES = (np.dtype(np.float32), np.dtype(np.float64))

_in_use: set[Callable] = set()  # rules with a compiled loop, which small parameters then use, too


def update(rule: Callable, w: Any, grad: Any, buffers: dict[str, Any], hyper: dict[str, Any]) -> None:
    """Overwrite ``w`` and the ``buffers`` with ``rule(w, grad, *buffers, **hyper)``.

    All arrays have one shape and live on one device.
    """
    arrays = (w, grad, *buffers.values())
    if not isinstance(w, np.ndarray) or not all(a.flags.c_contiguous for a in arrays):
        _store(rule(*arrays, **hyper), (w, *buffers.values()))
        return
    flat = tuple(a.reshape(-1) for a in arrays)
    if (w.size >= COMPILE_FROM or rule in _in_use) and _compiled(rule, flat, buffers, hyper):
        return
    w, grad, *rest = flat
    for start in range(0, w.size, PIECE):
        piece = slice(start, start + PIECE)
        parts = tuple(b[piece] for b in rest)
        _store(rule(w[piece], grad[piece], *parts, **hyper), (w[piece], *parts))


def update_whole(rule: Callable, w: Any, grad: Any, buffers: dict[str, Any], hyper: dict[str, Any]) -> None:
    """The same for a rule that is not elementwise: it is run once, on the arrays as they are."""
    _store(rule(w, grad, *buffers.values(), **hyper), (w, *buffers.values()))


def _compiled(rule: Callable, flat: tuple, buffers: dict[str, Any], hyper: dict[str, Any]) -> bool:
    """Run the rule's compiled loop; False where there is none.

    Arrays of mixed or half precision, of another byte order than the machine's or read-only have none.
    """
    dtype = flat[0].dtype
    usable = dtype in COMPILED_DTYPES and all(a.dtype == dtype and a.flags.writeable for a in flat)
    if not usable or not compiled.enabled():
        return False
    loop = compiled.loop_for(rule, ["w", "grad", *buffers], hyper, dtype)
    if loop is None:
        return False
    _in_use.add(rule)
    loop(flat, hyper)
    return True


def _store(results: Any, places: tuple) -> None:
    results = results if isinstance(results, tuple) else (results,)
    if len(results) != len(places):
        raise ValueError(f"rule: expected {len(places)} results, the weight and each buffer, got {len(results)}")
    for result, place in zip(results, places, strict=True):
        place[...] = result
