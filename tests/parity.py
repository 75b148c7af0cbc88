"""PyTorch's counterpart of every function, called with the library's own sample calls.

The one idea: TORCH maps a function's name to a callable on torch tensors that takes the very arguments of the samples; so a
sample that is written for the library is compared with PyTorch, too. A function that PyTorch does not have, or has with
another meaning, stands in ELSEWHERE with the reason; a single call that it does not take raises ``NoCounterpart``. A family
of functions may keep a table of its own, ``parity_<family>.py``, taken in at the end of this file.
"""

import numpy as np
import torch
import torch.nn.functional as T

words = str.split


class NoCounterpart(Exception):
    """PyTorch has the function, but not for these arguments; the text says why."""


def to_torch(a, requires_grad=False):
    """NumPy arrays as torch tensors, in tuples, lists, dicts and slices too; everything else as it is."""
    if isinstance(a, np.ndarray):
        t = torch.from_numpy(np.array(a))  # a copy, row-major and writable
        return t.requires_grad_() if requires_grad and t.dtype.is_floating_point else t
    if isinstance(a, np.generic):
        return a.item()
    if isinstance(a, (tuple, list)):
        return type(a)(to_torch(b) for b in a)
    if isinstance(a, dict):
        return {name: to_torch(b) for name, b in a.items()}
    return a


def as_tensor(a):
    return a if isinstance(a, torch.Tensor) else torch.as_tensor(a, dtype=torch.float64 if isinstance(a, float) else None)


def binary(f):
    return lambda a, b: f(as_tensor(a), as_tensor(b))


def reduction(f):
    """A reduction over ``axis``, an integer, a tuple or all axes; PyTorch's take ``dim``, some of them not as a tuple."""

    def reduce(x, axis=None, keepdims=False):
        x = as_tensor(x)
        axes = tuple(range(x.ndim)) if axis is None or x.ndim == 0 else axis if isinstance(axis, tuple) else (axis,)
        return f(x, dim=axes, keepdim=keepdims) if x.ndim else f(x.reshape(1), dim=(0,), keepdim=False)

    return reduce


def one_axis_after_the_other(f):
    def over(x, dim, keepdim):
        for d in sorted((d % x.ndim for d in dim), reverse=True):
            x = f(x, dim=d, keepdim=keepdim)
        return x

    return reduction(over)


def spread(f):
    def over(x, axis=None, keepdims=False, ddof=0):
        return reduction(lambda x, dim, keepdim: f(x, dim=dim, keepdim=keepdim, correction=ddof))(x, axis, keepdims)

    return over


def running(f):
    return lambda x, axis=None: f(x.reshape(-1), dim=0) if axis is None else f(x, dim=axis)


def flattened(f):
    """An index along ``axis``, of the flattened array without one."""
    return lambda x, axis=None, keepdims=False: (
        f(x.reshape(-1), dim=0).reshape((1,) * x.ndim if keepdims else ()) if axis is None else f(x, axis, keepdims)
    )


def sign(x):
    if torch.isnan(x).any():
        raise NoCounterpart("PyTorch's sign of NaN is 0, NumPy's and ours NaN")
    return torch.sign(x)


def norm(x, ord=2, axis=None, keepdims=False):
    return torch.linalg.vector_norm(x, 2 if ord is None else ord, dim=axis, keepdim=keepdims)


def clip(x, a_min=None, a_max=None):
    return torch.clamp(x, a_min, a_max)


def pad(x, pad_width, mode="constant", constant_values=0):
    if mode != "constant":
        raise NoCounterpart("PyTorch pads by mode only images and the like; see functions.pad")
    widths = np.broadcast_to(np.asarray(pad_width), (x.ndim, 2))
    return T.pad(x, [int(n) for pair in widths[::-1] for n in pair], value=constant_values)


def split(x, parts, axis=0):
    return list(torch.tensor_split(x, parts if isinstance(parts, int) else list(parts), dim=axis))


def getitem(x, index):
    if isinstance(index, slice) or (isinstance(index, tuple) and any(isinstance(i, slice) for i in index)):
        steps = [i.step for i in (index if isinstance(index, tuple) else (index,)) if isinstance(i, slice)]
        if any(s is not None and s < 0 for s in steps):
            raise NoCounterpart("PyTorch has no slices with a negative step")
    return x[index]


def take(x, indices, axis=None):
    indices = torch.as_tensor(indices, dtype=torch.int64)
    if axis is None:
        x, axis = x.reshape(-1), 0
    axis, n = axis % x.ndim, x.shape[axis]
    flat = torch.index_select(x, axis, indices.reshape(-1) % n)
    return flat.reshape((*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]))


def take_along_axis(x, indices, axis):
    if axis is None:
        return torch.take_along_dim(x.reshape(-1), indices)
    return torch.take_along_dim(x, indices % x.shape[axis], dim=axis)


def sort(x, axis=-1):
    return torch.sort(x.reshape(-1) if axis is None else x, dim=0 if axis is None else axis, stable=True)[0]


def argsort(x, axis=-1):
    return torch.argsort(x.reshape(-1) if axis is None else x, dim=0 if axis is None else axis, stable=True)


def topk(x, k, axis=-1, largest=True):
    if len(torch.unique(x)) < x.numel():
        raise NoCounterpart("which of equal elements comes first is not defined in PyTorch")
    return torch.topk(x, k, dim=axis, largest=largest)


def repeat(x, repeats, axis=None):
    x, axis = (x.reshape(-1), 0) if axis is None else (x, axis)
    return torch.repeat_interleave(x, torch.as_tensor(repeats), dim=axis)


