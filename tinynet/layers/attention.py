"""Attention over sequences: MultiHeadAttention, TransformerEncoderLayer, PositionalEncoding. Batch first, unlike in PyTorch.

Vaswani, Shazeer, Parmar, Uszkoreit, Jones, Gomez, Kaiser, Polosukhin 2017, arXiv:1706.03762.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import functions as F
from ..backend import device_of, to_device
from ..functions.shape import arraylike, moveaxis, reshape, swapaxes
from ..op import data_of, module_of
from ..tensor import Parameter, Tensor
from . import init
from .layer import Layer
from .linear import Dropout, Linear
from .norm import LayerNorm


def _checked_sizes(name: str, **sizes: Any) -> None:
    for argument, size in sizes.items():
        if not isinstance(size, (int, np.integer)) or size < 1:
            raise ValueError(f"{name}: {argument} is {size!r}, expected an integer of at least 1")


class MultiHeadAttention(Layer):
    """``functions.scaled_dot_product_attention`` in ``num_heads`` projections of ``embed_dim`` / num_heads features each.

    ``y = layer(q, k=None, v=None)`` for q ``(batch, L, embed_dim)``, k and v ``(batch, S, embed_dim)``: y as q. Without k
    the queries are the keys too (self-attention), without v the keys are the values. Without a batch axis as well.

    **A boolean mask is True where a key takes no part, as in PyTorch's nn.MultiheadAttention; in the function
    scaled_dot_product_attention, again as in PyTorch, it is True where it takes part.** A mask of floats is added to the
    scores. ``attn_mask``: ``(L, S)``, ``(batch * num_heads, L, S)`` or what broadcasts to ``(batch, num_heads, L, S)``;
    ``key_padding_mask``: ``(batch, S)``. ``is_causal``: query i sees the keys 0 to i only, and no attn_mask is given beside
    it. ``dropout``: the probability with which, in training, a weight is zeroed.

    The parameters ``in_proj_weight`` ``(3 * embed_dim, embed_dim)``, ``in_proj_bias`` (of q, k, v in this order) and
    ``out_proj.weight``, ``out_proj.bias`` start as in PyTorch: ``init.xavier_uniform``, ``Linear``'s, and biases of 0.

    Unlike PyTorch's: batch first, the result is y alone (no weights), ``is_causal`` is no hint but the mask itself.

    Raises ``ValueError`` for sizes, inputs and masks that do not fit; ``TypeError`` for a mask of integers.

    >>> MultiHeadAttention(8, 2)(np.zeros((4, 5, 8), "float32")).shape
    (4, 5, 8)
    """

    def __init__(self, embed_dim: int, num_heads: int, dropout: float = 0.0, bias: bool = True):
        _checked_sizes("MultiHeadAttention", embed_dim=embed_dim, num_heads=num_heads)
        if embed_dim % num_heads:
            raise ValueError(f"MultiHeadAttention: embed_dim is {embed_dim}, expected a multiple of num_heads, {num_heads}")
        if not 0 <= dropout <= 1:
            raise ValueError(f"MultiHeadAttention: dropout is {dropout!r}, expected a probability between 0 and 1")
        self.embed_dim, self.num_heads, self.dropout = embed_dim, num_heads, dropout
        self.in_proj_weight = Parameter(np.zeros((3 * embed_dim, embed_dim), np.float32))
        self.in_proj_bias = Parameter(np.zeros(3 * embed_dim, np.float32)) if bias else None
        self.out_proj = Linear(embed_dim, embed_dim, bias=bias)
        init.xavier_uniform(self.in_proj_weight)
        if self.out_proj.bias is not None:
            init.constant(self.out_proj.bias, 0.0)

    def forward(
        self,
        q: Any,
        k: Any = None,
        v: Any = None,
        attn_mask: Any = None,
        is_causal: bool = False,
        key_padding_mask: Any = None,
    ) -> Tensor:
        q = arraylike(q)
        k = q if k is None else arraylike(k)
        v = k if v is None else arraylike(v)
        self._check(q, k, v)
        if is_causal and attn_mask is not None:
            raise self._error("is_causal is a mask of its own; expected no attn_mask beside it")
        mask = self._mask(q, k, attn_mask, key_padding_mask, is_causal)
        q, k, v = self._projected(q, k, v)
        p = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, mask, is_causal and mask is None, dropout_p=p)
        y = swapaxes(y, -3, -2)  # (..., L, heads, features of a head)
        return self.out_proj(reshape(y, (*y.shape[:-2], self.embed_dim)))

    def _error(self, text: str) -> ValueError:
        return ValueError(f"MultiHeadAttention({self.describe()}): {text}")

    def _check(self, q: Tensor, k: Tensor, v: Tensor) -> None:
        shapes = f"q {q.shape}, k {k.shape}, v {v.shape}"
        if q.ndim not in (2, 3) or {q.shape[-1:], k.shape[-1:], v.shape[-1:]} != {(self.embed_dim,)}:
            expected = f"(batch, length, {self.embed_dim}) or (length, {self.embed_dim})"
            raise self._error(f"the inputs have shapes {shapes}, expected {expected}")
        if k.shape != v.shape or q.shape[:-2] != k.shape[:-2]:
            raise self._error(f"the inputs have shapes {shapes}, expected k and v of one shape, of q's batch size")

    def _projected(self, q: Tensor, k: Tensor, v: Tensor) -> list[Tensor]:
        """Queries, keys and values, each ``(..., heads, length, features of a head)``."""
        heads = (self.num_heads, self.embed_dim // self.num_heads)
        if q is k is v:  # one product for all three
            x = F.linear(q, self.in_proj_weight, self.in_proj_bias)
            parts: Any = moveaxis(reshape(x, (*x.shape[:-1], 3, *heads)), -3, 0)
        else:
            weights = F.split(self.in_proj_weight, 3)
            biases = [None] * 3 if self.in_proj_bias is None else F.split(self.in_proj_bias, 3)
            parts = [F.linear(x, w, b) for x, w, b in zip((q, k, v), weights, biases, strict=True)]
            parts = [reshape(x, (*x.shape[:-1], *heads)) for x in parts]
        return [swapaxes(parts[i], -3, -2) for i in range(3)]

    def _mask(self, q: Tensor, k: Tensor, attn_mask: Any, key_padding_mask: Any, is_causal: bool) -> Any:
        """One mask as the function wants it, of all that there are; None for none, and for a causal one alone."""
        lead, scores = q.shape[:-2], (q.shape[-2], k.shape[-2])
        blocked: Any = None  # booleans, True where a key takes no part
        added: Any = None  # floats
        masks = []
        if attn_mask is not None:
            masks.append(self._attn_mask(attn_mask, (*lead, self.num_heads, *scores)))
        if key_padding_mask is not None:
            masks.append(self._padding_mask(key_padding_mask, (*lead, scores[1])))
            if is_causal:
                masks.append(arraylike(~module_of(q).tri(*scores, dtype=bool)))
        for mask in masks:
            if mask.dtype.kind == "f":
                added = mask if added is None else added + mask
            else:
                blocked = data_of(mask) if blocked is None else blocked | data_of(mask)
        if added is None:
            return None if blocked is None else ~blocked
        return added if blocked is None else F.where(blocked, -np.inf, added)

    def _attn_mask(self, mask: Any, shape: tuple[int, ...]) -> Any:
        mask = self._booleans_or_floats("attn_mask", mask)
        of_heads = shape[0] * self.num_heads
        if mask.ndim == 3 and len(shape) == 4:
            if mask.shape[0] != of_heads:
                expected = (of_heads, *shape[2:])
                raise self._error(f"attn_mask has shape {mask.shape}, expected {expected} for batch * num_heads")
            mask = reshape(mask, (*shape[:2], *mask.shape[1:]))
        if mask.ndim > len(shape) or any(n not in (1, m) for n, m in zip(mask.shape[::-1], shape[::-1], strict=False)):
            raise self._error(f"attn_mask of shape {mask.shape} does not broadcast to {shape}")
        return mask

    def _padding_mask(self, mask: Any, shape: tuple[int, ...]) -> Any:
        mask = self._booleans_or_floats("key_padding_mask", mask)
        if mask.shape != shape:
            raise self._error(f"key_padding_mask has shape {mask.shape}, expected {shape}")
        return reshape(mask, (*shape[:-1], 1, 1, shape[-1]))

    def _booleans_or_floats(self, name: str, mask: Any) -> Any:
        mask = arraylike(mask)
        if mask.dtype.kind not in "bf":
            text = f"{name} has dtype {mask.dtype}, expected booleans (True: takes no part) or floats"
            raise TypeError(f"MultiHeadAttention: {text}")
        return mask

    def describe(self) -> str:
        words = [f"{self.embed_dim}, {self.num_heads}"]
        words += [f"dropout={self.dropout}"] * bool(self.dropout) + ["bias=False"] * (self.in_proj_bias is None)
        return ", ".join(words)


class TransformerEncoderLayer(Layer):
    """Self-attention and a network of two linear layers, each added to its input; sequences in, sequences out.

    For x ``(batch, length, d_model)``, batch first, or without a batch axis, with dropout after each of the two parts:

    - x = norm1(x + self_attn(x)), x = norm2(x + linear2(dropout(activation(linear1(x))))), the paper's;
    - with ``norm_first``: x = x + self_attn(norm1(x)), x = x + linear2(dropout(activation(linear1(norm2(x))))).

    ``activation``: "relu", "gelu" or a function of Tensors. ``src_mask``, ``src_key_padding_mask`` and ``is_causal`` go to
    the ``MultiHeadAttention`` ``self_attn``: **a boolean mask is True where a key takes no part.** Names and starts of
    the parameters are PyTorch's: ``self_attn``, ``linear1``, ``linear2``, ``norm1``, ``norm2``.

    Raises ``ValueError`` as ``MultiHeadAttention`` does, and for an unknown activation.

    >>> TransformerEncoderLayer(8, 2, dim_feedforward=16)(np.zeros((4, 5, 8), "float32")).shape
    (4, 5, 8)
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Callable = "relu",
        layer_norm_eps: float = 1e-5,
        norm_first: bool = False,
        bias: bool = True,
    ):
        _checked_sizes("TransformerEncoderLayer", d_model=d_model, nhead=nhead, dim_feedforward=dim_feedforward)
        if not callable(activation) and activation not in ("relu", "gelu"):
            raise ValueError(
                f"TransformerEncoderLayer: activation is {activation!r}, expected 'relu', 'gelu' or a function of Tensors"
            )
        self.self_attn = MultiHeadAttention(d_model, nhead, dropout=dropout, bias=bias)
        self.linear1 = Linear(d_model, dim_feedforward, bias=bias)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias=bias)
        self.norm1 = LayerNorm(d_model, eps=layer_norm_eps, bias=bias)
        self.norm2 = LayerNorm(d_model, eps=layer_norm_eps, bias=bias)
        self.dropout1, self.dropout2 = Dropout(dropout), Dropout(dropout)
        self.activation: Callable = activation if callable(activation) else getattr(F, activation)
        self.norm_first = norm_first

    def forward(self, src: Any, src_mask: Any = None, src_key_padding_mask: Any = None, is_causal: bool = False) -> Tensor:
        x = arraylike(src)
        masks = {"attn_mask": src_mask, "key_padding_mask": src_key_padding_mask, "is_causal": is_causal}
        if self.norm_first:
            x = x + self._attend(self.norm1(x), masks)
            return x + self._feed(self.norm2(x))
        x = self.norm1(x + self._attend(x, masks))
        return self.norm2(x + self._feed(x))

    def _attend(self, x: Tensor, masks: dict[str, Any]) -> Tensor:
        return self.dropout1(self.self_attn(x, **masks))

    def _feed(self, x: Tensor) -> Tensor:
        return self.dropout2(self.linear2(self.dropout(self.activation(self.linear1(x)))))

    def describe(self) -> str:
        return "norm_first=True" if self.norm_first else ""


