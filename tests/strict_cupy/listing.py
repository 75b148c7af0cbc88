"""What the real CuPy has: names, arguments and dtypes, as a listing in a file, so that a test run needs no CuPy.

The one idea: CuPy imports without a GPU, so what it has can be read off it anywhere; ``listing.json`` is what this file read
off the version named in it. To write it anew, with CuPy installed: ``python tests/strict_cupy/listing.py``. A test compares
the two where CuPy is installed.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import json
import re
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("listing.json")
MODULES = ("cupy", "cupy.cuda", "cupy.cuda.runtime", "cupy.lib.stride_tricks", "cupy.linalg", "cupy.random", "cupyx")
CLASSES = ("ndarray", "cuda.Device", "cuda.Stream", "cuda.Event", "cuda.Graph", "cuda.MemoryPointer")
KERNELS = ("ElementwiseKernel", "ReductionKernel", "RawKernel", "RawModule")


@functools.cache
def load() -> dict[str, Any]:
    return json.loads(FILE.read_text(encoding="utf-8"))


def text_of(signature: inspect.Signature) -> str:
    """``(a, axis=, *, dtype=)``: the names and kinds of the parameters, and which have a default."""
    plain = [
        p.replace(annotation=p.empty, default=p.empty if p.default is p.empty else None)
        for p in signature.parameters.values()
    ]
    return str(inspect.Signature(plain)).replace("=None", "=")


@functools.cache
def signature_of(text: str) -> inspect.Signature:
    """The signature that ``text_of`` wrote."""
    namespace: dict[str, Any] = {}
    exec(f"def f{text.replace('=', '=None')}: pass", namespace)
    return inspect.signature(namespace.pop("f"))  # taken out: or the function and its globals are a cycle


def arguments(thing: Any) -> str | None:
    """The parameters of a function or method, as ``text_of`` writes them; None where CuPy does not tell them.

    Compiled ones tell them in the first line of their docstring, with C types: ``_ndarray_base.sort(self, int axis=-1)``.
    """
    try:
        return text_of(inspect.signature(thing))
    except (TypeError, ValueError):
        pass
    told = re.match(r"[\w.]+\((.*)\)(?: -> .*)?$", (thing.__doc__ or "").partition("\n")[0])
    if told is None:
        return None
    parts = re.split(r", (?![^(]*\))", told[1])
    names = [re.sub(r"^(\w+ )*(?=[\w*])", "", part.partition("=")[0]) + ("=" if "=" in part else "") for part in parts]
    try:
        return text_of(signature_of(f"({', '.join(names)})"))
    except SyntaxError:
        return None


def described(cupy: Any) -> dict[str, Any]:
    """The listing of an imported CuPy."""
    found: dict[str, Any] = {"version": cupy.__version__, "functions": {}, "ufuncs": {}, "classes": {}, "other": []}
    for path in MODULES:
        module = importlib.import_module(path)
        for name in sorted(n for n in dir(module) if n[0] != "_"):
            thing, at = getattr(module, name), f"{path}.{name}"
            if isinstance(thing, cupy.ufunc):
                found["ufuncs"][at] = {
                    "types": " ".join(thing.types),
                    "at": bool(thing._scatter_op),
                    "reduce": _reduces(thing),
                }
            elif callable(thing) and not isinstance(thing, type):
                found["functions"][at] = arguments(thing)
            else:
                found["other"].append(at)
    for name in KERNELS:
        found["functions"][f"cupy.{name}"] = arguments(getattr(cupy, name))
    for path in CLASSES:
        kind = functools.reduce(getattr, path.split("."), cupy)
        members = {n: getattr(kind, n) for n in sorted(dir(kind)) if n[0] != "_" or n in SPECIAL}
        found["classes"][f"cupy.{path}"] = {n: arguments(m) if callable(m) else "attribute" for n, m in members.items()}
    return found


words = str.split
# Methods that Python calls by itself, and which NumPy's arrays have.
SPECIAL = {f"__{name}__" for name in words("bool int float complex index len iter contains array copy deepcopy enter exit")}
SPECIAL |= {f"__{name}__" for name in words("abs neg pos invert eq ne lt le gt ge getitem setitem")}
SPECIAL |= {
    f"__{way}{name}__"
    for name in words("add sub mul truediv floordiv mod divmod pow matmul and or xor lshift rshift")
    for way in ("", "r", "i")
}


def _reduces(ufunc: Any) -> bool:
    """Whether ``ufunc.reduce`` and ``accumulate`` are there for more than to say that they are not."""
    try:
        ufunc.reduce(None)
    except NotImplementedError:
        return False
    except AttributeError:
        return True
    raise AssertionError("reduce took None")


if __name__ == "__main__":
    import cupy

    FILE.write_text(json.dumps(described(cupy), indent=0, sort_keys=True) + "\n", encoding="utf-8")
