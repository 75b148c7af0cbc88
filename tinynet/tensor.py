"""Tensor: an array that remembers how it was computed. It knows no concrete op.

The one idea: *the Tensor is the node*. A Tensor made by an op remembers the op, the op's inputs and its keywords, nothing
else: no tape, no closures, no reference cycles, so that a graph is freed the moment its last Tensor is.
"""

from __future__ import annotations

import operator
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from .backend import array_module, default_device, device_of, is_array, to_device
from .kernels.checks import settle

# What an op does in a thread: remember its inputs where one requires a gradient; not (no_grad); or, inside the rules of an
# ordinary backward, map arrays to arrays, so that rules may call ops and pay nothing for it. Or remember its inputs
# whatever they are, and require no gradient all the same: for those who look at what a network computes.
RECORD, PAUSE, RAW, WATCH = "record", "pause", "raw", "watch"
# Who watches now, in any thread: where it is empty an op need not ask for its thread's mode (40 ns).
watchers: list[Any] = []


class _Mode(threading.local):
    now = RECORD
    after: dict[Callable[[], None], None] | None = None  # of the backward that is running: what is to be done at its end


mode = _Mode()
KINDS = "fiub"  # of the dtypes that a Tensor may have: floats, integers, booleans
NONE: dict[str, Any] = {}  # the keywords of every Tensor that has none; nobody writes into it


def afterwards(f: Callable[[], None]) -> None:
    """For an op's rule: ``f()`` is called when this backward has put its gradients into the leaves; once, whoever asks.

    ``tn.grad``, which touches no leaf, does not call it.
    """
    assert mode.after is not None, "afterwards: there is no backward running in this thread"
    mode.after[f] = None


