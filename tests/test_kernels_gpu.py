"""An update rule as a GPU kernel, without a GPU: its C lines in a loop that the C compiler of this machine compiles."""

import ctypes
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from update_rules import MOVING, RULES, arrays_for, buffers_of, every_operation

import tinynet as tn
from tinynet import optim
from tinynet.kernels import update

GCC = shutil.which("gcc") or shutil.which("cc")
pytestmark = pytest.mark.skipif(GCC is None, reason="needs a C compiler")
TYPES = {"float32": "float", "float64": "double"}
MORE = [*RULES, (every_operation, {"lr": 0.1, "power": 3}), *((rule, {"lr": 0.1}) for rule in MOVING)]


class Device:
    """One GPU, as a context in which kernels are started."""

    id = 0

    def __init__(self):
        self.entered = 0

    def __enter__(self):
        self.entered += 1

    def __exit__(self, *exception):
        pass


GPU = Device()


class ndarray:
    """What of CuPy's arrays an update touches; anything else, NumPy's functions among them, fails."""

    __array_ufunc__ = None
    device = GPU

    def __init__(self, array):
        self.on_host = array

    shape = property(lambda self: self.on_host.shape)
    dtype = property(lambda self: self.on_host.dtype)
    size = property(lambda self: self.on_host.size)
    flags = property(lambda self: SimpleNamespace(carray=True, writeable=True))

    def __array__(self, *args, **keywords):
        raise TypeError("implicit conversion to NumPy")


class ElementwiseKernel:
    """CuPy's, as its documentation has it, on a CPU: arguments by type and name, a body over the elements."""

    made = 0

    def __init__(self, taken, written, body, name):
        type(self).made += 1
        taken, written = ([x.split() for x in text.split(", ")] for text in (taken, written))
        assert not {name for _, name in taken + written} & {"i", "n"}
        arrays = [taken[0], *written]
        pointers = [f"{TYPES[dtype]} *{name}p" for dtype, name in arrays]
        numbers = [f"{TYPES[dtype]} {name}" for dtype, name in taken[1:]]
        names = "\n".join(f"#define {name} {name}p[i]" for _, name in arrays)
        source = f"#include <math.h>\n{names}\nvoid {name}(long n, {', '.join(pointers + numbers)}) "
        source += f"{{\nfor (long i = 0; i < n; i++) {{\n{body}\n}}\n}}\n"
        self.numbers = [{"float": ctypes.c_float, "double": ctypes.c_double}[TYPES[dtype]] for dtype, _ in taken[1:]]
        self.function = getattr(ctypes.CDLL(compiled_c(source)), name)

    def __call__(self, grad, *rest):
        count = len(self.numbers)
        numbers, arrays = rest[:count], [grad, *rest[count:]]
        assert all(isinstance(n, (int, float)) for n in numbers)
        pointers = [ctypes.c_void_p(a.on_host.ctypes.data) for a in arrays]
        self.function(ctypes.c_long(grad.size), *pointers, *(c(n) for c, n in zip(self.numbers, numbers, strict=True)))


def compiled_c(source):
    """A library of a C source. As strict as NumPy: a product and a sum are rounded one after the other."""
    command = [GCC, "-O1", "-ffp-contract=off", "-Wall", "-Werror", "-shared", "-fPIC", "-x", "c", "-", "-lm"]
    path = FOLDER / f"kernel{len(list(FOLDER.iterdir()))}.so"
    process = subprocess.run([*command, "-o", path], input=source, text=True, capture_output=True, check=False)
    assert process.returncode == 0, process.stderr
    return path


@pytest.fixture(autouse=True)
def cupy(monkeypatch, tmp_path_factory):
    global FOLDER
    FOLDER = tmp_path_factory.mktemp("kernels")
    GPU.entered = 0
    module = SimpleNamespace(ndarray=ndarray, ElementwiseKernel=type("ElementwiseKernel", (ElementwiseKernel,), {"made": 0}))
    monkeypatch.setitem(sys.modules, "cupy", module)
    return module


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("rule", "hyper"), MORE)
def test_a_kernel_computes_what_array_code_does(rule, hyper, dtype, cupy):
    arrays = arrays_for(rule, 100, dtype)
    arrays[1][:10] = 0.0
    for a in arrays:
        a[10:13] = np.nan, np.inf, -np.inf
    with np.errstate(all="ignore"):
        expected = rule(*(a.copy() for a in arrays), **hyper)
    expected = expected if isinstance(expected, tuple) else (expected,)
    w, grad, *buffers = map(ndarray, arrays)
    update(rule, w, grad, dict(zip(buffers_of(rule), buffers, strict=True)), hyper)
    assert (cupy.ElementwiseKernel.made, GPU.entered) == (1, 1)
    for found, wanted in zip((w, *buffers), expected, strict=True):
        if rule is every_operation:  # exp may differ in its last digit
            tolerance = {"rtol": 4 * np.finfo(dtype).eps, "atol": 1e-5 if dtype == "float32" else 1e-13}
            np.testing.assert_allclose(found.on_host, wanted, **tolerance)
        else:
            np.testing.assert_array_equal(found.on_host, wanted)


def test_a_kernel_is_made_once(cupy):
    for lr in (0.1, 0.2, 3):
        w, grad = (ndarray(np.ones(5, np.float32)) for _ in range(2))
        update(optim.SGD.rule, w, grad, {}, {"lr": lr})
        np.testing.assert_allclose(w.on_host, 1 - lr, rtol=1e-6)
    assert cupy.ElementwiseKernel.made == 1


def test_a_step_of_an_optimizer(cupy):
    """Clipping aside, which needs more of CuPy than stands here."""
    p, q = tn.Parameter(np.full((3, 2), 4.0)), tn.Parameter(np.full((3, 2), 4.0))
    for one in (p, q):
        one.grad = np.arange(6.0).reshape(3, 2)
    momentum = [optim.Momentum([one], lr=0.1, weight_decay=0.5, maximize=True) for one in (p, q)]
    for optimizer in momentum:
        optimizer.state(optimizer.param_groups[0]["params"][0])
    q.data, q.grad.data = ndarray(q.data), ndarray(q.grad.data)
    buffers = momentum[1]._buffers["0"]
    buffers["velocity"] = ndarray(buffers["velocity"])
    for optimizer in momentum:
        optimizer.step()
    np.testing.assert_array_equal(q.data.on_host, p.data)
    np.testing.assert_array_equal(buffers["velocity"].on_host, momentum[0].state(p)["velocity"])
    assert cupy.ElementwiseKernel.made == 1


def test_arrays_of_two_dtypes_run_as_the_rule_is_written():
    def rule(w, grad, *, lr):
        seen.append(type(w))
        raise ZeroDivisionError

    seen = []
    with pytest.raises(ZeroDivisionError), pytest.warns(UserWarning, match="could not be traced"):
        update(rule, ndarray(np.ones(3)), ndarray(np.ones(3)), {}, {"lr": 0.1})
    assert seen[-1] is ndarray
