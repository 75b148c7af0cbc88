"""The parameters of a group with their arrays, as a step finds them.

The one idea: an array is recognised by being the very object that was there before; only a new one is looked at again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ..kernels.update import alike


class Buffers(Mapping):
    """The buffers of a parameter by name. They stay the arrays that they are: what is assigned is written into them."""

    def __init__(self, arrays: dict[str, Any]):
        self._arrays = arrays

    def __getitem__(self, name: str) -> Any:
        return self._arrays[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self._arrays[name][...] = value

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def __repr__(self) -> str:
        return repr(self._arrays)


class Slot:
    """One parameter of a group, and the arrays that it had when they were last looked at."""

    __slots__ = ("arrays", "buffers", "data", "dtype", "flat", "name", "p", "row", "shape")

    def __init__(self, name: str, p: Any):
        self.name, self.p = name, p
        self.data: Any = None

    def attach(self, buffers: tuple) -> None:
        """Look at the parameter's data and buffers anew."""
        w = self.data = self.p.data
        self.buffers, self.shape = buffers, w.shape
        if alike((w, *buffers)):
            self.dtype: Any = w.dtype
            self.flat = (w.reshape(-1), *[b.reshape(-1) for b in buffers])
            addresses = [a.ctypes.data for a in self.flat]
            self.row = [w.size, 0, addresses[0], 0, *addresses[1:]]  # of a compiled loop's table
        else:
            self.dtype = None  # no loop can take these arrays: the rule runs as it is written


class Due(NamedTuple):
    """The parameters of a group that a step concerns, their gradients' arrays, and the count of the step for each."""

    slots: list[Slot]
    names: list[str]
    grads: list[Any]
    counts: list[int]
    dtype: Any  # of them all, where one loop can take them all

    def named_grads(self) -> list[tuple[str, Any]]:
        """Names and gradients."""
        return list(zip(self.names, self.grads, strict=True))

    def size(self) -> int:
        """How many weights they have together."""
        return sum([slot.data.size for slot in self.slots])

    def arrays(self) -> list[tuple]:
        """The weight, the gradient and the buffers of each."""
        return [(slot.data, grad, *slot.buffers) for slot, grad in zip(self.slots, self.grads, strict=True)]

    def flat(self) -> list[tuple]:
        """The same without axes, where they are one run of memory."""
        return [(slot.flat[0], g, *slot.flat[1:]) for slot, g in zip(self.slots, self.flat_grads(), strict=True)]

    def flat_grads(self) -> list[Any]:
        """The gradients without axes, copied where they are not one run of memory."""
        return [g.ravel() if g.flags.carray else g.flatten() for g in self.grads]

    def parts(self) -> list[Due]:
        """The same in parts that one loop can take, and a last one for the others."""
        if self.dtype is not None or not self.slots:
            return [self]
        places: dict[Any, list[int]] = {None: []}
        for k, (slot, grad) in enumerate(zip(self.slots, self.grads, strict=True)):
            places.setdefault(slot.dtype if grad.dtype == slot.dtype else None, []).append(k)
        return [self.some(found, dtype) for dtype, found in places.items() if found]

    def some(self, places: list[int], dtype: Any) -> Due:
        """Those at the places given."""

        def those(one: list) -> list:
            return [one[k] for k in places]

        return Due(those(self.slots), those(self.names), those(self.grads), those(self.counts), dtype)