class Tensor:
    """An array with a memory of how it was computed.

    ``data`` is a NumPy or CuPy array, number, list or Tensor. Numbers and lists become float32 (int64 for integers, bool for
    booleans); an array keeps its dtype and is shared, not copied, unless ``dtype`` or ``device`` ask for another.

    Attributes: ``data`` (the array), ``grad`` (a Tensor or None), ``requires_grad``. Nothing changes a Tensor in place;
    write into ``x.data[...]`` where you must, never between a forward and its backward.

    Unlike PyTorch, ``numpy()`` works on a Tensor that requires a gradient too, and ``2.0 * int_tensor`` and other results
    without a float operand are float32.

    Raises ``TypeError`` for data that is no array of numbers and a ``dtype`` of none, ``ValueError`` for an integer Tensor
    requiring a gradient and an integer that no int64 holds.

    >>> x = Tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    tensor([2., 4., 6.])
    """

    __slots__ = ("__weakref__", "_grad", "_inputs", "_keywords", "_op", "_requires_grad", "data")
    __array_ufunc__ = None  # so that `numpy_array * tensor` is our product, not an array of Tensors
    __hash__ = object.__hash__  # == is elementwise; as a key a Tensor is itself

    data: Any
    _grad: Tensor | None
    _requires_grad: bool
    _op: Any  # the Op that made it; None for a leaf
    _inputs: tuple | None  # the op's inputs; () for a leaf, None once backward has freed them
    _keywords: dict[str, Any]

    def __init__(self, data: Any, dtype: Any = None, device: str | None = None, requires_grad: bool = False):
        self.data = as_array(data, dtype, device)
        self._grad = None
        self._op, self._inputs, self._keywords = None, (), NONE
        self.requires_grad = requires_grad

    # ------------------------------------------------------------------------------------------------ what it is

    @property
    def grad(self) -> Tensor | None:
        """The gradient that ``backward`` has added up so far, None before the first; assign None to start afresh."""
        return self._grad

    @grad.setter
    def grad(self, value: Any) -> None:
        if value is not None:
            if not isinstance(value, Tensor):
                value = Tensor(value, self.dtype, self.device)
            elif value.dtype != self.dtype:
                value = Tensor(value, self.dtype)
            if value.shape != self.shape:
                raise ValueError(f"grad: expected the Tensor's own shape {self.shape}, got {value.shape}")
        self._grad = value

    @property
    def requires_grad(self) -> bool:
        """Whether ``backward`` computes a gradient for (or through) this Tensor."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if value and self.data.dtype.kind != "f":
            raise ValueError(
                f"requires_grad: only a Tensor of floats can require a gradient, this one is {self.data.dtype}; "
                "make it with dtype='float32' or call .astype('float32') first"
            )
        if not value and self._op is not None:
            raise RuntimeError("requires_grad: only a leaf can stop requiring its gradient; use .detach() for a result")
        self._requires_grad = bool(value)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape

    @property
    def ndim(self) -> int:
        return self.data.ndim

    @property
    def size(self) -> int:
        return self.data.size

    @property
    def dtype(self) -> np.dtype:
        return self.data.dtype

    @property
    def device(self) -> str:
        """Where the data lives: ``"cpu"``, ``"cuda"`` or ``"cuda:N"``."""
        return device_of(self.data)

    @property
    def is_leaf(self) -> bool:
        """True where no recorded op made this Tensor; only leaves receive a ``grad``."""
        return self._op is None

    # ------------------------------------------------------------------------------------------------ ways out

    def item(self) -> float | int | bool:
        """The one element as a Python number. ValueError where there is not exactly one.

        On a GPU, this and all else that reads numbers (``numpy``, ``tolist``, ``float``, ``print``) waits for what has been
        started there, and raises ``IndexError`` where a label or an id was out of range in it.
        """
        if self.size != 1:
            raise ValueError(f"item: only a Tensor of one element is a number, this one has shape {self.shape}")
        value = self.data.item()
        if not isinstance(self.data, np.ndarray):
            settle()
        return value

    def numpy(self) -> np.ndarray:
        """The data as a NumPy array: shared on a CPU, copied from a GPU."""
        if isinstance(self.data, np.ndarray):
            return self.data
        array = to_device(self.data, "cpu")
        settle()
        return array

    def tolist(self) -> Any:
        """The data as nested lists of Python numbers."""
        return self.numpy().tolist()

    def detach(self) -> Tensor:
        """A leaf that shares the data and requires no gradient."""
        return make(self.data)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if self.device != "cpu":
            raise TypeError(f"a Tensor on {self.device!r} is not copied to NumPy silently; call .numpy()")
        return np.array(self.data, dtype=dtype, copy=copy)

    def __len__(self) -> int:
        if self.ndim == 0:
            raise TypeError("len() of a Tensor without axes")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if self.ndim == 0:
            raise TypeError("iteration over a Tensor without axes")
        return (self[i] for i in range(self.shape[0]))

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        return operator.index(self.item())  # type: ignore[arg-type]  # of a float a TypeError, as everywhere

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ValueError(f"the truth of a Tensor of shape {self.shape} is ambiguous; use .any() or .all()")
        return bool(self.item())

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec else str(self)

    def __repr__(self) -> str:
        parts = [np.array2string(self.numpy(), separator=", ", prefix="tensor(", threshold=200, precision=4)]
        if self.dtype not in (np.float32, np.int64, np.bool_):
            parts.append(f"dtype={self.dtype}")
        if self.device != "cpu":
            parts.append(f"device={self.device!r}")
        if self._requires_grad:
            parts.append("requires_grad=True" if self._op is None else f"op={self._op.name}")
        return f"tensor({', '.join(parts)})"

    def __setitem__(self, index: Any, value: Any) -> None:
        raise TypeError("a Tensor is not changed in place: use tn.functions.where, or write into x.data[...] of a leaf")

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if self._op is not None:
            raise RuntimeError("only a leaf can be copied deeply; use .detach() first")
        copy = memo[id(self)] = make(self.data.copy(), type(self))
        copy._requires_grad = self._requires_grad
        copy._grad = None if self._grad is None else make(self._grad.data.copy())
        return copy

    if TYPE_CHECKING:  # hung on the class by functions/methods.py: operators and every function of one Tensor
        T: Tensor

        def __getattr__(self, name: str) -> Any: ...
        def __getitem__(self, index: Any) -> Tensor: ...
        def __add__(self, other: Any) -> Tensor: ...
        def __radd__(self, other: Any) -> Tensor: ...
        def __sub__(self, other: Any) -> Tensor: ...
        def __rsub__(self, other: Any) -> Tensor: ...
        def __mul__(self, other: Any) -> Tensor: ...
        def __rmul__(self, other: Any) -> Tensor: ...
        def __truediv__(self, other: Any) -> Tensor: ...
        def __rtruediv__(self, other: Any) -> Tensor: ...
        def __pow__(self, other: Any) -> Tensor: ...
        def __rpow__(self, other: Any) -> Tensor: ...
        def __matmul__(self, other: Any) -> Tensor: ...
        def __rmatmul__(self, other: Any) -> Tensor: ...
        def __neg__(self) -> Tensor: ...
        def __abs__(self) -> Tensor: ...
        def __lt__(self, other: Any) -> Tensor: ...
        def __le__(self, other: Any) -> Tensor: ...
        def __gt__(self, other: Any) -> Tensor: ...
        def __ge__(self, other: Any) -> Tensor: ...


class Parameter(Tensor):
    """A Tensor that is trained: it requires a gradient and owns a copy of its data.

    >>> Parameter([[1.0, 2.0]])
    tensor([[1., 2.]], requires_grad=True)
    """

    __slots__ = ()

    def __init__(self, data: Any, dtype: Any = None, device: str | None = None, requires_grad: bool = True):
        super().__init__(data, dtype, device)
        # A copy of its own in row-major order, whatever the layout it came in: optimizers see it as one flat run.
        self.data = self.data.copy(order="C")
        self.requires_grad = requires_grad


_new = Tensor.__new__


def make(data: Any, kind: type[Tensor] = Tensor) -> Tensor:
    """A leaf around an array that is known to be one, without any conversion. For the library's own use."""
    t = _new(kind)
    t.data = data
    t._grad = t._op = None
    t._requires_grad = False
    t._inputs, t._keywords = (), NONE
    return t


