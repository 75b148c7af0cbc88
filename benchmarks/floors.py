"""The least that a training step can take on this machine: its matrix products, and its bytes, at the rates measured here.

The one idea: a step is matrix products with something elementwise between them. The products are measured in those very
shapes, on operands that lie in the cache, in the fastest of a few ways: by tinynet's own kernel, on one thread of the BLAS
library, with its threads, and shared out by rows or by columns among as many threads, each busy with its own part and
waiting for nobody. (A convolution's are BLAS's, image by image or eight images at once, its columns laid out already.)
Whatever stands between two products (bias, activation, pooling) could at best be one pass: forward it reads what the one
product wrote and writes what the next reads; backward it reads the gradient of the latter, what it kept (as large), and
writes that of the former. The optimizer reads and writes each of its arrays once. Passes go at the rate of a copy of as many
bytes, alone or shared out.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from tinynet import kernels
from tinynet.kernels.threads import one_blas_thread, threads

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


def at_once(make: Callable[[], Callable[[], object]], budget: float) -> float:
    """The time of a call where every thread makes calls of its own, all at the same time, BLAS with one thread in each."""
    times, ready = [], threading.Barrier(threads())

    def run():
        call = make()
        ready.wait()
        times.append(seconds(call, budget))

    workers = [threading.Thread(target=run) for _ in range(threads())]
    with one_blas_thread():
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    return max(times)


def multiplication(m: int, k: int, n: int, transposed: str) -> functools.partial:
    """(m, k) @ (k, n); ``transposed`` names which of the operands lies in memory the other way round."""
    rng = np.random.default_rng(0)
    a = rng.random((k, m), "float32").T if "a" in transposed else rng.random((m, k), "float32")
    b = rng.random((n, k), "float32").T if "b" in transposed else rng.random((k, n), "float32")
    return functools.partial(np.matmul, a, b, out=np.empty((m, n), "float32"))


@functools.cache
def product(m: int, k: int, n: int, transposed: str, budget: float) -> float:
    """Seconds of one product."""
    whole = multiplication(m, k, n, transposed)
    found = [seconds(functools.partial(kernels.matmul, *whole.args), budget)]
    with one_blas_thread():
        found.append(seconds(whole, budget))
    if threads() > 1:
        found.append(seconds(whole, budget))
        parts = (-(-m // threads()), k, n), (m, k, -(-n // threads()))
        found += [at_once(functools.partial(multiplication, *part, transposed), budget) for part in parts]
    return min(found)


@functools.cache
def products(count: int, m: int, k: int, n: int, transposed: str, joined: str, budget: float) -> float:
    """Seconds of ``count`` products, one an image; ``joined``: the axis along which those of several can be one."""
    found = []
    for images in TOGETHER:
        shape = {"n": (m, k, n * images), "k": (m, k * images, n)}[joined]
        each = at_once(lambda shape=shape: multiplication(*shape, transposed), budget)
        found.append(each * count / images / threads())
    return min(found)


def copy(elements: int) -> Callable[[], object]:
    return functools.partial(np.copyto, np.empty(elements, "float32"), np.ones(elements, "float32"))


@functools.cache
def passing(elements: int, budget: float) -> float:
    """Seconds in which so many float32 numbers are read or written, half of them each."""
    half = max(1, elements // 2)
    return min(seconds(copy(half), budget), at_once(lambda: copy(-(-half // threads())), budget))


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
