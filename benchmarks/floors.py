"""The least that a training step can take on this machine: its matrix products, and its bytes, at the rates measured here.

The one idea: a step is matrix products with something elementwise between them. The products are measured in those very
shapes, on operands that lie in the cache, in the fastest of a few ways (on one thread, with the BLAS library's threads,
shared out among threads of ours; a convolution's image by image or eight images at once, its columns laid out already).
Whatever stands between two products (bias, activation, pooling) could at best be one pass: forward it reads what the one
product wrote and writes what the next reads; backward it reads the gradient of the latter, what it kept (as large), and
writes that of the former. The optimizer reads and writes each of its arrays once. Passes go at the rate of a copy of as
many bytes, on one thread or all, whichever is faster.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from tinynet.kernels.threads import one_blas_thread, parallel, threads

from .networks import Network

BUFFERS = {"SGD": 0, "Momentum": 1, "RMSprop": 1, "Adam": 2}
TOGETHER = (1, 8)  # images in one product


class Group(NamedTuple):
    """A layer with a matrix product, and what follows it up to the next: the floors of both ways, in microseconds."""

    name: str
    forward: float
    backward: float
    flops: float  # of its products, both ways


def seconds(call: Callable[[], object], budget: float) -> float:
    """The time of a call when all is well: the lower quartile, as other programs only ever add to it."""
    call()
    times, end = [], time.perf_counter() + budget
    while not times or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return sorted(times)[len(times) // 4]


@functools.cache
def product(m: int, k: int, n: int, transposed: str, budget: float) -> float:
    """Seconds of one (m, k) @ (k, n); ``transposed`` names which of the operands lies in memory the other way round."""
    rng = np.random.default_rng(0)
    a = rng.random((k, m), "float32").T if "a" in transposed else rng.random((m, k), "float32")
    b = rng.random((n, k), "float32").T if "b" in transposed else rng.random((k, n), "float32")
    y = np.empty((m, n), "float32")

    def shared():
        parallel(lambda start, stop: np.matmul(a[start:stop], b, out=y[start:stop]), m, -(-m // threads()))

    def alone():
        with one_blas_thread():
            np.matmul(a, b, out=y)

    ways = [lambda: np.matmul(a, b, out=y)] + ([alone, shared] if threads() > 1 and m >= threads() else [])
    return min(seconds(way, budget) for way in ways)


@functools.cache
def products(count: int, m: int, k: int, n: int, transposed: str, joined: str, budget: float) -> float:
    """Seconds of ``count`` products (m, k) @ (k, n), one an image; ``joined``: the axis along which several can be one."""

    def run(m, k, n, many):
        def part(start, stop):
            rng = np.random.default_rng(0)
            a = rng.random((k, m), "float32").T if "a" in transposed else rng.random((m, k), "float32")
            b = rng.random((n, k), "float32").T if "b" in transposed else rng.random((k, n), "float32")
            y = np.empty((m, n), "float32")
            for _ in range(start, stop):
                np.matmul(a, b, out=y)

        # Laying out the operands once in each thread, which is no part of it: the difference of many and few.
        few, all_of_them = (lambda c=c: parallel(part, c, -(-c // threads())) for c in (threads(), 5 * many))
        return (seconds(all_of_them, budget) - seconds(few, budget)) * many / (5 * many - threads())

    each = {"n": lambda t: (m, k, n * t), "k": lambda t: (m, k * t, n)}[joined]
    return max(0.0, min(run(*each(t), -(-count // t)) for t in TOGETHER))


@functools.cache
def passing(elements: int, budget: float) -> float:
    """Seconds in which so many float32 numbers are read or written, half of them each."""
    half = max(1, elements // 2)
    source, target = np.ones(half, "float32"), np.empty(half, "float32")
    grain = -(-half // threads())

    def shared():
        parallel(lambda start, stop: np.copyto(target[start:stop], source[start:stop]), half, grain)

    return min(seconds(way, budget) for way in (lambda: np.copyto(target, source), shared))


def size(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape))


def layer_products(kind: str, sizes: tuple, before: tuple, after: tuple, first: bool, budget: float) -> tuple[float, ...]:
    """Seconds of the forward products, of the backward ones, and how many operations they are."""
    if kind == "Linear":
        (batch, i), o = before, after[1]
        forward = product(batch, i, o, "b", budget)
        backward = product(o, batch, i, "a", budget) + (0 if first else product(batch, o, i, "", budget))
        return forward, backward, 2 * batch * i * o * (2 if first else 3)
    batch, o, height, width = after
    positions, elements = height * width, before[1] * sizes[2] ** 2
    forward = products(batch, o, elements, positions, "", "n", budget)
    backward = products(batch, o, positions, elements, "b", "k", budget)
    if not first:
        backward += products(batch, elements, o, positions, "a", "n", budget)
    return forward, backward, 2 * batch * o * elements * positions * (2 if first else 3)


def groups(network: Network, shapes: list[tuple[int, ...]], budget: float) -> list[Group]:
    """The floors of each layer with a product. ``shapes``: of the input, and of each layer's output, batch included."""
    starts = [i for i, (kind, *_) in enumerate(network.layers) if kind in ("Linear", "Conv2d")]
    found = []
    for start, end in zip(starts, [*starts[1:], len(network.layers)], strict=True):
        kind, *sizes = network.layers[start]
        before, after, last = shapes[start], shapes[start + 1], shapes[end]
        forward, backward, flops = layer_products(kind, tuple(sizes), before, after, start == 0, budget)
        forward += passing(size(after) + size(last), budget)
        backward += passing(size(after) + 2 * size(last), budget)
        name = f"{kind} " + "-".join(str(s) for s in sizes[:2])
        rest = [layer for layer, *_ in network.layers[start + 1 : end] if layer != "Flatten"]
        found.append(Group(", ".join([name, *(rest or ["loss"])]), forward * 1e6, backward * 1e6, flops))
    return found


def optimizer_floor(network: Network, weights: int, budget: float) -> float:
    """Microseconds in which the weights and each buffer are read and written, and the gradients read."""
    return passing(weights * (3 + 2 * BUFFERS[network.optimizer]), budget) * 1e6
