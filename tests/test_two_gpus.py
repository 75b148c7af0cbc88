"""Several GPUs by number, on the stand-in's two: what is made, computed and trained on the second stays there."""

import threading

import numpy as np
import pytest
import strict_cupy

import tinynet as tn
from tinynet import backend, optim
from tinynet import functions as F
from tinynet import layers as L

pytestmark = pytest.mark.cpu  # it brings GPUs of its own


@pytest.fixture(autouse=True)
def gpus(monkeypatch):
    strict_cupy.for_one_test(monkeypatch, strict_cupy.module())
    monkeypatch.setattr(backend, "_process_default", "cpu")


def train(net, device, steps=3):
    with tn.device(device):
        x, y = tn.tensor(np.cos(np.arange(24.0)).reshape(6, 4), "float32"), tn.tensor(np.arange(6) % 3)
        optimizer = optim.Adam(net, lr=0.05, clip_norm=1.0)
        for _ in range(steps):
            loss = F.cross_entropy(net(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return optimizer, loss.item()


def network():
    tn.manual_seed(0)
    return tn.Sequential(L.Linear(4, 8), L.BatchNorm1d(8), L.ReLU(), L.Linear(8, 3))


def test_a_training_on_the_second_gpu_is_that_on_the_first_and_that_on_the_cpu():
    losses = []
    for device in ("cpu", "cuda", "cuda:1"):
        net = network().to(device)
        optimizer, loss = train(net, device)
        losses.append(loss)
        with tn.device(device):
            assert {t.device for t in net.state_dict().values()} == {device}
        assert {backend.device_of(b) for p in net.parameters() for b in optimizer.state(p).values()} == {device}
        assert {p.grad.device for p in net.parameters()} == {device}
    assert losses[1] == losses[2] == pytest.approx(losses[0], rel=1e-5)


def test_a_model_and_its_optimizer_move():
    net = network().to("cuda")
    optimizer, before = train(net, "cuda")
    net.to("cuda:1")
    with tn.device("cuda:1"):
        x, y = tn.ones(6, 4), tn.zeros(6, dtype=int)
        F.cross_entropy(net(x), y).backward()
        optimizer.step()
    assert {backend.device_of(b) for p in net.parameters() for b in optimizer.state(p).values()} == {"cuda:1"}
    assert np.isfinite(before)


def test_operands_on_two_gpus_are_named():
    a, b = tn.ones(2, device="cuda"), tn.ones(2, device="cuda:1")
    for first, second, names in [
        (a, b, "'cuda' and 'cuda:1'"),
        (b, a, "'cuda:1' and 'cuda'"),
        (a, tn.ones(2), "'cuda' and 'cpu'"),
    ]:
        with pytest.raises(tn.DeviceError, match=f"add: operands on two devices, {names}"):
            first + second


def test_another_gpu_than_that_of_the_thread_is_named():
    b = tn.ones(2, device="cuda:1")
    with pytest.raises(tn.DeviceError, match=r"mul: operands on 'cuda:1', .* use `with tn.device\('cuda:1'\):`"):
        b * 2
    with tn.device("cuda:1"):
        y = b * 2
        with tn.device("cuda"):
            assert (tn.ones(2) + 1).device == "cuda"
        assert (y + 1).device == y.device == "cuda:1"
    assert y.tolist() == [2, 2]  # a number may be read from anywhere
    assert y.to("cuda").device == "cuda"
    assert (y.to("cuda") + 1).tolist() == [3, 3]


def test_the_default_device_is_that_of_its_thread_too():
    found = []

    def work():
        with tn.device("cuda"):
            found.append((tn.ones(2) * 2).device)

    try:
        tn.set_default_device("cuda:1")
        assert (tn.ones(2) * 2).device == "cuda:1"
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert found == ["cuda"]
        assert (tn.ones(2) * 2).device == "cuda:1"
    finally:
        tn.set_default_device("cuda")


def test_a_loader_sends_batches_to_the_gpu_of_the_block():
    data = np.arange(40.0, dtype="float32").reshape(20, 2), np.arange(20)
    with tn.device("cuda:1"):
        for prefetch in (0, 2):
            batches = list(tn.data.DataLoader(data, 6, shuffle=True, prefetch=prefetch))
            assert {t.device for batch in batches for t in batch} == {"cuda:1"}
            assert sorted(i for _, y in batches for i in y.tolist()) == list(range(20))
            assert all((x[:, 0] / 2 == y).numpy().all() for x, y in batches)


def test_a_gpu_that_is_not_there():
    with pytest.raises(tn.DeviceError, match=r"device 'cuda:2': this machine has 2 GPU\(s\), numbered from 0"):
        tn.ones(2, device="cuda:2")
