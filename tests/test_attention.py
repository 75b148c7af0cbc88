"""Attention: what the mask means, dropout of weights, and what is refused."""

import re

import numpy as np
import pytest
from definitions_attention import scaled_dot_product_attention
from sampling import host, put
from sampling import on_device as x

import tinynet as tn
import tinynet.functions as F
from tinynet import layers as L
from tinynet.tensor import Tensor
from tinynet.testing import gradcheck


def test_a_boolean_mask_is_true_where_a_key_takes_part():
    q, k, v, mask = x(3, 2), x(4, 2), x(4, 5), Tensor([True, False, True, False])
    y = F.scaled_dot_product_attention(q, k, v, mask)
    np.testing.assert_allclose(y.numpy(), F.scaled_dot_product_attention(q, k[mask], v[mask]).numpy(), rtol=1e-13)
    added = F.scaled_dot_product_attention(q, k, v, F.where(mask, 0.0, -np.inf))
    np.testing.assert_allclose(y.numpy(), added.numpy(), rtol=1e-13)


@pytest.mark.parametrize("mask", [np.zeros((3, 4), bool), np.full((3, 4), -np.inf)], ids=["booleans", "floats"])
def test_a_query_that_sees_no_key_gets_zeros_and_gives_no_gradient(mask):
    mask[1:] = True if mask.dtype == bool else 0
    inputs = [Tensor(a, requires_grad=True) for a in (x(3, 2), x(4, 2), x(4, 5))]
    y = F.scaled_dot_product_attention(*inputs, Tensor(mask))
    assert not y.numpy()[0].any()
    y.sum().backward()
    assert not inputs[0].grad.numpy()[0].any()
    assert all(np.isfinite(t.grad.numpy()).all() for t in inputs)


def test_causal_queries_do_not_see_what_comes_after():
    q, k, v = x(5, 2), x(5, 2, seed=1), x(5, 3)
    y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    np.testing.assert_allclose(y.numpy()[0], v[0].numpy(), rtol=1e-13)
    k.data[3:], v.data[3:] = 100.0, np.nan
    with np.errstate(invalid="ignore"):
        weights_of_nan = F.scaled_dot_product_attention(q[:3], k[:3], v[:3], is_causal=True)
    np.testing.assert_allclose(weights_of_nan.numpy(), y.numpy()[:3], rtol=1e-13)
    mask = Tensor(np.tri(5, dtype=bool))
    np.testing.assert_array_equal(
        F.scaled_dot_product_attention(q, k, x(5, 3), mask).numpy(),
        F.scaled_dot_product_attention(q, k, x(5, 3), is_causal=True).numpy(),
    )


def test_dropout_zeroes_weights_and_keeps_the_mean():
    tn.manual_seed(0)
    q, k, v = tn.zeros(2000, 1), tn.zeros(10, 1), tn.ones(10, 1)
    y = F.scaled_dot_product_attention(q, k, v, dropout_p=0.25)
    assert y.dtype == np.float32
    assert set(np.round(y.numpy() * 7.5).ravel().tolist()) <= set(range(11))  # of 10 weights of 1 / 10 / 0.75 some are left
    assert y.numpy().mean() == pytest.approx(1, abs=0.01)
    tn.manual_seed(0)
    np.testing.assert_array_equal(F.scaled_dot_product_attention(q, k, v, dropout_p=0.25).numpy(), y.numpy())
    assert not F.scaled_dot_product_attention(q, k, v, dropout_p=1.0).numpy().any()


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
        (
            attend(x(3, 2), x(4, 2), x(4, 2), tn.ones(3, 4, dtype=int)),
            TypeError,
            "attn_mask has dtype int64, expected booleans",
        ),
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


# ---------------------------------------------------------------------------------------------- MultiHeadAttention


def multi_head(*arguments, seed=0, **keywords):
    tn.manual_seed(seed)
    layer = L.MultiHeadAttention(*arguments, **keywords).astype("float64")
    for p in layer.parameters():
        p.data[...] = x(*p.shape, seed=p.size).data
    return layer


