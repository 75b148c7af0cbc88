"""Processes with a GPU each, on the stand-in for CuPy and one for NCCL: who calls what with which memory, on which GPU."""

import ctypes
import sys
import types

import numpy as np
import programs
import pytest
import strict_cupy
from strict_cupy import arrays

import tinynet as tn
from tinynet import backend, data, distributed, optim

pytestmark = pytest.mark.cpu  # it brings GPUs of its own
CTYPES = {1: ctypes.c_uint8, 7: ctypes.c_float, 8: ctypes.c_double}  # by NCCL's number of a type


class NcclError(RuntimeError):
    pass


class Nccl(types.ModuleType):
    """CuPy's module with the methods that are used; what NCCL would do, threads do in memory."""

    available = True
    NCCL_SUM, NCCL_UINT8, NCCL_FLOAT32, NCCL_FLOAT64 = 0, 1, 7, 8
    NcclError = NcclError

    def __init__(self):
        super().__init__("cupy.cuda.nccl")
        self.joined, self.calls = [], []
        outer = self

        class NcclCommunicator:
            def __init__(self, ndev, commId, rank):
                assert isinstance(commId, tuple)
                assert len(commId) == 128
                here = strict_cupy.gpus.current.number
                outer.joined.append((ndev, commId, rank, here))
                told = distributed.world().texts(f"{here}")  # as NCCL, it waits for all
                if len(set(told)) < ndev:
                    raise NcclError("NCCL_ERROR_INVALID_USAGE: duplicate GPU")
                self.gpu = here

            def allReduce(self, sendbuf, recvbuf, count, datatype, op, stream):
                assert (op, self.gpu) == (outer.NCCL_SUM, strict_cupy.gpus.current.number)
                outer.calls.append(("allReduce", count, datatype))
                sent, received = ((CTYPES[datatype] * count).from_address(p) for p in (sendbuf, recvbuf))
                distributed.world().comm.Allreduce(np.ctypeslib.as_array(sent), np.ctypeslib.as_array(received))

            def broadcast(self, sendbuff, recvbuff, count, datatype, root, stream):
                assert (root, self.gpu) == (0, strict_cupy.gpus.current.number)
                assert sendbuff == recvbuff
                outer.calls.append(("broadcast", count, datatype))
                distributed.world().comm.Bcast(np.ctypeslib.as_array((CTYPES[datatype] * count).from_address(recvbuff)))

        self.NcclCommunicator = NcclCommunicator

    def get_unique_id(self):
        assert distributed.rank() == 0
        return tuple(range(-64, 64))


@pytest.fixture
def nccl(monkeypatch):
    strict_cupy.for_one_test(monkeypatch, strict_cupy.module())
    monkeypatch.setattr(backend, "_process_default", "cpu")
    monkeypatch.setattr(
        arrays.ndarray, "data", property(lambda a: types.SimpleNamespace(ptr=a._array.ctypes.data)), raising=False
    )
    module, cuda = Nccl(), types.ModuleType("cupy.cuda")
    cuda.nccl = module
    monkeypatch.setitem(sys.modules, "cupy.cuda", cuda)
    monkeypatch.setitem(sys.modules, "cupy.cuda.nccl", module)
    return module


def on_its_gpu(program):
    def run():
        with tn.device(f"cuda:{distributed.local_rank()}"):
            return program()

    return run


def trained():
    net = programs.network(seed=distributed.rank()).to(f"cuda:{distributed.local_rank()}")
    net = distributed.DataParallel(net)
    loader = data.DataLoader(programs.samples(), 12 // distributed.world_size(), shuffle=True, seed=7, shard=programs.ours())
    optimizer = optim.Momentum(net, lr=0.5, clip_norm=0.3)
    net.fit(loader, optimizer=optimizer, epochs=3, validation=programs.samples(30), progress=False)
    assert {p.grad.device for p in net.parameters()} == {f"cuda:{distributed.rank()}" if distributed.rank() else "cuda"}
    return programs.weights(net)


def test_a_training_on_two_gpus_is_that_on_two_cpus(nccl, monkeypatch):
    first, second = programs.over_threads(2, on_its_gpu(trained), monkeypatch)
    assert first == second
    expected, _ = programs.over_threads(2, programs.trained_by_fit, monkeypatch)
    for name, weight in expected["weights"].items():
        np.testing.assert_allclose(first[name], weight, rtol=2e-5, atol=2e-6)
    key = tuple(range(-64, 64))
    assert sorted(nccl.joined) == [(2, key, 0, 0), (2, key, 1, 1)]  # once each
    size = 5 * 16 + 16 + 16 * 3 + 3
    assert set(nccl.calls) == {("broadcast", 4 * size, nccl.NCCL_UINT8), ("allReduce", size, nccl.NCCL_FLOAT32)}
    assert len(nccl.calls) == 2 * (1 + 3 * 6)  # one for each step of each process, and one before the first


def test_other_dtypes(nccl, monkeypatch):
    def program():
        net = tn.Layer()
        for name in ("float16", "float32", "float64"):
            p = tn.Parameter(np.zeros(3), name, f"cuda:{distributed.local_rank()}")
            setattr(net, name, p)
            p.grad = p.data + (40000 if distributed.rank() else 30000)
        distributed.all_reduce_gradients(net)
        return [[str(p.grad.dtype), p.grad.tolist()] for p in net.parameters()]

    first, second = programs.over_threads(2, on_its_gpu(program), monkeypatch)
    assert first == second == [[name, [35008.0 if name == "float16" else 35000.0] * 3] for name, _ in first]
    assert sorted(kind for _, _, kind in nccl.calls) == [7, 7, 7, 7, 8, 8]  # half precision is added in float32


def errors(device, monkeypatch):
    def program():
        net = programs.network(seed=0).to(device())
        try:
            with tn.device(device()):
                distributed.broadcast_parameters(net)
        except (RuntimeError, ValueError) as error:
            return f"{type(error).__name__}: {error}"

    return programs.over_threads(2, program, monkeypatch)


def test_two_processes_with_one_gpu(nccl, monkeypatch):
    for told in errors(lambda: "cuda", monkeypatch):
        assert told.startswith("DeviceError: distributed: NCCL cannot join the processes, here on 'cuda' (NCCL_ERROR_INV")
        assert "tn.set_default_device(f'cuda:{distributed.local_rank()}')" in told


def test_one_on_a_gpu_and_one_on_the_cpu(nccl, monkeypatch):
    first, second = errors(lambda: "cuda" if distributed.rank() else "cpu", monkeypatch)
    assert first == second
    assert "process 0 has '0.weight' (float32 of shape (16, 5) on cpu), but process 1 has '0.weight'" in first
    assert "on cuda)" in first


def test_without_nccl(nccl, monkeypatch):
    nccl.available = False
    for told in errors(lambda: f"cuda:{distributed.local_rank()}", monkeypatch):
        assert told.startswith("DeviceError: distributed: processes with GPUs need NCCL")
        assert "pip install nvidia-nccl-cu12" in told
