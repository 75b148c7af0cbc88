"""Our own threads: every part once, errors and the caller's context, nesting, forks, the BLAS library held and let go."""

import contextvars
import os
import threading
import time

import numpy as np
import pytest

from tinynet.kernels import threads
from tinynet.kernels.threads import parallel

pytestmark = pytest.mark.cpu  # a CPU's threads


@pytest.fixture(autouse=True)
def four(monkeypatch):
    monkeypatch.setenv("TINYNET_THREADS", "4")


def slowly(start, stop):
    time.sleep(0.001)  # lets the others in


@pytest.mark.parametrize("number", ["1", "2", "4", "9"])
@pytest.mark.parametrize(("n", "grain"), [(0, 1), (1, 1), (7, 1), (7, 3), (6, 3), (5, 100), (1000, 7)])
def test_every_part_is_done_once(n, grain, number, monkeypatch):
    monkeypatch.setenv("TINYNET_THREADS", number)
    done = []
    parallel(lambda start, stop: done.append((start, stop)), n, grain)
    assert sorted(done) == [(start, min(start + grain, n)) for start in range(0, n, grain)]


def test_several_threads_take_part_and_the_caller_is_one_of_them():
    names = set()
    parallel(lambda start, stop: (slowly(start, stop), names.add(threading.current_thread().name)), 40, 1)
    assert threading.current_thread().name in names
    assert len(names) > 1
    assert sum(t.name.startswith("tinynet-") for t in threading.enumerate()) >= 3


def test_one_thread_means_no_other(monkeypatch):
    monkeypatch.setenv("TINYNET_THREADS", "1")
    names = set()
    parallel(lambda start, stop: names.add(threading.current_thread().name), 10, 1)
    assert names == {threading.current_thread().name}


@pytest.mark.parametrize("at", [0, 5, 19])
def test_an_error_comes_back_to_the_caller_and_the_next_job_is_not_harmed(at):
    def work(start, stop):
        slowly(start, stop)
        if start == at:
            raise ZeroDivisionError(f"part {start}")

    for _ in range(3):
        with pytest.raises(ZeroDivisionError, match=f"part {at}"):
            parallel(work, 20, 1)
    done = []
    parallel(lambda start, stop: done.append(start), 20, 1)
    assert sorted(done) == list(range(20))


def test_after_an_error_no_part_is_running():
    running = []

    def work(start, stop):
        running.append(start)
        slowly(start, stop)
        running.remove(start)
        raise ValueError

    with pytest.raises(ValueError):
        parallel(work, 50, 1)
    assert running == []


def test_a_job_within_a_job_is_a_plain_loop():
    def work(start, stop):
        names = set()
        parallel(lambda a, b: (slowly(a, b), names.add(threading.current_thread().name)), 8, 1)
        assert names == {threading.current_thread().name}

    parallel(work, 8, 1)


def test_parts_run_in_the_caller_s_context():
    mine = contextvars.ContextVar("mine")
    mine.set("caller's")
    seen = []

    def work(start, stop):
        slowly(start, stop)
        seen.append((mine.get(), np.geterr()["divide"]))
        np.ones(2) / np.zeros(2)  # a warning would be an error

    with np.errstate(divide="ignore"):
        parallel(work, 20, 1)
    assert set(seen) == {("caller's", "ignore")}


def test_several_callers_at_once():
    totals = np.zeros((8, 200), int)

    def caller(row):
        def work(start, stop):
            totals[row, start:stop] += 1

        for _ in range(20):
            parallel(work, 200, 9)

    callers = [threading.Thread(target=caller, args=(row,)) for row in range(len(totals))]
    for t in callers:
        t.start()
    for t in callers:
        t.join()
    assert (totals == 20).all()


def test_the_blas_library_is_held_to_one_thread_and_let_go(monkeypatch):
    (library, *_) = threads.blas_libraries()
    before = library.get_num_threads()
    library.set_num_threads(2)
    try:
        inside = []
        parallel(lambda start, stop: inside.append(library.get_num_threads()), 10, 1)
        assert set(inside) == {1}
        assert library.get_num_threads() == 2
        with pytest.raises(ZeroDivisionError):
            parallel(lambda start, stop: 1 / 0, 10, 1)
        assert library.get_num_threads() == 2
        monkeypatch.setenv("TINYNET_THREADS", "1")
        parallel(lambda start, stop: inside.append(library.get_num_threads()), 1, 1)
        assert inside[-1] == 2  # one part, and the library's own threads
        with threads.one_blas_thread():
            parallel(lambda start, stop: inside.append(library.get_num_threads()), 1, 1)
        assert inside[-1] == 1
        assert library.get_num_threads() == 2
        with pytest.raises(ZeroDivisionError), threads.one_blas_thread():
            raise ZeroDivisionError
        assert library.get_num_threads() == 2
    finally:
        library.set_num_threads(before)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_process_has_threads_of_its_own():
    parallel(slowly, 20, 1)
    child = os.fork()
    if child == 0:
        names = set()
        try:
            parallel(lambda a, b: (slowly(a, b), names.add(threading.current_thread().name)), 40, 1)
        finally:
            os._exit(0 if len(names) > 1 else 1)
    assert os.waitpid(child, 0)[1] == 0
    parallel(slowly, 20, 1)


@pytest.mark.parametrize(("variables", "number"), [({}, None), ({"OMP_NUM_THREADS": "3"}, 3), ({"TINYNET_THREADS": "2"}, 2)])
def test_how_many(variables, number, monkeypatch):
    monkeypatch.delenv("TINYNET_THREADS")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    for name, value in {"OMP_NUM_THREADS": "5, 2", **variables}.items() if variables else ():
        monkeypatch.setenv(name, value)
    assert threads.threads() == (number or threads._cores())


@pytest.mark.parametrize("variable", ["TINYNET_THREADS", "OMP_NUM_THREADS"])
@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5"])
def test_what_is_no_number_of_threads(variable, value, monkeypatch):
    monkeypatch.delenv("TINYNET_THREADS")
    monkeypatch.setenv(variable, value)
    with pytest.raises(ValueError, match=f"environment variable {variable}: '{value}', expected a number of threads"):
        parallel(slowly, 10, 1)