def by_heads(layer, q, k, v, allowed=True):
    """The layer's result for a batch, one head at a time, from the definition of attention."""
    q, k, v = map(host, (q, k, v))
    weights, n = layer.in_proj_weight.numpy(), layer.embed_dim // layer.num_heads
    biases = np.zeros(3 * layer.embed_dim) if layer.in_proj_bias is None else layer.in_proj_bias.numpy()
    q, k, v = (a @ w.T + b for a, w, b in zip((q, k, v), np.split(weights, 3), np.split(biases, 3), strict=True))
    heads = [slice(i * n, (i + 1) * n) for i in range(layer.num_heads)]
    y = [scaled_dot_product_attention(q[..., h], k[..., h], v[..., h], allowed) for h in heads]
    return np.concatenate(y, axis=-1) @ layer.out_proj.weight.numpy().T + (
        0 if layer.out_proj.bias is None else layer.out_proj.bias.numpy()
    )


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("heads", [1, 2, 4])
def test_heads(heads, bias):
    layer, q, k, v = multi_head(4, heads, bias=bias), x(2, 3, 4), x(2, 5, 4), x(2, 5, 4, seed=1)
    for inputs, all_three in [((q,), (q, q, q)), ((q, k), (q, k, k)), ((q, k, v), (q, k, v)), ((q, q, q), (q, q, q))]:
        y = layer(*inputs)
        np.testing.assert_allclose(y.numpy(), by_heads(layer, *all_three), rtol=1e-12)
        np.testing.assert_allclose(layer(*(a[0] for a in inputs)).numpy(), y.numpy()[0], rtol=1e-12)


def test_a_boolean_mask_of_the_layer_is_true_where_a_key_takes_no_part():
    layer, q, k = multi_head(4, 2), x(2, 3, 4), x(2, 5, 4)
    blocked = np.array([False, True, False, True, False])
    expected = layer(q, k[:, Tensor(~blocked)]).numpy()
    mask = np.broadcast_to(blocked, (3, 5))
    for attn_mask in (mask, blocked[None], np.broadcast_to(mask, (4, 3, 5)), mask[None, None], np.where(mask, -np.inf, 0.0)):
        np.testing.assert_allclose(layer(q, k, attn_mask=Tensor(attn_mask)).numpy(), expected, rtol=1e-12)
    padding = np.stack([blocked, np.zeros(5, bool)])
    y = layer(q, k, key_padding_mask=Tensor(padding)).numpy()
    np.testing.assert_allclose(y[0], expected[0], rtol=1e-12)
    np.testing.assert_allclose(y[1], layer(q, k).numpy()[1], rtol=1e-12)
    np.testing.assert_allclose(layer(q, k, key_padding_mask=Tensor(np.where(padding, -np.inf, 0.0))).numpy(), y, rtol=1e-12)


def test_masks_of_the_layer_together():
    layer, q = multi_head(4, 2), x(2, 5, 4)
    later, padding = ~np.tri(5, dtype=bool), np.array([[False, False, True, False, True], [False] * 5])
    blocked = later | padding[:, None]
    expected = by_heads(layer, q, q, q, ~blocked)
    floats = np.where(padding, -np.inf, 0.0)
    for keywords in [
        {"is_causal": True, "key_padding_mask": padding},
        {"is_causal": True, "key_padding_mask": floats},
        {"attn_mask": later, "key_padding_mask": padding},
        {"attn_mask": later, "key_padding_mask": floats},
        {"attn_mask": np.where(later, -np.inf, 0.0), "key_padding_mask": padding},
        {"attn_mask": np.where(later, -np.inf, 0.0), "key_padding_mask": floats},
    ]:
        np.testing.assert_allclose(layer(q, **put(keywords)).numpy(), expected, rtol=1e-12)
    np.testing.assert_allclose(layer(q, is_causal=True).numpy(), by_heads(layer, q, q, q, ~later), rtol=1e-12)


def test_multi_head_attention_starts_as_in_pytorch():
    tn.manual_seed(0)
    layer = L.MultiHeadAttention(64, 4)
    assert list(layer.state_dict()) == ["in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias"]
    assert (layer.in_proj_weight.shape, layer.in_proj_bias.shape) == ((192, 64), (192,))
    bound = (6 / (192 + 64)) ** 0.5
    assert np.abs(layer.in_proj_weight.numpy()).max() <= bound
    assert layer.in_proj_weight.numpy().std() == pytest.approx(bound / 3**0.5, rel=0.05)
    assert np.abs(layer.out_proj.weight.numpy()).max() <= 1 / 8
    assert not layer.in_proj_bias.numpy().any()
    assert not layer.out_proj.bias.numpy().any()
    assert list(L.MultiHeadAttention(4, 2, bias=False).state_dict()) == ["in_proj_weight", "out_proj.weight"]
    assert repr(L.MultiHeadAttention(4, 2, 0.1, False)).startswith("MultiHeadAttention(4, 2, dropout=0.1, bias=False\n")


def test_weights_are_dropped_in_training_only():
    layer, q = L.MultiHeadAttention(4, 2, dropout=0.5), x(2, 6, 4).astype("float32")
    assert not np.array_equal(layer(q).numpy(), layer(q).numpy())
    np.testing.assert_array_equal(layer.eval()(q).numpy(), layer(q).numpy())


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_dtype_is_kept_by_the_layer(dtype):
    layer = L.MultiHeadAttention(4, 2).astype(dtype)
    q, mask = Tensor(x(2, 3, 4).astype(dtype), requires_grad=True), Tensor([[False, False, True]])
    for y in (layer(q), layer(q, x(2, 3, 4).astype(dtype), attn_mask=mask, key_padding_mask=tn.zeros(2, 3, dtype=dtype))):
        gradients = tn.grad(y, [q, *layer.parameters()], np.ones(y.shape, dtype))
        assert {t.dtype for t in (y, *gradients)} == {np.dtype(dtype)}


