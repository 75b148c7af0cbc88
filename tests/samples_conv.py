"""The sample calls of convolutions and their transposes: over axes, strides, padding, dilation, groups, with and without a
batch, of no images, and of sizes of which the stride leaves a rest."""

import numpy as np
from sampling import sample, x


def several(name, shape, weight, outputs, *calls):
    """One call of ``name`` for each dict of keywords, some of them with a bias."""
    for i, keywords in enumerate(calls):
        bias = [x(outputs, seed=2)] if i % 2 == 0 else []
        sample(name, x(*shape), x(*weight, seed=1), *bias, **keywords)


several(
    "conv1d",
    (2, 2, 6),
    (3, 2, 3),
    3,
    *[{}, {"stride": 2}, {"padding": 1}, {"dilation": 2}, {"padding": "same"}, {"padding": "valid"}],
    *[{"stride": 2, "padding": 2, "dilation": 2}, {"stride": (3,), "padding": [1]}, {"padding": 4, "stride": 2}],
)
sample("conv1d", x(2, 5), x(3, 2, 2, seed=1), x(3, seed=2), padding="same")  # no batch; an odd zero goes behind
sample("conv1d", x(0, 2, 5), x(3, 2, 2, seed=1), x(3, seed=2))
sample("conv1d", x(2, 4, 5), x(6, 2, 2, seed=1), x(6, seed=2), 1, 1, 2, 2)
sample("conv1d", x(2, 3, 5), x(6, 1, 3, seed=1), groups=3)
sample("conv1d", x(3, 2, 4), x(3, 2, 1, seed=1), x(3, seed=2))
sample("conv1d", x(2, 1, 3), x(1, 1, 3, seed=1))
several(
    "conv2d",
    (2, 2, 4, 5),
    (2, 2, 2, 3),
    2,
    *[{}, {"stride": 2}, {"padding": 1}, {"padding": "same"}, {"dilation": (3, 2)}],
    *[{"stride": (1, 2), "padding": (0, 2)}, {"stride": (2, 1), "padding": (1, 0), "dilation": (1, 2)}],
    {"padding": "same", "dilation": (1, 2)},
)
sample("conv2d", x(2, 3, 4), x(2, 2, 3, 2, seed=1), x(2, seed=2))
sample("conv2d", x(0, 2, 3, 3), x(2, 2, 2, 2, seed=1), x(2, seed=2), padding=1)
sample("conv2d", x(2, 4, 3, 3), x(4, 2, 2, 2, seed=1), x(4, seed=2), groups=2, padding=1)
sample("conv2d", x(2, 2, 3, 3), x(4, 1, 2, 2, seed=1), groups=2, stride=2)
sample("conv2d", x(2, 2, 3, 2), x(3, 2, 1, 1, seed=1), x(3, seed=2))
sample("conv2d", x(2, 2, 3, 4), x(3, 2, 1, 1, seed=1), stride=2)
sample("conv2d", x(1, 2, 3, 2), x(3, 2, 1, 1, seed=1), x(3, seed=2), padding=1)
sample("conv2d", x(17, 1, 3, 2), x(1, 1, 2, 2, seed=1), x(1, seed=2))
several("conv3d", (1, 2, 3, 3, 2), (2, 2, 2, 2, 1), 2, {}, {"padding": (1, 0, 1), "stride": (2, 1, 1)})
several(
    "conv3d", (2, 2, 2, 1, 3), (2, 1, 1, 1, 2), 2, {"groups": 2, "padding": "same"}, {"groups": 2, "dilation": (1, 1, 2)}
)
sample("conv3d", x(2, 2, 3, 2), x(1, 2, 2, 1, 2, seed=1), x(1, seed=2))
sample("conv3d", x(0, 1, 2, 2, 2), x(1, 1, 2, 1, 1, seed=1))

several(
    "conv_transpose1d",
    (2, 2, 4),
    (2, 3, 3),
    3,
    *[{}, {"stride": 2}, {"padding": 1}, {"dilation": 2}, {"stride": 3, "output_padding": 2}],
    *[{"stride": 2, "padding": 2, "output_padding": 1}, {"dilation": 3, "output_padding": 2, "padding": 1}],
)
sample("conv_transpose1d", x(2, 4), x(2, 3, 2, seed=1), x(3, seed=2), 2)
sample("conv_transpose1d", x(0, 2, 4), x(2, 3, 2, seed=1), x(3, seed=2))
sample("conv_transpose1d", x(2, 4, 3), x(4, 3, 2, seed=1), x(6, seed=2), 2, 1, 1, 2, 2)
several(
    "conv_transpose2d",
    (2, 2, 2, 3),
    (2, 2, 2, 3),
    2,
    *[
        {},
        {"stride": 2},
        {"padding": 1},
        {"stride": (2, 1), "output_padding": (1, 0), "padding": (0, 1)},
        {"dilation": (2, 1)},
    ],
)
sample("conv_transpose2d", x(2, 2, 3), x(2, 1, 2, 2, seed=1), x(1, seed=2), stride=2)
sample("conv_transpose2d", x(0, 2, 2, 3), x(2, 1, 2, 2, seed=1), x(1, seed=2))
sample("conv_transpose2d", x(2, 2, 2, 2), x(2, 2, 2, 1, seed=1), x(4, seed=2), groups=2, stride=2)
sample("conv_transpose2d", x(2, 3, 2, 2), x(3, 2, 1, 1, seed=1), x(2, seed=2))

for keywords in [
    {},
    {"padding": 1},
    {"stride": 2},
    {"dilation": (2, 1)},
    {"padding": (0, 2), "stride": (1, 2), "dilation": 2},
]:
    sample("unfold", x(2, 2, 4, 3), (2, 2), **keywords)
sample("unfold", x(2, 3, 3), 2)
sample("unfold", x(0, 2, 3, 3), 2)
sample("unfold", x(2, 1, 3, 4), [1, 3], 1, 1, 2)
for size, kernel, keywords, patches in [
    ((4, 3), 2, {}, 6),
    (3, 2, {"padding": 1}, 16),
    ((4, 3), (1, 2), {"stride": (2, 1)}, 4),
    ((4, 3), (2, 2), {"dilation": (2, 1), "padding": (0, 1)}, 8),
]:
    sample("fold", x(2, 2 * np.prod(kernel) * (2 if kernel == 2 else 1), patches), size, kernel, **keywords)
sample("fold", x(4, 6), (4, 3), 2)
sample("fold", x(0, 4, 6), (4, 3), 2)