def read(x: Any) -> float:
    """A number, or the one element of an array, as a Python number; waits for a GPU as ``Tensor.item`` does."""
    return float(make(x).item()) if is_array(x) else float(x)


def as_array(data: Any, dtype: Any = None, device: str | None = None) -> Any:
    """The array behind anything ``Tensor`` accepts, converted as its docstring says."""
    if isinstance(data, Tensor):
        data, device = data.data, device or data.device
    elif not is_array(data):
        data = _array_of(data, dtype)
    if device is None and array_module(data) is np:
        device = default_device()
    if data.dtype.kind not in KINDS:
        raise TypeError(f"data: expected numbers, got an array of dtype {data.dtype}")
    if dtype is not None:
        if np.dtype(dtype).kind not in KINDS:
            raise TypeError(f"dtype: expected one of floats, integers or booleans, got {np.dtype(dtype)}")
        data = data.astype(dtype, copy=False)
    return data if device is None else to_device(data, device)


def _array_of(data: Any, dtype: Any) -> np.ndarray:
    """Numbers and lists as an array: of float32, int64 or bool, unless ``dtype`` is to come or it is a NumPy scalar."""
    array = np.asarray(data)
    if array.dtype.kind not in KINDS:
        raise TypeError(f"data: expected numbers, got an array of dtype {array.dtype} from {type(data).__name__}")
    if dtype is not None or isinstance(data, np.generic):
        return array
    if array.dtype == np.uint64 and array.max() > np.iinfo(np.int64).max:
        raise ValueError(f"data: {array.max()} does not fit into int64; pass dtype='uint64' or dtype='float32'")
    return array.astype({"f": np.float32, "i": np.int64, "u": np.int64}.get(array.dtype.kind, array.dtype), copy=False)


def tensor(data: Any, dtype: Any = None, device: str | None = None, requires_grad: bool = False) -> Tensor:
    """A Tensor of ``data``; see ``Tensor`` for what is accepted and which dtype comes out.

    >>> tensor([[1, 2], [3, 4]]).dtype
    dtype('int64')
    """
    return Tensor(data, dtype, device, requires_grad)
