"""Captured steps: on a CPU a call, on a GPU a graph, for which a tape of what the stand-in for CuPy does stands in."""

import ctypes
import types

import cuda_on_c
import numpy as np
import pytest
import strict_cupy
import taped
from taped import Tape

import tinynet as tn
from tinynet import backend, optim, training
from tinynet import functions as F
from tinynet import layers as L
from tinynet.kernels.gpu import blas

pytestmark = pytest.mark.cpu


def test_on_a_cpu_it_is_the_step():
    seen = []
    step = tn.capture(lambda x, y: seen.append((x, y)) or x + y)
    x = tn.tensor([1.0, 2.0], device="cpu")
    assert step(x, 3.0).tolist() == [4.0, 5.0]
    assert seen[0][0] is x
    assert step(tn.tensor([1.0, 2.0, 3.0], device="cpu"), 3.0).shape == (3,)  # and so it takes any shape
    assert step.replays == 0


def test_only_a_function_can_be_captured():
    with pytest.raises(TypeError, match="capture: expected a function, got int"):
        tn.capture(3)


@pytest.fixture
def gpu(monkeypatch):
    if cuda_on_c.GXX is None:
        pytest.skip("needs a C++ compiler")
    module = strict_cupy.module()
    cuda_on_c.install(module)
    module.RawKernel = taped.kernel_class(cuda_on_c.RawKernel)
    module = taped.install(monkeypatch, module)
    monkeypatch.setattr(blas, "library", lambda cupy: Library())
    strict_cupy.for_one_test(monkeypatch, module)
    with tn.device("cuda"):
        yield module


class Library:
    """cuBLAS, of which a product is what its documentation says: columns first, and by pointers."""

    def __getattr__(self, name):
        if name.endswith("gemmStridedBatched"):
            return self.gemm
        return lambda *arguments: 0

    def gemm(self, *arguments):
        if Tape.now is not None:
            taped.note(self.multiply, *arguments)
            return 0
        return self.multiply(*arguments)

    def multiply(self, handle, ta, tb, m, n, k, alpha, a, lda, apart_a, b, ldb, apart_b, beta, c, ldc, apart_c, count):
        ta, tb, m, n, k, lda, ldb, ldc = (x.value for x in (ta, tb, m, n, k, lda, ldb, ldc))
        dtype = np.dtype(np.float32 if "float" in type(alpha._obj).__name__ else np.float64)

        def matrix(pointer, rows, columns, ld, apart, i):
            assert ld >= rows
            start = pointer.value + i * apart.value * dtype.itemsize
            memory = (ctypes.c_char * (((columns - 1) * ld + rows) * dtype.itemsize)).from_address(start)
            strides = (dtype.itemsize, ld * dtype.itemsize)
            return np.ndarray((rows, columns), dtype, memory, strides=strides)

        for i in range(count.value):
            x = matrix(a, *((k, m) if ta else (m, k)), lda, apart_a, i)
            y = matrix(b, *((n, k) if tb else (k, n)), ldb, apart_b, i)
            matrix(c, m, n, ldc, apart_c, i)[...] = (x.T if ta else x) @ (y.T if tb else y)
        return 0


def steps(gpu, capture, n, change=lambda k, optimizer: None, **options):
    """Weights after n steps of Adam on gradients that the step's argument gives."""
    p = tn.Parameter(np.arange(3.0))
    optimizer = optim.Adam([p], lr=0.1, **options)

    def step(g):
        p.grad = g
        optimizer.step()

    run = tn.capture(step) if capture else step
    for k in range(n):
        change(k, optimizer)
        run(tn.tensor(np.cos(k + np.arange(3.0))))
    return p, optimizer, run


def halved(k, optimizer):
    if k in (2, 4, 5):
        optimizer.lr /= 2


def test_a_replay_is_a_step_with_its_own_count_and_rate(gpu):
    """The correction of Adam's bias and the rate change from step to step; both come from the CPU."""
    plain, optimizer, _ = steps(gpu, False, 8, halved)
    replayed, other, run = steps(gpu, True, 8, halved)
    assert run.replays == 6
    np.testing.assert_allclose(replayed.numpy(), plain.numpy(), rtol=1e-14)
    assert other.state_dict()["steps"] == optimizer.state_dict()["steps"] == {"0": 8}
    np.testing.assert_array_equal(*[o.state(p)["velocity"].get() for o, p in ((optimizer, plain), (other, replayed))])


def test_steps_between_replays_count_too(gpu):
    def between(k, optimizer):
        if k == 6:
            optimizer.param_groups[0]["params"][0].grad = gpu.ones(3)
            optimizer.step()

    plain, _, _ = steps(gpu, False, 8, between)
    replayed, _, _ = steps(gpu, True, 8, between)
    np.testing.assert_allclose(replayed.numpy(), plain.numpy(), rtol=1e-14)


