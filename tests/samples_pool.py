"""The sample calls of pooling and resampling."""

import numpy as np
from sampling import kink, sample, whole, x

# ------------------------------------------------------------------------------------------------- the largest, the mean

for shape in [(2, 3, 7), (3, 7), (0, 2, 7)]:
    sample("max_pool1d avg_pool1d", x(*shape), 2)
    sample("max_pool1d avg_pool1d", x(*shape), 3, stride=2, padding=1)
    sample("max_pool1d avg_pool1d", x(*shape), (3,), (2,), 1, ceil_mode=True)
sample("max_pool1d", x(2, 7), 2, 1, dilation=3)
sample("avg_pool1d", x(2, 7), 3, 2, padding=1, count_include_pad=False)
for shape in [(2, 2, 4, 5), (2, 4, 5), (0, 2, 4, 5)]:
    sample("max_pool2d avg_pool2d", x(*shape), 2)
    sample("max_pool2d avg_pool2d", x(*shape), (3, 2), stride=(1, 2))
    sample("max_pool2d avg_pool2d", x(*shape), 3, 2, 1)
    sample("max_pool2d avg_pool2d", x(*shape), 3, 2, 1, ceil_mode=True)
sample("max_pool2d avg_pool2d", x(1, 1, 5, 6), 2, 3, ceil_mode=True)  # a last column of windows that would start outside
sample("max_pool2d avg_pool2d", x(1, 2, 3, 4), 1)
sample("max_pool2d avg_pool2d", x(1, 2, 5, 3), [1, 3], 2, [0, 1])
sample("max_pool2d", x(1, 2, 7, 6), (2, 3), 2, dilation=(3, 2))
sample("max_pool2d", x(1, 2, 5, 6), 3, 1, padding=(1, 0), dilation=2, ceil_mode=True)
for keywords in [{"count_include_pad": False}, {"divisor_override": 5}, {"ceil_mode": True, "count_include_pad": False}]:
    sample("avg_pool2d", x(2, 2, 4, 5), 3, 2, 1, **keywords)
kink("max_pool2d", whole(2, 2, 6, 6, high=2) * 1.0, 3, 2, 1)  # ties
kink("max_pool2d", np.zeros((1, 1, 5, 5)), 2, 1)
kink("max_pool1d avg_pool1d", np.array([[1.0, np.nan, 0.0, 2.0, 3.0, np.inf, -np.inf, 1.0]]), 2)
kink("max_pool1d", np.full((1, 4), -np.inf), 3, 1, 1)
sample("max_pool2d", whole(1, 2, 4, 4), 2)

for shape, sizes in [
    ((2, 2, 4, 6), [1, 2, (4, 3), (3, 4), (None, 5), (7, None)]),
    ((2, 5, 3), [2, [3, 1]]),
    ((0, 2, 3, 3), [2]),
]:
    for size in sizes:
        sample("adaptive_avg_pool2d", x(*shape), size)

# ------------------------------------------------------------------------------------------------------------ resampling

for shape, linear in [
    ((2, 2, 5), "linear"),
    ((1, 2, 3, 4), "bilinear"),
    ((1, 1, 2, 2, 2), "trilinear"),
    ((0, 2, 3), "linear"),
]:
    for size in (1, 3, 7):
        sample("interpolate", x(*shape), size)
        sample("interpolate", x(*shape), size, mode="nearest-exact")
        sample("interpolate", x(*shape), size, mode=linear)
        sample("interpolate", x(*shape), size, mode=linear, align_corners=True)
    for factor in (2, 0.5, 1.5):
        sample("interpolate", x(*shape), scale_factor=factor)
        sample("interpolate", x(*shape), scale_factor=factor, mode=linear)
sample("interpolate", x(1, 2, 3, 5), (6, 2), mode="bilinear", align_corners=False)
sample("interpolate", x(1, 2, 3, 5), scale_factor=(2.0, 1.5), mode="bilinear", recompute_scale_factor=True)
sample("interpolate", x(1, 2, 3, 5), scale_factor=[1.5, 0.7], recompute_scale_factor=True)
sample("interpolate", x(1, 2, 6), scale_factor=1.7, mode="nearest-exact")
kink("interpolate", np.array([[[1.0, np.nan, 2.0, 3.0, np.inf, 4.0]]]), 4)

for shape, r in [((4, 2, 3), 2), ((2, 9, 1, 2), 3), ((2, 0, 4, 1, 1), 2), ((0, 4, 2, 2), 2), ((3, 2, 2), 1)]:
    sample("pixel_shuffle", x(*shape), r)
