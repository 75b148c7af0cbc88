"""``cupy.ndarray`` without a GPU: it holds a NumPy array, and lets nobody see it.

The one idea: what CuPy's array would refuse, or do in silence at a cost, this one refuses: every conversion to NumPy that is
not asked for by name, every operation with a NumPy array, NumPy's functions, and every method and argument that the listing
of the real CuPy has not. What it computes, NumPy computes.

Where CuPy's meaning is another than NumPy's, it is CuPy's: results without axes are arrays; an index in an array that is out
of bounds counts on from the other end; equal indices in an assignment, whose order a GPU leaves open, are refused here.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from . import listing
from .gpus import DEVICES, Device, current, reads, sends

LISTED = listing.load()["classes"]["cupy.ndarray"]
SCALARS = (int, float, complex, np.generic)
SCATTERED = ("int32", "uint32", "uint64", "float16", "float32", "float64")  # dtypes that CuPy adds to in any order


def fits(name: str, text: str | None, args: tuple, keywords: dict[str, Any]) -> None:
    """TypeError where CuPy's parameters, as the listing has them, do not take the arguments."""
    if text is not None and not _fits(text, len(args), tuple(keywords)):
        raise TypeError(f"cupy.{name}{text} of CuPy does not take {len(args)} positional arguments and {list(keywords)}")


@functools.cache
def _fits(text: str, count: int, names: tuple[str, ...]) -> bool:
    try:
        listing.signature_of(text).bind(*[None] * count, **dict.fromkeys(names))
    except TypeError:
        return False
    return True


def inner(x: Any, name: str) -> Any:
    """The NumPy array behind one of ours, in lists and tuples too; TypeError for an array that is NumPy's, or elsewhere."""
    if type(x) is ndarray:
        if x.device.id != current.number:
            raise ValueError(
                f"{name}: The device where the array resides ({x.device.id}) is different from the current device "
                f"({current.number}). Peer access is unavailable between these devices."
            )
        return x._array
    if isinstance(x, np.ndarray):
        raise TypeError(f"Unsupported type <class 'numpy.ndarray'> (shape {x.shape})")
    if isinstance(x, (list, tuple)):
        return type(x)([inner(y, name) for y in x])
    return x


def outer(y: Any) -> Any:
    """What comes out: every array, and every NumPy scalar, as an array of ours."""
    if isinstance(y, np.ndarray):
        return wrapped(y)
    if isinstance(y, np.generic):
        return wrapped(np.asarray(y))
    if isinstance(y, (list, tuple)):
        return type(y)([outer(z) for z in y])
    return y


def wrapped(array: np.ndarray, device: Device | None = None) -> ndarray:
    """An array of ours around a NumPy array, on the current GPU unless another is given."""
    y = _new(ndarray)
    y._array, y.device = array, DEVICES[current.number] if device is None else device
    return y


def computed(f: Callable, name: str, args: tuple, keywords: dict[str, Any]) -> Any:
    """``f`` of NumPy on the arrays behind ours. A GPU warns of nothing: 0/0 is NaN, and that is all."""
    out = keywords.get("out")
    plain = {k: inner(v, name) for k, v in keywords.items()} if keywords else keywords
    args = tuple([inner(a, name) for a in args])
    with np.errstate(all="ignore"):
        result = f(*args, **plain)
    return outer(result) if out is None else out


_new = object.__new__


class Flags:
    """``flags``, with CuPy's names alone."""

    def __init__(self, flags: Any):
        self.c_contiguous, self.f_contiguous, self.owndata = flags.c_contiguous, flags.f_contiguous, flags.owndata
        self.fnc, self.forc = flags.fnc, flags.forc

    def __getitem__(self, name: str) -> bool:
        return getattr(self, name.lower())


