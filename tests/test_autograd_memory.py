"""Memory: a graph is freed by reference counting alone, however long it is, and nothing keeps it alive."""

import contextlib
import gc
import tracemalloc
import weakref

import numpy as np
import pytest
from samples import ALL
from sampling import floats_of

import tinynet as tn
import tinynet.functions as F
from tinynet.tensor import Parameter, Tensor

CHAIN = 100_000


@contextlib.contextmanager
def nothing_for_the_garbage_collector():
    """The garbage collector stays off in the block, and finds nothing after it: there was no reference cycle."""
    gc.collect()
    gc.disable()
    try:
        yield
        gc.set_debug(gc.DEBUG_SAVEALL)  # what it finds goes into gc.garbage, to be named
        gc.collect()
        found = [type(a).__name__ for a in gc.garbage]
        assert not found
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def chain(x, length=CHAIN):
    y = x
    for _ in range(length):
        y = y + 1.0
    return y


def test_a_chain_of_100_000_ops_goes_backward_and_is_freed():
    x = Parameter([1.0])
    with nothing_for_the_garbage_collector():
        y = chain(x)
        y.backward(retain_graph=True)
        assert x.grad.item() == 1
        y.backward()
        assert x.grad.item() == 2
        del y


def test_a_chain_of_100_000_ops_is_freed_without_a_backward():
    x = Parameter([1.0])
    with nothing_for_the_garbage_collector():
        y = chain(x)
        first = weakref.ref(y._inputs[0])
        del y
        assert first() is None


def test_a_long_chain_goes_backward_with_its_own_graph():
    x = Parameter([1.0])
    y = x
    for _ in range(10_000):
        y = y * 1.0
    (g,) = tn.grad((y * y).sum(), x, create_graph=True)
    assert tn.grad(g, x)[0].item() == 2


def test_the_walk_frees_the_graph_as_it_goes():
    """At no time do all the intermediate results of a chain and their gradients exist together."""
    x = Parameter(np.ones(100_000))
    y = x
    for _ in range(50):
        y = y * 1.0  # 0.8 MB each
    tracemalloc.start()
    y.backward(tn.ones(100_000))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10e6
    assert y._inputs is None


def small_network(w, v, x):
    hidden = F.relu(F.linear(x, w)) + F.dropout(F.softmax(x @ w.T), 0.5)
    return F.cross_entropy(F.concatenate([hidden, hidden[:, ::2]], axis=1) @ v, [0, 1, 2, 0])


@pytest.mark.parametrize("way", ["backward", "grad", "create_graph", "forward only", "error"])
def test_no_reference_cycle_in_a_network(way):
    w, v = Parameter(np.ones((4, 3))), Parameter(np.ones((6, 3)))
    small_network(w, v, tn.ones(4, 3)).backward()  # on a GPU, kernels are made when first asked for
    with nothing_for_the_garbage_collector():
        loss = small_network(w, v, tn.ones(4, 3))
        inner = [weakref.ref(t) for t in (loss, loss._inputs[0])]
        if way == "backward":
            loss.backward()
        elif way == "grad":
            tn.grad(loss, [w, v])
        elif way == "create_graph":
            first = tn.grad(loss, [w, v], create_graph=True)
            tn.grad(sum((g * g).sum() for g in first), [w, v])
            del first
        elif way == "error":
            with contextlib.suppress(ValueError):
                F.matmul(loss, loss)
            with contextlib.suppress(ValueError):
                tn.ones(2, 3) + tn.ones(4)
        del loss
        assert [r() for r in inner] == [None, None]  # dead at once


def test_no_function_makes_a_reference_cycle():
    with nothing_for_the_garbage_collector():
        for sample in ALL:
            with np.errstate(all="ignore"):
                inputs = sample.tensors()
                result = sample.ours(inputs)
                ys = [y for y in floats_of(result) if y.requires_grad]
                if ys:
                    xs = [a for a in inputs if isinstance(a, Tensor)]
                    tn.grad(ys, xs, [np.ones(y.shape) for y in ys], allow_unused=True)
            result = ys = xs = inputs = None  # the names of the last round


def growth(step, steps=2000):
    """How many bytes more are alive after 2,000 of these steps, once 2,000 have gone before.

    (CPython keeps up to 2,000 freed tuples of each length for use again: these are there by then.)
    """
    gc.collect()
    gc.disable()
    try:
        for _ in range(steps):
            step()
        tracemalloc.start()
        for _ in range(steps):
            step()
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
        gc.enable()


# That nothing stays is the engine's doing, on every backend the same; tracing all memory takes the stand-in half a minute.
@pytest.mark.cpu
def test_two_thousand_training_steps_do_not_grow():
    w, v, x = Parameter(np.ones((4, 3))), Parameter(np.ones((6, 3))), tn.ones(4, 3)

    def step():
        w.grad = v.grad = None
        small_network(w, v, x).backward()
        for p in (w, v):
            p.data -= 0.01 * p.grad.data

    assert growth(step) < 20_000  # ten bytes a step: nothing that a step makes stays


@pytest.mark.cpu
def test_two_thousand_forward_calls_do_not_grow():
    w, v, x = Parameter(np.ones((4, 3))), Parameter(np.ones((6, 3))), tn.ones(4, 3)
    assert growth(lambda: small_network(w, v, x)) < 20_000

    @tn.no_grad()
    def without_recording():
        small_network(w, v, x)

    assert growth(without_recording) < 20_000


def test_the_array_of_an_input_dies_with_its_graph():
    w, x = Parameter(np.ones((3, 3))), tn.ones(3, 3)
    y = (Tensor(x) @ w).sum()
    watch = weakref.ref(y._inputs[0])
    y.backward()
    assert watch() is None  # the walk has freed it, though y is alive
    assert w.grad.shape == (3, 3)