def test_derivatives_to_the_second_order_through_the_layer():
    layer = multi_head(2, 2)

    def run(q, k, w, b, out_w, out_b):
        layer.in_proj_weight, layer.in_proj_bias, layer.out_proj.weight, layer.out_proj.bias = w, b, out_w, out_b
        return layer(q, k), layer(q, is_causal=True)

    assert gradcheck(run, [x(1, 2, 2), x(1, 3, 2), *(p.numpy() for p in layer.parameters())], order=2)


ROWS = x(2, 3, 4)


def layer_on(*inputs, **keywords):
    return lambda: L.MultiHeadAttention(4, 2)(*inputs, **keywords)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: L.MultiHeadAttention(0, 1), ValueError, "embed_dim is 0, expected an integer of at least 1"),
        (lambda: L.MultiHeadAttention(4, None), ValueError, "num_heads is None, expected an integer of at least 1"),
        (lambda: L.MultiHeadAttention(4, 3), ValueError, "embed_dim is 4, expected a multiple of num_heads, 3"),
        (lambda: L.MultiHeadAttention(4, 2, 1.5), ValueError, "dropout is 1.5, expected a probability between 0 and 1"),
        (
            layer_on(x(2, 3, 5)),
            ValueError,
            "q (2, 3, 5), k (2, 3, 5), v (2, 3, 5), expected (batch, length, 4) or (length, 4)",
        ),
        (layer_on(x(4)), ValueError, "expected (batch, length, 4) or (length, 4)"),
        (
            layer_on(ROWS, x(3, 3, 4)),
            ValueError,
            "k (3, 3, 4), v (3, 3, 4), expected k and v of one shape, of q's batch size",
        ),
        (layer_on(ROWS, ROWS, x(2, 5, 4)), ValueError, "expected k and v of one shape"),
        (layer_on(ROWS, ROWS[0]), ValueError, "expected k and v of one shape"),
        (layer_on(ROWS, attn_mask=tn.ones(3, 3), is_causal=True), ValueError, "expected no attn_mask beside it"),
        (
            layer_on(ROWS, attn_mask=tn.ones(3, 3, dtype=int)),
            TypeError,
            "attn_mask has dtype int64, expected booleans (True: takes no",
        ),
        (
            layer_on(ROWS, key_padding_mask=tn.ones(2, 3, dtype=int)),
            TypeError,
            "key_padding_mask has dtype int64, expected booleans",
        ),
        (
            layer_on(ROWS, attn_mask=tn.ones(3, 2)),
            ValueError,
            "attn_mask of shape (3, 2) does not broadcast to (2, 2, 3, 3)",
        ),
        (
            layer_on(ROWS, attn_mask=tn.ones(2, 3, 3)),
            ValueError,
            "attn_mask has shape (2, 3, 3), expected (4, 3, 3) for batch",
        ),
        (layer_on(ROWS, key_padding_mask=tn.ones(2, 2)), ValueError, "key_padding_mask has shape (2, 2), expected (2, 3)"),
    ],
)
def test_bad_input_of_the_layer(call, error, says):
    with pytest.raises(error, match="^MultiHeadAttention.*" + re.escape(says)) as caught:
        call()
    assert "\n" not in str(caught.value)


# ----------------------------------------------------------------------------------------- TransformerEncoderLayer


def encoder(*arguments, **keywords):
    tn.manual_seed(0)
    return L.TransformerEncoderLayer(*arguments, **keywords).astype("float64")


def normed(a):
    return (a - a.mean(axis=-1, keepdims=True)) / np.sqrt(a.var(axis=-1, keepdims=True) + 1e-5)


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("activation", ["relu", np.tanh], ids=str)
def test_encoder_layer(norm_first, activation):
    function = F.tanh if activation is np.tanh else activation
    layer, inputs = encoder(4, 2, 6, 0.0, function, norm_first=norm_first), x(2, 3, 4)
    later = ~np.tri(3, dtype=bool)

    def feed(a):
        a = a @ layer.linear1.weight.numpy().T + layer.linear1.bias.numpy()
        a = np.maximum(a, 0) if activation == "relu" else activation(a)
        return a @ layer.linear2.weight.numpy().T + layer.linear2.bias.numpy()

    def attend(a):
        return by_heads(layer.self_attn, a, a, a, ~later)

    if norm_first:
        expected = host(inputs) + attend(normed(host(inputs)))
        expected = expected + feed(normed(expected))
    else:
        expected = normed(host(inputs) + attend(inputs))
        expected = normed(expected + feed(expected))
    for keywords in (
        {"is_causal": True},
        {"src_mask": later},
        {"src_key_padding_mask": np.zeros((2, 3), bool), "is_causal": True},
    ):
        np.testing.assert_allclose(layer(inputs, **put(keywords)).numpy(), expected, rtol=1e-11)
    np.testing.assert_allclose(layer(inputs[0], is_causal=True).numpy(), expected[0], rtol=1e-11)


