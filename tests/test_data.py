"""Data sets and the loader: what comes out, in which order, and what is left behind."""

import contextlib
import gc
import json
import threading
import time
import weakref

import numpy as np
import pytest
from sampling import put, share_memory

from tinynet.backend import default_device, manual_seed
from tinynet.data import ArrayDataset, DataLoader, Dataset, Subset, random_split
from tinynet.tensor import Tensor

N = 23


class Samples(Dataset):
    """The numbers 0 to n - 1, one sample at a time; counts what is asked for."""

    def __init__(self, n=N):
        self.n, self.asked = n, []

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        self.asked.append(i)
        return np.full((2, 3), i, np.float32), i


@pytest.fixture
def arrays():
    return np.arange(N * 6, dtype=np.float32).reshape(N, 2, 3), np.arange(N)


def ids(batches):
    """The sample numbers in each batch, read from its last array."""
    return [batch[-1].tolist() for batch in batches]


def flat(batches):
    """The sample numbers of an epoch in one list."""
    return [i for batch in ids(batches) for i in batch]


def prefetching():
    return [t for t in threading.enumerate() if t.name == "tinynet-prefetch"]


# ------------------------------------------------------------------------------------------------------- data sets


def test_dataset_asks_for_its_methods():
    for call in (len, lambda ds: ds[0]):
        with pytest.raises(NotImplementedError, match="Dataset must define __"):
            call(Dataset())


def test_array_dataset_shares_arrays_and_gives_rows(arrays):
    x, y = arrays
    ds = ArrayDataset(x, Tensor(y, device="cpu"))
    assert len(ds) == N
    assert ds.arrays[0] is x
    assert ds.arrays[1] is y
    image, label = ds[-1]
    assert image.shape == (2, 3)
    assert label == N - 1
    with pytest.raises(IndexError):
        ds[N]


def test_array_dataset_of_lists_has_the_dtypes_of_tensors():
    dtypes = [a.dtype for a in ArrayDataset([[1.0, 2.0]], [3], [True], np.zeros(1)).arrays]
    assert dtypes == [np.float32, np.int64, np.bool_, np.float64]


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ((), ValueError, "at least one array"),
        ((np.zeros(3), np.zeros(4), np.zeros(3)), ValueError, r"3 \(array 0\), 4 \(array 1\), 3 \(array 2\)"),
        ((np.zeros(3), np.float32(1)), ValueError, "number 1 has no axes"),
        ((["a", "b"],), TypeError, "number 0 is no array of numbers"),
        (([1.0], [[1.0], [1.0, 2.0]]), ValueError, "number 1 is no array of numbers"),
    ],
)
def test_array_dataset_errors(given, error, message):
    with pytest.raises(error, match=message):
        ArrayDataset(*given)


def test_subset_of_a_subset():
    inner = Subset(Samples(), range(5, 15))
    outer = Subset(inner, np.array([9, 0, 0]))
    assert [outer[i][1] for i in range(len(outer))] == [14, 5, 5]
    assert outer[-1][1] == 5
    assert len(Subset(inner, [])) == 0


@pytest.mark.parametrize(
    ("indices", "error", "message"),
    [
        ([0, N], ValueError, f"from 0 to {N - 1} .*got {N} at 1"),
        ([-1], ValueError, "got -1 at 0"),
        ([0.5], TypeError, "float64"),
        (np.ones(N, bool), TypeError, r"np\.flatnonzero\(mask\)"),
        ([[0, 1]], TypeError, r"shape \(1, 2\)"),
    ],
)
def test_subset_errors(indices, error, message):
    with pytest.raises(error, match=f"indices: .*{message}"):
        Subset(Samples(), indices)


@pytest.mark.parametrize(
    ("n", "lengths", "sizes"),
    [
        (10, [7, 3], [7, 3]),
        (10, [10, 0], [10, 0]),
        (10, [0.8, 0.2], [8, 2]),
        (10, [1 / 3, 1 / 3, 1 / 3], [4, 3, 3]),
        (100, [0.71, 0.29], [71, 29]),  # 0.29 * 100 is 28.999999999999996
        (11, [0.5, 0.25, 0.25], [6, 3, 2]),
        (10, [1.0], [10]),
        (0, [0.5, 0.5], [0, 0]),
    ],
)
def test_random_split_sizes(n, lengths, sizes):
    parts = random_split(Samples(n), lengths, seed=1)
    assert [len(p) for p in parts] == sizes
    assert sorted(i for p in parts for i in p.indices) == list(range(n))


def test_random_split_follows_its_seed():
    def split(seed):
        return [p.indices.tolist() for p in random_split(Samples(), [13, 10], seed)]

    assert split(1) == split(1) != split(2)
    assert split(1)[0] != list(range(13))
    manual_seed(5)
    first, second = split(None), split(None)
    manual_seed(5)
    assert split(None) == first != second