def test_what_a_replay_refuses(gpu):
    p, optimizer, run = steps(gpu, True, 5)
    with pytest.raises(ValueError, match=r"argument 0 is float64 \(4,\) on 'cuda', but .* captured with float64 \(3,\)"):
        run(tn.tensor(np.zeros(4)))
    with pytest.raises(ValueError, match="capture: the step was captured with 1 arguments, got 2"):
        run(tn.tensor(np.zeros(3)), tn.tensor(np.zeros(3)))
    before = p.numpy()
    optimizer.param_groups[0]["lr"] = -1.0
    with pytest.raises(ValueError, match=r"lr is -1\.0"):
        run(tn.tensor(np.zeros(3)))
    optimizer.lr = 0.1
    optimizer.load_state_dict(optimizer.state_dict())
    with pytest.raises(RuntimeError, match=r"Adam: parameter '0' or its state are other arrays .* capture it anew"):
        run(tn.tensor(np.zeros(3)))
    np.testing.assert_array_equal(p.numpy(), before)


def wrong(gpu, step):
    run = tn.capture(step)
    for _ in range(2):
        run(tn.tensor([1.0, 2.0]))
    with pytest.raises(RuntimeError) as caught:
        run(tn.tensor([1.0, 2.0]))
    return str(caught.value)


def test_what_a_captured_step_may_not_do(gpu):
    w = tn.Parameter([1.0, 2.0])
    half = tn.Parameter([1.0, 2.0], dtype="float16")

    def adds(x):
        (w * x).sum().backward()

    def steps_in_half(x):
        half.grad = x.astype("float16")
        optim.SGD([half]).step()

    assert "may not move arrays between devices (from 'cpu' to 'cuda')" in wrong(gpu, lambda x: x + tn.randn(2))
    assert "call optimizer.zero_grad() in it" in wrong(gpu, adds)
    assert "parameter '0' (float16) has no kernel of its own" in wrong(gpu, steps_in_half)
    with pytest.raises(TypeError, match="a step returns Tensors, got float"):
        tn.capture(lambda x: 1.0)(tn.ones(1))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_captured_products(gpu, dtype):
    """Every layout and broadcasting that cuBLAS is handed, by a stand-in that reads the memory as cuBLAS does."""
    rng = np.random.default_rng(0)
    products = blas.Products(gpu, "highest")

    def made(*shape):
        return gpu.asarray(rng.normal(size=shape).astype(dtype))

    pairs = [
        (made(3, 4), made(4, 5)),
        (made(4, 3).T, made(4, 5)),
        (made(3, 4), made(5, 4).T),
        (made(4, 3).T, made(5, 4).T),
        (made(1, 4), made(4, 1)),
        (made(4, 1).T, made(1, 4).T),
        (made(3, 1), made(1, 5)),
        (made(3, 8)[:, ::2], made(4, 10)[:, :5]),
        (made(2, 3, 4), made(2, 4, 5)),
        (made(3, 4), made(2, 4, 5)),
        (made(2, 3, 4), made(5, 4).T),
        (made(2, 3, 4), made(2, 5, 4).swapaxes(1, 2)),
        (made(2, 3, 6, 4), made(2, 3, 4, 5)),
        (made(2, 6, 3, 4).swapaxes(1, 2), made(2, 3, 5, 4).swapaxes(2, 3)),
        (made(2, 1, 6, 4), made(3, 4, 5)),
        (made(3, 0), made(0, 5)),
        (made(0, 4), made(4, 5)),
    ]
    for a, b in pairs:
        np.testing.assert_allclose(products(a, b).get(), a.get() @ b.get(), rtol=1e-5)
    a, b = pairs[0]
    out = gpu.zeros((5, 3), dtype).T
    assert products(a, b, out) is out
    np.testing.assert_allclose(out.get(), a.get() @ b.get(), rtol=1e-5)
    with pytest.raises(TypeError, match="float32 or float64 matrices, got float16"):
        products(a.astype("float16"), b.astype("float16"))


def test_precision(gpu, monkeypatch):
    told = []
    linalg = types.SimpleNamespace(COMPUTE_TYPE_TF32=7, COMPUTE_TYPE_DEFAULT=1)

    def set_compute_type(dtype, kind):
        told.append((dtype.name, kind))

    gpu._core = types.SimpleNamespace(set_compute_type=set_compute_type, _routines_linalg=linalg)
    monkeypatch.setattr(backend, "_usable", False)
    assert tn.get_matmul_precision() == "highest"
    try:
        tn.set_matmul_precision("high")
        assert told == []  # CuPy is not there yet
        backend.gpu_module()
        assert told == [("float32", 7)]
    finally:
        tn.set_matmul_precision("highest")
    assert told[-1] == ("float32", 1)
    with pytest.raises(ValueError, match="precision is 'medium', expected 'highest' or 'high'"):
        tn.set_matmul_precision("medium")


