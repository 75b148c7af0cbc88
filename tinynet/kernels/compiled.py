"""Loops compiled by Numba: where it is installed, an update is one pass over memory instead of one for each operation.

The one idea: ``trace`` turns a rule into the source of a loop, Numba compiles that once, and both stay on disk; so does
any other function of plain loops (``loops_of``).
Measured, Adam on 1.8 million float32 weights in six arrays, one thread: array code 4.0 ms, the traced loop 1.05 ms, which
is what reading and writing the same bytes takes, PyTorch's fused step 1.39 ms. The results equal those of the array code
bit for bit (all but exp and powers that are no square, whose last digit may differ; but for denormals, which an update
counts as zero; and but for sums of products that array code leaves to BLAS, which rounds once, see ``kernels.axpy``).

Never Numba's own pool of threads: beside the BLAS library's, both stall (a step of 0.7 ms was measured at 8 ms).
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import importlib.util
import inspect
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from ..backend import cache_folder

HEADER = """import numpy as np
from numba import carray

from tinynet.kernels.pointers import flush_denormals, pointer, restore


"""

JOB = "void(int64, int64, int64, int64)"  # how a team calls its jobs
_jobs: list[Any] = []
PREFIX = "tinynet_loop_"  # of the names of the modules that loops stand in
COMPILED_DTYPES = (np.dtype(np.float32), np.dtype(np.float64))
# Called whenever a loop begins to be compiled, which takes a tenth of a second and more.
LISTENERS: list[Callable[[], None]] = []
IN_LOOPS = ("reassoc", "contract", "nsz")  # what the compiler may do with the arithmetic of ``loops_of``
LOOPS_FROM = 8192  # elements: for fewer, array code takes no longer than the call, and importing Numba 0.2 s


# Read once: a look into the environment takes 0.8 us, and a training step of 100 us asks five times and more.
WANTED = os.environ.get("TINYNET_NUMBA", "1") != "0"


def enabled() -> bool:
    """Whether Numba is installed, and ``TINYNET_NUMBA`` was not 0 when the library was imported."""
    return WANTED and _installed()


@functools.cache  # looked for once: where it is missing, every look goes through all of sys.path
def _installed() -> bool:
    return importlib.util.find_spec("numba") is not None


def loops_folder() -> Path:
    """Where loops are kept: ``TINYNET_CACHE``, else in the user's cache folder."""
    given = os.environ.get("TINYNET_CACHE")
    return Path(given) if given else cache_folder() / "kernels"


def compile_loop(source: str, name: str, signature: str, dtype: np.dtype, any_order: bool = False) -> Callable | None:
    """The function ``name`` of a source, compiled for arrays of ``dtype``; None, with a warning, where that fails.

    ``signature`` is Numba's, with ``real`` for the dtype: ``"void(int64[:, ::1], real[:, ::1], int64, int64)"``.
    ``any_order`` lets sums be taken in whatever order is fastest, which changes their last digits.
    """
    return _compiled(HEADER + source, name, signature.replace("real", dtype.name), {"reassoc"} if any_order else False)


def compile_job(source: str, name: str, dtype: np.dtype) -> int | None:
    """The address of the function ``name`` of a source, a job for a team over arrays of ``REAL``, compiled for a dtype.

    None, with a warning, where that fails.
    """

    def make() -> int | None:
        text = f"def job(start, stop, thread, address):\n    {name}(start, stop, thread, address)\n"
        module = _module(f"{HEADER}REAL = np.{dtype.name}\n\n\n{source}\n\n{text}")
        setattr(module, name, _njit(getattr(module, name), JOB))  # only such a one tells that it is compiled
        return _address(module.job)

    return _made(make)


