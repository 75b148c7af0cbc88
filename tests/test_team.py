"""Products shared by a team of threads: NumPy's, however stored; from several callers, after a sleep, after a fork."""

import functools
import gc
import itertools
import os
import pickle
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import tinynet as tn
from tinynet import functions as F
from tinynet import kernels
from tinynet.functions.conv import conv2d_relu
from tinynet.kernels import products, team
from tinynet.kernels.compiled import compile_file
from tinynet.kernels.threads import blas_libraries

numba = pytest.importorskip("numba", reason="the team is compiled: pip install 'tinynet[fast]'")
from tinynet.kernels.pointers import pause, pointer  # noqa: E402 (it imports Numba)
from tinynet.kernels.tile import BYTES  # noqa: E402

pytestmark = pytest.mark.skipif(os.environ.get("TINYNET_NUMBA") == "0", reason="the team is compiled")


@pytest.fixture(params=[1, 3])
def crew(request, monkeypatch):
    """A team of so many threads in the place of the process's own."""
    loops = team.team()._loops
    made = team.Team(request.param, loops)
    monkeypatch.setattr(team, "team", lambda: made)
    return made


def stored(rng, shape, layout, dtype):
    a = rng.standard_normal(shape).astype(dtype)
    if layout == "columns":
        return np.asfortranarray(a)
    if layout == "part":
        return np.pad(a, 3)[3:-3, 3:-3]
    if layout == "part of columns":
        return np.pad(a.T, 3)[3:-3, 3:-3].T
    if layout == "every other":
        return np.repeat(a, 2, axis=1)[:, ::2]
    return a[::-1][::-1] if layout == "rows" else a[::-1]


LAYOUTS = ("rows", "columns", "part", "part of columns", "every other", "backwards")
SHAPES = ((70, 64, 80), (300, 40, 33), (33, 40, 300), (1, 600, 600))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("left", "right"), [*itertools.product(LAYOUTS, LAYOUTS)])
def test_products_are_numpys(crew, left, right, dtype):
    rng, close = np.random.default_rng(0), {"rtol": 0, "atol": 1e-4 if dtype == "float32" else 1e-12}
    for m, k, n in SHAPES:
        assert m * k * n >= products.LEAST
        a, b = stored(rng, (m, k), left, dtype), stored(rng, (k, n), right, dtype)
        c = products.matmul(a, b)
        assert c.dtype == dtype
        np.testing.assert_allclose(
            c, a.astype("float64") @ b.astype("float64"), rtol=0, atol=1e-4 if dtype == "float32" else 1e-12
        )
        bias = rng.standard_normal(n).astype(dtype)
        for added in (None, bias):
            y = products.affine(a, b.T, added)
            assert y.flags.c_contiguous
            wanted = a.astype("float64") @ b.astype("float64") + (0 if added is None else added)
            np.testing.assert_allclose(y, wanted, **close)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize(("n", "inside", "out"), [(32, 32, 10), (3, 300, 17), (1, 784, 11), (8192, 1, 1), (16, 16, 40)])
def test_affine_of_few_columns_or_few_rows(crew, n, inside, out, positive, dtype):
    rng, close = np.random.default_rng(0), {"rtol": 0, "atol": 1e-3 if dtype == "float32" else 1e-11}
    x, weight, bias = (rng.standard_normal(shape).astype(dtype) for shape in ((n, inside), (out, inside), out))
    for added in (None, bias):
        right = x.astype("float64") @ weight.T + (0 if added is None else added)
        y = products.affine(x, weight, added, positive)
        assert (y.dtype, y.flags.c_contiguous) == (dtype, True)
        np.testing.assert_allclose(y, np.maximum(right, 0) if positive else right, **close)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("n", "inside", "out"),
    [(64, 100, 70), (65, 70, 129), (300, 33, 40), (7, 300, 400), (40, 784, 10), (32, 32, 10), (1, 257, 129)],
)
def test_the_gradients_of_affine_are_numpys(crew, n, inside, out, layout, positive, dtype):
    rng, close = np.random.default_rng(0), {"rtol": 0, "atol": 1e-3 if dtype == "float32" else 1e-11}
    x, weight = stored(rng, (n, inside), layout, dtype), rng.standard_normal((out, inside)).astype(dtype)
    g, y = rng.standard_normal((2, n, out)).astype(dtype)
    y = np.maximum(y, 0)
    kept = g.copy()
    z = (g * (y != 0) if positive else g).astype("float64")
    for wanted in itertools.product([True, False], repeat=3):
        found = products.affine_back(g, y, x, weight, wanted, positive)
        for array, right, asked in zip(found, (z @ weight, z.T @ x, z.sum(axis=0)), wanted, strict=True):
            assert (array is not None) == asked
            if asked:
                assert array.dtype == dtype
                assert array.flags.c_contiguous
                np.testing.assert_allclose(array, right, **close)
    np.testing.assert_array_equal(g, kept)


