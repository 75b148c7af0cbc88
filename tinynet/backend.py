"""Where things live: devices and their array modules, transfers, the random streams, the user's cache folder.

The one idea: an array knows where it lives. Nothing above this file holds a global array module; an op asks
``array_module(x)`` once, or uses operators and methods that NumPy's and CuPy's arrays share. Data crosses between devices
only through ``to_device``.
"""

from __future__ import annotations

import functools
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
        if _precision != "highest":
            _set_precision(cupy)
    return cupy


_precision = "highest"


def set_matmul_precision(precision: str) -> None:
    """How exactly a GPU multiplies float32 matrices: ``"highest"`` in float32, as is the default, ``"high"`` in TF32.

    TF32 rounds the factors to 10 bits after the point and adds in float32: about three digits are right, and on GPUs of
    compute capability 8.0 or more it is several times faster; on older ones, and on a CPU, nothing changes. For the whole
    process. PyTorch's function has the same name, and a third value, "medium", that is missing here. ValueError for another
    value.
    """
    global _precision
    if precision not in ("highest", "high"):
        raise ValueError(f"set_matmul_precision: precision is {precision!r}, expected 'highest' or 'high'")
    _precision = precision
    if _usable:
        _set_precision(gpu_module())


def get_matmul_precision() -> str:
    """What ``set_matmul_precision`` has set: ``"highest"`` or ``"high"``."""
    return _precision


def _set_precision(cupy: Any) -> None:
    linalg = cupy._core._routines_linalg  # CuPy has no other name for it but an environment variable, read once
    cupy._core.set_compute_type(
        np.dtype(np.float32), linalg.COMPUTE_TYPE_TF32 if _precision == "high" else linalg.COMPUTE_TYPE_DEFAULT
    )


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
    """Make ``name`` the device of new tensors, for the whole process. Raises ``DeviceError`` where it is not usable.

    With several GPUs it is also the one on which this thread computes; another thread says ``with tn.device(name)``.
    """
    global _process_default
    _process_default = parse_device(name)
    if _process_default != "cpu" and _usable:
        gpu_module().cuda.Device(device_number(_process_default)).use()


class device:
    """``with tn.device("cuda"):`` new tensors in the block, in this thread, are made there.

    With several GPUs the block is also what computes on one of them: work with Tensors of ``"cuda:1"`` in
    ``with tn.device("cuda:1")``. (CuPy computes on the thread's current GPU, wherever the arrays are.)

    >>> import tinynet as tn
    >>> with tn.device("cpu"):
    ...     tn.zeros(2).device
    'cpu'
    """

    def __init__(self, name: str):
        self.name = parse_device(name)
        self._outer: list[str | None] = []
        self._gpu = gpu_module().cuda.Device(device_number(self.name)) if self.name != "cpu" and _usable else None

    def __enter__(self) -> str:
        if self._gpu is not None:
            self._gpu.__enter__()
        self._outer.append(_thread_default.name)
        _thread_default.name = self.name
        return self.name

    def __exit__(self, *exception: object) -> None:
        _thread_default.name = self._outer.pop()
        if self._gpu is not None:
            self._gpu.__exit__(*exception)


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


def computes_on(name: str) -> bool:
    """Whether this thread computes where arrays of a device live: on a GPU, whether that is its current one."""
    return name == "cpu" or not _usable or gpu_module().cuda.Device().id == device_number(name)


def to_device(x: Any, name: str) -> Any:
    """The array on the device ``name``; the same array where it lives there already."""
    name = parse_device(name)
    if device_of(x) == name:
        return x
    if recorded.now is not None:
        raise RuntimeError(
            f"a step that is being captured may not move arrays between devices (from {device_of(x)!r} to {name!r}): "
            "a replay would not see their new values"
        )
    if name == "cpu":
        return gpu_module().asnumpy(x)
    with gpu_module().cuda.Device(device_number(name)):
        return gpu_module().asarray(x)


