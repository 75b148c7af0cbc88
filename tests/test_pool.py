"""Pooling and resampling beyond the samples: ties, NaN, every kind of window, compiled loops, and what is refused."""

import itertools
import sys

import numpy as np
import pytest
from definitions_pool import avg_pool, max_pool
from sampling import on_device as x
from sampling import whole

import tinynet as tn
import tinynet.functions as F
from tinynet import layers as L
from tinynet.kernels import compiled
from tinynet.tensor import Tensor

NUMBA = pytest.mark.skipif(not compiled.enabled(), reason="compiled loops need Numba: pip install 'tinynet[fast]'")


def gradient(f, a, g=None):
    t = Tensor(a, requires_grad=True)
    y = f(t)
    return tn.grad(y, t, np.ones(y.shape) if g is None else g)[0].numpy()


# ---------------------------------------------------------------------------------------------------------- maximum


def test_the_gradient_of_a_tie_goes_to_the_first():
    assert gradient(lambda a: F.max_pool2d(a, 2), np.zeros((1, 4, 4))).tolist() == [
        [[1, 0, 1, 0], [0, 0, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]]
    ]
    assert gradient(lambda a: F.max_pool1d(a, 3, 1), np.array([[1.0, 2.0, 2.0, 2.0, 0.0]])).tolist() == [[0, 2, 1, 0, 0]]
    assert gradient(lambda a: F.max_pool1d(a, 3, 2, 1), np.array([[-1.0, -1.0, -1.0]])).tolist() == [[1, 1, 0]]


def test_a_nan_gets_the_gradient_from_an_infinity_that_stands_before_it():
    a = Tensor(np.array([[np.inf, np.nan, np.nan, 1.0]]), requires_grad=True)
    F.max_pool1d(a, 2).backward(np.array([[2.0, 3.0]]))
    np.testing.assert_array_equal(a.grad.numpy(), [[0, 2, 3, 0]])


def test_a_nan_comes_out_as_nan_and_gets_the_gradient():
    a = np.array([[1.0, np.nan, np.inf, 2.0, 0.0, 3.0]])
    y = F.max_pool1d(Tensor(a), 2)
    np.testing.assert_array_equal(y.numpy(), [[np.nan, np.inf, 3]])
    assert gradient(lambda a: F.max_pool1d(a, 2), a).tolist() == [[0, 1, 1, 0, 0, 1]]
    np.testing.assert_array_equal(F.max_pool1d(Tensor(a), 3, 1).numpy(), [[np.nan, np.nan, np.inf, 3]])
    assert np.isnan(F.max_pool2d(tn.full((1, 3, 3), np.nan), 3, 2, 1).numpy()).all()


def test_padding_never_wins():
    a = -1 - abs(x(1, 2, 5, 5))
    assert (F.max_pool2d(a, 3, 2, 1).numpy() < -1).all()
    low = np.full((1, 1, 3, 3), -np.inf)
    assert gradient(lambda a: F.max_pool2d(a, 3, 1, 1), low).sum() == 9  # all of it stays in x
    bottom = np.full((1, 4), np.iinfo(np.int8).min, np.int8)
    assert F.max_pool1d(Tensor(bottom), 3, 2, 1).tolist() == [[-128, -128]]


def test_a_window_of_padding_alone():
    """It takes a dilation that steps over all of x, and is -inf, as in PyTorch."""
    a = np.array([[[5.0]]])
    assert F.max_pool1d(Tensor(a), 2, 1, 1, dilation=2).tolist() == [[[-np.inf]]]
    assert gradient(lambda a: F.max_pool1d(a, 2, 1, 1, dilation=2), a).tolist() == [[[0]]]
    many = np.ones((1, 9000, 1))  # a compiled loop where there is one
    assert not gradient(lambda a: F.max_pool1d(a, 2, 1, 1, dilation=2), many).any()


def test_a_kernel_larger_than_x_in_ceil_mode():
    """There is a window, with what there is of x in it, as in PyTorch; none where not even the next begins that far out."""
    a = np.array([[[1.0, 4.0, 2.0]]])
    assert F.max_pool2d(a, 4, ceil_mode=True).tolist() == [[[4.0]]]
    assert F.max_pool1d(a, 4, ceil_mode=True).tolist() == [[[4.0]]]
    assert gradient(lambda a: F.max_pool1d(a, 4, ceil_mode=True), a).tolist() == [[[0, 1, 0]]]
    assert F.avg_pool1d(a, 5, padding=0, ceil_mode=True).tolist() == [[[7 / 3]]]
    with pytest.raises(ValueError, match=r"max_pool1d: kernel_size 5 .* is larger than x"):
        F.max_pool1d(a, 5, 2, ceil_mode=True)