@pytest.mark.parametrize(
    ("lengths", "error", "message"),
    [
        ([20, 2], ValueError, "sum to the set's 23 samples.*sum 22"),
        ([0.5, 0.4], ValueError, "sum to 1.*sum 0.9"),
        ([], ValueError, "sum 0"),
        ([24, -1], ValueError, "got -1"),
        ([float("nan"), 1.0], ValueError, "got nan"),
        (["a"], TypeError, "got 'a'"),
        ([True, 22], TypeError, "got True"),
    ],
)
def test_random_split_errors(lengths, error, message):
    with pytest.raises(error, match=f"lengths: .*{message}"):
        random_split(Samples(), lengths)


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


# ----------------------------------------------------------------------------------------------- order and resuming


def test_shuffled_order(arrays):
    data = DataLoader(arrays, 5, shuffle=True, seed=1)
    epochs = [flat(data) for _ in range(3)]
    assert all(sorted(order) == list(range(N)) for order in epochs)
    assert len({tuple(order) for order in [range(N), *epochs]}) == 4
    # The order depends on seed and epoch only: not on the batch size, nor on the kind of data set.
    for other in (DataLoader(arrays, 7, shuffle=True, seed=1), DataLoader(Samples(), 3, shuffle=True, seed=1)):
        assert [flat(other) for _ in range(3)] == epochs
    assert flat(DataLoader(arrays, 5, shuffle=True, seed=2)) != epochs[0]


def test_seed_comes_from_manual_seed_when_the_loader_is_made(arrays):
    manual_seed(11)
    first, second = (DataLoader(arrays, 5, shuffle=True) for _ in range(2))
    manual_seed(11)
    again = DataLoader(arrays, 5, shuffle=True)
    manual_seed(12)
    assert first.seed == again.seed != second.seed
    assert ids(first) == ids(again) != ids(second)


def resumed_from(state, **arguments):
    data = DataLoader((np.zeros((N, 2)), np.arange(N)), 5, seed=99, **arguments)
    data.load_state_dict(json.loads(json.dumps(state)))
    return data


@pytest.mark.parametrize("prefetch", [0, 1, 4, 50])
@pytest.mark.parametrize("shuffle", [False, True])
def test_resuming_gives_exactly_the_remaining_batches(arrays, shuffle, prefetch):
    data = DataLoader(arrays, 5, shuffle=shuffle, seed=4, prefetch=prefetch)
    assert data.state_dict() == {"seed": 4, "epoch": 0, "batch": 0, "batch_size": 5, "samples": N}
    epochs: list[list] = []
    states: list[tuple] = []
    for _ in range(3):
        epochs.append([])
        for _, y in data:
            epochs[-1].append(y.tolist())
            states.append((len(epochs) - 1, len(epochs[-1]), data.state_dict()))
        states.append((len(epochs), 0, data.state_dict()))
    for epoch, batch, state in states:
        if epoch < 2:
            other = resumed_from(state, shuffle=shuffle, prefetch=3 - min(prefetch, 3))
            assert other.state_dict() == state
            assert ids(other) == epochs[epoch][batch:]
            assert ids(other) == epochs[epoch + 1]


def test_the_state_counts_what_was_received_not_what_was_prepared():
    source = Samples()
    data = DataLoader(source, 5, prefetch=3)
    iterator = iter(data)
    next(iterator)
    asked = 20 if default_device() == "cpu" else N  # the batch received, and three prepared; on a GPU one is sent ahead
    deadline = time.monotonic() + 5
    while len(source.asked) < asked and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(0.02)  # would show a thread that goes further
    assert len(source.asked) == asked
    assert data.state_dict()["batch"] == 1
    assert ids(resumed_from(data.state_dict())) == ids(iterator)


@pytest.mark.parametrize("prefetch", [0, 2])
def test_breaking_off_starts_the_next_epoch(arrays, prefetch):
    whole = DataLoader(arrays, 5, shuffle=True, seed=4)
    epochs = [ids(whole) for _ in range(3)]
    data = DataLoader(arrays, 5, shuffle=True, seed=4, prefetch=prefetch)
    for number, _ in enumerate(data):
        if number == 1:
            break
    state = data.state_dict()
    assert (state["epoch"], state["batch"]) == (0, 2)
    assert ids(data) == epochs[1]
    assert ids(data) == epochs[2]
    assert ids(resumed_from(state, shuffle=True)) == epochs[0][2:]  # resumed, it is the epoch that was broken off


def test_loading_a_state_in_the_middle_of_an_epoch(arrays):
    data = DataLoader(arrays, 5, shuffle=True, seed=4)
    before = iter(data)
    first, state = next(before), data.state_dict()
    data.load_state_dict(state)
    next(before)  # goes on with its own epoch, and moves the loader no more
    assert data.state_dict() == state
    assert ids([first, *data]) == ids(DataLoader(arrays, 5, shuffle=True, seed=4))
    assert data.state_dict()["epoch"] == 1


