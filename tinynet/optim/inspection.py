"""Looking at an update before it is made: one weight of it in every detail, or all of it in a few numbers.

The one idea: both tell of the step that ``step()`` would make now, and make none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..backend import to_device
from ..kernels.measure import SUMS
from .explain import Explanation, explain


@dataclass
class Telemetry:
    """One parameter's next step in numbers; norms are 2-norms.

    ``update_to_weight``: the step's norm over the weights', about 0.001 where training goes well. ``effective_lr``: the mean
    size of the step over that of the gradient: lr itself in plain descent. ``cosine``: of the angle between step and
    gradient, -1 where the step goes straight down. ``grad_norm``: before clipping. ``buffer_norms``: after the step, by
    name. A ratio whose divisor is zero is infinite, or NaN where both are zero.
    """

    update_to_weight: float
    effective_lr: float
    cosine: float
    update_norm: float
    weight_norm: float
    grad_norm: float
    buffer_norms: dict[str, float]

    def __repr__(self) -> str:
        told = {**vars(self), "buffer_norms": ", ".join(f"{b} {norm:.4g}" for b, norm in self.buffer_norms.items())}
        return f"Telemetry({', '.join(f'{k}={v:.4g}' if isinstance(v, float) else f'{k}=({v})' for k, v in told.items())})"


def _ratio(a: float, b: float) -> float:
    return a / b if b else math.nan if a == 0 or a != a else math.copysign(math.inf, a)


def _cosine(product: float, norms: float) -> float:
    cosine = product / norms if norms else math.nan
    return cosine if math.isnan(cosine) else min(1.0, max(-1.0, cosine))  # not beyond 1 by rounding


class Inspection:
    """What every optimizer can tell of its next step."""

    if TYPE_CHECKING:  # from the Optimizer that it is a part of
        elementwise: bool
        needs_closure: bool
        _steps: dict[str, int]
        hyper: Any
        _binding: Any
        _due: Any
        _find: Any
        _state: Any

    def explain(self, param: Any, index: Any = ()) -> Explanation:
        """The update of one weight that ``step()`` would make now, line by line with its numbers; nothing is changed.

        ``index``: of one weight of ``param``, such as ``(3, 0)``. The text is made from the source of the rule, yours as
        well; where that is not to be had, from the operations that it does. On a GPU, whose kernel may round a product
        and a sum together, the last digit may differ.

        Raises ``KeyError`` for a parameter of another optimizer, ``IndexError`` for an index that is not one weight's,
        ``ValueError`` for a parameter without a gradient or frozen, which a step would leave alone.

        >>> import tinynet as tn
        >>> w = tn.Parameter([1.0]); optimizer = tn.optim.Momentum([("w", w)], lr=0.5)
        >>> (w * w).backward()
        >>> print(optimizer.explain(w, 0))
        Momentum, step 1 of w[0]
          with lr = 0.5, beta = 0.9, dampening = 0.9, nesterov = False
          before: w = 1, grad = 2, velocity = 0
        <BLANKLINE>
          velocity = beta * velocity + (1 - dampening) * grad = 0.9 * 0 + 0.1 * 2 = 0.2
          ahead = velocity = 0.2
          w = w - lr * ahead = 1 - 0.5 * 0.2 = 0.9
        <BLANKLINE>
          w goes from 1.0 to 0.9, by -0.1: 0.05 times the gradient, downhill
        """
        name, k = self._find(param)
        binding = self._binding(k)
        if self.needs_closure:
            raise TypeError(f"{type(self).__name__}: explain is for rules that update each weight from its gradient")
        if param.grad is None or not param.requires_grad:
            problem = "is frozen" if not param.requires_grad else "has no gradient; call explain after backward"
            raise ValueError(f"explain: parameter {name!r} {problem}")
        index = index if isinstance(index, tuple) else (index,)
        if len(index) != param.ndim or not all(isinstance(i, (int, np.integer)) for i in index):
            raise IndexError(f"explain: index is {index}, expected {param.ndim} integers, for shape {param.shape}")
        step, factor = self._steps.get(name, 0) + 1, self._due()[2]
        factor = None if factor is None else float(factor)
        state = self._state(name, param, binding.buffers, binding.group)
        arrays = {"w": param.data, "grad": param.grad.data, **{b: state[b] for b in binding.buffers}}
        place: Any = index
        if self.elementwise:  # the one element is enough
            arrays, place = {key: np.reshape(to_device(a[index], "cpu"), 1) for key, a in arrays.items()}, 0
        title = f"{type(self).__name__}, step {step} of {name}" + (f"[{', '.join(map(str, index))}]" if index else "")
        arrays = {key: to_device(a, "cpu") for key, a in arrays.items()}
        hyper = binding.own_values(self.hyper(binding.group, step), step)
        return explain(title, binding.plain, binding.gradient(factor), arrays, place, hyper)

    def telemetry(self) -> dict[str, Telemetry]:
        """The step that ``step()`` would make now in a few numbers for each parameter, by its name; none is made.

        Call it between ``backward`` and ``step``. Parameters without a gradient, or frozen, are left out. It costs about as
        much as a step of the optimizer: one pass that writes nothing (three to eight times as much without Numba).

        >>> import tinynet as tn
        >>> w = tn.Parameter([3.0, 4.0]); optimizer = tn.optim.Momentum([("w", w)], lr=0.5)
        >>> (w * w).sum().backward()
        >>> optimizer.telemetry()["w"]  # doctest: +NORMALIZE_WHITESPACE
        Telemetry(update_to_weight=0.1, effective_lr=0.05, cosine=-1, update_norm=0.5, weight_norm=5, grad_norm=10,
        buffer_norms=(velocity 1))
        """
        if self.needs_closure:
            raise TypeError(f"{type(self).__name__}: telemetry is for rules that update each weight from its gradient")
        due, _, factor = self._due()
        factor = None if factor is None else float(factor)
        found = {}
        for binding, one in due:
            for name, sums in binding.measure(one, self.hyper, factor):
                u2, u1, g2, g1, w2, ug = sums[: len(SUMS)]
                u, g, w, *buffers = map(math.sqrt, (u2, g2, w2, *sums[len(SUMS) :]))
                held = dict(zip(binding.buffers, buffers, strict=True))
                found[name] = Telemetry(_ratio(u, w), _ratio(u1, g1), _cosine(ug, u * g), u, w, g, held)
        return found
