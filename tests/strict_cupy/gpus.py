"""Two GPUs that are not there: which is the current one, streams in which nothing ever waits, and what is counted.

The one idea: a program that is right on a GPU is also fast on it only while it does not wait for it. So every read for which
it would have to wait is counted by name in ``reads``, every array that it sends there in ``sends``.
"""

from __future__ import annotations

import threading
import types
from collections import Counter
from typing import Any

COUNT = 2
reads: Counter[str] = Counter()
sends: Counter[str] = Counter()


class _Current(threading.local):
    """Of each thread: the number of its GPU, and of those that ``with`` has left for the moment."""

    number = 0

    def __init__(self) -> None:
        self.outer: list[int] = []


current = _Current()


class Device:
    """``cupy.cuda.Device(1)``; ``with`` it, or after its ``use()``, arrays are made there and kernels run there."""

    __slots__ = ("id",)

    def __init__(self, device: Any = None):
        self.id = current.number if device is None else int(device)

    def __enter__(self) -> Device:
        outer = current.number
        self.use()
        current.outer.append(outer)
        return self

    def __exit__(self, *exception: object) -> None:
        current.number = current.outer.pop()

    def use(self) -> Device:
        if not 0 <= self.id < COUNT:
            raise RuntimeError("cudaErrorInvalidDevice: invalid device ordinal")
        current.number = self.id
        return self

    def synchronize(self) -> None:
        reads["Device.synchronize"] += 1

    def __int__(self) -> int:
        return self.id

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and self.id == other.id

    def __hash__(self) -> int:
        return self.id

    def __repr__(self) -> str:
        return f"<CUDA Device {self.id}>"


DEVICES = [Device(number) for number in range(COUNT)]


class Event:
    """A mark in a stream. All that was started is done."""

    done = True

    def __init__(self, block: bool = False, disable_timing: bool = False, interprocess: bool = False):
        pass

    def record(self, stream: Any = None) -> None:
        pass

    def synchronize(self) -> None:
        reads["Event.synchronize"] += 1


class Stream:
    """A queue of kernels, each of which is done when it is put there."""

    done = True
    null: Stream

    def __init__(self, null: bool = False, non_blocking: bool = False, ptds: bool = False, priority: int | None = None):
        self.is_non_blocking, self.ptr = non_blocking, 0
        self._outer: list[Stream] = []

    def __enter__(self) -> Stream:
        self._outer.append(get_current_stream())
        return self.use()

    def __exit__(self, *exception: object) -> None:
        self._outer.pop().use()

    def use(self) -> Stream:
        current.stream = self  # type: ignore[attr-defined]
        return self

    def synchronize(self) -> None:
        reads["Stream.synchronize"] += 1

    def record(self, event: Event | None = None) -> Event:
        return event or Event()

    def wait_event(self, event: Event) -> None:
        pass


Stream.null = Stream(null=True)


def get_current_stream() -> Stream:
    return getattr(current, "stream", Stream.null)


def device_synchronize() -> None:
    Device().synchronize()


runtime = types.SimpleNamespace(
    getDeviceCount=lambda: COUNT,
    getDevice=lambda: current.number,
    setDevice=lambda number: Device(number).use() and None,
    deviceSynchronize=device_synchronize,
)
cuda = types.SimpleNamespace(
    Device=Device,
    Event=Event,
    Stream=Stream,
    get_current_stream=get_current_stream,
    get_device_id=lambda: current.number,
    is_available=lambda: True,
    alloc_pinned_memory=bytearray,
    runtime=runtime,
)
