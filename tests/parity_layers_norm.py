"""The pairs of pooling, resampling and normalisation layers."""

from parity_layers import pair
from sampling import x
from torch import nn

from tinynet import layers as L

for name, shape in [("MaxPool1d", (2, 3, 7)), ("MaxPool2d", (2, 3, 6, 7)), ("AvgPool1d", (3, 7)), ("AvgPool2d", (3, 6, 7))]:
    ours, theirs = getattr(L, name), getattr(nn, name)
    pair(name, lambda c=ours: c(2), lambda c=theirs: c(2), x(*shape))
    pair(name, lambda c=ours: c(3, 2, 1, ceil_mode=True), lambda c=theirs: c(3, 2, 1, ceil_mode=True), x(*shape))
pair("MaxPool2d", lambda: L.MaxPool2d(2, 1, dilation=3), lambda: nn.MaxPool2d(2, 1, dilation=3), x(1, 2, 5, 6))
pair("AvgPool2d", lambda: L.AvgPool2d(3, 2, 1, False, False), lambda: nn.AvgPool2d(3, 2, 1, False, False), x(2, 2, 5, 6))
for size in [1, (2, 3), (None, 4)]:
    pair("AdaptiveAvgPool2d", lambda s=size: L.AdaptiveAvgPool2d(s), lambda s=size: nn.AdaptiveAvgPool2d(s), x(2, 2, 4, 5))
pair("Upsample", lambda: L.Upsample(scale_factor=2), lambda: nn.Upsample(scale_factor=2), x(1, 2, 3, 4))
pair("Upsample", lambda: L.Upsample((5, 2)), lambda: nn.Upsample((5, 2)), x(1, 2, 3, 4))
for corners in (True, False):
    keywords = {"scale_factor": 2, "mode": "bilinear", "align_corners": corners}
    pair("Upsample", lambda k=keywords: L.Upsample(**k), lambda k=keywords: nn.Upsample(**k), x(1, 2, 3, 4))
pair("PixelShuffle", lambda: L.PixelShuffle(2), lambda: nn.PixelShuffle(2), x(2, 8, 2, 3))

# Twice: the second pair is the first in evaluation, where running statistics of PyTorch's (0 and 1 at first) are used.
for training in (True, False):
    for name, shapes in [
        ("BatchNorm1d", [(4, 3), (4, 3, 2), (2, 3, 20)]),
        ("BatchNorm2d", [(2, 3, 2, 2), (1, 3, 4, 5), (0, 3, 2, 2)]),
        ("InstanceNorm1d", [(2, 3, 4), (3, 4)]),
        ("InstanceNorm2d", [(2, 3, 2, 2), (3, 2, 2)]),
    ]:
        ours, theirs = getattr(L, name), getattr(nn, name)
        for shape in shapes:
            pair(name, lambda c=ours: c(3), lambda c=theirs: c(3), x(*shape), training=training)
        for keywords in [
            {"affine": False, "momentum": 0.3, "track_running_stats": True},
            {"affine": True, "eps": 0.1, "track_running_stats": False},
            {"affine": True, "momentum": None, "track_running_stats": True},
        ]:
            if name.startswith("Instance") and keywords.get("momentum", 0) is None:
                continue  # which PyTorch takes for 0 there
            shape = shapes[0]
            pair(
                name,
                lambda c=ours, k=keywords: c(3, **k),
                lambda c=theirs, k=keywords: c(3, **k),
                x(*shape),
                training=training,
            )

pair("GroupNorm", lambda: L.GroupNorm(2, 4), lambda: nn.GroupNorm(2, 4), x(2, 4, 3))
pair("GroupNorm", lambda: L.GroupNorm(4, 4, 0.1, False), lambda: nn.GroupNorm(4, 4, 0.1, False), x(2, 4, 2, 2))
for shape in [4, (3, 4)]:
    pair("LayerNorm", lambda s=shape: L.LayerNorm(s), lambda s=shape: nn.LayerNorm(s), x(2, 3, 4))
    pair("RMSNorm", lambda s=shape: L.RMSNorm(s), lambda s=shape: nn.RMSNorm(s), x(2, 3, 4))
pair("LayerNorm", lambda: L.LayerNorm(4, 0.1, bias=False), lambda: nn.LayerNorm(4, 0.1, bias=False), x(3, 4))
pair("LayerNorm", lambda: L.LayerNorm(4, 0.1, False), lambda: nn.LayerNorm(4, 0.1, False), x(3, 4))
pair("RMSNorm", lambda: L.RMSNorm(4, 0.1, False), lambda: nn.RMSNorm(4, 0.1, False), x(3, 4))
