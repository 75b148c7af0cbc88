"""The stand-in for CuPy refuses what a GPU would refuse or do at a cost, and has nothing that the real CuPy has not."""

import importlib
import operator

import numpy as np
import pytest
from strict_cupy import listing, module, reads, sends

cupy = module()


@pytest.fixture(autouse=True)
def counted_from_zero():
    reads.clear()
    sends.clear()


def on_gpu(*values, dtype="float32"):
    return cupy.asarray(np.array(values, dtype))


# ------------------------------------------------------------------------------------------ what the real CuPy has


def real_cupy():
    """CuPy as installed, also where the stand-in stands behind its name."""
    try:
        found = importlib.import_module("cupy")
    except ImportError:
        found = None
    if found is None or not hasattr(found, "_core"):
        pytest.skip("CuPy is not installed here (or the suite runs on the stand-in): its listing is compared elsewhere")
    return found


@pytest.mark.filterwarnings("ignore")
def test_the_listing_is_what_the_real_cupy_has():
    found, listed = listing.described(real_cupy()), listing.load()
    if found["version"] != listed["version"]:
        pytest.skip(f"the listing is of CuPy {listed['version']}, and {found['version']} is installed")
    assert found == listed


def test_nothing_in_the_stand_in_is_not_in_the_listing():
    listed = listing.load()
    names = listed["ufuncs"].keys() | listed["functions"].keys() | set(listed["other"])
    assert {f"cupy.{name}" for name in vars(cupy) if name[0] != "_"} <= names
    assert {f"cupy.cuda.{name}" for name in vars(cupy.cuda)} <= names
    assert {f"cupy.cuda.runtime.{name}" for name in vars(cupy.cuda.runtime)} <= names
    for name, kind in [
        ("ndarray", cupy.ndarray),
        *((f"cuda.{n}", getattr(cupy.cuda, n)) for n in ("Device", "Stream", "Event")),
    ]:
        members = {n for n in vars(kind) if n[0] != "_" or n in listing.SPECIAL}
        assert members <= listed["classes"][f"cupy.{name}"].keys() | {"__hash__", "__rpow__"}, name


def test_a_listing_is_read_as_it_was_written():
    def f(a, /, b, c=1, *args, d, e=None, **keywords):
        pass

    text = listing.arguments(f)
    assert text == "(a, /, b, c=, *args, d, e=, **keywords)"
    assert listing.text_of(listing.signature_of(text)) == text


# ------------------------------------------------------------------------------------------------ what it refuses


@pytest.mark.parametrize("f", [operator.add, operator.matmul, operator.lt, operator.eq, operator.and_, operator.iadd])
def test_operators_with_an_array_of_numpy(f):
    for pair in ((on_gpu(1, 2, dtype=int), np.array([1, 2])), (np.array([1, 2]), on_gpu(1, 2, dtype=int))):
        with pytest.raises(TypeError):
            f(*pair)


@pytest.mark.parametrize(
    "f",
    [
        np.asarray,
        np.array,
        np.sum,
        np.exp,
        np.shape,
        np.concatenate,
        list,
        np.float32,
        np.broadcast_to,
        np.isfinite,
        np.stack,
    ],
    ids=lambda f: f.__name__,
)
def test_functions_of_numpy(f):
    if f is list:
        f = lambda a: np.asarray(list(a))  # noqa: E731  # an array of arrays on the GPU
    with pytest.raises(TypeError):
        f(on_gpu(1, 2), (2,)) if f is np.broadcast_to else f(on_gpu(1, 2))


@pytest.mark.parametrize(
    ("use", "says"),
    [
        (lambda a: cupy.add(a, np.ones(2)), "Unsupported type <class 'numpy.ndarray'>"),
        (lambda a: cupy.add(a, [1, 2]), "Unsupported type <class 'list'>"),
        (lambda a: cupy.concatenate([a, np.ones(2)]), "Unsupported type <class 'numpy.ndarray'>"),
        (lambda a: cupy.sum((1, 2)), "none of the arguments is a CuPy array"),
        (lambda a: cupy.sum(a, where=a > 0), "does not take"),
        (lambda a: cupy.add(a, a, where=a > 0), "does not take"),
        (lambda a: a.sum(initial=0.0), "does not take"),
        (lambda a: a.clip(0, 1, where=a > 0), "does not take"),
        (lambda a: a[np.array([0, 1])], "Unsupported type .* as an index"),
        (lambda a: a[a : a + 1], "cannot be interpreted as an integer"),
        (lambda a: range(a[0]), "cannot be interpreted as an integer"),
        (lambda a: a.__setitem__(..., np.ones(2)), "Unsupported type"),
        (lambda a: cupy.add.at(cupy.zeros(3, "int64"), a.astype("int64"), 1), "only supports"),
    ],
)
def test_what_cupy_does_not_take(use, says):
    with pytest.raises(TypeError, match=says):
        use(on_gpu(1, 2))


