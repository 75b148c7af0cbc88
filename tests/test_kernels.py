"""Update rules as array code, in pieces, and as compiled loops: all give the same bits."""

import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
from update_rules import MOVING, RNG, RULES, arrays_for, buffers_of, every_operation, in_step

from tinynet import optim
from tinynet.kernels import add_at, axpy, compiled, exp, in_place, maximum, minimum, scatter, sqrt, update, where
from tinynet.kernels.source import array_source, loop_source, numbers_source
from tinynet.kernels.trace import Untraceable, trace
from tinynet.kernels.update import update_for

pytestmark = pytest.mark.cpu  # what runs on a CPU: NumPy and Numba's loops

NUMBA = pytest.mark.skipif(not compiled.enabled(), reason="the compiled loops need Numba: pip install 'tinynet[fast]'")


def updated(rule, arrays, hyper):
    """Copies of the arrays, updated."""
    w, grad, *buffers = (a.copy() for a in arrays)
    update(rule, w, grad, dict(zip(buffers_of(rule), buffers, strict=True)), hyper)
    return [w, *buffers]


def traced(rule, hyper):
    return trace(rule, ["w", "grad", *buffers_of(rule)], hyper)


def updates_in(folder):
    return [file for file in folder.glob("*.py") if "def update(" in file.read_text()]


def forget():
    """As in a new process."""
    sys.modules["tinynet.kernels.update"]._update_for.cache_clear()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty cache, and nothing remembered from other tests."""
    monkeypatch.setenv("TINYNET_CACHE", str(tmp_path / "kernels"))
    forget()
    yield tmp_path / "kernels"
    forget()


@NUMBA
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("rule", "hyper"), [*RULES, (every_operation, {"lr": 0.1, "power": 3})])
def test_a_compiled_loop_gives_the_bits_of_array_code(rule, hyper, dtype, monkeypatch):
    arrays = arrays_for(rule, 5000, dtype)
    arrays[1][:10] = 0.0
    assert update_for(rule, buffers_of(rule), hyper).loop(5000, np.dtype(dtype)) is not None
    fast = updated(rule, arrays, hyper)
    monkeypatch.setattr(compiled, "WANTED", False)
    for a, b in zip(fast, updated(rule, arrays, hyper), strict=True):
        if rule is every_operation:  # exp may differ in its last digit
            np.testing.assert_allclose(a, b, rtol=4 * np.finfo(dtype).eps, atol=1e-5 if dtype == "float32" else 1e-13)
        else:
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(("rule", "hyper"), RULES)
@pytest.mark.parametrize("shared_from", [10**9, 0])
def test_pieces_give_the_bits_of_the_whole_also_when_threads_share_them(rule, hyper, shared_from, monkeypatch, folder):
    monkeypatch.setattr(compiled, "WANTED", False)
    monkeypatch.setattr(axpy, "sums_of", lambda dtype: None)  # what BLAS rounds stands in test_axpy.py
    monkeypatch.setattr(in_place, "SHARED_FROM", shared_from)
    arrays = arrays_for(rule, 2 * in_place.PIECE + 5, "float32")  # some pieces and a bit
    whole = rule(*arrays, **hyper)
    for a, b in zip(updated(rule, arrays, hyper), whole if isinstance(whole, tuple) else (whole,), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(("rule", "hyper"), RULES)
def test_in_the_loop_are_no_powers_no_literals_and_few_divisions(rule, hyper):
    body = traced(rule, hyper).body
    assert not [line for line in body if line.op == "power"]
    assert not [x for line in body for x in line.operands if not x.endswith("_i") and x[0] not in "tn"]
    assert sum(line.op == "divide" for line in body) <= 1


def test_the_source_of_adam_reads_as_the_textbook():
    adam = traced(*in_step(3, "Adam"))
    assert numbers_source(adam).startswith("def numbers(hyper):")
    assert "beta2 ** step" in numbers_source(adam)
    assert "velocity[i] = " in loop_source(adam)
    code, temporaries = array_source(adam)
    assert "multiply(n0, velocity, out=velocity)\n" in code
    assert "add(velocity, f0, out=velocity)\n" in code
    assert temporaries == ["f0", "f1"]


def test_what_is_written_twice_is_computed_once_and_what_nobody_needs_never():
    def rule(w, grad, *, lr):
        grad**3 - 1
        return w - lr * grad - lr * grad

    assert [line.op for line in traced(rule, {"lr": 0.1}).body] == ["multiply", "subtract", "subtract"]


@pytest.mark.parametrize("engine", ["array code", pytest.param("compiled", marks=NUMBA)])
@pytest.mark.parametrize("rule", MOVING)
def test_rules_that_move_arrays_about(rule, engine, monkeypatch):
    monkeypatch.setattr(compiled, "WANTED", engine == "compiled")
    arrays = arrays_for(rule, 5000, "float32")
    wanted = rule(*arrays, lr=0.1)
    assert update_for(rule, ("a", "b"), {"lr": 0.1}).trace is not None
    for found, expected in zip(updated(rule, arrays, {"lr": 0.1}), wanted, strict=True):
        np.testing.assert_array_equal(found, np.broadcast_to(expected, 5000))


def test_functions_of_numbers_are_numbers():
    """NumPy's own float64 would turn float32 weights into float64."""
    assert type(sqrt(2.0)) is float
    assert type(maximum(1, 2.0)) is float
    assert type(where(True, 1.0, 2.0)) is float
    assert (np.ones(2, np.float32) * exp(0.5)).dtype == np.float32


