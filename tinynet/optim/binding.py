"""A group of parameters made ready for its steps: what is looked up and checked once, and afterwards only compared.

The one idea: a step is one call for all parameters of a group. They stay where they are, and the compiled loop is given a
table of their addresses, so that whatever a user binds, freezes or moves between two steps changes a row and no more.
(Copies of all parameters in one flat array were measured beside it, and are no faster: Adam on six arrays of together
1.8 million weights 1,051 us, on one array of that size 1,044.)
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from ..backend import is_array
from ..kernels.measure import SUMS, measure, trusted
from ..kernels.table import Table
from ..kernels.update import Update, update_for
from . import on_gpu
from .explain import Gradient
from .hyper import CLIP, DECAY, full_rule, keywords
from .slots import Due, Slot

Hyper = Callable[[dict[str, Any], int], dict[str, Any]]  # an optimizer's hyper-parameters, for a group and a step count


class Last(NamedTuple):
    """A step that was made at once: what the next may have in common with it."""

    dtype: Any
    own: dict[str, Any]  # the hyper-parameters as the optimizer gave them, and as the rule takes them
    values: dict[str, Any]
    update: Update
    loop: int | None
    numbers: tuple
    changes: bool  # whether the numbers are others in every step


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
        self.plain = rule  # without what every optimizer adds
        self._options = rule, bool(decays), group["maximize"]
        self.steps: dict[str, int] = {}  # how many steps each parameter has made, by its name
        self.slots: list[Slot]
        self._table: Table | None  # of the parameters in the last step, where their counts were the same
        self._table_of: list[Slot]
        if earlier is not None and earlier.buffers == self.buffers and earlier.seen["params"] is group["params"]:
            self.slots, self._table, self._table_of = earlier.slots, earlier._table, earlier._table_of
        else:
            self.slots = [Slot(names[p], p) for p in group["params"]]
            self._table, self._table_of = None, []
        self._names = [slot.name for slot in self.slots]
        self._loops: dict[tuple[Update, Any], int] = {}
        self._last: Last | None = None
        self.on_gpu: dict[Any, tuple] = {}  # the numbers that were sent there, and where they are

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
        self.steps = steps
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
            if isinstance(w, ndarray) and not w.flags.writeable:  # the flags of CuPy's arrays do not say
                raise ValueError(f"{self.owner}: parameter {slot.name!r} is a read-only array, which no step can change")
            if not slots:
                dtype = slot.dtype
            if slot.dtype is None or slot.dtype != dtype or g.dtype != dtype:  # NumPy takes None for float64
                dtype = None
            slots.append(slot)
            grads.append(g)
        names = self._names if len(slots) == len(self.slots) else [slot.name for slot in slots]
        return Due(slots, names, grads, [steps.get(name, 0) + 1 for name in names], dtype)

    def _attach(self, slot: Slot, state: Callable[[str, Any, tuple[str, ...], dict], dict[str, Any]]) -> Any:
        if not is_array(slot.p.data):  # arithmetic on an array without axes gives a NumPy scalar
            slot.p.data = np.asarray(slot.p.data)
        if slot.p.dtype.kind != "f":
            raise ValueError(
                f"{self.owner}: parameter {slot.name!r} is {slot.p.dtype} now, expected floats: no step fits in"
            )
        held = state(slot.name, slot.p, self.buffers, self.group)
        slot.attach(tuple([held[b] for b in self.buffers]))
        self._table = None
        return slot.data

    def rule(self, factor: float | None) -> Callable:
        """The rule with what every optimizer adds; where ``factor`` is a number it asks for that, too."""
        return full_rule(*self._options, factor is not None)

    def own_values(self, own: dict[str, Any], step: int) -> dict[str, Any]:
        """The hyper-parameters that the rule names; ``own``: what the optimizer gives for that step count."""
        values = {**own, "step": step}
        try:
            return {name: values[name] for name in self.wanted}
        except KeyError as error:
            raise TypeError(f"{self.owner}: rule names {error}, defaults does not") from None

    def values(self, own: dict[str, Any], step: int, factor: float | None) -> dict[str, Any]:
        """The same with those of what every optimizer adds; ``factor`` is what gradients are multiplied by."""
        clip = {} if factor is None else {CLIP: factor if isinstance(factor, float) else 1.0}  # on a GPU it is put in there
        return {**self.own_values(own, step), **self.added, **clip}

    def gradient(self, factor: float | None) -> Gradient:
        """What becomes of a gradient before the rule sees it."""
        return Gradient(factor, self._options[2], self.added.get(DECAY))

    def prepare(self, due: Due, hyper: Hyper, factor: float | None) -> list[Callable[[], None]]:
        """What is to be run for these parameters. ``hyper`` gives the group's hyper-parameters in a step of that count."""
        asked: dict[int, dict] = {}
        for count in due.counts:
            if count not in asked:
                asked[count] = hyper(self.group, count)
        if self._last is not None and len(asked) == 1 and due.dtype is self._last.dtype:
            again = self._as_before(self._last, due, count, asked[count], factor)
            if again is not None:
                return [again]
        work: list[Callable[[], None]] = []
        for update, part, at in self._parts(due, asked, factor):
            if part.dtype is None or update.trace is None:
                work += on_gpu.prepare(self, update, part, at, hyper, factor)
                continue
            numbers = {count: update.numbers(values) for count, values in at.items()}
            loop = self._loops.get((update, part.dtype)) or update.loop(part.size(), part.dtype)
            if loop is None:
                work.append(functools.partial(update.in_place, part.flat(), [numbers[count] for count in part.counts]))
            else:
                self._loops[update, part.dtype] = loop
                work.append(functools.partial(self._table_for(part, numbers).run, loop, part.flat_grads()))
            if len(at) == 1 and part is due:
                ((count, own),) = asked.items()
                changes = factor is not None or "step" in self.wanted
                self._last = Last(due.dtype, own, at[count], update, loop, numbers[count], changes)
        return work

    def _as_before(self, last: Last, due: Due, count: int, own: dict, factor: float | None) -> Callable[[], None] | None:
        """What ``prepare`` returns, in half the time, where nothing but the step count is other than in the last step."""
        if (own is not last.own and own != last.own) or (factor is None) is (CLIP in last.values):
            return None
        numbers = last.numbers
        if last.changes:
            values = {**last.values, "step": count}
            if factor is not None:
                values[CLIP] = factor
            numbers = last.update.numbers(values)
        if last.loop is None:
            return functools.partial(last.update.in_place, due.flat(), [numbers] * len(due.slots))
        return functools.partial(self._table_for(due, {count: numbers}).run, last.loop, due.flat_grads())

    def measure(self, due: Due, hyper: Hyper, factor: float | None) -> list[tuple[str, list[float]]]:
        """The sums of ``kernels.measure`` over the step that would be made, for each of these parameters by its name."""
        found: list[tuple[str, list[float]]] = []
        asked = {count: hyper(self.group, count) for count in dict.fromkeys(due.counts)}
        for update, part, at in self._parts(due, asked, factor):
            loop = None if part.dtype is None else update.loop(part.size(), part.dtype, "measure")
            rows: list[list[float] | None] = [None] * len(part.slots)
            if loop is not None:
                numbers = {count: update.numbers(values) for count, values in at.items()}
                table, grads = self._table_for(part, numbers), part.flat_grads()
                sums = np.empty((len(part.slots), len(SUMS) + len(self.buffers)))
                table.point(grads)
                loop(table.rows, table.numbers, sums)
                rows = [row if trusted(row, part.dtype) else None for row in sums.tolist()]
            for slot, row, arrays, count in zip(part.slots, rows, part.arrays(), part.counts, strict=True):
                found.append((slot.name, row or measure(update.rule, self.elementwise, arrays, at[count])))
        return found

    def _parts(self, due: Due, asked: dict[int, dict], factor: float | None) -> list[tuple[Update, Due, dict]]:
        """The parameters by what can be done at once: the update, which of them, the hyper-parameters by count."""
        rule = self.rule(factor)
        at = {count: self.values(own, count, factor) for count, own in asked.items()}
        updates = {count: update_for(rule, self.buffers, values, self.elementwise) for count, values in at.items()}
        if len(at) == 1 and due.dtype is not None:  # by far the most frequent case
            return [(updates[due.counts[0]], due, at)]
        found = []
        for update in dict.fromkeys(updates.values()):  # the rule may be another one at another count, as RAdam's is
            same = due.some([k for k, count in enumerate(due.counts) if updates[count] is update], due.dtype)
            found += [(update, part, at) for part in same.parts()]
        return found

    def _table_for(self, due: Due, numbers: dict[int, tuple]) -> Table:
        """A compiled loop's table, with the numbers by count."""
        table, one = self._table, numbers[due.counts[0]]
        if table is not None and len(numbers) == 1 and due.slots == self._table_of and len(one) == table.numbers.shape[1]:
            table.numbers[0] = one
        else:
            places = {count: k for k, count in enumerate(numbers)}
            rows = [[slot.row[0], places[n], *slot.row[2:]] for slot, n in zip(due.slots, due.counts, strict=True)]
            table = Table(rows, list(numbers.values()), due.dtype)
            if len(numbers) == 1:
                self._table, self._table_of = table, due.slots
        return table