@pytest.mark.parametrize("prefetch", [0, 2])
def test_two_iterators_are_two_epochs(arrays, prefetch):
    data = DataLoader(arrays, 5, shuffle=True, seed=4, prefetch=prefetch)
    reference = DataLoader(arrays, 5, shuffle=True, seed=4)
    epochs = [ids(reference) for _ in range(3)]
    one, two = iter(data), iter(data)
    pairs = list(zip(one, two, strict=True))
    assert ids(a for a, _ in pairs) == epochs[0]
    assert ids(b for _, b in pairs) == epochs[1]
    assert ids(data) == epochs[2]
    one, two = iter(data), iter(data)
    next(two), next(one), next(one)
    assert (data.state_dict()["epoch"], data.state_dict()["batch"]) == (4, 1)  # where the one started last stands


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"batch": 6}, ValueError, r"state\['batch'\] is 6, but an epoch has 5 batches"),
        ({"batch": -1}, ValueError, r"state\['batch'\]: .*got -1"),
        ({"seed": "4"}, TypeError, r"state\['seed'\]: .*got '4'"),
        ({"batch_size": 6}, ValueError, r"state\['batch_size'\] is 6, but this loader's is 5"),
        ({"samples": 24}, ValueError, r"state\['samples'\] is 24, but this loader's is 23"),
        ({"position": 1}, ValueError, "expected the keys"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(arrays, change, error, message):
    data = DataLoader(arrays, 5, shuffle=True, seed=4)
    state = data.state_dict() | {"seed": 7, "epoch": 2, "batch": 3}
    with pytest.raises(error, match=message):
        data.load_state_dict(state | change)
    assert data.state_dict()["seed"] == 4
    assert ids(data) == ids(DataLoader(arrays, 5, shuffle=True, seed=4))


def test_between_epochs_another_batch_size_may_go_on(arrays):
    data = DataLoader(arrays, 5, shuffle=True, seed=4)
    list(data)
    other = DataLoader(arrays, 23, shuffle=True)
    other.load_state_dict(data.state_dict())
    assert flat(other) == flat(data)


# --------------------------------------------------------------------------------------------------------- prefetch


def test_an_interrupt_while_the_thread_is_started_ends_it(arrays, monkeypatch):
    start = threading.Thread.start

    def interrupted(thread):
        start(thread)
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        next(iter(DataLoader(arrays, 2, prefetch=2)))
    assert not prefetching()


def test_the_thread_ends_with_the_epoch_and_when_it_is_broken_off(arrays):
    data = DataLoader(arrays, 2, prefetch=2)
    iter(data)  # nothing asked for, nothing started
    assert not prefetching()
    iterator = iter(data)
    next(iterator)
    assert len(prefetching()) == 1
    del iterator
    assert not prefetching()
    for _ in data:
        break
    assert not prefetching()
    list(data)
    assert not prefetching()
    with contextlib.suppress(KeyError):
        for _ in data:
            raise KeyError("in the loop")
    assert not prefetching()


def test_nothing_is_kept_by_a_dropped_iterator():
    gc.collect()
    gc.disable()  # reference counting alone must free it
    try:
        data = DataLoader(Samples(), 5, prefetch=2)
        iterator = iter(data)
        batch = weakref.ref(next(iterator)[0])
        source = weakref.ref(data.dataset)
        del iterator, data
        assert not prefetching()
        assert batch() is None
        assert source() is None
    finally:
        gc.enable()


def test_nothing_is_kept_by_an_error_that_was_handled():
    class Broken(Samples):
        def __getitem__(self, i):
            raise OSError("broken")

    gc.collect()
    gc.disable()
    try:
        data = DataLoader(Broken(), 5, prefetch=2)
        source = weakref.ref(data.dataset)
        with contextlib.suppress(OSError):
            list(data)
        del data
        assert source() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("prefetch", [0, 1, 8])
def test_an_error_arrives_where_its_batch_would_have_come(prefetch):
    class Broken(Samples):
        def __getitem__(self, i):
            if i == 12:
                raise OSError("sample 12 cannot be read")
            return super().__getitem__(i)

    data = DataLoader(Broken(), 5, prefetch=prefetch)
    batches = iter(data)
    assert ids([next(batches), next(batches)]) == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]
    with pytest.raises(OSError, match="sample 12"):
        next(batches)
    assert data.state_dict()["batch"] == 2
    assert not prefetching()


def test_prefetching_really_works_ahead():
    overlapped = threading.Event()

    class Slow(Samples):
        def __getitem__(self, i):
            if i == 1:
                overlapped.set()
            return super().__getitem__(i)

    for _ in DataLoader(Slow(3), prefetch=1):
        assert overlapped.wait(5)  # set by the thread while the consumer holds the first batch


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
