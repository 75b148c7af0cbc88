"""The loader: what comes out of it, as what, on which device, and what transforms make of it."""

import json

import numpy as np
import pytest
from numbered import N, Samples, flat, ids
from sampling import put, share_memory

from tinynet.data import ArrayDataset, DataLoader, Dataset, Subset
from tinynet.tensor import Tensor


@pytest.fixture
def arrays():
    return np.arange(N * 6, dtype=np.float32).reshape(N, 2, 3), np.arange(N)


# --------------------------------------------------------------------------------------------------- what comes out


@pytest.mark.parametrize("prefetch", [0, 2])
def test_batches_in_order(arrays, prefetch):
    batches = list(DataLoader(arrays, batch_size=5, prefetch=prefetch))
    assert [type(t) for t in batches[0]] == [Tensor, Tensor]
    assert ids(batches) == [[*range(i, min(i + 5, N))] for i in range(0, N, 5)]
    np.testing.assert_array_equal(np.concatenate([x.numpy() for x, _ in batches]), arrays[0])
    assert batches[0][0].dtype == np.float32
    assert not batches[0][0].requires_grad


def test_unshuffled_batches_are_views_and_shuffled_ones_are_not(arrays):
    arrays = put(arrays)
    assert all(share_memory(x.data, arrays[0]) for x, _ in DataLoader(arrays, batch_size=5))
    assert not any(share_memory(x.data, arrays[0]) for x, _ in DataLoader(arrays, batch_size=5, shuffle=True))


