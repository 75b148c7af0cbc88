"""A group of parameters made ready for its steps: what is looked up and checked once, and afterwards only compared.

The one idea: a step is one call for all parameters of a group. They stay where they are, and the compiled loop is given a
table of their addresses, so that whatever a user binds, freezes or moves between two steps changes a row and no more.
(Copies of all parameters in one flat array were measured beside it, and are no faster: Adam on six arrays of together
1.8 million weights 1,051 us, on one array of that size 1,044.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from ..backend import is_array
from ..kernels.update import Update, addresses_in, in_table, update_for
from .hyper import DECAY, full_rule, keywords


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

    __slots__ = ("buffers", "data", "dtype", "name", "p", "row", "shape")

    def __init__(self, name: str, p: Any):
        self.name, self.p = name, p
        self.data: Any = None
        self.row: list[int] | None = None  # of a compiled loop's table; None where none can take these arrays

    def attach(self, buffers: tuple) -> None:
        """Look at the parameter's data and buffers anew."""
        w = self.data = self.p.data
        self.buffers, self.shape, self.dtype = buffers, w.shape, w.dtype
        addresses = [a.ctypes.data for a in (w, *buffers)] if in_table((w, *buffers)) else None
        self.row = addresses and [w.size, 0, addresses[0], 0, *addresses[1:]]


class Due(NamedTuple):
    """The parameters of a group that a step concerns, their gradients' arrays, and the count of the step for each."""

    slots: list[Slot]
    grads: list[Any]
    counts: list[int]

    def at(self, places: list[int]) -> Due:
        """Some of them."""
        return Due([self.slots[k] for k in places], [self.grads[k] for k in places], [self.counts[k] for k in places])


