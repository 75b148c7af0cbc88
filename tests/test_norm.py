"""Normalisation beyond the samples: running statistics, digits, higher derivatives, compiled loops, and what is refused."""

import sys
from pathlib import Path

import numpy as np
import pytest
from sampling import host, put, x

import tinynet as tn
import tinynet.functions as F
from tinynet import layers as L
from tinynet.creation import ones
from tinynet.kernels import compiled
from tinynet.tensor import Parameter, Tensor
from tinynet.testing import gradcheck

NUMBA = pytest.mark.skipif(not compiled.enabled(), reason="compiled loops need Numba: pip install 'tinynet[fast]'")


def randn(*shape, dtype=np.float32, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


# --------------------------------------------------------------------------------------------- running statistics


def test_running_statistics_are_written_where_they_are():
    mean, var = put(np.zeros(3, "float32")), tn.ones(3)
    a = x(4, 3, 2)
    F.batch_norm(Tensor(a), mean, var, training=True, momentum=0.25)
    np.testing.assert_allclose(host(mean), 0.25 * a.mean(axis=(0, 2)), rtol=1e-6)
    np.testing.assert_allclose(var.numpy(), 0.75 + 0.25 * a.var(axis=(0, 2), ddof=1), rtol=1e-6)
    assert mean.dtype == var.dtype == np.float32
    before = mean.copy(), var.numpy().copy()
    y = F.batch_norm(Tensor(a, "float32"), mean, var)  # evaluation reads them
    assert (mean == before[0]).all()
    assert (var.numpy() == before[1]).all()
    assert y.dtype == np.float32
    mean, var = put(np.zeros(3)), put(np.ones(3))
    F.instance_norm(Tensor(a), mean, var, momentum=0.5)
    np.testing.assert_allclose(host(mean), 0.5 * a.mean(axis=2).mean(axis=0))
    np.testing.assert_allclose(host(var), 0.5 + 0.5 * a.var(axis=2, ddof=1).mean(axis=0))


@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize(
    ("name", "shape"), [("BatchNorm1d", (6, 3)), ("BatchNorm1d", (2, 3, 20)), ("BatchNorm2d", (2, 3, 4, 2))]
)
def test_running_statistics_after_several_batches_are_pytorch_s(name, shape, momentum):
    torch = pytest.importorskip("torch", reason="parity with PyTorch needs PyTorch")
    ours, theirs = getattr(L, name)(3, momentum=momentum), getattr(torch.nn, name)(3, momentum=momentum)
    for seed in range(4):
        a = 3 * randn(*shape, seed=seed) + seed
        y, ty = ours(Tensor(a)), theirs(torch.from_numpy(a))
        np.testing.assert_allclose(y.numpy(), ty.detach().numpy(), rtol=1e-4, atol=2e-6)
        np.testing.assert_allclose(ours.running_mean.numpy(), theirs.running_mean.numpy(), rtol=1e-6)
        np.testing.assert_allclose(ours.running_var.numpy(), theirs.running_var.numpy(), rtol=1e-6)
    y, ty = ours.eval()(Tensor(a)), theirs.eval()(torch.from_numpy(a))
    np.testing.assert_allclose(y.numpy(), ty.detach().numpy(), rtol=1e-4, atol=2e-6)
    fresh = getattr(torch.nn, name)(3, momentum=momentum)
    fresh.load_state_dict({k: torch.from_numpy(t.numpy()) for k, t in ours.state_dict().items()})  # strictly
    back = getattr(L, name)(3, momentum=momentum)
    back.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    np.testing.assert_allclose(back.eval()(Tensor(a)).numpy(), y.numpy(), rtol=1e-5, atol=1e-6)


def test_state_dict_of_a_batch_norm():
    layer = L.BatchNorm2d(3)
    assert list(layer.state_dict()) == ["weight", "bias", "running_mean", "running_var"]
    assert [name for name, _ in layer.named_parameters()] == ["weight", "bias"]
    layer.load_state_dict({**layer.state_dict(), "num_batches_tracked": np.array(7)})
    assert list(L.BatchNorm2d(3, affine=False).state_dict()) == ["running_mean", "running_var"]
    assert list(L.BatchNorm2d(3, track_running_stats=False).state_dict()) == ["weight", "bias"]
    assert list(L.InstanceNorm2d(3).state_dict()) == []


def test_without_momentum_the_average_of_all_batches_goes_on_after_loading():
    batches = [randn(8, 2, seed=i) + i for i in range(4)]
    layer = L.BatchNorm1d(2, momentum=None)
    for a in batches[:2]:
        layer(Tensor(a))
    other = L.BatchNorm1d(2, momentum=None)
    other.load_state_dict(layer.state_dict())
    for a in batches[2:]:
        other(Tensor(a))
    np.testing.assert_allclose(other.running_mean.numpy(), np.mean([a.mean(axis=0) for a in batches], axis=0), rtol=1e-5)
    np.testing.assert_allclose(
        other.running_var.numpy(), np.mean([a.var(axis=0, ddof=1) for a in batches], axis=0), rtol=1e-5
    )
    assert other.num_batches_tracked.item() == 4


def test_a_failed_call_changes_nothing():
    layer = L.BatchNorm1d(3, momentum=None)
    layer(Tensor(x(4, 3)))
    before = {name: t.numpy().copy() for name, t in layer.state_dict().items()}
    for wrong in (x(1, 3), x(4, 2), x(4, 3, 2, 2)):
        with pytest.raises(ValueError, match=r"BatchNorm1d|batch_norm"):
            layer(Tensor(wrong))
    mean, var = put(np.zeros(3)), put(np.ones(3))
    with pytest.raises(ValueError, match=r"bias has shape \(2,\)"):
        F.batch_norm(Tensor(x(4, 3)), mean, var, bias=tn.zeros(2), training=True)
    assert not mean.any()
    for name, t in layer.state_dict().items():
        np.testing.assert_array_equal(t.numpy(), before[name])


def test_an_empty_batch_leaves_the_running_statistics_alone():
    layer = L.BatchNorm2d(3)
    assert layer(tn.zeros(0, 3, 4, 4)).shape == (0, 3, 4, 4)
    assert not layer.running_mean.numpy().any()
    assert (layer.running_var.numpy() == 1).all()


def test_modes():
    layer, a = L.BatchNorm2d(3), Tensor(5 + 2 * randn(4, 3, 5, 5))
    assert abs(layer(a).mean().item()) < 1e-6
    assert layer(a).var().item() == pytest.approx(1, abs=1e-3)
    frozen = layer.eval()(a)
    expected = (a.numpy() - layer.running_mean.numpy()[:, None, None]) / np.sqrt(
        layer.running_var.numpy()[:, None, None] + 1e-5
    )
    np.testing.assert_allclose(frozen.numpy(), expected, rtol=1e-5)
    own = L.BatchNorm2d(3, track_running_stats=False).eval()
    np.testing.assert_allclose(own(a).numpy(), L.BatchNorm2d(3)(a).numpy())
    double = L.BatchNorm2d(3).astype("float64")
    assert double(a.astype("float64")).dtype == double.running_mean.dtype == np.float64


# ------------------------------------------------------------------------------------------------- digits, dtypes

CASES = {
    "batch_norm": (lambda a, *w: F.batch_norm(a, None, None, *w, training=True), (0, 2, 3), (3,), (1, 3, 1, 1)),
    "instance_norm": (lambda a, *w: F.instance_norm(a, None, None, *w), (2, 3), (3,), (1, 3, 1, 1)),
    "group_norm": (lambda a, *w: F.group_norm(a, 1, *w), (1, 2, 3), (3,), (1, 3, 1, 1)),
    "layer_norm": (lambda a, *w: F.layer_norm(a, a.shape[-1], *w), (3,), (6,), (1, 1, 1, 6)),
}


@pytest.mark.parametrize("side", [6, 40])  # 40 x 40 goes through compiled loops where there are any
@pytest.mark.parametrize("name", CASES)
def test_float32_keeps_its_digits_beside_a_large_mean(name, side):
    function, axes, _, _ = CASES[name]
    a = randn(4, 3, side, side) + np.float32(1e4)
    b = a.astype("float64")
    expected = (b - b.mean(axis=axes, keepdims=True)) / np.sqrt(b.var(axis=axes, keepdims=True) + 1e-5)
    np.testing.assert_allclose(function(Tensor(a)).numpy(), expected, rtol=1e-6, atol=2e-6)
    t, u, g = Tensor(a, requires_grad=True), Tensor(b, requires_grad=True), randn(*a.shape, seed=1)
    ours, exact = tn.grad(function(t), t, g)[0].numpy(), tn.grad(function(u), u, g.astype("float64"))[0].numpy()
    np.testing.assert_allclose(ours, exact, rtol=1e-5, atol=1e-5)


def test_half_precision_is_for_storage():
    a = Tensor(300 + 50 * randn(4, 64), "float16")  # squares overflow
    for y in (F.layer_norm(a, 64), F.rms_norm(a, 64), F.batch_norm(a, None, None, training=True)):
        assert y.dtype == np.float16
        assert np.isfinite(y.numpy()).all()
    y = F.layer_norm(a, 64).numpy()
    np.testing.assert_allclose(y, F.layer_norm(a.astype("float32"), 64).numpy(), rtol=1e-3, atol=1e-3)
    assert F.layer_norm(a, 64, tn.ones(64)).dtype == np.float32  # as NumPy promotes


def test_statistics_in_float32_do_not_make_float64_of_float32_or_less_of_float64():
    running = tn.zeros(3), tn.ones(3)
    assert F.batch_norm(Tensor(randn(2, 3)), *running).dtype == np.float32
    assert F.batch_norm(Tensor(x(2, 3)), *running).dtype == np.float64
    assert F.batch_norm(tn.ones(2, 3, dtype=int), *running).dtype == np.float32


@NUMBA
@pytest.mark.cpu  # Numba's loops
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CASES)
def test_compiled_loops_and_array_code_agree(name, dtype, monkeypatch):
    function, _, shape, _ = CASES[name]
    kernels = sys.modules["tinynet.kernels.norm"]
    a = 2 + randn(8, 3, 40, shape[0] * 15 if name == "layer_norm" else 17, dtype=dtype)
    affine = [randn(a.shape[3] if name == "layer_norm" else 3, dtype=dtype, seed=i) for i in (1, 2)]
    assert compiled.loops_of(kernels._moments, a) is not None
    g = randn(*a.shape, dtype=dtype, seed=3)

    def results():
        inputs = [Tensor(b, requires_grad=True) for b in (a, *affine)]
        y = function(*inputs)
        plain = Tensor(a, requires_grad=True)
        return [y, *tn.grad(y, inputs, g), *tn.grad(function(plain), plain, g)]

    fast = results()
    monkeypatch.setattr(compiled, "WANTED", False)
    tolerance = {"rtol": 1e-4, "atol": 2e-4} if dtype == "float32" else {"rtol": 1e-11, "atol": 1e-11}
    for f, s in zip(fast, results(), strict=True):
        assert f.dtype == s.dtype == dtype
        np.testing.assert_allclose(f.numpy(), s.numpy(), **tolerance)


