"""CUDA kernels without a GPU: their text compiled as C++ and run thread by thread, beside the array code they stand for."""

import importlib
import pkgutil

import cuda_on_c
import numpy as np
import nvrtc
import pytest
import strict_cupy
from samples import SAMPLES
from sampling import backward_twice
from update_rules import MOVING, RULES, arrays_for, buffers_of, every_operation

import tinynet as tn
import tinynet.kernels.gpu
from tinynet import functions as F
from tinynet import optim
from tinynet.kernels import update
from tinynet.kernels.gpu import launch, philox
from tinynet.kernels.gpu.update import update_source
from tinynet.kernels.trace import trace

pytestmark = [pytest.mark.cpu, pytest.mark.skipif(cuda_on_c.GXX is None, reason="needs a C++ compiler")]

MORE = [*RULES, (every_operation, {"lr": 0.1, "power": 3}), *((rule, {"lr": 0.1}) for rule in MOVING)]


@pytest.fixture(autouse=True)
def gpu(monkeypatch):
    """The stand-in for CuPy, with kernels; the default device is a GPU. Without ``kernels()`` it has none."""
    module = strict_cupy.module()
    cuda_on_c.install(module)
    strict_cupy.for_one_test(monkeypatch, module)
    with tn.device("cuda"):
        yield module


def both(gpu, run):
    """What ``run`` gives with kernels and in array code, as NumPy arrays."""
    cuda_on_c.RawKernel.started.clear()
    with_kernels = run()
    assert cuda_on_c.RawKernel.started, "no kernel ran"
    kernel = gpu.RawKernel
    del gpu.RawKernel
    in_array_code = run()
    gpu.RawKernel = kernel
    return with_kernels, in_array_code


def close(found, wanted, dtype="float64"):
    tolerance = 1e-12 if dtype == "float64" else 2e-5
    for a, b in zip(found, wanted, strict=True):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=tolerance, atol=tolerance)


def randn(*shape, dtype="float64", seed=0):
    return tn.tensor(np.random.default_rng(seed).normal(size=shape), dtype, requires_grad=True)


# ---------------------------------------------------------------------------------------------------------------- ids


def test_a_wrong_label_is_told_of_at_the_next_read(gpu):
    x = randn(4, 3)
    before = strict_cupy.reads.total()
    loss = F.cross_entropy(x, tn.tensor([0, 7, 1, -1]))
    loss.backward()
    assert strict_cupy.reads.total() == before
    with pytest.raises(IndexError, match=r"cross_entropy: label 7 at position \(1,\) is outside \[0, 3\).* shape \(4, 3\)"):
        loss.item()
    assert np.isfinite(F.cross_entropy(x, tn.tensor([0, 2, 1, 1])).item())  # and only once


def test_the_same_of_an_embedding_and_of_take(gpu):
    table = randn(4, 2)
    F.embedding(tn.tensor([[0, 1], [4, 3]]), table)
    with pytest.raises(IndexError, match=r"embedding: id 4 at position \(1, 0\) is outside \[0, 4\)"):
        tn.cuda.synchronize()
    F.take(table, tn.tensor([-4, 3]), 0)
    tn.cuda.synchronize()
    F.take(table, tn.tensor([-5]), 0)
    with pytest.raises(IndexError, match="take: index -5 is out of bounds for axis 0 with size 4"):
        table.numpy()


@pytest.mark.parametrize("targets", [[0, 2, 1, 1, 0], [-100, 2, -100, 1, 0], [-100] * 5])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_cross_entropy(gpu, dtype, targets):
    def run():
        x = tn.tensor(rows, dtype, requires_grad=True)
        loss = F.cross_entropy(x, tn.tensor(targets))
        loss.backward()
        each = F.cross_entropy(x, tn.tensor(targets), reduction="none")
        return loss, x.grad, each, *tn.grad((each * each).sum(), x)

    rows = np.random.default_rng(1).normal(size=(5, 40)) * 10
    rows[1, 3] = -np.inf
    found, wanted = both(gpu, run)
    close(found, wanted, dtype)
    with tn.device("cpu"):
        close([y.to("cpu") for y in found], run(), dtype)


# ------------------------------------------------------------------------------------------------------------ updates


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("rule", "hyper"), MORE)
def test_an_update_is_what_array_code_does(rule, hyper, dtype, gpu):
    arrays = arrays_for(rule, 100, dtype)
    arrays[1][:10] = 0.0
    for a in arrays:
        a[10:13] = np.nan, np.inf, -np.inf
    with np.errstate(all="ignore"):
        expected = rule(*(a.copy() for a in arrays), **hyper)
    expected = expected if isinstance(expected, tuple) else (expected,)
    w, grad, *buffers = map(gpu.asarray, arrays)
    update(rule, w, grad, dict(zip(buffers_of(rule), buffers, strict=True)), hyper)
    assert cuda_on_c.RawKernel.started[-1][1] == "update"
    for found, wanted in zip((w, *buffers), expected, strict=True):
        if rule is every_operation:  # exp may differ in its last digit
            tolerance = {"rtol": 4 * np.finfo(dtype).eps, "atol": 1e-5 if dtype == "float32" else 1e-13}
            np.testing.assert_allclose(found.get(), wanted, **tolerance)
        else:
            np.testing.assert_array_equal(found.get(), wanted)


