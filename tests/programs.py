"""What several processes run together, for ``test_distributed``: over real MPI, and over threads in place of processes.

The one idea: a program is a function without arguments that returns what JSON can hold, and that runs once in every process.
``over_threads`` runs one in as many threads, which talk through a communicator in memory; ``over_mpi`` starts mpiexec once
for all programs of this file. The tests read the same results of both.
"""

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np

import tinynet as tn
from tinynet import data, distributed, optim
from tinynet import functions as F
from tinynet import layers as L
from tinynet.processes import World

SEEDS = threading.Lock()  # threads share the random streams, which processes do not


# ---------------------------------------------------------------------------------------------------- the two ways


class Comm:
    """The few of mpi4py's methods that are used, between threads: each puts down what it sends, and takes what is there."""

    def __init__(self, rank, table, barrier):
        self.rank, self.table, self.barrier = rank, table, barrier

    def Get_rank(self):
        return self.rank

    def Get_size(self):
        return len(self.table)

    def exchange(self, sent):
        self.table[self.rank] = sent.copy()
        self.barrier.wait()  # it breaks after a while: a test that hangs fails
        told = list(self.table)
        self.barrier.wait()
        assert len({(a.size, a.dtype) for a in told}) == 1, "the processes send different things at once"
        return told

    def Allgather(self, sent, received):
        received.reshape(len(self.table), -1)[...] = [a.ravel() for a in self.exchange(sent)]

    def Allreduce(self, sent, received):
        received[...] = sum(self.exchange(sent))

    def Bcast(self, array):
        array[...] = self.exchange(array)[0]


def over_threads(n, program, monkeypatch):
    """What the program returns in each of n threads, by rank; the first error of one is raised here."""
    here, results, errors = threading.local(), [None] * n, []
    table, barrier = [None] * n, threading.Barrier(n, timeout=20)
    monkeypatch.setattr(distributed, "world", lambda: here.world)

    def work(rank):
        try:
            here.world = World(Comm(rank, table, barrier))
            results[rank] = json.loads(json.dumps(program()))
        except BaseException as error:
            errors.append(error)
            barrier.abort()

    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results


def mpiexec():
    """The program that starts processes: of the package from PyPI where it stands beside this Python, else the system's."""
    beside = Path(sys.executable).with_name("mpiexec")
    return str(beside) if beside.exists() else shutil.which("mpiexec")


def start(n, *arguments, **environment):
    """n processes with that command line, done: as root too, and more than there are cores."""
    mpi = {
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
        "OMPI_MCA_rmaps_base_oversubscribe": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(Path(tn.__file__).parents[1]), os.environ.get("PYTHONPATH")])),
    }
    command = [mpiexec(), "-n", str(n), sys.executable, "-W", "error", *map(str, arguments)]
    env = {**os.environ, **mpi, **environment}
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)


def over_mpi(n, folder):
    """What every program of this file returns in each of n processes: {name: results by rank}."""
    done = start(n, __file__, folder)
    assert done.returncode == 0, done.stderr
    each = [json.loads((folder / f"{rank}.json").read_text()) for rank in range(n)]
    return {name: [results[name] for results in each] for name in each[0]}


# ---------------------------------------------------------------------------------------------------- the programs


def network(seed, *last):
    with SEEDS:
        tn.manual_seed(seed)
        return tn.Sequential(L.Linear(5, 16), L.Tanh(), L.Linear(16, 3), *last)


def samples(n=72):
    x = np.cos(np.arange(n * 5) ** 2).reshape(n, 5).astype("float32")
    return x, (x.sum(axis=1) > 0).astype(int) + (x[:, 0] > 0.5)


def ours():
    return distributed.rank(), distributed.world_size()


def weights(net):
    return {name: t.tolist() for name, t in net.state_dict().items()}


def error_of(f, *arguments, **keywords):
    try:
        f(*arguments, **keywords)
    except (ValueError, RuntimeError) as error:
        return f"{type(error).__name__}: {error}"
    return None


