"""Devices, random streams, and Tensors made from nothing."""

import json
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

import tinynet as tn
from tinynet import backend
from tinynet import functions as F
from tinynet import layers as L

# --------------------------------------------------------------------------------------------------------- devices


@pytest.mark.parametrize("name", ["gpu", "CPU", "cuda:", "cuda:-1", "cuda:x", "cpu:0", "", " cpu", "cuda:1 ", None, 0])
def test_unknown_devices(name):
    for use in (tn.set_default_device, tn.device, lambda n: backend.to_device(np.zeros(1), n), L.Linear(1, 1).to):
        with pytest.raises(tn.DeviceError, match=f"unknown device {name!r}: expected 'cpu', 'cuda' or 'cuda:N'"):
            use(name)


@pytest.fixture
def no_cupy(monkeypatch):
    """As on a machine without CuPy, also where it is installed."""
    monkeypatch.setattr(backend, "_usable", False)
    monkeypatch.setitem(sys.modules, "cupy", None)


@pytest.mark.usefixtures("no_cupy")
@pytest.mark.parametrize("name", ["cuda", "cuda:1"])
def test_cuda_without_cupy_says_what_to_install(name):
    uses = (
        lambda: tn.set_default_device(name),
        lambda: tn.device(name),
        lambda: tn.zeros(2, device=name),
        lambda: tn.tensor([1.0], device=name),
        lambda: tn.tensor([1.0]).to(name),
        lambda: L.Linear(1, 1).to(name),
    )
    for use in uses:
        with pytest.raises(tn.DeviceError, match=r"needs CuPy.*pip install 'tinynet\[cuda12\]'.*'tinynet\[cuda13\]'"):
            use()
    assert not tn.cuda.is_available()


class FakeCuPy:
    """What CuPy says of its GPUs, without any."""

    ndarray = type("ndarray", (), {})

    def __init__(self, count):
        self.count = count
        self.cuda = self.runtime = self

    def getDeviceCount(self):
        if isinstance(self.count, Exception):
            raise self.count
        return self.count


@pytest.mark.parametrize(
    ("count", "message"),
    [(0, "this machine has no GPU"), (RuntimeError("no driver"), r"finds no usable GPU \(no driver\)")],
)
def test_cupy_without_a_gpu(monkeypatch, count, message):
    monkeypatch.setattr(backend, "_usable", False)
    monkeypatch.setitem(sys.modules, "cupy", FakeCuPy(count))
    with pytest.raises(tn.DeviceError, match=message):
        tn.set_default_device("cuda")
    assert not tn.cuda.is_available()


def test_a_gpu_that_is_not_there(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", FakeCuPy(2))
    assert backend.parse_device("cuda:1") == "cuda:1"
    assert backend.parse_device("cuda:0") == "cuda"
    with pytest.raises(tn.DeviceError, match=r"'cuda:2': this machine has 2 GPU\(s\), numbered from 0"):
        backend.parse_device("cuda:2")


def run(code, **environment):
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )
    return process.returncode, process.stdout + process.stderr


def test_environment_variable():
    code, said = run("import tinynet as tn; print(tn.zeros(2).device)", TINYNET_DEVICE="cpu")
    assert (code, said) == (0, "cpu\n")
    code, said = run("import tinynet as tn; tn.set_default_device('cpu'); tn.zeros(2)", TINYNET_DEVICE="tpu")
    assert code == 0, said  # never asked for
    code, said = run("import tinynet as tn; tn.zeros(2)", TINYNET_DEVICE="tpu")
    assert code == 1
    assert "DeviceError: environment variable TINYNET_DEVICE: unknown device 'tpu'" in said


@pytest.fixture
def two_devices(monkeypatch):
    """Names only: every device counts as usable, so that the defaults can be watched on a machine without a GPU."""
    monkeypatch.setattr(backend, "parse_device", lambda name: name)
    monkeypatch.setattr(backend, "_process_default", "cpu")
    monkeypatch.setattr(backend, "_usable", False)


@pytest.mark.usefixtures("two_devices")
def test_defaults_nest_and_are_restored():
    tn.set_default_device("cuda")
    assert backend.default_device() == "cuda"
    outer = tn.device("cuda:1")
    with outer as name:
        assert name == backend.default_device() == "cuda:1"
        tn.set_default_device("cuda:2")
        assert backend.default_device() == "cuda:1"  # the block is nearer
        with tn.device("cpu"), outer, outer:
            assert backend.default_device() == "cuda:1"
        assert backend.default_device() == "cuda:1"
    assert backend.default_device() == "cuda:2"
    with pytest.raises(KeyError), tn.device("cpu"):
        raise KeyError
    assert backend.default_device() == "cuda:2"


