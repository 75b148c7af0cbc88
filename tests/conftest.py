"""On what the suite runs: ``python -m pytest --backend cpu|strict|kernels|cuda``.

``cpu`` is NumPy (the default), ``cuda`` a real GPU, ``strict`` the stand-in for CuPy of ``strict_cupy``, which needs no GPU,
``kernels`` the same with our CUDA kernels, compiled as C++ and run thread by thread (``cuda_on_c``).
The one idea: a test makes its arrays on the default device and compares through ``.numpy()``, so that it means the same on
each of them.
"""

import sys

import cuda_on_c
import pytest
import strict_cupy

# Why a test with such a mark is skipped on another backend.
MARKS = {
    "cpu": "makes sense only on NumPy arrays: files, compiled loops, texts; runs with --backend cpu",
    "gpu": "needs a real GPU; runs with --backend cuda",
}


def pytest_addoption(parser):
    parser.addoption("--backend", choices=("cpu", "strict", "kernels", "cuda"), default="cpu", help="on what the tests run")


def pytest_configure(config):
    backend = config.getoption("--backend")
    if backend in ("strict", "kernels"):
        strict_cupy.install()
    if backend == "kernels":
        cuda_on_c.install(sys.modules["cupy"])
    if backend != "cpu":
        import tinynet

        tinynet.set_default_device("cuda")


@pytest.fixture(autouse=True)
def nothing_pending(request):
    """A label out of range is told of where a number is next read from the GPU; at the latest here, for the right test."""
    yield
    if request.config.getoption("--backend") != "cpu":
        import tinynet

        tinynet.cuda.synchronize()


def pytest_report_header(config):
    return f"backend: {config.getoption('--backend')}"


def pytest_collection_modifyitems(config, items):
    backend = config.getoption("--backend")
    for mark, unfit in (("cpu", backend != "cpu"), ("gpu", backend != "cuda")):
        for item in items if unfit else ():
            if item.get_closest_marker(mark):
                item.add_marker(pytest.mark.skip(reason=MARKS[mark]))