def trained_by_fit():
    """Wrapped and fitted; every process has other weights before it is."""
    net = distributed.DataParallel(network(seed=distributed.rank()))
    loader = data.DataLoader(samples(), 12 // distributed.world_size(), shuffle=True, seed=7, shard=ours())
    optimizer = optim.Momentum(net, lr=0.5, clip_norm=0.3)
    history = net.fit(loader, optimizer=optimizer, epochs=3, validation=samples(30), progress=False)
    return {"weights": weights(net), "loss": history.loss, "val_loss": history.val_loss, "accuracy": history.accuracy}


def trained_by_hand():
    """The two functions, in a loop of one's own."""
    net = network(seed=distributed.rank())
    distributed.broadcast_parameters(net)
    optimizer = optim.Momentum(net, lr=0.5, clip_norm=0.3)
    for _ in range(3):
        for x, y in data.DataLoader(samples(), 12 // distributed.world_size(), seed=7, shard=ours()):
            loss = F.cross_entropy(net(x), y)
            optimizer.zero_grad()
            loss.backward()
            distributed.all_reduce_gradients(net)
            optimizer.step()
    return weights(net)


def added_up():
    """Two backwards before a step, of a model with several outputs; and tn.grad in between, which is one's own."""

    class Two(tn.Model):
        def __init__(self):
            self.inner = network(seed=0)

        def forward(self, x):
            return {"a": self.inner(x), "b": (self.inner(2 * x), 1)}

    net = distributed.DataParallel(Two())
    x, y = samples(12)
    part = slice(*(12 * (distributed.rank() + k) // distributed.world_size() for k in (0, 1)))
    for scale in (1, 3):
        outputs = net(tn.tensor(scale * x[part]))
        loss = F.cross_entropy(outputs["a"], y[part]) + F.cross_entropy(outputs["b"][0], y[part])
        own = tn.grad(loss, net.parameters(), retain_graph=True)
        loss.backward()
    return {
        "grads": [p.grad.tolist() for p in net.parameters()],
        "own": own[0].tolist(),
        "rest": outputs["b"][1],
    }


def odd_gradients():
    """Of several dtypes and layouts, and missing in some processes or in all."""
    rank, size = ours()
    net = tn.Layer()
    net.half = tn.Parameter(np.zeros(3, np.float16))
    net.single = tn.Parameter(np.zeros((2, 3), np.float32))
    net.double = tn.Parameter(np.zeros((), np.float64))
    net.again = net.single
    net.some, net.none, net.empty = (tn.Parameter(np.zeros(n, np.float32)) for n in (2, 2, 0))
    net.half.grad = np.full(3, 40000.0 if rank == 0 else 20000.0, np.float16)  # their sum is beyond half precision
    net.single.grad = np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3) * 0.1 * (rank + 1))
    net.double.grad = np.float64(rank / 3)
    net.empty.grad = np.zeros(0, np.float32)
    if rank == size - 1:
        net.some.grad = np.ones(2, np.float32)
    distributed.all_reduce_gradients(net)
    grads = {name: p.grad for name, p in net.named_parameters()}
    return {name: None if g is None else [str(g.dtype), g.tolist()] for name, g in grads.items()}


def other_bits():
    """Gradients whose sum depends on the order of adding."""
    net = tn.Layer()
    net.w = tn.Parameter(np.zeros(10_001, np.float32))
    results = []
    for _ in range(2):
        net.w.grad = np.random.default_rng(distributed.rank()).normal(size=10_001).astype(np.float32) ** 5
        distributed.all_reduce_gradients(net)
        results.append(net.w.grad.numpy().tobytes().hex())
    return results


def models_that_differ():
    """The errors of every process; those that follow show that they still talk to each other."""
    last = distributed.rank() == distributed.world_size() - 1
    reduce, send = distributed.all_reduce_gradients, distributed.broadcast_parameters
    wide = tn.Sequential(L.Linear(5, 16), L.Tanh(), L.Linear(16, 4 if last else 3))
    before = weights(wide)
    errors = {"shape": error_of(send, wide), "wrapped": error_of(distributed.DataParallel, wide)}
    errors["more"] = error_of(reduce, network(0, L.LayerNorm(3)) if last else network(0))
    errors["dtype"] = error_of(reduce, network(0).astype("float64" if last else "float32"))
    frozen = network(0)
    if last:
        frozen.layers()[0].freeze()
    errors["frozen"] = error_of(reduce, frozen)
    errors["calls"] = error_of(reduce if last else send, network(0))
    errors["no size"] = error_of(send, tn.Sequential(L.Linear(None, 3)))
    errors["none"] = error_of(send, network(0))
    return {"errors": errors, "same": before == weights(wide)}


def broadcast():
    """Parameters and buffers of every dtype, in place."""
    rank, _ = ours()
    net = tn.Sequential(L.Linear(3, 2), L.BatchNorm1d(2))
    net.register_buffer("count", np.array(rank + 5))
    net.register_buffer("mask", np.array([rank == 0, True]))
    net.register_buffer("double", np.array([rank / 3]))
    for _, p in net.named_parameters():
        p.data[...] = rank + 1
    arrays = [t.data for _, t in [*net.named_parameters(), *net.named_buffers()]]
    distributed.broadcast_parameters(net)
    assert all(a is t.data for a, (_, t) in zip(arrays, [*net.named_parameters(), *net.named_buffers()], strict=True))
    return {name: [str(t.dtype), t.tolist()] for name, t in net.state_dict().items()}


def fits_that_would_hang():
    rank, size = ours()
    net = distributed.DataParallel(network(0))

    def fit(train, optimizer=None, **keywords):
        optimizer = optimizer or optim.SGD(net)
        return error_of(net.fit, train, optimizer=optimizer, progress=False, **keywords)

    def loader(n=12, seed=0, shuffle=True, shard=(rank, size)):
        return data.DataLoader(samples(n), 2, shuffle=shuffle, seed=seed, shard=shard)

    rate = optim.SGD(net)
    return {
        "no shard": fit(loader(shard=None)),
        "no shard in one": fit(loader(shard=None) if rank else loader()),
        "batches": fit(loader(n=12 * size if rank else 24 * size)),
        "epochs": fit(loader(), epochs=1 + rank),
        "order": fit(loader(seed=rank)),
        "closure": fit(loader(), optim.LBFGS(net)),
        "capture": fit(loader(), capture=True),
        "metric": fit(loader(), rate, scheduler=optim.schedulers.ReduceLROnPlateau(rate), step_scheduler="batch"),
        "none": fit(loader(seed=rank, shuffle=False)),
        "arrays": fit(samples(10), batch_size=2),
    }


def told():
    """Texts of different lengths, one without letters; and each one's number on its machine, here the only one."""
    rank, _ = ours()
    return distributed.world().texts("é" * rank), distributed.local_rank()


def seeds():
    """After ``init`` all draw the same, whatever seed they began with. (Over threads there is one stream.)"""
    net = L.Linear(2, 1)
    return data.DataLoader(np.arange(4)).seed, net.weight.tolist()


PROGRAMS = (
    trained_by_fit,
    trained_by_hand,
    added_up,
    odd_gradients,
    other_bits,
    models_that_differ,
    broadcast,
    fits_that_would_hang,
    told,
)


def main(folder):
    """In each process: run every program, and write down what they return."""
    from mpi4py import MPI

    tn.manual_seed(MPI.COMM_WORLD.rank)
    distributed.init()
    results = {program.__name__: program() for program in (seeds, *PROGRAMS)}
    (Path(folder) / f"{distributed.rank()}.json").write_text(json.dumps(results))


if __name__ == "__main__":
    main(sys.argv[1])
