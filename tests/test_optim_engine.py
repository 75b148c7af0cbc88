"""What a step does besides its rule: one call for many arrays whatever happens to them, clipping on the way, checks."""

import copy
import math
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from sampling import put
from update_rules import ELEMENTWISE

import tinynet as tn
from tinynet import optim
from tinynet.kernels import compiled, table

NUMBA = pytest.mark.skipif(not compiled.enabled(), reason="the compiled loops need Numba: pip install 'tinynet[fast]'")
ENGINES = [pytest.param("0", id="array-code"), pytest.param("1", id="compiled", marks=NUMBA)]
SHAPES = [(70, 80), (80,), (3, 5), (), (0, 4)]  # together worth a compiled loop, and most alone not


@pytest.fixture(params=ENGINES)
def engine(request, monkeypatch):
    monkeypatch.setattr(compiled, "WANTED", request.param != "0")
    return request.param


def parameters(dtype=np.float32, seed=0):
    rng = np.random.default_rng(seed)
    return [tn.Parameter(rng.standard_normal(shape), dtype=dtype) for shape in SHAPES]


def give_gradients(params, seed):
    rng = np.random.default_rng(seed)
    for p in params:
        p.grad = rng.standard_normal(p.shape).astype(p.dtype)


def assert_same(a, b):
    for p, q in zip(a, b, strict=True):
        assert p.dtype == q.dtype
        np.testing.assert_array_equal(p.numpy(), q.numpy())


# ------------------------------------------------------------------------------------- whatever happens to the arrays


def happenings(params, optimizer, rng):
    """Things that a user may do between two steps, by name."""
    p = params[rng.integers(len(params) - 1)]
    return {
        "nothing": lambda: None,
        "write": lambda: p.data.__setitem__(..., p.data * 0.5),
        "rebind": lambda: setattr(p, "data", p.data * 0.5),
        "column-major": lambda: setattr(p, "data", p.data.copy(order="F")),
        "strided": lambda: setattr(p, "data", p.data.reshape(*p.shape, 1).repeat(2, axis=-1)[..., 0]),
        "freeze": lambda: setattr(p, "requires_grad", not p.requires_grad),
        "no gradient": lambda: setattr(p, "grad", None),
        "strided gradient": lambda: setattr(
            p, "grad", p.grad.data.reshape(*p.shape, 1).repeat(2, axis=-1)[..., 1] if p.grad is not None else None
        ),
        "one number as a gradient": lambda: setattr(p, "grad", np.broadcast_to(np.float32(0.5), p.shape)),
        "its own weights as a gradient": lambda: setattr(p, "grad", p.data),
        "rate": lambda: setattr(optimizer, "lr", optimizer.lr * 0.9),
        "clip": lambda: setattr(optimizer, "clip_norm", 20.0 if optimizer.clip_norm is None else None),
        "decay": lambda: optimizer.param_groups[0].update(weight_decay=0.1),
        "state": lambda: [b.__setitem__(..., b * 0.5) for b in optimizer.state(p).values()],
        "state bound": lambda: [optimizer.state(p).__setitem__(n, b * 0.5) for n, b in optimizer.state(p).items()],
        "float64": lambda: setattr(p, "data", p.data.astype(np.float64)),
        "float32": lambda: setattr(p, "data", p.data.astype(np.float32)),
        "float16": lambda: setattr(p, "data", p.data.astype(np.float16)),
        "big-endian": lambda: setattr(p, "data", p.data.astype(p.dtype.newbyteorder(">"))),
        "load": lambda: optimizer.load_state_dict(optimizer.state_dict()),
        "group": lambda: optimizer.add_param_group({"params": [tn.Parameter(np.ones(5000))], "lr": 0.5}),
    }


