"""The module ``cupy`` without a GPU: NumPy's functions on our arrays, as far as CuPy has them; and what CuPy alone has.

The one idea: a name, an argument or a dtype that the listing of the real CuPy has not is refused, so that what runs here
finds all it needs there.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

import numpy as np

from . import gpus, listing
from .arrays import SCALARS, SCATTERED, computed, fits, inner, ndarray, outer, wrapped

LISTING = listing.load()
UFUNC = "(*args, out=, dtype=, casting=)"  # what every ufunc of CuPy takes
# Functions that make an array of what is none; all others are given one.
MAKERS = {
    *("arange", "array", "asarray", "ascontiguousarray", "asfortranarray", "broadcast_shapes", "can_cast", "dtype", "empty"),
    *("eye", "full", "identity", "indices", "isscalar", "linspace", "logspace", "meshgrid", "ones", "promote_types"),
    *("result_type", "tri", "zeros"),
}
READING = {"nonzero", "flatnonzero", "argwhere", "unique", "array_repr", "array_str", "array2string", "bincount", "compress"}
BOOLEANS = {"allclose", "array_equal", "array_equiv", "count_nonzero"}  # CuPy's are arrays, which wait for nothing


def asnumpy(a: Any, stream: Any = None, order: str = "C", out: Any = None, *, blocking: bool = True) -> np.ndarray:
    return a.get() if isinstance(a, ndarray) else np.asarray(a)


def array(
    obj: Any, dtype: Any = None, copy: Any = True, order: str = "K", subok: bool = False, ndmin: int = 0, *, blocking=False
) -> ndarray:
    """A copy on the current GPU, from wherever the array is, unless ``copy`` allows the same one."""
    if isinstance(obj, ndarray):
        here = obj.device.id == gpus.current.number
        if here and not copy and (dtype is None or obj.dtype == dtype):
            return obj
        return wrapped(np.array(obj._array, dtype, copy=None if here and not copy else True, order=order, ndmin=ndmin))
    if isinstance(obj, (list, tuple)) and any(isinstance(x, ndarray) for x in obj):
        return outer(np.array(inner(obj, "array"), dtype, ndmin=ndmin))
    gpus.sends["array"] += 1
    return wrapped(np.array(obj, dtype, order=order, ndmin=ndmin))


def asarray(a: Any, dtype: Any = None, order: Any = None, *, copy: Any = None, blocking: bool = False) -> ndarray:
    return array(a, dtype, copy, order or "K")


def ascontiguousarray(a: Any, dtype: Any = None) -> ndarray:
    if not isinstance(a, ndarray):
        return asarray(a, dtype)
    if a.flags.c_contiguous and (dtype is None or a.dtype == dtype):
        return a
    return outer(np.ascontiguousarray(inner(a, "ascontiguousarray"), dtype))


def take(a: ndarray, indices: Any, axis: int | None = None, out: Any = None) -> ndarray:
    return a.take(indices, axis, out)


def argsort(a: ndarray, axis: int | None = -1, kind: str | None = None) -> ndarray:
    return a.argsort(axis, kind)


def sort(a: ndarray, axis: int | None = -1, kind: str | None = None) -> ndarray:
    y = a.ravel() if axis is None else a.copy()
    y.sort(-1 if axis is None else axis, kind)
    return y


def repeat(a: ndarray, repeats: Any, axis: int | None = None) -> ndarray:
    return a.repeat(repeats, axis)


def where(condition: ndarray, x: Any = None, y: Any = None) -> Any:
    if x is None and y is None:
        return condition.nonzero()
    plain = [inner(a, "where") for a in (condition.astype("?", copy=False), x, y)]
    _operands("where", (x, y))
    return outer(np.where(*plain))


OWN = {f.__name__: f for f in (asnumpy, array, asarray, ascontiguousarray, take, argsort, sort, repeat, where)}


def _operands(name: str, args: tuple) -> None:
    """A ufunc of CuPy takes arrays and numbers; a list it does not."""
    for a in args:
        if not (a is None or isinstance(a, (ndarray, *SCALARS))):
            raise TypeError(f"Unsupported type {type(a)}")


def _ufunc(name: str, listed: dict[str, Any]) -> Callable:
    f, results = getattr(np, name), {c for t in listed["types"].split() for c in t.partition(">")[2]}

    def call(*args: Any, **keywords: Any) -> Any:
        fits(name, UFUNC, args, keywords)
        _operands(name, args)
        y = computed(f, name, args, keywords)
        for one in y if isinstance(y, tuple) else (y,):
            if one.dtype.char not in results:
                raise TypeError(f"{name}: CuPy has no kernel that gives {one.dtype}")
        return y

    def refused(way: str) -> Callable:
        def call(*args: Any, **keywords: Any) -> Any:
            raise NotImplementedError(f"`{name}.{way}` is not supported by CuPy")

        return call

    for way in ("reduce", "accumulate", "outer", "reduceat", "at"):
        setattr(call, way, refused(way))
    if listed["reduce"] and f.nin == 2:
        call.reduce = lambda array, *a, **k: computed(f.reduce, f"{name}.reduce", (array, *a), k)  # type: ignore[attr-defined]
        call.accumulate = lambda array, *a, **k: computed(f.accumulate, name, (array, *a), k)  # type: ignore[attr-defined]
    if listed["at"]:
        call.at = lambda a, indices, b=None: _at(f, name, a, indices, b)  # type: ignore[attr-defined]
    return call


def _at(f: Any, name: str, a: ndarray, indices: Any, b: Any) -> None:
    if a.dtype.name not in SCATTERED:
        raise TypeError(f"cupy.{name}.at only supports {', '.join(SCATTERED)} and complex as data type, not {a.dtype}")
    if name != "add" and a.dtype == np.float16:
        raise TypeError(f"cupy.{name}.at does not support float16")
    within = indices if isinstance(indices, tuple) else (indices,)
    plain = tuple([inner(p, "at") for p in within])
    if any(isinstance(p, np.ndarray) and p.dtype.kind == "b" for p in plain):
        gpus.reads["mask"] += 1
    f.at(inner(a, "at"), plain, inner(b, "at"))


def _function(name: str, text: str | None) -> Callable:
    f = getattr(np, name)

    def call(*args: Any, **keywords: Any) -> Any:
        fits(name, text, args, keywords)
        if name not in MAKERS and not any(_has_array(a) for a in (*args, *keywords.values())):
            raise TypeError(f"cupy.{name}: none of the arguments is a CuPy array")
        if name in READING:
            gpus.reads[name] += 1
        y = computed(f, name, args, keywords)
        return outer(np.asarray(y)) if name in BOOLEANS else y

    return call


def _has_array(a: Any) -> bool:
    return isinstance(a, ndarray) or (isinstance(a, (list, tuple)) and any(map(_has_array, a)))


class Module(types.ModuleType):
    """A module of CuPy's that finds its functions in NumPy, when first asked for."""

    def __init__(self, name: str, source: Any, **own: Any):
        super().__init__(name)
        self._source = source
        vars(self).update(own)

    def __getattr__(self, name: str) -> Any:
        at = f"{self.__name__}.{name}"
        if at in LISTING["ufuncs"] and isinstance(getattr(self._source, name, None), np.ufunc):
            thing: Any = _ufunc(name, LISTING["ufuncs"][at])
        elif at in LISTING["functions"] and hasattr(self._source, name):
            thing = _function(name, LISTING["functions"][at]) if self._source is np else self._deeper(name, at)
        elif at in LISTING["other"] and hasattr(self._source, name):
            thing = getattr(self._source, name)
            if isinstance(thing, types.ModuleType):
                raise AttributeError(f"the stand-in for CuPy has no {at} yet")
        else:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}, or its stand-in has not")
        setattr(self, name, thing)
        return thing

    def _deeper(self, name: str, at: str) -> Callable:
        f, text = getattr(self._source, name), LISTING["functions"][at]

        def call(*args: Any, **keywords: Any) -> Any:
            fits(at, text, args, keywords)
            return computed(f, at, args, keywords)

        return call


def module() -> Module:
    """``cupy``, anew."""
    linalg = Module("cupy.linalg", np.linalg)
    tricks = Module("cupy.lib.stride_tricks", np.lib.stride_tricks)
    return Module(
        "cupy",
        np,
        **OWN,
        ndarray=ndarray,
        cuda=gpus.cuda,
        linalg=linalg,
        lib=types.SimpleNamespace(stride_tricks=tricks),
        __version__=LISTING["version"],
    )