@pytest.mark.skipif(BYTES != 64, reason="a BLAS library does these here, in a piece for each thread")
@pytest.mark.parametrize(
    ("n", "inside", "out"), [(100, 700, 300), (64, 256, 128), (33, 1000, 40), (128, 1000, 10), (9, 900, 900)]
)
def test_the_number_of_threads_changes_no_bit_of_a_product(n, inside, out, monkeypatch):
    rng = np.random.default_rng(0)
    x, weight, g = (rng.standard_normal(shape).astype("float32") for shape in ((n, inside), (out, inside), (n, out)))
    results = []
    for size in (1, 2, 3):
        made = team.Team(size, team.team()._loops)
        monkeypatch.setattr(team, "team", lambda made=made: made)
        y = products.affine(x, weight, None, True)
        results.append([y, products.matmul(g, weight), *products.affine_back(g, y, x, weight, (True, True, True), True)])
    for others in results[1:]:
        for a, b in zip(results[0], others, strict=True):
            np.testing.assert_array_equal(a, b)


def test_what_blas_cannot_read_and_what_is_no_float_is_numpys(crew):
    rng = np.random.default_rng(0)
    a = rng.integers(0, 5, (100, 100))
    np.testing.assert_array_equal(products.matmul(a, a), a @ a)
    half = a.astype("float16")
    assert products.matmul(half, half).dtype == np.float16
    fixed = a.astype("float32")
    fixed.flags.writeable = False
    np.testing.assert_array_equal(products.matmul(fixed, fixed), a @ a)
    mixed = products.affine(a.astype("float32"), a.astype("float32"), np.zeros(100))
    np.testing.assert_array_equal(mixed, a @ a.T)
    other = a.astype(">f4")
    np.testing.assert_array_equal(products.matmul(other, other), a @ a)


def test_nan_and_infinity_pass(crew):
    a, b = np.ones((100, 100), "float32"), np.ones((100, 100), "float32")
    a[3, 4], b[5, 6] = np.nan, np.inf
    c = products.matmul(a, b)
    assert np.isnan(c[3]).all()
    assert np.isnan(c).sum() == 100
    assert (c[:3, 6] == np.inf).all()


def test_many_callers_at_once(crew):
    rng = np.random.default_rng(0)
    pairs = [[rng.standard_normal((80, 80)) for _ in range(2)] for _ in range(6)]
    wrong = []

    def call(a, b):
        wrong.extend(k for k in range(50) if not np.allclose(products.matmul(a, b), a @ b))

    callers = [threading.Thread(target=call, args=pair) for pair in pairs]
    [t.start() for t in callers]
    [t.join() for t in callers]
    assert not wrong


def test_the_team_sleeps_and_comes_back(crew):
    a = np.random.default_rng(0).standard_normal((100, 100))
    for _ in range(3):
        deadline = time.monotonic() + 30
        while crew._words[crew._asleep] < crew.size - 1 and time.monotonic() < deadline:
            time.sleep(0.001)
        assert crew._words[crew._asleep] == crew.size - 1
        np.testing.assert_allclose(products.matmul(a, a), a @ a)


@numba.cfunc("void(int64, int64, int64, int64)")
def note(start, stop, thread, table):
    """Count in a table the parts of each thread, and the elements done of each number."""
    counts = numba.carray(pointer(table), 1000, np.int64)
    counts[900 + thread] += 1
    for k in range(start, stop):
        counts[k] += 1
    for _ in range(20):
        pause()