class PositionalEncoding(Layer):
    """x plus a pattern of sines and cosines that tells each position from all others.

    pe[t, 2i] = sin(t / 10000**(2i / d_model)), pe[t, 2i + 1] = cos(the same), for positions t from 0; section 3.5 of the
    paper. x is ``(batch, length, d_model)``, batch first, or ``(length, d_model)``, of at most ``max_len`` positions; then,
    in training, dropout. The pattern is computed, not learned: it is no parameter and no buffer, and a state dict has no key
    for it. (Where PyTorch code keeps one under a name of its own, such as ``pe``, load with ``strict=False``.)

    Raises ``ValueError`` for another width and for more positions than ``max_len``.

    >>> PositionalEncoding(4)(np.zeros((2, 4), "float32"))[0]
    tensor([0., 1., 0., 1.])
    """

    def __init__(self, d_model: int, max_len: int = 5000, dropout: float = 0.0):
        _checked_sizes("PositionalEncoding", d_model=d_model, max_len=max_len)
        if not 0 <= dropout <= 1:
            raise ValueError(f"PositionalEncoding: dropout is {dropout!r}, expected a probability between 0 and 1")
        self.d_model, self.max_len, self.dropout = d_model, max_len, dropout
        angles = np.arange(max_len)[:, None] / 10000 ** (np.arange(0, d_model, 2) / d_model)
        table = np.zeros((max_len, d_model))
        table[:, 0::2], table[:, 1::2] = np.sin(angles), np.cos(angles[:, : d_model // 2])
        self.tables: dict[tuple, Any] = {("cpu", np.dtype(np.float64)): table}  # by device and dtype, made when first needed

    def forward(self, x: Any) -> Tensor:
        x = arraylike(x)
        if x.ndim < 2 or x.shape[-1] != self.d_model or x.shape[-2] > self.max_len:
            expected = f"(..., length, {self.d_model}) with a length of at most {self.max_len}"
            raise ValueError(f"{self!r}: the input has shape {x.shape}, expected {expected}")
        place = device_of(data_of(x)), x.dtype if x.dtype.kind == "f" else np.dtype(np.float32)
        if place not in self.tables:
            self.tables[place] = to_device(self.tables["cpu", np.dtype(np.float64)].astype(place[1]), place[0])
        return F.dropout(x + self.tables[place][: x.shape[-2]], self.dropout, self.training)

    def describe(self) -> str:
        return f"{self.d_model}, max_len={self.max_len}, dropout={self.dropout}"