# ----------------------------------------------------------------------------------------------- steps being captured


class Recording:
    """A step that is being captured on a GPU (``tn.capture``), and what the CPU has to do before each replay of it."""

    def __init__(self) -> None:
        self.before: list[Callable[[], None]] = []
        self.products: Any = None  # multiplies matrices in its place, as CuPy refuses to while it captures
        self.made: list[Any] = []  # the gradients that it has put into leaves

    def check_gradient(self, gradient: Any) -> None:
        """RuntimeError for a gradient from before the capture: a replay would add to what it was then."""
        if not any(gradient is g for g in self.made):
            raise RuntimeError(
                "a step that is being captured may not add to gradients from before it; call optimizer.zero_grad() in it"
            )


class _Recorded(threading.local):
    now: Recording | None = None


recorded = _Recorded()


def from_host(draw: Callable[[], np.ndarray], shape: tuple[int, ...], dtype: Any, like: Any) -> Any:
    """Numbers from the CPU in an array of ``shape`` and ``dtype`` where the GPU array ``like`` lives.

    In a captured step they are drawn anew for every replay; whatever else came from the CPU would stay what it was.
    """
    xp, recording = array_module(like), recorded.now
    with like.device:
        if recording is None:
            return xp.asarray(draw().astype(dtype, copy=False))
        held = xp.empty(shape, dtype)
    recording.before.append(lambda: held.set(draw().astype(dtype, copy=False), xp.cuda.get_current_stream()))
    return held


def constant(array: np.ndarray, like: Any) -> Any:
    """An array of the CPU's that never changes, where the array ``like`` lives; sent to a GPU once, and kept there."""
    if isinstance(like, np.ndarray):
        return array
    return _constant(array.tobytes(), array.dtype.str, array.shape, device_of(like))


@functools.lru_cache(maxsize=256)
def _constant(data: bytes, dtype: str, shape: tuple[int, ...], name: str) -> Any:
    return to_device(np.frombuffer(data, dtype).reshape(shape), name)


# ----------------------------------------------------------------------------------------------------------- files


def cache_folder() -> Path:
    """The user's folder for what tinynet downloads and compiles: ``tinynet`` in the place this system has for caches."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "tinynet"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tinynet"


# ----------------------------------------------------------------------------------------------------- determinism

_deterministic = False


def set_deterministic(enabled: bool = True) -> None:
    """On a GPU, add in an order that is always the same, so that equal runs give equal bits; for the whole process.

    On a CPU that is so anyway (for one number of threads). On a GPU it concerns gradients that are added where several
    come together: of an embedding and of ``x[indices]``, which are sorted first and then take up to a few times as long. All
    other kernels here add in a fixed order, and cuBLAS gives equal bits for equal calls on one GPU and one stream (NVIDIA's
    documentation of cuBLAS, "Results reproducibility"). Random numbers follow from ``manual_seed`` in either case.
    """
    global _deterministic
    _deterministic = bool(enabled)


def is_deterministic() -> bool:
    """What ``set_deterministic`` has set."""
    return _deterministic


# ---------------------------------------------------------------------------------------------------------- random

_streams: dict[str, np.random.Generator] = {}
_seed: int = np.random.SeedSequence().entropy  # type: ignore[assignment]  # from the operating system until manual_seed


def manual_seed(seed: int) -> None:
    """Start every random stream of the library afresh from ``seed``, a non-negative integer.

    Each use of randomness (``"init"``, ``"dropout"``, ``"shuffle"``, ``"augment"``, ``"sample"``) draws from a stream of its
    own, so that adding a dropout layer does not change how the next layer is initialised. All streams are drawn on the CPU,
    so that a seed means the same numbers on every device; but for dropout, which on a GPU draws only a key for each mask
    on the CPU, and the mask by a generator of its own there: equal in every run, and another one than a CPU's.
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
