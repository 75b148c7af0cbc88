"""``tn.cuda``: whether there is a GPU to use, and waiting for it."""

import sys

from .backend import DeviceError, device_number, gpu_module, parse_device
from .kernels.checks import settle


def is_available() -> bool:
    """True where CuPy is installed and finds a GPU.

    >>> is_available() in (True, False)
    True
    """
    try:
        parse_device("cuda")
    except DeviceError:
        return False
    return True


def synchronize(device: str = "cuda") -> None:
    """Wait until a GPU has done all that was started on it: before a clock is read, say.

    Raises ``IndexError`` where a label or an id was out of range in that. Where CuPy was never imported there is nothing to
    wait for. Reading a number (``.item()``, ``.numpy()``, ``print``) waits by itself.
    """
    if "cupy" in sys.modules:
        with gpu_module().cuda.Device(device_number(parse_device(device))):
            gpu_module().cuda.get_current_stream().synchronize()
        settle()