def loops_of(function: Callable, *arrays: Any, least: int = LOOPS_FROM) -> Callable | None:
    """``function``, written in plain loops over ``arrays``, compiled; None where array code has to do, or does as well.

    That is for arrays on a GPU, of half precision, not contiguous, or with fewer elements (in the first of them) than
    ``least``, and without Numba. The size alone decides, and not whether the loops are compiled already, so that
    equal calls give equal bits. The function knows only its arguments, ``np`` and the functions of its file that it names,
    which know no others; the order of its sums is the compiler's.
    """
    if arrays[0].size < least or not enabled():
        return None
    for a in arrays:
        if not isinstance(a, np.ndarray) or a.dtype not in COMPILED_DTYPES or not a.flags.c_contiguous:
            return None
    return _loops_of(function)


@functools.cache
def compile_file(stem: str, dtype: np.dtype, **others: Callable) -> ModuleType | None:
    """The file ``kernels/stem.py`` with its functions compiled for ``dtype``; None, with a warning, where that fails.

    ``others``: compiled functions of another file that its own call.

    Its ``SIGNATURES`` gives those that Python calls, and, with None, those that only the others call, which then need not be
    read from disk (2.5 ms each); each calls those before it. Its ``JOBS`` gives those that are called by their address: in
    the module that comes back, their names are these addresses. Functions that its ``ANY_ORDER`` names may take sums in
    whatever order is fastest.
    """
    text = (
        Path(__file__)
        .with_name(f"{stem}.py")
        .read_text(encoding="utf-8")
        .replace("REAL = np.float32", f"REAL = np.{dtype.name}")
    )

    def make() -> ModuleType:
        module = _module(text)
        vars(module).update(others)
        for name, signature in module.SIGNATURES.items():
            fast: set[str] | bool = {"reassoc"} if name in getattr(module, "ANY_ORDER", ()) else False
            setattr(module, name, _njit(getattr(module, name), signature and signature.replace("real", dtype.name), fast))
        for name in module.JOBS:
            setattr(module, name, _address(getattr(module, name)))
        return module

    return _made(make) if enabled() else None


def _njit(function: Callable, signature: str | None, fastmath: set[str] | bool = False) -> Callable:
    """A function of a module from ``_module``, compiled for a signature; for None, for whatever it is called with."""
    import numba

    _listen()
    made = numba.njit(error_model="numpy", nogil=True, fastmath=fastmath)(function)
    _keep(made, function)
    if signature is not None:
        made.compile(signature)
        made.disable_compile()
    return made


def _address(job: Callable) -> Any:
    """The address of a job, compiled."""
    from numba.core import sigutils
    from numba.core.ccallback import CFunc  # what numba.cfunc makes, and compiles at once

    made = CFunc(job, sigutils.normalize_signature(JOB), {}, {"error_model": "numpy"})
    _keep(made, job)
    made.compile()
    _jobs.append(made)  # the code is freed with it
    return made.address


def _keep(made: Any, function: Callable) -> None:
    """Let Numba keep what it compiles beside the function's file, where it has one, and read it without getting ready first.

    Before it reads, Numba loads all that compiling needs, whether there is anything to compile or not. With that, a first
    step whose loops lie on disk took 0.45 s, without 0.25. What lies there damaged (a crash, a full disk) is compiled anew
    and replaced, and what cannot be kept is compiled every time.
    """
    from numba.core.runtime import rtsys

    if sys.modules[function.__module__].__file__ is None:
        return
    try:
        made.enable_caching()
    except RuntimeError:
        return  # the file was there, but nothing can be written beside it: compile in memory, every time anew
    cache = getattr(made, "_cache", None)
    load, save = getattr(cache, "load_overload", None), getattr(cache, "save_overload", None)
    if load is None or save is None:
        return  # another version of Numba: it takes its time

    def read(signature: Any, context: Any) -> Any:
        context.refresh = functools.partial(rtsys.initialize, context)  # for so long; a loop that is not found is compiled
        try:  # by Numba as ever, which gets ready then
            return load(signature, context)
        except Exception:  # Numba's own, and those of pickle
            with contextlib.suppress(OSError):
                cache.flush()  # type: ignore[union-attr]
            return None
        finally:
            vars(context).pop("refresh", None)

    def keep(signature: Any, compiled: Any) -> None:
        with contextlib.suppress(Exception):
            save(signature, compiled)

    cache.load_overload, cache.save_overload = read, keep  # type: ignore[union-attr]


