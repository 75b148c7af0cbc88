"""DataLoader: batches of a data set, in an order that can be resumed.

The one idea: where a loader stands is three integers. The order of epoch ``e`` is a pure function of ``(seed, e)``, and
so is whatever a transform draws for batch ``b`` of ``(seed, e, b)``; seed, epoch and the number of batches received
therefore say everything about the batches to come, whether or not a background thread has prepared some of them
already.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..backend import array_module, default_device, device, device_of, is_array, to_device
from ..tensor import Tensor
from .dataset import ArrayDataset, checked_int, checked_seed, generator, whole_arrays
from .staging import placed
from .transforms import takes_rng

Batch = tuple[Tensor, ...]


class DataLoader:
    """Cuts a data set into batches: iterating gives tuples of Tensors on the default device, one pass is one epoch.

    Args:
        dataset: a ``Dataset`` (or anything with ``len`` and integer indexing), or a tuple or list of arrays of one
            length.
        batch_size: samples in a batch; the last batch of an epoch may be smaller.
        shuffle: a new random order every epoch.
        drop_last: leave a smaller last batch out.
        transform: called as ``transform(x)`` with the batch's first array (all inputs of the batch, a NumPy or CuPy
            array where the data live), returns an array of the same length. It owns ``x`` and may write into it. If it
            has a parameter ``rng``, it is given a ``np.random.Generator`` that depends on seed, epoch and batch only:
            randomness drawn from it is the same after resuming and with any ``prefetch``. A float64 result becomes
            float32 unless ``x`` itself is float64, so that a stray ``x / 255`` does not make the whole training
            float64.
        seed: of the order; None draws one from the stream that ``tn.manual_seed`` starts, now.
        prefetch: how many batches a background thread prepares ahead; 0 for no thread. The thread ends with the epoch,
            or when the iterator is dropped; an error in it is raised where its batch would have come.
        shard: ``(rank, world)``, as ``(distributed.rank(), distributed.world_size())``: this loader is one of ``world``
            that go through the same order together, each in its own process, and takes every world-th sample of it,
            beginning with number ``rank``. Their k-th batches together are the k-th of one loader whose ``batch_size`` is
            world times theirs. All get equally many samples: where the set does not divide, the order's first samples come
            again at its end (as in PyTorch's DistributedSampler), or with ``drop_last`` its last are left out.
            The order is the same only for the same ``seed``: give one, or call ``distributed.init()`` first, after which
            None draws the same one in every process. A transform's ``rng`` differs from shard to shard.

    A set with whole arrays (``ArrayDataset``, the image sets, a ``Subset`` of these) is indexed a batch at a time where
    its arrays live, and the batch goes to the default device if that is another: to a GPU through pinned memory, one
    batch ahead, while the GPU works on the one before. ``dataset.to("cuda")`` puts the whole set there once, and then
    nothing but the order of an epoch is ever sent. Without ``shuffle`` and ``shard`` the batches are
    views: do not write into their ``.data``. Any other set is asked for sample after sample, and these are stacked:
    arrays keep their dtype, Python floats become float32, integers int64.

    Every ``iter(loader)`` starts the next epoch, whether or not the one before was finished. Two iterators at once are
    two epochs, each complete and in its own order; ``state_dict`` follows the one started last.

    Raises ``TypeError`` or ``ValueError`` naming the argument that is wrong. An empty data set gives no batches.

    >>> loader = DataLoader(([[0.0], [1.0], [2.0]], [0, 1, 2]), batch_size=2)
    >>> for x, y in loader:
    ...     print(x.shape, y)
    (2, 1) tensor([0, 1])
    (1, 1) tensor([2])
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int = 1,
        shuffle: bool = False,
        drop_last: bool = False,
        transform: Callable[..., Any] | None = None,
        seed: int | None = None,
        prefetch: int = 0,
        shard: tuple[int, int] | None = None,
    ):
        if isinstance(dataset, (tuple, list)):
            dataset = ArrayDataset(*dataset)
        elif isinstance(dataset, Tensor) or is_array(dataset):
            dataset = ArrayDataset(dataset)
        elif not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")):
            raise TypeError(f"dataset: expected a Dataset or a tuple of arrays, got {type(dataset).__name__}")
        if transform is not None and not callable(transform):
            raise TypeError(f"transform: expected a function of a batch of inputs, got {transform!r}")
        self.dataset = dataset
        self.batch_size = checked_int("batch_size", batch_size, 1)
        self.shuffle, self.drop_last = bool(shuffle), bool(drop_last)
        self.transform = transform
        self.prefetch = checked_int("prefetch", prefetch, 0)
        self.seed = checked_seed(seed)
        self.shard = (0, 1) if shard is None else _checked_shard(shard)
        self._epoch = self._batch = 0  # the epoch, and the batches the consumer has received in it
        self._started = False  # an iterator has been made for this epoch, so that the next one gets the next epoch
        self._iterators = 0  # how many have been made; the last of them moves the position above

    @property
    def samples(self) -> int:
        """Samples in an epoch of this loader: the data set's, or those of its ``shard``."""
        n, world = len(self.dataset), self.shard[1]
        return n // world if self.drop_last else -(-n // world)

    def __len__(self) -> int:
        """Batches in an epoch."""
        n = self.samples
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        if self._started:
            self._epoch, self._batch = self._epoch + 1, 0
        self._started = True
        self._iterators += 1
        name = default_device()  # asked here, in the consumer's thread
        batches = self._prepare(self._epoch, self._batch)
        batches = ahead(batches, self.prefetch, name) if self.prefetch else batches
        return self._deliver(placed(batches, name), self._iterators)

    def _deliver(self, batches: Iterator[Batch], number: int) -> Iterator[Batch]:
        """Hand the batches to the consumer, and count them as the loader's position."""
        for batch in batches:
            if number == self._iterators:
                self._batch += 1
            yield batch
        if number == self._iterators:
            self._epoch, self._batch, self._started = self._epoch + 1, 0, False

    def _prepare(self, epoch: int, start: int) -> Iterator[list]:
        """The arrays of an epoch's batches from number ``start`` on, where the data live."""
        take = self._taker(epoch)
        rank, world = self.shard
        transform = None if self.transform is None else _checked(self.transform)
        for number in range(start, len(self)):
            columns = take(slice(number * self.batch_size, (number + 1) * self.batch_size))
            if transform is not None:
                columns[0] = transform(columns[0], self.seed, epoch, number * world + rank)
            yield columns

    def _order(self, epoch: int) -> np.ndarray | None:
        """The numbers of the epoch's samples; None for all of them as they stand."""
        order = generator(self.seed, epoch).permutation(len(self.dataset)) if self.shuffle else None
        rank, world = self.shard
        if world == 1:
            return order
        # Cut to what divides, or gone on with from its beginning, over and over where there are few samples.
        whole = np.resize(np.arange(len(self.dataset)) if order is None else order, self.samples * world)
        return whole[rank::world]

    def _taker(self, epoch: int) -> Callable[[slice], list]:
        """A function from a part of the epoch's order to the arrays of that batch."""
        order = self._order(epoch)
        found = whole_arrays(self.dataset)
        if found is None:
            numbers = range(len(self.dataset)) if order is None else order.tolist()
            return lambda part: collate([self.dataset[i] for i in numbers[part]])
        arrays, rows = found
        if rows is not None:
            order = rows if order is None else rows[order]
        if order is None:
            if self.transform is not None:  # it may write into its batch, which must not be a view of the data then
                return lambda part: [arrays[0][part].copy(), *(a[part] for a in arrays[1:])]
            return lambda part: [a[part] for a in arrays]
        pairs = [(a, to_device(order, device_of(a))) for a in arrays]
        return lambda part: [a.take(rows[part], axis=0) for a, rows in pairs]

    def state_dict(self) -> dict[str, int]:
        """Where the loader stands, as integers: ``seed``, ``epoch``, ``batch`` (how many the consumer has received in
        the epoch; batches prepared ahead do not count), and ``batch_size`` and ``samples``, which make sense of
        ``batch``. Loaders that differ in ``shard``'s rank alone are in the same state at the same place: what one of them
        saved, all can load."""
        return {
            "seed": self.seed,
            "epoch": self._epoch,
            "batch": self._batch,
            "batch_size": self.batch_size,
            "samples": self.samples,
        }

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Stand where ``state_dict`` was taken: the next ``iter(loader)`` gives the rest of that epoch.

        The rest may be empty, where all batches had been received but the loop had not yet ended; further epochs follow
        as they would have. Iterators made earlier go on with their own epoch.

        Raises ``ValueError`` for a state with other keys, or in the middle of an epoch of another batch size or number of
        samples, ``TypeError`` for values that are no integers. Nothing is changed then.

        >>> loader = DataLoader(np.arange(4), shuffle=True)
        >>> batches = iter(loader)
        >>> first, state = next(batches), loader.state_dict()
        >>> loader.load_state_dict(state)
        >>> [b.item() for b, in batches] == [b.item() for b, in loader]
        True
        """
        own = self.state_dict()
        if set(state) != set(own):
            raise ValueError(f"state: expected the keys {sorted(own)}, got {sorted(state)}")
        new = {key: checked_int(f"state[{key!r}]", value, 0) for key, value in state.items()}
        for key in ("batch_size", "samples"):
            if new["batch"] and new[key] != own[key]:
                raise ValueError(
                    f"state[{key!r}] is {new[key]}, but this loader's is {own[key]}: batch {new['batch']} of an "
                    "epoch is another place there; make the loader as it was when the state was taken"
                )
        if new["batch"] > len(self):
            raise ValueError(f"state['batch'] is {new['batch']}, but an epoch has {len(self)} batches")
        self.seed, self._epoch, self._batch = new["seed"], new["epoch"], new["batch"]
        self._started = False
        self._iterators += 1  # no earlier iterator moves the position any more


def _checked_shard(shard: Any) -> tuple[int, int]:
    if not isinstance(shard, (tuple, list)) or len(shard) != 2:
        raise TypeError(
            f"shard: expected a pair (rank, world), as (distributed.rank(), distributed.world_size()), got {shard!r}"
        )
    world, rank = checked_int("shard[1], the number of shards", shard[1], 1), checked_int("shard[0], the rank", shard[0], 0)
    if rank >= world:
        raise ValueError(f"shard[0], the rank: expected an integer from 0 to {world - 1} of {world} shards, got {rank}")
    return rank, world


def collate(samples: list) -> list:
    """A list of samples as a list of arrays, one per field; a sample that is no tuple has one field."""
    rows = [s if isinstance(s, (tuple, list)) else (s,) for s in samples]
    if len({len(row) for row in rows}) > 1:
        raise ValueError(f"dataset: samples of one batch have different numbers of fields: {[len(row) for row in rows]}")
    return [_column(list(column), field) for field, column in enumerate(zip(*rows, strict=True))]


def _column(values: list, field: int) -> Any:
    if any(isinstance(v, Tensor) for v in values):
        values = [v.data if isinstance(v, Tensor) else v for v in values]
    try:
        if is_array(values[0]):
            return array_module(values[0]).stack(values)
        if isinstance(values[0], np.generic):
            return np.asarray(values)  # like an array, a NumPy scalar keeps its dtype
        return Tensor(values, device="cpu").data
    except (TypeError, ValueError) as error:
        kinds = sorted({f"{type(v).__name__} of shape {np.shape(v)}" for v in values})
        raise type(error)(
            f"dataset: field {field} of the samples of one batch cannot be stacked into one array of numbers: found "
            f"{', '.join(kinds)} ({error})"
        ) from error


def _checked(transform: Callable[..., Any]) -> Callable[[Any, int, int, int], Any]:
    """The transform with its random generator given and its result checked."""
    wants_rng = takes_rng(transform)

    def apply(x: Any, seed: int, epoch: int, number: int) -> Any:
        length, kept = len(x), x.dtype
        y = transform(x, rng=generator(seed, epoch, number)) if wants_rng else transform(x)
        if isinstance(y, Tensor):
            y = y.data
        if not is_array(y):
            raise TypeError(f"transform: expected it to return an array, got {type(y).__name__}")
        if y.shape[:1] != (length,):
            raise ValueError(f"transform: expected it to return {length} rows as it was given, got shape {y.shape}")
        return y.astype(np.float32) if y.dtype == np.float64 and kept != np.float64 else y

    return apply


def ahead(batches: Iterator[list], count: int, name: str) -> Iterator[list]:
    """The same batches, up to ``count`` of them prepared by a thread before they are asked for.

    The thread starts with the first batch asked for. It knows nothing of this iterator, so that dropping the iterator
    frees it; its ``finally`` then ends the thread and waits for that.
    """
    ready: queue.SimpleQueue[tuple[list | None, BaseException | None]] = queue.SimpleQueue()
    room = threading.Semaphore(count)  # counts free places: taken before a batch is prepared, given back when it is fetched
    dropped = threading.Event()

    def work() -> None:
        try:
            with device(name):  # the default device is per thread, and a data set may make Tensors
                while room.acquire() and not dropped.is_set():
                    batch = next(batches, None)
                    ready.put((batch, None))
                    if batch is None:
                        return
        except BaseException as error:
            ready.put((None, error))

    thread = threading.Thread(target=work, name="tinynet-prefetch", daemon=True)
    error = None
    try:
        thread.start()  # in here, as it waits for the thread's first sign, and an interrupt may come meanwhile
        while True:
            batch, error = ready.get()
            if error is not None:
                raise error
            if batch is None:
                return
            room.release()
            yield batch
    finally:
        error = None  # else the error, its traceback, this frame and the error again were a cycle
        dropped.set()
        room.release()
        # A garbage collection may end up here in the thread itself; and one that has given no sign yet ends all the same.
        if thread is not threading.current_thread() and thread.is_alive():
            thread.join()