@NUMBA
@pytest.mark.cpu  # Numba's loops, and arrays in another byte order
@pytest.mark.parametrize("name", ["SGD", "Adam", "RAdam"])  # the rules themselves are compared in test_kernels.py
@pytest.mark.parametrize("seed", range(5))
def test_the_same_bits_with_and_without_numba_whatever_happens(name, seed, monkeypatch):
    results = []
    for numba in "01":
        monkeypatch.setattr(compiled, "WANTED", numba != "0")
        params, rng = parameters(), np.random.default_rng(seed)
        optimizer = getattr(optim, name)(params, lr=0.01)
        with np.errstate(all="ignore"):  # float16 overflows
            for step in range(60):
                give_gradients(optimizer.param_groups[0]["params"], step)
                options = happenings(params, optimizer, rng)
                options[list(options)[rng.integers(len(options))]]()
                optimizer.step()
        results.append((params, optimizer))
    (first, one), (second, other) = results
    assert_same(first, second)
    one, other = one.state_dict(), other.state_dict()
    assert one["steps"] == other["steps"]
    assert one["buffers"].keys() == other["buffers"].keys()
    for buffer, array in one["buffers"].items():
        np.testing.assert_array_equal(array, other["buffers"][buffer], err_msg=buffer)


@NUMBA
@pytest.mark.cpu  # Numba's loops
@pytest.mark.parametrize("name", ["SGD", "Adam", "RAdam"])
def test_the_same_bits_when_one_thing_changes_after_steps_that_were_alike(name, monkeypatch):
    results = []
    for numba in "01":
        monkeypatch.setattr(compiled, "WANTED", numba != "0")
        params = parameters()
        optimizer = getattr(optim, name)(params, lr=0.01)
        changes = [
            lambda p, o: setattr(o, "clip_norm", 20.0),
            lambda p, o: setattr(o, "clip_norm", None),
            lambda p, o: setattr(o, "lr", 0.02),
            lambda p, o: o.param_groups[0].update(weight_decay=0.1),
            lambda p, o: setattr(p[0], "data", p[0].data * 0.5),
            lambda p, o: [b.__setitem__(..., b * 0.5) for b in o.state(p[0]).values()],
            lambda p, o: setattr(p[0], "data", p[0].data.copy(order="F")),
            lambda p, o: [setattr(q, "data", q.data.astype(np.float64, order="C")) for q in p],
            lambda p, o: setattr(p[1], "requires_grad", False),
            lambda p, o: setattr(p[1], "requires_grad", True),
        ]
        for k, change in enumerate([*changes, lambda p, o: None]):
            for step in range(3):
                give_gradients(params, 10 * k + step)
                optimizer.step()
            change(params, optimizer)
        results.append(params)
    assert_same(*results)


@NUMBA
@pytest.mark.cpu  # threads on a CPU
@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_a_loop_shared_among_threads_gives_the_same_bits(name, monkeypatch):
    """Each thread takes a share of every array, down to none of the smallest."""
    results = []
    for shared_from in (10**9, 0):
        monkeypatch.setattr(table, "SHARED_FROM", shared_from)
        params = parameters()
        optimizer = getattr(optim, name)(params, lr=0.01)
        for step in range(5):
            give_gradients(params, step)
            optimizer.step()
        results.append(params)
    assert_same(*results)


@NUMBA
@pytest.mark.cpu  # Numba's loops
@pytest.mark.parametrize("count", [1, table.AT_ONCE - 1, table.AT_ONCE, table.AT_ONCE + 1, 2 * table.AT_ONCE + 3])
@pytest.mark.parametrize("shared_from", [10**9, 0])
def test_the_same_bits_whatever_the_number_of_parameters(count, shared_from, monkeypatch):
    monkeypatch.setattr(table, "SHARED_FROM", shared_from)
    results = []
    for numba in "01":
        monkeypatch.setattr(compiled, "WANTED", numba != "0")
        params = [tn.Parameter(np.full(4096 if k == 0 else 3, 1.0)) for k in range(count)]
        optimizer = optim.Momentum(params, lr=0.01)
        for step in range(3):
            give_gradients(params, step)
            optimizer.step()
        results.append(params)
    assert_same(*results)