def odd_numbers(w, grad, velocity, *, step):
    """Constants that a formula cannot hold as they print, and an integer's power that NumPy refuses to its own."""
    v = minimum(where(velocity > 2, np.nan, velocity), np.inf) + (-1) ** step * grad
    return w - maximum(step - 5, 1) ** -1 * v + (-0.5) ** step, v


def oddly_named(w, grad, velocity, *, p0, p1, t0, n0, hyper, np):
    velocity = (1 - p0) * velocity + (1 - p1) * (1 - t0) * grad
    return w - sqrt(1 - n0) * hyper * np * velocity, velocity


@pytest.mark.parametrize("engine", ["array code", pytest.param("compiled", marks=NUMBA)])
@pytest.mark.parametrize(
    ("rule", "hyper"),
    [
        (odd_numbers, {"step": 2}),
        (oddly_named, dict(zip(["p0", "p1", "t0", "n0", "hyper", "np"], range(2, 8), strict=True))),
    ],
)
def test_numbers_are_what_they_are_in_the_rule(rule, hyper, engine, monkeypatch):
    monkeypatch.setattr(compiled, "WANTED", engine == "compiled")
    hyper = {name: value if name == "step" else 1 / value for name, value in hyper.items()}
    arrays = arrays_for(rule, 5000, "float32")
    for found, expected in zip(updated(rule, arrays, hyper), rule(*arrays, **hyper), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@NUMBA
@pytest.mark.parametrize("name", ["before", "restore", "min", "range", "flush_denormals", "w_i"])
def test_a_buffer_may_have_any_name(name):
    rule = eval(f"lambda w, grad, {name}, *, lr: (w - lr * {name}, 0.9 * {name} + grad)")
    arrays = arrays_for(rule, 5000, "float32")
    for found, expected in zip(updated(rule, arrays, {"lr": 0.1}), rule(*arrays, lr=0.1), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (lambda w, grad, *, lr: w - lr * grad if lr > 0 else w, "branches"),
        (lambda w, grad, *, lr: w - lr * grad * np.ones(3), "computes with"),
        (lambda w, grad, *, lr: (w, w), "2 results"),
        (lambda w, grad, *, lr: lr, "results"),
        (lambda w, grad, *, lr: w - lr * (grad > 0), "condition"),
        (lambda w, grad, *, lr: where((grad > 0) & (lr > 0), w, grad), "condition"),
    ],
)
def test_what_cannot_be_traced_says_so(rule, message):
    with pytest.raises((Untraceable, TypeError), match=message):
        traced(rule, {"lr": 0.1})