@pytest.mark.parametrize("dtype", ["int64", "uint8", "int16", "float16"])
def test_maxima_keep_their_dtype(dtype):
    a = whole(2, 3, 6, 6, high=100).astype(dtype)
    y = F.max_pool2d(Tensor(a), 2)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y.numpy(), a.reshape(2, 3, 3, 2, 3, 2).max(axis=(3, 5)))


def test_a_kernel_of_more_than_255_places():
    a = x(1, 1, 18, 17)
    y = F.max_pool2d(a, (18, 17))
    assert y.item() == a.max().item()
    np.testing.assert_array_equal(gradient(lambda a: F.max_pool2d(a, (18, 17)), a), (a == a.max()).numpy())


# ---------------------------------------------------------------------------------------------------- every window

WINDOWS = [
    (size, kernel, stride, padding, ceil_mode)
    for size, kernel, stride, padding, ceil_mode in itertools.product(
        (1, 4, 7), (1, 2, 3, 5), (None, 1, 2, 3, 4), (0, 1, 2), (False, True)
    )
    if padding <= kernel // 2 and kernel <= size + 2 * padding
]


def test_windows_of_all_kinds():
    """(PyTorch's rule of rounding up: a last window starts inside x or in the padding before it.)"""
    for size, kernel, stride, padding, ceil_mode in WINDOWS:
        a = x(1, size)
        for dilation in (1, 2, 3):
            if dilation * (kernel - 1) < size + 2 * padding and (padding == 0 or dilation == 1):
                arguments = kernel, stride, padding, dilation, ceil_mode
                np.testing.assert_array_equal(
                    F.max_pool1d(a, *arguments).numpy(), max_pool(1)(a.numpy(), *arguments), str(arguments)
                )
        for include in (True, False):
            arguments = kernel, stride, padding, ceil_mode, include
            expected = avg_pool(1)(a.numpy(), *arguments)
            np.testing.assert_allclose(F.avg_pool1d(a, *arguments).numpy(), expected, rtol=1e-14, err_msg=str(arguments))


def test_the_gradient_of_pooling_is_the_transpose():
    """For a linear function <f(a), g> = <a, f'(g)>; and a maximum is one around the point where it is taken."""
    for size, kernel, stride, padding, ceil_mode in WINDOWS:
        a = x(2, size, size)
        for f in (
            lambda a, w=(kernel, stride, padding, 1, ceil_mode): F.max_pool2d(a, *w),
            lambda a, w=(kernel, stride, padding, ceil_mode, False): F.avg_pool2d(a, *w),
        ):
            y = f(a).numpy()
            g = np.cos(np.arange(y.size)).reshape(y.shape)
            assert (y * g).sum() == pytest.approx((a.numpy() * gradient(f, a, g)).sum(), rel=1e-10, abs=1e-12)


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(2, 2, 0), (3, 2, 1), (3, 1, 1), (2, 3, 1)])
@NUMBA
@pytest.mark.cpu  # Numba's loops
def test_large_arrays_by_compiled_loops_and_by_array_code(kernel, stride, padding, monkeypatch):
    def f(a):
        return F.max_pool2d(a, kernel, stride, padding)

    a = np.maximum(np.random.default_rng(0).standard_normal((4, 60, 24, 21)), 0).astype("float32")  # with ties
    pool = sys.modules["tinynet.kernels.pool"]
    assert compiled.loops_of(pool._to_winners, f(a).numpy()) is not None
    g = np.random.default_rng(1).standard_normal(f(a).shape).astype("float32")
    fast = gradient(f, a, g)
    strided = gradient(f, a.transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2), g)
    monkeypatch.setattr(compiled, "WANTED", False)
    slow = gradient(f, a, g)
    np.testing.assert_allclose(fast, slow, rtol=1e-5, atol=1e-6)  # the order of a sum may differ
    np.testing.assert_array_equal(fast, strided)


# -------------------------------------------------------------------------------------------------------- averages


def test_averages_of_half_precision_do_not_overflow():
    a = tn.full((1, 8, 8), 60000.0, dtype="float16")
    assert (F.avg_pool2d(a, 4).numpy() == 60000).all()
    assert (F.adaptive_avg_pool2d(a, 3).numpy() == 60000).all()
    assert F.avg_pool2d(a, 4).dtype == F.adaptive_avg_pool2d(a, 3).dtype == np.float16


def test_averages_of_integers_are_float32():
    a = Tensor(whole(1, 4, 6, high=200).astype("uint8"))
    for y in (F.avg_pool2d(a, 2), F.adaptive_avg_pool2d(a, 1), F.adaptive_avg_pool2d(a, 3)):
        assert y.dtype == np.float32
    assert F.avg_pool1d([[True, True, False, True]], 2).tolist() == [[1.0, 0.5]]


