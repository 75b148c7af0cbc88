"""Optimizer: what all update rules share. Groups of parameters, buffers by name, the loop over them, saving and loading.

The one idea: a subclass is only its formula. ``rule`` is a pure elementwise function; everything around it (which
parameters, which buffers, weight decay, the step count, state by name) stands here once, for the library's rules and
for yours.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from ..backend import array_module, device_of, is_array, to_device
from ..kernels import update, update_whole
from .hyper import DECAY, checked, full_rule, keywords

FOR_ALL = {"weight_decay": 0.0, "maximize": False}  # the hyper-parameters that every optimizer has besides its own


class Optimizer:
    """The base of every optimizer; a subclass states ``buffers``, ``defaults`` and ``rule``, and where needed ``ranges``.

    ``params``: Parameters, ``(name, Parameter)`` pairs, a Layer, or a list of groups
    ``{"params": ..., "lr": ..., ...}`` whose other entries override the defaults for that group. The rest are keywords, with
    ``weight_decay`` (coupled: ``grad + weight_decay * w`` takes the gradient's place) and ``maximize`` (the gradient's
    sign is turned) for every optimizer. A rule that itself names ``weight_decay`` gets it as a hyper-parameter, and nothing
    is added to its gradient: so a *decoupled* decay is written. ``ranges`` gives the valid values of hyper-parameters that
    are not named like the common ones: ``{"rho": "[0, 1]"}``.

    Parameters without a gradient, or frozen, are left alone in a step, and their step count stands still.
    State is kept and saved by name: that of the Layer, or of the pairs; a bare list of Parameters gets their numbers.

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
            kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
            cls.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
                [inspect.Parameter(name, kind, default=value) for name, value in entries.items()]
            )

    def __init__(self, params: Any, *hyper: Any, **keywords: Any):
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
        self._check(base)
        for group in _groups(params):
            self.add_param_group({**base, **group})

    def add_param_group(self, group: dict[str, Any]) -> None:
        """Optimize more parameters: ``{"params": ..., "lr": ...}``, with the defaults for what is not given."""
        owner = type(self).__name__
        entries = {**self.defaults, **FOR_ALL, **self.defaults, **group}
        odd = entries.keys() - self.defaults.keys() - FOR_ALL.keys() - {"params"}
        if odd:
            raise TypeError(f"{owner}: a group has the unknown hyper-parameter {min(odd)!r}")
        self._check(entries)
        if "params" not in entries:
            raise ValueError(f"{owner}: a group without 'params'")
        named = _named(entries["params"], len(self._names))
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

    def _check(self, entries: dict[str, Any]) -> dict[str, Any]:
        return checked(type(self).__name__, entries, self.ranges)

    def step(self) -> None:
        """Update every parameter that has a gradient, in place. Gradients are left as they are.

        Raises ``ValueError`` naming the parameter where its gradient or a buffer has another shape, or a
        hyper-parameter that is out of range; nothing is changed then.
        """
        work = [one for group in self.param_groups for one in self._work(group)]
        for name, rule, w, grad, buffers, hyper in work:
            self._steps[name] = self._steps.get(name, 0) + 1
            (update if self.elementwise else update_whole)(rule, w, grad, buffers, hyper)

    def _work(self, group: dict[str, Any]) -> Iterator[tuple]:
        """What a step has to do for a group, checked: name, rule, weight, gradient, buffers, hyper-parameters of each."""
        owner = type(self).__name__
        self._check(group)
        names, plain = self.variant(group)
        decays = bool(group["weight_decay"]) and "weight_decay" not in keywords(plain)  # else the rule does it itself
        rule = full_rule(plain, decays, group["maximize"])
        at: dict[int, dict[str, Any]] = {}  # hyper-parameters by step count
        for p in group["params"]:
            if p.grad is None or not p.requires_grad:
                continue
            if not is_array(p.data):  # arithmetic on an array without axes gives a NumPy scalar
                p.data = np.asarray(p.data)
            name = self._names[p]
            state = self._state(name, p, names, group)
            if p.grad.shape != p.shape:
                raise ValueError(f"{owner}: parameter {name!r} has shape {p.shape}, its gradient {p.grad.shape}")
            step = self._steps.get(name, 0) + 1
            if step not in at:
                at[step] = self._values(group, plain, decays, step)
            yield name, rule, p.data, p.grad.data, {b: state[b] for b in names}, at[step]

    def _values(self, group: dict[str, Any], rule: Callable, decays: bool, step: int) -> dict[str, Any]:
        """The hyper-parameters that a rule names, for a step count."""
        values, wanted = {**self.hyper(group, step), "step": step}, keywords(rule)
        if not values.keys() >= set(wanted):
            raise TypeError(f"{type(self).__name__}: rule names {min(set(wanted) - values.keys())!r}, defaults does not")
        return {name: values[name] for name in wanted} | ({DECAY: group["weight_decay"]} if decays else {})

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
        entry = self._check({"lr": value})
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

    def state(self, param: Any) -> dict[str, Any]:
        """The live buffers of a parameter by name (``velocity``, ...): arrays that may be written into."""
        if param not in self._names:
            raise KeyError(f"{type(self).__name__}: this parameter is not among those it optimizes")
        group = next(g for g in self.param_groups if any(p is param for p in g["params"]))
        return self._state(self._names[param], param, self.variant(group)[0], group)

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
        fresh = [_without_params(g) for g in state["groups"]]
        for entries, group in zip(fresh, self.param_groups, strict=True):
            if entries.keys() != _without_params(group).keys():
                raise ValueError(f"{owner}: the saved hyper-parameters are {sorted(entries)}, not those of {owner}")
            self._check(entries)
        buffers, steps = dict(state["buffers"]), {name: int(n) for name, n in state["steps"].items()}
        loaded: dict[str, dict[str, Any]] = {}
        for entries, group in zip(fresh, self.param_groups, strict=True):
            for p in group["params"]:
                name = self._names[p]
                held = {b: buffers.pop(f"{name}/{b}", None) for b in self.variant(entries)[0]}
                if steps.get(name, 0) or any(a is not None for a in held.values()):
                    loaded[name] = {b: _fitting(f"{owner}: saved {name + '/' + b!r}", a, p) for b, a in held.items()}
        odd = [*buffers, *(n for n in steps if n not in self._names.values() or steps[n] < 0)]
        if odd:
            raise ValueError(f"{owner}: the saved state has {odd[0]!r}, which this optimizer does not keep")
        self._buffers, self._steps = loaded, steps
        for entries, group in zip(fresh, self.param_groups, strict=True):
            group.update(entries)

    def __repr__(self) -> str:
        lines = [
            f"  group {i}: {len(g['params'])} parameters, " + ", ".join(f"{k}={v}" for k, v in _without_params(g).items())
            for i, g in enumerate(self.param_groups)
        ]
        return "\n".join([f"{type(self).__name__}(", *lines, ")"])