def test_encoder_layer_names_and_dropout():
    layer, inputs = L.TransformerEncoderLayer(8, 2, 16, dropout=0.5), x(2, 3, 8).astype("float32")
    linear = [f"{name}.{part}" for name in ("linear1", "linear2", "norm1", "norm2") for part in ("weight", "bias")]
    attention = ["in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias"]
    assert list(layer.state_dict()) == [*(f"self_attn.{name}" for name in attention), *linear]
    assert not any(name.endswith("bias") for name in L.TransformerEncoderLayer(8, 2, bias=False).state_dict())
    assert L.TransformerEncoderLayer(8, 2).linear1.out_features == 2048
    assert not np.array_equal(layer(inputs).numpy(), layer(inputs).numpy())
    y = layer.eval()(inputs)
    np.testing.assert_array_equal(layer(inputs).numpy(), y.numpy())
    assert y.dtype == np.float32
    parts = [
        p.p if isinstance(p, L.Dropout) else p.dropout for p in layer.layers() if hasattr(p, "p") or hasattr(p, "dropout")
    ]
    assert parts == [0.5] * 4
    for arguments, says in [
        ((8, 3), "embed_dim is 8, expected a multiple of num_heads, 3"),
        ((8, 2, 0), "TransformerEncoderLayer: dim_feedforward is 0, expected an integer of at least 1"),
        ((8, 2, 8, 0.1, "tanh"), "TransformerEncoderLayer: activation is 'tanh', expected 'relu', 'gelu' or a function"),
    ]:
        with pytest.raises(ValueError, match=re.escape(says)):
            L.TransformerEncoderLayer(*arguments)


def test_derivatives_to_the_second_order_through_an_encoder_layer():
    layer = encoder(2, 1, 2, 0.0, F.tanh)
    assert gradcheck(lambda a: layer(a, is_causal=True), x(1, 2, 2), order=2, rtol=1e-4)


# ---------------------------------------------------------------------------------------------- PositionalEncoding


@pytest.mark.parametrize("width", [6, 5, 1])
def test_positional_encoding(width):
    layer, expected = L.PositionalEncoding(width, max_len=50), np.zeros((50, width))
    for t in range(50):
        for i in range(width):
            angle = t / 10000 ** ((i - i % 2) / width)
            expected[t, i] = np.cos(angle) if i % 2 else np.sin(angle)
    for length in (50, 7, 1, 0):
        inputs = x(2, length, width)
        np.testing.assert_allclose(layer(inputs).numpy(), host(inputs) + expected[:length], rtol=1e-13, atol=1e-13)
        np.testing.assert_allclose(layer(inputs[0]).numpy(), host(inputs[0]) + expected[:length], rtol=1e-13, atol=1e-13)
    assert layer(tn.zeros(1, 3, width, dtype=int)).dtype == np.float32
    for dtype in ("float32", "float16"):
        inputs = Tensor(np.zeros((1, 50, width), dtype), requires_grad=True)
        y = layer(inputs)
        y.sum().backward()
        assert (y.dtype, inputs.grad.dtype) == (np.dtype(dtype), np.dtype(dtype))
        np.testing.assert_array_equal(y.numpy()[0], expected.astype(dtype))


def test_positional_encoding_is_not_saved_and_drops_in_training_only():
    layer, inputs = L.PositionalEncoding(4, dropout=0.5), tn.ones(2, 3, 4)
    assert layer.state_dict() == {}
    assert layer.parameters() == []
    assert not np.array_equal(layer(inputs).numpy(), layer(inputs).numpy())
    np.testing.assert_array_equal(layer.eval()(inputs).numpy(), layer(inputs).numpy())
    with pytest.raises(
        ValueError, match=r"PositionalEncoding\(4, max_len=2, dropout=0.0\): the input has shape \(3, 4\), exp"
    ):
        L.PositionalEncoding(4, max_len=2)(x(3, 4))
    for shape in [(3, 5), (4,)]:
        with pytest.raises(ValueError, match=r"expected \(\.\.\., length, 4\) with a length of at most 5000"):
            layer(x(*shape))
    with pytest.raises(ValueError, match="PositionalEncoding: max_len is 0, expected an integer of at least 1"):
        L.PositionalEncoding(4, 0)
