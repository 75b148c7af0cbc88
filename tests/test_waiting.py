"""A training loop on a GPU waits for it only where somebody reads a number: counted on the stand-in for CuPy."""

import cuda_on_c
import numpy as np
import pytest
import strict_cupy
from strict_cupy import reads, sends

import tinynet as tn
from tinynet import functions as F
from tinynet import layers as L
from tinynet import optim

pytestmark = pytest.mark.cpu  # it brings GPUs of its own
KERNELS = pytest.param(
    True, id="kernels", marks=pytest.mark.skipif(cuda_on_c.GXX is None, reason="kernels need a C++ compiler")
)


@pytest.fixture(params=[pytest.param(False, id="array code"), KERNELS], autouse=True)
def gpu(request, monkeypatch):
    """The stand-in for CuPy, without kernels and with them."""
    module = strict_cupy.module()
    if request.param:
        cuda_on_c.install(module)
    strict_cupy.for_one_test(monkeypatch, module)
    with tn.device("cuda"):
        yield


def mlp():
    net = tn.Sequential(L.Linear(6, 8), L.BatchNorm1d(8), L.ReLU(), L.Dropout(0.2), L.Linear(8, 8), L.GELU(), L.Linear(8, 3))
    return net, (12, 6)


def cnn():
    convolutions = L.Conv2d(1, 4, 3, padding=1), L.ReLU(), L.MaxPool2d(2), L.BatchNorm2d(4), L.Conv2d(4, 4, 3), L.ReLU()
    return tn.Sequential(*convolutions, L.AvgPool2d(2), L.Flatten(), L.Linear(4, 3)), (12, 1, 8, 8)


def recurrent():
    return tn.Sequential(L.LSTM(3, 4), L.Lambda(lambda result: result[0][:, -1]), L.Linear(4, 3)), (12, 5, 3)


def attention():
    return tn.Sequential(L.TransformerEncoderLayer(4, 2, 8), L.LayerNorm(4), L.Flatten(), L.Linear(20, 3)), (12, 5, 4)


def training(make, **options):
    """A function that does one step and returns the loss; the first step is done, which makes the buffers."""
    tn.manual_seed(0)
    net, shape = make()
    x, y = tn.randn(*shape), tn.tensor(np.arange(shape[0]) % 3)
    optimizer = optim.Adam(net, lr=0.01, **options)

    def step():
        loss = F.cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    step()
    reads.clear()
    sends.clear()
    return step


@pytest.mark.parametrize("options", [{}, {"weight_decay": 0.1, "clip_norm": 1.0}], ids=["plain", "clipped"])
@pytest.mark.parametrize("make", [mlp, cnn, recurrent, attention])
def test_a_plain_loop_waits_for_nothing(make, options):
    step = training(make, **options)
    for _ in range(20):
        step()
    assert reads == {}
    per_step = sends.total() / 20
    assert per_step <= 1 + 4 * (make is attention) + (make is mlp)  # an optimizer's numbers, and a key for each dropout


def test_a_number_that_is_read_is_waited_for_once():
    """And what the checks of labels have found is read with it, when nothing has to be waited for any more."""
    step = training(mlp)
    losses = [step().item() for _ in range(5)]
    assert losses[-1] < losses[0]
    assert reads == {"item": 5, "tolist": 5}


def data(n, wrong=None):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((n, 6)).astype(np.float32), np.arange(n) % 3
    if wrong is not None:
        y[wrong] = 9
    return x, y


@pytest.mark.parametrize("progress", [True, False])
def test_fit_reads_as_often_for_many_batches_as_for_few(progress, monkeypatch):
    monkeypatch.setattr("tinynet.training.time.perf_counter", lambda: 0.0)  # on a slow machine the bar would read more
    counts = []
    for n in (60, 480):
        net, _ = mlp()
        reads.clear()
        net.fit(data(n), optimizer=optim.Adam(net), batch_size=12, epochs=2, validation=data(24), progress=progress)
        counts.append(reads.copy())
    assert counts[0] == counts[1]
    assert counts[0].total() <= 2 * 8  # of each epoch loss and accuracy, in training and validation, and what was found


def test_evaluate_reads_as_often_for_many_batches_as_for_few():
    net, _ = mlp()
    counts = []
    for n in (60, 480):
        reads.clear()
        net.evaluate(data(n), batch_size=12)
        counts.append(reads.total())
    assert counts[0] == counts[1] <= 4


def test_a_metric_that_reads_is_counted():
    """The counter does count: what this one does with every batch, the tests above would tell of."""
    net, _ = mlp()
    reads.clear()
    net.fit(data(120), optimizer=optim.Adam(net), batch_size=12, metrics={"worst": lambda o, t: o.max()}, progress=False)
    assert reads["item"] + reads["float"] >= 10


def test_a_wrong_label_is_told_of_at_the_end_of_the_epoch():
    net, _ = mlp()
    with pytest.raises(IndexError, match=r"cross_entropy: label 9 at position \(\d+,\) is outside \[0, 3\)"):
        net.fit(data(120, wrong=7), optimizer=optim.Adam(net), batch_size=12, progress=False)