def test_assigning_to_the_state_writes_into_the_buffer(engine):
    p = tn.Parameter(np.zeros(5000))
    optimizer = optim.Momentum([p], lr=1.0, beta=0.5)
    p.grad = np.zeros(5000)
    optimizer.step()
    buffer = optimizer.state(p)["velocity"]
    optimizer.state(p)["velocity"] = put(np.full(5000, 4.0))
    assert optimizer.state(p)["velocity"] is buffer
    optimizer.step()
    np.testing.assert_array_equal(p.numpy(), -2.0)
    with pytest.raises(KeyError, match="speed"):
        optimizer.state(p)["speed"] = 1.0
    assert copy.deepcopy(optimizer.state(p))["velocity"] is not buffer
    assert repr(optimizer.state(p)).startswith("{'velocity': array(")


def test_a_copy_has_arrays_of_its_own(engine):
    params = parameters()
    optimizer = optim.Adam(params, lr=0.1)
    give_gradients(params, 0)
    optimizer.step()
    before = [p.numpy().copy() for p in params]
    twin_params, twin = copy.deepcopy((params, optimizer))
    give_gradients(twin_params, 1)
    twin.step()
    for p, kept in zip(params, before, strict=True):
        np.testing.assert_array_equal(p.numpy(), kept)
    give_gradients(params, 1)
    optimizer.step()
    assert_same(params, twin_params)


@pytest.mark.cpu  # CuPy has no read-only arrays
def test_a_read_only_weight_is_told_before_anything_changes(engine):
    params = parameters()
    optimizer = optim.Adam(params)
    give_gradients(params, 0)
    optimizer.step()
    before = [p.numpy().copy() for p in params], optimizer.state_dict()
    params[2].data.flags.writeable = False
    with pytest.raises(ValueError, match="Adam: parameter '2' is a read-only array"):
        optimizer.step()
    for p, kept in zip(params, before[0], strict=True):
        np.testing.assert_array_equal(p.numpy(), kept)
    assert optimizer.state_dict()["steps"] == before[1]["steps"]


# ----------------------------------------------------------------------------------------------------------- clipping


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("options", [{}, {"weight_decay": 0.1, "maximize": True}], ids=["plain", "decay, maximize"])
@pytest.mark.parametrize(
    ("name", "numba"),
    [*((name, "0") for name in [*ELEMENTWISE, "Muon"]), *(pytest.param(name, "1", marks=NUMBA) for name in ("SGD", "Adam"))],
)
def test_clip_norm_is_clip_grad_norm_before_the_step(name, numba, options, dtype, monkeypatch):
    monkeypatch.setattr(compiled, "WANTED", numba != "0")
    a, b = parameters(dtype), parameters(dtype)
    if name == "Muon":
        a, b = a[:1], b[:1]
    split = [slice(0, 2), slice(2, None)]
    groups = [[{"params": p[s]} for s in split if p[s]] for p in (a, b)]
    make = getattr(optim, name)
    first, second = make(groups[0], lr=0.01, clip_norm=20.0, **options), make(groups[1], lr=0.01, **options)
    for step, clipped in enumerate([True, False, True]):
        for params in (a, b):
            give_gradients(params, step)
            for p in params:
                p.grad = p.grad.numpy() * np.asarray(1.0 if clipped else 0.01, dtype)
        kept = [p.grad.numpy().copy() for p in a]
        with np.errstate(all="ignore"):  # in float16 eps is 0
            first.step()
            norm = optim.clip_grad_norm(b, 20.0)
            second.step()
        assert first.grad_norm == norm
        assert (norm > 20) == clipped
        for p, grad in zip(a, kept, strict=True):
            np.testing.assert_array_equal(p.grad.numpy(), grad)
    assert_same(a, b)


def test_the_norm_only_measured(engine):
    params = parameters(np.float64)
    optimizer = optim.SGD(params)
    give_gradients(params, 0)
    optimizer.step()
    assert optimizer.grad_norm is None
    optimizer.clip_norm = math.inf
    before = [p.numpy().copy() for p in params]
    optimizer.step()
    assert optimizer.grad_norm == pytest.approx(math.sqrt(sum((p.grad.data**2).sum() for p in params)), rel=1e-14)
    for p, w in zip(params, before, strict=True):
        np.testing.assert_array_equal(p.numpy(), w - 0.01 * p.grad.numpy())


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_a_norm_that_is_no_number_clips_nothing(value, engine):
    p = tn.Parameter(np.zeros(5000))
    p.grad = np.concatenate([[value], np.full(4999, 100.0)])
    optimizer = optim.SGD([p], lr=1.0, clip_norm=0.5)
    optimizer.step()
    assert not math.isfinite(optimizer.grad_norm)
    np.testing.assert_array_equal(p.numpy()[1:], -100.0)


