"""Attention: what the mask means, dropout of weights, and what is refused."""

import re

import numpy as np
import pytest
from sampling import x

import tinynet as tn
import tinynet.functions as F
from tinynet.tensor import Tensor


def test_a_boolean_mask_is_true_where_a_key_takes_part():
    q, k, v, mask = x(3, 2), x(4, 2), x(4, 5), np.array([True, False, True, False])
    y = F.scaled_dot_product_attention(q, k, v, mask)
    np.testing.assert_allclose(y.data, F.scaled_dot_product_attention(q, k[mask], v[mask]).data, rtol=1e-13)
    added = F.scaled_dot_product_attention(q, k, v, np.where(mask, 0.0, -np.inf))
    np.testing.assert_allclose(y.data, added.data, rtol=1e-13)


@pytest.mark.parametrize("mask", [np.zeros((3, 4), bool), np.full((3, 4), -np.inf)], ids=["booleans", "floats"])
def test_a_query_that_sees_no_key_gets_zeros_and_gives_no_gradient(mask):
    mask[1:] = True if mask.dtype == bool else 0
    inputs = [Tensor(a, requires_grad=True) for a in (x(3, 2), x(4, 2), x(4, 5))]
    y = F.scaled_dot_product_attention(*inputs, mask)
    assert not y.data[0].any()
    y.sum().backward()
    assert not inputs[0].grad.data[0].any()
    assert all(np.isfinite(t.grad.data).all() for t in inputs)


def test_causal_queries_do_not_see_what_comes_after():
    q, k, v = x(5, 2), x(5, 2, seed=1), x(5, 3)
    y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    np.testing.assert_allclose(y.data[0], v[0], rtol=1e-13)
    k[3:], v[3:] = 100.0, np.nan
    with np.errstate(invalid="ignore"):
        weights_of_nan = F.scaled_dot_product_attention(q[:3], k[:3], v[:3], is_causal=True)
    np.testing.assert_allclose(weights_of_nan.data, y.data[:3], rtol=1e-13)
    mask = np.tri(5, dtype=bool)
    np.testing.assert_array_equal(
        F.scaled_dot_product_attention(q, k, x(5, 3), mask).data,
        F.scaled_dot_product_attention(q, k, x(5, 3), is_causal=True).data,
    )


def test_dropout_zeroes_weights_and_keeps_the_mean():
    tn.manual_seed(0)
    q, k, v = np.zeros((2000, 1), "float32"), np.zeros((10, 1), "float32"), np.ones((10, 1), "float32")
    y = F.scaled_dot_product_attention(q, k, v, dropout_p=0.25)
    assert y.dtype == np.float32
    assert set(np.round(y.data * 7.5).ravel().tolist()) <= set(range(11))  # of 10 weights of 1 / 10 / 0.75 some are left
    assert y.data.mean() == pytest.approx(1, abs=0.01)
    tn.manual_seed(0)
    np.testing.assert_array_equal(F.scaled_dot_product_attention(q, k, v, dropout_p=0.25).data, y.data)
    assert not F.scaled_dot_product_attention(q, k, v, dropout_p=1.0).data.any()


def attend(*arguments, **keywords):
    return lambda: F.scaled_dot_product_attention(*arguments, **keywords)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (attend(x(2), x(4, 2), x(4, 2)), ValueError, "q (2,), k (4, 2), v (4, 2): expected at least two axes"),
        (
            attend(x(3, 2), x(4, 3), x(4, 2)),
            ValueError,
            "q (3, 2), k (4, 3), v (4, 2): q and k should have the same features",
        ),
        (attend(x(3, 2), x(4, 2), x(5, 2)), ValueError, "k (4, 2), v (5, 2): k and v should have the same length"),
        (attend(x(2, 3, 2), x(3, 4, 2), x(4, 2)), ValueError, "the axes before the last two do not fit together"),
        (attend(x(3, 2), x(4, 2), x(4, 2), x(4, 3)), ValueError, "attn_mask of shape (4, 3) does not broadcast to (3, 4)"),
        (attend(x(3, 2), x(4, 2), x(4, 2), x(1, 3, 4)), ValueError, "attn_mask of shape (1, 3, 4) does not broadcast"),
        (attend(x(3, 2), x(4, 2), x(4, 2), np.ones((3, 4), int)), TypeError, "attn_mask has dtype int64, expected booleans"),
        (
            attend(x(3, 2), x(4, 2), x(4, 2), x(3, 4), True),
            ValueError,
            "is_causal is a mask of its own; expected no attn_mask",
        ),
        (attend(x(3, 2), x(4, 2), x(4, 2), None, 0.1), TypeError, "is_causal is 0.1, expected True or False"),
        (attend(x(3, 2), x(4, 2), x(4, 2), dropout_p=1.5), ValueError, "dropout_p is 1.5, expected a probability"),
    ],
)
def test_bad_input(call, error, says):
    with pytest.raises(error, match="^scaled_dot_product_attention: .*" + re.escape(says)):
        call()
