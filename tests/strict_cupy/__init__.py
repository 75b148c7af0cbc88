"""A stand-in for CuPy on a machine without a GPU, stricter than CuPy: what would break or wait in silence there breaks here.

``install()`` puts it behind the name ``cupy``, and ``python -m pytest --backend strict`` does so and runs the suite on it,
with "cuda" as the default device. What it refuses stands in ``arrays.py``; which names and arguments there are, in
``listing.json``, read off the real CuPy by ``listing.py``. ``reads`` counts what a GPU would have to be waited for,
``sends`` the arrays copied to it.
"""

from __future__ import annotations

import sys
from typing import Any

from .arrays import ndarray, wrapped
from .functions import module
from .gpus import reads, sends

__all__ = ["for_one_test", "frozen", "install", "module", "reads", "sends"]


def install() -> None:
    """Put the stand-in behind the name ``cupy``."""
    sys.modules["cupy"] = module()


def for_one_test(monkeypatch: Any, cupy: Any) -> None:
    """Put a module behind the name ``cupy`` in a test that brings GPUs of its own, as if nobody had used one yet."""
    from tinynet import backend
    from tinynet.kernels import checks

    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setattr(backend, "_usable", False)
    monkeypatch.setattr(checks, "_reports", {})
    monkeypatch.setattr(checks, "_open", set())


def frozen(a: Any) -> Any:
    """A view of an array of the stand-in that cannot be written into; any other array as it is."""
    if not isinstance(a, ndarray):
        return a
    array = a._array.view()
    array.flags.writeable = False
    return wrapped(array, a.device)
