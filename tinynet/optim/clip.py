"""Gradient clipping, between ``backward`` and ``step``."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from ..backend import array_module, is_array
from ..kernels import joint_norm


def _with_gradients(params: Any) -> list[Any]:
    params = params.parameters() if hasattr(params, "parameters") else params
    params = [params] if hasattr(params, "requires_grad") else list(params)
    return [p for p in dict.fromkeys(params) if p.grad is not None]  # each once


def clip_grad_norm(params: Any, max_norm: float) -> Any:
    """Scale all gradients together so that their joint 2-norm is at most ``max_norm``; returns the norm as it was.

    A float, or for gradients on a GPU a Tensor there, which nobody has waited for: ``float(norm)`` reads it.

    ``params``: Parameters or a Layer. Every gradient is multiplied by max_norm / (norm + 1e-6) where the norm is
    larger, as in PyTorch (Pascanu, Mikolov, Bengio 2013, ICML 30). The norm is summed in float64;
    where it is infinite or NaN the gradients stay as they are (PyTorch makes them 0 or NaN), and the caller can see it.

    Raises ``ValueError`` for a ``max_norm`` that is not positive.
    """
    if not max_norm > 0:
        raise ValueError(f"clip_grad_norm: max_norm is {max_norm!r}, expected a positive number")
    wanted = _with_gradients(params)
    norm = joint_norm([p.grad.data for p in wanted])
    factor = clip_factor(norm, max_norm)
    for p in wanted if is_array(factor) or factor != 1 else ():
        p.grad = p.grad.data * (factor.astype(p.grad.dtype) if is_array(factor) else factor)
    return type(wanted[0].grad)(norm) if is_array(norm) else norm


def clip_factor(norm: Any, max_norm: float) -> Any:
    """What gradients of that joint norm are multiplied by: 1 where they are small enough, or not finite.

    A number, or of a norm in an array on a GPU an array there.
    """
    if is_array(norm):
        return array_module(norm).where((norm > max_norm) & (norm < math.inf), max_norm / (norm + 1e-6), 1.0)
    return max_norm / (norm + 1e-6) if max_norm < norm < math.inf else 1.0


def check_finite(owner: str, grads: list[tuple[str, Any]]) -> None:
    """ValueError naming the first parameter whose gradient has elements that are no finite numbers."""
    for name, grad in grads:
        odd = grad.size - int(array_module(grad).isfinite(grad).sum())
        if odd:
            raise ValueError(
                f"{owner}: the gradient of parameter {name!r} has {odd} elements of {grad.size} that are NaN or infinite; "
                "nothing was changed"
            )


def clip_grad_value(params: Iterable[Any], clip_value: float) -> None:
    """Limit every element of every gradient to [-clip_value, clip_value]. ValueError where that is not positive."""
    if not clip_value > 0:
        raise ValueError(f"clip_grad_value: clip_value is {clip_value!r}, expected a positive number")
    for p in _with_gradients(params):
        p.grad = array_module(p.grad.data).clip(p.grad.data, -clip_value, clip_value)