@pytest.mark.usefixtures("two_devices")
def test_the_block_is_for_its_thread_only_and_the_default_for_all():
    seen = []
    thread = threading.Thread(target=lambda: seen.append(backend.default_device()))
    with tn.device("cuda"):
        thread.start()
        thread.join()
    tn.set_default_device("cuda:1")
    thread = threading.Thread(target=lambda: seen.append(backend.default_device()))
    thread.start()
    thread.join()
    assert seen == ["cpu", "cuda:1"]


def test_moving_to_where_it_is():
    x = np.zeros(3)
    assert backend.to_device(x, "cpu") is x
    assert tn.tensor(x, device="cpu").to("cpu").data is x
    layer = L.Linear(2, 2)
    data = layer.weight.data
    assert layer.to(backend.default_device()) is layer
    assert layer.weight.data is data


def test_what_is_an_array():
    assert backend.is_array(np.zeros(2))
    assert not any(map(backend.is_array, (np.float32(1), 1.0, [1.0], tn.tensor([1.0]))))
    assert backend.array_module(1.0) is backend.array_module(np.zeros(2)) is np


# ---------------------------------------------------------------------------------------------------------- random


def draws():
    """Something from every stream."""
    layer = L.Linear(3, 3)
    x = F.dropout(tn.ones(20), 0.5)
    loader = tn.data.DataLoader(np.arange(20), batch_size=20, shuffle=True)
    (order,) = next(iter(loader))
    return [t.numpy() for t in (layer.weight, layer.bias, x, order, tn.rand(5), tn.randn(5))]


def same(a, b):
    return [np.array_equal(x, y) for x, y in zip(a, b, strict=True)]


def test_a_seed_gives_the_same_numbers_and_another_seed_others():
    tn.manual_seed(3)
    first, next_ = draws(), draws()
    tn.manual_seed(3)
    assert all(same(first, draws()))
    assert not any(same(first, next_))
    tn.manual_seed(4)
    assert not any(same(first, draws()))


def test_numpy_own_seed_does_not_matter():
    tn.manual_seed(3)
    np.random.seed(0)  # noqa: NPY002  # the global state is just what must not matter
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    first = draws()
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002
    np.random.seed(1)  # noqa: NPY002
    tn.manual_seed(3)
    assert all(same(first, draws()))


def test_streams_are_independent():
    """Dropout between two layers does not change how the second is initialised."""
    tn.manual_seed(0)
    alone = [L.Linear(4, 4).weight.numpy() for _ in range(2)]
    tn.manual_seed(0)
    first = L.Linear(4, 4).weight.numpy()
    F.dropout(tn.ones(100))
    tn.rand(100)
    tn.data.DataLoader(np.arange(9), shuffle=True)
    assert all(same(alone, [first, L.Linear(4, 4).weight.numpy()]))
    drawn = [backend.stream(name).random(4) for name in ("init", "dropout", "shuffle", "sample")]
    assert len({tuple(d) for d in drawn}) == 4


def test_golden_numbers():
    """A seed means the same numbers in every version: these were drawn in the first."""
    tn.manual_seed(0)
    np.testing.assert_allclose(tn.rand(3).numpy(), [0.6448524, 0.2964707, 0.2554723], rtol=1e-6)


@pytest.mark.parametrize("seeded", [True, False])
def test_state_round_trip(seeded):
    if seeded:
        tn.manual_seed(5)
    draws()
    state = backend.random_state()
    first = draws()
    tn.manual_seed(99)
    draws()
    backend.set_random_state(state)
    assert all(same(first, draws()))


def test_the_state_says_all_also_of_streams_not_used_yet():
    """Without any seed, too: what goes on from the state draws the same numbers in every stream."""
    code = """
import tinynet as tn
from tinynet import backend
state = backend.random_state()
first = tn.rand(3).tolist()
backend.set_random_state(state)
again = tn.rand(3).tolist()
tn.manual_seed(1)
backend.set_random_state(state)
print(first == again == tn.rand(3).tolist())
"""
    assert run(code) == (0, "True\n")


def test_the_state_is_a_copy_of_plain_values():
    tn.manual_seed(5)
    tn.rand(3)
    state = backend.random_state()
    kept = json.dumps(state)
    tn.rand(3)
    assert json.dumps(state) == kept
    backend.set_random_state(json.loads(kept))
    assert json.dumps(backend.random_state()) == kept


def test_without_a_seed_every_run_differs():
    code = "import tinynet as tn; print(tn.rand(4).tolist())"
    assert run(code) != run(code)


@pytest.mark.parametrize("seed", [-1, 1.0, "0", None, True])
def test_wrong_seeds(seed):
    tn.manual_seed(7)
    before = backend.random_state()
    with pytest.raises(ValueError, match="seed: expected an integer of at least 0, got"):
        tn.manual_seed(seed)
    assert backend.random_state() == before
    tn.manual_seed(np.int64(7))
    assert backend.random_state() == before


