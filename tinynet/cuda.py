"""``tn.cuda``: whether there is a GPU to use."""

from .backend import DeviceError, parse_device


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
