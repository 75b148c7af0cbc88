"""Where things live: devices and their array modules, transfers, the random streams, the user's cache folder.

The one idea: an array knows where it lives. Nothing above this file holds a global array module; an op asks
``array_module(x)`` once, or uses operators and methods that NumPy's and CuPy's arrays share. Data crosses between devices
only through ``to_device``.
"""

from __future__ import annotations

import os
import re
import sys
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np


class DeviceError(RuntimeError):
    """A device that does not exist, is not usable here, or differs from that of another operand."""


# --------------------------------------------------------------------------------------------------------- devices

_CUPY_HELP = "install CuPy with pip install 'tinynet[cuda12]' (CUDA 12) or 'tinynet[cuda13]' (CUDA 13), or use device 'cpu'"
_usable = False  # CuPy has been imported and has found a GPU


def gpu_module() -> ModuleType:
    """CuPy, imported when first asked for. Raises ``DeviceError`` saying what to install where it cannot be used."""
    global _usable
    try:
        import cupy
    except ImportError as error:
        raise DeviceError(f"device 'cuda' needs CuPy, which could not be imported ({error}): {_CUPY_HELP}") from error
    if not _usable:
        try:
            count = cupy.cuda.runtime.getDeviceCount()
        except Exception as error:  # CuPy's own CUDARuntimeError; its class cannot be named without CuPy
            raise DeviceError(f"device 'cuda': CuPy is installed but finds no usable GPU ({error}); use 'cpu'") from error
        if count == 0:
            raise DeviceError("device 'cuda': CuPy is installed but this machine has no GPU; use device 'cpu'")
        _usable = True
    return cupy


def parse_device(name: str) -> str:
    """The canonical name of a device: ``"cpu"``, ``"cuda"`` (the first GPU) or ``"cuda:1"``. Checks that it is usable."""
    match = re.fullmatch(r"cpu|cuda(?::(\d+))?", name) if isinstance(name, str) else None
    if match is None:
        raise DeviceError(f"unknown device {name!r}: expected 'cpu', 'cuda' or 'cuda:N' with the number of a GPU")
    if name == "cpu":
        return name
    number, count = int(match[1] or 0), gpu_module().cuda.runtime.getDeviceCount()
    if number >= count:
        raise DeviceError(f"device {name!r}: this machine has {count} GPU(s), numbered from 0")
    return f"cuda:{number}" if number else "cuda"


def device_number(name: str) -> int:
    """Which GPU the canonical name of one means."""
    return int(name[5:] or 0)


class _Default(threading.local):
    name: str | None = None  # set by `with device(...)`, per thread


_process_default: str | None = None
_thread_default = _Default()


def default_device() -> str:
    """The device on which new tensors are made: ``with device(...)``, else ``set_default_device``, else the environment
    variable ``TINYNET_DEVICE``, else ``"cpu"``."""
    if _thread_default.name is not None:
        return _thread_default.name
    if _process_default is None:
        try:
            set_default_device(os.environ.get("TINYNET_DEVICE") or "cpu")
        except DeviceError as error:
            raise DeviceError(f"environment variable TINYNET_DEVICE: {error}") from error
    assert _process_default is not None
    return _process_default


def set_default_device(name: str) -> None:
    """Make ``name`` the device of new tensors, for the whole process. Raises ``DeviceError`` where it is not usable."""
    global _process_default
    _process_default = parse_device(name)


class device:
    """``with tn.device("cuda"):`` new tensors in the block, in this thread, are made there.

    >>> import tinynet as tn
    >>> with tn.device("cpu"):
    ...     tn.zeros(2).device
    'cpu'
    """

    def __init__(self, name: str):
        self.name = parse_device(name)
        self._outer: list[str | None] = []

    def __enter__(self) -> str:
        self._outer.append(_thread_default.name)
        _thread_default.name = self.name
        return self.name

    def __exit__(self, *exception: object) -> None:
        _thread_default.name = self._outer.pop()


# ---------------------------------------------------------------------------------------------------------- arrays


def is_array(x: object) -> bool:
    """True for a NumPy or CuPy array (not for NumPy scalars, Tensors or lists)."""
    return isinstance(x, np.ndarray) or array_module(x) is not np


