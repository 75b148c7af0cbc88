"""How batches come to a GPU, on the stand-in for CuPy: what is sent, when, and that nothing waits."""

import threading

import numpy as np
import pytest
import strict_cupy

import tinynet as tn
from tinynet import backend
from tinynet.data import ArrayDataset, DataLoader, Dataset, Subset, staging

pytestmark = pytest.mark.cpu


@pytest.fixture(autouse=True)
def gpu(monkeypatch):
    module = strict_cupy.module()
    strict_cupy.for_one_test(monkeypatch, module)
    with tn.device("cuda"):
        yield module


X, Y = np.arange(46.0).reshape(23, 2), np.arange(23)


@pytest.mark.parametrize("prefetch", [0, 2])
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("where", ["cpu", "cuda"])
def test_batches_are_those_of_the_cpu(where, shuffle, prefetch):
    data = ArrayDataset(X, Y).to(where)
    reads = strict_cupy.reads.total()
    found = list(DataLoader(data, 5, shuffle, seed=3, prefetch=prefetch))
    assert strict_cupy.reads.total() == reads
    with tn.device("cpu"):
        wanted = list(DataLoader((X, Y), 5, shuffle, seed=3))
    for a, b in zip(found, wanted, strict=True):
        assert [t.device for t in a] == ["cuda", "cuda"]
        for t, u in zip(a, b, strict=True):
            assert t.dtype == u.dtype
            np.testing.assert_array_equal(t.numpy(), u.numpy())


def test_a_set_on_the_gpu_is_gathered_there():
    data = ArrayDataset(X, Y).to("cuda")
    sends = strict_cupy.sends.total()
    assert len(list(DataLoader(data, 5, shuffle=True))) == 5
    assert strict_cupy.sends.total() == sends + 2  # the order of the epoch, once for each array


def test_a_batch_is_sent_while_the_one_before_is_used():
    batches, sends = iter(DataLoader((X, Y), 10)), strict_cupy.sends.total()
    next(batches)
    assert strict_cupy.sends.total() == sends + 4  # two arrays of two batches
    next(batches)
    assert strict_cupy.sends.total() == sends + 6
    next(batches)
    assert strict_cupy.sends.total() == sends + 6


def test_a_buffer_is_used_again_only_when_its_copy_is_done(monkeypatch):
    """Four batches through three buffers: the event of the first copy is asked for before the fourth."""
    asked = []
    monkeypatch.setattr(staging, "_wait", asked.append)
    list(DataLoader((X[:20],), 5))
    assert len(asked) == 1 + staging.RING  # and those still out when the epoch ends


def test_an_error_comes_where_its_batch_would_have():
    class Broken(Dataset):
        def __len__(self):
            return 6

        def __getitem__(self, i):
            if i == 4:
                raise KeyError("the fifth")
            return np.float32(i), i

    for prefetch in (0, 2):
        batches = iter(DataLoader(Broken(), 2, prefetch=prefetch))
        assert [next(batches)[1].tolist() for _ in range(2)] == [[0, 1], [2, 3]]
        with pytest.raises(KeyError, match="the fifth"):
            next(batches)


def test_the_thread_has_the_consumers_default_device():
    class Seen(Dataset):
        def __len__(self):
            return 2

        def __getitem__(self, i):
            seen.append((threading.current_thread().name, backend.default_device()))
            return np.float32(i), i

    seen = []
    list(DataLoader(Seen(), 1, prefetch=1))
    assert seen == [("tinynet-prefetch", "cuda")] * 2


def test_to():
    data = ArrayDataset(X, Y)
    assert [a.device.id for a in data.to("cuda:1").arrays] == [1, 1]
    assert data.arrays[0] is X  # it stays as it is
    part = Subset(Subset(data, [5, 3, 1]), [2, 0]).to("cuda")
    assert [a.tolist() for a in part.arrays] == [X[[1, 5]].tolist(), [1, 5]]
    assert Subset(data.to("cuda"), [4]).to("cpu").arrays[1].tolist() == [4]
    with pytest.raises(tn.DeviceError, match="unknown device 'gpu'"):
        data.to("gpu")
    with pytest.raises(TypeError, match="to: Dataset has no property arrays"):
        Dataset().to("cpu")
