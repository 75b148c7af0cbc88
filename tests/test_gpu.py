"""What only a real GPU shows. ``python -m pytest --backend cuda`` runs this and the rest of the suite there.

None of it has run yet: no machine that tinynet was written on had a GPU.
"""

import numpy as np
import pytest

import tinynet as tn
from benchmarks import gpu as benchmark
from benchmarks.networks import data, stacked, training_step
from tinynet import functions as F
from tinynet import layers as L
from tinynet import optim
from tinynet.data import ArrayDataset, DataLoader

pytestmark = pytest.mark.gpu
NETWORKS = ["784-256-128-10, 64", "LeNet-5, 64", "conv 32, conv 64, 64"]


@pytest.mark.parametrize("name", NETWORKS)
def test_a_step_on_the_gpu_is_that_of_the_cpu(name):
    assert benchmark.difference(benchmark.STEPS[name], "cuda") < 1e-5


def trained(name, captured, steps=12, **options):
    """Weights and losses of a training; rates change on the way."""
    tn.manual_seed(0)
    network = benchmark.STEPS[name]
    model = stacked(tn.layers, tn.Sequential, network)
    optimizer = optim.Adam(model, lr=1e-3, **options)
    step = training_step(model, F.cross_entropy, optimizer)
    step = tn.capture(step) if captured else step
    images, labels = data(network)
    losses = []
    for k in range(steps):
        optimizer.lr = 1e-3 / (1 + k)
        losses.append(step(tn.tensor(images[k % len(images)]), tn.tensor(labels[k])).item())
    assert not captured or step.replays == steps - 2
    return [p.numpy() for p in model.parameters()], losses, optimizer


@pytest.mark.parametrize("options", [{}, {"clip_norm": 0.5}])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_captured_training_is_the_training(name, options):
    plain, losses, _ = trained(name, False, **options)
    replayed, others, optimizer = trained(name, True, **options)
    np.testing.assert_allclose(others, losses, rtol=1e-4)
    for a, b in zip(plain, replayed, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-3 * np.abs(a).max())
    assert set(optimizer.state_dict()["steps"].values()) == {12}


def test_the_memory_of_a_graph_is_its_own():
    """What is made between replays is not overwritten by them."""
    w = tn.Parameter(np.ones(1000, np.float32))

    def step(x):
        y = (w * x).sum()
        w.grad = None
        y.backward()
        return y

    run, kept = tn.capture(step), []
    for k in range(20):
        run(tn.full(1000, float(k)))
        kept.append(tn.full(1000, float(k)) * 2)
    assert [x.numpy()[[0, -1]].tolist() for x in kept] == [[2.0 * k, 2.0 * k] for k in range(20)]


def test_what_waits_cannot_be_captured():
    run = tn.capture(lambda x: x * float(x.sum()))
    for _ in range(2):
        run(tn.ones(3))
    with pytest.raises(RuntimeError, match="capture: the step"):
        run(tn.ones(3))
    assert tn.ones(3).sum().item() == 3  # the stream is none the worse


def test_dropout_is_another_in_every_replay():
    run = tn.capture(lambda x: F.dropout(x, 0.5))
    masks = [run(tn.ones(1000)).numpy() for _ in range(6)]
    assert len({m.tobytes() for m in masks}) == 6
    assert all(0.4 < (m > 0).mean() < 0.6 for m in masks)


def test_a_wrong_label_is_told_of_by_a_replay_too():
    run = tn.capture(lambda x, y: F.cross_entropy(x, y))
    for _ in range(4):
        run(tn.zeros(2, 3), tn.tensor([0, 1]))
    tn.cuda.synchronize()
    loss = run(tn.zeros(2, 3), tn.tensor([0, 3]))
    with pytest.raises(IndexError, match=r"label 3 at position \(1,\)"):
        loss.item()


def test_equal_runs_give_equal_bits_in_deterministic_mode():
    def run():
        tn.manual_seed(0)
        net = tn.Sequential(L.Embedding(50, 64), L.Flatten(), L.Linear(640, 5))
        ids = np.random.default_rng(0).integers(0, 50, (4096, 10))
        net.fit((ids, ids[:, 0] % 5), optimizer=optim.Adam(net, lr=0.01), epochs=2, batch_size=1024, progress=False)
        return [p.numpy().tobytes() for p in net.parameters()]

    tn.set_deterministic()
    try:
        assert run() == run()
    finally:
        tn.set_deterministic(False)


def test_tf32_rounds_factors():
    a, b = (tn.randn(512, 512) for _ in range(2))
    exact = a.numpy().astype("float64") @ b.numpy().astype("float64")
    errors = {}
    try:
        for precision in ("highest", "high"):
            tn.set_matmul_precision(precision)
            errors[precision] = np.abs((a @ b).numpy() - exact).max() / np.abs(exact).max()
    finally:
        tn.set_matmul_precision("highest")
    assert errors["highest"] < 1e-5
    assert errors["high"] < 5e-3


def test_batches_sent_ahead_are_whole():
    """Each through pinned memory that is used again, while a kernel that takes its time runs on the one before."""
    x = np.arange(200_000, dtype=np.float32).reshape(200, 1000)
    big = tn.ones(4000, 4000)
    for (batch,) in DataLoader(ArrayDataset(x), 10):
        first = int(batch.numpy()[0, 0]) // 1000
        (big @ big).sum()
        np.testing.assert_array_equal(batch.numpy(), x[first : first + 10])


def test_adam_reaches_the_bandwidth_of_a_copy():
    assert benchmark.measure("tinynet", benchmark.ADAM, device="cuda", seconds=1.0, weights=100_000_000)["share"] > 0.85