@pytest.mark.parametrize(
    "use",
    [
        lambda a: cupy.busday_count,
        lambda a: cupy.nosuch,
        lambda a: a.ctypes,
        lambda a: a.flags.writeable,
        lambda a: a.flags.carray,
        lambda a: a.itemset,
        lambda a: a.__index__,
        lambda a: a.searchsorted.nosuch,
    ],
)
def test_names_that_cupy_has_not(use):
    with pytest.raises(AttributeError):
        use(on_gpu(1, 2))


@pytest.mark.parametrize(
    ("use", "error"),
    [
        (lambda a: cupy.maximum.reduce(a), NotImplementedError),
        (lambda a: cupy.multiply.at(a, 0, 2.0), NotImplementedError),
        (lambda a: a.argsort(kind="quicksort"), ValueError),
        (lambda a: a.__setitem__(cupy.asarray([0, 0]), 1.0), RuntimeError),
        (lambda a: cupy.where(True, a, a), AttributeError),
    ],
)
def test_what_cupy_refuses_in_other_ways(use, error):
    with pytest.raises(error):
        use(on_gpu(1, 2))


# -------------------------------------------------------------------------------------------- what it means by things


def test_results_without_axes_are_arrays():
    a = on_gpu(1, 2)
    for y in (a.sum(), a[0], cupy.sum(a), a.max(), a @ a, cupy.allclose(a, a), a[0] + a[1], -a[0], cupy.exp(2.0)):
        assert type(y) is cupy.ndarray
        assert y.shape == ()
    total = a.sum()
    kept = total
    total += 1
    assert total is kept
    assert reads.total() == 0


def test_indices_out_of_bounds_count_on_from_the_other_end():
    a = on_gpu(1, 2, 3)
    assert a[cupy.asarray([3, -4])].tolist() == [1, 3]
    assert a.take(cupy.asarray([4])).tolist() == [2]
    with pytest.raises(IndexError):
        a[3]


def test_numbers_of_python_are_weak_and_those_of_numpy_strong_as_in_cupy():
    a = on_gpu(1, 2)
    assert (a * 2.0).dtype == np.float32
    assert (a * np.float64(2)).dtype == np.float64
    assert (np.float32(2) * a).tolist() == [2, 4]


def test_a_gpu_warns_of_nothing():
    a = on_gpu(0, 1)
    assert (a / a).tolist()[1] == 1
    assert not cupy.isfinite(cupy.log(a))[0]


def test_views_share_memory():
    a = on_gpu(1, 2, 3, 4)
    a.reshape(2, 2).T[0, 1] = 9.0
    assert a.tolist() == [1, 2, 9, 4]
    assert a.reshape(2, 2).base is not None
    assert a.copy().base is None


# ------------------------------------------------------------------------------------------------ what is counted


@pytest.mark.parametrize(
    ("use", "count"),
    [
        (lambda a: (a + a).sum(), 0),
        (lambda a: a[a > 0], 1),
        (lambda a: a.__setitem__(a > 0, 1.0), 0),
        (lambda a: bool(a[0]), 1),
        (lambda a: (int(a[0]), float(a[1])), 2),
        (lambda a: a.item() if a.size == 1 else a.tolist(), 1),
        (lambda a: cupy.asnumpy(a), 1),
        (lambda a: a.get(), 1),
        (lambda a: str(a), 1),
        (lambda a: cupy.nonzero(a), 1),
        (lambda a: cupy.unique(a), 1),
        (lambda a: cupy.cuda.Device().synchronize(), 1),
        (lambda a: cupy.cuda.Stream.null.synchronize(), 1),
        (lambda a: list(a), 0),
        (lambda a: len(a) + a.ndim, 0),
    ],
)
def test_reads_for_which_a_gpu_is_waited_for(use, count):
    a = on_gpu(1, 2)
    use(a)
    assert reads.total() == count
    assert sends.total() == 1  # on_gpu itself


# ------------------------------------------------------------------------------------------------------ two GPUs


def test_arrays_know_their_gpu():
    a = on_gpu(1, 2)
    with cupy.cuda.Device(1):
        b = cupy.zeros(2)
        assert (b + 1).device.id == b[0].device.id == b.T.device.id == 1
        assert cupy.cuda.runtime.getDevice() == cupy.cuda.Device().id == 1
        moved = cupy.asarray(a)
        assert moved.device.id == 1
        assert (moved + b).tolist() == [1, 2]
    assert a.device == cupy.cuda.Device(0)
    assert cupy.asarray(a) is a
    assert cupy.asarray(b).device.id == 0
    for use in (lambda: a + b, lambda: b + 1, lambda: cupy.add(a, b), lambda: b.sum(), lambda: a.__setitem__(0, b[0])):
        with pytest.raises(ValueError, match="different from the current device"):
            use()
    assert b.get().tolist() == [0, 0]  # a read is possible from anywhere
    with pytest.raises(RuntimeError, match="invalid device ordinal"), cupy.cuda.Device(2):
        pass
    assert cupy.cuda.runtime.getDevice() == 0