SHAPES = [(3, 2), (7,), (), (1000,), (0, 3)]


@pytest.mark.parametrize(
    "name", ["SGD", "Momentum", "RMSprop", "Adam", "AdamW", "Adagrad", "Adadelta", "RAdam", "NAdam", "Lion"]
)
@pytest.mark.parametrize("options", [{}, {"weight_decay": 0.1, "maximize": True, "clip_norm": 3.0}])
def test_a_step_of_an_optimizer(name, options, gpu):
    """One kernel for all parameters of a group, or two where they do not go into one table; nothing is read."""
    shapes = SHAPES + [(2,)] * 80 * (name == "Adam")
    values = [np.random.default_rng(k).normal(size=shape) for k, shape in enumerate(shapes)]
    steps = {}
    for device in ("cpu", "cuda"):
        params = [tn.Parameter(v, device=device) for v in values]
        optimizer = getattr(optim, name)(params, **options)
        reads = strict_cupy.reads.total()
        for step in range(1, 7):
            for k, p in enumerate(params):
                if k != 1 or step > 2:  # one is behind the others
                    p.grad = tn.tensor(np.cos(step + values[k]), device=device)
            optimizer.lr = 0.1 / step
            cuda_on_c.RawKernel.started.clear()
            optimizer.step()
            if device == "cuda":
                kernels = [name for _, name in cuda_on_c.RawKernel.started].count("update")
                assert kernels == (2 if name == "Adam" else 1) or name == "RAdam"  # whose rule is another one at first
        assert strict_cupy.reads.total() == reads
        steps[device] = [p.numpy() for p in params], optimizer.grad_norm
    for a, b in zip(*[found for found, _ in steps.values()], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)
    assert steps["cuda"][1] == pytest.approx(steps["cpu"][1]) or not options


def test_clipping_reads_no_norm(gpu):
    grads = [np.full((2, 2), 3.0), np.full(500, 1.0)]
    params = [tn.Parameter(np.zeros(g.shape)) for g in grads]
    for p, g in zip(params, grads, strict=True):
        p.grad = g
    reads = strict_cupy.reads.total()
    norm = optim.clip_grad_norm(params, 1.0)
    assert strict_cupy.reads.total() == reads
    assert float(norm) == pytest.approx(np.sqrt(536))
    for p, g in zip(params, grads, strict=True):
        np.testing.assert_allclose(p.grad.numpy(), g / (np.sqrt(536) + 1e-6))
    params[0].grad = np.full((2, 2), np.inf)  # not finite: left alone
    optim.clip_grad_norm(params, 1.0)
    np.testing.assert_allclose(params[1].grad.numpy(), grads[1] / (np.sqrt(536) + 1e-6))


# ------------------------------------------------------------------------------------------------- dropout, embedding


def test_philox_is_philox(gpu):
    """The first block of key 0, as Random123's file of known answers has it."""
    found = philox.words(np.zeros(4), np.zeros(1, np.int64))
    assert [f"{int(w):08x}" for w in found] == ["6627e8d5", "e169c58d", "bc57ac4c", "9b00dbd8"]
    ones = np.full(1, -1, np.int64)  # a key of ones alone; the counter cannot be that
    assert len(np.unique(philox.words(np.zeros(1000), ones))) == 1000


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("shape", "p"), [((7, 33), 0.3), ((2, 3), 1.0), ((0,), 0.5), ((), 0.5)])
def test_dropout(gpu, dtype, shape, p):
    def run():
        tn.manual_seed(3)
        x = randn(*shape, dtype=dtype)
        y = F.dropout(x, p)
        return y, *tn.grad((y * y).sum(), x)

    found, wanted = both(gpu, run) if shape != (0,) else (run(), run())
    close(found, wanted, dtype)
    if shape == (7, 33):
        x = randn(*shape, dtype=dtype).numpy()
        kept = found[0].numpy() != 0
        assert 0.6 < kept.mean() < 0.8
        np.testing.assert_allclose(found[0].numpy()[kept], x[kept] / 0.7, rtol=1e-6)
        np.testing.assert_allclose(found[1].numpy(), np.where(kept, 2 * x / 0.49, 0), rtol=1e-5)


