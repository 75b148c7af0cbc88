"""Which parameters an optimizer is given: a Layer, a list, pairs with names, groups; and what of a group is saved.

The one idea: whatever form they come in, they leave as groups of named parameters.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..backend import to_device


def without_params(group: dict[str, Any]) -> dict[str, Any]:
    """The hyper-parameters of a group."""
    return {name: value for name, value in group.items() if name != "params"}


def as_groups(params: Any) -> list[dict[str, Any]]:
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


def named_params(params: Any, start: int) -> list[tuple[str, Any]]:
    """The parameters of a group with their names: a Layer's, the given ones, or their numbers counted from ``start``."""
    if hasattr(params, "named_parameters"):
        return list(params.named_parameters())
    if hasattr(params, "names") and len(params.names) == len(params):  # what Layer.parameters() returns
        return list(zip(params.names, params, strict=True))
    params = [params] if hasattr(params, "requires_grad") else list(params)
    pairs = [p if isinstance(p, tuple) else (start + i, p) for i, p in enumerate(params)]
    return [(str(name), p) for name, p in pairs]  # those of enumerate() too: in a file all names are text


def fits(own: tuple[int, ...], saved: tuple[int, ...]) -> bool:
    """Whether a saved shape is that of a parameter; 0 is a size that the first batch tells, or weights yet to be loaded."""
    return len(own) == len(saved) and all(n in (m, 0) for n, m in zip(own, saved, strict=True))


def fitting(what: str, array: Any, p: Any) -> Any:
    """A copy of a saved buffer on the parameter's device and in its dtype; ValueError where it is missing or unfit."""
    if array is None:
        raise ValueError(f"{what} is missing")
    if not fits(p.shape, tuple(array.shape)):
        raise ValueError(f"{what} has shape {tuple(array.shape)}, the parameter {p.shape}")
    return to_device(np.array(array, dtype=p.dtype), p.device)