def test_batch_norm_of_short_slices_is_that_of_long_ones():
    """Up to 15 elements of a channel in a sample, the batch axis is moved in."""
    a, w = x(6, 3, 20), Tensor(x(3))
    expected = F.batch_norm(Tensor(a), None, None, w, training=True).numpy()
    cut = np.moveaxis(a.reshape(6, 3, 4, 5), 2, 1).reshape(24, 3, 5)
    found = F.batch_norm(Tensor(cut), None, None, w, training=True).numpy()
    np.testing.assert_allclose(np.moveaxis(found.reshape(6, 4, 3, 5), 1, 2).reshape(6, 3, 20), expected, rtol=1e-12)


# ---------------------------------------------------------------------------------------------------- derivatives


@pytest.mark.parametrize(
    "function",
    [
        lambda a: F.layer_norm(a, 4),
        lambda a: F.rms_norm(a, 4),
        lambda a: F.batch_norm(a, None, None, training=True),
        lambda a: F.batch_norm(a, [0.5] * 4, [2.0] * 4),
    ],
    ids=["layer_norm", "rms_norm", "batch_norm", "fixed"],
)
def test_third_derivatives(function):
    """PyTorch 2.13's third derivative of layer_norm is wrong."""

    def second(a):
        (g,) = tn.grad((function(a) * Tensor(x(3, 4, seed=1))).sum(), a, create_graph=True)
        return tn.grad((g * Tensor(x(3, 4, seed=2))).sum(), a, create_graph=True)[0] + 0 * a

    assert gradcheck(second, [x(3, 4)])


