"""What the benchmarks share: contenders in turn, one that fails or has nothing to do, the table and the file."""

import dataclasses
import itertools
import json
import sys
import types
from itertools import pairwise

import numpy as np
import pytest

import tinynet as tn
from benchmarks import gpu, growth, limits, networks, op_overhead, step_time, time_to_accuracy, turns
from benchmarks.turns import Contender

pytestmark = pytest.mark.cpu  # programs that run by themselves

FAKE = """
import os
from benchmarks import turns

def measure(contender, case, factor):
    print("a library that talks")
    if contender == "ill":
        raise ValueError("no good")
    if contender == "dead":
        os._exit(3)
    if case == "large" and contender == "small only":
        raise turns.Skip("too large")
    threads, own = int(os.environ["OMP_NUM_THREADS"]), os.environ.get("OWN")
    return {"time": [factor, 3 * factor, 2 * factor], "threads": threads, "own": own}
"""
CONTENDERS = {
    "tinynet": Contender(environment={"OWN": "1"}),
    "small only": Contender(),
    "ill": Contender(),
    "dead": Contender(),
    "absent": Contender("a_package_that_nobody_has"),
}


@pytest.fixture
def results(tmp_path, monkeypatch):
    """A benchmark of two cases, with each of the things that can happen to a contender."""
    (tmp_path / "fake.py").write_text(FAKE)
    start = f"import benchmarks; benchmarks.__path__.append({str(tmp_path)!r}); from benchmarks import turns; turns.child()"
    run = turns.subprocess.run

    def with_fake(command, **keywords):
        return run([*command[:2], start, *command[3:]] if command[1] == "-c" else command, **keywords)

    monkeypatch.setattr(turns, "subprocess", types.SimpleNamespace(run=with_fake, CalledProcessError=OSError))
    path = tmp_path / "out" / "fake.json"
    options = ["--rounds", "2", "--threads", "3", "--json", str(path)]
    args = turns.arguments("", ["small", "large"], CONTENDERS).parse_args(options)
    return args, turns.compete("fake", args, factor=10)


def test_contenders_in_turn(results, capsys):
    args, found = results
    by = {(r.case, r.contender): r for r in found}
    assert len(by) == 8
    assert by["small", "tinynet"].values["time"] == [20, 20]
    assert by["small", "tinynet"].values["threads"] == [3, 3]
    assert by["small", "tinynet"].values["own"] == ["1", "1"]
    assert by["small", "small only"].values["own"] == [None, None]
    assert min(by["small", "tinynet"].values["memory"]) >= 0
    assert by["large", "small only"].skipped == "too large"
    assert by["large", "ill"].error == "ValueError: no good"
    assert by["small", "dead"].error.startswith("exit code 3")
    lines = turns.table(found, "time", "µs").splitlines()
    assert lines[1].split() == ["small", "20.0", "20.0", "failed", "failed", "1.00", "-", "-"]
    assert lines[2].split() == ["large", "20.0", "-", "failed", "failed", "-", "-", "-"]
    turns.finish(args, "fake", found, unit="µs")
    said = capsys.readouterr().out
    assert "failed: ill, large: ValueError: no good" in said
    assert "3 threads each" in said
    written = json.loads(args.json.read_text())
    assert written["benchmark"] == "fake"
    assert written["rounds"] == 2
    assert written["versions"]["numpy"] == np.__version__
    assert len(written["results"]) == 8


def test_what_is_chosen():
    parser = turns.arguments("", ["LeNet, 64", "cnn", "mlp"], CONTENDERS)
    assert turns.chosen(parser.parse_args([])) == ["LeNet, 64", "cnn", "mlp"]
    assert turns.chosen(parser.parse_args(["--only", "lenet", "ML"])) == ["LeNet, 64", "mlp"]


def test_the_networks_are_those_of_the_table():
    sizes = [
        sum(p.size for p in networks.stacked(tn.layers, tn.Sequential, n).parameters()) for n in networks.NETWORKS.values()
    ]
    fully_connected = [sum(i * o + o for i, o in pairwise(w)) for w in [(784, 32, 10), (784, 256, 128, 10)]]
    assert sizes[:3] == [*fully_connected, fully_connected[1]]
    assert sizes[4:] == [61706, 1199882]


@pytest.mark.parametrize("name", ["784-32-10, 32", "LeNet-5, 64"])
def test_a_step_of_a_benchmark_learns(name):
    step, batches = networks.tinynets(dataclasses.replace(networks.NETWORKS[name], lr=0.001))
    batch = next(batches)
    losses = [step(*batch).item() for _ in range(5)]
    assert losses[-1] < losses[0]