class ndarray:
    """An array "on the GPU" ``device``."""

    __slots__ = ("__weakref__", "_array", "device")
    __array_priority__ = 100
    __array_ufunc__ = None  # NumPy's operators hand over to ours, which refuse; its functions refuse by themselves
    __hash__ = None  # type: ignore[assignment]

    _array: np.ndarray
    device: Device

    def __init__(self, shape: Any, dtype: Any = float, order: str = "C"):
        self._array, self.device = np.empty(shape, dtype, order), DEVICES[current.number]  # type: ignore[call-overload]

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct one explicitly"
        )

    def __array_function__(self, function: Any, kinds: Any, args: Any, keywords: Any) -> Any:
        raise TypeError(f"numpy.{function.__name__} of a CuPy array; ask array_module for the module")

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"'cupy.ndarray' object has no attribute {name!r}")

    # --------------------------------------------------------------------------------------- what needs no kernel

    shape = property(lambda self: self._array.shape)
    dtype = property(lambda self: self._array.dtype)
    ndim = property(lambda self: self._array.ndim)
    size = property(lambda self: self._array.size)
    nbytes = property(lambda self: self._array.nbytes)
    itemsize = property(lambda self: self._array.itemsize)
    strides = property(lambda self: self._array.strides)
    flags = property(lambda self: Flags(self._array.flags))
    base = property(lambda self: None if self._array.base is None else wrapped(self._array.base, self.device))
    T = property(lambda self: wrapped(self._array.T, self.device))
    mT = property(lambda self: wrapped(self._array.mT, self.device))
    real = property(lambda self: wrapped(self._array.real, self.device))

    def __len__(self) -> int:
        return len(self._array)

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self)))

    def copy(self, order: str = "C") -> ndarray:
        return wrapped(self._array.copy(order))  # also from another GPU: CuPy has that moved

    # ----------------------------------------------------------------------------------- reads, for which a GPU waits

    def get(self, stream: Any = None, order: str = "C", out: Any = None, blocking: bool = True) -> np.ndarray:
        return self._read("get").copy(order)

    def item(self) -> Any:
        return self._read("item").item()

    def tolist(self) -> Any:
        return self._read("tolist").tolist()

    def tobytes(self, order: str = "C") -> bytes:
        return self._read("tobytes").tobytes(order)

    def __bool__(self) -> bool:
        return bool(self._read("bool"))

    def __int__(self) -> int:
        return int(self._read("int"))

    def __float__(self) -> float:
        return float(self._read("float"))

    def __repr__(self) -> str:
        return repr(self._read("repr"))

    def __str__(self) -> str:
        return str(self._read("str"))

    def __format__(self, spec: str) -> str:
        return format(self._read("format"), spec)

    def _read(self, way: str) -> np.ndarray:
        reads[way] += 1
        return self._array

    def nonzero(self) -> tuple:
        reads["nonzero"] += 1  # CuPy has to know how many there are
        return outer(inner(self, "nonzero").nonzero())

    # ------------------------------------------------------------------------------------------------- elements

    def __getitem__(self, index: Any) -> ndarray:
        index, masks = _index(index, self.shape)
        if masks:
            reads["mask"] += 1  # as for nonzero
        with np.errstate(all="ignore"):
            y = self._array[index]
        return wrapped(np.asarray(y), self.device)

    def __setitem__(self, index: Any, value: Any) -> None:
        index, masks = _index(index, self.shape)
        if masks and isinstance(value, ndarray) and value.ndim:
            reads["mask"] += 1
        if not isinstance(value, (ndarray, *SCALARS)):
            raise TypeError(f"Unsupported type {type(value)}")
        _no_index_twice(self._array, index)
        with np.errstate(all="ignore"):
            inner(self, "__setitem__")[index] = inner(value, "__setitem__")

    def set(self, arr: np.ndarray, stream: Any = None) -> None:
        if stream is None:
            reads["set"] += 1  # without a stream CuPy waits until it is done
        sends["set"] += 1
        np.copyto(self._array, arr, casting="no")

    def take(self, indices: Any, axis: int | None = None, out: Any = None) -> ndarray:
        indices = np.asarray(inner(indices, "take"))
        return outer(inner(self, "take").take(indices, axis, inner(out, "take"), mode="wrap"))

    def astype(self, dtype: Any, order: str = "K", casting: Any = None, subok: Any = None, copy: bool = True) -> ndarray:
        if not copy and self.dtype == np.dtype(dtype) and order == "K":
            return self
        with np.errstate(all="ignore"):
            return wrapped(inner(self, "astype").astype(dtype, order, copy=copy))

    def fill(self, value: Any) -> None:
        inner(self, "fill").fill(inner(value, "fill").item() if isinstance(value, ndarray) else value)

    def argsort(self, axis: int | None = -1, kind: str | None = None) -> ndarray:
        return outer(inner(self, "argsort").argsort(axis, _stable(kind)))

    def sort(self, axis: int = -1, kind: str | None = None) -> None:
        inner(self, "sort").sort(axis, _stable(kind))

    def repeat(self, repeats: Any, axis: int | None = None) -> ndarray:
        if isinstance(repeats, ndarray):
            raise ValueError("cupy.ndarray requires `repeats` to be int or sequence (not a CuPy array)")
        return outer(inner(self, "repeat").repeat(repeats, axis))


def _stable(kind: str | None) -> str:
    if kind not in (None, "stable"):
        raise ValueError("kind can only be None or 'stable'")
    return "stable"


# --------------------------------------------------------------------------------------------------- indices