def test_a_frozen_weight_and_a_frozen_input():
    weight = Parameter(x(4))
    a = Tensor(x(3, 4), requires_grad=True)
    y = F.layer_norm(a, 4, weight)
    full = tn.grad(y, [a, weight], x(3, 4, seed=1))
    weight.requires_grad = False
    assert tn.grad(F.layer_norm(a, 4, weight), a, x(3, 4, seed=1))[0].tolist() == full[0].tolist()
    weight.requires_grad = True
    assert tn.grad(F.layer_norm(a.detach(), 4, weight), weight, x(3, 4, seed=1))[0].tolist() == full[1].tolist()


def test_one_line_of_equal_values():
    for y in (F.layer_norm(tn.full((2, 3), 7.0), 3), F.batch_norm(tn.full((3, 2), 7.0), None, None, training=True)):
        assert not y.numpy().any()
    assert F.batch_norm(tn.full((3, 2), 7.0), None, None, bias=[1.0, 2.0], training=True).tolist() == [[1, 2]] * 3


# ------------------------------------------------------------------------------------------------- what is refused

ROWS, IMAGE = Tensor(x(4, 3)), Tensor(x(2, 4, 3, 3))
REFUSED = [
    (lambda: F.batch_norm(ones(3), None, None, training=True), ValueError, r"x has shape \(3,\), expected \(N, C, ...\)"),
    (lambda: F.batch_norm(ones(1, 3), None, None, training=True), ValueError,
     r"x of shape \(1, 3\) has one value per channel"),
    (lambda: F.batch_norm(ROWS, None, None), ValueError, "running_mean or running_var is None; outside of training"),
    (lambda: F.batch_norm(ROWS, tn.zeros(3), None), ValueError, "running_mean or running_var is None"),
    (lambda: F.batch_norm(ROWS, tn.zeros(3), None, training=True), TypeError, "running_var is NoneType, .* or both None"),
    (lambda: F.batch_norm(ROWS, tn.zeros(2), tn.ones(3)), ValueError, r"running_mean has shape \(2,\), expected \(3,\)"),
    (lambda: F.batch_norm(ROWS, tn.zeros(3), tn.ones(4)), ValueError, r"running_var has shape \(4,\), expected \(3,\)"),
    (lambda: F.batch_norm(ROWS, [0.0] * 3, [1.0] * 3, training=True), TypeError, "running_mean is list, expected an array"),
    (lambda: F.batch_norm(ROWS, put(np.zeros(3, int)), put(np.ones(3)), training=True), TypeError,
     "running_mean is ndarray"),
    (lambda: F.batch_norm(ROWS, None, None, ones(4), training=True), ValueError,
     r"weight has shape \(4,\), expected \(3,\)"),
    (lambda: F.instance_norm(ones(2, 3, 1)), ValueError, r"instance_norm: x of shape \(2, 3, 1\) has one value per channel"),
    (lambda: F.instance_norm(ones(2, 3, 4), bias=ones(4)), ValueError, r"instance_norm: bias has shape \(4,\)"),
    (lambda: F.group_norm(IMAGE, 3), ValueError, "group_norm: num_groups is 3, expected a divisor of the 4 channels"),
    (lambda: F.group_norm(IMAGE, 0), ValueError, "num_groups is 0"),
    (lambda: F.group_norm(IMAGE, 2.0), ValueError, "num_groups is 2.0"),
    (lambda: F.group_norm(ones(1, 2), 2), ValueError, r"x of shape \(1, 2\) in 2 groups has one value per group"),
    (lambda: F.group_norm(IMAGE, 2, ones(2)), ValueError, r"group_norm: weight has shape \(2,\), expected \(4,\)"),
    (lambda: F.layer_norm(ROWS, 4), ValueError, r"layer_norm: x has shape \(4, 3\), expected its last axes to be .*\(4,\)"),
    (lambda: F.layer_norm(ROWS, (2, 4, 3)), ValueError, r"expected its last axes to be normalized_shape, \(2, 4, 3\)"),
    (lambda: F.layer_norm(ROWS, ()), ValueError, r"normalized_shape, \(\)"),
    (lambda: F.layer_norm(ROWS, 3, ones(4)), ValueError, r"layer_norm: weight has shape \(4,\), expected \(3,\)"),
    (lambda: F.layer_norm(ROWS, 3, None, ones(1, 3)), ValueError, r"layer_norm: bias has shape \(1, 3\)"),
    (lambda: F.rms_norm(ROWS, 2), ValueError, r"rms_norm: x has shape \(4, 3\)"),
    (lambda: L.BatchNorm1d(3)(ones(4, 3, 2, 2)), ValueError, r"BatchNorm1d\(3\): .*, expected \(N, 3\) or \(N, 3, L\)"),
    (lambda: L.BatchNorm2d(3)(ones(4, 2, 3, 3)), ValueError,
     r"BatchNorm2d\(3\): .* \(4, 2, 3, 3\), expected \(N, 3, H, W\)"),
    (lambda: L.InstanceNorm2d(3)(ones(2, 3, 4)), ValueError, r"expected \(N, 3, H, W\) or \(3, H, W\)"),
    (lambda: L.GroupNorm(2, 4)(ones(2, 6)), ValueError, r"GroupNorm\(2, 4\): .* \(2, 6\), expected \(N, 4, ...\)"),
    (lambda: L.LayerNorm((3, 4))(ones(2, 4)), ValueError,
     r"LayerNorm\(\(3, 4\)\): the input has shape \(2, 4\), .* \(3, 4\)"),
    (lambda: L.RMSNorm(4)(ones(2, 3)), ValueError, r"RMSNorm\(4\): the input has shape \(2, 3\)"),
    (lambda: L.BatchNorm1d(0), ValueError, "BatchNorm1d: num_features is 0, expected an integer of at least 1"),
    (lambda: L.BatchNorm2d(2.5), ValueError, "BatchNorm2d: num_features is 2.5"),
    (lambda: L.GroupNorm(3, 4), ValueError, "GroupNorm: num_groups is 3, expected a divisor of num_channels, 4"),
    (lambda: L.LayerNorm((3, -1)), ValueError, "LayerNorm: normalized_shape is -1"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "error", "says"), REFUSED, ids=[str(i) for i in range(len(REFUSED))])