def test_what_is_not_finite_stays_in_its_own_cells():
    a = np.ones((1, 5, 5))
    a[0, 0, 0], a[0, 4, 4] = np.inf, np.nan
    y = F.adaptive_avg_pool2d(Tensor(a), 3).numpy()
    np.testing.assert_array_equal(y, [[[np.inf, 1, 1], [1, 1, 1], [1, 1, np.nan]]])
    y = F.interpolate(Tensor(a[None]), 3).numpy()
    assert np.isinf(y).sum() == 1
    assert not np.isnan(y).any()  # the last element is not taken


# ------------------------------------------------------------------------------------------------------ resampling


def test_nearest_keeps_integers_and_is_exact_where_a_ratio_is_none():
    a = np.arange(7)[None, None]
    for factor in (3, 7, 49, 10.0):
        assert F.interpolate(Tensor(a), scale_factor=factor).tolist() == np.repeat(a, int(factor), axis=-1).tolist()
        assert F.interpolate(Tensor(a), int(7 * factor)).tolist() == np.repeat(a, int(factor), axis=-1).tolist()
    assert F.interpolate(Tensor(a), scale_factor=2).dtype == np.int64
    assert F.interpolate(Tensor(a), scale_factor=2, mode="linear").dtype == np.float32


def test_linear_meets_the_ends_and_the_centres():
    line = np.linspace(1.0, 4.0, 4)[None, None]
    np.testing.assert_allclose(
        F.interpolate(Tensor(line), 7, mode="linear", align_corners=True).numpy()[0, 0], np.linspace(1, 4, 7), rtol=1e-15
    )
    halves = F.interpolate(Tensor(line), 8, mode="linear").numpy()[0, 0]
    np.testing.assert_allclose(halves, [1, 1.25, 1.75, 2.25, 2.75, 3.25, 3.75, 4], rtol=1e-15)


def test_pixel_shuffle_makes_blocks_of_channels():
    a = np.arange(8.0).reshape(1, 8, 1, 1)
    assert F.pixel_shuffle(Tensor(a), 2).tolist() == [[[[0, 1], [2, 3]], [[4, 5], [6, 7]]]]


# ------------------------------------------------------------------------------------------------- what is refused

