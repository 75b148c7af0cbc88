"""Convolution layers: shapes, arguments, the first batch's channels, initialisation, training. (Values: parity_layers.)"""

import re

import numpy as np
import pytest

import tinynet as tn
from tinynet import functions as F
from tinynet import layers as L
from tinynet.kernels import conv as kernel
from tinynet.tensor import Tensor

LAYERS = [(L.Conv1d, 1), (L.Conv2d, 2), (L.Conv3d, 3), (L.ConvTranspose1d, 1), (L.ConvTranspose2d, 2)]
TRANSPOSED = (L.ConvTranspose1d, L.ConvTranspose2d)


def randn(*shape, dtype=np.float32):
    return Tensor(np.random.default_rng(0).standard_normal(shape).astype(dtype))


@pytest.mark.parametrize(("layer_class", "axes"), LAYERS)
@pytest.mark.parametrize("bias", [True, False])
def test_layers_are_their_functions(layer_class, axes, bias):
    layer, x = layer_class(4, 6, 3, stride=2, padding=1, dilation=2, groups=2, bias=bias), randn(2, 4, *[7, 6, 5][:axes])
    y = layer(x)
    expected = type(layer).function(x, layer.weight, layer.bias, stride=2, padding=1, dilation=2, groups=2)
    np.testing.assert_array_equal(y.numpy(), expected.numpy())
    assert y.dtype == np.float32
    assert y.shape[:2] == (2, 6)
    assert layer.weight.shape[:2] == ((4, 3) if layer_class in TRANSPOSED else (6, 2))
    assert (layer.in_channels, layer.out_channels) == (4, 6)
    assert layer.bias.shape == (6,) if bias else layer.bias is None
    assert len(layer.parameters()) == 1 + bias
    np.testing.assert_allclose(layer(x[0]).numpy(), y.numpy()[0], rtol=1e-5, atol=1e-6)
    assert layer(x[:0]).shape == (0, *y.shape[1:])


@pytest.mark.parametrize(("layer_class", "axes"), LAYERS)
def test_channels_of_the_first_batch(layer_class, axes):
    size = [7, 6, 5][:axes]
    for shape in [(2, 4, *size), (4, *size)]:
        layer = layer_class(None, 6, 3, groups=2)
        weight, bias = layer.weight, layer.bias
        assert layer.in_channels is None
        assert 0 in weight.shape
        assert layer(randn(*shape)).shape[-axes - 1] == 6
        assert layer.in_channels == 4
        assert layer.weight is weight  # an optimizer may hold it
        assert layer.bias is bias
        assert weight.numpy().any()
        assert bias.numpy().any()
        with pytest.raises(ValueError, match=re.escape(f"{layer!r}: the input has shape {(2, 6, *size)}, expected (N, 4, ")):
            layer(randn(2, 6, *size))
    layer = layer_class(None, 6, 3, groups=2).astype("float64")
    with pytest.raises(ValueError, match=r"the input has shape .*, expected \(N, C, a multiple of 2, "):
        layer(randn(2, 3, *size))
    assert layer.in_channels is None
    layer(randn(2, 4, *size, dtype=np.float64))
    assert layer.weight.dtype == np.float64


def test_a_state_of_known_channels_loads_into_unknown_ones():
    source, layer = L.Conv2d(4, 6, 3), L.Conv2d(None, 6, 3)
    layer.load_state_dict(source.state_dict())
    assert layer.in_channels == 4
    np.testing.assert_array_equal(layer(randn(1, 4, 5, 5)).numpy(), source(randn(1, 4, 5, 5)).numpy())