def test_what_does_not_fit(call, error, says):
    with pytest.raises(error, match=says):
        call()


def test_two_devices_are_named(monkeypatch):
    """Two devices are pretended, as a test without a GPU must."""
    module = sys.modules["tinynet.functions.normalisation"]
    monkeypatch.setattr(module, "device_of", lambda a: "cpu" if a.ndim == 2 else "cuda:1")
    with pytest.raises(tn.DeviceError, match="layer_norm: x is on 'cpu' and weight on 'cuda:1'"):
        F.layer_norm(ROWS, 3, tn.ones(3))


# ---------------------------------------------------------------------------------------------------------- layers


@pytest.mark.parametrize(
    ("layer", "says"),
    [
        (L.BatchNorm1d(3), "BatchNorm1d(3)"),
        (L.BatchNorm2d(3, 0.1, None, affine=False), "BatchNorm2d(3, eps=0.1, momentum=None, affine=False)"),
        (L.BatchNorm2d(3, track_running_stats=False), "BatchNorm2d(3, track_running_stats=False)"),
        (L.InstanceNorm1d(3), "InstanceNorm1d(3)"),
        (L.InstanceNorm2d(3, affine=True), "InstanceNorm2d(3, affine=True)"),
        (L.GroupNorm(2, 4, affine=False), "GroupNorm(2, 4, affine=False)"),
        (L.LayerNorm(4), "LayerNorm(4)"),
        (L.LayerNorm([3, 4], 0.1, bias=False), "LayerNorm((3, 4), eps=0.1, bias=False)"),
        (L.LayerNorm(4, elementwise_affine=False), "LayerNorm(4, elementwise_affine=False)"),
        (L.RMSNorm(4, 0.1), "RMSNorm(4, eps=0.1)"),
    ],
    ids=str,
)
def test_repr(layer, says):
    assert repr(layer) == says


def test_every_layer_of_the_file_is_tested_here():
    source = Path(__file__).read_text(encoding="utf-8")
    for name, value in vars(L).items():
        if getattr(value, "__module__", "") == "tinynet.layers.norm":
            assert f"L.{name}" in source


def test_weights_start_at_one_and_zero_and_are_trained():
    for layer, a in [
        (L.BatchNorm1d(3), x(4, 3)),
        (L.LayerNorm(3), x(4, 3)),
        (L.GroupNorm(1, 3), x(4, 3)),
        (L.RMSNorm(3), x(4, 3)),
    ]:
        assert (layer.weight.numpy() == 1).all()
        assert layer.bias is None or not layer.bias.numpy().any()
        (layer(Tensor(a, "float32")) ** 3).sum().backward()
        assert all(p.grad is not None and p.grad.dtype == np.float32 for p in layer.parameters())