# ---------------------------------------------------------------------------------------------------------- creation

MAKERS = {
    "zeros": tn.zeros,
    "ones": tn.ones,
    "rand": tn.rand,
    "randn": tn.randn,
    "full": lambda *shape, **keywords: tn.full(shape[0] if len(shape) == 1 else shape, 2.5, **keywords),
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_shapes_and_dtypes(make):
    assert make(2, 3).shape == make((2, 3)).shape == make([2, 3]).shape == (2, 3)
    assert make(()).shape == ()
    assert make(4).shape == make((4,)).shape == make(np.int64(4)).shape == (4,)
    assert make(0, 3).shape == (0, 3)
    x = make(2)
    assert (x.dtype, x.device, x.requires_grad, x.is_leaf) == (np.float32, backend.default_device(), False, True)
    for dtype in ("float64", np.float64, np.dtype("float16")):
        assert make(2, dtype=dtype).dtype == np.dtype(dtype)
    assert make(2, device="cpu").device == "cpu"
    x = make(2, requires_grad=True)
    x.sum().backward()
    assert x.grad.tolist() == [1.0, 1.0]
    with pytest.raises(ValueError, match="requires_grad: only a Tensor of floats"):
        make(2, dtype=int, requires_grad=True)


def test_values():
    assert tn.zeros(2).tolist() == [0.0, 0.0]
    assert tn.ones(2, dtype=int).tolist() == [1, 1]
    assert tn.full((2,), 2.5).tolist() == [2.5, 2.5]
    assert tn.full((), 3).tolist() == 3
    assert [tn.full(2, v).dtype for v in (1.0, 1, True, np.float32(1))] == [np.float32, np.int64, np.bool_, np.float32]
    assert tn.full(2, 1, dtype="float32").dtype == np.float32


def test_arange():
    assert tn.arange(3).tolist() == [0, 1, 2]
    assert tn.arange(1, 7, 2).tolist() == [1, 3, 5]
    assert tn.arange(3, 0, -1).tolist() == [3, 2, 1]
    assert tn.arange(0.0, 1.0, 0.25).tolist() == [0.0, 0.25, 0.5, 0.75]
    assert [tn.arange(3).dtype, tn.arange(3.0).dtype, tn.arange(0, 1, 0.5).dtype] == [np.int64, np.float32, np.float32]
    assert tn.arange(3, dtype="float64").dtype == np.float64
    assert tn.arange(3.0, requires_grad=True).requires_grad
    assert tn.arange(0).shape == (0,)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_rand_is_even_in_0_to_1(dtype):
    tn.manual_seed(0)
    x = tn.rand(100_000, dtype=dtype).numpy().astype(np.float64)
    assert x.min() >= 0
    assert x.max() < 1
    assert len(np.unique(x)) > {"float16": 2000, "float32": 99_000, "float64": 99_999}[dtype]  # all its digits are drawn
    assert abs(x.mean() - 0.5) < 0.005
    assert abs(x.var() - 1 / 12) < 0.001


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_randn_is_normal(dtype):
    tn.manual_seed(0)
    x = tn.randn(100_000, dtype=dtype).numpy().astype(np.float64)
    assert abs(x.mean()) < 0.01
    assert abs(x.var() - 1) < 0.02
    assert abs((np.abs(x) < 1.96).mean() - 0.95) < 0.005


def test_dtypes_that_no_tensor_has():
    for dtype in ("complex64", str, object, "datetime64[s]"):
        with pytest.raises(TypeError, match="dtype: expected one of floats, integers or booleans, got"):
            tn.tensor([1, 2], dtype=dtype)
    with pytest.raises(TypeError, match="data: expected numbers, got an array of dtype object from NoneType"):
        tn.tensor(None)


def test_an_integer_that_does_not_fit_is_not_wrapped():
    assert tn.tensor([2**63 - 1, -(2**63)]).tolist() == [2**63 - 1, -(2**63)]
    for data in (2**63, [2**63, 2**64 - 1], [np.uint64(2**63)]):
        with pytest.raises(ValueError, match=r"does not fit into int64; pass dtype='uint64'"):
            tn.tensor(data)
    assert tn.tensor(2**63, dtype="uint64").item() == 2**63
    assert tn.tensor(np.zeros(0, np.uint64)).dtype == np.uint64
    assert tn.tensor([np.uint64(3)]).dtype == np.int64


def test_a_tensor_as_an_index():
    assert [10, 20, 30][tn.tensor(2)] == 30
    with pytest.raises(TypeError, match="'float' object cannot be interpreted as an integer"):
        range(tn.tensor(2.0))
