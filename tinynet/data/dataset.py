"""Data sets: whole arrays, parts of another set, random splits.

The one idea: a set that keeps its samples as rows of whole arrays says so with a property ``arrays``, and the loader
then takes a batch with one indexing of each array instead of one call per sample. A ``Subset`` of such a set stays one:
it only adds the numbers of its rows, and copies no data.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from ..backend import device_of, is_array, stream, to_device
from ..tensor import Tensor, as_array


class Dataset:
    """Base class of a data set: subclass it and write ``__len__`` and ``__getitem__``.

    ``ds[i]`` for ``0 <= i < len(ds)`` is one sample: a tuple of arrays, Tensors or Python numbers, often ``(input,
    target)``.

    A set whose samples are the rows of whole arrays may also define a property ``arrays``, a tuple of arrays of one
    length with ``ds[i]`` equal to ``tuple(a[i] for a in arrays)``; the loader then takes whole batches from these. The
    property counts in the class that defines ``__getitem__`` or in a subclass of it: a subclass that overrides
    ``__getitem__`` alone (to augment the samples, say) gets its own ``__getitem__`` called.

    >>> class Squares(Dataset):
    ...     def __len__(self):
    ...         return 4
    ...     def __getitem__(self, i):
    ...         return float(i), i * i
    >>> Squares()[3]
    (3.0, 9)
    """

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} must define __len__")

    def __getitem__(self, index: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} must define __getitem__")

    def to(self, device: str) -> ArrayDataset:
        """The same samples as whole arrays on a device, as in ``DataLoader(MNIST().to("cuda"))``; this set stays as it is.

        Raises ``TypeError`` for a set without whole arrays, ``DeviceError`` for a device that is not there.
        """
        found = whole_arrays(self)
        if found is None:
            raise TypeError(f"to: {type(self).__name__} has no property arrays, so there are no whole arrays to move")
        arrays, rows = found
        picked = arrays if rows is None else [a.take(to_device(rows, device_of(a)), axis=0) for a in arrays]
        return ArrayDataset(*(to_device(a, device) for a in picked))


class ArrayDataset(Dataset):
    """Samples that are the rows of arrays: ``ds[i]`` is ``tuple(a[i] for a in arrays)``.

    ``arrays``: NumPy or CuPy arrays or Tensors of shapes ``(N, ...)``, shared and not copied, each staying on the
    device it lives on and keeping its dtype; or nested lists, made NumPy arrays as by ``tn.tensor`` (floats become
    float32, integers int64).

    Raises ``ValueError`` for no arrays at all, an array without axes or arrays of unequal lengths, ``TypeError`` for
    what holds no numbers.

    >>> ds = ArrayDataset([[0.0, 1.0], [2.0, 3.0]], [0, 1])
    >>> len(ds), ds[1]
    (2, (array([2., 3.], dtype=float32), np.int64(1)))
    """

    def __init__(self, *arrays: Any):
        if not arrays:
            raise ValueError("arrays: expected at least one array, got none")
        self._arrays = tuple(_whole_array(a, i) for i, a in enumerate(arrays))
        if len({len(a) for a in self._arrays}) > 1:
            lengths = ", ".join(f"{len(a)} (array {i})" for i, a in enumerate(self._arrays))
            raise ValueError(f"arrays: expected arrays of one length, got lengths {lengths}")

    @property
    def arrays(self) -> tuple[Any, ...]:
        """The whole arrays, in the order given."""
        return self._arrays

    def __len__(self) -> int:
        return len(self._arrays[0])

    def __getitem__(self, index: Any) -> tuple[Any, ...]:
        return tuple(a[index] for a in self._arrays)


class Subset(Dataset):
    """Some samples of another set, in the order of ``indices``: ``subset[i]`` is ``dataset[indices[i]]``.

    ``indices``: integers from 0 to ``len(dataset) - 1``; one may occur several times. No data is copied.

    Raises ``TypeError`` for indices that are no integers (a boolean mask included), ``ValueError`` for one out of
    range, negative ones included.

    >>> ds = ArrayDataset([10.0, 11.0, 12.0])
    >>> Subset(ds, [2, 0])[0]
    (np.float32(12.0),)
    """

    def __init__(self, dataset: Any, indices: Iterable[int]):
        self.dataset = dataset
        self.indices = _checked_indices(indices, len(dataset))

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Any:
        return self.dataset[int(self.indices[index])]


def random_split(dataset: Any, lengths: Sequence[float], seed: int | None = None) -> list[Subset]:
    """Split a set at random into parts without a common sample.

    ``lengths``: the sizes of the parts, integers that sum to ``len(dataset)``; or fractions (at least one float) that
    sum to 1, where each part gets its share rounded down and the samples left over go one each to the first parts, as
    in PyTorch. ``seed``: the same seed gives the same parts; None draws one from the stream that ``tn.manual_seed``
    starts.

    Raises ``ValueError`` for lengths that do not add up or are negative, ``TypeError`` for what is no number.

    >>> train, validation = random_split(ArrayDataset(np.arange(10)), [0.75, 0.25], seed=0)
    >>> len(train), len(validation)
    (8, 2)
    """
    ends = np.cumsum([0, *_part_sizes(lengths, len(dataset))])
    order = generator(checked_seed(seed)).permutation(len(dataset))
    return [Subset(dataset, order[start:end]) for start, end in pairwise(ends)]


def _part_sizes(lengths: Sequence[float], n: int) -> list[int]:
    parts = list(lengths)
    for part in parts:
        if isinstance(part, bool) or not isinstance(part, (int, float, np.integer, np.floating)):
            raise TypeError(f"lengths: expected integers or fractions, got {part!r}")
        if not part >= 0:  # NaN too
            raise ValueError(f"lengths: expected numbers of at least 0, got {part!r} in {parts}")
    if all(isinstance(part, (int, np.integer)) for part in parts):
        if sum(parts) != n:
            raise ValueError(f"lengths: expected integers that sum to the set's {n} samples, got {parts}, sum {sum(parts)}")
        return [int(part) for part in parts]
    if abs(math.fsum(parts) - 1) > 1e-6:
        raise ValueError(f"lengths: expected fractions that sum to 1, got {parts}, sum {math.fsum(parts):g}")
    # 0.29 * 100 is 28.999999999999996: the small term keeps rounding down from losing a whole sample.
    sizes = [math.floor(part * n + 1e-9 * n) for part in parts]
    for i in range(n - sum(sizes)):
        sizes[i % len(sizes)] += 1
    return sizes


def whole_arrays(dataset: Any) -> tuple[tuple[Any, ...], Any] | None:
    """The arrays of a set that has them, and which of their rows it is (None: all, in order); None for another set."""
    # Whichever comes first in the class's order of inheritance speaks for it; see Dataset.
    owner = next((c for c in type(dataset).__mro__ if "__getitem__" in vars(c) or "arrays" in vars(c)), object)
    if owner is Subset:
        inner = whole_arrays(dataset.dataset)
        if inner is None:
            return None
        arrays, rows = inner
        return arrays, dataset.indices if rows is None else rows[dataset.indices]
    if "arrays" not in vars(owner):
        return None
    arrays = ArrayDataset(*dataset.arrays).arrays
    if len(arrays[0]) != len(dataset):
        raise ValueError(f"dataset: {owner.__name__}.arrays have {len(arrays[0])} rows, but its length is {len(dataset)}")
    return arrays, None


def _whole_array(a: Any, position: int) -> Any:
    try:
        # Each array stays where it lives, and lists in main memory; only batches go to the default device.
        array = as_array(a, device=device_of(a) if is_array(a) else None if isinstance(a, Tensor) else "cpu")
    except (TypeError, ValueError) as error:
        raise type(error)(f"arrays: number {position} is no array of numbers ({error})") from error
    if array.ndim == 0:
        raise ValueError(f"arrays: number {position} has no axes; expected shape (N, ...) with a row for each sample")
    return array


def _checked_indices(indices: Iterable[int], n: int) -> np.ndarray:
    array = np.asarray(indices if isinstance(indices, (np.ndarray, range)) else list(indices))
    if array.size == 0:
        array = array.astype(np.intp)  # of an empty list NumPy makes floats
    if array.ndim != 1 or array.dtype.kind not in "iu":
        hint = "; for a mask pass np.flatnonzero(mask)" if array.dtype.kind == "b" else ""
        raise TypeError(f"indices: expected a row of integers, got {array.dtype} of shape {array.shape}{hint}")
    wrong = np.flatnonzero((array < 0) | (array >= n))
    if wrong.size:
        at = wrong[0]
        raise ValueError(f"indices: expected integers from 0 to {n - 1} (the set has {n} samples), got {array[at]} at {at}")
    return array.astype(np.intp)


# ----------------------------------------------------------------------------------------- shared with the loader


def generator(seed: int, *key: int) -> np.random.Generator:
    """A random generator that is a pure function of the seed and the key (an epoch's number, say)."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=key)))


def checked_seed(seed: int | None) -> int:
    """The seed as a Python integer; None draws one from the stream ``"shuffle"``."""
    return int(stream("shuffle").integers(2**32)) if seed is None else checked_int("seed", seed, 0)


def checked_int(name: str, value: Any, least: int) -> int:
    """``value`` as a Python integer of at least ``least``; the error for anything else names the argument and value."""
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name}: expected an integer of at least {least}, got {value!r}")
    if number < least:
        raise ValueError(f"{name}: expected an integer of at least {least}, got {value!r}")
    return number