@pytest.mark.parametrize(
    ("n", "size", "drop_last"), [(23, 5, False), (23, 5, True), (20, 5, True), (3, 5, True), (0, 5, False)]
)
def test_length_and_drop_last(n, size, drop_last):
    data = DataLoader((np.zeros((n, 2)), np.arange(n)), batch_size=size, drop_last=drop_last)
    sizes = [len(y) for _, y in data]
    assert len(sizes) == len(data)
    assert sizes == [size] * (n // size) + ([n % size] if n % size and not drop_last else [])


def test_one_array_alone_gives_tuples_of_one():
    for x in (np.arange(3), Tensor([0, 1, 2]), ArrayDataset([0, 1, 2])):
        assert [(len(b), b[0].tolist()) for b in DataLoader(x, batch_size=2)] == [(1, [0, 1]), (1, [2])]


@pytest.mark.parametrize("shuffle", [False, True])
def test_whole_arrays_and_single_samples_give_the_same_batches(arrays, shuffle):
    class OneByOne(ArrayDataset):
        def __getitem__(self, i):
            assert type(i) is int
            return super().__getitem__(i)

    rows = [7, 3, 3, 11, 0, 22]
    pairs: list[tuple] = [(ArrayDataset(*arrays), OneByOne(*arrays))]
    pairs += [tuple(Subset(ds, rows) for ds in pairs[0])]
    pairs += [tuple(Subset(ds, [5, 1, 1]) for ds in pairs[1])]
    for whole, single in pairs:
        a, b = (list(DataLoader(ds, batch_size=4, shuffle=shuffle, seed=3)) for ds in (whole, single))
        assert len(a) == len(b)
        for left, right in zip(a, b, strict=True):
            for one, other in zip(left, right, strict=True):
                np.testing.assert_array_equal(one.numpy(), other.numpy(), strict=True)


def test_whole_arrays_are_not_asked_for_samples(arrays):
    class Whole(Dataset):
        arrays = property(lambda self: given)

        def __len__(self):
            return N

        def __getitem__(self, i):
            raise AssertionError("asked for one sample")

    given = arrays
    assert len(ids(DataLoader(Subset(Subset(Whole(), range(20)), range(10)), batch_size=2, shuffle=True))) == 5
    given = (arrays[0][:5], arrays[1][:5])
    with pytest.raises(ValueError, match="arrays have 5 rows, but its length is 23"):
        list(DataLoader(Whole()))


def test_a_subclass_may_add_whole_arrays_to_a_set():
    class Fast(Samples):
        @property
        def arrays(self):
            return np.zeros((self.n, 2, 3), np.float32), np.arange(self.n)

    source = Fast()
    assert flat(DataLoader(source, 5)) == list(range(N))
    assert source.asked == []


def test_an_overridden_getitem_is_not_bypassed(arrays):
    class Doubled(ArrayDataset):
        def __getitem__(self, i):
            x, y = super().__getitem__(i)
            return x * 2, y

    for ds in (Doubled(*arrays), Subset(Doubled(*arrays), range(N))):
        ((x, _),) = DataLoader(ds, batch_size=N)
        np.testing.assert_array_equal(x.numpy(), arrays[0] * 2, strict=True)


def test_samples_are_stacked_with_their_dtypes():
    class Mixed(Samples):
        def __getitem__(self, i):
            return (
                *(float(i), i, i > 0, [1.0, 2], np.float64(i), np.int8(i)),
                *(np.zeros(2, np.float64), np.zeros((), np.uint8), Tensor([1.0])),
            )

    ((*columns,),) = DataLoader(Mixed(3), batch_size=3)
    assert [(str(c.dtype), c.shape) for c in columns] == [
        *(("float32", (3,)), ("int64", (3,)), ("bool", (3,)), ("float32", (3, 2)), ("float64", (3,)), ("int8", (3,))),
        *(("float64", (3, 2)), ("uint8", (3,)), ("float32", (3, 1))),
    ]
    assert columns[1].tolist() == [0, 1, 2]


def test_a_sample_that_is_no_tuple_and_a_set_that_is_no_dataset():
    class Plain:
        def __len__(self):
            return 3

        def __getitem__(self, i):
            return np.float32(i)

    assert [b.tolist() for (b,) in DataLoader(Plain(), batch_size=2)] == [[0.0, 1.0], [2.0]]


@pytest.mark.parametrize(
    ("samples", "error", "message"),
    [
        ([(np.zeros(2), 0), (np.zeros(3), 1)], ValueError, r"field 0 .*shape \(2,\), ndarray of shape \(3,\)"),
        ([(0, 1), (0,)], ValueError, r"different numbers of fields: \[2, 1\]"),
        ([(0, "cat"), (1, "dog")], TypeError, "field 1 .*str"),
        ([{"x": 1}, {"x": 2}], TypeError, "field 0 .*dict"),
    ],
)
def test_samples_that_cannot_be_stacked(samples, error, message):
    class Given(Samples):
        def __getitem__(self, i):
            return samples[i]

    with pytest.raises(error, match=message):
        list(DataLoader(Given(2), batch_size=2))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"batch_size": 0}, ValueError, "batch_size: .*at least 1, got 0"),
        ({"batch_size": -3}, ValueError, "batch_size: .*got -3"),
        ({"batch_size": 2.0}, TypeError, "batch_size: .*got 2.0"),
        ({"batch_size": True}, TypeError, "batch_size: .*got True"),
        ({"batch_size": None}, TypeError, "batch_size: .*got None"),
        ({"prefetch": -1}, ValueError, "prefetch: .*got -1"),
        ({"prefetch": "2"}, TypeError, "prefetch: .*got '2'"),
        ({"seed": -1}, ValueError, "seed: .*got -1"),
        ({"seed": 1.5}, TypeError, r"seed: .*got 1\.5"),
        ({"transform": 3}, TypeError, "transform: .*got 3"),
        ({"dataset": 5}, TypeError, "dataset: .*got int"),
        ({"dataset": DataLoader(np.zeros(3))}, TypeError, "dataset: .*got DataLoader"),
        ({"dataset": (np.zeros(2), np.zeros(3))}, ValueError, "lengths 2"),
    ],
)
def test_loader_errors(arguments, error, message):
    with pytest.raises(error, match=message):
        DataLoader(**({"dataset": np.zeros(4)} | arguments))


def test_numpy_integers_are_integers():
    data = DataLoader(np.zeros(4), batch_size=np.int64(2), seed=np.uint8(3))
    assert len(data) == 2
    assert json.loads(json.dumps(data.state_dict())) == data.state_dict()


# -------------------------------------------------------------------------------------------------------- transform


