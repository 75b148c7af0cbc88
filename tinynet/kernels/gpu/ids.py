"""Checking ids on a GPU: cleaned, counted, and the first one out of range noted, without reading anything."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backend import array_module
from .launch import BLOCK, start

SOURCE = """
extern "C" __global__ void clean_ids(const whole *ids, whole *out, whole *kept, whole n, whole low, whole stop,
                                     whole skips, whole ignored, whole *report, whole site) {
    whole count = 0;
    EACH(i, n) {  // one block: the count needs no second kernel
        whole id = ids[i];
        bool skipped = skips && id == ignored;
        if (!skipped) count++;
        if (skipped) id = -1;
        else if (id < low || id >= stop) {
            if (atomicCAS((unsigned long long *)report, 0ull, (unsigned long long)site) == 0ull) {
                report[1] = id;
                report[2] = i;
            }
            id = 0;
        }
        out[i] = id;
    }
    __shared__ whole counts[4];
    count = warp_sum(count);
    if (LANE == 0) counts[threadIdx.x / 32] = count;
    __syncthreads();
    if (threadIdx.x == 0) kept[0] = counts[0] + counts[1] + counts[2] + counts[3];
}
"""


def clean_ids(ids: Any, low: int, stop: int, ignored: int | None, report: Any, site: int) -> tuple[Any, Any]:
    """Ids as int64, -1 for ignored ones and 0 for those outside [low, stop), which the report hears of; how many count."""
    xp = array_module(ids)
    with ids.device:
        if not hasattr(xp, "RawKernel"):
            return _in_array_code(xp, ids, low, stop, ignored, report, site)
        ids = xp.ascontiguousarray(ids, dtype=np.int64)
        out, kept = xp.empty_like(ids), xp.empty((), np.int64)
        skips = (0, 0) if ignored is None else (1, ignored)
        start(ids, SOURCE, "clean_ids", BLOCK, ids, out, kept, ids.size, low, stop, *skips, report, site)
        return out, kept


def _in_array_code(xp: Any, ids: Any, low: int, stop: int, ignored: int | None, report: Any, site: int) -> tuple[Any, Any]:
    ids = ids.astype(np.int64)
    skipped = ids == ignored if ignored is not None else xp.zeros(ids.shape, bool)
    wrong = ((ids < low) | (ids >= stop)) & ~skipped
    out = xp.where(skipped, -1, xp.where(wrong, 0, ids))
    if ids.size:
        place = wrong.reshape(-1).argmax()
        found = xp.stack([xp.full((), site, np.int64), ids.reshape(-1)[place], place])
        report[...] = xp.where(wrong.any() & (report[0] == 0), found, report)
    return out, ids.size - skipped.sum()