def tensordot(a, b, axes=2):
    return torch.tensordot(a, b, axes if isinstance(axes, int) else [np.atleast_1d(n).tolist() for n in axes])


def softplus(x, beta=1.0, threshold=20.0):
    return T.softplus(x, beta, threshold)


def scaled_dot_product_attention(q, k, v, attn_mask=None, **keywords):
    attn_mask = attn_mask if attn_mask is None else torch.as_tensor(attn_mask)
    if attn_mask is not None and attn_mask.dtype.is_floating_point:
        attn_mask = attn_mask.to(q.dtype)
    return T.scaled_dot_product_attention(q, k, v, attn_mask, **keywords)


TORCH = {
    # elementwise
    **{name: binary(getattr(torch, name)) for name in words("add sub mul div maximum minimum pow")},
    **{name: getattr(torch, name) for name in words("abs neg exp expm1 log log1p sqrt square reciprocal")},
    **{name: getattr(torch, name) for name in words("sin cos tan arcsin arccos arctan sinh cosh tanh erf")},
    "sign": sign,
    "clip": clip,
    "astype": lambda x, dtype: x.to(getattr(torch, dtype)),
    "where": lambda c, a, b: torch.where(torch.as_tensor(c).bool(), as_tensor(a), as_tensor(b)),
    **{name: binary(getattr(torch, name)) for name in words("not_equal less less_equal greater greater_equal")},
    "equal": binary(torch.eq),
    **{name: binary(getattr(torch, name)) for name in words("logical_and logical_or")},
    "logical_not": torch.logical_not,
    # reductions
    "sum": reduction(torch.sum),
    "prod": one_axis_after_the_other(torch.prod),
    "mean": reduction(torch.mean),
    "max": reduction(torch.amax),
    "min": reduction(torch.amin),
    "logsumexp": reduction(torch.logsumexp),
    "any": reduction(torch.any),
    "all": reduction(torch.all),
    "var": spread(torch.var),
    "std": spread(torch.std),
    "norm": norm,
    "argmax": flattened(torch.argmax),
    "argmin": flattened(torch.argmin),
    "cumsum": running(torch.cumsum),
    "cumprod": running(torch.cumprod),
    # shapes
    "reshape": lambda x, shape: x.reshape(shape if isinstance(shape, tuple) else (shape,)),
    "transpose": lambda x, axes=None: x.permute(tuple(axes) if axes is not None else tuple(range(x.ndim))[::-1]),
    "swapaxes": torch.swapaxes,
    "moveaxis": torch.moveaxis,
    "flatten": lambda x, start_axis=0, end_axis=-1: torch.flatten(x, start_axis, end_axis),
    "broadcast_to": torch.broadcast_to,
    "flip": lambda x, axis=None: torch.flip(x, tuple(range(x.ndim)) if axis is None else np.atleast_1d(axis).tolist()),
    "roll": lambda x, shift, axis=None: torch.roll(x, shift, axis),
    "squeeze": lambda x, axis=None: torch.squeeze(x) if axis is None else torch.squeeze(x, axis),
    "tril": torch.tril,
    "triu": torch.triu,
    "concatenate": lambda arrays, axis=0: (
        torch.cat([a.reshape(-1) for a in arrays]) if axis is None else torch.cat(arrays, dim=axis)
    ),
    "stack": lambda arrays, axis=0: torch.stack(arrays, dim=axis),
    "split": split,
    "repeat": repeat,
    "tile": lambda x, reps: torch.tile(x, reps if isinstance(reps, tuple) else (reps,)),
    "pad": pad,
    "getitem": getitem,
    "take": take,
    "take_along_axis": take_along_axis,
    "diagonal": lambda x, offset=0, axis1=0, axis2=1: torch.diagonal(x, offset, axis1, axis2),
    "one_hot": lambda ids, n: T.one_hot(ids, n).float(),
    "sort": sort,
    "argsort": argsort,
    "topk": topk,
    # linear algebra
    "matmul": torch.matmul,
    "outer": lambda a, b: torch.outer(a.reshape(-1), b.reshape(-1)),
    "tensordot": tensordot,
    "einsum": torch.einsum,
    "linear": T.linear,
    "scaled_dot_product_attention": scaled_dot_product_attention,
    # activations
    **{name: getattr(T, name) for name in words("relu leaky_relu selu silu softsign hardtanh")},
    **{name: getattr(T, name) for name in words("elu gelu hardswish mish logsigmoid")},
    "hardsigmoid": lambda x: T.relu6(x + 3) / 6,  # T.hardsigmoid has the slope 1/6 in float32
    "sigmoid": torch.sigmoid,
    "softplus": softplus,
    "glu": lambda x, axis=-1: T.glu(x, dim=axis),
    "softmax": lambda x, axis=-1: torch.softmax(x, dim=axis),
    "log_softmax": lambda x, axis=-1: torch.log_softmax(x, dim=axis),
}

# No counterpart on the same arguments, and why.
ELSEWHERE = {
    "dot": "torch.dot takes vectors only; matmul and tensordot, of which ours is made, are compared",
    "dropout": "random: its distribution is tested by itself",
    "expand_dims": "torch.unsqueeze takes one axis at a time",
}

import parity_conv  # noqa: E402
import parity_loss  # noqa: E402  # it needs NoCounterpart
import parity_norm  # noqa: E402
import parity_recurrent  # noqa: E402

TORCH |= parity_conv.TORCH
TORCH |= parity_loss.TORCH
TORCH |= parity_norm.TORCH
TORCH |= parity_recurrent.TORCH