@pytest.mark.parametrize(
    ("layer", "fan_in"),
    [
        (lambda: L.Conv2d(32, 400, 3), 32 * 9),
        (lambda: L.Conv2d(32, 400, 3, groups=4), 8 * 9),
        (lambda: L.Conv1d(32, 400, 5), 32 * 5),
        (lambda: L.ConvTranspose2d(400, 32, 3), 32 * 9),  # the second axis of the weight, as in PyTorch
    ],
)
def test_where_weights_start(layer, fan_in):
    tn.manual_seed(0)
    layer = layer()
    for p in layer.parameters():
        assert abs(p.numpy()).max() <= fan_in**-0.5
        assert abs(p.numpy()).max() > 0.9 * fan_in**-0.5
    np.testing.assert_allclose(layer.weight.numpy().std(), fan_in**-0.5 / 3**0.5, rtol=0.02)
    again = type(layer)
    tn.manual_seed(0)
    again = again(layer.in_channels, layer.out_channels, layer.kernel_size, groups=layer.groups)
    np.testing.assert_array_equal(again.weight.numpy(), layer.weight.numpy())


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (lambda: L.Conv2d(3, 8, 3), "Conv2d(3, 8, kernel_size=3)"),
        (lambda: L.Conv2d(None, 8, (3, 3), padding="same"), "Conv2d(None, 8, kernel_size=3, padding='same')"),
        (
            lambda: L.Conv2d(4, 8, (3, 2), (2, 1), 1, 2, 4, False, "reflect"),
            "Conv2d(4, 8, kernel_size=(3, 2), stride=(2, 1), padding=1, dilation=2, groups=4, padding_mode='reflect', "
            "bias=False)",
        ),
        (
            lambda: L.ConvTranspose2d(4, 8, 3, 2, 1, 1),
            "ConvTranspose2d(4, 8, kernel_size=3, stride=2, padding=1, output_padding=1)",
        ),
    ],
)
def test_repr(layer, text):
    assert repr(layer()) == text


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
@pytest.mark.parametrize("padding", [1, (2, 1), "same", "valid"])
def test_padding_modes(mode, padding):
    layer, x = L.Conv2d(2, 3, 3, padding=padding, padding_mode=mode), randn(2, 2, 5, 6)
    (a, b) = {"same": (1, 1), "valid": (0, 0), 1: (1, 1)}.get(padding, padding)
    padded = np.pad(x.numpy(), [(0, 0), (0, 0), (a, a), (b, b)], {"replicate": "edge", "circular": "wrap"}.get(mode, mode))
    np.testing.assert_array_equal(layer(x).numpy(), F.conv2d(Tensor(padded), layer.weight, layer.bias).numpy())


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: L.Conv2d(0, 8, 3), "Conv2d: in_channels is 0, expected an integer of at least 1"),
        (lambda: L.Conv2d(3.0, 8, 3), "Conv2d: in_channels is 3.0, expected an integer"),
        (lambda: L.Conv2d(3, None, 3), "Conv2d: out_channels is None, expected an integer"),
        (lambda: L.Conv2d(3, 8, 0), "Conv2d: kernel_size is 0, expected an integer of at least 1 or 2 of them"),
        (lambda: L.Conv1d(3, 8, (3, 3)), "Conv1d: kernel_size is (3, 3), expected an integer of at least 1"),
        (lambda: L.Conv3d(3, 8, 3, (1, 2)), "Conv3d: stride is (1, 2), expected an integer of at least 1 or 3 of them"),
        (lambda: L.Conv2d(3, 8, 3, padding=-1), "Conv2d: padding is -1, expected an integer of at least 0"),
        (lambda: L.Conv2d(3, 8, 3, padding="full"), "Conv2d: padding is 'full', expected numbers, 'same' or 'valid'"),
        (lambda: L.Conv2d(3, 8, 3, 2, "same"), "Conv2d: padding 'same' needs stride 1, got stride (2, 2)"),
        (lambda: L.Conv2d(3, 8, 3, dilation=0), "Conv2d: dilation is 0, expected an integer of at least 1"),
        (lambda: L.Conv2d(3, 8, 3, groups=0), "Conv2d: groups is 0, expected an integer of at least 1"),
        (lambda: L.Conv2d(3, 8, 3, groups=2), "Conv2d: in_channels is 3, which groups=2 does not divide"),
        (lambda: L.Conv2d(4, 9, 3, groups=2), "Conv2d: out_channels is 9, which groups=2 does not divide"),
        (lambda: L.Conv2d(4, 8, 3, padding_mode="mirror"), "Conv2d: padding_mode is 'mirror', expected one of zeros, ref"),
        (lambda: L.ConvTranspose2d(4, 8, 3, padding="same"), "ConvTranspose2d: padding is 'same', expected an integer"),
        (lambda: L.ConvTranspose2d(4, 8, 3, 2, 0, 2), "ConvTranspose2d: output_padding is (2, 2), expected less than str"),
        (
            lambda: L.Conv2d(3, 8, 3)(randn(5, 5)),
            "Conv2d(3, 8, kernel_size=3): the input has shape (5, 5), expected (N, 3, H",
        ),
        (
            lambda: L.Conv2d(3, 8, 3)(randn(2, 4, 5, 5)),
            "the input has shape (2, 4, 5, 5), expected (N, 3, H, W), or (3, H, ",
        ),
        (lambda: L.Conv2d(3, 8, 3)(randn(2, 3, 2, 5)), "conv2d: the kernel of size (3, 3) is larger than the image of size"),
        (
            lambda: L.Conv2d(None, 8, 3)(randn(2, 0, 5, 5)),
            "the input has shape (2, 0, 5, 5), expected (N, C, H, W), or (C, H",
        ),
    ],
)
def test_wrong_arguments(make, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        make()


def test_a_network_of_convolutions_learns():
    tn.manual_seed(0)
    x = randn(96, 1, 8, 8)
    labels = (x[:, 0, :4].mean(axis=(1, 2)) > x[:, 0, 4:].mean(axis=(1, 2))).astype("int64")
    net = tn.Sequential(
        *(L.Conv2d(None, 4, 3, padding=1), L.ReLU(), L.Conv2d(4, 4, 3, stride=2), L.ReLU()),
        *(L.Flatten(), L.Linear(None, 2)),
    )
    net(x)
    optimizer = tn.optim.Adam(net, lr=0.02)
    losses = []
    for _ in range(40):
        loss = F.cross_entropy(net(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 5
    assert {p.grad.dtype for p in net.parameters()} == {np.dtype(np.float32)}


def test_the_first_layer_computes_no_gradient_for_its_input(monkeypatch):
    def fail(*arguments):
        raise AssertionError("nobody asked for it")

    monkeypatch.setattr(kernel, "conv_input", fail)
    layer = L.Conv2d(1, 2, 3)
    layer(randn(2, 1, 5, 5)).sum().backward()
    assert layer.weight.grad is not None
    with pytest.raises(AssertionError, match="nobody asked"):
        layer(Tensor(randn(2, 1, 5, 5), requires_grad=True)).sum().backward()


def test_an_autoencoder_s_shapes_come_back():
    down = tn.Sequential(L.Conv2d(1, 4, 3, 2, 1), L.ReLU(), L.Conv2d(4, 8, 3, 2, 1))
    up = tn.Sequential(L.ConvTranspose2d(8, 4, 3, 2, 1, 1), L.ReLU(), L.ConvTranspose2d(4, 1, 3, 2, 1, 1))
    x = Tensor(randn(2, 1, 12, 8))
    assert up(down(x)).shape == x.shape
