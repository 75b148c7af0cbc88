"""What is recorded: no_grad and enable_grad, nested, as decorators, in threads and under exceptions; detach."""

import threading

import numpy as np
import pytest
from sampling import share_memory

import tinynet as tn
from tinynet.tensor import Parameter


def parameter(*values):
    return Parameter(np.array(values, dtype=float))


def recording():
    return (parameter(1.0) * 2).requires_grad


def test_no_grad_and_enable_grad_nest():
    assert recording()
    with tn.no_grad():
        assert not recording()
        with tn.enable_grad():
            assert recording()
            with tn.no_grad():
                assert not recording()
            assert recording()
        assert not recording()
    assert recording()


def test_as_decorators_also_of_recursive_functions():
    @tn.no_grad()
    def frozen(depth):
        assert not recording()
        return depth and frozen(depth - 1)

    @tn.enable_grad()
    def thawed():
        return recording()

    frozen(3)
    assert recording()
    with tn.no_grad():
        assert thawed()
        assert not recording()


def test_a_decorated_generator_records_nothing_in_its_own_steps():
    @tn.no_grad()
    def steps():
        try:
            sent = yield recording()
            while sent != "end":
                try:
                    sent = yield sent, recording()
                except KeyError:  # noqa: PERF203
                    sent = yield "caught", recording()
            return recording()
        finally:
            ended.append(recording())

    ended = []
    generator = steps()
    assert [next(generator), recording()] == [False, True]
    assert [generator.send(1), recording()] == [(1, False), True]
    assert [generator.throw(KeyError), recording()] == [("caught", False), True]
    with pytest.raises(StopIteration) as end:
        generator.send("end")
    assert [end.value.value, ended, recording()] == [False, [False], True]
    generator = steps()
    next(generator)
    generator.close()
    assert [ended, recording()] == [[False, False], True]
    generator = steps()
    next(generator)
    with pytest.raises(ValueError, match="from outside"):
        generator.throw(ValueError("from outside"))
    assert [ended, recording()] == [[False] * 3, True]


def test_async_functions_cannot_be_decorated():
    """Other functions of the thread run where they wait."""

    async def coroutine():
        pass

    async def generator():
        yield

    for function in (coroutine, generator):
        with pytest.raises(TypeError, match="no_grad decorates no async function"):
            tn.no_grad()(function)


def test_an_exception_ends_the_block_as_its_end_does():
    for block in (tn.no_grad, tn.enable_grad):
        with pytest.raises(KeyError), block():
            raise KeyError
        assert recording()
    pause = tn.no_grad()
    with pause, pause:  # one object, entered twice
        assert not recording()
    assert recording()


def test_each_thread_records_or_not_on_its_own():
    seen = []
    with tn.no_grad():
        thread = threading.Thread(target=lambda: seen.append(recording()))
        thread.start()
        thread.join()
    assert seen == [True]

    ready, done = threading.Event(), threading.Event()

    def pausing():
        with tn.no_grad():
            ready.set()
            done.wait(10)

    thread = threading.Thread(target=pausing)
    thread.start()
    ready.wait(10)
    assert recording()
    done.set()
    thread.join()


def test_backward_in_several_threads_at_once():
    results = []

    def work(value):
        x = parameter(value)
        for _ in range(50):
            x.grad = None
            y = x
            for _ in range(20):
                y = y * x
            y.backward()
        results.append(x.grad.item() == pytest.approx(21 * value**20))

    threads = [threading.Thread(target=work, args=(1 + i / 10,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 4


def test_backward_works_under_no_grad():
    x = parameter(3.0)
    y = x * x
    with tn.no_grad():
        y.backward(retain_graph=True)
        (g,) = tn.grad(y, x, create_graph=True)
        assert not recording()
    assert x.grad.item() == 6
    assert tn.grad(g, x)[0].item() == 2


def test_detach_cuts_the_graph_and_shares_the_data():
    x = parameter(3.0)
    y = (x * x).detach()
    assert not y.requires_grad
    assert share_memory(x.detach().data, x.data)
    (y * x).backward()
    assert x.grad.item() == 9


def test_a_result_cannot_stop_requiring_its_gradient():
    x = parameter(3.0)
    with pytest.raises(RuntimeError, match=r"use \.detach"):
        (x * x).requires_grad = False
    x.requires_grad = False
    assert not (x * x).requires_grad
