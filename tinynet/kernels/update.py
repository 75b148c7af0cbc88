"""One step of an update rule, in place, over the weights of many parameters.

The one idea: a rule is elementwise, so what it computes may be rearranged without changing it: as one compiled loop over
memory where Numba is installed, as array code that writes over its own temporaries a piece at a time, as one
kernel on a GPU. All three come from one trace of the rule; a rule that cannot be traced runs as it stands.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from ..backend import array_module, is_array
from . import compiled, elementary, source
from .gpu import update as gpu
from .gpu.launch import takes
from .in_place import PIECE, ArrayCode, pieces
from .table import Table
from .team import team
from .trace import Trace, Untraceable, trace

COMPILE_FROM = 4096  # weights: for fewer, importing Numba (0.2 s) is not worth it
MEASURE = "void(int64[:, ::1], real[:, ::1], float64[:, ::1])"


class Update:
    """An update rule made ready: traced once, and from that whatever runs it where its arrays live.

    One that is not ``elementwise`` is run as it stands, on whole arrays. ``names``: of the buffers. ``hyper`` gives the
    kinds of the hyper-parameters: numbers may change from step to step, other values may not.
    """

    def __init__(self, rule: Callable, names: tuple[str, ...], hyper: dict[str, Any], elementwise: bool = True):
        self.rule, self.elementwise = rule, elementwise
        self.trace: Trace | None = None
        self._loops: dict[tuple[str, np.dtype], Any] = {}
        if not elementwise:
            return
        try:
            self.trace = trace(rule, ["w", "grad", *names], hyper)
        except Untraceable:
            return
        except Exception as error:  # a rule written for arrays may fail in any way when it meets symbols
            warnings.warn(
                f"the update rule {rule.__qualname__} runs as array code, as it could not be traced: {error}", stacklevel=5
            )
            return
        functions: dict[str, Any] = {"np": elementary}  # of numbers it makes Python's, of which a power may be negative
        exec(source.numbers_source(self.trace), functions)
        self.numbers: Callable[[dict[str, Any]], tuple] = functions["numbers"]  # that every engine wants, of a step
        self.in_place = ArrayCode(self.trace).run

    def loop(self, size: int, dtype: np.dtype, kind: str = "update") -> Any:
        """The job ``update`` for ``Table.run``, or ``measure(rows, numbers, sums)``; see ``kernels.source``.

        None where Numba is missing, the rule is not traceable, or ``size`` weights are too few to import Numba for.
        """
        if self.trace is None or dtype not in compiled.COMPILED_DTYPES or not compiled.enabled():
            return None
        if (kind, dtype) not in self._loops:
            if size < COMPILE_FROM:
                return None
            if kind == "measure":
                text = source.measure_source(self.trace)
                made: Any = compiled.compile_loop(text, kind, MEASURE, dtype, any_order=True)
            else:
                made = None if team() is None else compiled.compile_job(source.loop_source(self.trace), kind, dtype)
            self._loops[kind, dtype] = made
        return self._loops[kind, dtype]

    def alone(self, arrays: tuple, hyper: dict[str, Any]) -> None:
        """One parameter whose arrays no loop on a CPU can take: in a GPU kernel, or as the rule is written."""
        if self.trace is not None and takes(*arrays):
            values = array_module(arrays[0]).asarray(np.array([self.numbers(hyper)], arrays[0].dtype))
            gpu.run(self.trace, [arrays], [0], values)
        else:
            self.as_written(arrays, hyper)

    def as_written(self, arrays: tuple, hyper: dict[str, Any]) -> None:
        """The rule itself, for arrays of any kind and layout, all of one shape and on one device."""
        if self.elementwise and all(isinstance(a, np.ndarray) and a.flags.c_contiguous for a in arrays):
            flat = [a.reshape(-1) for a in arrays]
            for part in pieces(arrays[0].size, PIECE):
                parts = [a[part] for a in flat]
                _store(self.rule(*parts, **hyper), (parts[0], *parts[2:]))
        else:
            _store(self.rule(*arrays, **hyper), (arrays[0], *arrays[2:]))


def update_for(rule: Callable, names: tuple[str, ...], hyper: dict[str, Any], elementwise: bool = True) -> Update:
    """The ``Update`` of a rule, its buffers and the values of its hyper-parameters that are no numbers; made once."""
    fixed = tuple([float if type(value) in (int, float) else value for value in hyper.values()])
    return _update_for(rule, names, tuple(hyper), fixed, elementwise)


@functools.cache
def _update_for(rule: Callable, names: tuple[str, ...], hyper: tuple[str, ...], fixed: tuple, elementwise: bool) -> Update:
    values = [1.0 if value is float else value for value in fixed]
    return Update(rule, names, dict(zip(hyper, values, strict=True)), elementwise)


def update(rule: Callable, w: Any, grad: Any, buffers: dict[str, Any], hyper: dict[str, Any]) -> None:
    """Overwrite ``w`` and the ``buffers`` with ``rule(w, grad, *buffers, **hyper)``.

    All arrays have one shape and live on one device.
    """
    made = update_for(rule, tuple(buffers), hyper)
    arrays = (w, grad, *buffers.values())
    if made.trace is None or not alike(arrays):
        made.alone(arrays, hyper)
        return
    flat, numbers, loop = tuple(a.reshape(-1) for a in arrays), made.numbers(hyper), made.loop(w.size, w.dtype)
    if loop is None:
        made.in_place([flat], [numbers])
    else:
        Table([[w.size, 0, *(a.ctypes.data for a in flat)]], [numbers], w.dtype).run(loop, [flat[1]])


def alike(arrays: tuple) -> bool:
    """Whether one loop can go through the arrays: of one dtype, the machine's own, and each one run of writable memory."""
    if not all(isinstance(a, np.ndarray) and a.flags.carray for a in arrays):
        return False
    dtype = arrays[0].dtype
    return dtype.isnative and all(a.dtype == dtype for a in arrays)


def _store(results: Any, places: tuple) -> None:
    results = results if isinstance(results, tuple) else (results,)
    if len(results) != len(places):
        raise ValueError(f"rule: expected {len(places)} results, the weight and each buffer, got {len(results)}")
    fresh = [_apart(result, place, places[:k]) for k, (result, place) in enumerate(zip(results, places, strict=True))]
    for result, place in zip(fresh, places, strict=True):
        place[...] = result


def _apart(result: Any, place: Any, earlier: tuple) -> Any:
    """The result, or a copy where it lies in memory that is written first: what the weight was, kept in a buffer."""
    if not is_array(result) or result is place:
        return result
    shares = array_module(place).may_share_memory
    return result.copy() if any(shares(result, a) for a in (*earlier, place)) else result
