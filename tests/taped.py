"""CUDA graphs without a GPU: while a stream of the stand-in for CuPy captures, what its arrays do is put on a tape.

The one idea: a graph replays on the same memory. So what makes an array is done at once, which gives it its memory, and done
again into that memory when the graph is launched; what changes an array (``+=``, an assignment, a kernel) is only noted, and
done when the graph is launched, as it would be on a GPU. Python's own numbers are those of the capture for ever.
"""

from __future__ import annotations

import functools
import types

import numpy as np
import strict_cupy
from strict_cupy import arrays

CHANGES = {"__setitem__", "fill", "set", *(f"__i{name}__" for name in ("add", "sub", "mul", "truediv", "pow", "and", "or"))}
READS = {"get", "item", "tolist", "tobytes", "nonzero", *(f"__{name}__" for name in ("bool", "int", "float", "repr", "str"))}
UNTOUCHED = {"__init__", "__new__", "__len__", "__getattr__", "__array__", "__array_function__", "__iter__", "_read"}


class Tape:
    """What is noted while a stream captures; None outside of that."""

    now: list | None = None
    inside = 0  # a function of ours that calls another one notes itself alone


def note(call, *arguments, **keywords):
    """Have this done again by every launch."""
    Tape.now.append(functools.partial(call, *arguments, **keywords))


def taped(function, name):
    @functools.wraps(function)
    def call(*arguments, **keywords):
        if Tape.now is None or Tape.inside:
            return function(*arguments, **keywords)
        if name in READS:
            raise RuntimeError("cudaErrorStreamCaptureUnsupported: operation not permitted when stream is capturing")
        out = keywords.get("out")
        if name in CHANGES or out is not None:
            note(function, *arguments, **keywords)
            return out if out is not None else arguments[0] if name.startswith("__i") else None
        Tape.inside += 1
        try:
            result = function(*arguments, **keywords)
        finally:
            Tape.inside -= 1
        given = [a._array for a in arguments if isinstance(a, arrays.ndarray)]
        for k, made in enumerate(result if isinstance(result, (tuple, list)) else [result]):
            if isinstance(made, arrays.ndarray) and not any(np.shares_memory(made._array, a) for a in given):
                note(renewed, made._array, k, function, *arguments, **keywords)  # a view follows by itself
        return result

    for attribute in ("at", "reduce", "accumulate"):
        if hasattr(function, attribute):
            setattr(call, attribute, taped(getattr(function, attribute), "fill" if attribute == "at" else attribute))
    return call


def renewed(memory, k, function, *arguments, **keywords):
    result = function(*arguments, **keywords)
    memory[...] = (result[k] if isinstance(result, (tuple, list)) else result)._array


class Module(types.ModuleType):
    """The stand-in with every function taped."""

    def __init__(self, module):
        super().__init__("cupy")
        self.inner = module

    def __getattr__(self, name):
        thing = getattr(self.inner, name)
        if isinstance(thing, type) or not callable(thing) or name in ("empty", "empty_like"):  # which write nothing
            return thing
        setattr(self, name, taped(thing, name))
        return vars(self)[name]


class Graph:
    def __init__(self, tape):
        self.tape = tape

    def launch(self, stream=None):
        for again in self.tape:
            again()


class Stream(strict_cupy.gpus.Stream):
    def begin_capture(self, mode=None):
        Tape.now = []

    def end_capture(self):
        tape, Tape.now = Tape.now, None
        return Graph(tape)


def kernel_class(RawKernel):
    """A RawKernel that notes its launch while a stream captures."""

    class Kernel(RawKernel):
        def __call__(self, *arguments):
            if Tape.now is None or Tape.inside:
                super().__call__(*arguments)
            else:
                note(super().__call__, *arguments)

    return Kernel


def install(monkeypatch, module):
    """A module that captures in place of the stand-in; its arrays note what they do."""
    for name, function in list(vars(arrays.ndarray).items()):
        if isinstance(function, types.FunctionType) and name not in UNTOUCHED:
            monkeypatch.setattr(arrays.ndarray, name, taped(function, name))
    monkeypatch.setattr(Tape, "now", None)
    cuda = types.SimpleNamespace(**vars(module.cuda))
    cuda.Stream, cuda.MemoryPool = Stream, lambda: types.SimpleNamespace(malloc=None)
    cuda.using_allocator = lambda allocator: Stream()  # a context
    cuda.get_cublas_handle = lambda: 0
    cuda.runtime = types.SimpleNamespace(**vars(cuda.runtime), runtimeGetVersion=lambda: 12090)
    found = Module(module)
    found.cuda = cuda
    return found
