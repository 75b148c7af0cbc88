"""A step of parameters on a GPU: all of a group in one kernel, for which nothing is read and next to nothing sent.

The one idea: what changes from step to step (rates, corrections of bias) lies in a small array on the GPU, which is sent
anew only when it has changed, and before each replay of a captured step. A factor by which gradients are clipped is
computed there, and put in its place there.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from ..backend import array_module, from_host, recorded
from ..kernels.gpu import update as gpu
from ..kernels.gpu.launch import takes
from ..kernels.update import Update, update_for
from .hyper import CLIP
from .slots import Due


def prepare(binding: Any, update: Update, due: Due, at: dict[int, dict], hyper: Callable, factor: Any) -> list[Callable]:
    """What is to be run for parameters that no loop on a CPU can take; ``at``: the rule's hyper-parameters by step count.

    One kernel for all those of one dtype on one GPU; the others, one after the other, as the rule is written.
    """
    together: dict[Any, tuple[list[tuple], dict[int, str]]] = {}
    places: dict[Any, list[int]] = {}
    work: list[Callable] = []
    for slot, arrays, count in zip(due.slots, due.arrays(), due.counts, strict=True):
        w, grad, *buffers = arrays
        if update.trace is not None and takes(w, *buffers) and (grad.dtype, grad.device) == (w.dtype, w.device):
            row = (w, array_module(w).ascontiguousarray(grad), *buffers)
            rows, names = together.setdefault((w.dtype, w.device.id), ([], {}))
            names.setdefault(count, slot.name)
            places.setdefault((w.dtype, w.device.id), []).append(list(names).index(count))
            rows.append(row)
            continue
        if recorded.now is not None:
            raise RuntimeError(
                f"{binding.owner}: parameter {slot.name!r} ({w.dtype}) has no kernel of its own, so its step cannot be "
                "captured: a replay would keep today's learning rate"
            )
        if factor is not None and not isinstance(factor, float):
            arrays = (w, grad * factor.astype(grad.dtype), *buffers)
        work.append(functools.partial(update.alone, arrays, at[count]))
    for kind, (rows, names) in together.items():
        assert update.trace is not None
        values = _values(binding, update, names, at, hyper, factor, rows[0][0])
        work.append(functools.partial(gpu.run, update.trace, rows, places[kind], values))
    return work


def _values(binding: Any, update: Update, names: dict, at: dict, hyper: Callable, factor: Any, like: Any) -> Any:
    """The numbers that the rule needs, on the GPU: a row for each step count, with a parameter that is at it."""
    assert update.trace is not None
    numbers = update.trace.numbers
    found = tuple([update.numbers(at[count]) for count in names])
    kept = (update, like.dtype, like.device.id)
    before, values = binding.on_gpu.get(kept, (None, None))
    if recorded.now is not None:
        draw = functools.partial(_replayed, binding, update, list(names.values()), hyper, factor)
        values = from_host(draw, (len(found), len(numbers)), like.dtype, like)
    elif before != found:
        values = from_host(lambda: np.array(found), (), like.dtype, like)
        binding.on_gpu[kept] = found, values
    if CLIP in numbers and factor is not None and not isinstance(factor, float):
        values[:, numbers.index(CLIP)] = factor
    return values


def _replayed(binding: Any, update: Update, names: list[str], hyper: Callable, factor: Any) -> np.ndarray:
    """The numbers for the next replay of a captured step, with the group's rates as they are now."""
    counts = [binding.steps.get(name, 0) + 1 for name in names]
    at = [binding.values(hyper(binding.group, count), count, factor) for count in counts]
    for values in at:
        if update_for(binding.rule(factor), binding.buffers, values, binding.elementwise) is not update:
            raise RuntimeError(f"{binding.owner}: the rule has changed since the step was captured; capture it anew")
    return np.array([update.numbers(values) for values in at])