def _index(index: Any, shape: tuple[int, ...]) -> tuple[Any, int]:
    """The index in NumPy's terms, arrays in it brought within bounds as CuPy does; and how many masks it has."""
    if type(index) is not tuple:
        index = (index,)
    parts, masks, axis = [], 0, 0
    if all(p is None or p is ... or type(p) in (int, slice) for p in index):  # the usual case
        for p in index:
            if type(p) is slice and any(isinstance(n, ndarray) for n in (p.start, p.stop, p.step)):
                raise TypeError("'cupy.ndarray' object cannot be interpreted as an integer")
        return index, 0
    used = sum(_axes_of(p) for p in index)
    for p in index:
        if isinstance(p, np.ndarray):
            raise TypeError(f"Unsupported type <class 'numpy.ndarray'> (shape {p.shape}) as an index")
        taken = _axes_of(p) if p is not ... else max(len(shape) - used, 0)
        if isinstance(p, ndarray):
            p = inner(p, "index")
            if p.dtype.kind == "b":
                masks += 1
            elif p.dtype.kind in "iu" and axis < len(shape) and shape[axis]:
                p = p % shape[axis] if p.size else p
            elif p.dtype.kind not in "iu":
                raise IndexError(f"arrays used as indices must be of integer or boolean type. (actual: {p.dtype.type})")
        parts.append(p)
        axis += taken
    return tuple(parts), masks


def _axes_of(part: Any) -> int:
    """How many axes a part of an index takes up (none for ``...``, which is reckoned with at the end)."""
    if part is None or part is ...:
        return 0
    return part.ndim if isinstance(part, ndarray) and part.dtype.kind == "b" else 1


def _no_index_twice(array: np.ndarray, index: tuple) -> None:
    """RuntimeError where an assignment would write an element twice: on a GPU either may come last."""
    if any(isinstance(p, (np.ndarray, list)) and np.asarray(p).dtype.kind != "b" for p in index):
        places = np.arange(math.prod(array.shape)).reshape(array.shape)[index]
        if places.size > len(np.unique(places)):
            raise RuntimeError("__setitem__: one element is written twice; on a GPU either may come last")


# ----------------------------------------------------------------------------------------- methods and operators


def _method(name: str) -> Callable:
    f, text = getattr(np.ndarray, name), LISTED[name]

    def method(self: ndarray, *args: Any, **keywords: Any) -> Any:
        fits(f"ndarray.{name}", text, (self, *args), keywords)
        if name in VIEWS:  # no kernel, so on whichever GPU
            return wrapped(f(self._array, *args, **keywords), self.device)
        return computed(f, name, (self, *args), keywords)

    return method


# They look at the same memory where they can.
VIEWS = ("reshape", "transpose", "swapaxes", "squeeze", "ravel", "diagonal", "view")
for _name in LISTED:
    if _name[0] != "_" and callable(getattr(np.ndarray, _name, None)) and _name not in vars(ndarray):
        setattr(ndarray, _name, _method(_name))


def _other(x: Any, name: str) -> Any:
    """The other operand; NotImplemented for what wants to do it itself, as a Tensor does."""
    if isinstance(x, (ndarray, *SCALARS)):
        return inner(x, name)
    if getattr(type(x), "__array_ufunc__", ndarray) is None:
        return NotImplemented
    raise TypeError(f"Unsupported type {type(x)}")


def _binary(name: str, f: Callable, turned: bool) -> Callable:
    def method(self: ndarray, other: Any) -> Any:
        other = _other(other, name)
        if other is NotImplemented:
            return other
        own = inner(self, name)
        with np.errstate(all="ignore"):
            y = f(other, own) if turned else f(own, other)
        return wrapped(np.asarray(y))

    return method


def _in_place(name: str, ufunc: np.ufunc) -> Callable:
    def method(self: ndarray, other: Any) -> Any:
        other = _other(other, name)
        if other is NotImplemented:
            return other
        own = inner(self, name)
        with np.errstate(all="ignore"):
            ufunc(own, other, out=own)
        return self

    return method


UFUNCS = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "truediv": np.true_divide,
    "floordiv": np.floor_divide,
    "mod": np.remainder,
    "pow": np.power,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
    "lshift": np.left_shift,
    "rshift": np.right_shift,
    "matmul": np.matmul,
}
for _name, _f in UFUNCS.items():
    setattr(ndarray, f"__{_name}__", _binary(_name, _f, False))
    setattr(ndarray, f"__r{_name}__", _binary(_name, _f, True))
    if f"__i{_name}__" in LISTED:
        setattr(ndarray, f"__i{_name}__", _in_place(_name, _f))
for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    setattr(ndarray, f"__{_name}__", _binary(_name, getattr(operator, _name), False))
for _name in ("neg", "abs", "invert", "pos"):
    _f = getattr(operator, _name)
    setattr(ndarray, f"__{_name}__", lambda self, f=_f: computed(f, f.__name__, (self,), {}))
