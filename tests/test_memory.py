"""Memory that is used again: never while somebody has a view of it, and not without end."""

import threading
import weakref

import numpy as np
import pytest

from tinynet.kernels import memory

pytestmark = pytest.mark.cpu
LIKE = np.zeros(1, "float32")
SHAPE = (64, 1024)


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch):
    monkeypatch.setattr(memory, "_kept", memory._Kept())


def place(a):
    return a.__array_interface__["data"][0]


def test_memory_is_used_again_when_nobody_has_it():
    a = memory.empty(SHAPE, LIKE)
    first = place(a)
    assert (a.shape, a.dtype) == (SHAPE, LIKE.dtype)
    b = memory.empty(SHAPE, LIKE)
    assert not np.shares_memory(a, b)
    del a
    assert place(memory.empty(SHAPE, LIKE)) == first
    assert place(memory.empty((1024, 32), np.zeros(1))) == first  # of as many bytes
    assert place(memory.empty((1024, 65), LIKE)) != first


@pytest.mark.parametrize(
    "part",
    [lambda a: a[3:], lambda a: a.T, lambda a: a.reshape(-1)[5:6], memoryview, np.asarray, lambda a: a.view("int32")[0]],
)
def test_a_view_keeps_its_memory(part):
    a = memory.empty(SHAPE, LIKE)
    first, view = place(a), part(a)
    del a
    assert place(memory.empty(SHAPE, LIKE)) != first
    del view
    assert place(memory.empty(SHAPE, LIKE)) == first


def test_small_arrays_are_numpys_own():
    a = memory.empty((3, 4), LIKE)
    assert a.base is None
    assert memory.empty((0, 4), LIKE).shape == (0, 4)
    assert memory._kept.blocks == {}


def test_no_more_is_kept_than_allowed(monkeypatch):
    monkeypatch.setattr(memory, "MOST", 3 * 2**18)
    arrays = [memory.empty(SHAPE, LIKE) for _ in range(7)]
    assert len({place(a) for a in arrays}) == 7
    assert memory._kept.total == sum(b.nbytes for blocks in memory._kept.blocks.values() for b in blocks) == 2**18
    assert memory.empty((2**20,), LIKE).shape == (2**20,)
    assert memory._kept.total <= 3 * 2**18


def test_each_thread_has_its_own():
    a = memory.empty(SHAPE, LIKE)
    first = place(a)
    del a
    found = []
    thread = threading.Thread(target=lambda: found.append(place(memory.empty(SHAPE, LIKE))))
    thread.start()
    thread.join()
    assert found != [first]


def test_large_buffers_are_not_kept():
    assert memory.buffer("columns", (2**21, 3), LIKE).shape == (2**21, 3)
    assert memory._kept.buffers == {}
    small = memory.buffer("columns", (10, 3), LIKE)
    assert np.shares_memory(small, memory.buffer("columns", (2, 3), LIKE))
    assert not np.shares_memory(small, memory.buffer("columns", (2, 3), np.zeros(1)))


def test_views_of_a_buffer_are_found_again_and_end_with_it(monkeypatch):
    monkeypatch.setattr(memory, "VIEWS", 3)
    other = memory.buffer("a", (3, 4), np.zeros(1))  # of another dtype
    small = memory.buffer("a", (3, 4), LIKE)
    assert memory.buffer("a", (3, 4), LIKE) is small
    assert not np.shares_memory(small, other)
    assert memory.buffer("a", (4, 3), LIKE).shape == (4, 3)
    assert place(memory.buffer("a", (12,), LIKE)) == place(small)
    for n in (2, 5):  # more than are kept
        assert memory.buffer("a", (n,), LIKE).shape == (n,)
    assert len(memory._kept.views) == 3
    gone = weakref.ref(memory._kept.buffers["a", "f"])
    del small
    large = memory.buffer("a", (5, 4), LIKE)
    assert gone() is None
    assert place(memory.buffer("a", (3, 4), LIKE)) == place(large)
    assert memory.buffer("a", (memory.KEPT,), LIKE).size == memory.KEPT  # too large to be kept
    assert memory.buffer("a", (5, 4), LIKE) is large
