"""Batches on their way from the CPU's memory to a GPU, while the GPU works on the one before.

The one idea: a copy is started one batch ahead, from pinned memory, which a GPU reads by itself, and on a stream of its own;
the stream on which the batch is used waits for it, and the CPU for nothing. The copy in turn waits for what had been started
by then, since the memory it writes into may have been that of an earlier batch. (Tested on a stand-in for CuPy, not yet on a
GPU.)
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..backend import device_number, device_of, gpu_module, to_device
from ..tensor import Tensor

RING = 3  # pinned buffers for each array of a batch: one being filled, one being copied, one to spare


def placed(batches: Iterator[list], name: str) -> Iterator[tuple[Tensor, ...]]:
    """The batches as Tensors on the device ``name``."""
    if name == "cpu":
        # to_device parses the device's name at every call, which costs more than all the rest; hence device_of.
        for columns in batches:
            yield tuple([Tensor(c if device_of(c) == name else to_device(c, name)) for c in columns])
        return
    stage, held = Stage(name), None
    try:
        for columns in batches:
            sent = stage.send(columns)
            if held is not None:
                yield stage.receive(held)
            held = sent
            if sent[1] is None:  # all of it lived there: nothing to be ahead of
                yield stage.receive(sent)
                held = None
    except Exception:
        if held is not None:  # an error is raised where its batch would have come, which is after this one
            yield stage.receive(held)
        raise
    else:
        if held is not None:
            yield stage.receive(held)
    finally:
        stage.close()


class Stage:
    """Pinned buffers and a stream for copies to one GPU."""

    def __init__(self, name: str):
        self.name, self.cuda = name, gpu_module().cuda
        self.device = self.cuda.Device(device_number(name))
        with self.device:
            self.stream = self.cuda.Stream(non_blocking=True)
        self.rings: dict[int, list[tuple[Any, Any]]] = {}  # of each column: memory, and the event that its copy is done

    def send(self, columns: list) -> tuple[list, Any]:
        """Start copying what is not there; the arrays there, and the event after which they can be used (None: at once)."""
        if all(device_of(c) == self.name for c in columns):
            return columns, None
        with self.device:
            self.stream.wait_event(self.cuda.get_current_stream().record())
            with self.stream:
                arrays = [c if device_of(c) == self.name else self._copied(k, c) for k, c in enumerate(columns)]
            return arrays, self.stream.record()

    def receive(self, sent: tuple[list, Any]) -> tuple[Tensor, ...]:
        """The Tensors, for use on the current stream."""
        arrays, event = sent
        if event is not None:
            with self.device:
                self.cuda.get_current_stream().wait_event(event)
        return tuple([Tensor(a) for a in arrays])

    def close(self) -> None:
        """Wait until no copy reads the buffers any more."""
        for _, event in [pair for ring in self.rings.values() for pair in ring]:
            _wait(event)

    def _copied(self, k: int, column: Any) -> Any:
        if not isinstance(column, np.ndarray) or column.size == 0:
            return to_device(column, self.name)  # from another GPU
        ring = self.rings.setdefault(k, [])
        memory = None
        if len(ring) == RING:
            memory, event = ring.pop(0)
            _wait(event)
        if memory is None or memory.nbytes < column.nbytes:
            memory = np.frombuffer(self.cuda.alloc_pinned_memory(column.nbytes), np.uint8)
        pinned = memory[: column.nbytes].view(column.dtype)[: math.prod(column.shape)].reshape(column.shape)
        pinned[...] = column
        array = gpu_module().empty(column.shape, column.dtype)
        array.set(pinned, self.stream)
        ring.append((memory, self.stream.record()))
        return array


def _wait(event: Any) -> None:
    if not event.done:
        event.synchronize()
