"""PyTorch's attention layers beside ours, batch first: masks of booleans and floats, of heads and of padding."""

import numpy as np
from parity_layers import pair
from sampling import x
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from tinynet import layers as L


class Attention(L.MultiHeadAttention):
    """What is not given by position has a name in ``more``."""

    more = ()

    def forward(self, *arrays):
        n = len(arrays) - len(self.more)
        return super().forward(*arrays[:n], **dict(zip(self.more, arrays[n:], strict=True)))


class TorchAttention(nn.MultiheadAttention):
    more = ()

    def __init__(self, *arguments, **keywords):
        super().__init__(*arguments, batch_first=True, **keywords)

    def forward(self, *arrays):
        n = len(arrays) - len(self.more)
        q, k, v = (*arrays[:n], *[arrays[n - 1]] * (3 - n))
        more = dict(zip(self.more, arrays[n:], strict=True))
        with sdpa_kernel(SDPBackend.MATH):  # the one that PyTorch can differentiate twice
            return super().forward(q, k, v, need_weights=False, **more)[0]


def enter(*inputs, more=(), training=True, **keywords):
    def make(of):
        layer = of(4, 2, **keywords)
        layer.more = more
        return layer

    pair("MultiHeadAttention", lambda: make(Attention), lambda: make(TorchAttention), *inputs, training=training)


BLOCKED = np.array([[False, True, False], [False, False, True], [True, False, False], [False, True, True]])
PADDING = np.array([[False, False, True], [False, False, False]])

enter(x(2, 3, 4))
enter(x(2, 3, 4), bias=False)
enter(x(3, 4))
enter(x(0, 3, 4))
enter(x(2, 3, 4), dropout=0.5, training=False)
enter(x(2, 4, 4), x(2, 3, 4))
enter(x(2, 4, 4), x(2, 3, 4), x(2, 3, 4, seed=1))
enter(x(4, 4), x(3, 4), x(3, 4, seed=1), bias=False)
enter(x(2, 4, 4), x(2, 3, 4), BLOCKED, more=("attn_mask",))
enter(x(4, 4), x(3, 4), np.stack([BLOCKED, ~BLOCKED]), more=("attn_mask",))
enter(x(2, 4, 4), x(2, 3, 4), np.stack([BLOCKED, ~BLOCKED] * 2), more=("attn_mask",))
enter(x(2, 4, 4), x(2, 3, 4), x(4, 3, seed=3), more=("attn_mask",))
enter(x(2, 4, 4), x(2, 3, 4), x(4, 4, 3, seed=3), more=("attn_mask",))
enter(x(2, 4, 4), x(2, 3, 4), PADDING, more=("key_padding_mask",))
enter(x(4, 4), x(3, 4), PADDING[0], more=("key_padding_mask",))
enter(x(2, 4, 4), x(2, 3, 4), BLOCKED, PADDING, more=("attn_mask", "key_padding_mask"))
enter(x(2, 4, 4), x(2, 3, 4), x(4, 3), x(2, 3), more=("attn_mask", "key_padding_mask"))


class TorchEncoderLayer(nn.TransformerEncoderLayer):
    def __init__(self, *arguments, **keywords):
        super().__init__(*arguments, batch_first=True, **keywords)

    def forward(self, *arrays):
        with sdpa_kernel(SDPBackend.MATH):
            return super().forward(*arrays)


def encoder(*inputs, training=True, theirs=TorchEncoderLayer, **keywords):
    keywords = {"dropout": 0.0} | keywords
    pair(
        "TransformerEncoderLayer",
        lambda: L.TransformerEncoderLayer(4, 2, 5, **keywords),
        lambda: theirs(4, 2, 5, **keywords),
        *inputs,
        training=training,
    )


LATER = ~np.tri(3, dtype=bool)
encoder(x(2, 3, 4))
encoder(x(3, 4))
encoder(x(0, 3, 4))
encoder(x(2, 3, 4), norm_first=True)
encoder(x(2, 3, 4), activation="gelu")
encoder(x(2, 3, 4), layer_norm_eps=0.1)
encoder(x(2, 3, 4), bias=False)
encoder(x(2, 3, 4), dropout=0.1, training=False)
encoder(x(2, 3, 4), LATER)
encoder(x(2, 3, 4), x(3, 3))
encoder(x(2, 3, 4), LATER, PADDING, norm_first=True)