@pytest.mark.parametrize("in_order", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gradients_of_an_embedding(gpu, dtype, in_order, monkeypatch):
    def run():
        table, x = randn(5, 3, dtype=dtype), randn(4, 6, dtype=dtype)
        y = F.embedding(tn.tensor([[0, 4, 4], [4, 2, 0]]), table, padding_idx=2)
        z = x[tn.tensor([1, -1, 1]), tn.tensor([2, 5, 2])]
        return *tn.grad((y * y).sum(), table), *tn.grad((z * z).sum(), x), *tn.grad((x[tn.tensor([3, 3])] ** 2).sum(), x)

    tn.set_deterministic(in_order)
    try:
        assert tn.is_deterministic() is in_order
        found, wanted = both(gpu, run)
    finally:
        tn.set_deterministic(False)
    names = {name for _, name in cuda_on_c.RawKernel.started}
    assert ("add_in_order" in names) is in_order
    assert ("add_at_once" in names) is not in_order
    close(found, wanted, dtype)


# ------------------------------------------------------------------------------------- functions, by all their samples

FAMILIES = {
    "columns_of": "conv1d conv2d conv3d conv_transpose1d conv_transpose2d unfold fold",
    "slide": "max_pool1d max_pool2d avg_pool1d avg_pool2d",
    "losses": "cross_entropy",
    "sums": "batch_norm layer_norm group_norm instance_norm rms_norm",
    "add_at_once": "embedding take",
}
CASES = [(name, kernel) for kernel, names in FAMILIES.items() for name in names.split()]


@pytest.mark.parametrize(("name", "kernel"), CASES)
def test_samples_are_what_they_are_on_a_cpu(name, kernel, gpu):
    """Values, gradients and second gradients, in float64; where one has no kernel, its array code runs on the stand-in."""
    names = set()
    for sample in SAMPLES[name]:
        cuda_on_c.RawKernel.started.clear()
        found = backward_twice(sample)
        names |= {started for _, started in cuda_on_c.RawKernel.started}
        with tn.device("cpu"):
            wanted = backward_twice(sample)
        for ours, theirs in zip(found, wanted, strict=True):
            for a, b in zip(ours, theirs, strict=True):
                assert (a.device, a.dtype, a.shape) == ("cuda", b.dtype, b.shape)
                np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-11, atol=1e-11, err_msg=str(sample))
    assert kernel in names, f"only {names} ran"


LARGER = [  # more slices than warps in a block, more elements than threads in a warp
    ("batch_norm", (40, 3, 70), {"running_mean": None, "running_var": None, "training": True}, (3,)),
    ("layer_norm", (70, 50), {"normalized_shape": 50}, (50,)),
    ("group_norm", (2, 42, 5, 7), {"num_groups": 2}, (42,)),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "shape", "keywords", "size"), LARGER)
def test_normalisation_of_more_than_a_block_takes_at_once(name, shape, keywords, size, dtype, gpu):
    def run():
        xs = [randn(*s, dtype=dtype, seed=k) for k, s in enumerate((shape, size, size))]
        y = getattr(F, name)(xs[0] + 1000, weight=xs[1], bias=xs[2], **keywords)
        return y, *tn.grad((y * y * y).sum(), xs)

    found = run()
    with tn.device("cpu"):
        wanted = run()
    for a, b in zip(found, wanted, strict=True):
        scale = np.abs(b.numpy()).max()
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=0, atol=scale * (1e-3 if dtype == "float32" else 1e-9))


# ------------------------------------------------------------------------------------------------------- the compiler

SOURCES = {
    m.name: source
    for m in pkgutil.iter_modules(tinynet.kernels.gpu.__path__)
    if (source := getattr(importlib.import_module(f"tinynet.kernels.gpu.{m.name}"), "SOURCE", None))
}


@pytest.mark.skipif(not nvrtc.INSTALLED, reason="needs NVRTC: pip install nvidia-cuda-nvrtc-cu12")
@pytest.mark.parametrize("real", ["float", "double"])
@pytest.mark.parametrize("family", SOURCES)
def test_the_real_compiler_takes_them(family, real):
    ptx, said = nvrtc.compile_to_ptx(f"typedef {real} real;{launch.HEADER}{SOURCES[family]}")
    assert said == ""
    assert ptx.count(".entry") == SOURCES[family].count("__global__")
    if real == "float":
        assert "cvt.f64.f32" not in ptx or family in SUMS_IN_DOUBLE


SUMS_IN_DOUBLE = ("softmax", "update", "norm")  # others do no arithmetic in double precision by accident


@pytest.mark.skipif(not nvrtc.INSTALLED, reason="needs NVRTC: pip install nvidia-cuda-nvrtc-cu12")
@pytest.mark.parametrize(("rule", "hyper"), MORE)
def test_the_real_compiler_takes_every_rule(rule, hyper):
    traced = trace(rule, ["w", "grad", *buffers_of(rule)], hyper)
    ptx, said = nvrtc.compile_to_ptx(f"typedef float real;{launch.HEADER}{update_source(traced)}")
    assert said == "" or "never referenced" in said
    assert ".f64" not in ptx  # float32 stays that
