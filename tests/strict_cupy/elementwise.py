"""``cupy.ElementwiseKernel`` without a GPU: the same C lines in a loop that the C compiler of this machine compiles.

The one idea: such a kernel is C over the elements of its arguments, whatever their strides, and that is C anywhere. What is
CUDA's own, as threads and shared memory are, is not to be had here.
"""

from __future__ import annotations

import ctypes
import functools
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from . import listing
from .arrays import fits, inner, ndarray

COMPILER = shutil.which("gcc") or shutil.which("cc")
TYPES = {
    "float16": "_Float16",
    "float32": "float",
    "float64": "double",
    "int32": "int",
    "int64": "long long",
    "uint32": "unsigned",
    "uint64": "unsigned long long",
    "bool": "_Bool",
    "uint8": "unsigned char",
    "int8": "signed char",
}
NUMBERS = {"float32": ctypes.c_float, "float64": ctypes.c_double, "int32": ctypes.c_int, "int64": ctypes.c_longlong}


@functools.cache
def folder() -> Any:
    return tempfile.TemporaryDirectory(prefix="strict_cupy")


@functools.cache
def compiled(source: str) -> ctypes.CDLL:
    """A library of a C source. As strict as NumPy: a product and a sum are rounded one after the other."""
    if COMPILER is None:
        raise RuntimeError("the stand-in for CuPy needs a C compiler (gcc) for its kernels")
    path = Path(folder().name) / f"kernel{len(list(Path(folder().name).iterdir()))}.so"
    command = [COMPILER, "-O1", "-ffp-contract=off", "-Wall", "-Werror", "-shared", "-fPIC", "-x", "c", "-", "-lm"]
    process = subprocess.run([*command, "-o", path], input=source, text=True, capture_output=True, check=False)
    if process.returncode:
        raise RuntimeError(f"{process.stderr}\n{source}")
    return ctypes.CDLL(str(path))


PARAMETERS = listing.load()["functions"]["cupy.ElementwiseKernel"]


class ElementwiseKernel:
    """Arguments of fixed types by name, a body over the elements; outputs are given, and may be read as well."""

    made = 0

    def __init__(self, in_params: str, out_params: str, operation: str, name: str = "kernel", **keywords: Any):
        type(self).made += 1
        fits("ElementwiseKernel", PARAMETERS, (in_params, out_params, operation, name), keywords)
        self.name, self.nin = name, in_params.count(",") + 1
        self.params = [p.split() for p in f"{in_params}, {out_params}".split(",")]
        unknown = {kind for kind, _ in self.params} - TYPES.keys()
        if (
            unknown
            or not all(re.fullmatch(r"[A-Za-z_]\w*", p) for _, p in self.params)
            or {"i", "n"} & {p for _, p in self.params}
        ):
            raise NotImplementedError(f"the stand-in knows no kernel with the parameters {self.params}")
        self.body, self.preamble = operation, keywords.get("preamble", "")

    def __call__(self, *args: Any) -> Any:
        if len(args) != len(self.params):
            raise TypeError(f"{self.name}: expected {len(self.params)} arguments, the outputs among them, got {len(args)}")
        arrays = [k for k, a in enumerate(args) if isinstance(a, ndarray)]
        plain = {k: inner(args[k], self.name) for k in arrays}
        for k, a in enumerate(args):
            if k not in plain and not isinstance(a, (int, float)):
                raise TypeError(f"{self.name}: Unsupported type {type(a)}")
        for k in arrays:
            if plain[k].dtype != self.params[k][0]:
                raise TypeError(f"{self.name}: {self.params[k][1]} is {plain[k].dtype}, expected {self.params[k][0]}")
        shape = np.broadcast_shapes(*[plain[k].shape for k in arrays])
        runs = {k: np.array(np.broadcast_to(plain[k], shape), order="C") for k in arrays}
        function = getattr(compiled(self._source(tuple(arrays))), self.name)
        values = [
            ctypes.c_void_p(runs[k].ctypes.data) if k in runs else NUMBERS[self.params[k][0]](a) for k, a in enumerate(args)
        ]
        function(ctypes.c_long(int(np.prod(shape))), *values)
        for k in arrays:
            if k >= self.nin:
                plain[k][...] = runs[k]
        outputs = args[self.nin :]
        return outputs[0] if len(outputs) == 1 else outputs

    def _source(self, arrays: tuple[int, ...]) -> str:
        params = [f"{TYPES[t]} *{p}p" if k in arrays else f"{TYPES[t]} {p}" for k, (t, p) in enumerate(self.params)]
        names = "\n".join(f"#define {self.params[k][1]} {self.params[k][1]}p[i]" for k in arrays)
        head = f"#include <math.h>\n{self.preamble}\n{names}\nvoid {self.name}(long n, {', '.join(params)}) "
        return f"{head}{{\nfor (long i = 0; i < n; i++) {{\n{self.body}\n}}\n}}\n"
