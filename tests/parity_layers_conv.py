"""PyTorch's convolution layers beside ours."""

from parity_layers import pair
from sampling import x
from torch import nn

from tinynet import layers as L

SHAPES = {"Conv1d": (2, 4, 9), "Conv2d": (2, 4, 6, 7), "Conv3d": (1, 4, 4, 5, 4)}
for name, shape in SHAPES.items():
    for arguments, keywords in [
        ((4, 6, 3), {}),
        ((4, 2, 2), {"stride": 2, "padding": 1, "bias": False}),
        ((4, 6, 3, 1, 2, 2, 2), {}),
        ((4, 4, 1), {"groups": 4}),
    ]:
        layers = getattr(L, name), getattr(nn, name)
        pair(name, *(lambda c=c, a=arguments, k=keywords: c(*a, **k) for c in layers), x(*shape))
for mode in ("reflect", "replicate", "circular"):
    keywords = {"padding": (2, 1), "padding_mode": mode}
    pair("Conv2d", *(lambda c=c, k=keywords: c(4, 3, (2, 3), **k) for c in (L.Conv2d, nn.Conv2d)), x(2, 4, 4, 5))
pair("Conv2d", *(lambda c=c: c(4, 3, 3, padding="same", dilation=2) for c in (L.Conv2d, nn.Conv2d)), x(2, 4, 4, 5))
pair(
    "Conv2d",
    *(lambda c=c: c(4, 3, 3, padding="same", padding_mode="reflect") for c in (L.Conv2d, nn.Conv2d)),
    x(2, 4, 4, 5),
)
pair("Conv2d", *(lambda c=c: c(4, 3, 3) for c in (L.Conv2d, nn.Conv2d)), x(4, 5, 5))
pair("Conv2d", *(lambda c=c: c(4, 3, 3) for c in (L.Conv2d, nn.Conv2d)), x(0, 4, 5, 5))
for name, shape in {"ConvTranspose1d": (2, 4, 5), "ConvTranspose2d": (2, 4, 3, 4)}.items():
    for arguments, keywords in [
        ((4, 6, 3), {}),
        ((4, 2, 4), {"stride": 2, "padding": 1, "bias": False}),
        ((4, 6, 3, 2, 1, 1, 2, True, 2), {}),
    ]:
        layers = getattr(L, name), getattr(nn, name)
        pair(name, *(lambda c=c, a=arguments, k=keywords: c(*a, **k) for c in layers), x(*shape))
pair("ConvTranspose2d", *(lambda c=c: c(4, 3, 2) for c in (L.ConvTranspose2d, nn.ConvTranspose2d)), x(4, 3, 2))