def test_clipping_is_saved_with_the_state():
    p, q = tn.Parameter([0.0]), tn.Parameter([0.0])
    optimizer, fresh = optim.SGD([p], clip_norm=0.5), optim.SGD([q])
    fresh.load_state_dict(optimizer.state_dict())
    assert fresh.clip_norm == 0.5
    state = optimizer.state_dict()
    state["clip_norm"] = -1.0
    with pytest.raises(ValueError, match=r"clip_norm is -1\.0"):
        fresh.load_state_dict(state)
    del state["clip_norm"]  # saved by an earlier version
    fresh.load_state_dict(state)
    assert fresh.clip_norm == 0.5
    with pytest.raises(ValueError, match="clip_norm is 0"):
        fresh.clip_norm = 0
    assert fresh.clip_norm == 0.5


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_check_finite(value, dtype, engine):
    params = parameters(dtype)
    optimizer = optim.Adam([("body", params[0]), ("head", params[1])], eps=1e-3, check_finite=True)
    give_gradients(params, 0)
    optimizer.step()
    before, state = [p.numpy().copy() for p in params], optimizer.state_dict()
    params[1].grad.data[3:5] = value
    message = "Adam: the gradient of parameter 'head' has 2 elements of 80 that are NaN or infinite; nothing was changed"
    with pytest.raises(ValueError, match=message):
        optimizer.step()
    for p, kept in zip(params, before, strict=True):
        np.testing.assert_array_equal(p.numpy(), kept)
    assert optimizer.state_dict()["steps"] == state["steps"]
    for name, buffer in optimizer.state_dict()["buffers"].items():
        np.testing.assert_array_equal(buffer, state["buffers"][name])


def test_large_gradients_are_finite(engine):
    p = tn.Parameter(np.zeros(5000), dtype=np.float64)
    p.grad = np.full(5000, 1e200)  # the sum of their squares is no float64
    with np.errstate(over="ignore"):
        optim.SGD([p], lr=1e-200, check_finite=True).step()
    np.testing.assert_array_equal(p.numpy(), -1.0)


@pytest.mark.cpu  # with --backend strict every test shows it
def test_a_step_asks_arrays_on_a_gpu_for_no_flag_that_only_numpy_has(monkeypatch):
    class ndarray:  # as CuPy's: its flags tell of contiguity, and not whether it may be written into
        shape, ndim, size, dtype = (2,), 1, 2, np.dtype("float32")
        flags = SimpleNamespace(c_contiguous=True, f_contiguous=True, owndata=True)

    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(ndarray=ndarray))
    p = tn.Parameter([1.0, 2.0])
    optimizer = optim.SGD([p])
    p.data, p.grad = ndarray(), None
    p._grad = tn.tensor([0.0, 0.0])
    p._grad.data = ndarray()
    due = optimizer._binding(0).due({}, optimizer._state)
    assert [slot.p for slot in due.slots] == [p]
    assert due.counts == [1]
    assert due.dtype is None  # no compiled loop takes these


@pytest.mark.cpu
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("order", [1, -1])
def test_arrays_that_no_loop_takes_beside_others(dtype, order, engine):
    """One of columns: NumPy says of float64 that it is equal to None, which stands for these."""
    parameters = [tn.Parameter(np.ones((3, 4), dtype)), tn.Parameter(np.ones((3, 4), dtype))][::order]
    parameters[1].data = np.asfortranarray(parameters[1].data)
    optimizer = optim.Momentum(parameters, lr=0.5, beta=0.0)
    for p in parameters:
        p.grad = np.full((3, 4), 2, dtype)
    optimizer.step()
    for p in parameters:
        np.testing.assert_array_equal(p.numpy(), np.zeros((3, 4)))