@functools.cache
def _loops_of(function: Callable) -> Callable | None:
    around = vars(sys.modules[function.__module__])
    helpers = [around[name] for name in function.__code__.co_names if inspect.isfunction(around.get(name))]
    jitable = f"@register_jitable(error_model='numpy', fastmath=set({IN_LOOPS}))\n"
    parts = ["import numpy as np\nfrom numba.extending import register_jitable"]
    parts += [jitable + inspect.getsource(helper) for helper in helpers]
    parts.append(inspect.getsource(function))
    return _compiled("\n\n\n".join(parts), function.__name__, None, set(IN_LOOPS))


@contextlib.contextmanager
def compiling(tell: Callable[[], None]) -> Iterator[None]:
    """``with compiling(tell):`` call ``tell()`` when a loop begins to be compiled; not when it is read from disk."""
    LISTENERS.append(tell)
    try:
        yield
    finally:
        LISTENERS.remove(tell)


@functools.cache  # once, when Numba is imported anyway
def _listen() -> None:
    from numba.core import event

    class Listener(event.Listener):
        def on_start(self, event: Any) -> None:
            if event.data["dispatcher"].py_func.__module__.startswith(PREFIX):
                for tell in LISTENERS:
                    tell()

        def on_end(self, event: Any) -> None:
            pass

    event.register("numba:compile", Listener())


def _compiled(source: str, name: str, signature: str | None, fastmath: set[str] | bool) -> Callable | None:
    """The function ``name`` of a source as Numba compiles it: at once for a signature, else when first called."""

    return _made(lambda: _njit(getattr(_module(source), name), signature, fastmath))


@functools.cache
def _import() -> None:
    """Import what is used of Numba here, in a thread of its own: an interrupt comes in the main thread, and there ends the
    waiting only. After one in the middle of that (0.3 s) every loop failed to compile, or the process crashed."""
    failed: list[BaseException] = []

    def work() -> None:
        try:
            for name in ("numba", "numba.core.ccallback", "numba.core.event", "numba.core.runtime"):
                importlib.import_module(name)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=work, name="tinynet-import")
    thread.start()
    thread.join()
    if failed:
        raise failed[0]


def _made(make: Callable[[], Any]) -> Any:
    """What ``make`` makes; None, with a warning, where it fails."""
    try:
        _import()
        return make()
    except ImportError as error:
        problem = f"Numba is installed but cannot be imported ({error})"
        hint = "reinstall it with pip install --upgrade 'tinynet[fast]', or set TINYNET_NUMBA=0"
    except Exception as error:  # Numba's own, of which there are many
        problem, hint = f"Numba could not compile a loop ({type(error).__name__}: {error})", "please report this"
    warnings.warn(f"{problem}, so array code runs in its place, several times slower; {hint}", stacklevel=7)
    return None


@functools.cache
def _parts() -> str:
    """What stands in every source for the files that are parts of it: what was kept for others is not taken."""
    parts = b"".join(Path(__file__).with_name(f"{name}.py").read_bytes() for name in ("pointers", "tile", "multiply"))
    return f"\n# pointers, tile, multiply: {hashlib.sha256(parts).hexdigest()}\n"


def _module(source: str) -> ModuleType:
    """The source as a module: from a file in the cache folder, so that Numba can keep what it compiles beside it."""
    source += _parts()
    name = f"{PREFIX}{hashlib.sha256(source.encode()).hexdigest()[:16]}"
    path: Path | None = None
    try:
        path = loops_folder() / f"{name}.py"
        if not path.is_file() or path.read_bytes() != source.encode():  # which may be no text at all
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(f".{os.getpid()}.part")
            partial.write_bytes(source.encode())
            partial.replace(path)
    except (OSError, RuntimeError):
        path = None  # no home, or one that cannot be written to: compile in memory, every time anew
    module = ModuleType(name)
    module.__file__ = None if path is None else str(path)
    sys.modules[name] = module  # Numba looks it up by name when it reads its cache
    exec(compile(source, str(path or "<tinynet>"), "exec"), vars(module))
    return module