def test_fit_with_capture_on_a_cpu_changes_nothing():
    with tn.device("cpu"):
        x = np.random.default_rng(0).normal(size=(50, 2)).astype("float32")
        histories = []
        for capture in (False, True):
            tn.manual_seed(0)
            net = tn.Sequential(L.Linear(2, 3), L.Tanh(), L.Linear(3, 2))
            data = x, (x[:, 0] > 0).astype("int64")
            adam = optim.Adam(net, lr=0.05)
            histories.append(net.fit(data, optimizer=adam, epochs=2, batch_size=16, progress=False, capture=capture))
        assert histories[0]["loss"] == histories[1]["loss"]
        with pytest.raises(ValueError, match="fit: capture is True, expected False for LBFGS"):
            net.fit(data, optimizer=optim.LBFGS(net), capture=True)


def test_fit_replays_whole_batches(gpu, monkeypatch):
    """A last batch that is smaller is run as it stands."""
    seen = []

    class Replayed:
        def __init__(self, step):
            self.step = step

        def __call__(self, *batch):
            seen.append(len(batch[0]))
            return self.step(*batch)

    monkeypatch.setattr(training, "capture", Replayed)
    net = tn.Sequential(L.Linear(2, 3))
    data = tn.ones(10, 2), tn.tensor([0, 1] * 5)
    net.fit(data, optimizer=optim.SGD(net), epochs=2, batch_size=4, progress=False, capture=True)
    assert seen == [4, 4, 4, 4]


USED = {
    "functions": ["using_allocator", "alloc_pinned_memory", "get_cublas_handle", "get_current_stream"],
    "cuda.Stream": ["begin_capture", "end_capture", "record", "wait_event", "synchronize"],
    "cuda.Graph": ["launch"],
    "cuda.Event": ["synchronize", "done"],
    "ndarray": ["set", "data", "device"],
    "cuda.runtime": ["runtimeGetVersion", "driverGetVersion", "getDeviceProperties", "getDeviceCount"],
}


def test_cupy_has_what_is_used_of_it():
    """By the listing of the real one, whose streams and graphs the stand-in only pretends to have."""
    listed = strict_cupy.listing.load()
    for where, names in USED.items():
        if where == "functions":
            assert {f"cupy.cuda.{name}" for name in names} <= listed["functions"].keys()
        elif where == "cuda.runtime":
            assert {f"cupy.{where}.{name}" for name in names} <= listed["functions"].keys()
        else:
            assert set(names) <= listed["classes"][f"cupy.{where}"].keys()
    assert "cupy.cuda.MemoryPool" in listed["other"]


def mlp():
    return tn.Sequential(L.Linear(6, 5), L.BatchNorm1d(5), L.ReLU(), L.Dropout(0.2), L.Linear(5, 3)), (8, 6)


def cnn():
    layers = L.Conv2d(1, 2, 3), L.ReLU(), L.MaxPool2d(2), L.GroupNorm(1, 2), L.Flatten(), L.Linear(8, 3)
    return tn.Sequential(*layers), (4, 1, 6, 6)


def lstm():
    return tn.Sequential(L.LSTM(3, 4), L.Lambda(lambda result: result[0][:, -1]), L.Linear(4, 3)), (4, 5, 3)


def transformer():
    return tn.Sequential(L.TransformerEncoderLayer(4, 2, 8), L.LayerNorm(4), L.Flatten(), L.Linear(20, 3)), (4, 5, 4)


@pytest.mark.parametrize("make", [mlp, cnn, lstm, transformer])
def test_a_replayed_training_is_the_training(make, gpu):
    """Weights, buffers, losses and the norm, over rates that change and masks that dropout draws anew."""
    ends = []
    for captured in (False, True):
        tn.manual_seed(0)
        net, shape = make()
        optimizer = optim.Adam(net, lr=0.01, clip_norm=0.5, weight_decay=0.1)

        def step(x, y, net=net, optimizer=optimizer):
            loss = F.cross_entropy(net(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        run, told = tn.capture(step) if captured else step, []
        for k in range(6):
            optimizer.lr = 0.01 / (k + 1)
            x = tn.tensor(np.random.default_rng(k).normal(size=shape).astype("float32"))
            loss = run(x, tn.tensor(np.arange(shape[0]) % 3))
            told += [loss.item(), optimizer.grad_norm]
        ends.append([*told, *[a.numpy() for a in net.state_dict().values()]])
        assert run is step or run.replays == 4
    for k, (a, b) in enumerate(zip(*ends, strict=True)):
        np.testing.assert_allclose(b, a, rtol=2e-5, atol=2e-6, err_msg=f"number {k}")


def test_a_rule_that_changes_with_the_count_has_to_be_captured_anew(gpu):
    """RAdam's does, where its correction of the variance sets in."""
    p = tn.Parameter(np.arange(3.0))
    optimizer = optim.RAdam([p], lr=0.1)

    def step(g):
        p.grad = g
        optimizer.step()

    run = tn.capture(step)
    with pytest.raises(RuntimeError, match="RAdam: the rule has changed since the step was captured; capture it anew"):
        list(map(run, [tn.tensor(np.ones(3))] * 10))
    again = tn.capture(step)
    for _ in range(5):
        again(tn.tensor(np.ones(3)))
    assert again.replays == 3
