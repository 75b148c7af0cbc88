"""What a sample call is, and the builders of its inputs; the table itself is in samples_arrays.py and samples_network.py.

Float arrays are the differentiable inputs; integer and boolean arrays, numbers and strings are passed on as they are.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import strict_cupy

import tinynet as tn
import tinynet.functions as F
from tinynet.backend import array_module, manual_seed, to_device
from tinynet.tensor import Tensor


@dataclass
class Sample:
    """One call: ``F.<name>(*inputs, **keywords)``."""

    name: str
    inputs: tuple
    keywords: dict[str, Any] = field(default_factory=dict)
    smooth: bool = True  # False: at a kink, a tie or an infinite slope, where a difference quotient says nothing
    eps: float = 1e-6  # the step of the difference quotient

    def run(self, function, inputs=None, keywords=None):
        """``function`` (of tinynet, NumPy or a test) called with these inputs and keywords, or others in their place."""
        inputs = self.inputs if inputs is None else inputs
        keywords = self.keywords if keywords is None else keywords
        manual_seed(0)  # for dropout: the same numbers in every run
        if self.name in ("concatenate", "stack"):  # these take a sequence of arrays
            return function(list(inputs), **keywords)
        return function(*inputs, **keywords)

    def ours(self, inputs=None, keywords=None):
        """The library's function called with these inputs and keywords, their arrays on the default device."""
        inputs = self.inputs if inputs is None else inputs
        return self.run(getattr(F, self.name), put(inputs), put(self.keywords if keywords is None else keywords))

    def tensors(self, dtype=np.float64):
        """The inputs, with every float array a Tensor that requires a gradient."""
        return [Tensor(a.astype(dtype), requires_grad=True) if is_float(a) else a for a in self.inputs]

    def __str__(self):
        def short(a):
            return f"{a.dtype.kind}{list(a.shape)}" if isinstance(a, np.ndarray) else str(a)

        parts = [short(a) for a in self.inputs] + [f"{k}={short(v)}" for k, v in self.keywords.items()]
        return f"{self.name}({','.join(parts)}){'' if self.smooth else '-kink'}".replace(" ", "")


def put(a):
    """``a`` with every NumPy array in it on the default device: on a CPU the same arrays, on a GPU copies of them there."""
    if isinstance(a, np.ndarray):
        return Tensor(a).data
    if isinstance(a, (tuple, list)):
        return type(a)(map(put, a))
    return {key: put(value) for key, value in a.items()} if isinstance(a, dict) else a


def host(a):
    """An array of any device, or a Tensor, as NumPy's."""
    return to_device(a.data if isinstance(a, Tensor) else a, "cpu")


def settled(f, *args):
    """``f(*args)``, and the GPU asked for what it has found out of range meanwhile: it does not tell before it is asked."""
    y = f(*args)
    tn.cuda.synchronize()
    return y


def share_memory(a, b):
    """Whether two arrays of one device have an element in common."""
    return bool(array_module(a).shares_memory(a, b))


def frozen(a):
    """A view that refuses to be written into; CuPy itself has no such thing, so there it is a view like others."""
    if isinstance(a, np.ndarray):
        a = a.view()
        a.flags.writeable = False
        return a
    return strict_cupy.frozen(a)


def is_float(a):
    """Whether ``a`` is an array or Tensor of floats."""
    return getattr(getattr(a, "dtype", None), "kind", "") == "f" and not isinstance(a, np.generic)


def floats_of(y):
    """The Tensors of floats in a function's result, which may be a list (split) or a pair (topk)."""
    return [t for t in (y if isinstance(y, (list, tuple)) else [y]) if is_float(t)]


def backward_twice(sample, dtype=np.float64):
    """The result, gradients and second gradients of a sample (smooth or not: numerical trouble is not the matter here)."""
    inputs = sample.tensors(dtype)
    xs = [a for a in inputs if isinstance(a, Tensor)]
    with np.errstate(all="ignore"):
        ys = [y for y in floats_of(sample.ours(inputs)) if y.requires_grad]
        vs = [Tensor(np.ones(y.shape, y.dtype), requires_grad=True) for y in ys]
        if not ys:
            return ys, [], []
        first = [g for g in tn.grad(ys, xs, vs, create_graph=True, allow_unused=True) if g is not None]
        seconds = tn.grad(first, [*vs, *xs], [g.detach() + 1 for g in first], allow_unused=True)
    return ys, first, [g for g in seconds if g is not None]


words = str.split

SAMPLES: dict[str, list[Sample]] = {}


def sample(names, *inputs, smooth=True, eps=1e-6, **keywords):
    """Enter one call into the table, for each of the functions ``names``."""
    inputs = tuple(np.asarray(a) if isinstance(a, np.floating) else a for a in inputs)  # np.abs(x()) is a scalar
    for name in names.split():
        SAMPLES.setdefault(name, []).append(Sample(name, inputs, keywords, smooth, eps))


def kink(names, *inputs, **keywords):
    """Enter a call for all tests but that against the difference quotient."""
    sample(names, *inputs, smooth=False, **keywords)


def x(*shape, seed=0, low=-2.0, high=2.0):
    """Distinct float64 numbers between low and high, always the same; others for another ``seed`` or shape."""
    return np.asarray(np.random.default_rng([seed, *shape]).uniform(low, high, shape))


def on_device(*shape, seed=0):
    """The same numbers as a Tensor on the default device."""
    return Tensor(x(*shape, seed=seed))


def positive(*shape, seed=0):
    return x(*shape, seed=seed, low=0.5, high=2.0)


def inside(*shape, seed=0):
    """Numbers in (-1, 1)."""
    return x(*shape, seed=seed, low=-0.9, high=0.9)


def whole(*shape, high=3, seed=0):
    """Integers from 0 to high - 1."""
    return np.asarray(np.random.default_rng([seed, *shape]).integers(0, high, shape))