def test_the_split_of_a_step_finds_every_op_and_leaves_nothing_behind():
    from tinynet import functions as F
    from tinynet.op import OPS

    before = {name: (op.rules, op.joint) for name, op in OPS.items()}
    found = limits.split(networks.NETWORKS["LeNet-5, 64"], seconds=0.0)
    assert {name: (op.rules, op.joint) for name, op in OPS.items()} == before
    assert not hasattr(F.exp.__closure__[F.exp.__code__.co_freevars.index("forward")].cell_contents, "timed")
    assert [row["group"] for row in found["rows"]] == sorted(row["group"] for row in found["rows"])
    assert {row["group"] for row in found["rows"]} == {0, 1, 2, 3, 4}  # two convolutions and three linear layers
    assert all(row["forward"] > 0 for row in found["rows"])
    assert sum(row["backward"] > 0 for row in found["rows"]) >= 5


def test_limits_reads_all_off(capsys):
    found = limits.measure("tinynet", "784-32-10, 32", seconds=0.0, budget=0.0)["split"]
    lines = limits.report("784-32-10, 32", limits.merged([found, found])).splitlines()
    assert lines[0].startswith("784-32-10, 32: ")
    assert [line.split(",")[0] for line in lines if line.startswith("Linear")] == ["Linear 784-32", "Linear 32-10"]
    assert found["weights"] == 25450
    assert sum(group["flops"] for group in found["groups"]) == 2 * 32 * (784 * 32 * 2 + 32 * 10 * 3)


def test_time_to_accuracy_trains_and_tells_when_a_goal_was_reached():
    found = time_to_accuracy.measure("tinynet", "784-256-128-10", seed=0, epochs=2, limit=640)
    assert len(found["curve"]) == 2 * time_to_accuracy.LOOKS
    assert found["99%"] is None
    assert found["accuracy"] == found["curve"][-1][1] > 50
    result = turns.Result("c", "tinynet", {"99%": [None, 3.0, None]})
    assert turns.number(result.median("99%")) == "never"
    assert turns.Result("c", "tinynet", {"99%": [None, 3.0, 2.0]}).median("99%") == 3


def test_growth_names_where_a_larger_batch_takes_longer():
    assert growth.CASES["LeNet-5, batch 16"] == ("LeNet-5", 16)
    assert growth.network("784-w-w-10", 4096).layers[2] == ("Linear", 4096, 4096)
    times = {"784-256-128-10, batch 16": 8.0, "784-256-128-10, batch 32": 8.1, "784-256-128-10, batch 64": 9.0}
    results = [turns.Result(case, "tinynet", {"time": [t]}) for case, t in times.items()]
    (found,) = growth.rises(results)
    assert found == "tinynet, 784-256-128-10: 8.10 µs a sample in batches of 32, 9.00 in those of 64"


def test_the_raw_training_step_is_what_ours_is():
    raw, ours = op_overhead.raw_step(), op_overhead.call_of("tinynet", op_overhead.STEP)
    assert float(raw()) == pytest.approx(np.log(10), abs=0.5)
    assert ours().item() == pytest.approx(np.log(10), abs=0.5)
    for name, case in op_overhead.CASES.items():
        assert case.raw(*[op_overhead.vector(s) for s in case.shapes])[0].dtype == np.float32, name
        op_overhead.call_of("tinynet", name)()


def test_times_are_of_single_steps(monkeypatch):
    monkeypatch.setitem(step_time.BUILDERS, "fake", lambda network: (lambda x, y: None, itertools.repeat((0, 0))))
    times = step_time.timed(networks.NETWORKS["LeNet-5, 64"], "fake", seconds=0.0, warm_up=0.0)
    assert len(times) == step_time.LEAST
    assert min(times) >= 0


def test_the_benchmarks_import_no_library_before_they_run():
    names = ("numpy", "tinynet", "torch", "matplotlib")
    benchmarks = "growth, limits, startup, step_time, time_to_accuracy"
    code = f"import sys; from benchmarks import {benchmarks}; sys.exit(bool(sys.modules.keys() & {names!r}))"
    assert turns.subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_is_measured_on_a_gpu_runs_on_a_cpu_too(monkeypatch):
    monkeypatch.setattr(tn.backend, "_process_default", "cpu")
    settings = {"device": "cpu", "seconds": 0.01, "weights": 1000}
    for contender in ("tinynet", "captured"):
        assert gpu.measure(contender, "784-256-128-10, 64", **settings)["time"][0] > 0
    found = gpu.measure("tinynet", gpu.ADAM, **settings)
    assert found["share"] == found["GB/s"] / found["GB/s of a copy"] > 0
    assert gpu.difference(gpu.STEPS["LeNet-5, 64"], "cpu") == 0.0  # beside itself
    with pytest.raises(turns.Skip):
        gpu.measure("captured", gpu.ADAM, **settings)
    found = gpu.until(1.0, True, lambda: None, limit=128)
    assert (found["epochs"], found["seconds"] > 0) == (1, True)


def test_without_a_gpu_it_says_what_it_needs(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "cupy", None)
    monkeypatch.setattr(tn.backend, "_usable", False)
    monkeypatch.setattr(sys, "argv", ["gpu"])
    with pytest.raises(SystemExit) as ended:
        gpu.main()
    assert ended.value.code == 1
    assert "benchmarks.gpu needs a GPU, and there is none to use here: device 'cuda' needs CuPy" in capsys.readouterr().err
