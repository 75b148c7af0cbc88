"""Gradient clipping."""

import numpy as np
import pytest
from sampling import host, put

import tinynet as tn
from tinynet import layers as L
from tinynet import optim


def with_grad(*grad, dtype=np.float32):
    p = tn.Parameter(np.zeros(len(grad)), dtype=dtype)
    p.grad = np.array(grad, dtype)
    return p


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_all_gradients_are_scaled_together(dtype):
    a, b, c = with_grad(3.0, 0.0, dtype=dtype), with_grad(4.0, dtype=dtype), tn.Parameter([1.0])
    assert float(optim.clip_grad_norm([a, b, c], 2.5)) == pytest.approx(5.0)
    np.testing.assert_allclose(a.grad.numpy(), [1.5, 0.0], rtol=1e-6)
    np.testing.assert_allclose(b.grad.numpy(), [2.0], rtol=1e-6)
    assert c.grad is None
    assert a.grad.dtype == dtype


def test_scaled_as_in_pytorch():
    """By max_norm / (norm + 1e-6), so that the new norm is a hair below max_norm."""
    p = with_grad(3.0, 4.0, dtype=np.float64)
    optim.clip_grad_norm([p], 1.0)
    np.testing.assert_allclose(p.grad.numpy(), np.array([3.0, 4.0]) / (5 + 1e-6), rtol=1e-15)


def test_small_gradients_are_left_alone():
    p = with_grad(0.3, 0.4)
    grad = p.grad
    assert float(optim.clip_grad_norm([p], 0.5000001)) == pytest.approx(0.5)
    np.testing.assert_array_equal(p.grad.numpy(), grad.numpy())
    assert p.device != "cpu" or p.grad is grad  # on a GPU it is not known without waiting


def test_what_is_clipped_may_be_a_layer_a_parameter_or_an_iterator():
    layer = L.Linear(2, 1)
    for params in (layer, layer.parameters(), iter(layer.parameters()), (p for _, p in layer.named_parameters())):
        layer.weight.grad, layer.bias.grad = [[3.0, 0.0]], [4.0]
        assert float(optim.clip_grad_norm(params, 1.0)) == pytest.approx(5.0)
        assert abs(layer.bias.grad.item() - 0.8) < 1e-5
    assert float(optim.clip_grad_norm(with_grad(2.0), 1.0)) == 2.0


def test_a_parameter_given_twice_counts_once():
    p = with_grad(3.0, 4.0)
    assert float(optim.clip_grad_norm([p, p], 1.0)) == pytest.approx(5.0)
    np.testing.assert_allclose(p.grad.numpy(), [0.6, 0.8], rtol=1e-5)


def test_a_gradient_that_the_user_holds_is_not_written_into():
    mine = put(np.array([30.0, 40.0], np.float32))
    p = tn.Parameter([0.0, 0.0])
    p.grad = mine
    optim.clip_grad_norm([p], 1.0)
    p.grad = mine
    optim.clip_grad_value([p], 1.0)
    np.testing.assert_array_equal(host(mine), [30.0, 40.0])


def test_no_gradients_at_all():
    assert float(optim.clip_grad_norm([tn.Parameter([1.0])], 1.0)) == 0.0
    assert float(optim.clip_grad_norm([], 1.0)) == 0.0


def test_large_float32_gradients_do_not_overflow():
    p = with_grad(3e30, 4e30)
    assert float(optim.clip_grad_norm([p], 1.0)) == pytest.approx(5e30)
    np.testing.assert_allclose(p.grad.numpy(), [0.6, 0.8], rtol=1e-6)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_a_norm_that_is_no_number_is_returned_and_nothing_scaled(value):
    p = with_grad(1.0, value)
    norm = float(optim.clip_grad_norm([p], 0.5))
    assert not np.isfinite(norm)
    np.testing.assert_array_equal(p.grad.numpy(), np.array([1.0, value], np.float32))


def test_clip_by_value():
    p, q = with_grad(-3.0, 0.5, 2.0), tn.Parameter([1.0])
    optim.clip_grad_value([p, q], 1.0)
    np.testing.assert_array_equal(p.grad.numpy(), [-1.0, 0.5, 1.0])
    assert p.grad.dtype == np.float32
    assert q.grad is None


@pytest.mark.parametrize("limit", [0.0, -1.0, float("nan")])
def test_a_limit_that_is_not_positive(limit):
    with pytest.raises(ValueError, match=r"clip_grad_norm: max_norm is .* positive"):
        optim.clip_grad_norm([with_grad(1.0)], limit)
    with pytest.raises(ValueError, match=r"clip_grad_value: clip_value is .* positive"):
        optim.clip_grad_value([with_grad(1.0)], limit)
