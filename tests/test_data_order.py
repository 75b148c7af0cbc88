"""The loader: the order of samples, resuming in the middle of an epoch, batches prepared ahead."""

import contextlib
import gc
import json
import threading
import time
import weakref

import numpy as np
import pytest
from numbered import N, Samples, flat, ids

from tinynet.backend import default_device, manual_seed
from tinynet.data import DataLoader


@pytest.fixture
def arrays():
    return np.arange(N * 6, dtype=np.float32).reshape(N, 2, 3), np.arange(N)


def prefetching():
    return [t for t in threading.enumerate() if t.name == "tinynet-prefetch"]


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