# ------------------------------------------------------------------------------------------------------------ helpers


def _without_params(group: dict[str, Any]) -> dict[str, Any]:
    """The hyper-parameters of a group."""
    return {name: value for name, value in group.items() if name != "params"}


def _groups(params: Any) -> list[dict[str, Any]]:
    """What the constructor was given, as a list of groups."""
    if hasattr(params, "data") and hasattr(params, "requires_grad"):
        raise TypeError("params: got a single Tensor; expected a list of Parameters, a Layer, or a list of groups")
    if hasattr(params, "named_parameters"):
        return [{"params": params}]
    if not isinstance(params, Iterable):
        raise TypeError(f"params: expected a list of Parameters, a Layer, or a list of groups, got {type(params).__name__}")
    params = params if hasattr(params, "names") else list(params)
    if params and all(isinstance(g, dict) for g in params):
        return list(params)
    return [{"params": params}]


def _named(params: Any, start: int) -> list[tuple[str, Any]]:
    """The parameters of a group with their names: a Layer's, the given ones, or their numbers counted from ``start``."""
    if hasattr(params, "named_parameters"):
        return list(params.named_parameters())
    if hasattr(params, "names") and len(params.names) == len(params):  # what Layer.parameters() returns
        return list(zip(params.names, params, strict=True))
    params = [params] if hasattr(params, "requires_grad") else list(params)
    return [p if isinstance(p, tuple) else (str(start + i), p) for i, p in enumerate(params)]


def _fitting(what: str, array: Any, p: Any) -> Any:
    """A copy of a saved buffer on the parameter's device and in its dtype; ValueError where it is missing or unfit."""
    if array is None:
        raise ValueError(f"{what} is missing")
    if tuple(array.shape) != p.shape:
        raise ValueError(f"{what} has shape {tuple(array.shape)}, the parameter {p.shape}")
    return to_device(np.array(array, dtype=p.dtype), p.device)
