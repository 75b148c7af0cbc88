"""Optimizer: what all update rules share. Groups of parameters, buffers by name, the loop over them, saving and loading.

The one idea: a subclass is only its formula. ``rule`` is a pure elementwise function; everything around it (which
parameters, which buffers, weight decay, the step count, state by name) stands here once, for the library's rules and
for yours.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..backend import array_module, device_of, recorded, to_device
from ..kernels import joint_norm
from .binding import Binding
from .clip import check_finite, clip_factor
from .groups import as_groups, fitting, named_params, without_params
from .hyper import checked
from .inspection import Inspection
from .slots import Buffers, Due

FOR_ALL = {"weight_decay": 0.0, "maximize": False}  # the hyper-parameters that every optimizer has besides its own
TOGETHER = {"clip_norm": None, "check_finite": False}  # what concerns all groups together; given by keyword only


class Optimizer(Inspection):
    """The base of every optimizer; a subclass states ``buffers``, ``defaults`` and ``rule``, and where needed ``ranges``.

    ``params``: Parameters, ``(name, Parameter)`` pairs, a Layer, or a list of groups
    ``{"params": ..., "lr": ..., ...}`` whose other entries override the defaults for that group. The rest are keywords, with
    ``weight_decay`` (coupled: ``grad + weight_decay * w`` takes the gradient's place) and ``maximize`` (the gradient's
    sign is turned) for every optimizer. A rule that itself names ``weight_decay`` gets it as a hyper-parameter, and nothing
    is added to its gradient: so a *decoupled* decay is written. ``ranges`` gives the valid values of hyper-parameters that
    are not named like the common ones: ``{"rho": "[0, 1]"}``.

    ``clip_norm`` scales the gradients of all groups together, so that their joint norm is at most that: as
    ``clip_grad_norm`` before the step, but on the way through the update, and the gradients stay as they are.
    ``grad_norm`` is the norm in the last step, before clipping; ``clip_norm=math.inf`` only measures it.
    ``check_finite=True`` raises where a gradient has a NaN or an infinite element, and nothing is changed then (on a GPU
    it is read in every step, which waits for it; all else in a step does not).

    Parameters without a gradient, or frozen, are left alone in a step, and their step count stands still.
    State is kept and saved by name: that of the Layer, or of the pairs; a bare list of Parameters gets their numbers.
    In float16 an ``eps`` below 3e-8 is zero, and Adam and its like make NaN of a weight whose gradients were all zero, as
    PyTorch's do: pass 1e-4 there.

    Raises ``ValueError`` for no parameters, the same parameter twice, a hyper-parameter out of range (a negative or NaN
    rate, a beta outside [0, 1)); ``TypeError`` for an unknown keyword, and for what is no Tensor.

    An optimizer of your own, for every device:

    >>> import tinynet as tn
    >>> class SignMomentum(Optimizer):
    ...     buffers = ("velocity",)
    ...     defaults = {"lr": 1e-3, "beta": 0.9}
    ...     @staticmethod
    ...     def rule(w, grad, velocity, *, lr, beta):
    ...         velocity = beta * velocity + (1 - beta) * grad
    ...         return w - lr * tn.optim.sign(velocity), velocity
    >>> w = tn.Parameter([1.0, -1.0])
    >>> optimizer = SignMomentum([w], lr=0.5)
    >>> (w * w).sum().backward(); optimizer.step(); w
    tensor([ 0.5, -0.5], requires_grad=True)
    """

    buffers: tuple[str, ...] = ()
    defaults: dict[str, Any] = {}
    ranges: dict[str, str] = {}
    axes: int | None = None  # how many axes a parameter must have, where the rule is not for all
    elementwise = True  # False: ``rule`` looks at a parameter as a whole, and is run as array code on each of them
    needs_closure = False  # True: ``step`` takes a function that computes the loss and the gradients anew
    rule: Callable[..., Any]

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if "__init__" not in vars(cls):  # help() and editors see the hyper-parameters by name
            entries = {"params": inspect.Parameter.empty, **cls.defaults, **FOR_ALL, **cls.defaults}
            either, keyword = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
            parameters = [inspect.Parameter(name, either, default=value) for name, value in entries.items()]
            parameters += [inspect.Parameter(name, keyword, default=value) for name, value in TOGETHER.items()]
            cls.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]

    def __init__(
        self, params: Any, *hyper: Any, clip_norm: float | None = None, check_finite: bool = False, **keywords: Any
    ):
        names = list({**self.defaults, **FOR_ALL})
        if len(hyper) > len(names):
            raise TypeError(f"{type(self).__name__}: takes params and {len(names)} hyper-parameters, got {len(hyper)}")
        given = dict(zip(names, hyper, strict=False))
        for name, value in keywords.items():
            if name not in names or name in given:
                problem = "twice" if name in given else f"unknown; there are {', '.join(names)}"
                raise TypeError(f"{type(self).__name__}: hyper-parameter {name!r} is {problem}")
            given[name] = value
        base = {**FOR_ALL, **self.defaults, **given}
        self._buffers: dict[str, dict[str, Any]] = {}
        self._steps: dict[str, int] = {}
        self._names: dict[Any, str] = {}  # by the Parameter itself
        self.param_groups: list[dict[str, Any]] = []
        self._bindings: list[Binding] = []  # of the groups, as their last step found them
        self.clip_norm, self.check_finite = clip_norm, check_finite
        self._grad_norm: Any = None  # a number, or an array on a GPU that has not been read
        self.check_hyper(base)
        for group in as_groups(params):
            self.add_param_group({**base, **group})

    def add_param_group(self, group: dict[str, Any]) -> None:
        """Optimize more parameters: ``{"params": ..., "lr": ...}``, with the defaults for what is not given."""
        owner = type(self).__name__
        entries = {**self.defaults, **FOR_ALL, **self.defaults, **group}
        odd = entries.keys() - self.defaults.keys() - FOR_ALL.keys() - {"params"}
        if odd:
            raise TypeError(f"{owner}: a group has the unknown hyper-parameter {min(odd)!r}")
        self.check_hyper(entries)
        if "params" not in entries:
            raise ValueError(f"{owner}: a group without 'params'")
        named = named_params(entries["params"], len(self._names))
        if not named:
            raise ValueError(f"{owner}: params is empty; expected at least one Parameter (is the model built yet?)")
        new: dict[Any, str] = {}
        for name, p in named:
            if not hasattr(p, "requires_grad"):
                raise TypeError(f"{owner}: params must be Parameters, got {type(p).__name__} for {name!r}")
            if not p.is_leaf:
                raise ValueError(f"{owner}: parameter {name!r} is the result of an op, not a Parameter")
            if self.axes not in (None, p.ndim):
                raise ValueError(
                    f"{owner}: parameter {name!r} has shape {p.shape}, expected {self.axes} axes; "
                    "leave the others to another optimizer"
                )
            earlier = self._names.get(p, new.get(p))
            if earlier is not None:
                raise ValueError(f"{owner}: the same parameter twice, as {earlier!r} and as {name!r}")
            taken = {*self._names.values(), *new.values()}
            others = (f"{k}.{name}" for k in itertools.count(len(self.param_groups)))
            new[p] = next(n for n in itertools.chain([name], others) if n not in taken)
        self._names.update(new)
        self.param_groups.append({**entries, "params": list(new)})

    # -------------------------------------------------------------------------------------------------- stepping

    def variant(self, group: dict[str, Any]) -> tuple[tuple[str, ...], Callable]:
        """The buffers and the rule for a group; an optimizer whose options change them overrides this."""
        return self.buffers, self.rule

    def hyper(self, group: dict[str, Any], step: int) -> dict[str, Any]:
        """The group's hyper-parameters as the rule gets them in a parameter's step number ``step``, counted from 1.

        Overridden where one follows from others or from the step. Asked once a step for all parameters that are at the
        same count, in plain Python, so that what it computes costs nothing per weight.
        """
        return group

    def initial(self, buffer: str, group: dict[str, Any]) -> float:
        """What a buffer holds before the first step; overridden where that is not zero."""
        return 0.0

    def check_hyper(self, entries: dict[str, Any]) -> dict[str, Any]:
        """The hyper-parameters, plain numbers; ValueError for one that is not valid. Overridden for what is no number."""
        return checked(type(self).__name__, entries, self.ranges)

    def step(self) -> None:
        """Update every parameter that has a gradient, in place. Gradients are left as they are.

        Raises ``ValueError`` naming the parameter where its gradient or a buffer has another shape, or a
        hyper-parameter that is out of range; nothing is changed then.
        """
        due, norm, factor = self._due()
        if recorded.now is not None:
            recorded.now.before.append(functools.partial(self._check_replay, due))
        work: list[Callable[[], None]] = []
        for binding, one in due:
            work += binding.prepare(one, self.hyper, factor)
        for run in work:
            run()
        self._grad_norm = norm
        if recorded.now is None:
            for _, one in due:
                for name, count in zip(one.names, one.counts, strict=True):
                    self._steps[name] = count
        else:
            recorded.now.before.append(functools.partial(self._replayed, due))

    def _check_replay(self, due: list[tuple[Binding, Due]]) -> None:
        """RuntimeError where a captured step would not do what a step does now: its arrays are others than they were."""
        for k in range(len(self.param_groups)):
            self._binding(k)
        for slot in itertools.chain(*[one.slots for _, one in due]):
            held = self._buffers.get(slot.name, {})
            if slot.p.data is not slot.data or any(a is not b for a, b in zip(held.values(), slot.buffers, strict=True)):
                raise RuntimeError(
                    f"{type(self).__name__}: parameter {slot.name!r} or its state are other arrays than when the step was "
                    "captured (a load, a move to another device); capture it anew"
                )

    def _replayed(self, due: list[tuple[Binding, Due]]) -> None:
        """Count a step that a GPU is about to replay; the numbers for it have been handed over before."""
        for _, one in due:
            self._steps.update({name: self._steps.get(name, 0) + 1 for name in one.names})

    @property
    def grad_norm(self) -> float | None:
        """The joint norm of the gradients in the last step, before clipping; None where nothing asks for it.

        On a GPU it is only computed in the step, and read here.
        """
        return None if self._grad_norm is None else float(self._grad_norm)

    def _due(self) -> tuple[list[tuple[Binding, Due]], float | None, float | None]:
        """What a step concerns in every group, checked; the joint norm of the gradients, and what they are multiplied by.

        The last two are None where nobody asks for them.
        """
        due: list[tuple[Binding, Due]] = []
        for k in range(len(self.param_groups)):
            binding = self._binding(k)
            due.append((binding, binding.due(self._steps, self._state)))
        if self._clip_norm is None and not self.check_finite:
            return due, None, None
        grads = [pair for _, one in due for pair in one.named_grads()]
        norm = joint_norm([grad for _, grad in grads])
        if self.check_finite and not math.isfinite(float(norm)):
            check_finite(type(self).__name__, grads)
        return due, norm, None if self._clip_norm is None else clip_factor(norm, self._clip_norm)

    @property
    def clip_norm(self) -> float | None:
        """The largest joint norm of all gradients that a step takes as it is; larger ones it scales down to that."""
        return self._clip_norm

    @clip_norm.setter
    def clip_norm(self, value: float | None) -> None:
        checked(type(self).__name__, {"clip_norm": value}, {"clip_norm": "(0, inf] or None"})
        self._clip_norm = value

    def _binding(self, k: int) -> Binding:
        """The group number ``k``, checked; made anew where a hyper-parameter has changed."""
        group, earlier = self.param_groups[k], self._bindings[k] if k < len(self._bindings) else None
        if earlier is not None and earlier.still_holds(group):
            return earlier
        self.check_hyper(group)
        owner = type(self).__name__
        made = Binding(owner, group, self.variant(group), self.elementwise, self._names, earlier)
        self._bindings[k : k + 1] = [made]
        return made

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for group in self.param_groups:
            for p in group["params"]:
                p.grad = None

    @property
    def lr(self) -> float:
        """The learning rate of the first group; setting it sets that of every group."""
        return self.param_groups[0]["lr"]

    @lr.setter
    def lr(self, value: float) -> None:
        entry = self.check_hyper({"lr": value})
        for group in self.param_groups:
            group.update(entry)

    # ----------------------------------------------------------------------------------------------------- state

    def _state(self, name: str, p: Any, buffers: Iterable[str], group: dict[str, Any]) -> dict[str, Any]:
        """The buffers of a parameter, made on first use, and moved where it has moved (device, dtype) since."""
        state = self._buffers.setdefault(name, {})
        for b in buffers:
            held = state.get(b)
            if held is None:
                state[b] = array_module(p.data).full(p.shape, self.initial(b, group), p.dtype)
            elif held.shape != p.shape:
                raise ValueError(
                    f"{type(self).__name__}: parameter {name!r} has shape {p.shape} now, its {b!r} {held.shape}; "
                    "make a new optimizer after a change of shape"
                )
            elif held.dtype != p.dtype or device_of(held) != p.device:
                state[b] = to_device(held, p.device).astype(p.dtype)
        return state

    def state(self, param: Any) -> Mapping[str, Any]:
        """The live buffers of a parameter by name (``velocity``, ...): arrays that may be written into."""
        name, k = self._find(param)
        group = self.param_groups[k]
        return Buffers(self._state(name, param, self.variant(group)[0], group))

    def _find(self, param: Any) -> tuple[str, int]:
        """A parameter's name, and the number of its group."""
        if param not in self._names:
            raise KeyError(f"{type(self).__name__}: this parameter is not among those it optimizes")
        k = next(k for k, g in enumerate(self.param_groups) if any(p is param for p in g["params"]))
        return self._names[param], k

    def state_dict(self) -> dict[str, Any]:
        """All that a fresh optimizer needs to go on: copies of the buffers by ``parameter/buffer``, steps, and groups."""
        buffers: dict[str, Any] = {}
        for group in self.param_groups:
            names = self.variant(group)[0]
            for p in group["params"]:
                if self._names[p] in self._buffers:
                    held = self._state(self._names[p], p, names, group)
                    buffers |= {f"{self._names[p]}/{b}": to_device(held[b], "cpu").copy() for b in names}
        return {
            "buffers": buffers,
            "steps": dict(self._steps),
            "groups": [{**g, "params": [self._names[p] for p in g["params"]]} for g in self.param_groups],
            "clip_norm": self._clip_norm,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what ``state_dict`` returned. ``ValueError``, and nothing changed, where it does not fit."""
        owner = type(self).__name__
        if not {"buffers", "steps", "groups"} <= state.keys():
            raise ValueError(f"{owner}: the saved state has {sorted(state)}, expected buffers, groups and steps")
        saved = [list(g["params"]) for g in state["groups"]]
        groups = [[self._names[p] for p in g["params"]] for g in self.param_groups]
        if saved != groups:
            raise ValueError(f"{owner}: the saved state is for the parameters {saved}, this optimizer has {groups}")
        fresh = [without_params(g) for g in state["groups"]]
        for entries, group in zip(fresh, self.param_groups, strict=True):
            if entries.keys() != without_params(group).keys():
                raise ValueError(f"{owner}: the saved hyper-parameters are {sorted(entries)}, not those of {owner}")
            self.check_hyper(entries)
        buffers, steps = dict(state["buffers"]), {name: int(n) for name, n in state["steps"].items()}
        loaded: dict[str, dict[str, Any]] = {}
        for entries, group in zip(fresh, self.param_groups, strict=True):
            for p in group["params"]:
                name = self._names[p]
                held = {b: buffers.pop(f"{name}/{b}", None) for b in self.variant(entries)[0]}
                if steps.get(name, 0) or any(a is not None for a in held.values()):
                    loaded[name] = {b: fitting(f"{owner}: saved {name + '/' + b!r}", a, p) for b, a in held.items()}
        odd = [*buffers, *(n for n in steps if n not in self._names.values() or steps[n] < 0)]
        if odd:
            raise ValueError(f"{owner}: the saved state has {odd[0]!r}, which this optimizer does not keep")
        self.clip_norm = state.get("clip_norm", self._clip_norm)  # raises before anything is changed
        self._buffers, self._steps, self._bindings = loaded, steps, []
        for entries, group in zip(fresh, self.param_groups, strict=True):
            group.update(entries)

    def __getstate__(self) -> dict[str, Any]:
        """What a copy takes with it: all but the addresses of arrays, which are not the copy's."""
        return {**vars(self), "_bindings": []}

    def __repr__(self) -> str:
        lines = [
            f"  group {i}: {len(g['params'])} parameters, " + ", ".join(f"{k}={v}" for k, v in without_params(g).items())
            for i, g in enumerate(self.param_groups)
        ]
        return "\n".join([f"{type(self).__name__}(", *lines, ")"])