@pytest.mark.parametrize(("n", "grain"), [(1, 1), (800, 1), (799, 7), (5, 100), (1, 5)])
def test_every_part_is_done_once(crew, n, grain):
    counts = np.zeros(1000, np.int64)
    crew.wake()
    crew._loops.share(crew.address, note.address, counts.ctypes.data, n, grain)
    assert (counts[:n] == 1).all()
    assert not counts[n:900].any()
    assert counts[900:].sum() == -(-n // grain)
    assert not counts[900 + crew.size :].any()


def test_jobs_that_follow_each_other_are_kept_apart():
    """Who is late must not take a part of the next job for one of the last."""
    crew = team.Team(4, team.team()._loops)
    counts, rng = np.zeros(1000, np.int64), np.random.default_rng(0)
    for n, grain in zip(rng.integers(1, 60, 3000).tolist(), rng.integers(1, 9, 3000).tolist(), strict=True):
        counts[:] = 0
        crew._loops.share(crew.address, note.address, counts.ctypes.data, n, grain)
        assert (counts[:n] == 1).all()
        assert not counts[n:900].any()


def test_several_threads_take_part():
    """In one of many jobs: on a busy machine the caller may well do all parts of one itself."""
    crew = team.Team(3, team.team()._loops)
    counts = np.zeros(1000, np.int64)
    deadline = time.monotonic() + 60
    while not counts[901:].any() and time.monotonic() < deadline:
        crew.wake()
        crew._loops.share(crew.address, note.address, counts.ctypes.data, 800, 1)
    assert counts[901:].any()


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int64"])
@pytest.mark.parametrize("shape", [(7,), (90, 400), (3, 40, 20, 20)])
def test_relu_and_its_gradient(crew, shape, dtype):
    rng = np.random.default_rng(0)
    x, g = (10 * rng.standard_normal((2, *shape))).astype(dtype)
    if dtype != "int64":
        x.flat[:4] = np.nan, -np.inf, np.inf, -0.0
    for a, b in ((x, g), (x.T, g.T), (x[..., ::2], g[..., ::2]), (x, g[:1] if len(shape) > 1 else g)):
        y = kernels.relu(a)
        np.testing.assert_array_equal(y, np.maximum(a, 0))
        np.testing.assert_array_equal(kernels.relu_grad(b, y), b * (y != 0))
        assert y.dtype == dtype


def test_blas_has_its_threads_back_afterwards(crew):
    before = [library.get_num_threads() for library in blas_libraries()]
    a = np.ones((100, 100))
    products.matmul(a, a)
    assert [library.get_num_threads() for library in blas_libraries()] == before


def test_without_openblas_numpy_does_it(crew, monkeypatch):
    monkeypatch.setattr(team, "_blas", lambda name: 0)
    made = team.Team(2, crew._loops)
    monkeypatch.setattr(team, "team", lambda: made)
    a = np.ones((100, 100))
    np.testing.assert_array_equal(products.matmul(a, a), a @ a)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_child_has_a_team_of_its_own():
    a = np.ones((100, 100))
    products.matmul(a, a)
    child = os.fork()
    if child == 0:
        ok = np.array_equal(products.matmul(a, a), a * 100)
        os._exit(0 if ok else 1)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_what_was_recorded_before_a_fork_is_differentiated_after_it(monkeypatch):
    monkeypatch.setattr(team, "team", functools.cache(lambda: team.Team(1, compile_file("shared", np.dtype(np.float32)))))
    x, weight = tn.rand(8, 4, 32, 32), tn.tensor(np.ones((5, 4, 3, 3), "float32"), requires_grad=True)
    loss = conv2d_relu(x, weight, pool=True).sum()
    child = os.fork()
    if child == 0:
        gc.collect()
        others = [np.full(n, 7) for n in range(50, 150) for _ in range(20)]  # in whatever memory is free now
        loss.backward()
        os._exit(0 if len(others) and np.all(weight.grad.numpy() > 0) else 1)
    assert os.waitpid(child, 0)[1] == 0


TRAINING = """
import tinynet as tn
from tinynet import layers as L

tn.manual_seed(0)
net = tn.Sequential(L.Conv2d(1, 8, 3), L.ReLU(), L.MaxPool2d(2), L.Flatten(), L.Linear(None, 64), L.ReLU(), L.Linear(64, 10))
images, ids = tn.rand(64, 1, 28, 28), tn.arange(64).numpy() % 10
net.fit((images, ids), optimizer=tn.optim.Adam(net, clip_norm=1.0), epochs=3, progress=False)
wide, narrow = tn.randn(100, 300, requires_grad=True), tn.randn(300, 90, requires_grad=True)
L.LSTM(90, 64)((wide @ narrow).relu().reshape(4, 25, 90))[0].sum().backward()
print(*[p.numpy().tobytes().hex() for p in net.parameters()], wide.grad.numpy().tobytes().hex())
"""


def test_no_memory_is_read_before_it_is_written_or_after_it_is_freed():
    """Python's allocator for debugging fills both; Numba's arrays are in it. Gradients were read by freed tables once."""
    said = []
    for allocator in ("malloc", "debug"):
        environment = {**os.environ, "PYTHONMALLOC": allocator, "PYTHONPATH": os.pathsep.join(sys.path)}
        run = subprocess.run([sys.executable, "-c", TRAINING], env=environment, capture_output=True, text=True, check=True)
        said.append(run.stdout)
    assert said[0] == said[1]


def test_arrays_from_a_pickle_are_shared_as_others_are():
    """Their dtype is equal to float32, and not the same object."""
    rng = np.random.default_rng(0)
    given = [rng.standard_normal(shape).astype("float32") for shape in ((64, 300), (200, 300), (200,), (64, 200))]
    x, weight, bias, g = read = [pickle.loads(pickle.dumps(a)) for a in given]
    assert all(team.shared(*pair) is not None for pair in zip(given, read, strict=True))
    y = products.affine(given[0], given[1], given[2], True)
    np.testing.assert_array_equal(products.affine(x, given[1], bias, True), y)
    found = products.affine_back(given[3], y, x, weight, (True, True, True), True)
    for a, b in zip(found, products.affine_back(g, y, given[0], given[1], (True, True, True), True), strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_does_not_fit_is_refused_however_large_it_is():
    x, weight = tn.rand(64, 784), tn.rand(256, 784)
    with pytest.raises(ValueError, match=r"\(64, 784\).*\(256, 784\)"):
        x @ weight
    for n in (2, 255, 1000):
        with pytest.raises(ValueError, match=rf"\({n},\)"):
            F.linear(x, weight, tn.ones(n))
    one, all_ones = F.linear(x, weight, tn.ones(1)), F.linear(x, weight, tn.ones(256))
    np.testing.assert_allclose(one.numpy(), all_ones.numpy(), rtol=1e-6)
