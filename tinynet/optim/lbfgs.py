"""L-BFGS: Newton's step from the last gradients' changes, for losses that are the same function at every look.

The one idea: what a step along s did to the gradient, y, says how the loss curves along s. The last hundred such pairs
stand for the whole matrix of second derivatives, and its inverse is applied to the gradient without ever being made.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..backend import array_module, device_of, is_array, to_device
from .clip import check_finite
from .groups import fits
from .linesearch import Trial, strong_wolfe
from .optimizer import Optimizer
from .slots import Buffers


@dataclass
class Memory:
    """What is kept from look to look; vectors over all parameters, none of which is ever written into."""

    direction: Any = None
    last_grad: Any = None
    steps: list[Any] = field(default_factory=list)  # s: by how much the weights moved
    changes: list[Any] = field(default_factory=list)  # y: by how much the gradient changed
    curvatures: list[float] = field(default_factory=list)  # y s
    scale: float = 1.0  # y s / y y of the last pair, an inverse curvature
    t: float = 0.0  # how far the last step went along the direction
    iterations: int = 0

    def numbers(self) -> dict[str, Any]:
        """All but the vectors, for a file."""
        return {"curvatures": list(self.curvatures), "scale": self.scale, "t": self.t, "iterations": self.iterations}

    def turn(self, grad: Any, history_size: int) -> None:
        """Take in what the last step did to the gradient, and choose the next direction."""
        if self.iterations > 0:
            self._learn(grad, history_size)
        self.iterations += 1
        self.direction, self.last_grad, self.t = self._newton(grad), grad, 0.0

    def _learn(self, grad: Any, history_size: int) -> None:
        s, y = self.t * self.direction, grad - self.last_grad
        curvature = float(y @ s)
        if curvature > 1e-10:  # the loss curves upwards along s
            for kept, new in ((self.steps, s), (self.changes, y), (self.curvatures, curvature)):
                kept.append(new)
                del kept[:-history_size]
            self.scale = curvature / float(y @ y)

    def _newton(self, grad: Any) -> Any:
        """Minus the inverse second derivatives times the gradient: the two-loop recursion (algorithm 7.4)."""
        pairs, q, alphas = list(zip(self.steps, self.changes, self.curvatures, strict=True)), -grad, []
        for s, y, curvature in reversed(pairs):
            alphas.append((s @ q) / curvature)
            q = q - alphas[-1] * y
        r = self.scale * q
        for (s, y, curvature), alpha in zip(pairs, reversed(alphas), strict=True):
            r = r + (alpha - (y @ r) / curvature) * s
        return r


class Walk:
    """The steps of one call: the parameters as one vector, what the closure says of it, and where it goes from there."""

    def __init__(self, group: dict[str, Any], names: list[str], closure: Callable[[], Any], finite: bool):
        self.group, self.params, self.names, self.closure, self.finite = group, group["params"], names, closure, finite
        for name, p in zip(names, self.params, strict=True):
            if not is_array(p.data):  # arithmetic on an array without axes gives a NumPy scalar
                p.data = np.asarray(p.data)
            if (p.dtype, p.device) != (self.params[0].dtype, self.params[0].device):
                raise ValueError(
                    f"LBFGS: parameter {name!r} is {p.dtype} on {p.device!r}, {names[0]!r} is {self.params[0].dtype} on "
                    f"{self.params[0].device!r}; expected one dtype and device"
                )
            if isinstance(p.data, np.ndarray) and not p.data.flags.writeable:
                raise ValueError(f"LBFGS: parameter {name!r} is a read-only array, which no step can change")
        self.start = self._vector([p.data for p in self.params])
        self.first: Any = None  # what the closure returned first
        self.looks = 0

    def _vector(self, arrays: list[Any]) -> Any:
        return array_module(arrays[0]).concatenate([a.reshape(-1) for a in arrays])

    def write(self, w: Any) -> None:
        """Set the parameters."""
        at = 0
        for p in self.params:
            p.data[...] = w[at : at + p.size].reshape(p.shape)
            at += p.size

    def look(self, w: Any) -> tuple[float, Any]:
        """The loss at w, and the gradient; weight decay taken in, and both turned round to maximize."""
        if w is not self.start:
            self.write(w)
        value = self.closure()
        if value is None:
            raise TypeError("LBFGS: the closure returned None, expected the loss")
        if self.looks == 0:
            self.first = value
            if sum(p.size for p in self.params) != self.start.size:  # sizes that this first batch told
                self.start = self._vector([p.data for p in self.params])
        self.looks += 1
        if self.finite:
            moving = zip(self.names, self.params, strict=True)
            check_finite("LBFGS", [(name, p.grad.data) for name, p in moving if not self._stays(p)])
        sign, decay = -1 if self.group["maximize"] else 1, self.group["weight_decay"]
        loss, grads = sign * float(value), []
        for p in self.params:
            if self._stays(p):
                grads.append(array_module(p.data).zeros_like(p.data))
                continue
            grads.append(sign * p.grad.data + decay * p.data if decay else sign * p.grad.data)
            loss += decay / 2 * float((p.data**2).sum()) if decay else 0.0
        return loss, self._vector(grads)

    def _stays(self, p: Any) -> bool:
        return p.grad is None or not p.requires_grad

    def go(self, m: Memory) -> None:
        """Up to ``max_iter`` steps from where the parameters are."""
        o, least = self.group, self.group["tolerance_change"]
        most = o["max_iter"] * 5 // 4 if o["max_eval"] is None else o["max_eval"]
        loss, grad = self.look(self.start)
        w = self.start
        for n in range(1, o["max_iter"] + 1):
            if largest(grad) <= o["tolerance_grad"]:
                break
            m.turn(grad, o["history_size"])
            if any(self._stays(p) for p in self.params):
                moves = [array_module(p.data).full(p.shape, not self._stays(p)) for p in self.params]
                m.direction = m.direction * self._vector(moves)
            slope = float(grad @ m.direction)
            if slope > -least:
                break
            m.t = o["lr"] if m.iterations > 1 else o["lr"] * min(1.0, 1.0 / float(abs(grad).sum()))
            before = loss
            if o["line_search_fn"] is not None:
                start, shortest = Trial(0.0, loss, slope, grad), least / largest(m.direction)
                m.t, loss, _, grad = strong_wolfe(self._along(w, m.direction), start, m.t, most - self.looks, shortest)
            w = w + m.t * m.direction
            self.write(w)
            if o["line_search_fn"] is None and n < o["max_iter"]:  # what is here is only looked at if it goes on
                loss, grad = self.look(w)
            if self.looks >= most or largest(m.t * m.direction) <= least or abs(loss - before) < least:
                break

    def _along(self, w: Any, direction: Any) -> Callable[[float], Trial]:
        def trial(t: float) -> Trial:
            loss, grad = self.look(w + t * direction)
            return Trial(t, loss, float(grad @ direction), grad)

        return trial


def largest(x: Any) -> float:
    """The largest element in size; 0 where there are none."""
    return float(abs(x).max()) if x.size else 0.0


class LBFGS(Optimizer):
    """Quasi-Newton steps along  d = -H grad,  H being the inverse second derivatives as the last steps tell them.

    s = w_k+1 - w_k,  y = grad_k+1 - grad_k  of the last ``history_size`` steps;  H starts as (y s / y y) times the identity
    and is corrected by each pair. w <- w + t d, with t = lr, in the very first step lr min(1, 1 / ||grad||_1), or found by
    a line search from there: ``line_search_fn="strong_wolfe"``, with which it is hard to make it fail.

    Nocedal 1980, Mathematics of Computation 35; Nocedal, Wright 2006, "Numerical Optimization", algorithms 7.4 and 7.5.
    For smooth problems that fit in one batch (fitting a curve, the last digits of a solution): some tens of steps where
    gradient descent takes thousands. Mini-batches that differ from look to look mislead it.

    ``step(closure)`` takes up to ``max_iter`` steps. ``closure()`` clears the gradients, computes the loss, calls backward
    and returns the loss; it is called up to ``max_eval`` times (None: 1.25 max_iter; the line search may once go beyond),
    and ``step`` returns what it returned first. It ends early where no gradient is above ``tolerance_grad``, and
    where neither the weights nor the loss change by ``tolerance_change``. Model.fit hands it a closure.

    All parameters make one vector: they are one group, of one dtype and device. Parameters without a gradient, or frozen,
    stay as they are. A closure that raises leaves the weights as they were. ``check_finite`` looks at every gradient;
    ``clip_norm`` is refused, as a clipped gradient says nothing of how the loss curves.

    Differences: as in PyTorch, whose defaults these are, a pair with y s <= 1e-10 is left out. ``weight_decay`` (added to
    the gradient, and weight_decay / 2 ||w||^2 to the loss that is searched) and ``maximize`` are ours.

    >>> from tinynet import Parameter
    >>> w = Parameter([-1.0, 2.0], dtype="float64"); optimizer = LBFGS([w], line_search_fn="strong_wolfe")
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = (1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2  # Rosenbrock's valley
    ...     loss.backward()
    ...     return loss
    >>> for _ in range(3):
    ...     loss = optimizer.step(closure)
    >>> w.data.round(5)
    array([1., 1.])
    """

    needs_closure = True
    elementwise = False
    defaults = {
        "lr": 1.0,
        "max_iter": 20,
        "max_eval": None,
        "tolerance_grad": 1e-7,
        "tolerance_change": 1e-9,
        "history_size": 100,
        "line_search_fn": None,
    }
    ranges = {
        **dict.fromkeys(("max_iter", "history_size"), "[1, inf)"),
        "max_eval": "[1, inf) or None",
        **dict.fromkeys(("tolerance_grad", "tolerance_change"), "[0, inf)"),
    }

    def check_hyper(self, entries: dict[str, Any]) -> dict[str, Any]:
        """The hyper-parameters; ValueError for one that is not valid."""
        if self.clip_norm is not None:
            raise ValueError(
                f"LBFGS: clip_norm is {self.clip_norm!r}, expected None: it needs the very gradient of the loss"
            )
        entries = super().check_hyper(entries)
        for name in ("max_iter", "max_eval", "history_size"):
            if isinstance(entries.get(name), float):
                raise ValueError(f"LBFGS: {name} is {entries[name]!r}, expected an integer")
        if entries.get("line_search_fn") not in (None, "strong_wolfe"):
            raise ValueError(f"LBFGS: line_search_fn is {entries['line_search_fn']!r}, expected None or 'strong_wolfe'")
        return entries

    def variant(self, group: dict[str, Any]) -> tuple[tuple[str, ...], Callable]:
        """No buffers that have a rule: the memory is kept apart."""
        return (), self.step

    def add_param_group(self, group: dict[str, Any]) -> None:
        """The one group of parameters; ``ValueError`` for a second."""
        if self.param_groups:
            raise ValueError("LBFGS: a second group of parameters; expected one, as all make one vector")
        self._memory = Memory()
        super().add_param_group(group)

    # -------------------------------------------------------------------------------------------------- stepping

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Up to ``max_iter`` steps; returns what ``closure()`` returned first, at the weights as they were."""
        if not callable(closure):
            raise TypeError(
                f"LBFGS: step takes a closure, got {closure!r}; expected a function that clears the gradients, computes "
                "the loss, calls backward and returns the loss"
            )
        (group,) = self.param_groups
        self.check_hyper(group)
        walk = Walk(group, [self._names[p] for p in group["params"]], closure, self.check_finite)
        memory = self._kept(walk.start)
        try:
            walk.go(memory)
        except BaseException:
            if walk.looks:
                walk.write(walk.start)
            raise
        self._memory = memory
        for name in self._names.values():
            self._steps[name] = self._steps.get(name, 0) + 1
        return walk.first

    def _kept(self, w: Any) -> Memory:
        """A copy of the memory, moved where the parameters have moved (device, dtype) since."""
        m = self._memory
        if m.direction is None:
            return Memory()
        if m.direction.shape != w.shape:
            raise ValueError(
                f"LBFGS: the parameters have {w.size} elements now, the memory is of {m.direction.size}; "
                "make a new optimizer after a change of shape"
            )

        def moved(a: Any) -> Any:
            same = a.dtype == w.dtype and device_of(a) == device_of(w)
            return a if same else to_device(a, device_of(w)).astype(w.dtype)

        return replace(
            m,
            direction=moved(m.direction),
            last_grad=moved(m.last_grad),
            steps=[moved(a) for a in m.steps],
            changes=[moved(a) for a in m.changes],
            curvatures=list(m.curvatures),
        )

    # ----------------------------------------------------------------------------------------------------- state

    def _places(self) -> dict[str, tuple[slice, tuple[int, ...]]]:
        """Where each parameter, by name, has its elements in the vector of all, and its shape."""
        params = self.param_groups[0]["params"]
        ends = list(itertools.accumulate((p.size for p in params), initial=0))
        return {self._names[p]: (slice(*ends[k : k + 2]), p.shape) for k, p in enumerate(params)}

    def state(self, param: Any) -> Mapping[str, Any]:
        """The parameter's part of ``direction`` and ``last_grad``, live: arrays that may be written into."""
        super().state(param)  # KeyError for a stranger
        if self._memory.direction is None:
            return Buffers({})
        part, shape = self._places()[self._names[param]]
        m = self._memory
        return Buffers({"direction": m.direction[part].reshape(shape), "last_grad": m.last_grad[part].reshape(shape)})

    def state_dict(self) -> dict[str, Any]:
        """All that a fresh optimizer needs to go on.

        Of each parameter: its part of ``direction`` and ``last_grad`` and, with an axis for the pairs before its own, of
        ``steps`` and ``changes``; under ``search`` the numbers.
        """
        m, buffers = self._memory, {}
        for name, (part, shape) in self._places().items() if m.direction is not None else ():
            for b in ("direction", "last_grad"):
                buffers[f"{name}/{b}"] = to_device(getattr(m, b)[part], "cpu").reshape(shape).copy()
            for b in ("steps", "changes"):
                rows = [to_device(a[part], "cpu").reshape(shape) for a in getattr(m, b)]
                buffers[f"{name}/{b}"] = np.stack(rows) if rows else np.empty((0, *shape), m.direction.dtype)
        return {**super().state_dict(), "buffers": buffers, "search": m.numbers()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what ``state_dict`` returned. ``ValueError``, and nothing changed, where it does not fit."""
        if "search" not in state or "buffers" not in state:
            raise ValueError(f"LBFGS: the saved state has {sorted(state)}, expected buffers, groups, search and steps")
        memory = self._from_saved(dict(state["buffers"]), dict(state["search"]))
        super().load_state_dict({name: {} if name == "buffers" else part for name, part in state.items()})
        self._memory = memory

    def _from_saved(self, buffers: dict[str, Any], numbers: dict[str, Any]) -> Memory:
        fresh = Memory()
        if numbers.keys() != fresh.numbers().keys():
            raise ValueError(f"LBFGS: the saved search has {sorted(numbers)}, expected {sorted(fresh.numbers())}")
        memory = replace(fresh, **{**numbers, "curvatures": list(numbers["curvatures"])})
        count, params = len(memory.curvatures), self.param_groups[0]["params"]
        for b in ("direction", "last_grad", "steps", "changes") if memory.iterations else ():
            parts = []
            for p, (name, (_, shape)) in zip(params, self._places().items(), strict=True):
                expected = shape if b in ("direction", "last_grad") else (count, *shape)
                a = buffers.pop(f"{name}/{b}", None)
                rows = len(expected) - len(shape)
                if a is None or a.shape[:rows] != expected[:rows] or not fits(shape, a.shape[rows:]):
                    found = "is missing" if a is None else f"has shape {a.shape}"
                    raise ValueError(f"LBFGS: saved '{name}/{b}' {found}, expected shape {expected}")
                flat = np.array(a, dtype=p.dtype).reshape(*expected[:rows], math.prod(a.shape[rows:]))
                parts.append(to_device(flat, p.device))
            whole = array_module(parts[0]).concatenate(parts, axis=-1)
            setattr(memory, b, whole if b in ("direction", "last_grad") else list(whole))
        if buffers:
            raise ValueError(f"LBFGS: the saved state has {min(buffers)!r}, which this optimizer does not keep")
        return memory