def array_module(*operands: Any) -> Any:
    """The module of the first array among the operands: ``numpy`` or ``cupy``. Numbers and NumPy scalars are no arrays.

    Where nobody has imported CuPy, nothing can be an array of its; so it is never imported to find that out.
    """
    cupy = sys.modules.get("cupy")
    for x in operands:
        if isinstance(x, np.ndarray):
            return np
        if cupy is not None and isinstance(x, cupy.ndarray):
            return cupy
    return np


def device_of(x: Any) -> str:
    """The canonical name of the device an array lives on."""
    if array_module(x) is np:
        return "cpu"
    return f"cuda:{x.device.id}" if x.device.id else "cuda"


def to_device(x: Any, name: str) -> Any:
    """The array on the device ``name``; the same array where it lives there already."""
    name = parse_device(name)
    if device_of(x) == name:
        return x
    if name == "cpu":
        return gpu_module().asnumpy(x)
    if recorded.now is not None:
        raise RuntimeError(
            f"a step that is being captured may not move arrays between devices (from {device_of(x)!r} to {name!r}): "
            "a replay would not see their new values"
        )
    with gpu_module().cuda.Device(device_number(name)):
        return gpu_module().asarray(x)


# ----------------------------------------------------------------------------------------------- steps being captured


class Recording:
    """A step that is being captured on a GPU (``tn.capture``), and what the CPU has to do before each replay of it."""

    def __init__(self) -> None:
        self.before: list[Callable[[], None]] = []


class _Recorded(threading.local):
    now: Recording | None = None


recorded = _Recorded()


def from_host(draw: Callable[[], np.ndarray], shape: tuple[int, ...], like: Any) -> Any:
    """Numbers from the CPU in an array of ``shape`` where the GPU array ``like`` lives, of its dtype.

    In a captured step they are drawn anew for every replay; whatever else came from the CPU would stay what it was.
    """
    xp, recording = array_module(like), recorded.now
    if recording is None:
        return xp.asarray(draw().astype(like.dtype, copy=False))
    held = xp.empty(shape, like.dtype)
    recording.before.append(lambda: held.set(draw().astype(like.dtype, copy=False), xp.cuda.get_current_stream()))
    return held


# ----------------------------------------------------------------------------------------------------------- files


def cache_folder() -> Path:
    """The user's folder for what tinynet downloads and compiles: ``tinynet`` in the place this system has for caches."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "tinynet"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tinynet"


# ---------------------------------------------------------------------------------------------------------- random

_streams: dict[str, np.random.Generator] = {}
_seed: int = np.random.SeedSequence().entropy  # type: ignore[assignment]  # from the operating system until manual_seed


def manual_seed(seed: int) -> None:
    """Start every random stream of the library afresh from ``seed``, a non-negative integer.

    Each use of randomness (``"init"``, ``"dropout"``, ``"shuffle"``, ``"augment"``, ``"sample"``) draws from a stream of its
    own, so that adding a dropout layer does not change how the next layer is initialised. All streams are drawn on the CPU,
    so that a seed means the same numbers on every device.
    """
    global _seed
    if not isinstance(seed, (int, np.integer)) or isinstance(seed, bool) or seed < 0:
        raise ValueError(f"seed: expected an integer of at least 0, got {seed!r}")
    _seed = int(seed)
    _streams.clear()


def stream(name: str) -> np.random.Generator:
    """The random stream ``name``; made on first use from ``manual_seed``'s seed (from the operating system without one)."""
    if name not in _streams:
        sequence = np.random.SeedSequence(_seed, spawn_key=(zlib.crc32(name.encode()),))
        _streams[name] = np.random.Generator(np.random.PCG64(sequence))
    return _streams[name]


def random_state() -> dict[str, Any]:
    """The state of every stream used so far, as plain Python numbers and strings, for a checkpoint."""
    return {"seed": _seed, "streams": {name: generator.bit_generator.state for name, generator in _streams.items()}}


def set_random_state(state: dict[str, Any]) -> None:
    """Continue every stream from where ``random_state`` saw it."""
    global _seed
    _seed = state["seed"]
    _streams.clear()
    for name, saved in state["streams"].items():
        stream(name).bit_generator.state = saved
