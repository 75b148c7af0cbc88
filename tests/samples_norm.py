"""The sample calls of normalisation. Running statistics are lists here, as they are inputs without a gradient."""

import numpy as np
from sampling import kink, positive, sample, x

for shape in [(4, 3), (2, 3, 2), (2, 3, 2, 2), (2, 1, 17), (0, 3, 2), (1, 2, 3)]:
    channels = shape[1]
    affine = x(channels, seed=1), x(channels, seed=2)
    running = [0.5, -1.25, 2.0][:channels], [1.5, 0.25, 2.0][:channels]
    sample("batch_norm", x(*shape), None, None, *affine, training=True)
    sample("batch_norm", x(*shape), None, None, None, None, True, 0.1, 0.25)
    sample("batch_norm", x(*shape), *running, *affine)
    sample("batch_norm", x(*shape), *running, affine[0], None, False, 0.3, 0.01)
    sample("batch_norm", x(*shape), *running, None, affine[1])
    sample("instance_norm", x(*shape), *running, *affine, use_input_stats=False)
    if len(shape) > 2:
        sample("instance_norm", x(*shape))
        sample("instance_norm", x(*shape), None, None, *affine, True, 0.1, 0.25)
        sample("instance_norm", x(*shape), None, None, affine[0])

for shape, groups in [((2, 4), 2), ((2, 4, 3), 2), ((2, 3, 2, 2), 3), ((3, 4, 2), 1), ((1, 2, 17), 1), ((0, 4, 3), 2)]:
    affine = x(shape[1], seed=1), x(shape[1], seed=2)
    sample("group_norm", x(*shape), groups)
    sample("group_norm", x(*shape), groups, *affine)
    sample("group_norm", x(*shape), groups, None, affine[1], 0.25)

for shape, last in [((3, 4), 4), ((2, 3, 4), (3, 4)), ((4,), [4]), ((2, 2, 3), 3), ((0, 3), 3), ((3, 0), 0)]:
    inner = shape[-1:] if isinstance(last, int) else tuple(last)
    weight, bias = x(*inner, seed=1), x(*inner, seed=2)
    sample("layer_norm rms_norm", x(*shape), last)
    sample("layer_norm rms_norm", x(*shape), last, weight)
    sample("layer_norm", x(*shape), last, weight, bias)
    sample("layer_norm", x(*shape), last, None, bias, 0.25)
    sample("rms_norm", x(*shape), last, weight, 0.25)

kink("layer_norm rms_norm", np.array([[1.0, np.nan], [0.0, 1.0]]), 2)
kink("layer_norm", np.ones((2, 3)), 3, positive(3))  # no variance
kink("batch_norm", np.full((3, 2), 5.0), None, None, training=True)
kink("layer_norm rms_norm", 1e4 + x(2, 5), 5)
