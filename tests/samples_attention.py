"""The sample calls of attention, with masks of booleans and of floats."""

import numpy as np
from sampling import kink, sample, x


def attention(q, k, v, *mask, **keywords):
    inputs = [x(*shape, seed=i) for i, shape in enumerate((q, k, v))]
    sample("scaled_dot_product_attention", *inputs, *mask, **keywords)


SOME = np.array([[True, False, True, True], [False, True, False, False], [True, True, True, False]])
attention((2, 3), (4, 3), (4, 2))
attention((2, 3, 2), (2, 4, 2), (2, 4, 3))
attention((2, 2, 2, 2), (2, 1, 3, 2), (3, 2))
attention((3, 2), (3, 2), (3, 2), is_causal=True)
attention((2, 2), (3, 2), (3, 2), is_causal=True)
attention((2, 3, 2), (2, 2, 2), (2, 2, 1), is_causal=True, scale=0.3)
attention((3, 2), (4, 2), (4, 2), SOME)
attention((2, 3, 2), (2, 4, 2), (2, 4, 1), SOME)
attention((2, 3, 2), (2, 4, 2), (2, 4, 1), np.stack([SOME, ~SOME]))
attention((2, 1, 3, 2), (2, 1, 4, 2), (1, 4, 1), SOME[:2, None, None])  # padding: a line of keys for each of the batch
attention((3, 2), (4, 2), (4, 2), SOME[0])
attention((2, 2), (3, 2), (3, 2), np.array([[True, False, True], [False, False, False]]))  # nothing left for a query
attention((3, 2), (4, 2), (4, 2), x(3, 4, seed=5))
attention((2, 3, 2), (2, 2, 2), (2, 2, 1), x(2, seed=5), scale=1.0)
attention((2, 2, 1, 2), (2, 2, 2, 2), (2, 2, 2, 1), x(2, 1, 1, 2, seed=5))
attention((2, 2), (3, 2), (3, 2), [[0.0, -1.0, 2.0]])
attention((0, 3, 2), (0, 4, 2), (0, 4, 2), SOME)
attention((0, 2), (4, 2), (4, 2))
attention((2, 2), (0, 2), (0, 3))
attention((2, 2), (0, 2), (0, 3), is_causal=True)
attention((2, 0), (3, 0), (3, 2))
attention((2, 3), (4, 3), (4, 2), dropout_p=0.0)
kink("scaled_dot_product_attention", x(2, 2), x(3, 2), x(3, 1), np.array([[0.0, -np.inf, 1.0], [-np.inf] * 3]))
kink("scaled_dot_product_attention", x(2, 2), 1e4 * x(3, 2), x(3, 1))
kink("scaled_dot_product_attention", np.array([[np.nan, 0.0], [1.0, 1.0]]), x(3, 2), x(3, 1))