IMAGE = x(2, 3, 4, 5)
REFUSED = [
    (
        lambda: F.max_pool2d(IMAGE, 5),
        r"max_pool2d: kernel_size 5 .* is larger than x of shape .* with padding 0",
    ),
    (lambda: F.max_pool2d(IMAGE, 2, dilation=4), r"kernel_size 2 \(dilation 4\) is larger than x"),
    (lambda: F.avg_pool1d(x(2, 3), 4), r"avg_pool1d: kernel_size 4 .* is larger than x of shape \(2, 3\)"),
    (lambda: F.max_pool2d(IMAGE, 2, padding=2), "max_pool2d: padding is 2, expected at most half of kernel_size 2"),
    (lambda: F.avg_pool2d(IMAGE, (3, 2), padding=(1, 2)), r"avg_pool2d: padding is \(1, 2\), expected at most half"),
    (lambda: F.max_pool2d(IMAGE, 2, padding=-1), "padding is -1, expected an integer of at least 0, or 2 of them"),
    (lambda: F.max_pool2d(IMAGE, 0), "kernel_size is 0, expected an integer of at least 1, or 2 of them"),
    (lambda: F.max_pool1d(x(2, 3), 1.5), "max_pool1d: kernel_size is 1.5, expected an integer of at least 1$"),
    (lambda: F.max_pool2d(IMAGE, (2, 2, 2)), r"kernel_size is \(2, 2, 2\)"),
    (lambda: F.max_pool2d(IMAGE, 2, 0), "stride is 0, expected an integer of at least 1"),
    (lambda: F.max_pool2d(IMAGE, 2, dilation=0), "dilation is 0"),
    (lambda: F.max_pool2d(x(4, 5), 2), r"max_pool2d: x has shape \(4, 5\), expected \(N, C, H, W\) or \(C, H, W\)"),
    (lambda: F.max_pool1d(IMAGE, 2), r"max_pool1d: x has shape \(2, 3, 4, 5\), expected \(N, C, L\) or \(C, L\)"),
    (lambda: F.avg_pool2d(tn.zeros(2, 3, 0, 4), 1), r"x has shape \(2, 3, 0, 4\), expected .* with none empty but N"),
    (lambda: F.avg_pool2d(IMAGE, 2, divisor_override=0), "divisor_override is 0, expected an integer other than 0"),
    (lambda: F.avg_pool2d(IMAGE, 2, divisor_override=1.5), "divisor_override is 1.5"),
    (lambda: F.adaptive_avg_pool2d(IMAGE, 0), r"adaptive_avg_pool2d: output_size is \[0, 0\], expected .* at least 1"),
    (lambda: F.adaptive_avg_pool2d(IMAGE, (1, 2, 3)), r"output_size is \(1, 2, 3\), expected an integer or a pair"),
    (lambda: F.adaptive_avg_pool2d(IMAGE, 2.0), "output_size is"),
    (lambda: F.adaptive_avg_pool2d(x(3), 1), r"adaptive_avg_pool2d: x has shape \(3,\)"),
    (lambda: F.interpolate(IMAGE, 2, mode="cubic"), "interpolate: mode is 'cubic', expected one of nearest"),
    (lambda: F.interpolate(IMAGE, 2, mode="linear"), r"x has shape \(2, 3, 4, 5\), expected 3 axes for mode 'linear'"),
    (lambda: F.interpolate(x(2, 3), 2), r"x has shape \(2, 3\), expected 3 or 4 or 5 axes for mode 'nearest'"),
    (lambda: F.interpolate(IMAGE), "size is None and scale_factor None, expected exactly one"),
    (lambda: F.interpolate(IMAGE, 2, 2.0), "size is 2 and scale_factor 2.0, expected exactly one"),
    (lambda: F.interpolate(IMAGE, 0), "size is 0, expected a number above 0, or 2 of them"),
    (lambda: F.interpolate(IMAGE, 2.5), "size is 2.5"),
    (lambda: F.interpolate(IMAGE, (2, 3, 4)), r"size is \(2, 3, 4\)"),
    (lambda: F.interpolate(IMAGE, scale_factor=-1), "scale_factor is -1"),
    (lambda: F.interpolate(IMAGE, scale_factor=float("nan")), "scale_factor is nan"),
    (
        lambda: F.interpolate(IMAGE, scale_factor=0.1),
        r"scale_factor 0.1 leaves nothing of axis 2 of x of",
    ),
    (lambda: F.interpolate(IMAGE, 2, align_corners=True), "align_corners is True, which mode 'nearest' has not"),
    (lambda: F.interpolate(IMAGE, 2, recompute_scale_factor=True), "recompute_scale_factor is True, which needs a scale"),
    (lambda: F.pixel_shuffle(IMAGE, 2), r"pixel_shuffle: x has shape \(2, 3, 4, 5\), expected .* C a multiple of 4"),
    (lambda: F.pixel_shuffle(IMAGE, 0), "upscale_factor is 0, expected an integer of at least 1"),
    (lambda: F.pixel_shuffle(x(4, 4), 2), r"x has shape \(4, 4\)"),
]


@pytest.mark.parametrize(("call", "says"), REFUSED, ids=[str(i) for i in range(len(REFUSED))])
def test_what_does_not_fit(call, says):
    with pytest.raises(ValueError, match=says):
        call()


# ---------------------------------------------------------------------------------------------------------- layers

LAYERS = {
    "MaxPool1d": (L.MaxPool1d(2, stride=1), x(2, 5), lambda a: F.max_pool1d(a, 2, 1)),
    "MaxPool2d": (L.MaxPool2d(3, padding=1), x(2, 5, 6), lambda a: F.max_pool2d(a, 3, None, 1)),
    "AvgPool1d": (L.AvgPool1d(2), x(2, 5), lambda a: F.avg_pool1d(a, 2)),
    "AvgPool2d": (L.AvgPool2d(2, divisor_override=3), x(2, 5, 6), lambda a: F.avg_pool2d(a, 2, divisor_override=3)),
    "AdaptiveAvgPool2d": (L.AdaptiveAvgPool2d((1, None)), x(2, 5, 6), lambda a: F.adaptive_avg_pool2d(a, (1, None))),
    "Upsample": (L.Upsample(scale_factor=2), x(1, 2, 3), lambda a: F.interpolate(a, scale_factor=2)),
    "PixelShuffle": (L.PixelShuffle(2), x(4, 2, 3), lambda a: F.pixel_shuffle(a, 2)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_are_their_functions(name):
    layer, a, function = LAYERS[name]
    np.testing.assert_array_equal(layer(a).numpy(), function(a).numpy())
    assert layer.state_dict() == {}
    assert repr(layer).startswith(f"{name}(")


def test_every_pooling_layer_is_tested_here():
    names = {n for n, c in vars(L).items() if getattr(c, "__module__", "") == "tinynet.layers.pool"}
    assert names == LAYERS.keys()


def test_a_layer_without_its_size():
    with pytest.raises(TypeError, match="MaxPool2d: missing argument 'kernel_size'"):
        L.MaxPool2d()
    assert repr(L.MaxPool2d(3, 2, padding=1)) == "MaxPool2d(kernel_size=3, stride=2, padding=1)"
