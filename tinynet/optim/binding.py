"""A group of parameters made ready for its steps: what is looked up and checked once, and afterwards only compared.

The one idea: a step is one call for all parameters of a group. They stay where they are, and the compiled loop is given a
table of their addresses, so that whatever a user binds, freezes or moves between two steps changes a row and no more.
(Copies of all parameters in one flat array were measured beside it, and are no faster: Adam on six arrays of together
1.8 million weights 1,051 us, on one array of that size 1,044.)
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from ..backend import is_array
from ..kernels.update import Update, addresses_in, alike, update_for
from .hyper import CLIP, DECAY, full_rule, keywords


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
    grads: list[Any]
    counts: list[int]
    dtype: Any  # of them all, where one loop can take them all

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
        slots, grads, counts = self.slots, self.grads, self.counts
        return Due([slots[k] for k in places], [grads[k] for k in places], [counts[k] for k in places], dtype)


Hyper = Callable[[dict[str, Any], int], dict[str, Any]]  # an optimizer's hyper-parameters, for a group and a step count


class Binding:
    """A group with the buffers and the rule that its options ask for; ``seen`` is what the hyper-parameters were then.

    ``earlier`` is the binding that this one replaces: what it knows about the arrays still holds.
    """

    def __init__(
        self,
        owner: str,
        group: dict[str, Any],
        variant: tuple[tuple[str, ...], Callable],
        elementwise: bool,
        names: Mapping[Any, str],
        earlier: Binding | None,
    ):
        self.owner, self.group, self.seen, self.elementwise = owner, group, dict(group), elementwise
        self.buffers, rule = variant
        self.wanted = keywords(rule)
        decays = group["weight_decay"] and "weight_decay" not in self.wanted  # else the rule does it itself
        self.added = {DECAY: group["weight_decay"]} if decays else {}
        self._options = rule, bool(decays), group["maximize"]
        self.slots: list[Slot]
        self._table: np.ndarray | None
        self._table_of: list[Slot]
        if earlier is not None and earlier.buffers == self.buffers and earlier.seen["params"] is group["params"]:
            self.slots, self._table, self._table_of = earlier.slots, earlier._table, earlier._table_of
        else:
            self.slots = [Slot(names[p], p) for p in group["params"]]
            self._table, self._table_of = None, []  # of addresses, and the slots that are its rows
        self._loops: dict[tuple[Update, Any], Callable] = {}

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
        slots: list[Slot] = []
        grads: list[Any] = []
        dtype: Any = None
        for slot in self.slots:
            p = slot.p
            grad = p.grad
            if grad is None or not p.requires_grad:
                continue
            w, g = p.data, grad.data
            if w is not slot.data:
                w = self._attach(slot, state)
            if g.shape != slot.shape:
                raise ValueError(f"{self.owner}: parameter {slot.name!r} has shape {p.shape}, its gradient {g.shape}")
            if isinstance(w, np.ndarray) and not w.flags.writeable:  # the flags of CuPy's arrays do not say
                raise ValueError(f"{self.owner}: parameter {slot.name!r} is a read-only array, which no step can change")
            if not slots:
                dtype = slot.dtype
            if slot.dtype is not dtype or g.dtype is not dtype:
                dtype = None
            slots.append(slot)
            grads.append(g)
        return Due(slots, grads, [steps.get(slot.name, 0) + 1 for slot in slots], dtype)

    def _attach(self, slot: Slot, state: Callable[[str, Any, tuple[str, ...], dict], dict[str, Any]]) -> Any:
        if not is_array(slot.p.data):  # arithmetic on an array without axes gives a NumPy scalar
            slot.p.data = np.asarray(slot.p.data)
        held = state(slot.name, slot.p, self.buffers, self.group)
        slot.attach(tuple([held[b] for b in self.buffers]))
        self._table = None
        return slot.data

    def rule(self, factor: float | None) -> Callable:
        """The rule with what every optimizer adds; where ``factor`` is a number it asks for that, too."""
        return full_rule(*self._options, factor is not None)

    def values(self, hyper: Hyper, step: int, factor: float | None) -> dict[str, Any]:
        """The hyper-parameters that the rule names, for a step count; ``factor`` is what gradients are multiplied by."""
        values = {**hyper(self.group, step), "step": step}
        if not values.keys() >= set(self.wanted):
            raise TypeError(f"{self.owner}: rule names {min(set(self.wanted) - values.keys())!r}, defaults does not")
        clip = {} if factor is None else {CLIP: factor}
        return {name: values[name] for name in self.wanted} | self.added | clip

    def prepare(self, due: Due, hyper: Hyper, factor: float | None) -> list[Callable[[], None]]:
        """What is to be run for these parameters. ``hyper`` gives the group's hyper-parameters in a step of that count."""
        rule = self.rule(factor)
        at = {count: self.values(hyper, count, factor) for count in dict.fromkeys(due.counts)}
        updates = {count: update_for(rule, self.buffers, values, self.elementwise) for count, values in at.items()}
        work: list[Callable[[], None]] = []
        for update in dict.fromkeys(updates.values()):  # the rule may be another one at another count, as RAdam's is
            same = due
            if len(updates) > 1:
                same = due.some([k for k, count in enumerate(due.counts) if updates[count] is update], due.dtype)
            for part in same.parts():
                work += self._work(update, part, at)
        return work

    def _work(self, update: Update, due: Due, at: dict[int, dict[str, Any]]) -> list[Callable[[], None]]:
        if due.dtype is None or update.trace is None:
            arrays = [(slot.data, grad, *slot.buffers) for slot, grad in zip(due.slots, due.grads, strict=True)]
            jobs = [(one, at[count]) for one, count in zip(arrays, due.counts, strict=True)]
            return [functools.partial(update.alone, *job) for job in jobs]
        grads = [g.ravel() if g.flags.carray else g.flatten() for g in due.grads]
        numbers = {count: update.numbers(values) for count, values in at.items()}
        loop = self._loops.get((update, due.dtype)) or update.loop(sum([s.data.size for s in due.slots]), due.dtype)
        if loop is None:
            flat = [(slot.flat[0], grad, *slot.flat[1:]) for slot, grad in zip(due.slots, grads, strict=True)]
            return [functools.partial(update.in_place, flat, [numbers[count] for count in due.counts])]
        self._loops[update, due.dtype] = loop
        if self._table is None or due.slots != self._table_of:
            self._table, self._table_of = np.array([slot.row for slot in due.slots]), due.slots
        table, values = self._table, np.array([*numbers.values()], due.dtype)
        table[:, 3] = addresses_in(due.dtype, grads)
        order = {count: k for k, count in enumerate(numbers)}
        table[:, 1] = [order[count] for count in due.counts] if len(order) > 1 else 0

        def run() -> None:
            loop(table, values, 0, 1)
            grads.clear()  # they had to live until now

        return [run]