@NUMBA
def test_what_cannot_be_traced_runs_as_array_code(folder):
    def branching(w, grad, *, lr):
        return w - lr * grad if lr > 0 else w

    def numpys_own(w, grad, *, lr):
        return w - lr * np.tanh(grad)

    w, grad = (RNG.standard_normal(5000).astype("float32") for _ in range(2))
    np.testing.assert_array_equal(updated(branching, [w, grad], {"lr": 0.1})[0], w - np.float32(0.1) * grad)
    with pytest.warns(UserWarning, match="numpys_own runs as array code"):
        result = updated(numpys_own, [w, grad], {"lr": 0.1})[0]
    np.testing.assert_array_equal(result, w - np.float32(0.1) * np.tanh(grad))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # told once
        updated(numpys_own, [w, grad], {"lr": 0.1})


@pytest.mark.parametrize("elementwise", [True, False])
def test_a_rule_as_it_stands_may_keep_what_the_weight_was(elementwise):
    def rule(w, grad, before, earlier, *, lr):
        return w - lr * np.tanh(grad), w[:], before

    arrays = arrays_for(rule, 5000, "float32")
    wanted = rule(*(a.copy() for a in arrays), lr=0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        update_for(rule, ("before", "earlier"), {"lr": 0.1}, elementwise).as_written(tuple(arrays), {"lr": 0.1})
    for found, expected in zip([arrays[0], *arrays[2:]], wanted, strict=True):
        np.testing.assert_array_equal(found, expected)


@NUMBA
def test_loops_are_kept_on_disk_one_for_each_rule_and_option(folder):
    arrays = arrays_for(optim.Momentum.rule, 5000, "float32")
    for lr in (0.1, 0.2, 3):  # a number may change
        updated(optim.Momentum.rule, arrays, {**in_step(3, "Momentum")[1], "lr": lr})
    assert len(updates_in(folder)) == 1
    updated(optim.Momentum.rule, arrays, {**in_step(3, "Momentum")[1], "nesterov": True})
    assert len(updates_in(folder)) == 2
    assert list((folder / "__pycache__").glob("*.nbc"))
    assert not list(folder.glob("*.part"))


@NUMBA
def test_who_asks_is_told_that_a_loop_is_compiled_but_not_that_it_is_read(folder):
    arrays, told = arrays_for(optim.Momentum.rule, 5000, "float32"), []
    for _ in range(2):
        with compiled.compiling(lambda: told.append(len(list(folder.glob("__pycache__/*.nbc"))))):
            updated(optim.Momentum.rule, arrays, in_step(3, "Momentum")[1])
        assert told == [0]  # once, before there was anything
        assert list(folder.glob("__pycache__/*.nbc"))
        forget()
    assert compiled.LISTENERS == []


READING = """
import sys
import numpy as np
from tinynet.kernels import compiled, cross_entropy, cross_entropy_grad

x, ids = np.linspace(-1, 1, 400, dtype="float32").reshape(40, 10), np.arange(40) % 10
job = "def nothing(start, stop, thread, address):\\n    pass\\n"
print(cross_entropy(x, ids).tobytes().hex(), compiled.compile_job(job, "nothing", x.dtype) != 0)
print("numba.np.linalg" in sys.modules)  # one of the many that Numba compiles by
y = cross_entropy_grad(np.ones(40), x.astype("float64"), ids)  # kept by nobody, the first time
compiled.WANTED = False
print(np.abs(y - cross_entropy_grad(np.ones(40), x.astype("float64"), ids)).max() < 1e-15)
"""


@NUMBA
def test_loops_on_disk_are_read_without_what_compiling_takes(tmp_path):
    said = []
    for lost in ((), ("*grad*.nb*",), ()):
        for pattern in lost:
            for file in (tmp_path / "__pycache__").glob(pattern):
                file.unlink()
        environment = {**os.environ, "TINYNET_CACHE": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
        run = subprocess.run([sys.executable, "-c", READING], env=environment, capture_output=True, text=True, check=True)
        said.append(run.stdout.splitlines())
    assert [lines[1] for lines in said] == ["True", "False", "False"]
    assert said[0][0] == said[1][0] == said[2][0]
    assert all(lines[0].endswith("True") and lines[2] == "True" for lines in said)


@NUMBA
def test_a_compiled_loop_lets_a_momentum_that_fades_end(folder):
    pointers = pytest.importorskip("tinynet.kernels.pointers")
    rule, hyper = in_step(3, "Momentum")
    zeros, tiny = np.zeros(5000, "float32"), np.full(5000, 1e-39, "float32")
    _, velocity = updated(rule, [zeros, zeros, tiny], hyper)
    assert np.all(velocity == 0) == bool(pointers.FLUSH)
    assert tiny[0] * np.float32(0.5) > 0  # out here numbers are as they were


@NUMBA
def test_a_changed_file_in_the_cache_is_not_believed(folder):
    rule, hyper = in_step(3, "SGD")
    arrays = arrays_for(rule, 5000, "float32")
    expected = updated(rule, arrays, hyper)
    (file,) = updates_in(folder)
    file.write_text(file.read_text().replace("w[i] = ", "w[i] = 0 * "))
    forget()
    np.testing.assert_array_equal(updated(rule, arrays, hyper), expected)


@NUMBA
def test_damaged_loops_are_compiled_anew_and_replaced(folder):
    """Cut off by a crash or a full disk. They were told of in a warning, at every start, and array code ran for ever."""
    rule, hyper = in_step(3, "SGD")
    arrays = arrays_for(rule, 5000, "float32")
    expected, found = updated(rule, arrays, hyper), []
    for damage in (lambda content: content, lambda content: content[:50], lambda content: b"", lambda content: content):
        for file in folder.glob("__pycache__/*.nb?"):
            file.write_bytes(damage(file.read_bytes()))
        forget()
        found.append([])
        with compiled.compiling(lambda: found[-1].append("compiled")):
            np.testing.assert_array_equal(updated(rule, arrays, hyper), expected)
    assert found == [[], ["compiled"], ["compiled"], []]


@NUMBA
def test_a_file_that_is_no_text_is_replaced(folder):
    rule, hyper = in_step(3, "SGD")
    arrays = arrays_for(rule, 5000, "float32")
    expected = updated(rule, arrays, hyper)
    (file,) = updates_in(folder)
    source = file.read_bytes()
    file.write_bytes(b"\xff" * 100)
    forget()
    np.testing.assert_array_equal(updated(rule, arrays, hyper), expected)
    assert file.read_bytes() == source


@NUMBA
def test_loops_of_a_folder_in_which_nothing_can_be_written_are_compiled(folder, monkeypatch):
    """As in a container whose cache another user has filled."""
    rule, hyper = in_step(3, "SGD")
    arrays = arrays_for(rule, 5000, "float32")
    updated(rule, arrays, hyper)
    forget()

    def closed(self):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("numba.core.caching._CacheLocator.ensure_cache_path", closed)
    loops = []
    monkeypatch.setattr(compiled, "_address", lambda job, make=compiled._address: loops.append(job) or make(job))
    updated(rule, arrays, hyper)
    assert len(loops) == 1


@NUMBA
def test_what_cannot_be_kept_is_compiled_all_the_same(folder, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("numba.core.caching.IndexDataCacheFile._save_data", full)
    rule, hyper = in_step(3, "SGD")
    arrays = arrays_for(rule, 5000, "float32")
    fast = updated(rule, arrays, hyper)
    assert updates_in(folder)
    monkeypatch.setattr(compiled, "WANTED", False)
    np.testing.assert_array_equal(fast, updated(rule, arrays, hyper))


INTERRUPTED = """
import _thread, importlib, threading, time, warnings
import numpy as np
from tinynet.kernels import relu

def interrupt(name, bring=importlib.import_module):
    importlib.import_module = bring  # the first time
    threading.Timer(0.03, _thread.interrupt_main).start()
    return bring(name)

importlib.import_module, x = interrupt, np.linspace(-1, 1, 100_000, dtype="float32")
try:
    relu(x)
    time.sleep(5)
except KeyboardInterrupt:
    print("interrupted")
warnings.simplefilter("error")
print(np.array_equal(relu(x), np.maximum(x, 0)), sum(t.name == "tinynet-import" for t in threading.enumerate()))
"""


@NUMBA
def test_an_interrupt_while_numba_is_imported_does_not_leave_half_of_it():
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run([sys.executable, "-c", INTERRUPTED], env=environment, capture_output=True, text=True, check=False)
    assert run.stdout.split() == ["interrupted", "True", "0"], run.stderr


@NUMBA
def test_an_empty_variable_names_no_folder(monkeypatch):
    monkeypatch.setenv("TINYNET_CACHE", "")
    assert compiled.loops_folder() == compiled.cache_folder() / "kernels"


@NUMBA
def test_a_folder_that_cannot_be_written_to_is_no_reason_to_fail(tmp_path, monkeypatch, folder):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TINYNET_CACHE", str(tmp_path / "file" / "kernels"))
    rule, hyper = in_step(3, "Adam")
    arrays = arrays_for(rule, 5000, "float32")
    fast = updated(rule, arrays, hyper)
    monkeypatch.setattr(compiled, "WANTED", False)
    np.testing.assert_array_equal(fast, updated(rule, arrays, hyper))


def test_a_rule_that_returns_too_little():
    with pytest.raises(ValueError, match="expected 2 results"):
        updated(lambda w, grad, velocity: w, [np.ones(3)] * 3, {})


# --------------------------------------------------------------------------------------------- adding at indices


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize(
    ("shape", "index"),
    [
        ((5, 3), np.array([4, 0, 4, 4, 2])),
        ((5, 3), np.array([-1, 4, -5])),
        ((5, 3), np.array([[1, 1], [0, 4]], "uint8")),
        ((300, 2), np.array([255, 1, 255], "uint8")),  # 255 * 2 is no uint8
        ((5, 2, 2), np.array([3, 3])),
        ((5, 3), np.array(2)),
        ((5, 3), np.array([], int)),
        ((0, 3), np.array([], int)),
        ((5, 0), np.array([1, 1])),
        ((5,), np.array([4, 4, 0])),
        ((5, 3), (np.array([1, 1]), np.array([2, 2]))),
        ((5, 3), (slice(None), np.array([2, 2]))),
        ((400, 30), RNG.integers(0, 400, 500)),
        ((3, 4, 50), RNG.integers(-3, 3, (40, 2))),
    ],
    ids=lambda a: str(a) if isinstance(a, tuple) or a.size < 10 else f"{a.shape} of them",
)
@pytest.mark.parametrize("numba", ["0", "1"])
def test_adding_at_an_index(shape, index, dtype, numba, monkeypatch):
    monkeypatch.setattr(compiled, "WANTED", numba != "0")
    total = RNG.standard_normal(shape).astype(dtype)
    g = RNG.standard_normal(total[index].shape).astype(dtype)
    expected = total.copy()
    np.add.at(expected, index, g)
    for layout in ("C", "F"):
        found = total.copy(order=layout)
        add_at(found, index, np.asfortranarray(g))
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("width", [3, 5000])  # of which one is work for the compiled loop
@pytest.mark.parametrize("wrong", [5, -6])
def test_adding_out_of_range(width, wrong):
    with pytest.raises(IndexError, match="out of bounds"):
        add_at(np.zeros((5, width)), np.array([0, wrong]), np.zeros((2, width)))


@NUMBA
def test_rows_are_added_by_a_compiled_loop_and_repeated_ones_of_a_broadcast_too(monkeypatch):
    total, index, g = np.zeros((5, 100), "float32"), np.arange(200) % 3, np.broadcast_to(np.float32(1), (200, 100))
    loops = []
    monkeypatch.setattr(scatter, "loops_of", lambda *a: loops.append(compiled.loops_of(*a)) or loops[0])
    add_at(total, index, g)
    assert callable(loops[0])
    assert total.tolist() == [[67.0] * 100, [67.0] * 100, [66.0] * 100, [0.0] * 100, [0.0] * 100]