class Binding:
    """A group with the buffers and the rule that its options ask for; ``seen`` is what the hyper-parameters were then."""

    def __init__(
        self,
        owner: str,
        group: dict[str, Any],
        buffers: tuple[str, ...],
        rule: Callable,
        elementwise: bool,
        slots: list[Slot],
    ):
        self.owner, self.group, self.buffers, self.elementwise, self.slots = owner, group, buffers, elementwise, slots
        self.seen = dict(group)
        self.wanted = keywords(rule)
        decays = group["weight_decay"] and "weight_decay" not in self.wanted  # else the rule does it itself
        self.added = {DECAY: group["weight_decay"]} if decays else {}
        self.rule = full_rule(rule, bool(decays), group["maximize"])
        self._kinds: list[Any] | None = None
        self._update: Update
        self._loops: dict[Any, Callable] = {}  # by dtype
        self._table_of: list[Slot] = []
        self._table: Any = None

    def still_holds(self, group: dict[str, Any]) -> bool:
        """Whether the group is as it was: nothing then has to be checked again."""
        params = group.get("params")
        if group is not self.group or params is not self.seen["params"] or len(params) != len(self.slots):
            return False
        try:
            return group == self.seen
        except ValueError:  # an array for a hyper-parameter is neither equal nor unequal
            return False

    def due(self, steps: dict[str, int], state: Callable[[str, Any, tuple[str, ...], dict], dict[str, Any]]) -> Due:
        """The parameters that a step concerns. Raises ``ValueError`` naming one whose arrays do not fit together."""
        slots, grads = [], []
        for slot in self.slots:
            p = slot.p
            grad = p.grad
            if grad is None or not p.requires_grad:
                continue
            w, g = p.data, grad.data
            if w is not slot.data:
                if not is_array(w):  # arithmetic on an array without axes gives a NumPy scalar
                    w = p.data = np.asarray(w)
                held = state(slot.name, p, self.buffers, self.group)
                slot.attach(tuple([held[b] for b in self.buffers]))
                self._table = None
            if g.shape != slot.shape:
                raise ValueError(f"{self.owner}: parameter {slot.name!r} has shape {p.shape}, its gradient {g.shape}")
            if not w.flags.carray and isinstance(w, np.ndarray) and not w.flags.writeable:
                raise ValueError(f"{self.owner}: parameter {slot.name!r} is a read-only array, which no step can change")
            slots.append(slot)
            grads.append(g)
        return Due(slots, grads, [steps.get(slot.name, 0) + 1 for slot in slots])

    def values(self, hyper: Callable[[dict[str, Any], int], dict[str, Any]], step: int) -> dict[str, Any]:
        """The hyper-parameters that the rule names, for a step count."""
        values = {**hyper(self.group, step), "step": step}
        if not values.keys() >= set(self.wanted):
            raise TypeError(f"{self.owner}: rule names {min(set(self.wanted) - values.keys())!r}, defaults does not")
        return {name: values[name] for name in self.wanted} | self.added

    def prepare(self, due: Due, hyper: Callable[[dict[str, Any], int], dict[str, Any]]) -> list[Callable[[], None]]:
        """What is to be run for these parameters. ``hyper`` gives the group's hyper-parameters in a step of that count."""
        if not due.slots:
            return []
        at = {count: self.values(hyper, count) for count in dict.fromkeys(due.counts)}
        if len(at) > 1:  # the rule may be another one at another count, as RAdam's is
            alike: dict[tuple, list[int]] = {}
            for k, count in enumerate(due.counts):
                alike.setdefault(tuple(_kinds(at[count])), []).append(k)
            if len(alike) > 1:
                return [run for places in alike.values() for run in self.prepare(due.at(places), hyper)]
        self._choose(at[due.counts[0]])
        tables: dict[Any, list[int]] = {}  # places in ``due`` by dtype; under None those that no loop can take
        for k, (slot, grad) in enumerate(zip(due.slots, due.grads, strict=True)):
            dtype = slot.dtype if slot.row is not None and grad.dtype == slot.dtype else None
            tables.setdefault(dtype, []).append(k)
        work: list[Callable[[], None]] = []
        for dtype, places in tables.items():
            part = due if len(places) == len(due.slots) else due.at(places)
            loop = dtype and (self._loops.get(dtype) or self._loop(part, dtype))
            if loop is not None:
                work.append(self._together(loop, part, at))
            else:
                work += [self._alone(slot, grad, at[count]) for slot, grad, count in zip(*part, strict=True)]
        return work

    def _choose(self, hyper: dict[str, Any]) -> None:
        """The trace of the rule for hyper-parameters of these kinds: numbers may change, other values may not."""
        kinds = _kinds(hyper)
        if kinds != self._kinds:
            self._update = update_for(self.rule, self.buffers, hyper, self.elementwise)
            self._kinds, self._loops = kinds, {}

    def _loop(self, part: Due, dtype: np.dtype) -> Callable | None:
        """The compiled loop for these; looked for until there is one, as few weights are not worth compiling it for."""
        loop = self._update.loop(sum(slot.data.size for slot in part.slots), dtype)
        if loop is not None:
            self._loops[dtype] = loop
        return loop

    def _alone(self, slot: Slot, grad: Any, hyper: dict[str, Any]) -> Callable[[], None]:
        arrays, run = (slot.data, grad, *slot.buffers), self._update.run
        return lambda: run(arrays, hyper)

    def _together(self, loop: Callable, due: Due, at: dict[int, dict[str, Any]]) -> Callable[[], None]:
        values = np.array([self._update.numbers(hyper) for hyper in at.values()], due.slots[0].dtype)
        grads = [g.ravel() if g.flags.carray else g.flatten() for g in due.grads]
        if self._table is None or due.slots != self._table_of:
            self._table, self._table_of = np.array([slot.row for slot in due.slots]), due.slots
        table = self._table
        table[:, 3] = addresses_in(values.dtype, grads)
        order = {count: k for k, count in enumerate(at)}
        table[:, 1] = 0 if len(at) == 1 else [order[count] for count in due.counts]

        def run() -> None:
            loop(table, values, 0, 1)
            grads.clear()  # they had to live until now

        return run


def _kinds(hyper: dict[str, Any]) -> list[Any]:
    """What a trace depends on: the hyper-parameters that are no numbers."""
    return [value if type(value) not in (int, float) else float for value in hyper.values()]