@pytest.mark.parametrize("prefetch", [0, 2])
@pytest.mark.parametrize("shuffle", [False, True])
def test_transform_gets_the_inputs_of_a_batch_and_owns_them(arrays, shuffle, prefetch):
    before, shapes = arrays[0].copy(), []

    def negate(x):
        shapes.append(x.shape)
        x *= -1
        return x

    batches = list(DataLoader(arrays, 10, shuffle=shuffle, transform=negate, prefetch=prefetch))
    assert shapes == [(10, 2, 3), (10, 2, 3), (3, 2, 3)]
    for x, y in batches:
        np.testing.assert_array_equal(x.numpy(), -before[y.numpy()], strict=True)
    np.testing.assert_array_equal(arrays[0], before)


@pytest.mark.parametrize(
    ("dtype", "function", "result"),
    [
        (np.float32, lambda x: x * np.float64(2), np.float32),
        (np.uint8, lambda x: x / 255, np.float32),
        (np.float64, lambda x: x * 2, np.float64),
        (np.float32, lambda x: x.astype(np.float16), np.float16),
        (np.float32, lambda x: Tensor(x.reshape(len(x), -1)), np.float32),
        (np.float32, np.sqrt, np.float32),
    ],
)
def test_transform_and_dtypes(dtype, function, result):
    ((x, _),) = DataLoader((np.ones((3, 2), dtype), np.zeros(3)), 3, transform=function)
    assert x.dtype == result


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (lambda x: x[:-1], ValueError, r"expected it to return 5 rows .*got shape \(4,"),
        (lambda x: x.sum(), TypeError, "return an array, got float32"),
        (lambda x: np.array(0.0), ValueError, r"got shape \(\)"),
        (lambda x: None, TypeError, "got NoneType"),
    ],
)
def test_transform_errors(arrays, function, error, message):
    with pytest.raises(error, match=f"transform: .*{message}"):
        list(DataLoader(arrays, 5, transform=function))


def test_what_a_transform_draws_depends_on_seed_epoch_and_batch_only(arrays):
    def noise(x, rng):
        return rng.random(len(x), np.float32)

    def epochs(data, n):
        return [[x.tolist() for x, _ in data] for _ in range(n)]

    reference = epochs(DataLoader(arrays, 5, transform=noise, seed=1), 2)
    assert epochs(DataLoader(arrays, 5, transform=noise, seed=1, prefetch=3), 2) == reference
    assert epochs(DataLoader(arrays, 5, transform=noise, seed=2), 2) != reference
    draws = [tuple(batch) for epoch in reference for batch in epoch]
    assert len(set(draws)) == len(draws)
    for prefetch in (0, 3):
        first = DataLoader(arrays, 5, transform=noise, seed=1, prefetch=prefetch)
        iterator = iter(first)
        next(iterator), next(iterator)
        resumed = DataLoader(arrays, 5, transform=noise, prefetch=prefetch)
        resumed.load_state_dict(first.state_dict())
        assert epochs(resumed, 2) == [reference[0][2:], reference[1]]


# ---------------------------------------------------------------------------------------------------------- devices


def test_a_gpu():
    cupy = pytest.importorskip("cupy", reason="only a real GPU shows it: pip install 'tinynet[cuda12]' or '[cuda13]'")
    if not cupy.cuda.is_available():
        pytest.skip("CuPy is installed, but this machine has no GPU")
    from tinynet.backend import device

    x = np.arange(N * 2, dtype=np.float32).reshape(N, 2)
    with device("cuda"):
        for given in (x, cupy.asarray(x)):
            for shuffle, prefetch in ((False, 0), (True, 0), (True, 2)):
                data = DataLoader((given, np.arange(N)), 5, shuffle, transform=lambda x: x + 1, prefetch=prefetch)
                for batch, y in data:
                    assert batch.device == y.device == "cuda"
                    np.testing.assert_array_equal(batch.numpy(), x[y.numpy()] + 1, strict=True)
        ((columns,),) = DataLoader([cupy.arange(3)], 3)
        assert columns.device == "cuda"
