"""Update rules compiled by Numba into one pass over memory: ``pip install 'tinynet[fast]'``.

The one idea: ``trace`` turns a rule into the source of a loop, Numba compiles that once, and both stay on disk.
Measured, Adam on 200,704 float32 weights, one thread: array code 0.35 ms, the rule itself compiled (powers of beta in
the loop) 0.63 ms, the traced loop 0.046 ms; PyTorch's fused step with two threads 0.056 ms. The results equal those of
the array code bit for bit.

One thread only: a second pool of threads beside the BLAS library's stalls both (a step of 0.7 ms was measured at 8 ms).
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from ..backend import cache_folder
from .trace import Untraceable, loop_source


def enabled() -> bool:
    """Whether Numba is installed and ``TINYNET_NUMBA`` is not 0."""
    return os.environ.get("TINYNET_NUMBA", "1") != "0" and _installed()


@functools.cache  # looked for once: where it is missing, every look goes through all of sys.path
def _installed() -> bool:
    return importlib.util.find_spec("numba") is not None


def loops_folder() -> Path:
    """Where loops are kept: ``TINYNET_CACHE``, else in the user's cache folder."""
    return Path(os.environ["TINYNET_CACHE"]) if "TINYNET_CACHE" in os.environ else cache_folder() / "kernels"


def loop_for(rule: Callable, names: list[str], hyper: dict[str, Any], dtype: np.dtype) -> Callable | None:
    """``run(arrays, hyper)``, the compiled loop of a rule for flat arrays of ``dtype``; None where there is none.

    ``hyper`` gives the kinds of the hyper-parameters: numbers may change from call to call, other values may not.
    """
    fixed = tuple((name, None if type(value) in (int, float) else value) for name, value in hyper.items())
    return _loop_for(rule, tuple(names), fixed, dtype.char)


@functools.cache
def _loop_for(rule: Callable, names: tuple[str, ...], fixed: tuple, char: str) -> Callable | None:
    hyper = {name: 1.0 if value is None else value for name, value in fixed}
    try:
        source = loop_source(rule, list(names), hyper)
    except Untraceable:
        return None
    except Exception as error:  # a rule written for arrays may fail in any way when it meets symbols
        warnings.warn(
            f"the update rule {rule.__qualname__} runs as array code, as it could not be traced: {error}", stacklevel=5
        )
        return None
    try:
        import numba

        module = _module(source)
        update = numba.njit(error_model="numpy", nogil=True, cache=module.__file__ is not None)(module.update)
    except ImportError as error:
        warnings.warn(
            f"Numba is installed but cannot be imported, so updates run as array code, several times slower: {error}. "
            "Reinstall it with pip install --upgrade 'tinynet[fast]', or set TINYNET_NUMBA=0",
            stacklevel=5,
        )
        return None
    numeric = [name for name, value in fixed if value is None]
    numbers, scalar = module.numbers, np.dtype(char).type

    def run(arrays: tuple, hyper: dict[str, Any]) -> None:
        update(*arrays, *map(scalar, numbers(*[hyper[name] for name in numeric])))

    return run


def _module(source: str) -> ModuleType:
    """The source as a module: from a file in the cache folder, so that Numba can keep what it compiles beside it."""
    source = f"import numpy as np\n\n\n{source}"
    name = f"tinynet_loop_{hashlib.sha256(source.encode()).hexdigest()[:16]}"
    path: Path | None = None
    try:
        path = loops_folder() / f"{name}.py"
        if not path.is_file() or path.read_text() != source:
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(f".{os.getpid()}.part")
            partial.write_text(source)
            partial.replace(path)
    except (OSError, RuntimeError):
        path = None  # no home, or one that cannot be written to: compile in memory, every time anew
    module = ModuleType(name)
    module.__file__ = None if path is None else str(path)
    sys.modules[name] = module  # Numba looks it up by name when it reads its cache
    exec(compile(source, str(path or "<tinynet>"), "exec"), vars(module))
    return module
