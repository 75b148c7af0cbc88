"""Data sets: what they give, one sample at a time and many at once."""

import numpy as np
import pytest
from numbered import N, Samples

from tinynet.backend import manual_seed
from tinynet.data import ArrayDataset, Dataset, Subset, random_split
from tinynet.tensor import Tensor


@pytest.fixture
def arrays():
    return np.arange(N * 6, dtype=np.float32).reshape(N, 2, 3), np.arange(N)


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
